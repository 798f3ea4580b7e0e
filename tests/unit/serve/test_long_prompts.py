"""Prompts that have no room: refused by their beginning, and never one that fits."""

import pytest

from lushan.inference.generator import open_generator
from lushan.inference.too_long import TooLong
from lushan.serve import long_prompts
from lushan.serve.long_prompts import require_room


@pytest.fixture
def read(monkeypatch):
    """The lengths of the texts that are tokenized for it."""
    found = []
    tokens_of = long_prompts.tokens_of

    def noted(tokenizer, texts):
        found.extend(map(len, texts))
        return tokens_of(tokenizer, texts)

    monkeypatch.setattr(long_prompts, "tokens_of", noted)
    return found


def test_megabytes_are_refused_by_their_beginning(lm, talk, read):
    text = "the moon over the sea " * 200_000
    for generator, prompt in ((lm, text), (talk, [{"role": "user", "content": text}])):
        with pytest.raises(TooLong, match=f"generated text together is {generator.positions}"):
            require_room(generator, prompt)
    assert max(read) < 64 * (2 * lm.positions + long_prompts.SLACK) < len(text) / 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "明月几时有" * 20,
        "the moon " * 3000,  # too long, but not by twice: its tokens say so
        " " * 3_000_000,
        "\n" * 200_000 + "x",
    ],
    ids=["nothing", "short", "long", "blanks", "lines"],
)
def test_whoever_is_refused_has_no_room(text, lm, talk):
    for generator, prompt in ((lm, text), (talk, [{"role": "user", "content": text}])):
        try:
            require_room(generator, prompt)
        except TooLong:
            assert len(generator.encode([prompt])[0]) >= generator.positions


def test_an_answer_that_a_task_leaves_out_does_not_count(talk):
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "so " * 500_000}]
    assert len(talk.encode([said])[0]) < talk.positions
    require_room(talk, said)


def test_a_source_that_is_cut_is_not_refused(pairs_run, read):
    require_room(open_generator(pairs_run), "one two " * 500_000)
    assert read == []
