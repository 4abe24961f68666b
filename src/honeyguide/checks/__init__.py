"""Conformance suites: the laws of each contract, for our parts and for yours."""
