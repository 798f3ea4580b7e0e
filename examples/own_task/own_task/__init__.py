"""A task for lushan in a package of its own: which quadrant of an image is the brightest."""
