"""Encoder-decoders as a task: pairs, what is written and its evaluation, and span corruption."""

from __future__ import annotations

import csv
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.conftest import trained
from tests.helpers.measuring import generated
from transformers import BartConfig, M2M100Config, T5Config

from lushan.config.binding import bind
from lushan.config.build import TARGET
from lushan.data import fields
from lushan.data.demo import demo_corpus
from lushan.errors import UserError
from lushan.models import encoders
from lushan.models.decoders import ended
from lushan.tasks.batches import IGNORED, Limits
from lushan.tasks.seq2seq import Seq2Seq, leads_of
from lushan.text import tokenizers

METRICS = ["loss", "perplexity", "token_accuracy"]

T5 = functools.partial(
    T5Config, d_model=32, num_layers=2, num_heads=2, d_kv=16, d_ff=48, dropout_rate=0.0
)
SIZES = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
}
BART = functools.partial(BartConfig, **SIZES)
M2M = functools.partial(M2M100Config, **SIZES)
TEXTS = ["the cat sat on the mat", "a dog ran home again", "李白住在庐山，庐山有雨"] * 4

METRICS = ["loss", "perplexity", "token_accuracy"]


@functools.cache
def tokenizer(kind: str = "bpe", sentinels: int = 20) -> Any:
    return tokenizers.train(
        kind,
        300,
        min_frequency=1,
        sentinels=sentinels,
        texts=lambda: iter(TEXTS),
        cache_dir=Path(tempfile.mkdtemp()),
    )


def task(words: Any = None, **options: Any) -> Seq2Seq:
    made = Seq2Seq(decoding={"max_new_tokens": 8}, **options)
    made.use(words or tokenizer())
    return made


def model(made: Seq2Seq, config: Any = T5, words: Any = None, seed: int = 1) -> Any:
    words = words or tokenizer()
    torch.manual_seed(seed)
    encoder = encoders.fresh(
        config,
        vocab_size=len(words),
        pad_token_id=words.pad_token_id,
        special=made.special_ids(words),
        auto_class=made.auto_class,
        wrap=made.wrap,
    )
    return made.build(encoder).eval()


def pairs(*rows: tuple[str, list[str]], **columns: list[str]) -> pa.Table:
    return pa.table(
        {
            "id": [f"r{i}" for i in range(len(rows))],
            "source": [source for source, _ in rows],
            "targets": [targets for _, targets in rows],
            **columns,
        }
    )


TABLE = pairs(
    ("the cat sat on the mat", ["the cat"]),
    ("a dog", ["a dog ran home", "dog", "the dog"]),
    ("李白住在庐山", ["李白"]),
)


def rows_of(features: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [
        {name: np.asarray(column[i]) for name, column in features.items()} | {"index": i}
        for i in range(len(features["length"]))
    ]


def encoded(made: Seq2Seq, table: pa.Table = TABLE, limit: int = 40) -> list[dict[str, Any]]:
    return rows_of(made.encode(table.to_pydict(), 0, made.tokenizer, Limits(limit)))


def batch_of(made: Seq2Seq, rows: list[dict[str, Any]]) -> Any:
    return made.collate(rows)


# Encoding


def test_each_reference_is_a_feature_with_its_source() -> None:
    made = task(prefix="say: ")
    rows = encoded(made)
    assert [int(r["example"]) for r in rows] == [0, 1, 1, 1, 2]
    assert [int(r["reference"]) for r in rows] == [0, 0, 1, 2, 0]
    words = made.tokenizer
    assert words.decode(rows[2]["input_ids"]) == "[CLS] say: a dog[SEP]"
    # A decoder begins with a token of its own, not with [CLS].
    assert [words.decode(r["labels"]) for r in rows[1:4]] == [
        " a dog ran home[SEP]",
        " dog[SEP]",
        " the dog[SEP]",
    ]
    for row in rows:
        assert row["targets"] == len(row["labels"])
        assert row["length"] == len(row["input_ids"]) + len(row["labels"])


def test_what_is_cut_is_counted_once_for_a_source() -> None:
    made = task()
    table = pairs(("the cat sat on the mat", ["cat", "the dog", "cat " * 40]), ("dog", ["dog"]))
    features = made.encode(table.to_pydict(), 0, made.tokenizer, Limits(6))
    assert features["cut"] == [1, 0, 1, 0]
    assert max(map(len, features["input_ids"])) == max(map(len, features["labels"])) == 6
    assert features["labels"][2][-1] == made.tokenizer.sep_token_id
    assert made.count(features) == {"cut": 2, "features": 4}
    short = task(max_target=3).encode(table.to_pydict(), 0, made.tokenizer, Limits(40))
    assert max(map(len, short["labels"])) == 3
    whole = made.encode(table.to_pydict(), 0, made.tokenizer, Limits(90))
    assert short["cut"] == [int(len(labels) > 3) for labels in whole["labels"]]


def test_tokens_that_are_unknown_are_counted() -> None:
    words = tokenizer("wordpiece")
    made = task(words)
    features = made.encode(pairs(("a Ω", ["Ω cat", "cat"])).to_pydict(), 0, words, Limits(40))
    assert features["unknown_tokens"] == [2, 0]


def test_windows_are_refused(refused) -> None:
    made = task()
    error = refused(made.encode, TABLE.to_pydict(), 0, made.tokenizer, Limits(8, 2))
    assert error.key == "data.stride"


# The model


@pytest.mark.parametrize("config", [T5, BART])
def test_the_loss_is_transformers_own(config: Any) -> None:
    made = task()
    network = model(made, config)
    batch = batch_of(made, encoded(made))
    labels = batch["labels"]
    with torch.no_grad():
        want = (
            network.encoder.model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels
            ).loss
            * (labels != IGNORED).sum()
        )
        torch.testing.assert_close(made.loss(network, batch), want, rtol=1e-5, atol=1e-4)
        found, records = made.predict(network, batch)
    torch.testing.assert_close(found, want.double(), rtol=1e-5, atol=1e-4)
    assert [r["tokens"] for r in records] == (labels != IGNORED).sum(1).tolist()


def test_a_model_without_a_rule_of_its_own() -> None:
    made = task()
    network = model(made, M2M)
    assert not hasattr(network.encoder.model, "prepare_decoder_input_ids_from_labels")
    batch = batch_of(made, encoded(made))
    with torch.no_grad():
        want = (
            network.encoder.model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                labels=batch["labels"],
            ).loss
            * (batch["labels"] != IGNORED).sum()
        )
        torch.testing.assert_close(made.loss(network, batch), want, rtol=1e-5, atol=1e-4)
    network.encoder.model.config.decoder_start_token_id = None
    with pytest.raises(UserError, match="no start token for the decoder"):
        made.loss(network, batch)


def test_padding_changes_nothing() -> None:
    made = task()
    network = model(made)
    rows = encoded(made)
    with torch.no_grad():
        together, records = made.predict(network, batch_of(made, rows))
        alone = [made.predict(network, batch_of(made, [row])) for row in rows]
    assert float(together) == pytest.approx(sum(float(loss) for loss, _ in alone), rel=1e-5)
    for record, (_, (one,)) in zip(records, alone, strict=True):
        assert record["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert {**record, "loss": 0} == {**one, "loss": 0}


def test_each_source_writes_once() -> None:
    made = task()
    network = model(made)
    rows = encoded(made)
    printed = made.generate(network, batch_of(made, rows))
    assert [bool(record) for record in printed] == [True, True, False, False, True]
    network.encoder.model.eval()
    for place in (0, 1, 4):
        ids = torch.tensor(rows[place]["input_ids"])[None]
        want = network.encoder.model.generate(input_ids=ids, max_new_tokens=8, do_sample=False)
        text = made.tokenizer.decode(want[0], skip_special_tokens=True).strip()
        assert printed[place]["generated"] == text
    alone = [made.generate(network, batch_of(made, [row])) for row in rows]
    assert [one["generated"] for (one,) in alone if one] == [
        one["generated"] for one in printed if one
    ]
    assert made.generate(network, batch_of(made, rows[2:4])) == [{}, {}]


def test_the_score_is_the_mean_probability_of_what_is_written() -> None:
    made = task()
    network = model(made)
    rows = encoded(made)[:1]
    (printed,) = made.generate(network, batch_of(made, rows))
    found = network.encoder.model.generate(
        input_ids=torch.tensor(rows[0]["input_ids"])[None],
        max_new_tokens=8,
        output_logits=True,
        return_dict_in_generate=True,
    )
    chances = [
        float(step[0].log_softmax(-1)[token])
        for step, token in zip(found.logits, found.sequences[0, 1:].tolist(), strict=True)
    ]
    assert printed["score"] == pytest.approx(float(np.exp(np.mean(chances))), rel=1e-4)


def test_sampling_repeats_and_leaves_the_random_state_alone() -> None:
    made = Seq2Seq(decoding={"max_new_tokens": 8, "do_sample": True})
    made.use(tokenizer())
    network = model(made)
    batch = batch_of(made, encoded(made))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert made.generate(network, batch) == made.generate(network, batch)
    assert torch.equal(before, torch.get_rng_state())


def test_behind_the_end_nothing_counts() -> None:
    ids = torch.tensor([[5, 3, 0, 3], [5, 6, 7, 8], [3, 0, 0, 0]])
    assert ended(ids, 3).tolist() == [[5, 3, -100, -100], [5, 6, 7, 8], [3, -100, -100, -100]]
    assert ended(ids, [7, 3])[1].tolist() == [5, 6, 7, -100]
    assert ended(ids, None) is ids


def test_chinese_of_wordpieces_has_no_blanks() -> None:
    words = tokenizer("wordpiece")
    made = task(words)
    ids = words("the cat 李白住在 庐山")["input_ids"]
    assert words.decode(ids, skip_special_tokens=True) == "the cat 李 白 住 在 庐 山"
    assert made._text(ids) == "the cat 李白住在庐山"


def test_what_a_checkpoint_says_of_generation_is_kept() -> None:
    made = task()
    network = model(made)
    assert made.state()["generation"]["decoder_start_token_id"] == 0
    network.encoder.model.generation_config.num_beams = 3
    again = task()
    again.build(network.encoder)
    assert again.state()["generation"]["num_beams"] == 3
    other = task()
    other.restore(again.state())
    fresh = model(other, seed=2)
    assert fresh.encoder.model.generation_config.num_beams == 3
    assert other.state() == again.state()


# Evaluation


def evaluated(made: Seq2Seq, table: pa.Table, printed: list[str], *, full: bool = True) -> Any:
    records = []
    for example, text in enumerate(printed):
        sums = {"example": example, "loss": 2.0, "tokens": 4, "hits": 3}
        records += [{**sums, "generated": text, "score": 0.5}, sums]
    return made.evaluate(table, records[::-1], full=full)


def test_all_references_count() -> None:
    printed = ["the cat", "the dog", "李白"]
    found = evaluated(task(), TABLE, printed)
    want, notes = generated(printed, TABLE["targets"].to_pylist())
    for name, value in want.metrics.items():
        assert found.metrics[name] == pytest.approx(value)
    assert found.metrics["exact_match"] == 1
    assert found.metrics["loss"] == pytest.approx(0.5)
    assert set(found.metrics) == set(Seq2Seq.measures({}, {}))
    assert set(want.intervals) <= set(found.intervals)
    assert not {"exact_match", "loss", "distinct1"} & set(found.intervals)  # all are right
    assert found.notes == notes


def test_the_first_sentence_is_evaluated_beside() -> None:
    table = pairs(
        ("The cat sat. It was warm.", ["the cat sat"]), ("A dog! Big.", ["one dog", "a dog"])
    )
    found = evaluated(task(), table, ["cat", "dog"])
    assert found.metrics["rouge1_lead1"] == 1
    assert found.metrics["rouge1"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.records[1] | {} == {
        "id": "r1",
        "source": "A dog! Big.",
        "gold": ["one dog", "a dog"],
        **{k: v for k, v in found.records[1].items() if k not in ("id", "source", "gold")},
    }
    assert found.records[0]["predicted"] == "cat"
    assert found.records[0]["rouge1"] == pytest.approx(0.5)
    assert found.records[0]["rouge1_lead1"] == 1
    assert "rouge1_lead1" not in evaluated(task(baseline=None), table, ["cat", "dog"]).metrics
    assert "rouge1_lead1" not in Seq2Seq.measures({"baseline": None}, {})


def test_the_first_text_of_a_list_is_the_lead() -> None:
    assert leads_of(pairs(("a. b. c.", ["x"]), lead=["a. b."])) == ["a. b."]
    assert leads_of(pairs(("One. Two.", ["x"]), ("明月。光", ["x"]))) == ["One.", "明月。"]


def test_validation_while_training_is_short() -> None:
    found = evaluated(task(), TABLE, ["a", "b", "c"], full=False)
    assert "rouge1" in found.metrics
    assert "rouge1_lead1" not in found.metrics
    assert found.records == []
    sums = [{"example": i, "loss": 1.0, "tokens": 2, "hits": 1} for i in range(3)]
    assert list(task().evaluate(TABLE, sums, full=False).metrics) == METRICS


def test_what_is_shown_of_new_texts() -> None:
    made = task()
    table = TABLE.drop_columns(["targets"])
    rows = rows_of(made.encode(table.to_pydict(), 0, made.tokenizer, Limits(40)))
    network = model(made)
    batch = batch_of(made, rows)
    _, records = made.predict(network, batch)
    printed = made.generate(network, batch)
    joined = made.join(table, [{**a, **b} for a, b in zip(records, printed, strict=True)])
    shown = made.present(table, joined)
    assert [list(row) for row in shown] == [["id", "text", "predicted", "score"]] * 3
    assert [row["text"] for row in shown] == table["source"].to_pylist()


# Span corruption

DOCUMENTS = demo_corpus(
    fields.DOCUMENTS, {"text": ["the cat sat on the mat a dog ran home again " * 6, "a dog", ""]}
)


def spans(**options: Any) -> Seq2Seq:
    return task(objective="spans", **options)


def pieces(made: Seq2Seq, limit: int = 24) -> list[dict[str, Any]]:
    return encoded(made, DOCUMENTS.splits["train"], limit)


def test_what_is_known_before_anything_is_drawn() -> None:
    made = spans()
    rows = pieces(made)
    assert {int(r["example"]) for r in rows} == {0, 1}
    whole = np.concatenate([r["input_ids"] for r in rows if r["example"] == 0])
    ids = made.tokenizer(DOCUMENTS.splits["train"]["text"][0].as_py(), add_special_tokens=False)
    assert whole.tolist() == ids["input_ids"]
    end = made.tokenizer.sep_token_id
    for row in made.transform(rows, seed=3):
        assert len(row["labels"]) == row["targets"]
        assert len(row["input_ids"]) + len(row["labels"]) == row["length"]
        assert len(row["input_ids"]) <= 24
        assert row["input_ids"][-1] == row["labels"][-1] == end
        assert row["labels"][0] == made.sentinels[0]
    assert list(made.fields) == ["text"]
    assert not made.generates


def test_corruption_is_a_function_of_seed_and_index() -> None:
    made = spans()
    rows = pieces(made)

    def drawn(seed: int, several: list[dict[str, Any]]) -> list[list[int]]:
        return [row["input_ids"].tolist() for row in made.transform(several, seed)]

    once = drawn(1, rows)
    assert once == drawn(1, rows)
    assert once[::-1] == drawn(1, rows[::-1])
    assert [once[1]] == drawn(1, rows[1:2])
    assert once != drawn(2, rows)


@pytest.mark.slow
def test_spans_learn() -> None:
    made = spans()
    network = model(made).train()
    rows = pieces(made)
    batch = batch_of(made, made.transform(rows, 1))
    targets = sum(int(row["targets"]) for row in rows)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = made.loss(network, batch) / targets
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_texts_are_evaluated_by_their_loss_alone() -> None:
    made = spans()
    _, records = made.predict(model(made), batch_of(made, made.transform(pieces(made), 1)))
    found = made.evaluate(DOCUMENTS.splits["train"], records, full=True)
    assert list(found.metrics) == METRICS == list(Seq2Seq.measures({"objective": "spans"}, {}))
    assert len(found.records) == 3
    assert "text" in made.present(DOCUMENTS.splits["train"], found.records)[0]


def test_a_tokenizer_without_sentinels(refused) -> None:
    made = task(tokenizer("bpe", 0), objective="spans")
    error = refused(pieces, made)
    assert error.key == "processor"
    assert "processor.sentinels=100" in error.hint
    assert "has 0" in error.problem
    assert refused(pieces, spans(), 500).key == "processor"  # 20 are too few for so long pieces


def test_a_limit_that_is_too_small(refused) -> None:
    assert refused(pieces, spans(), 3).key == "data.max_length"


# Options


def checked(**options: Any) -> None:
    Seq2Seq.check({"task": options})


def test_options_of_generation_that_are_null_are_the_checkpoints() -> None:
    assert Seq2Seq(decoding={"num_beams": 2, "length_penalty": None}).decoding == {"num_beams": 2}


def test_options_of_generation_are_checked(refused) -> None:
    checked(decoding={"num_beams": 4, "no_repeat_ngram_size": 3, "length_penalty": 0.8})
    error = refused(checked, decoding={"num_beam": 4})
    assert error.key == "task.decoding.num_beam"
    assert error.hint == "Did you mean 'num_beams'?"
    for name in ("num_return_sequences", "output_scores", "return_dict_in_generate"):
        assert refused(checked, decoding={name: 2}).key == f"task.decoding.{name}"


@pytest.mark.parametrize(
    ("name", "value"), [("noise_density", 1.0), ("mean_span", 0.5), ("max_target", 1)]
)
def test_numbers_out_of_their_range(name: str, value: float, refused) -> None:
    node = {TARGET: "lushan.tasks.seq2seq.Seq2Seq", name: value}
    assert refused(bind, "task", node).key == f"task.{name}"


def test_what_is_monitored() -> None:
    assert task().main_metric == "loss"
    assert not task().generates_in_validation
    assert task(monitor="rouge2").generates_in_validation
    known = Seq2Seq.measures({}, {})
    assert known["rouge2"].higher_is_better
    assert known["repetition"].higher_is_better is False
    assert not task(monitor="perplexity").generates_in_validation
    assert list(Seq2Seq.measures({"generates": False}, {})) == METRICS


# A whole run


@pytest.mark.slow
def test_from_pairs_to_a_table_row(tmp_path: Path) -> None:
    rows = [
        {"s": [f"The {word} is here.", "It stays."], "y": [word, f"a {word}"]}
        for word in ("cat", "dog", "mat", "hat", "pen", "cup") * 4
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = trained(
        tmp_path,
        "task=seq2seq",
        "task.decoding.max_new_tokens=8",
        "task.monitor=rouge1",
        "data=jsonl",
        f"data.train={path}",
        f"data.validation={path}",
        "data.source=s",
        "data.target=y",
        "model=t5_tiny",
        "model.config.d_model=32",
        "model.config.d_kv=16",
        "model.config.d_ff=32",
        "trainer.max_epochs=2",
    )
    result = json.loads((run / "result.json").read_text())
    assert result["main_metric"] == "val/rouge1"
    assert set(Seq2Seq.measures({}, {})) == {n.partition("/")[2] for n in result["metrics"]}
    # `the cat is here` against `cat`: all of one word, a quarter of four.
    assert result["metrics"]["val/rouge1_lead1"] == pytest.approx(0.4)
    assert any("BLEU nrefs:2" in note for note in result["notes"])
    lines = (run / "predictions" / "validation.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert first["source"] == "The cat is here. It stays."
    assert first["gold"] == ["cat", "a cat"]
    assert {"predicted", "score", "rouge1", "rouge1_lead1"} <= set(first)
    with (run / "metrics.csv").open(newline="") as file:
        evaluated_each = [row for row in csv.DictReader(file) if row["val/loss"]]
    assert all(row["val/rouge1"] and not row["val/rouge1_lead1"] for row in evaluated_each)
