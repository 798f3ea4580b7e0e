"""Runs: their identity, their folders, what is written there and how it is read back.

Nothing here imports torch: a complete run is answered, listed and tabulated without it.
"""
