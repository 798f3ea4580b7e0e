"""Several sources as one."""

from __future__ import annotations

import json

import pytest

from lushan.data.formats import Jsonl, Mixture, SampleText, Text


@pytest.fixture
def sources(write):
    zh = write("zh.jsonl", "".join(json.dumps({"text": f"文{i}"}) + "\n" for i in range(30)))
    return {
        "zh": lambda **more: Text(train=zh, validation=0.1, **more),
        "en": lambda **more: Text(train=write("en.txt", "one\n\ntwo"), document="line", **more),
    }


def mixture(sources, **options):
    return Mixture(sources={name: make() for name, make in sources.items()}, **options)


@pytest.mark.parametrize("kept", [False, True])
def test_ids_tell_corpora_apart(kept, sources, tmp_path):
    where = {"cache_dir": tmp_path / "cache"} if kept else {}
    corpus = mixture(sources, **where).read()
    ids = corpus.splits["train"]["id"].to_pylist()
    assert [i.partition(":")[0] for i in ids] == ["zh/zh.jsonl"] * 27 + ["en/en.txt"] * 2
    assert all(i.startswith("zh/") for i in corpus.splits["validation"]["id"].to_pylist())
    assert corpus.splits["train"]["text"].to_pylist()[-2:] == ["one", "two"]
    assert corpus.notes == ["en: train: 1 blank line was skipped: it is not a document"]
    assert corpus.mix is None


def test_weights_say_what_an_epoch_has(sources):
    corpus = mixture(sources, weights={"en": 3, "zh": 1}, epoch_examples=8).read()
    assert corpus.mix.sizes == {"zh": 27, "en": 2}
    assert corpus.mix.weights == {"en": 3, "zh": 1}


def test_sources_of_other_kinds(write, refused):
    rows = "".join(f'{{"text": "{i}", "label": "x"}}\n' for i in range(3))
    labelled = Jsonl(train=write("x.jsonl", rows))
    both = {"a": labelled, "b": Jsonl(train=write("y.jsonl", rows))}
    table = Mixture(sources=both).read().splits["train"]
    assert table["id"].to_pylist() == [
        f"{n}:{i}" for n in ("a/x.jsonl", "b/y.jsonl") for i in (1, 2, 3)
    ]
    texts = {"a": Text(train=write("x.txt", "a")), "b": SampleText(test=None)}
    read = Mixture(sources=texts).read().splits
    assert read["train"]["file"].to_pylist()[0].endswith("x.txt")
    assert set(read) == {"train", "validation"}
    strange = refused(Mixture(sources={"a": labelled, "b": texts["b"]}).read)
    assert "no label" in strange.problem


def test_mistakes(sources, refused):
    assert refused(Mixture().read).key == "data.sources"
    assert refused(Mixture().fingerprint).key == "data.sources"
    for weights, key in (
        ({"zh": 1, "eng": 1}, "data.weights.eng"),
        ({"zh": 1}, "data.weights"),
        ({"zh": 1, "en": -1}, "data.weights.en"),
        ({"zh": 0, "en": 0}, "data.weights"),
    ):
        assert refused(mixture, sources, weights=weights).key == key
    assert refused(mixture, sources, train="x").key == "data.train"
    assert refused(mixture(sources).read, only="test").key == "data.sources"


def test_what_a_mixture_is(sources, write):
    one = mixture(sources)
    print_ = one.fingerprint()
    assert set(print_) == {"train", "validation"}
    assert print_ == mixture(sources, weights={"zh": 1, "en": 1}).fingerprint()
    assert one.options() == mixture(sources, weights={"zh": 1, "en": 1}).options()
    assert json.dumps(one.options())
    other = {"zh": sources["zh"], "en": lambda: Text(train=write("en.txt", "three"))}
    assert print_["train"] != mixture(other).fingerprint()["train"]
    assert print_["validation"] == mixture(other).fingerprint()["validation"]


def test_a_limit_is_shared_out(sources):
    assert mixture(sources, limit=4).read().splits["train"].num_rows == 4


def test_a_share_of_training_is_of_each(sources):
    whole = {name: source().read().splits["train"].num_rows for name, source in sources.items()}
    read = mixture(sources, train_share=0.5).read()
    assert read.splits["train"].num_rows == sum(round(n / 2) for n in whole.values())
