"""Short videos: written and read again, from videos and animated images, and refused."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from tests.helpers.clips import clip

from lushan.callbacks.destinations import content
from lushan.data.media_fields import Video
from lushan.data.raw_columns import Columns
from lushan.data.references import ending, video_of_data_url
from lushan.errors import UserError
from lushan.report.media import _thumbnail
from lushan.vision import clips
from lushan.vision.video import Sampling

REDS = [0, 60, 120, 120, 250]


def frames():
    return [Image.new("RGB", (16, 10), (red, 0, 0)) for red in REDS]


def reds(pictures):
    return [picture.getpixel((5, 5))[0] for picture in pictures]


@pytest.mark.parametrize("name", clips.ENDINGS)
def test_what_is_written_is_read_again(name):
    near = pytest.approx(REDS, abs=4 if name == ".mp4" else 0)
    data = clips.encoded(frames(), name, 5)
    assert reds(clips.exactly(data, f"a{name}", 5)) == near
    # Two frames that are equal may be kept as one that lasts longer.
    other = clips.converted(clips.encoded(frames(), ".png", 5), name)
    assert reds(clips.exactly(other, f"a{name}", 5)) == near


def test_frames_are_sampled_evenly_and_made_small(tmp_path):
    (tmp_path / "a.mp4").write_bytes(clip(range(0, 240, 10)))
    found = clips.frames_of(b"", str(tmp_path / "a.mp4"), Sampling(frames=3, side=32))
    assert reds(found) == pytest.approx([40, 120, 200], abs=12)
    assert found[0].size == (32, 24)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"GIF89a damaged", "cannot be read"),
        (clips.encoded(frames())[:-60], "cannot be read"),
        (b"no video at all", "not a video of a known format"),
        (clips.encoded(frames()[:2]), "has 2 frames, but 3 are required"),
    ],
)
def test_what_is_no_such_video_is_refused_with_its_name(data, message, tmp_path):
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(UserError, match=message) as refused:
        clips.exactly(b"", str(tmp_path / "a.bin"), 3)
    assert "a.bin" in str(refused.value)


def test_too_many_pixels_are_not_read(monkeypatch):
    data = clips.encoded(frames())
    monkeypatch.setattr(clips, "MOST_PIXELS", 300)
    with pytest.raises(UserError, match="its frames have"):
        clips.frames_of(data, "a.png", Sampling())


def test_a_column_of_videos_is_read_as_one_of_images(tmp_path):
    field = Video()
    data = clip([0, 100, 200])
    columns = Columns({"video": [data, {"bytes": data, "path": "x"}]}, [1, 2], "rows.jsonl")
    found = field.read(columns, "video").to_pylist()
    assert [value["bytes"] == data for value in found] == [True, True]
    assert field.key(found[0]) == field.key(found[1])
    with pytest.raises(UserError, match="the video is missing") as refused:
        field.read(Columns({"video": [data, None]}, [1, 7], "rows.jsonl"), "video")
    assert refused.value.line == 7


@pytest.mark.parametrize("name", clips.ENDINGS)
def test_a_request_holds_a_video(name):
    import base64

    data = clips.encoded(frames(), name)
    kind = "video" if name == ".mp4" else "image"
    url = f"data:{kind}/{name[1:]};base64,{base64.b64encode(data).decode()}"
    assert video_of_data_url(url) == data
    assert ending(data) == name[1:]
    with pytest.raises(UserError):
        video_of_data_url(url[:-400])
    with pytest.raises(UserError, match="data URL"):
        video_of_data_url("a.mp4")


@pytest.mark.parametrize("name", [".gif", ".mp4"])
def test_a_report_shows_it_moving(name):
    large = [frame.resize((400, 250)) for frame in frames()]
    small, kind = _thumbnail(clips.encoded(large, name))
    shown = Image.open(io.BytesIO(small))
    assert (kind, shown.size, shown.is_animated) == ("png", (320, 200), True)


def test_a_tracker_gets_some_frames_of_a_video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").write_bytes(clips.encoded(frames(), ".mp4"))
    (tmp_path / "b.mp4").write_bytes(clips.encoded(frames(), ".mp4")[:40])
    sent = content._read(tmp_path / "run", "a.mp4")
    assert Image.open(io.BytesIO(sent)).is_animated
    assert content._read(tmp_path / "run", "b.mp4") is None
