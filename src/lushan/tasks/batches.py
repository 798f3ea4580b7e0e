"""Features, which examples are encoded as, and batches of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

Features = dict[str, list[Any]]
"""Name of a column to a value a feature."""
Batch = dict[str, Tensor]
EXAMPLE = (("length", pa.int32()), ("targets", pa.int32()), ("example", pa.int64()))
"""Columns of every schema: tokens, how many are learned, and the example's place in its split."""
IGNORED = -100
"""The label of a place that has none; PyTorch's own default."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of the length of a feature.

    Attributes:
        max_length: Tokens, special ones included.
        stride: Tokens that neighbouring windows share; None cuts a long text instead.
    """

    max_length: int
    stride: int | None = None


def pad(rows: Sequence[NDArray[Any]], value: int, dtype: Any = np.int64) -> Tensor:
    """Rows of different length as one tensor (B, L), filled up with `value`."""
    width = max((len(row) for row in rows), default=0)
    out = np.full((len(rows), max(width, 1)), value, dtype=dtype)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)


def pad_ids(rows: list[Any], pad_id: int, prefix: str = "") -> Batch:
    """Return `input_ids` and `attention_mask` (B, L) of rows of ids, under names with a prefix."""
    ids = pad(rows, pad_id)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    return {f"{prefix}input_ids": ids, f"{prefix}attention_mask": mask}


def pad_inputs(rows: list[dict[str, Any]], pad_id: int) -> Batch:
    """`input_ids` and `attention_mask` (B, L), and `token_type_ids` where the rows have them."""
    batch = pad_ids([row["input_ids"] for row in rows], pad_id)
    batch["example"] = torch.tensor([int(row["example"]) for row in rows])
    if "token_type_ids" in rows[0]:
        batch["token_type_ids"] = pad([row["token_type_ids"] for row in rows], 0)
    return batch
