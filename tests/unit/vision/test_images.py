"""Images as they are decoded, and as they are changed when they are drawn."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from lushan.errors import UserError
from lushan.vision import images, processors
from lushan.vision.augment import Augment


def saved(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
def test_any_mode_and_format_is_rgb(mode, kind):
    picture = Image.new("RGB", (9, 5), (255, 255, 255)).convert(mode)
    if mode == "P" and kind in ("WEBP", "JPEG"):
        picture = picture.convert("RGB")
    found = images.decode(saved(picture.convert("RGB") if kind == "JPEG" else picture, kind), "x")
    assert (found.mode, found.size) == ("RGB", (9, 5))
    assert pixels(found).min() > 250


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white_whatever_lies_under_it(mode):
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    picture.putpixel((0, 0), (0, 0, 0, 255))
    data = saved(picture.quantize() if mode == "P" else picture.convert(mode))
    found = pixels(images.decode(data, "x"))
    assert found[0, 0].max() < 5
    assert found[1:].min() == 255


def test_a_picture_taken_sideways_stands_upright():
    picture = Image.new("RGB", (8, 4), "black")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert images.decode(saved(picture, "JPEG", exif=exif), "x").size == (4, 8)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an image",
        saved(Image.new("RGB", (64, 64), "red"))[:60],
        saved(images.noise(1), "JPEG")[:400],
        b"GIF89a" + bytes(40),
    ],
    ids=["nothing", "text", "cut PNG", "cut JPEG", "GIF of zeros"],
)
def test_what_is_no_image_is_refused_by_its_name(data):
    with pytest.raises(UserError, match=r"the image cat\.png cannot be read"):
        images.decode(data, "cat.png")


@pytest.mark.slow(1)
def test_a_small_file_of_very_many_pixels_is_refused():
    data = saved(Image.new("1", (20_000, 20_000)))
    assert len(data) < 100_000
    with pytest.raises(UserError, match="pixels"):
        images.decode(data, "bomb.png")


def test_nothing_is_changed_where_nothing_is_asked_for():
    picture = images.noise(3)
    plain = Augment(crop=1, mirror=0, rotate=0, color=0)
    assert (pixels(plain(picture, np.random.default_rng(1))) == pixels(picture)).all()


@pytest.mark.parametrize("more", [{}, {"rotate": 20.0}, {"mirror": 1.0}])
def test_changes_follow_from_the_generator_alone(more):
    picture, augment = images.noise(3), Augment(**more)
    once, again, other = (
        pixels(augment(picture, np.random.default_rng(seed)).resize((32, 32))) for seed in (1, 1, 2)
    )
    assert (once == again).all()
    assert (once != other).any()


def test_a_mirrored_image_is_the_image_read_from_the_right():
    picture = images.noise(5)
    augment = Augment(crop=1, mirror=1, rotate=0, color=0)
    found = pixels(augment(picture, np.random.default_rng(0)))
    assert (found == pixels(picture)[:, ::-1]).all()


def test_crops_keep_their_share_and_their_proportions():
    picture, augment = Image.new("RGB", (200, 100)), Augment(crop=0.3, ratio=1.5, mirror=0, color=0)
    for seed in range(200):
        width, height = augment(picture, np.random.default_rng(seed)).size
        assert 0.29 * 20_000 <= width * height <= 20_000
        assert 1 / 1.52 <= (width / height) / 2 <= 1.52


def _animated() -> bytes:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.new("RGB", (8, 4), "black"), "JPEG", exif=exif)


GRAY = np.full((4, 4), 0x7F00, np.uint16)


@pytest.mark.parametrize(
    ("data", "name", "repair"),
    [
        (_animated(), "x.gif", images.SEVERAL),
        (saved(Image.new("RGBA", (4, 4), (255, 0, 0, 9))), "x.png", images.TRANSPARENT),
        (saved(Image.new("CMYK", (4, 4)), "JPEG"), "x.jpg", images.CMYK),
        (saved(Image.fromarray(GRAY)), "x.png", images.DEEP),
        (saved(Image.fromarray(GRAY), "TIFF"), "x.tif", images.DEEP),
        (_turned(), "x.jpeg", images.TURNED),
        (saved(Image.new("RGB", (4, 4)), "JPEG"), "x.png", images.MISNAMED),
    ],
)
def test_what_is_changed_to_read_an_image_is_counted(data, name, repair):
    found: Counter[str] = Counter()
    images.decode(data, name, found)
    assert found == {repair: 1}


def test_an_ordinary_image_is_not_changed():
    found: Counter[str] = Counter()
    images.decode(saved(Image.new("RGB", (4, 4))), "x.PNG", found)
    images.decode(saved(Image.new("RGB", (4, 4))), "of example 3", found)
    assert not found


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_scaled_and_not_cut_off(kind):
    found = pixels(images.decode(saved(Image.fromarray(GRAY), kind), "x"))
    assert (found == 0x7F).all()


def test_pixels_of_no_known_range_are_refused():
    with pytest.raises(UserError, match="with an unknown range"):
        images.decode(saved(Image.fromarray(GRAY.astype(np.float32)), "TIFF"), "x")


@pytest.mark.parametrize("resample", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_images_are_scaled_as_by_the_processor_itself(resample):
    read = processors.fresh(24, mean=(0.1, 0.4, 0.5), std=(0.2, 0.3, 0.5), resample=resample)
    pictures = [images.noise(seed) for seed in range(3)]
    assert processors._only_scales(read)
    found = processors.pixels_of(read, pictures)
    assert np.array_equal(found, read(images=pictures, return_tensors="np")["pixel_values"])
    read.do_center_crop = True
    assert not processors._only_scales(read)
