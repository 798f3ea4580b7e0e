"""The metrics that tasks bring, one file a family: each class says all there is to know of it."""
