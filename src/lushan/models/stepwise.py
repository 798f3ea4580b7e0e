"""What makes a model quick that writes one token after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lushan.compat.transformers import caches_of
from lushan.models.attention.one_query import one_query

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextlib.contextmanager
def stepwise(model: PreTrainedModel) -> Iterator[None]:
    """Have a model append to its cache in place, and attend by what suits single steps."""
    from lushan.models.growing_cache import GrowingLayer

    with caches_of(GrowingLayer), one_query(model.config, model.device):
        yield
