"""What all parts share: bounded readers of JSON and YAML, printing, units, wording."""
