"""What is hidden: how much, by what, together with what, and always the same for the same seed."""

import numpy as np
import pytest

from lushan.tasks.batches import IGNORED, Limits
from lushan.tasks.masked_lm import MaskedLM

TEXT = "the quick brown foxes jumped over unbelievably lazy dogs 明月几时有把酒问青天"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from lushan.text import tokenizers

    return tokenizers.train(
        "wordpiece",
        60,
        min_frequency=1,
        texts=lambda: [TEXT] * 3,
        cache_dir=tmp_path_factory.mktemp("tokenizers"),
    )


def drawn(tokenizer, seed=1, copies=200, **options):
    task = MaskedLM(**options)
    task.use(tokenizer)
    features = task.encode({"text": [TEXT] * copies}, 0, tokenizer, Limits(512))
    rows = [
        {k: np.asarray(v[i]) for k, v in features.items()} | {"index": i} for i in range(copies)
    ]
    return rows, task.transform(rows, seed), task


@pytest.mark.parametrize("masking", ["tokens", "spans"])
def test_exactly_the_share_is_predicted(tokenizer, masking):
    rows, found, _ = drawn(tokenizer, masking=masking)
    words = int((rows[0]["words"] >= 0).sum())
    for row in found:
        assert int((row["labels"] != IGNORED).sum()) == row["targets"] == round(0.15 * words)


def test_labels_are_what_stood_there_and_special_tokens_are_never_hidden(tokenizer):
    rows, found, _ = drawn(tokenizer)
    for before, after in zip(rows, found, strict=True):
        hidden = after["labels"] != IGNORED
        assert (after["labels"][hidden] == before["input_ids"][hidden]).all()
        assert (after["input_ids"][~hidden] == before["input_ids"][~hidden]).all()
        assert not hidden[[0, -1]].any()


def test_most_are_masked_a_tenth_random_and_a_tenth_kept(tokenizer):
    rows, found, task = drawn(tokenizer, copies=2000)
    fates = np.zeros(3)
    for before, after in zip(rows, found, strict=True):
        hidden = after["labels"] != IGNORED
        now, then = after["input_ids"][hidden], before["input_ids"][hidden]
        masked = now == tokenizer.mask_token_id
        fates += masked.sum(), (~masked & (now != then)).sum(), (~masked & (now == then)).sum()
    shares = fates / fates.sum()
    # A random token is now and then the one that stood there.
    luck = 0.1 / len(task.plain)
    assert shares == pytest.approx([0.8, 0.1 - luck, 0.1 + luck], abs=0.015)


def test_whole_words_are_hidden_whole(tokenizer):
    rows, found, _ = drawn(tokenizer, masking="whole_word", rate=0.4)
    split = False
    for before, after in zip(rows, found, strict=True):
        words, hidden = before["words"], after["labels"] != IGNORED
        for word in set(words[words >= 0].tolist()):
            part = hidden[words == word]
            split = split or len(part) > 1
            assert part.all() or not part.any()
    assert split


@pytest.mark.slow(1)
def test_a_segmenter_makes_words_of_chinese(tokenizer):
    pytest.importorskip("jieba")
    by_character, _, _ = drawn(tokenizer, copies=1, masking="whole_word")
    by_word, _, _ = drawn(tokenizer, copies=1, masking="whole_word", segmenter="jieba")
    count = [len(set(rows[0]["words"].tolist())) for rows in (by_character, by_word)]
    assert count[1] < count[0]


def test_it_is_a_function_of_seed_and_number(tokenizer):
    _, one, _ = drawn(tokenizer)
    rows, again, task = drawn(tokenizer)
    alone = task.transform(rows[7:8], 1)[0]
    assert (one[7]["input_ids"] == alone["input_ids"]).all()
    assert (one[7]["labels"] == again[7]["labels"]).all()
    _, other, _ = drawn(tokenizer, seed=2)
    assert any((a["labels"] != b["labels"]).any() for a, b in zip(one, other, strict=True))
