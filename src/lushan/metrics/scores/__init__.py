"""Scores from summed statistics: vectorised functions of NumPy arrays, without torch.

Each takes summed statistics (..., D) and gives values (...,), nan where undefined, so that a
bootstrap scores all its resamples at once. `result.json` names the function of each metric by its
import path, and nothing but what stands in this package, or in one that the user allows, is called.
"""
