"""Short videos, made by PyAV."""

from __future__ import annotations

import io
from collections.abc import Sequence

import av
import numpy as np


def clip(
    shades: Sequence[int],
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "mpeg4",
    format: str = "mp4",
    rate: int = 10,
) -> bytes:
    """Return a video of one colour a frame.

    Args:
        shades: The red of each frame, 0 to 255.
        size: Width and height.
        codec: Of FFmpeg.
        format: Likewise.
        rate: Frames of a second.
    """
    sink = io.BytesIO()
    with av.open(sink, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for shade in shades:
            pixels = np.full((size[1], size[0], 3), (shade, 0, 0), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return sink.getvalue()
