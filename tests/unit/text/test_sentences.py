"""Where the first sentence ends, in English and Chinese."""

from __future__ import annotations

import pytest

from lushan.text.sentences import first_sentence, sentences


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("We show 3.5 of 4.0 points. End", ["We show 3.5 of 4.0 points.", "End"]),
        (
            "Dr. Li et al. (2018) say, e.g. this. Yes.",
            ["Dr. Li et al. (2018) say, e.g. this.", "Yes."],
        ),
        ("J. Doe is here. So is K. Poe.", ["J. Doe is here.", "So is K. Poe."]),
        ("In Fig. 3 we see it. 4 remain.", ["In Fig. 3 we see it.", "4 remain."]),
        ("He said “No.” Then he left.", ["He said “No.”", "Then he left."]),
        ("the u.s. market and others", ["the u.s. market and others"]),
        ("see example.com for it. Bye", ["see example.com for it.", "Bye"]),
        ("床前明月光。疑是地上霜！举头？", ["床前明月光。", "疑是地上霜！", "举头？"]),
        ("他说：“好。”我走了……真的。", ["他说：“好。”", "我走了……", "真的。"]),
        ("第一句。Second one. 第三", ["第一句。", "Second one.", "第三"]),
        ("first line\nstill first\n\nsecond", ["first line\nstill first", "second"]),
        ("no end", ["no end"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences(text: str, want: list[str]) -> None:
    assert sentences(text) == want
    assert first_sentence(text) == (want[0] if want else "")
