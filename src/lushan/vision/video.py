"""Frames of videos, as encoded images: sampled evenly or by time, within bounds.

Files are opened by Python and never by FFmpeg, which gets no name: it can open no address, playlist
or other file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import itertools
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, NamedTuple

from lushan.common import extras
from lushan.configurable import Within
from lushan.errors import UserError, first_line
from lushan.vision import images

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from PIL.Image import Image as Picture

MOST_PIXELS = 4096 * 4096
"""Pixels of a frame; a small file can hold many more."""
MOST_FRAMES = 500_000
"""Frames of a video, read or not: some four hours."""
MOST_TAKEN = 256
"""Frames that are taken of a video."""
MOST_SECONDS = 120.0
"""CPU seconds that a video may take."""
LARGEST = 2 << 30
"""Bytes of the largest file of a video."""
MOST_MISSING = 0.05
"""Share of a video that may be missing at its end: durations are rounded."""
_FORMATS = {
    "mov": (".mp4", ".m4v", ".mov"),
    "matroska": (".mkv", ".webm"),
    "avi": (".avi",),
}
"""Formats that are read, by FFmpeg's names, and the endings of their files."""
_CODECS = "h264,hevc,vp8,vp9,av1,libdav1d,mpeg1video,mpeg2video,mpeg4,mjpeg,theora,ffv1,prores"
_KEPT = 64
"""Videos whose frames a process keeps: a video is often asked several questions."""
ENDINGS = tuple(ending for endings in _FORMATS.values() for ending in endings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which frames of a video are read.

    Args:
        frames: How many, in the middle of as many equal parts; all of a video that has fewer.
        fps: Frames of a second that are read instead, from the beginning.
        side: Pixels of the longer side, to which larger frames are scaled down.
    """

    frames: Annotated[int, Within(least=1, most=MOST_TAKEN)] = 8
    fps: Annotated[float, Within(above=0)] | None = None
    side: Annotated[int, Within(least=8)] = 512

    def times(self, start: float, end: float, count: int) -> list[float]:
        """Return when the frames are shown that are read, in seconds.

        Args:
            start: When the first frame of the video is shown.
            end: When its last frame ends.
            count: Its number of frames.

        Raises:
            ValueError: They are too many.
        """
        length = end - start
        if self.fps is None:
            number = min(self.frames, count)
            return [start + (i + 0.5) * length / number for i in range(number)]
        number = max(1, round(length * self.fps))
        if number > MOST_TAKEN:
            raise ValueError(
                f"{self.fps:g} frames of each of its {length:,.0f} seconds are more than "
                f"{MOST_TAKEN}"
            )
        return [start + i / self.fps for i in range(number)]


def require_extra() -> None:
    """Refuse videos where PyAV is not installed."""
    extras.require("video", "av", what="a video (read with PyAV)", key="data")


def frames_of(data: bytes, path: str, sampling: Sampling) -> tuple[bytes, ...]:
    """Return frames of a video as PNG.

    Args:
        data: The video; empty where it is a file.
        path: The file, or the name of the video for errors.
        sampling: Which frames.

    Raises:
        UserError: PyAV is not installed; or it is no video, damaged, cut off, too long or too
            large, or of another format than its name says.
    """
    require_extra()
    if data:
        return tuple(_frames(io.BytesIO(data), path, sampling))
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            raise _bad(path, "it is not a regular file")
        if found.st_size > LARGEST:
            raise _bad(path, f"it has {found.st_size:,} bytes, but the limit is {LARGEST:,}")
        return _of_file(path, found.st_size, found.st_mtime_ns, sampling)
    except OSError as error:
        raise _bad(path, error.strerror or str(error)) from error


@functools.lru_cache(maxsize=_KEPT)
def _of_file(path: str, size: int, changed: int, sampling: Sampling) -> tuple[bytes, ...]:
    del size, changed  # a file that was changed is another one
    with Path(path).open("rb") as file:
        return tuple(_frames(file, path, sampling))


def _frames(file: IO[bytes], name: str, sampling: Sampling) -> Iterator[bytes]:
    import av

    clock = _Clock()
    try:
        kind = _format_of(file, name)
        extent = _extent(file, kind, clock)
        wanted = sampling.times(extent.start, extent.end, extent.frames)
        for picture in _pictures(file, kind, wanted, extent, clock):
            picture.thumbnail((sampling.side, sampling.side))
            yield images.png(picture)
    except av.error.FFmpegError as error:
        raise _bad(name, f"it is damaged: {error.strerror}") from error
    except (ValueError, MemoryError, RuntimeError) as error:
        raise _bad(name, first_line(error)) from error


def _bad(name: str, problem: str) -> UserError:
    return UserError(
        f"the video {name or 'of a message'} cannot be read: {problem}",
        key="data",
        hint=f"Replace or remove it. Supported: {', '.join(ENDINGS)}, up to {MOST_PIXELS:,} pixels "
        f"a frame, in up to {MOST_SECONDS:.0f} CPU seconds.",
    )


class _Clock:
    """Ends what takes too long."""

    def __init__(self) -> None:
        self._end = time.process_time() + MOST_SECONDS

    def check(self) -> None:
        """Raise ValueError where time is up."""
        if time.process_time() > self._end:
            raise ValueError(f"reading takes more than {MOST_SECONDS:.0f} seconds")


def _format_of(file: IO[bytes], name: str) -> str:
    """Return FFmpeg's name of the format of a file.

    Raises:
        ValueError: It is none that is read, or not that of the file's name.
    """
    start = file.read(12)
    if not start:
        raise ValueError("it is empty")
    found = None
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        found = "mov"
    elif start[:4] == b"\x1a\x45\xdf\xa3":
        found = "matroska"
    elif start[:4] == b"RIFF" and start[8:] == b"AVI ":
        found = "avi"
    if found is None:
        raise ValueError("it is not a video of a known format")
    ending = Path(name).suffix.lower()
    if ending in ENDINGS and ending not in _FORMATS[found]:
        raise ValueError(
            f"its name ends in {ending}, but its format is one of {', '.join(_FORMATS[found])}"
        )
    return found


@contextlib.contextmanager
def _opened(file: IO[bytes], kind: str) -> Iterator[InputContainer]:
    import av

    file.seek(0)
    options = {
        "max_pixels": str(MOST_PIXELS),
        "protocol_whitelist": "none",
        "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi",
        "codec_whitelist": _CODECS,
    }
    with av.open(file, "r", format=kind, options=options, io_open=_refuse) as container:
        if not container.streams.video:
            raise ValueError("it has no video stream")
        context = container.streams.video[0].codec_context
        if context is None or context.name not in _CODECS.split(","):
            raise ValueError(f"its codec {getattr(context, 'name', '')} is not supported")
        if not 0 < context.width * context.height <= MOST_PIXELS:
            size = f"{context.width:,} x {context.height:,}"
            raise ValueError(f"its frames have {size} pixels, or more than {MOST_PIXELS:,}")
        context.options = {"max_pixels": str(MOST_PIXELS), "err_detect": "explode"}
        context.thread_count = 1  # each thread would hold frames of its own
        yield container


def _refuse(url: str, flags: int, options: object) -> Any:
    del flags, options
    raise ValueError(f"it refers to another file: {url}")


class _Extent(NamedTuple):
    """When the first and the last frame are shown and when that ends, in seconds; how many."""

    start: float
    last: float
    end: float
    frames: int


def _extent(file: IO[bytes], kind: str, clock: _Clock) -> _Extent:
    """Return the extent of a video, of which nothing is decoded."""
    with _opened(file, kind) as container:
        stream = container.streams.video[0]
        unit = float(stream.time_base or 0)
        times: list[float] = []
        end = 0.0
        for packet in container.demux(stream):
            clock.check()
            if len(times) > MOST_FRAMES:
                raise ValueError(f"it has more than {MOST_FRAMES:,} frames")
            stamp = packet.dts if packet.pts is None else packet.pts
            if packet.size and stamp is not None:
                times.append(stamp * unit)
                # A still one may be shown for long, as in recordings of a screen.
                end = max(end, (stamp + (packet.duration or 0)) * unit)
        if not times:
            raise ValueError("it has no frames")
        start, last = min(times), max(times)
        if end <= last:
            end = last + ((last - start) / (len(times) - 1) if len(times) > 1 else 1.0)
        stated = float(stream.duration * unit if stream.duration else 0)
        if not stated and len(container.streams) == 1:  # Matroska states that of the file alone
            stated = (container.duration or 0) / 1e6
        _require_whole(end - start, stated)
        return _Extent(start, last, end, len(times))


def _require_whole(found: float, stated: float) -> None:
    if found < stated * (1 - MOST_MISSING) - 0.5:
        raise ValueError(f"it is truncated after {found:.1f} of {stated:.1f} seconds")


def _pictures(
    file: IO[bytes], kind: str, wanted: list[float], extent: _Extent, clock: _Clock
) -> Iterator[Picture]:
    """Yield what is shown at each of some times."""
    left, shown, number = iter(wanted), None, 0
    target = next(left, None)
    with _opened(file, kind) as container:
        for frame in container.decode(container.streams.video[0]):
            clock.check()
            number += 1
            if number > MOST_FRAMES:
                raise ValueError(f"it has more than {MOST_FRAMES:,} frames")
            while target is not None and shown is not None and (frame.time or 0) > target:
                yield _upright(shown)
                target = next(left, None)
            shown = frame
            if target is None:
                return
    if shown is None or target is None:
        raise ValueError("none of its frames can be decoded")
    rest = [target, *left]
    _require_whole((shown.time or 0) - extent.start, extent.last - extent.start)
    yield from itertools.repeat(_upright(shown), len(rest))


def _upright(frame: VideoFrame) -> Picture:
    picture: Any = frame.to_image()  # type: ignore[no-untyped-call]
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
