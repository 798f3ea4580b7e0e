"""Images in a report: small copies, of few places, of nothing but images."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from PIL import Image

from lushan.report import media
from lushan.report.media import Media


def picture(size=(640, 480), kind="PNG", colour=(10, 200, 30)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run's folder beside the folder one works in."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    place = tmp_path / "runs/1"
    (place / "predictions/files").mkdir(parents=True)
    (place / "predictions/files/a.png").write_bytes(picture())
    return place


def shown(run, report, *paths):
    report.mkdir(exist_ok=True)
    refused = Counter()
    images = Media(report).of_run(run, refused)
    return [images(path) for path in paths], refused


def test_a_small_copy_is_shown(run, tmp_path):
    (tmp_path / "work/photo.jpg").write_bytes(picture(kind="JPEG"))
    paths = ["predictions/files/a.png", "photo.jpg", str(tmp_path / "work/photo.jpg")]
    parts, refused = shown(run, tmp_path / "site", *paths)
    assert [part[0] for part in parts] == ["image"] * 3
    assert parts[1][1] == parts[2][1]  # one content is one file
    assert not refused
    for part in parts:
        with Image.open(tmp_path / "site" / part[1]) as copy:
            assert copy.size == (320, 240)


@pytest.mark.parametrize(
    "path", ["../secret.png", "{tmp}/secret.png", "predictions/files/link.png", "http://x/a.png"]
)
def test_files_elsewhere_are_not(path, run, tmp_path):
    (tmp_path / "secret.png").write_bytes(picture())
    (run / "predictions/files/link.png").symlink_to(tmp_path / "secret.png")
    path = path.format(tmp=tmp_path)
    parts, refused = shown(run, tmp_path / "site", path)
    assert parts == [["text", path]]
    assert refused.total() == 1
    assert not (tmp_path / "site/media").exists()


@pytest.mark.parametrize("content", [b"<svg onload='x'/>", picture()[:200], b"", b"GIF89a"])
def test_what_is_no_image_is_not(content, run, tmp_path):
    (run / "predictions/files/b.png").write_bytes(content)
    parts, refused = shown(run, tmp_path / "site", "predictions/files/b.png")
    assert parts == [["text", "predictions/files/b.png"]]
    assert list(refused) == ["it is not an image, or damaged"]


def test_a_report_holds_so_many(run, tmp_path, monkeypatch):
    monkeypatch.setattr(media, "MOST_IMAGES", 1)
    (run / "predictions/files/b.png").write_bytes(picture(colour=(0, 0, 0)))
    paths = [f"predictions/files/{name}.png" for name in "aba"]
    parts, refused = shown(run, tmp_path / "site", *paths)
    assert [part[0] for part in parts] == ["image", "text", "image"]
    assert list(refused) == ["a report contains at most 1 images"]
