"""How near a posterior comes to what algebra says of it: its features and rewards are rounded to 2**-16."""

NEAR = 2e-5
