"""Metrics, and the statistics of examples from which they are computed."""
