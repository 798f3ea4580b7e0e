"""Vectors of texts, and the losses that bring those of a query and its passage together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lushan.models.backbone import Backbone
from lushan.models.losses import wide
from lushan.models.pooling import Kind, pooler


class EmbeddingModel(nn.Module):
    """An encoder and what makes one vector of a text's hidden states."""

    def __init__(self, encoder: Backbone, pooling: Kind) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooler = pooler(pooling, encoder.width)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return a vector a text, (B, H), in float32 and of any length.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L).
        """
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return wide(self.pooler(states, attention_mask))


class Candidates(NamedTuple):
    """What N queries are compared with.

    Attributes:
        queries: (N, H).
        passages: (C, H), whose first N are the queries' own.
        hidden: (N, C), which are none for a query: further right ones.
        taught: (N, C), which belong to the query's row; None without a teacher.
        teacher: (C,), the teacher's score of each for the query of its row; likewise.
        likeness: (N, C), cosines of a teacher's vectors; None without them.
    """

    queries: Tensor
    passages: Tensor
    hidden: Tensor
    taught: Tensor | None = None
    teacher: Tensor | None = None
    likeness: Tensor | None = None


def candidates_of(vectors: Mapping[str, Tensor]) -> Candidates:
    """Return what queries are compared with; further right passages are hidden.

    Args:
        vectors: `query`, (N, H), `positive`, (N, H), and `negative`, (M, H); `query_key`,
            `positive_key` and `negative_key`, which the same texts share; with a teacher also
            `positive_example` and `negative_example`, the row of each, and `positive_teacher` and
            `negative_teacher`, its scores; or `query_vector`, `positive_vector` and
            `negative_vector`, its vectors.
    """
    asked, own = vectors["query_key"], vectors["positive_key"]
    keys = torch.cat([own, vectors["negative_key"]])
    hidden = keys == own[:, None]  # (N, C): the same text
    hidden[:, : len(own)] |= asked == asked[:, None]  # an answer to the same query
    hidden.fill_diagonal_(False)
    passages = torch.cat([vectors["positive"], vectors["negative"]])
    if "query_vector" in vectors:
        others = torch.cat([vectors["positive_vector"], vectors["negative_vector"]])
        likeness = F.normalize(vectors["query_vector"], dim=-1) @ F.normalize(others, dim=-1).T
        return Candidates(vectors["query"], passages, hidden, likeness=likeness.detach())
    if "positive_teacher" not in vectors:
        return Candidates(vectors["query"], passages, hidden)
    rows = vectors["positive_example"]
    owners = torch.cat([rows, vectors["negative_example"]])
    teacher = torch.cat([vectors["positive_teacher"], vectors["negative_teacher"]])
    return Candidates(vectors["query"], passages, hidden, owners == rows[:, None], teacher)


Loss = Callable[[Tensor, Candidates], Tensor]
"""From cosines (N, C) to the loss of each query, (N,)."""


def losses_of(given: Candidates, loss: Loss, dims: Sequence[int] = ()) -> Tensor:
    """Return the loss of each query, (N,).

    Args:
        given: Queries and passages.
        loss: Of cosines.
        dims: Widths at which vectors are cut, whose losses' mean counts (Matryoshka: Kusupati et
            al., 2022, arXiv:2205.13147); none is the whole.
    """
    found = []
    for width in dims or (given.queries.shape[1],):
        pair = (given.queries, given.passages)
        one, other = (F.normalize(part[:, :width], dim=-1) for part in pair)
        found.append(loss(one @ other.T, given))
    return torch.stack(found).mean(0)


def contrastive(cosines: Tensor, given: Candidates, *, temperature: float) -> Tensor:
    """Return the cross-entropy of each query's own passage among all candidates, (N,).

    InfoNCE (van den Oord et al., 2018, arXiv:1807.03748).
    """
    targets = torch.arange(len(cosines), device=cosines.device)
    scores = (cosines / temperature).masked_fill(given.hidden, -torch.inf)
    return F.cross_entropy(scores, targets, reduction="none")


def hinge(cosines: Tensor, given: Candidates, *, margin: float) -> Tensor:
    """Return by how much wrong passages come within a margin of the own one, on average, (N,).

    The triplet loss (Schroff et al., 2015, arXiv:1503.03832) over all negatives of the batch.
    """
    own = cosines.diagonal()[:, None]  # (N, 1)
    wrong = (~given.hidden).fill_diagonal_(False)
    near = (margin - own + cosines).clamp(min=0) * wrong
    return near.sum(1) / wrong.sum(1).clamp(min=1)


def margin_mse(cosines: Tensor, given: Candidates, *, temperature: float) -> Tensor:
    """Return the squared errors of margins to a row's negatives, on average, (N,).

    MarginMSE (Hofstätter et al., 2020, arXiv:2010.02666): the student's margins are those of
    cosines over the temperature.
    """
    taught, teacher = _taught(given)
    scores = cosines / temperature
    errors = (scores.diagonal()[:, None] - scores) - (teacher[: len(scores), None] - teacher)
    wrong = taught.clone().fill_diagonal_(False)
    return (errors.square() * wrong).sum(1) / wrong.sum(1).clamp(min=1)


def divergence(cosines: Tensor, given: Candidates, *, temperature: float) -> Tensor:
    """Return the KL divergence from a teacher's distribution over a row's passages, (N,)."""
    taught, teacher = _taught(given)
    return _divergence(cosines / temperature, teacher.expand_as(cosines), taught)


def batch_divergence(cosines: Tensor, given: Candidates, *, temperature: float) -> Tensor:
    """Return the KL divergence from a teacher's distribution over all candidates, (N,).

    Both are softmaxes of cosines over the temperature (Hinton et al., 2015, arXiv:1503.02531).
    """
    if given.likeness is None:
        raise AssertionError("the teacher's vectors are required")
    wanted = given.likeness.to(cosines.dtype) / temperature
    return _divergence(cosines / temperature, wanted, ~given.hidden)


def _divergence(scores: Tensor, wanted: Tensor, among: Tensor) -> Tensor:
    """Return the KL divergence of two softmaxes over some candidates, (N,); all are (N, C)."""
    least = torch.finfo(scores.dtype).min
    found, wanted = (s.masked_fill(~among, least).log_softmax(-1) for s in (scores, wanted))
    return (wanted.exp() * (wanted - found)).masked_fill(~among, 0.0).sum(1)


def _taught(given: Candidates) -> tuple[Tensor, Tensor]:
    if given.taught is None or given.teacher is None:
        raise AssertionError("the teacher's scores are required")
    return given.taught, given.teacher.to(given.queries.dtype).detach()
