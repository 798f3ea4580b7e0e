"""Composition, training and use of runs from Python; `import lushan` gives its names."""
