"""Images in a report, in a browser: beside questions, originals, and what other seeds drew."""

from __future__ import annotations

import json

import pytest
from tests.conftest import trained
from tests.helpers.browser import chromium
from tests.unit.report.test_report_browser import choose

COMMON = [
    *("data.limit=8", "data.batch_examples=8", "trainer=cpu", "trainer.precision=32-true"),
    *("trainer.max_epochs=1", "logger=none"),
]
RUNS = {
    "chat": [
        *("data=sample_vqa", "model=llava_tiny", "processor.image.size=16"),
        *("processor.tokenizer.vocab_size=400", "model.config.vision.hidden_size=16"),
        *("model.config.vision.intermediate_size=16", "model.config.text.hidden_size=16"),
        *("model.config.text.intermediate_size=16", "model.config.vision.num_attention_heads=2"),
        *("model.config.text.num_attention_heads=2", "task.max_new_tokens=3"),
    ],
    "image_tokenizer": [
        *("processor.size=16", "model.config.channels=[8,16]", "model.config.blocks=1"),
    ],
    "multimodal_lm": [
        *("model.config.n_embd=32", "model.config.n_layer=1", "processor.vocab_size=300"),
    ],
}
SIDES = "[...document.querySelector('.example').querySelectorAll(':scope > .sides > .side')]"
WHICH = (
    f"{SIDES}.map(s => [s.querySelector('.which').textContent, s.querySelectorAll('img').length])"
)
LOADED = "[...document.querySelectorAll('.example img')].slice(0, 2)"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("shown")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def opened(browser, index):
    """Open a report, and wait until its examples are there."""
    browser.printed.clear()
    browser.open(index)
    browser.do("document.querySelector('#examples').scrollIntoView()")
    browser.until("document.querySelectorAll('#examples option').length > 0")


def chosen(browser, label, beginning):
    """Choose what begins so, and wait until it is drawn."""
    browser.do("document.querySelector('#examples-drawn').firstChild.dataset.old = 'yes'")
    options = "[...document.querySelectorAll('#examples option')]"
    found = f"{options}.find(o => o.textContent.startsWith({json.dumps(beginning)})).value"
    choose(browser, "examples", label, browser.do(found))
    browser.until("document.querySelector('#examples [data-old]') === null")


@pytest.mark.slow(20)
def test_images_stand_beside_what_they_belong_to(place, browser, cli_inside):
    runs = [
        trained(place / task, f"task={task}", f"name={task}", *given, small=COMMON)
        for task, given in RUNS.items()
    ]
    done = cli_inside("report", *runs, "-o", place / "site")
    assert done.code == 0, done.err
    opened(browser, place / "site" / "index.html")
    seen = {}
    for number, task in enumerate(RUNS):
        if number:  # the first is there
            chosen(browser, "Run", task)
        browser.until(f"{LOADED}.length && {LOADED}.every(i => i.naturalWidth > 0)")
        seen[task] = dict(browser.do(WHICH))
    assert browser.printed == []
    assert seen["chat"]["messages"] == 1
    assert (seen["chat"]["gold"], seen["chat"]["predicted"]) == (0, 0)
    assert (seen["image_tokenizer"]["gold"], seen["image_tokenizer"]["predicted"]) == (1, 1)
    assert (seen["multimodal_lm"]["gold"], seen["multimodal_lm"]["predicted"]) == (1, 1)
    assert seen["multimodal_lm"]["text"] == 0


@pytest.mark.slow(20)
def test_drawings_of_several_seeds_stand_side_by_side(place, browser, cli_inside):
    given = ["task=multimodal_lm", "name=drawn", *RUNS["multimodal_lm"]]
    runs = [trained(place, *given, f"seed={seed}", small=COMMON) for seed in (1, 2, 3)]
    done = cli_inside("report", *runs, "-o", place / "seeds")
    assert done.code == 0, done.err
    opened(browser, place / "seeds" / "index.html")
    assert browser.do("document.querySelectorAll('.others').length") == 0
    chosen(browser, "Beside", "what all runs")
    grid = "document.querySelector('.example .others')"
    images = f"[...{grid}.querySelectorAll('img')]"
    browser.until(f"{images}.length === 2 && {images}.every(i => i.naturalWidth > 0)")
    captions = browser.do(f"[...{grid}.querySelectorAll('figcaption')].map(c => c.textContent)")
    assert [caption[-6:] for caption in captions] == ["seed 2", "seed 3"]
    assert len({*browser.do(f"{images}.map(i => i.src)")}) == 2
    assert browser.printed == []
