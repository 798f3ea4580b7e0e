"""A language model's last feed-forward layer at the learned places alone.

Nothing after the last attention looks from one place to another. Where few places are learned, as
in masked texts or in dialogues, most of what the last layer and the head would compute is read by
no loss.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from lushan.compat.torch import replace_child
from lushan.models import dropout
from lushan.models.backbone import blocks

_MOST = 0.9
"""Share of the places from which on it is not worth while."""


def worth(places: Tensor, labels: Tensor) -> bool:
    """Return whether few enough places are learned."""
    return len(places) < _MOST * labels.numel()


@contextlib.contextmanager
def at(model: nn.Module, places: Tensor, width: int) -> Iterator[None]:
    """Have a model compute its last feed-forward layer at some places, and give zeros elsewhere.

    Where the layer hands on what the head reads, and adds nothing to it, the model's states are
    those of the places alone, (1, T, H).

    Args:
        model: Of transformers; of one that reads images, too, its language model.
        places: Ascending numbers of places in all rows of the batch, end to end, (T,).
        width: Places of a row.

    Raises:
        AttributeError: Its last layer is not made of parts of which it is known.
    """
    last: Any = blocks(model)[-1]
    parts: dict[str, nn.Module]
    if hasattr(last, "mlp"):
        parts = {"mlp": _Whole(last.mlp, places, width)}
    else:
        parts = {
            "intermediate": _First(last.intermediate, places, width),
            "output": _Second(last.output, places, width),
        }
    before = {name: getattr(last, name) for name in parts}
    for name, part in parts.items():
        replace_child(last, name, part)
    try:
        yield
    finally:
        for name, part in before.items():
            replace_child(last, name, part)


class _Part(nn.Module):
    def __init__(self, module: nn.Module, places: Tensor, width: int) -> None:
        super().__init__()
        self.module, self.places, self.width = module, places, width

    def chosen(self, states: Tensor) -> Tensor:
        """(B, L, H) -> (1, T, H)."""
        return states.flatten(0, 1).index_select(0, self.places)[None]

    def computed(self, *states: Tensor) -> Any:
        """Return what the module makes of states of the places, (1, T, H)."""
        with dropout.at_places(self.places, self.width):
            return self.module(*states)


class _Whole(_Part):
    """A layer whose result is added to what it was given (Llama, GPT-2)."""

    def forward(self, states: Tensor) -> Tensor:
        found = self.computed(self.chosen(states))[0]
        empty = found.new_zeros(states.shape[0] * states.shape[1], found.shape[-1])
        return empty.index_copy(0, self.places, found).view(*states.shape[:2], -1)


class _First(_Part):
    """The widening half of BERT's layer."""

    def forward(self, states: Tensor) -> Any:
        return self.computed(self.chosen(states))


class _Second(_Part):
    """The narrowing half, which adds and norms."""

    def forward(self, inner: Tensor, states: Tensor) -> Any:
        return self.computed(inner, self.chosen(states))
