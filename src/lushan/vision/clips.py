"""Short videos as lists of frames: read from videos and animated images, and written as either."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.errors import UserError
from lushan.vision import images, video
from lushan.vision.video import MOST_TAKEN, Sampling

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

ENDINGS = (".png", ".gif", ".webp", ".mp4")
"""Endings of files that are written. PNG is animated, and loses nothing as WebP does not."""
ANIMATED = ("PNG", "GIF", "WEBP")
"""Formats of animated images, by Pillow's names."""
MOST_STEPS = 2000
"""Frames of an animated image that is read."""
MOST_PIXELS = 400_000_000
"""Pixels of all its frames together."""
SHOWN = 16
"""Frames of a thumbnail."""
_BEGINNINGS = (b"\x89PNG", b"GIF8", b"RIFF")


def frames_of(data: bytes, path: str, sampling: Sampling) -> list[Picture]:
    """Return frames of a video, or of an animated image, as images in RGB.

    Args:
        data: Its content; empty where it is a file.
        path: The file, or a name for errors.
        sampling: Which frames.

    Raises:
        UserError: It is neither, or cannot be read; see `video.frames_of`.
    """
    start = data[:12] or _start_of(path)
    if start[:4] in _BEGINNINGS and not is_video(start):
        return _of_animation(data or images.read_bytes(path), path, sampling)
    return [images.decode(frame, path) for frame in video.frames_of(data, path, sampling)]


def is_video(data: bytes) -> bool:
    """Return whether bytes begin as a video that PyAV reads, which is no image."""
    return data[4:8] == b"ftyp" or data[:4] == b"\x1a\x45\xdf\xa3" or data[8:12] == b"AVI "


def exactly(data: bytes, path: str, count: int) -> list[Picture]:
    """Return so many frames of a video, evenly sampled.

    Raises:
        UserError: It has fewer, or cannot be read; see `frames_of`.
    """
    found = frames_of(data, path, Sampling(frames=count))
    if len(found) < count:
        raise UserError(
            f"the video {path} has {len(found)} frames, but {count} are required",
            key="task.frames",
            value=count,
            hint="Write a smaller number, or remove the video.",
        )
    return found


def _start_of(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(12)
    except OSError:  # which `video.frames_of` reports
        return b""


def _of_animation(data: bytes, name: str, sampling: Sampling) -> list[Picture]:
    """Return frames of an animated image; of another one, the one that it has."""
    from PIL import Image

    images.decode(data, name)  # refuses what is damaged or too large
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(io.BytesIO(data), formats=ANIMATED) as picture,
        ):
            starts, end, count = _times(picture)
            wanted = sampling.times(0, end, count)
            places = [max(i for i, at in enumerate(starts) if at <= time) for time in wanted]
            return [_frame(picture, place, sampling.side) for place in places]
    except UserError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them
        raise UserError(
            f"the video {name} cannot be read: {error or type(error).__name__}",
            key="data",
            hint="Replace or remove it.",
        ) from error


def _times(picture: Any) -> tuple[list[float], float, int]:
    """Return when each frame begins, when the last one ends, in seconds, and how many there are.

    Frames that are equal are kept as one that lasts longer: so many are there at one rate.
    """
    count = int(getattr(picture, "n_frames", 1))
    if count > MOST_STEPS:
        raise ValueError(f"it has {count:,} frames, but the limit is {MOST_STEPS:,}")
    if (pixels := count * picture.width * picture.height) > MOST_PIXELS:
        raise ValueError(f"its frames have {pixels:,} pixels, but the limit is {MOST_PIXELS:,}")
    starts: list[float] = []
    lasts: list[float] = []
    for place in range(count):
        picture.seek(place)
        picture.load()  # of WebP, nothing else says how long a frame lasts
        starts.append(sum(lasts) / 1000)
        lasts.append(max(1.0, float(picture.info.get("duration", 100))))
    return starts, sum(lasts) / 1000, round(sum(lasts) / min(lasts))


def _frame(picture: Any, place: int, side: int) -> Picture:
    picture.seek(place)
    # As a still image, so that it is upright and on white as any other.
    sink = io.BytesIO()
    picture.convert("RGBA").save(sink, "PNG", compress_level=0)
    found = images.decode(sink.getvalue(), "")
    found.thumbnail((side, side))
    return found


def encoded(
    frames: Sequence[Picture], ending: str = ".png", fps: float = 4.0, *, level: int = 6
) -> bytes:
    """Return frames as a video or an animated image that repeats.

    Args:
        frames: Images in RGB of one size.
        ending: Of its file; one of the `ENDINGS`.
        fps: Frames of a second.
        level: Of the compression of PNG; 0 is none, which gives the same bytes everywhere.

    Raises:
        UserError: PyAV is not installed, which writes MP4.
    """
    if ending == ".mp4":
        return _as_mp4(frames, fps)
    sink = io.BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": list(frames[1:]), "loop": 0}
    options["duration"] = round(1000 / fps)
    if ending == ".png":
        options |= {"compress_level": level, "default_image": False, "blend": 0, "disposal": 0}
    if ending == ".webp":
        options |= {"lossless": True}
    frames[0].save(sink, {".png": "PNG", ".gif": "GIF", ".webp": "WEBP"}[ending], **options)
    return sink.getvalue()


def thumbnail(data: bytes, side: int) -> bytes:
    """Return a small animated PNG of a video or an animated image.

    Raises:
        UserError: It cannot be read.
    """
    return encoded(frames_of(data, "", Sampling(frames=SHOWN, side=side)))


def flashing(color: str) -> bytes:
    """Return a small video that is white, of a colour, and white again."""
    from PIL import Image

    return encoded([Image.new("RGB", (8, 8), each) for each in ("white", color, "white")])


def converted(data: bytes, ending: str) -> bytes:
    """Return an animated PNG in the format of another ending, as fast as it was."""
    from PIL import Image

    if ending == ".png":
        return data
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        _, end, count = _times(picture)
    frames = _of_animation(data, "", Sampling(frames=MOST_TAKEN))
    return encoded(frames, ending, count / end)


def _as_mp4(frames: Sequence[Picture], fps: float) -> bytes:
    """Return frames as H.264, where that is there, or MPEG-4; both have even sides."""
    from fractions import Fraction

    video.require_extra()
    import av

    frame_of: Any = av.VideoFrame
    width, height = (size + size % 2 for size in frames[0].size)
    name = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream: Any = container.add_stream(name, rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            even = frame if frame.size == (width, height) else frame.resize((width, height))
            container.mux(stream.encode(frame_of.from_image(even)))
        container.mux(stream.encode(None))
    return sink.getvalue()
