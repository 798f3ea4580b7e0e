"""Images for training as anybody would read them: Pillow in a dataset, and a `DataLoader`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Pictures(Dataset[Tensor]):
    """Images, decoded, scaled and normalised one at a time.

    Args:
        files: Their paths.
        size: Pixels of a side.
    """

    def __init__(self, files: Sequence[Path], size: int) -> None:
        self.files, self.size = files, size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.files[index]) as picture:
            small = picture.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        values = np.asarray(small, np.float32) / 255
        return torch.from_numpy((values - 0.5) / 0.5).permute(2, 0, 1).contiguous()


def batches(files: Sequence[Path], size: int, batch: int, workers: int) -> Any:
    """Return a loader of tensors (B, 3, S, S)."""
    return DataLoader(Pictures(files, size), batch_size=batch, num_workers=workers)
