"""Personal data are found by form and checksum, also across the pieces of a stream."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.costs import cost

from lushan.guard import Redactor, redact

FOUND = {
    "手机13800138000。": "手机[phone]。",
    "call +86 138 0013 8000 now": "call [phone] now",
    "电话：０２１-62345678": "电话：[phone]",
    "(010) 62345678": "[phone]",
    "from +44 20 7946 0958.": "from [phone].",
    "dial (555) 234-5678 or 555-234-5678": "dial [phone] or [phone]",
    "身份证号11010519491231002X，": "身份证号[id]，",
    "ssn 078-05-1120": "ssn [id]",
    "card 4111 1111 1111 1111 expires": "card [card] expires",
    "卡号6222021234567894吧": "卡号[card]吧",
    "GB82 WEST 1234 5698 7654 32": "[iban]",
    "mail a.b+c@example.com.cn, please": "mail [email], please",
    "key hf_abcdefghijklmnopqrstuv": "key ***",
}
LEFT = [
    "11010519491231002Y 110105194912310021",  # the check character is another
    "110105194913310029",  # no such month
    "4111 1111 1111 1112",  # Luhn
    "GB82 WEST 1234 5698 7654 33",
    "order 20240506123456, 3.14159265358979",
    "2024-05-06 12:30:00",
    "12800138000 138001380001",
    "a@b and @someone",
    "价格 1,000,000 元，占 12.5%",
]


@pytest.mark.parametrize(("text", "shown"), FOUND.items())
def test_found(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize("text", LEFT)
def test_left(text):
    assert redact(text) == text


@given(st.integers(0, 10**9))
def test_pieces_are_redacted_as_the_whole(seed):
    rng = random.Random(seed)
    fillers = [" and ", "，", "。", " 12 ", "x", "\n", " 中文 ", "(7) "]
    text = "".join(
        rng.choice([*FOUND, *LEFT, *fillers]) + rng.choice(["，", "\n", "。"]) for _ in range(8)
    )
    redactor, shown, at = Redactor(), [], 0
    while at < len(text):
        size = rng.choice([1, 2, 5, 20])
        shown.append(redactor.push(text[at : at + size]))
        at += size
    shown.append(redactor.close())
    counts = Counter()
    assert "".join(shown) == redact(text, counts)
    assert redactor.counts.total() >= counts.total() - counts["secret"]


def test_what_is_held_back_is_bounded():
    redactor = Redactor()
    shown = sum(len(redactor.push("a1@.-" * 20)) for _ in range(100))
    assert shown > 100 * 100 - 1000


@pytest.mark.parametrize(
    "text",
    ["1" * 50_000, "a@" * 25_000, "1 " * 25_000, "+1(" * 20_000, "A1 " * 20_000, "a." * 25_000],
)
def test_time_grows_with_the_text(text):
    part = cost(lambda: redact(text[:5000]), tries=3)
    assert cost(lambda: redact(text), tries=3) < 40 * part
