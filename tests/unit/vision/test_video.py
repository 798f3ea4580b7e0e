"""Frames of videos: which are taken, and what is wrong with videos."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.helpers.clips import clip

from lushan.common import extras
from lushan.errors import UserError
from lushan.vision import images, video
from lushan.vision.video import Sampling, frames_of

SHADES = tuple(range(0, 200, 10))  # 2 seconds
pytestmark = pytest.mark.fault(80)


def shades(data: bytes, name: str = "a.mp4", **options: object) -> list[int]:
    """The frames of a video by the nearest of its shades."""
    found = frames_of(data, name, Sampling(**options))
    pixels = [images.decode(png, name).getpixel((5, 5))[0] for png in found]
    return [min(range(20), key=lambda i: abs(SHADES[i] - pixel)) for pixel in pixels]


@pytest.mark.parametrize(
    ("codec", "format"),
    [
        ("mpeg4", "mp4"),
        ("libx264", "mp4"),
        ("libx264", "matroska"),
        ("libvpx-vp9", "webm"),
        ("mpeg4", "avi"),
    ],
)
def test_frames_are_taken_evenly_or_by_time(codec, format):
    data = clip(SHADES, codec=codec, format=format)
    assert shades(data, "", frames=4) == [2, 7, 12, 17]
    assert shades(data, "", frames=1) == [10]
    assert shades(data, "", fps=2) == [0, 5, 10, 15]
    assert shades(data, "", fps=20)[-4:] == [18, 18, 19, 19]
    assert len(shades(data, "", frames=200)) == 20


@pytest.mark.parametrize("format", ["mp4", "matroska"])
def test_a_frame_may_be_shown_for_long(format):
    held = clip(SHADES[:4], format=format, held=600)  # a minute, after three tenths of a second
    assert shades(held, "", fps=0.1) == [0, *[3] * 5]
    assert len(shades(held, "", frames=8)) == 4
    apart = clip(SHADES[:3], format=format, times=[0, 300, 600])
    assert shades(apart, "", frames=3) == [0, 1, 1]


def test_frames_are_scaled_down_and_never_up():
    data = clip(SHADES[:2], size=(640, 320))
    sizes = [
        images.decode(f, "").size
        for side in (128, 900)
        for f in frames_of(data, "", Sampling(frames=1, side=side))
    ]
    assert sizes == [(128, 64), (640, 320)]


def test_a_file_is_decoded_once_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    path.write_bytes(clip(SHADES))
    opened = []
    own = video._frames
    monkeypatch.setattr(video, "_frames", lambda *args: opened.append(1) or own(*args))
    first = frames_of(b"", str(path), Sampling())
    assert frames_of(b"", str(path), Sampling()) is first
    path.write_bytes(clip(SHADES[:5]))
    assert len(frames_of(b"", str(path), Sampling())) == 5
    assert len(opened) == 2


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _overwritten(data: bytes) -> bytes:
    return data[:300] + bytes(len(data) // 2) + data[300 + len(data) // 2 :]


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.mp4", b"", "it is empty"),
        ("a.mp4", images.encoded("red"), "not a video of a known format"),
        (
            "a.mp4",
            b"#EXTM3U\n#EXTINF:10,\nhttp://localhost/a.ts\n",
            "not a video of a known format",
        ),
        ("a.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", "not a video of a known format"),
        ("a.avi", clip(SHADES), "its name ends in .avi"),
        ("a.mp4", _cut(clip(SHADES)), r"damaged|no video stream"),
        ("a.mp4", _overwritten(clip(SHADES, codec="libx264", size=(320, 240))), "damaged"),
        ("a.webm", _cut(clip(SHADES * 3, codec="libvpx-vp9", format="webm")), "it is truncated"),
        ("a.avi", _cut(clip(SHADES * 3, format="avi")), "it is truncated"),
        ("a.mp4", b"\0\0\0\x18ftypmp42" + bytes(200), r"damaged|no video stream"),
        ("a.mkv", b"\x1a\x45\xdf\xa3" + bytes(range(200)), "damaged"),
    ],
    ids=[
        *("empty", "image", "playlist", "concat", "misnamed", "cut", "overwritten"),
        *("cut_webm", "cut_avi", "hollow", "noise"),
    ],
)
def test_what_is_no_whole_video_is_refused_by_its_name(name, data, problem, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError, match=problem) as error:
        frames_of(b"", str(path), Sampling())
    assert str(path) in str(error.value)


@pytest.mark.parametrize("size", ["MOST_FRAMES", "MOST_PIXELS", "MOST_SECONDS", "LARGEST"])
def test_decoding_is_bounded(size, tmp_path, monkeypatch):
    path = tmp_path / f"{size}.mp4"
    path.write_bytes(clip(SHADES))
    monkeypatch.setattr(video, size, 0 if size == "MOST_SECONDS" else 10)
    with pytest.raises(UserError, match=r"more than|the limit is 10"):
        frames_of(b"", str(path), Sampling())


def test_a_video_whose_frames_grow_is_refused_before_they_are_decoded(monkeypatch):
    small, large = (clip(SHADES, size=size, codec="libx264") for size in ((64, 48), (640, 480)))
    monkeypatch.setattr(video, "MOST_PIXELS", 64 * 48)
    assert len(frames_of(small, "", Sampling())) == 8
    with pytest.raises(UserError, match="more than 3,072"):
        frames_of(large, "", Sampling())


def test_too_many_frames_a_second_are_refused():
    with pytest.raises(UserError, match="more than 256"):
        frames_of(clip(SHADES), "", Sampling(fps=1000))


@pytest.mark.parametrize("kind", ["pipe", "folder", "none"])
def test_only_regular_files_are_opened(kind, tmp_path: Path):
    path = tmp_path / "a.mp4"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(UserError, match=r"regular file|No such file"):
        frames_of(b"", str(path), Sampling())


@pytest.mark.parametrize("name", ["http://127.0.0.1/a.mp4", "concat:a.mp4|b.mp4", "file:/a.mp4"])
def test_no_protocol_of_ffmpeg_is_used(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        frames_of(b"", name, Sampling())


def test_without_pyav_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="PyAV") as error:
        frames_of(clip(SHADES), "a.mp4", Sampling())
    assert "lushan[video]" in str(error.value)
