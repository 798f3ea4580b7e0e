"""Windows of a context beside a question, and where a stretch of the context lies in them."""

import pytest

from lushan.text import tokenizers
from lushan.text.question_windows import NOWHERE, truncated, windows

CONTEXT = "Anna lives in Paris"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [CONTEXT, "who lives here"] * 3
    folder = tmp_path_factory.mktemp("tokenizers")
    return tokenizers.train("chars", min_frequency=1, texts=lambda: texts, cache_dir=folder)


def test_each_window_knows_the_characters_of_its_tokens(tokenizer):
    (found,) = windows(tokenizer, ["who"], [CONTEXT], 12, 2)
    assert len(found) > 1
    for window in found:
        assert len(window.ids) == len(window.segments) == len(window.places) <= 12
        assert window.places[0] == NOWHERE
    covered = {i for w in found for a, b in w.places if a >= 0 for i in range(a, b)}
    assert covered == {i for i, character in enumerate(CONTEXT) if character != " "}


def test_a_stretch_lies_in_a_window_or_does_not(tokenizer):
    ((whole,),) = windows(tokenizer, ["who"], [CONTEXT], 64, None)
    first, last = whole.tokens_of(14, 19)
    assert (whole.places[first][0], whole.places[last][1]) == (14, 19)
    (several,) = windows(tokenizer, ["who"], [CONTEXT], 12, None)
    assert several[0].tokens_of(14, 19) is None


def test_a_question_is_truncated_at_a_token(tokenizer):
    assert truncated(tokenizer, ["who", "who lives"], 3) == (["who", "who"], [False, True])
    assert truncated(tokenizer, ["who"], 0) == ([""], [True])
