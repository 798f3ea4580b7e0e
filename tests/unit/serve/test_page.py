"""The page in a real browser: it talks, marks, draws, and takes every text for text."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.conftest import trained
from tests.helpers.browser import chromium
from tests.helpers.served import IMAGES, png, serving
from tests.helpers.waiting import until

from lushan.assist.settings import Thresholds

EVIL = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>"
FILES = Path(__file__).parents[3] / "src/lushan/serve/assets"


@pytest.fixture(scope="module")
def server(tmp_path_factory, chat_run, ner_run, reviews_run, lm_run, assistant):
    folder = tmp_path_factory.mktemp("images")
    shapes = trained(folder, "task=image_classification", "data.limit=16", small=IMAGES)
    runs = {
        "talk": chat_run,
        "lm": lm_run,
        "names": ner_run,
        "mood": reviews_run,
        "shapes": shapes,
        "shop": assistant,
        "pairs": pair_run(tmp_path_factory.mktemp("pairs")),
    }
    with serving(runs) as running:
        yield running


def pair_run(folder):
    """A run on pairs of texts."""
    rows = [{"a": w, "b": f"not {w}", "label": w in "aeiou"} for w in "abcdefghij"]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = [f"data.{split}={path}" for split in ("train", "validation", "test")]
    columns = ["data.text=[a,b]"]
    return trained(folder, "task=classification", "data=jsonl", *files, *columns)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(browser, server):
    """Open the page with a model, in a size and in light or dark."""

    def opened(model="talk", **how):
        browser.printed.clear()
        browser.visit(f"{server.url}/", **how)
        browser.do("localStorage.setItem('language', 'en')")
        browser.visit(f"{server.url}/", **how)
        choose(browser, model)
        return browser

    yield opened
    assert browser.printed == []
    assert browser.do("document.title") == "lushan"


def choose(browser, model):
    browser.do(
        f"(() => {{ const box = document.getElementById('model'); box.value = '{model}';"
        " box.dispatchEvent(new Event('change')); })()"
    )


def write(browser, box, text):
    browser.do(f"document.getElementById('{box}').value = {text!r}; 0")


def click(browser, name):
    browser.do(f"document.getElementById('{name}').click(); 0")


def done(browser):
    browser.until("document.documentElement.dataset.busy === 'no'")


def turns(browser):
    return browser.do("[...document.querySelectorAll('.turn')].map((turn) => turn.textContent)")


def kept(browser, name):
    """Save a picture where LUSHAN_PICTURES names a folder, to be looked through."""
    if folder := os.environ.get("LUSHAN_PICTURES"):
        browser.picture(Path(folder) / f"{name}.png")


def problem(browser):
    return browser.do("document.getElementById('problem').textContent")


def says(browser, text):
    browser.until(f"document.getElementById('problem').textContent === {text!r}")


def without(browser, *refusals):
    """Forget lines that Chromium itself prints of refused requests."""
    browser.printed = [
        line for line in browser.printed if not any(part in line for part in refusals)
    ]


def fits(browser):
    return browser.do("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.slow
def test_a_chat_is_streamed_and_written_again(page):
    browser = page()
    assert "val/" in browser.do("document.getElementById('about').textContent")
    write(browser, "text", f"{EVIL} 明月几时有?")
    click(browser, "send")
    browser.until("document.querySelectorAll('.turn').length === 2")
    done(browser)
    first = turns(browser)
    assert first[0] == f"{EVIL} 明月几时有?"
    assert browser.do("document.querySelectorAll('.turn script, .turn img').length") == 0
    kept(browser, "chat")
    click(browser, "again")
    browser.until("document.documentElement.dataset.busy === 'yes' || true")
    done(browser)
    second = turns(browser)
    assert len(second) == 2
    assert second[1] != first[1]
    click(browser, "clear")
    assert turns(browser) == []


@pytest.mark.slow
def test_an_assistants_answer_shows_its_source(page, server):
    browser = page("shop")
    assists = server.served[5].assists
    shown = "[...document.querySelectorAll('.turn.assistant .source')].map((n) => n.textContent)"
    drawn = "document.querySelectorAll('#temperature, #tokens, #again:not([hidden])').length"
    assert browser.do(drawn) == 0, "it draws nothing, and answers the same again"
    for number, text in enumerate(["the red barn, is there parking", "and a unicorn"]):
        write(browser, "text", text)
        click(browser, "send")
        browser.until(f"document.querySelectorAll('.source').length === {number + 1}")
        done(browser)
        assists.thresholds = Thresholds(entry=99.0)
    assert browser.do(shown) == ["source: 1; Red Barn", "handed over to a person"]
    assert turns(browser)[1] == "Yes, behind Red Barn.source: 1; Red Barn"
    kept(browser, "assistant")
    assists.thresholds = Thresholds(entry=-9.0)
    for name, how in (
        ("dark", {"dark": True}),
        ("phone-dark", {"width": 390, "height": 844, "dark": True}),
    ):
        browser = page("shop", **how)
        click(browser, "language")
        write(browser, "text", "the red barn, is there parking")
        click(browser, "send")
        browser.until("document.querySelectorAll('.source').length === 1")
        assert browser.do(shown) == ["来源: 1; Red Barn"]
        assert fits(browser)
        kept(browser, f"assistant-{name}")


@pytest.mark.slow(1)
def test_an_answer_is_stopped(page, server, monkeypatch):
    browser = page("lm")
    worker = server.served[1].writes.writer
    work = worker.work
    import time

    monkeypatch.setattr(worker.generator, "endings", [])  # chance may end a text before
    worker.work = lambda: (time.sleep(0.05), work())
    try:
        write(browser, "text", "the")
        browser.do("document.getElementById('tokens').value = 200; 0")
        click(browser, "send")
        browser.until("(document.querySelectorAll('.turn')[1]?.textContent ?? '').length > 3")
        click(browser, "stop")
        done(browser)
        browser.until("document.getElementById('problem').textContent === 'stopped'")
        until(lambda: not worker.running)
    finally:
        worker.work = work
    assert len(turns(browser)[1]) < 190


@pytest.mark.slow(1)
def test_entities_are_marked_in_their_places(page, monkeypatch, server):
    browser = page("names")
    heads = server.served[2].heads
    text = f"🌕 Anna lives in Paris {EVIL}"
    spans = [
        {"start": 2, "end": 6, "text": "Anna", "label": "PER", "score": 0.9},
        {"start": 16, "end": 21, "text": "Paris", "label": "LOC<b>", "score": 0.5},
    ]
    answer = {"id": "0", "text": text, "entities": spans}
    monkeypatch.setattr(heads.worker, "run", lambda several: [[answer]] * len(several))
    write(browser, "field-text", text)
    click(browser, "send")
    browser.until("document.querySelectorAll('mark').length === 2")
    marks = browser.do("[...document.querySelectorAll('mark')].map((m) => m.firstChild.data)")
    assert marks == ["Anna", "Paris"]
    whole = browser.do("document.querySelector('.marked').textContent")
    assert whole == text.replace("Anna", "AnnaPER").replace("Paris", "ParisLOC<b>")
    kept(browser, "names")


@pytest.mark.slow(1)
def test_labels_have_bars(page):
    browser = page("mood", dark=True)
    write(browser, "field-text", "a clever film")
    click(browser, "send")
    browser.until("document.querySelectorAll('meter').length === 2")
    shares = browser.do("[...document.querySelectorAll('meter')].map((meter) => meter.value)")
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    kept(browser, "mood-dark")


@pytest.mark.slow(1)
def test_an_image_is_chosen_and_answered_on(page, tmp_path):
    browser = page("shapes", width=390, height=844)
    (tmp_path / "red.png").write_bytes(png("red"))
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#field-image")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(tmp_path / "red.png")])
    click(browser, "send")
    browser.until("document.querySelector('.preview')?.naturalWidth === 32")
    assert browser.do("document.querySelectorAll('meter').length") > 1
    assert fits(browser)
    kept(browser, "shapes-phone")


@pytest.mark.slow
def test_it_speaks_chinese_and_fits_a_phone(page):
    browser = page(width=390, height=844, dark=True)
    click(browser, "language")
    assert browser.do("document.documentElement.lang") == "zh"
    assert browser.do("document.getElementById('send').textContent") == "发送"
    write(browser, "text", "你好" * 30)
    click(browser, "send")
    browser.until("document.querySelectorAll('.turn').length === 2")
    done(browser)
    assert fits(browser)
    kept(browser, "chat-phone-zh-dark")
    click(browser, "language")


@pytest.mark.slow(1)
def test_a_refusal_is_shown(page):
    browser = page()
    write(browser, "text", "x")
    browser.do("document.getElementById('tokens').value = 100000; 0")
    click(browser, "send")
    browser.until("document.getElementById('problem').textContent.startsWith('max_tokens: ')")
    done(browser)
    without(browser, "400 (Bad Request)")


@pytest.mark.slow(1)
def test_a_field_may_be_empty_beside_others(page):
    browser = page("pairs")
    click(browser, "send")
    says(browser, "All fields are empty.")
    assert browser.do("document.getElementById('send').disabled") is False
    write(browser, "field-text_pair", "not a")
    click(browser, "send")
    browser.until("document.querySelectorAll('meter').length > 1")
    assert problem(browser) == ""


@pytest.mark.slow(1)
def test_a_change_of_language_keeps_a_prediction(page):
    browser = page("mood")
    write(browser, "field-text", "a clever film")
    click(browser, "send")
    browser.until("document.querySelectorAll('meter').length === 2")
    click(browser, "language")
    state = "['#field-text', '#send', 'summary'].map((name) => document.querySelector(name))"
    assert browser.do(f"{state}.map((one) => one?.value || one?.textContent)") == [
        "a clever film",
        "预测",
        "详情",
    ]
    assert browser.do("document.querySelectorAll('meter').length") == 2
    assert "任务" in browser.do("document.getElementById('about').textContent")
    click(browser, "language")
    assert browser.do("document.getElementById('send').textContent") == "Predict"


@pytest.mark.slow
def test_a_change_of_language_keeps_a_conversation(page):
    browser = page("shop")
    write(browser, "text", "the red barn, is there parking")
    click(browser, "send")
    browser.until("document.querySelectorAll('.source').length === 1")
    done(browser)
    write(browser, "text", "half a question")
    click(browser, "language")
    question, answer = turns(browser)
    assert question == "the red barn, is there parking"
    assert answer == "Yes, behind Red Barn.来源: 1; Red Barn"
    box = "document.getElementById('text')"
    assert browser.do(f"[{box}.value, {box}.placeholder]") == ["half a question", "消息"]
    click(browser, "send")
    browser.until("document.querySelectorAll('.turn').length > 3")
    done(browser)


@pytest.mark.slow(1)
def test_problems_are_shown_in_the_language_of_the_page(page):
    browser = page("mood")
    click(browser, "language")
    write(browser, "field-text", "a clever film")
    browser.do(
        "window.sent = window.fetch; window.fetch = (path, how) => window.sent(path,"
        " {...how, body: JSON.stringify({model: 'mood', inputs: [{}]})}); 0"
    )
    click(browser, "send")
    says(browser, "inputs[0].text: 缺少此字段")
    click(browser, "language")
    says(browser, "inputs[0].text: this field is missing")
    click(browser, "language")
    browser.do("window.fetch = window.sent; 0")
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.call("Network.enable")
    browser.call("Network.emulateNetworkConditions", offline=True, **offline)
    try:
        click(browser, "send")
        says(browser, "无法连接服务器。")
    finally:
        browser.call("Network.emulateNetworkConditions", offline=False, **offline)
        browser.call("Network.disable")
    without(browser, "400 (Bad Request)", "ERR_INTERNET_DISCONNECTED")


@pytest.mark.slow
def test_a_key_is_asked_for_once(browser, lm_run):
    key = "a-key-of-more-than-16-letters"
    with serving({"lm": lm_run}, keys=[key]) as running:
        browser.visit(f"{running.url}/")
        browser.do("localStorage.setItem('language', 'en')")
        browser.visit(f"{running.url}/")
        assert browser.do("document.getElementById('key').hidden") is False
        assert "This server asks for a key." in browser.do("document.body.innerText")
        assert browser.do("document.getElementById('problem').hidden") is True, "no mistake yet"
        assert browser.do("document.getElementById('model').offsetParent") is None
        kept(browser, "key")
        for wrong in ("another-key-of-16-letters", "密钥"):
            write(browser, "key-value", wrong)
            browser.do("document.querySelector('#key button').click(); 0")
            says(browser, "This key is wrong.")
            click(browser, "language")
            assert problem(browser) == "密钥错误。"
            assert "本服务器需要密钥。" in browser.do("document.body.innerText")
            click(browser, "language")
            browser.do("document.getElementById('problem').textContent = ''; 0")
        write(browser, "key-value", key)
        browser.do("document.querySelector('#key button').click(); 0")
        browser.until("document.getElementById('model').value === 'lm'")
        assert browser.do("document.getElementById('model').offsetParent === null") is False
        browser.visit(f"{running.url}/")
        assert browser.do("document.getElementById('key').hidden") is True
    browser.printed.clear()


def test_words_have_both_languages():
    text = (FILES / "words.js").read_text("utf-8")
    import re

    english, chinese = re.findall(r"(?:en|zh): \{(.*?)\n  \}", text, re.S)
    names = [re.findall(r"(\w+): \"", part) for part in (english, chinese)]
    assert names[0] == names[1]
    used = "".join(f.read_text("utf-8") for f in FILES.glob("*.js"))
    used += (FILES / "page.html").read_text("utf-8")
    assert all(f'"{name}"' in used or f"{name}:" in used for name in names[0])


def test_files_name_no_other_host_and_write_no_html():
    for file in FILES.iterdir():
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file
        assert not any(
            word in text for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(")
        )
