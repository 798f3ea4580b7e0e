"""Tokens as text while they come: whole characters, nothing lost, nothing behind a stop string."""

import random
import time

import pytest

from lushan.text import tokenizers
from lushan.text.incremental import Detokenizer, Reader, continuation, decode

TEXTS = [
    "明月几时有？把酒问青天。",
    "the quick brown fox jumps over the lazy dog",
    "naïve café, 東京 — 🙂🙃 ok",
    "  two  blanks\nand a line ",
]


@pytest.fixture(scope="module", params=["bpe", "unigram", "wordpiece", "chars"])
def tokenizer(request, tmp_path_factory):
    size = {"bpe": 300, "unigram": 200, "wordpiece": 200, "chars": 120}[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    return tokenizers.train(
        request.param, size, min_frequency=1, texts=lambda: TEXTS * 3, cache_dir=folder
    )


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_pieces_make_up_the_text(tokenizer, text, share):
    ids = ids_of(tokenizer, text)
    border = int(len(ids) * share)
    before, new = [tokenizer.cls_token_id, *ids[:border]], ids[border:]
    incoming = Detokenizer(tokenizer, before)
    pieces = [incoming.push(token) for token in new]
    pieces.append(incoming.finish())
    assert "".join(pieces) == continuation(tokenizer, before, new)
    assert not any("\ufffd" in piece for piece in pieces)


def test_what_follows_a_prompt_is_its_continuation(tokenizer):
    text = TEXTS[1]
    ids = ids_of(tokenizer, text)
    for border in range(1, len(ids)):
        before = ids[:border]
        whole = decode(tokenizer, before) + continuation(tokenizer, before, ids[border:])
        assert whole == decode(tokenizer, ids)


def test_a_character_that_the_prompt_has_begun_belongs_to_what_follows(tokenizer):
    ids = ids_of(tokenizer, "a 明月")
    for border in range(1, len(ids) + 1):
        known = decode(tokenizer, ids[:border]).rstrip("\ufffd")
        assert known + continuation(tokenizer, ids[:border], ids[border:]) == decode(tokenizer, ids)


def test_garbage_is_reported_at_the_end_and_in_whole_characters_before(tokenizer):
    rng = random.Random(1)
    special = set(tokenizer.all_special_ids)
    ids = [i for i in (rng.randrange(len(tokenizer)) for _ in range(60)) if i not in special]
    incoming = Detokenizer(tokenizer)
    pieces = [incoming.push(token) for token in ids]
    assert not any(piece.endswith("\ufffd") for piece in pieces)
    assert "".join(pieces) + incoming.finish() == decode(tokenizer, ids)
    reader = Reader(tokenizer)
    shown = [reader.push(token) for token in ids]
    assert "".join(shown) + reader.finish() == reader.text == decode(tokenizer, ids)


def test_a_stop_string_is_found_over_tokens_and_never_shown(tokenizer):
    ids = ids_of(tokenizer, "the quick brown fox jumps")
    reader = Reader(tokenizer, stops=["wn f"])
    shown = [reader.push(token) for token in ids]
    assert reader.stopped
    assert reader.count < len(ids)
    shown.append(reader.finish())
    assert "".join(shown) == reader.text
    assert reader.text.strip() == "the quick bro"


def test_what_only_began_like_a_stop_string_is_shown_after_all(tokenizer):
    ids = ids_of(tokenizer, "the quick brown fox")
    reader = Reader(tokenizer, stops=["brown foxes", "foxy"])
    shown = [reader.push(token) for token in ids]
    assert not any("brown" in piece for piece in shown)
    shown.append(reader.finish())
    assert not reader.stopped
    assert "".join(shown) == decode(tokenizer, ids)


def test_of_two_stop_strings_the_earlier_one_counts(tokenizer):
    ids = ids_of(tokenizer, "the quick brown fox")
    reader = Reader(tokenizer, stops=["own", "br"])
    for token in ids:
        reader.push(token)
    assert reader.text.strip() == "the quick"


def test_an_ending_token_ends_the_text_and_padding_is_not_read(tokenizer):
    ids = ids_of(tokenizer, "the fox")
    reader = Reader(tokenizer, endings=[tokenizer.sep_token_id])
    for token in [*ids, tokenizer.sep_token_id, *ids, tokenizer.pad_token_id]:
        reader.push(token)
    reader.finish()
    assert reader.ended
    assert reader.count == len(ids) + 1
    assert reader.text.strip() == "the fox"


@pytest.mark.parametrize("stop", ["aab", "aaa", "ab", "b", "ba\ud800"])
@pytest.mark.parametrize("text", ["", "a", "aa", "ba", "aabaa", "baab", "aaaa"])
def test_what_is_held_back_is_the_longest_beginning_of_a_stop_string(stop, text):
    reader = Reader(None, stops=[stop])
    reader.text = text
    ends = [n for n in range(len(stop)) if text.endswith(stop[:n])]
    assert reader._held_back() == max(ends)


def test_a_stop_string_of_a_million_characters_costs_no_more_than_the_text():
    reader = Reader(None, stops=["a" * 1_000_000])
    reader.text = "ab" * 100 + "aa"
    begun = time.process_time()
    assert reader._held_back() == 2
    assert time.process_time() - begun < 0.5
