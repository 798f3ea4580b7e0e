"""The reason why runs cannot be compared by a test."""


class Undecided(Exception):
    """A comparison cannot be tested; states why, in a part of a sentence."""
