"""The metrics that tasks bring, one file a family: each class holds all there is to know of it."""
