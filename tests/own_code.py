"""A module of the user's own: neither installed nor in the standard library, so it has to travel."""

FACTOR = 12


def times_factor(i: int) -> int:
    return i * FACTOR
