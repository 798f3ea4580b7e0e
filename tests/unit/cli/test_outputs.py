"""What a command writes replaces neither what it reads nor what a run has written."""

import os
import shutil

import pytest
import typer
from tests.contract.test_commands import EVERY
from tests.helpers import command

from lushan.cli import app, outputs

TEXT = "Anna lives in Paris .\n"


def commands(group=None):
    group = typer.main.get_command(app.app) if group is None else group
    for found in group.commands.values():
        yield from commands(found) if hasattr(found, "commands") else [found]


def test_every_command_looks_at_what_it_would_replace():
    found = list(commands())
    assert len(found) == len(EVERY)
    assert all(isinstance(one, outputs.Command) for one in found)


@pytest.fixture
def here(tmp_path, ner_run):
    shutil.copytree(ner_run, tmp_path / "run", symlinks=True)
    (tmp_path / "x.txt").write_text(TEXT)
    (tmp_path / "linked.txt").symlink_to("x.txt")
    os.link(tmp_path / "x.txt", tmp_path / "hard.txt")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    (tmp_path / "study.yaml").write_text("title: x\n")
    return tmp_path


READ = [
    "predict run --input x.txt --output x.txt",
    "predict run --input x.txt --output ./x.txt",
    "predict run --input x.txt --output linked.txt",
    "predict run --input x.txt --output hard.txt",
    "predict run --input *.txt --output x.txt",
    "generate run --input prompts.jsonl --output prompts.jsonl",
    "search run --input x.txt --output x.txt",
    "assist study.yaml --input x.txt --output x.txt",
    "study table study.yaml --output study.yaml",
]
WRITTEN = [
    "predict run --input x.txt --output run/result.json",
    "predict run --input x.txt --output run/predictions/test.jsonl",
    "predict run --input x.txt --output run/checksums.json",
    "page run --output run/config.yaml",
    "table run --rows seed --output run/run.json",
    "audit --run run --output run/inputs.json",
]


@pytest.mark.parametrize("line", READ)
def test_what_is_read_is_not_replaced(here, line):
    kept = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    done = command.inside(*line.split(), cwd=here)
    assert done.code == 2
    assert "this is an input file, and would be overwritten" in done.err
    assert {path: path.read_bytes() for path in kept} == kept


@pytest.mark.parametrize("line", WRITTEN)
def test_what_a_run_has_written_is_not_replaced(here, line):
    before = (here / line.split()[-1]).read_bytes()
    done = command.inside(*line.split(), cwd=here)
    assert done.code == 2
    assert "this file belongs to a run" in done.err
    assert (here / line.split()[-1]).read_bytes() == before


def test_what_is_neither_is_replaced(here):
    (here / "old.jsonl").write_text("old\n")
    (here / "run" / "page.md").write_text("old\n")
    for line in (
        "predict run --input x.txt --output old.jsonl",
        "page run --output run/page.md",
        "predict run --input x.txt --output -",
    ):
        assert command.inside(*line.split(), cwd=here).code == 0
    assert "Anna" in (here / "old.jsonl").read_text()
    assert (here / "run" / "page.md").read_text() != "old\n"


@pytest.mark.parametrize("name", [".", "run", "", "..", "run/.."])
def test_a_folder_is_no_file_to_write(here, name):
    for line in ("predict run --input x.txt", "page run", "table run --rows seed"):
        done = command.inside(*line.split(), "--output", name, cwd=here)
        assert done.code == 2, done.err
        assert "this is a folder, but a file is required" in done.err
        assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("search run x --top-k -3", "--top-k: must be 1 or more"),
        ("search run x --top-k 1.5", "--top-k: must be a whole number"),
        ("search run x --top-k many", "--top-k: must be a whole number"),
        ("tune lr --steps 0", "--steps: must be "),
        ("sync run --to x", "--to: 'x' is not one of 'wandb', 'mlflow'"),
    ],
)
def test_a_value_that_does_not_fit_says_what_does(here, line, says):
    done = command.inside(*line.split(), cwd=here)
    assert done.code == 2
    assert says in done.err
    assert not {"Input", "Value error", "Usage"} & set(done.err.split())
