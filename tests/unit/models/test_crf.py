"""The CRF against enumeration of every sequence, and its gradient against differences."""

import itertools

import pytest
import torch
from torch import Tensor

from lushan.models import crf

NEVER = float("-inf")
LENGTHS = [4, 3, 2, 1, 0]
LABELS = 3


def make(seed: int = 0, *, rules: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    words = max(LENGTHS)
    scores = 2 * torch.randn(len(LENGTHS), words, LABELS, dtype=torch.float64)
    start, end = torch.randn(2, LABELS, dtype=torch.float64)
    between = torch.randn(LABELS, LABELS, dtype=torch.float64)
    if rules:
        start[1], between[0, 1], end[2] = NEVER, NEVER, NEVER
    mask = torch.arange(words) < torch.tensor(LENGTHS)[:, None]
    return scores, start, between, end, mask


def paths(b: int, scores: Tensor, start: Tensor, between: Tensor, end: Tensor) -> dict:
    """Score of every sequence of one row, summed by hand."""
    found = {}
    for path in itertools.product(range(LABELS), repeat=LENGTHS[b]):
        score = start[path[0]] + end[path[-1]]
        score = score + sum(scores[b, t, tag] for t, tag in enumerate(path))
        found[path] = score + sum(between[i, j] for i, j in itertools.pairwise(path))
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rules", [True, False])
def test_equals_enumeration(seed: int, rules: bool) -> None:
    *parts, mask = make(seed, rules=rules)
    total = crf.log_partition(*parts, mask)
    shares = crf.marginals(*parts, mask)
    best = crf.viterbi(*parts, mask)
    for b, words in enumerate(LENGTHS[:-1]):
        every = paths(b, *parts)
        values = torch.stack(list(every.values()))
        torch.testing.assert_close(total[b], values.logsumexp(0), rtol=0, atol=1e-12)
        assert tuple(best[b, :words].tolist()) == max(every, key=every.__getitem__)
        expected = torch.zeros(words, LABELS, dtype=torch.float64)
        for path, score in every.items():
            for t, tag in enumerate(path):
                expected[t, tag] += (score - total[b]).exp()
        torch.testing.assert_close(shares[b, :words], expected, rtol=0, atol=1e-12)
        path = torch.tensor([[*list(every)[-1], *[0] * (max(LENGTHS) - words)]])
        own = crf.path_score(parts[0][b : b + 1], path.expand(1, -1), *parts[1:], mask[b : b + 1])
        torch.testing.assert_close(own[0], list(every.values())[-1])


def test_a_row_without_words_and_what_stands_under_padding_count_for_nothing() -> None:
    scores, *edges, mask = make()
    other = scores.masked_fill(~mask[..., None], 1e4)
    for function in (crf.log_partition, crf.marginals, crf.viterbi):
        assert torch.equal(function(scores, *edges, mask), function(other, *edges, mask))
    assert crf.log_partition(scores, *edges, mask)[-1] == 0
    assert crf.marginals(scores, *edges, mask)[~mask].abs().sum() == 0
    assert crf.viterbi(scores, *edges, mask)[~mask].sum() == 0
    labels = torch.full(mask.shape, 2)
    assert crf.nll(scores, labels, *edges, mask)[-1] == 0


@pytest.mark.parametrize("rules", [True, False])
def test_gradient_of_log_partition(rules: bool) -> None:
    scores, start, between, end, mask = make(rules=rules)
    forbidden = [edge.isinf() for edge in (start, between, end)]

    def log_partition(scores: Tensor, *edges: Tensor) -> Tensor:
        ruled = [e.masked_fill(f, NEVER) for e, f in zip(edges, forbidden, strict=True)]
        return crf.log_partition(scores, *ruled, mask)

    edges = [torch.randn_like(e).requires_grad_() for e in (start, between, end)]
    assert torch.autograd.gradcheck(log_partition, (scores.requires_grad_(), *edges))


def test_gradient_of_nll_by_rows_with_their_own_edges() -> None:
    scores, _, between, _, mask = make(rules=False)
    start, end = torch.randn(2, len(LENGTHS), LABELS, dtype=torch.float64)
    labels = torch.randint(LABELS, mask.shape)
    edges = [e.requires_grad_() for e in (scores, start, between, end)]

    def nll(scores: Tensor, start: Tensor, between: Tensor, end: Tensor) -> Tensor:
        return crf.nll(scores, labels, start, between, end, mask)

    assert torch.autograd.gradcheck(nll, tuple(edges))


def test_forbidden_sequences_are_never_decoded_and_have_no_share() -> None:
    torch.manual_seed(0)
    scores = torch.randn(50, 20, LABELS)
    scores[..., 1] += 1000  # the wish to break the rules is strong
    start, between, end = torch.zeros(LABELS), torch.zeros(LABELS, LABELS), torch.zeros(LABELS)
    start[1], between[0, 1], between[1, 1], end[2] = NEVER, NEVER, NEVER, NEVER
    mask = torch.ones(50, 20, dtype=torch.bool)
    path = crf.viterbi(scores, start, between, end, mask)
    assert (path[:, 0] != 1).all()
    assert (path[:, -1] != 2).all()
    assert between[path[:, :-1], path[:, 1:]].isfinite().all()
    shares = crf.marginals(scores, start, between, end, mask)
    assert (shares[:, 0, 1] == 0).all()
    assert (shares[:, -1, 2] == 0).all()
    torch.testing.assert_close(shares.sum(-1), torch.ones(50, 20))


@pytest.mark.parametrize("apart", [1.0, 100.0, 1000.0])
def test_scores_far_apart_lose_nothing(apart: float) -> None:
    torch.manual_seed(0)
    scores = torch.rand(8, 30, 5, dtype=torch.float64) * apart
    edges = torch.zeros(5), torch.zeros(5, 5), torch.zeros(5)
    mask = torch.ones(8, 30, dtype=torch.bool)
    # Without transitions every word is by itself.
    expected = scores.logsumexp(-1).sum(1)
    torch.testing.assert_close(crf.log_partition(scores, *edges, mask), expected)
    torch.testing.assert_close(crf.marginals(scores, *edges, mask), scores.softmax(-1))
    assert torch.equal(crf.viterbi(scores, *edges, mask), scores.argmax(-1))


def test_long_sentences() -> None:
    torch.manual_seed(0)
    scores = 5 * torch.randn(2, 3000, 4)
    edges = torch.randn(4), torch.randn(4, 4), torch.randn(4)
    mask = torch.ones(2, 3000, dtype=torch.bool)
    shares = crf.marginals(scores, *edges, mask)
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 3000))
    best = crf.viterbi(scores, *edges, mask)
    assert (crf.nll(scores, best, *edges, mask) > 0).all()


def test_autocast_changes_nothing_and_half_precision_is_widened() -> None:
    scores, *edges, mask = make()
    scores, edges = scores.bfloat16(), [e.float() for e in edges]
    plain = crf.log_partition(scores, *edges, mask)
    with torch.autocast("cpu", torch.bfloat16):
        cast = crf.log_partition(scores, *edges, mask)
    assert plain.dtype == torch.float32
    assert torch.equal(plain, cast)
    torch.testing.assert_close(plain, crf.log_partition(scores.double(), *edges, mask).float())
