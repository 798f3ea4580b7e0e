"""Search in documents: an index of their words or vectors, and what a query finds in it."""
