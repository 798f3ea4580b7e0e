"""The best spans, against all of them."""

import torch

from lushan.models.spans import best_spans


def test_the_best_of_all_spans():
    torch.manual_seed(1)
    scores, mask = torch.randn(3, 6, 2), torch.rand(3, 6) < 0.8
    first, last, sums = best_spans(scores, mask, 4, 3)
    for row in range(3):
        every = {
            (i, j): float(scores[row, i, 0] + scores[row, j, 1])
            for i in range(6)
            for j in range(i, min(6, i + 3))
            if mask[row, i] and mask[row, j]
        }
        want = sorted(every, key=every.__getitem__, reverse=True)[:4]
        finite = [k for k in range(4) if sums[row, k] > -torch.inf]
        assert [(int(first[row, k]), int(last[row, k])) for k in finite] == want
