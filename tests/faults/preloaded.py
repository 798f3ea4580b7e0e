"""What the processes of `jobs` share: torch and all else, imported once."""

from lushan import training

training.preload()
