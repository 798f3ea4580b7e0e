"""The picture of a report that stands in README.md: two checks of it on a desktop, one on a phone.

    python scripts/report_picture.py site/index.html docs/report.png

Needs Chromium, and the environment of the tests.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.helpers.browser import Browser, chromium

SIZE = (1200, 1010)
GROUND = (214, 222, 227)
TOP, BELOW, PHONE = (1180, 818), (1180, 588), (390, 1108)
READ = """
for (const figure of document.querySelectorAll("#curves svg[tabindex]"))
  for (let i = 0; i < 6; i++)
    figure.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
"""


def shot(browser: Browser, page: Path, size: tuple[int, int], at: str, dark: bool) -> Image.Image:
    """What is seen of a page with a section at the top."""
    browser.open(page, width=size[0], height=size[1], dark=dark)
    browser.do("document.getElementById('examples').scrollIntoView({behavior: 'instant'})")
    browser.until("document.querySelectorAll('.example').length > 0")
    time.sleep(0.5)  # figures are drawn when their width is known
    browser.do(READ)
    if at != "body > header":
        browser.do("document.querySelector('nav').hidden = true")
    top = f"document.querySelector({at!r}).getBoundingClientRect().top"
    browser.do(f"window.scrollBy({{top: {top} - 22, behavior: 'instant'}})")
    time.sleep(0.2)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shot.png"
        browser.picture(file)
        return Image.open(io.BytesIO(file.read_bytes())).convert("RGB")


def placed(canvas: Image.Image, image: Image.Image, at: tuple[int, int], width: int) -> None:
    """Put an image on the canvas: round at the corners, with a shadow."""
    image = image.resize((width, image.height * width // image.width), Image.Resampling.LANCZOS)
    mask = Image.new("L", (4 * image.width, 4 * image.height), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *mask.size), 64, fill=255)
    mask = mask.resize(image.size, Image.Resampling.LANCZOS)
    shadow = Image.new("L", canvas.size, 0)
    box = (at[0], at[1] + 8, at[0] + image.width, at[1] + 8 + image.height)
    ImageDraw.Draw(shadow).rounded_rectangle(box, 16, fill=90)
    canvas.paste((40, 52, 60), mask=shadow.filter(ImageFilter.GaussianBlur(14)))
    canvas.paste(image, at, mask)


def main() -> None:
    """Take the pictures, and write them as one."""
    page, output = (Path(argument).resolve() for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        top = shot(browser, page, TOP, "body > header", dark=False)
        curves = shot(browser, page, BELOW, "#curves h2", dark=False)
        errors = shot(browser, page, PHONE, "#examples-count", dark=True)
    canvas = Image.new("RGB", SIZE, GROUND)
    placed(canvas, top, (32, 32), 778)
    placed(canvas, curves, (32, 599), 778)
    placed(canvas, errors, (838, 32), 330)
    # By octree: the few coloured lines keep their colours, which a median cut gives to the grey.
    canvas.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        output, optimize=True
    )


if __name__ == "__main__":
    main()
