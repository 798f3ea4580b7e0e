"""A cache of keys and values with room ahead: a step writes its own, and copies no others."""

from __future__ import annotations

from torch import Tensor
from transformers.cache_utils import DynamicLayer

_LEAST = 64
_SHARE = 8
"""Room is made for an eighth of what is there, and for `_LEAST` tokens at least."""


class GrowingLayer(DynamicLayer):
    """Keys and values of a layer, (B, H, L, D): the used part of tensors with room behind it.

    transformers' own layer copies all of them in each step. Where they have been changed from
    outside (rows chosen, tokens removed before others), room is made anew.
    """

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Append the states of some tokens; return those of all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room: dict[str, Tensor] = {}
        assert self.keys is not None
        assert self.values is not None
        self.keys = self._appended("keys", self.keys, key_states)
        self.values = self._appended("values", self.values, value_states)
        return self.keys, self.values

    def _appended(self, name: str, known: Tensor, new: Tensor) -> Tensor:
        used = known.shape[-2] if known.numel() else 0
        length = used + new.shape[-2]
        room = self._room.get(name)
        if room is None or room.shape[-2] < length or not _is_beginning(known, room):
            ahead = max(_LEAST, length // _SHARE)
            room = self._room[name] = new.new_empty(
                (*new.shape[:-2], length + ahead, new.shape[-1])
            )
            if used:
                room[..., :used, :] = known
        room[..., used:length, :] = new
        return room[..., :length, :]


def _is_beginning(known: Tensor, room: Tensor) -> bool:
    """Return whether some states are the first ones of a room, and not a copy or others of them."""
    return (
        known.data_ptr() == room.data_ptr()
        and known.stride() == room.stride()
        and known.shape[:-2] == room.shape[:-2]
    )
