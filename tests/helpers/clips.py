"""Short videos, made by PyAV."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np


def clip(
    shades: Sequence[int],
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "mpeg4",
    format: str = "mp4",
    rate: int = 10,
    times: Sequence[int] | None = None,
    held: int | None = None,
) -> bytes:
    """Return a video of one colour a frame.

    Args:
        shades: The red of each frame, 0 to 255.
        size: Width and height.
        codec: Of FFmpeg.
        format: Likewise.
        rate: Frames of a second.
        times: When each is shown, in frames; one after the other if not given.
        held: For how long the last one is shown, likewise.
    """
    sink = io.BytesIO()
    with av.open(sink, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        packets = []
        for shade, time in zip(shades, times or range(len(shades)), strict=True):
            pixels = np.full((size[1], size[0], 3), (shade, 0, 0), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, rate)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if held is not None:
            packets[-1].duration = held
        container.mux(packets)
    return sink.getvalue()
