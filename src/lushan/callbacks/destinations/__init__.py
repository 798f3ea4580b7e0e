"""Trackers that get copies of a run: a file each, and what all of them are sent."""
