"""Codec of short videos: the codes of their frames, one frame after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lushan.models.image_codecs import ImageCodec
from lushan.vision import clips


class ClipCodec(ImageCodec):
    """A codec of videos of a fixed number of frames, each of which has the codes of an image.

    Args:
        images: The codec of frames.
        frames: Of a video.
        fps: Frames of a second of what is decoded.
    """

    def __init__(self, images: ImageCodec, frames: int, fps: float) -> None:
        super().__init__()
        self.images, self.frames, self.fps = images, frames, fps
        self.codes, self.tokens, self.size = images.codes, frames * images.tokens, images.size

    def state(self) -> dict[str, Any]:
        """See `ImageCodec.state`; `restored` makes that of the frames."""
        return {"frames": self.frames, "images": self.images.state()}

    @property
    def values_of_code(self) -> float:
        """See `ImageCodec.values_of_code`."""
        return self.images.values_of_code

    def codes_of(self, pictures: Sequence[Any]) -> Tensor:
        """Return the codes (N, tokens) of videos, each a list of frames of Pillow."""
        found = [self.images.codes_of(frames) for frames in pictures]
        return torch.stack(found).flatten(1)

    def pixels_of(self, codes: Tensor) -> Tensor:
        """Return the frames (N * frames, 3, size, size), from 0 to 1, of codes (N, tokens)."""
        return self.images.pixels_of(codes.reshape(-1, self.images.tokens))

    @torch.no_grad()
    def decode(self, codes: Sequence[Sequence[int]]) -> list[bytes]:
        """Return the videos of codes as animated PNG."""
        from PIL import Image

        found = []
        for each in codes:
            pixels = self.pixels_of(torch.tensor([each])).float().cpu().numpy()
            rounded = (pixels.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
            found.append(clips.encoded([Image.fromarray(f) for f in rounded], ".png", self.fps))
        return found
