"""Encoders, heads and what joins them: no data, no task."""
