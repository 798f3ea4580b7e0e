"""Private names of sacrebleu."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from lushan.compat.sacrebleu import corpus_statistics


@pytest.mark.parametrize("metric", [BLEU(), CHRF()])
def test_statistics_add_up_to_the_corpus_score(metric) -> None:
    hypotheses = ["a b c d e", "the cat sat on the mat", "f g"]
    references = [["a b c d f", "a cat sat on the mat", "f h"], [None, "the cat sat", None]]
    rows = corpus_statistics(metric, hypotheses, references)
    assert len(rows) == 3
    summed = np.array(rows).sum(axis=0).tolist()
    score = metric.corpus_score(hypotheses, references).score
    assert metric._compute_score_from_stats(summed).score == pytest.approx(score)
