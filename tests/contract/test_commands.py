"""Every command answers, or refuses in words: whatever kind of run or folder it is pointed at.

Commands come from the application and tasks from `conf/task`, so that new ones are tested too.
"""

import asyncio
import functools
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
import typer

from lushan.cli import app
from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import built_in_conf, compose
from lushan.data.field_roles import inputs
from lushan.data.fields import Image
from lushan.data.item_fields import Items
from lushan.data.media_fields import Content, of_struct
from lushan.inference.generator import generator_of
from lushan.inference.load import load
from lushan.run.files import jsonable
from lushan.serve.heads import Heads
from lushan.serve.limits import Bounds
from lushan.text import parts
from tests.conftest import trained
from tests.helpers import command, corpora, quick
from tests.helpers.narrow import narrowed
from tests.helpers.served import data_url

WITHOUT_JSON = {
    "train": "it takes Hydra's arguments; the last line names the run's folder with `result.json`",
    "predict": "it always writes JSON lines",
    "chat": "a conversation; `generate --json` completes prompts",
    "serve": "it returns JSON over HTTP until a signal stops it",
    "monitor": "it runs until it is stopped; each alarm is JSON for `--webhook` and `--command`",
    "completion": "it prints a shell script",
}
"""Commands that have no `--json`, and why."""

DOCS = Path(__file__).parents[2] / "docs"
SAMPLES = {
    "tokens": "sample_ner",
    "source": "sample_pairs",
    "messages": "sample_chat",
    "text": "sample_reviews",
    "image": "sample_images",
}
"""Data for the first field that a task reads; for others a file is written."""
MODELS = {
    "AutoModel": ["model=bert_tiny"],
    "AutoModelForMaskedLM": ["model=bert_tiny"],
    "AutoModelForCausalLM": ["model=gpt2_tiny"],
    "AutoModelForSeq2SeqLM": ["model=t5_tiny"],
}
SMALLER = {
    name: ["model.config.n_embd=32", "model.config.n_layer=1", "processor.vocab_size=300"]
    for name in ("interleaved_lm", "multimodal_lm", "video_lm")
}
"""Sizes of models that go with their tasks."""
IMAGES = [o for o in command.SMALL if not o.startswith(("model", "processor"))]
"""What makes a run on images small."""
INPUTS = {
    "tokens": ("x.txt", "Anna lives in Paris .\n"),
    "text": ("x.txt", "a clever film\n"),
    "question": ("x.jsonl", json.dumps({"question": "Who?", "context": "Anna lives."}) + "\n"),
    "image": ("x.jsonl", json.dumps({"image": "there_is_none.png"}) + "\n"),
    "content": ("x.jsonl", json.dumps({"content": "a red circle"}) + "\n"),
    "source": ("x.jsonl", json.dumps({"source": "one two"}) + "\n"),
    "messages": (
        "x.jsonl",
        json.dumps({"messages": [{"role": r, "content": "hi"} for r in ("user", "assistant")]})
        + "\n",
    ),
}
OF_THEIR_OWN = (Content, Image, Items)
"""Fields of tasks whose configs choose a model and data that go with them."""
TEXTS = ["task=classification", "data=table", "data.text=sentence", "data.label=label"]
VARIANTS = {
    "ner with an adapter": ["task=ner", "data=sample_ner", "peft=lora"],
    "causal_lm with an adapter": ["task=causal_lm", "data=sample_text", "peft=lora"],
    "seq2seq with an adapter": ["task=seq2seq", "data=sample_pairs", "peft=lora"],
    "several labels": [*TEXTS, "task.kind=multilabel", "data.label_separator=';'"],
    "numbers": [*TEXTS, "task.kind=regression"],
    "pairs of texts": [*TEXTS, "data.text=[sentence,other]"],
    "gaps": ["task=seq2seq", "task.objective=spans", "data=sample_text", "processor.sentinels=100"],
}
SHORT = {
    "task=chat": "task.max_new_tokens=4",
    "task=seq2seq": "task.decoding.max_new_tokens=4",
}
"""What a run writes is as short as that: most of its time otherwise, and of no interest here."""
TASKS = sorted(path.stem for path in (built_in_conf() / "task").glob("*.yaml"))
RUNS = [
    pytest.param(kind, marks=pytest.mark.xdist_group(f"commands, {kind}"), id=kind)
    for kind in (*TASKS, *VARIANTS)
]
"""Each in one process, which trains it once."""
FIXTURES = ["ner_run", "reviews_run", "lm_run", "chat_run", "pairs_run"]
ELSE = ["interrupted", "begun", "damaged", "other config", "empty", "file", "missing"]


OF_NO_RUN = [
    *(("train",), ("options",), ("doctor",), ("tune", "lr")),
    *(("data", "list"), ("data", "get")),
]
"""Commands of configs and machines; the words of `train` are Hydra's."""


def all_commands(group=None, before=()):
    """(its words, what it takes) of every command."""
    group = typer.main.get_command(app.app) if group is None else group
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from all_commands(found, (*before, name))
        else:
            yield (*before, name), found.params


EVERY = dict(all_commands())
COMMANDS = {name: params for name, params in EVERY.items() if name not in OF_NO_RUN}
"""Those that may be pointed at a run."""
HEAVY = [("reproduce",)]
"""Commands that train."""


@pytest.mark.parametrize("name", EVERY, ids=" ".join)
def test_a_command_reports_in_json_or_there_is_a_reason(name):
    options = {option: param for param in EVERY[name] for option in param.opts}
    as_json = options.get("--json")
    assert (as_json is None) == (" ".join(name) in WITHOUT_JSON)
    assert as_json is None or as_json.is_flag
    # Consent is given by --yes, and --quiet goes with every command.
    assert not {"--force", "--overwrite", "--confirm", "--no-input", "--quiet"} & set(options)


def test_the_reasons_are_documented_and_of_commands_that_there_are():
    page = (DOCS / "command_line.md").read_text(encoding="utf-8")
    names = {" ".join(name) for name in EVERY}
    for name, reason in WITHOUT_JSON.items():
        assert name in names
        assert f"| `{name}` | {reason} |" in page


ANSWERS = {
    ("options",): ["optimizer"],
    ("data", "list"): [],
    ("runs",): ["{run}"],
    ("eval",): ["{run}"],
    ("table",): ["{run}", "--rows", "seed"],
    ("compare",): ["{run}", "{run}"],
    ("page",): ["{run}", "--output", "page.md"],
    ("report",): ["{run}", "-o", "site"],
    ("export",): ["{run}", "exported", "--yes"],
    ("index", "build"): ["x.txt", "--model", "bm25", "--output", "index"],
    ("search",): ["index", "film"],
    ("audit",): ["--run", "{run}"],
    ("doctor",): ["--offline"],
    ("explain",): ["optimizer.lr"],
}


@pytest.mark.slow
def test_json_is_one_document_on_standard_output(ner_run, tmp_path):
    (tmp_path / "x.txt").write_text("a clever film\nanother\n")
    for name, words in ANSWERS.items():
        given = [word.format(run=ner_run) for word in words]
        done = command.inside(*name, *given, "--json", "--quiet", cwd=tmp_path)
        assert done.code == 0, done.err
        json.loads(done.out)
        assert all(line.startswith(("note: ", "not shown: ")) for line in done.err.splitlines())


def rows_of(task, folder):
    """The data of a task without a sample: questions, or the rows of its own demo."""
    if "question" in task.fields:
        return questions(folder)
    table = type(task).demo().splits["train"]
    rows = table.select([n for n in task.fields if n in table.column_names]).to_pylist()
    path = folder / "demo.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ["data=jsonl", f"data.train={path}", f"data.validation={path}", f"data.test={path}"]


def questions(folder):
    return ["data=squad", "data.each=null", *corpora.overrides(corpora.flat_questions(folder))]


@pytest.fixture(scope="session")
def a_run(tmp_path_factory):
    """Train a run of a kind; its folder."""

    @functools.cache
    def made(kind):
        folder = tmp_path_factory.mktemp("run")
        overrides = VARIANTS.get(kind, [f"task={kind}"])
        if TEXTS[1] in overrides:
            value = {"task.kind=regression": "{}", "task.kind=multilabel": "a;b{}"}
            label = next((v for k, v in value.items() if k in overrides), "a{}")
            rows = [f"film {i}\tday {i}\t{label.format(i % 3)}" for i in range(20)]
            path = folder / "all.tsv"
            path.write_text("\n".join(["sentence\tother\tlabel", *rows]) + "\n")
            overrides = [*overrides, f"data.train={path}", "data.validation=0.2", "data.test=0.2"]
        task = build(check(compose(overrides))["task"])
        first = next(iter(task.fields))
        if any(isinstance(field, OF_THEIR_OWN) for field in task.fields.values()):
            model, small = [], [*IMAGES, *SMALLER.get(kind, [])]
        else:
            model, small = MODELS[task.auto_class], command.SMALL
        if model and not any(o.startswith("data=") for o in overrides):
            sample = [f"data={SAMPLES[first]}"] if first in SAMPLES else rows_of(task, folder)
            overrides = [*overrides, *sample]
        overrides = [*overrides, *(SHORT[o] for o in overrides if o in SHORT)]
        given = narrowed([*small, *overrides, *model, "data.limit=8"])
        return trained(folder, *given, small=())

    return made


def invocations(params, place, work, content):
    """The ways in which a command is called: with what it requires, and with prompts and input."""
    (work / content[0]).write_text(content[1])
    values = {
        "input": content[0],
        "output": "out",
        "folder": "exported",
        "rows": "seed",
        "prompt": "hi",
    }
    words, more = [], [[]]
    own = ["model"] if any(param.name == "corpus" for param in params) else []  # of an index
    for param in params:
        value = values.get(param.name, str(place))
        is_argument = param.param_type_name == "argument"
        if is_argument and (param.required or param.name in ("root", "run")):
            words.append(value)
        elif is_argument:
            continue
        elif param.required or param.name in ("run", "output", *own):
            words += [param.opts[0], value]
        elif param.name in ("prompt", "input"):
            more.append([param.opts[0], value])
        elif param.name == "max_new_tokens":
            words += [param.opts[0], "3"]
        elif param.name == "check":  # a server would not end
            words += [param.opts[0], "--port", "0"]
    assert str(place) in words, f"say how it is pointed at a run: {[p.name for p in params]}"
    return [[*words, *extra] for extra in more]


def try_all(names, place, work, monkeypatch, content=INPUTS["text"]):
    wrong = []
    for name in names:
        for words in invocations(COMMANDS[name], place, work, content):
            for left in ("out", "exported"):
                if (work / left).is_dir():
                    shutil.rmtree(work / left)
                (work / left).unlink(missing_ok=True)
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hi\n")))
            done = command.inside(*name, *words, cwd=work)
            refused = done.code == 2 and done.err.startswith("error: ")
            if "Traceback" in done.err or not (done.code == 0 or refused):
                wrong.append(f"{' '.join([*name, *words])}: {done.code}\n{done.err[-600:]}")
    assert not wrong, "\n\n".join(wrong)


def content_of(run):
    from lushan.run.config_yaml import read_config

    cfg = read_config(run)
    task = build(cfg["task"])
    first = next(iter(task.fields))
    if first not in INPUTS:
        row = type(task).demo().splits["train"].select(list(inputs(task.fields))).to_pylist()[0]
        return "x.jsonl", json.dumps(row) + "\n"
    name, text = INPUTS[first]
    columns = cfg["data"].get("text")
    if isinstance(columns, list):
        return "x.jsonl", json.dumps(dict.fromkeys(columns, "film")) + "\n"
    return name, text


@pytest.mark.slow(1)
@pytest.mark.parametrize("fixture", FIXTURES)
def test_the_usual_runs_are_predicted(fixture, request, tmp_path, monkeypatch):
    run = request.getfixturevalue(fixture)
    try_all([("predict",)], run, tmp_path, monkeypatch, content_of(run))
    assert (tmp_path / "out").read_text().strip()


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_every_command_on_every_kind_of_run(kind, a_run, tmp_path, monkeypatch):
    run = a_run(kind)
    names = [name for name in COMMANDS if name not in HEAVY or kind in TASKS]
    try_all(names, run, tmp_path, monkeypatch, content_of(run))


def sent(field, value):
    """A value of a corpus as a request holds it."""
    if isinstance(field, Content):
        return [
            {"type": "image", "image": data_url(part["bytes"])} if parts.is_image(part) else part
            for part in of_struct(value)
        ]
    return data_url(value["bytes"]) if isinstance(field, Image) else value


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_every_run_with_a_head_answers_requests(kind, a_run):
    loaded = load(a_run(kind))
    if generator_of(loaded) is not None:
        pytest.skip("it writes")
    task = loaded.task
    heads = Heads("run", loaded, Bounds())
    fields = inputs(task.fields)
    table = type(task).demo().splits["train"]
    rows = table.select([name for name in fields if name in table.column_names]).to_pylist()[:2]
    rows = [{n: sent(fields[n], v) for n, v in row.items() if v is not None} for row in rows]
    if kind == "pairs of texts":
        rows = [row | {"text_pair": "b"} for row in rows]
    body = heads.request(alone=True).model_validate({"inputs": rows})
    given = [row.model_dump(exclude_none=True) for row in body.inputs]
    found = asyncio.run(heads.worker.ask(heads.encoded(given), len(given), 60))
    heads.worker.close()
    assert len(found) == len(rows)
    json.dumps(jsonable(found), allow_nan=False)
    assert set(task.displays) <= set(found[0])


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--adapter"]])
@pytest.mark.parametrize("kind", RUNS)
def test_every_command_on_every_exported_folder(kind, more, a_run, tmp_path, monkeypatch):
    if more and "adapter" not in kind:
        pytest.skip("it has none")
    folder = tmp_path / "there"
    done = command.inside("export", a_run(kind), folder, *more, cwd=tmp_path)
    if done.code == 2:
        pytest.skip(done.err)
    assert done.code == 0, done.err
    try_all(COMMANDS, folder, tmp_path, monkeypatch)


@pytest.fixture
def odd(tmp_path, ner_run):
    """A folder that is no complete run, by its kind."""

    def made(kind):
        place = tmp_path / "there"
        if kind == "empty":
            place.mkdir()
        elif kind == "file":
            place.write_text("x")
        elif kind == "other config":
            place.mkdir()
            (place / "config.yaml").write_text("a: 1\n")
        elif kind in ("interrupted", "begun", "damaged"):
            shutil.copytree(ner_run, place)
        if kind in ("interrupted", "begun"):
            record = json.loads((place / "run.json").read_text())
            record |= {"state": "interrupted", "sha256": None}
            (place / "run.json").write_text(json.dumps(record))
            (place / "result.json").unlink()
        if kind == "begun":
            shutil.rmtree(place / "checkpoints")
            (place / "task.json").unlink()
        if kind == "damaged":
            for name in ("task.json", "run.json", "result.json"):
                (place / name).write_text("{")
        return place

    return made


@pytest.mark.parametrize("kind", quick.only(["begun", "file"], ELSE))
def test_every_command_on_what_is_no_complete_run(kind, odd, tmp_path, monkeypatch):
    names = [name for name in COMMANDS if name not in HEAVY or kind != "interrupted"]
    try_all(names, odd(kind), tmp_path, monkeypatch, INPUTS["tokens"])


def test_what_is_no_run_is_called_what_it_is(cli_inside, tmp_path):
    for name, file, printed in (
        ("model", "config.json", "Hugging Face"),
        ("adapter", "adapter_config.json", "adapter"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
        done = cli_inside("eval", name)
        assert (done.code, printed in done.err) == (2, True)
