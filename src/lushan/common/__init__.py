"""Functions for all parts: bounded readers of JSON and YAML, printing, units, wording."""
