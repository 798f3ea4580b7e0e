"""Heads: from hidden states to scores, and for the CRF from scores to sequences.

A head takes `width` and `num_labels`; one with `structured = True` also `allowed`, and has `nll`,
`decode` and `marginals` beside `forward`.
"""

from __future__ import annotations

import inspect
import math
import pydoc
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from lushan.configurable import Within, configurable
from lushan.errors import UserError
from lushan.models import crf
from lushan.text.tags import Transitions

_STD = 0.02
"""Deviation of a fresh head's weights, as in BERT: the first scores are nearly even."""


def make_head(
    head: Callable[..., nn.Module],
    *,
    width: int,
    num_labels: int,
    allowed: Transitions | None = None,
) -> nn.Module:
    """Make a head, and make sure of it before anything is trained.

    Args:
        head: A partial of its class; `structured` may be left out there, and is then false.
        width: Width of the hidden states.
        num_labels: Number of scores of a word or text.
        allowed: Allowed transitions between tags.

    Raises:
        UserError: It takes other arguments, lacks what a structured head has, or gives other
            scores than (..., num_labels).
    """
    name = getattr(head, "func", head)
    arguments: dict[str, Any] = {"width": width, "num_labels": num_labels}
    if is_structured(name):
        if allowed is None:
            raise _no_head(name, "it scores tag sequences, but a text has one row of scores")
        arguments["allowed"] = allowed
    try:
        inspect.signature(head).bind(**arguments)
    except TypeError as error:
        raise _no_head(name, f"it cannot be called with {', '.join(arguments)}: {error}") from error
    made = head(**arguments)
    lacking = [n for n in ("nll", "decode", "marginals") if not hasattr(made, n)]
    if is_structured(made) and lacking:
        raise _no_head(name, f"it is structured but has no {lacking[0]}")
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        shape = (1, 2, width) if allowed is not None else (2, width)
        found = made(torch.zeros(shape))
    if not isinstance(found, Tensor) or found.shape != (*shape[:-1], num_labels):
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise _no_head(name, f"of states {shape} it returns {got}, not {(*shape[:-1], num_labels)}")
    return made


def is_structured(head: object) -> bool:
    """Return whether a head scores whole sequences of tags."""
    return bool(getattr(head, "structured", False))


def require_unstructured(node: Mapping[str, Any]) -> None:
    """Refuse a head that scores sequences, before anything is loaded.

    Args:
        node: A task's, whose check has permitted the names in it already.
    """
    target = str((node.get("head") or {}).get("_target_"))
    if is_structured(pydoc.locate(target)):
        raise UserError(
            "this head scores tag sequences, but this task has none",
            key="task.head",
            value=target.rpartition(".")[2].lower(),
            hint="write task/head=linear or task/head=mlp",
        )


def _no_head(head: object, problem: str) -> UserError:
    return UserError(
        f"{getattr(head, '__qualname__', head)} is not a head: {problem}",
        key="task.head",
        hint="A head takes width and num_labels and maps (..., width) to (..., num_labels). A "
        "structured head also takes allowed and has nll, decode and marginals.",
    )


@configurable
class Linear(nn.Module):
    """One linear layer over the encoder.

    Args:
        width: Width of the hidden states.
        num_labels: Number of scores of a word or text.
        dropout: Dropout of the hidden features.
    """

    structured: ClassVar[bool] = False

    def __init__(
        self,
        *,
        width: int,
        num_labels: int,
        dropout: Annotated[float, Within(least=0, below=1)] = 0.1,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.scores = _linear(width, num_labels)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (..., C)."""
        return self.scores(self.dropout(hidden))


@configurable
class MLP(nn.Module):
    """Two layers with a GELU between them; the first one begins as He et al. (2015) have it.

    Args:
        width: Width of the hidden states.
        num_labels: Number of scores of a word or text.
        dropout: Dropout before each layer.
        hidden: Width between the layers; by default the encoder's width.
    """

    structured: ClassVar[bool] = False

    def __init__(
        self,
        *,
        width: int,
        num_labels: int,
        dropout: Annotated[float, Within(least=0, below=1)] = 0.1,
        hidden: Annotated[int, Within(least=1)] | None = None,
    ) -> None:
        super().__init__()
        inner = hidden or width
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            # With BERT's deviation here too, what comes through is so small that MiniLM learned
            # next to nothing of entities in 264 steps: experiments/ner_heads.
            _linear(width, inner, std=math.sqrt(2 / width)),
            nn.GELU(),
            nn.Dropout(dropout),
            _linear(inner, num_labels),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (..., C)."""
        return self.layers(hidden)


@configurable
class CRF(nn.Module):
    """A linear layer and a linear-chain CRF over its scores.

    A sequence of tags that `allowed` forbids has probability zero and is never decoded. Its
    arguments are those of `Linear`, and the rules.

    Args:
        width: Width of the hidden states.
        num_labels: Number of tags.
        allowed: Allowed transitions between tags.
        dropout: Dropout of the hidden features.
    """

    structured: ClassVar[bool] = True
    no_start: Tensor
    no_between: Tensor
    no_end: Tensor

    def __init__(
        self,
        *,
        width: int,
        num_labels: int,
        allowed: Transitions,
        dropout: Annotated[float, Within(least=0, below=1)] = 0.1,
    ) -> None:
        super().__init__()
        self.emit = Linear(width=width, num_labels=num_labels, dropout=dropout)
        self.start = nn.Parameter(torch.zeros(num_labels))
        self.between = nn.Parameter(torch.zeros(num_labels, num_labels))
        self.end = nn.Parameter(torch.zeros(num_labels))
        # Not weights: the task knows them, from its tags.
        for name in ("start", "between", "end"):
            forbidden = ~torch.as_tensor(getattr(allowed, name), dtype=torch.bool)
            self.register_buffer(f"no_{name}", forbidden, persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, W, H) -> (B, W, C)."""
        return self.emit(hidden)

    def nll(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """Negative log-likelihood of whole sequences, (B,).

        A window may begin or end inside an entity. Where its first or last gold tag could not
        stand at a sentence's edge, that edge is taken as open, for gold and for all others alike.

        Args:
            scores: (B, W, C)
            labels: (B, W), any tag under the padding.
            mask: (B, W), true at the words, which come before the padding.
        """
        start, between, end = self._transitions()
        last = labels.gather(1, (mask.sum(1, keepdim=True) - 1).clamp(min=0)).squeeze(1)
        start = torch.where(self.no_start[labels[:, 0]][:, None], self.start, start)  # (B, C)
        end = torch.where(self.no_end[last][:, None], self.end, end)
        return crf.nll(scores, labels, start, between, end, mask)

    @torch.no_grad()
    def decode(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The most probable sequence, (B, W); 0 under the padding."""
        return crf.viterbi(scores, *self._transitions(), mask)

    @torch.no_grad()
    def marginals(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Probability of each tag of each word, (B, W, C); 0 under the padding."""
        return crf.marginals(scores, *self._transitions(), mask)

    def _transitions(self) -> tuple[Tensor, Tensor, Tensor]:
        never = float("-inf")
        return (
            self.start.masked_fill(self.no_start, never),
            self.between.masked_fill(self.no_between, never),
            self.end.masked_fill(self.no_end, never),
        )


@torch.no_grad()
def constrained_decode(scores: Tensor, allowed: Transitions, mask: Tensor) -> Tensor:
    """The allowed sequence with the highest sum of scores, for a head that knows no transitions.

    Args:
        scores: (B, W, C)
        allowed: Allowed transitions between tags.
        mask: (B, W), true at the words, which come before the padding.

    Returns:
        (B, W); 0 under the padding.
    """
    start, between, end = (
        torch.zeros(rule.shape).masked_fill(~torch.as_tensor(rule), float("-inf")).to(scores.device)
        for rule in (allowed.start, allowed.between, allowed.end)
    )
    return crf.viterbi(scores, start, between, end, mask)


def _linear(width: int, out: int, std: float = _STD) -> nn.Linear:
    layer = nn.Linear(width, out)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer
