"""The tests of significance by name, and what they need: known before numbers are computed."""

from __future__ import annotations

from lushan.study import folds

TESTS = {
    "bootstrap": "paired bootstrap over examples",
    "randomisation": "approximate randomisation over examples",
    "mcnemar": "McNemar's exact test over examples",
    "welch": "Welch's t-test over runs",
    "hierarchical": "bootstrap over runs and examples",
    folds.TEST: "the corrected resampled t-test over folds",
}
OVER_RUNS = ("welch", "hierarchical", folds.TEST)
FEWEST_RUNS = {"welch": 3, "hierarchical": 5, folds.TEST: folds.FEWEST}
"""Below so many a side, tests over runs are not valid. With three the bootstrap rejects true null
hypotheses nearly twice as often as its level, where it is the seeds that matter."""
FEWEST_EXAMPLES = 10
"""With fewer a bootstrap is too sure of itself: it can draw nothing but what it has seen."""
LEVEL = 0.05
"""A difference is marked where its corrected p is below."""
