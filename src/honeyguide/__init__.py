"""Honeyguide: decides by itself, per request, how much to explore and how much to exploit."""
