"""A report in a real browser: it loads without a complaint, sorts, filters, draws, shows errors."""

from __future__ import annotations

import functools
import http.server
import json
import random
import threading

import pytest
from tests.helpers.browser import chromium
from tests.helpers.runs import curve, finished, labelled, tagged

from lushan.report import site
from lushan.report.groups import of_folders

EVIL = "</script><img src=x onerror=\"document.title='evil'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Tags of two heads over three seeds, labels, and texts that want to be more than text."""
    place = tmp_path_factory.mktemp("report")
    draw = random.Random(0)
    for head in ("linear", "crf"):
        for seed in (1, 2, 3):
            rows = []
            for i in range(100):
                wrong = draw.random() < 0.3
                rows.append(
                    (
                        f"Anna saw New York {i}",
                        "B-PER O B-LOC I-LOC O",
                        f"B-PER O B-{'ORG' if wrong else 'LOC'} O O"
                        if wrong
                        else "B-PER O B-LOC I-LOC O",
                    )
                )
            rows.append(("李 白 在 庐 山", "B-PER I-PER O B-LOC I-LOC", "B-PER I-PER O B-LOC O"))
            rows.append((f"{EVIL.replace(' ', '_')} here", "B-PER O", "O O"))
            value = {"linear": 0.5, "crf": 0.7}[head] + seed / 100
            run = finished(
                place / "runs",
                {"name": "tags", "seed": seed, "task": {"head": head}},
                {"test/entity_f1": value, "test/loss": 1 / seed},
                tagged(*rows),
            )
            curve(run, "val/entity_f1", [value / 2, value / 1.5, value])
    records = labelled(["good", EVIL, "good"], ["good", "good", EVIL])
    for record, text in zip(records, ("fine", EVIL, "明月几时有"), strict=True):
        record["text"] = text
        record["probabilities"] = {"good": 0.6, EVIL: 0.4}
    finished(place / "runs", {"name": "labels", "note": EVIL}, {"test/accuracy": 1 / 3}, records)
    made = of_folders([place / "runs"], EVIL)
    return site.write(made, place / "site").index


def column(browser, number):
    """The visible texts of a column of the table of runs."""
    rows = "[...document.querySelectorAll('#runs-table > tbody > tr')].filter(row => !row.hidden)"
    return browser.do(f"{rows}.map(row => row.cells[{number}].textContent)")


def choose(browser, section, label, value):
    """Set one of the choices of a section, as a person would."""
    done = browser.do(
        f"""(() => {{
          const fields = [...document.querySelectorAll('#{section} label.field')];
          const box = fields.find(f => f.firstChild.textContent === {json.dumps(label)}).lastChild;
          box.value = {json.dumps(value)};
          box.dispatchEvent(new Event('change'));
          return box.value;
        }})()"""
    )
    assert done == value


def typed(browser, id_, text):
    browser.do(
        f"""(() => {{
          const box = document.getElementById({id_!r});
          box.value = {json.dumps(text)};
          box.dispatchEvent(new Event('input'));
        }})()"""
    )


@pytest.mark.slow
def test_a_report_in_a_browser(browser, page):
    browser.printed.clear()
    browser.open(page)
    # Every section that has something is there, and links lead to these alone.
    there = browser.do(
        "[...document.querySelectorAll('section')].filter(s => !s.hidden).map(s => s.id)"
    )
    assert there[:5] == ["tables", "runs", "curves", "seeds", "classes"]
    assert there[5:] == ["probabilities", "examples", "configs"]
    links = browser.do("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))")
    assert links == there

    # The table of runs sorts by number, both ways, and says so.
    heads = browser.do(
        "[...document.querySelectorAll('#runs-table thead th')].map(h => h.textContent)"
    )
    f1 = heads.index("test/entity_f1, %")
    click = (
        f"document.querySelectorAll('#runs-table thead th')[{f1}].querySelector('button').click()"
    )
    browser.do(click)
    up = column(browser, f1)
    assert up == [
        "51.00",
        "52.00",
        "53.00",
        "71.00",
        "72.00",
        "73.00",
        "–",
    ]  # what is not there is last
    browser.do(click)
    assert column(browser, f1) == ["73.00", "72.00", "71.00", "53.00", "52.00", "51.00", "–"]
    sorts = "[...document.querySelectorAll('#runs-table th')].map(h => h.ariaSort).filter(Boolean)"
    assert browser.do(sorts).count("descending") == 1

    # It filters by words, and a run shows more of itself.
    typed(browser, "runs-filter", "crf tags")
    assert column(browser, f1) == ["73.00", "72.00", "71.00"]
    assert browser.do("document.getElementById('runs-count').textContent") == "3 of 7 runs shown"
    browser.do("document.querySelector('#runs-table tbody tr button').click()")
    assert "test/loss" in browser.do("document.querySelector('.unfolded').textContent")
    typed(browser, "runs-filter", "")
    assert len(column(browser, 0)) == 8

    # Two lines with bands, a row of seeds for each group, and a table that sorts below.
    choose(browser, "curves", "Experiment", "tags")
    assert browser.until("document.querySelectorAll('#curves path.line').length === 2")
    assert browser.do("document.querySelectorAll('#curves path.band').length") == 2
    assert browser.until("document.querySelectorAll('#seeds path.dot').length === 6")
    browser.do("document.querySelector('#curves .chip').click()")
    assert browser.until("document.querySelectorAll('#curves path.line').length === 1")
    assert browser.until("document.querySelectorAll('#seeds path.dot').length === 3")
    browser.do("document.querySelector('#curves .chip').click()")
    browser.until("document.querySelector('#curves svg[tabindex]') !== null")
    browser.do(
        "document.querySelector('#curves svg[tabindex]')"
        ".dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))"
    )
    assert "step 10" in browser.do("document.querySelector('#curves .readout').textContent")
    assert browser.printed == []


@pytest.mark.slow
def test_errors_can_be_found(browser, page):
    browser.printed.clear()
    browser.open(page)
    choose(browser, "classes", "Experiment", "tags")
    rows = (
        "[...document.querySelectorAll('#classes details tbody tr')]"
        ".map((row) => row.cells[0].textContent)"
    )
    assert browser.do(rows) == ["PER", "LOC", "ORG"] * 2, "the most frequent first"
    choose(browser, "classes", "Order", "name")
    assert browser.do(rows) == ["LOC", "ORG", "PER"] * 2
    # A number of the matrix leads to the examples that it counts.
    cells = browser.do("[...document.querySelectorAll('#confusion button')].map(b => b.ariaLabel)")
    at = next(i for i, text in enumerate(cells) if text.startswith("gold LOC, predicted none"))
    browser.do(f"document.querySelectorAll('#confusion button')[{at}].click()")
    browser.until("document.querySelectorAll('.example').length > 0")
    count = browser.do("document.getElementById('examples-count').textContent")
    missed = int(count.split()[0])
    assert 10 < missed < 60
    marks = browser.do(
        "[...document.querySelectorAll('.example mark.wrong small')].map(m => m.textContent)"
    )
    assert " LOC · boundary and type" in marks
    # Chinese words stand without blanks.
    typed(browser, "examples-search", "李白在庐山")
    assert browser.do("document.getElementById('examples-count').textContent").startswith(
        "1 of 102"
    )
    assert "庐山 LOC · boundary" in browser.do("document.querySelector('.example').textContent")
    # All of them, by pages.
    typed(browser, "examples-search", "")
    for label, value in (("Show", "all"), ("Gold", ""), ("Predicted", "")):
        choose(browser, "examples", label, value)
    printed = "document.getElementById('examples-count').textContent"
    assert browser.do(printed) == "102 of 102 examples, 1 to 40 of them here"
    for _ in range(2):
        browser.do("[...document.querySelectorAll('.pager button')].at(-1).click()")
    assert browser.do(printed) == "102 of 102 examples, 81 to 102 of them here"
    # Text is text, wherever it came from.
    options = "[...document.querySelectorAll('#examples option')]"
    labels = f"{options}.find(o => o.textContent.startsWith('labels')).value"
    choose(browser, "examples", "Run", browser.do(labels))
    browser.until("document.querySelector('#examples').textContent.includes('明月几时有')")
    assert browser.do("document.querySelectorAll('.example').length") == 3
    choose(browser, "examples", "Gold", EVIL)
    assert browser.do(printed).startswith("1 of 3")
    assert browser.do("document.querySelectorAll('img').length") == 0
    assert browser.do("document.title") == EVIL
    assert browser.printed == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(browser, page, dark):
    browser.printed.clear()
    browser.open(page, width=390, height=844, dark=dark)
    browser.do("window.scrollTo(0, document.body.scrollHeight)")
    browser.until("document.querySelectorAll('.example').length > 0")
    assert browser.do("document.documentElement.scrollWidth") == 390
    out = "e => e.getBoundingClientRect().right > 391 && !e.closest('.scroll')"
    names = "e => `${e.tagName}.${e.className}`"
    assert browser.do(f"[...document.querySelectorAll('main *')].filter({out}).map({names})") == []
    assert browser.printed == []


@pytest.mark.slow
def test_a_server_may_have_it_too(browser, page):
    """The same policy lets it load from where it is served, and from nowhere else."""
    browser.printed.clear()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=page.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.call("Page.navigate", url=f"http://127.0.0.1:{server.server_port}/index.html")
        browser.until("document.documentElement?.dataset.drawn === 'yes'")
        browser.do("document.getElementById('examples').scrollIntoView()")
        browser.until("document.querySelectorAll('.example').length > 0")
        server.shutdown()
    assert browser.printed == []


@pytest.mark.slow
def test_probabilities_are_drawn(page, browser):
    browser.printed.clear()
    browser.open(page)
    choose(browser, "probabilities", "Experiment", "labels")
    drawn = "document.querySelectorAll('#probabilities svg').length === 3"
    browser.until(drawn)
    cells = "document.querySelector('#probabilities .calibration tbody tr')"
    assert browser.do(f"{cells}.textContent").startswith("as they are")
    assert "chosen on validation" in browser.do(
        "document.getElementById('probabilities').textContent"
    )
    assert browser.printed == []
