"""Numbers at the edges of every key that takes one, and names of 300 letters wherever one is typed.

A run trains (a signal ends it after two steps), or ends with 2 and names the key; a loss that is no
number may end it with 1. Keys come from the signatures of what configs name, so that new ones are
tried too. The suite tries a seeded sample, `make faults` another each time; `LUSHAN_EDGES=all`
tries all, and `LUSHAN_EDGE_SEED=N` draws one again.
"""

import json
import os
import random
import re

import pytest

from lushan.config.check import check
from lushan.config.compose import compose
from tests.contract.test_commands import COMMANDS, invocations
from tests.faults import damage
from tests.faults.edges import EDGES, keys_of
from tests.helpers import command, corpora

AMOUNT = os.environ.get("LUSHAN_EDGES", "20")
"""Of keys and values, or `all`."""
SEED = int(os.environ.get("LUSHAN_EDGE_SEED") or 1)

TINY = [*command.SMALL, *damage.NARROW, "data.limit=16"]
WORDS = [*TINY, "data=sample_ner", "task=ner"]
TEXTS = [*command.SMALL, *command.LANGUAGE, "data=sample_text", "data.limit=8"]
PAIRS = ["task=seq2seq", "model=t5_tiny", "model.config.d_model=32", "data=sample_pairs"]
FOUND = ["data=jsonl", "data.train=pairs.jsonl", "data.validation=0.5"]
ITEMS = ["trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=1"]
RUNS = {
    "ner": WORDS,
    "early stopping": [*WORDS, "callbacks=early_stopping"],
    "average": [*WORDS, "callbacks=ema"],
    "guard": [*WORDS, "callbacks=guard"],
    "adafactor": [*WORDS, "optimizer=adafactor"],
    "sgd": [*WORDS, "optimizer=sgd"],
    "wsd": [*WORDS, "scheduler=wsd"],
    "mlp": [*WORDS, "task/head=mlp"],
    "classification": [*TINY, "task=classification", "data=sample_reviews"],
    "masked": [*TINY, "task=masked_lm", "data=sample_text", "data.max_length=32"],
    "samples": [*TEXTS, "data.max_length=32", "task=causal_lm", "callbacks=samples"],
    "chat": [*TEXTS, "task=chat", "data=sample_chat", "task.generate_examples=1"],
    "seq2seq": [*command.SMALL, *PAIRS, "data.limit=8", "task.decoding.max_new_tokens=2"],
    "embedding": [*TINY, *FOUND, "task=embedding"],
    "reranker": [*TINY, *FOUND, "task=reranker"],
    "recommend": [*ITEMS, "task=recommend", "model.config.n_embd=32", "data.limit=16"],
    "rank": [*ITEMS, "task=rank"],
}


def everything():
    """(run, key, value) of all keys, each in the first run that has it."""
    seen = set()
    for name, words in RUNS.items():
        fresh = [key for key in keys_of(check(compose(words))) if key not in seen]
        seen.update(fresh)
        yield from ((name, key, value) for key in fresh for value in EDGES)


@pytest.mark.slow
@pytest.mark.fault(73)
def test_a_number_at_the_edge_trains_or_is_refused(tmp_path, monkeypatch):
    damage.stop_after(2, monkeypatch)
    todo = list(everything())
    if AMOUNT != "all":
        todo = random.Random(SEED).sample(todo, int(AMOUNT))
    rows = [{"query": f"where is {n}", "positive": f"{n} is here"} for n in "abcdefghijklmnop"]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wrong = []
    for number, (name, key, value) in enumerate(todo):
        # Else what cannot change a result would be answered from the run before.
        places = [f"paths.output_dir=out{number}", "paths.cache_dir=cache"]
        done = command.inside("train", *RUNS[name], *places, f"++{key}={value}", cwd=tmp_path)
        named = "error: " in done.err and any(part in done.err for part in key.split("."))
        diverged = done.code == 1 and re.search(
            "error: (the (loss|gradient) is|weights are) ", done.err
        )
        right = done.code in (0, 143) or (done.code == 2 and named) or diverged
        if not right or "Traceback" in done.err:
            wrong.append(f"{name}, {key}={value}: {done.code} {done.err[-400:]}")
    assert not wrong, f"LUSHAN_EDGE_SEED={SEED}:\n" + "\n".join(wrong)


@pytest.mark.fault(73)
@pytest.mark.parametrize("value", [0, -1])
def test_a_bound_is_reported_with_its_key_before_anything_is_loaded(value):
    from lushan.errors import UserError

    with pytest.raises(UserError, match="must be 1 or more") as found:
        check(compose([*WORDS, f"trainer.max_epochs={value}"]))
    assert (found.value.key, found.value.value) == ("trainer.max_epochs", value)


LONG = "x" * 300
TYPED = ["name", "paths.output_dir", "paths.cache_dir", "ckpt_path", "experiment", "data", "task"]
FILES = ["data=conll", "data=text", "data=table data.text=a data.label=b", "data=hub"]


@pytest.mark.fault(73)
@pytest.mark.parametrize("key", TYPED)
def test_a_name_of_300_letters_in_a_config(key, cli_inside):
    done = cli_inside("train", *WORDS, f"{key}={LONG}")
    assert (done.code, "Traceback" in done.err) == (2, False), done.err
    assert key in done.err or LONG in done.err


@pytest.mark.fault(73)
@pytest.mark.parametrize("source", FILES)
def test_a_file_of_300_letters(source, cli_inside):
    where = "path" if source == "data=hub" else "train"
    done = cli_inside("train", *command.SMALL, *source.split(), f"data.{where}={LONG}")
    assert (done.code, "Traceback" in done.err) == (2, False), done.err


@pytest.mark.fault(73)
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != ("completion",)])
def test_a_path_of_300_letters_under_every_command(name, ner_run, tmp_path, monkeypatch):
    """As what it is pointed at, and as what it writes to."""
    content = ("x.txt", "Anna\n")
    for words in invocations(COMMANDS[name], tmp_path / LONG, tmp_path, content):
        done = command.inside(*name, *words, cwd=tmp_path)
        assert (done.code, "Traceback" in done.err) == (2, False), f"{words}\n{done.err}"
    for words in invocations(COMMANDS[name], ner_run, tmp_path, content):
        shown = [LONG if word in ("out", "exported") else word for word in words]
        if shown != words:
            done = command.inside(*name, *shown, cwd=tmp_path)
            assert (done.code, "Traceback" in done.err) == (2, False), f"{shown}\n{done.err}"


@pytest.mark.fault(73)
def test_labels_and_tags_of_300_letters_are_ordinary_ones(tmp_path, cli_inside):
    for split, times in corpora.SPLITS.items():
        lines = [f"Anna B-{LONG}\nlives O\n" for _ in range(4 * times)]
        (tmp_path / f"{split}.conll").write_text("\n".join(lines) + "\n")
    files = [f"data.{split}={split}.conll" for split in corpora.SPLITS]
    words = ["task=ner", "data=conll", *files, f"tags=[{LONG}]"]
    done = cli_inside("train", *command.SMALL, *damage.NARROW, *words)
    assert done.code == 0, done.err
    assert LONG in done.result["reports"]["test"]["entity"]
