"""Pipes and devices in place of files: whoever opens one waits, or reads, without end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lushan.errors import UserError
from lushan.inference import load
from lushan.run import files, inside
from lushan.run.folder import RunFolder
from lushan.text import bounds

pytestmark = [pytest.mark.fault(74), pytest.mark.timeout(60)]
READERS = {
    "bytes": files.read_bytes,
    "text": files.read_text,
    "JSON": files.read_json,
    "hash": files.sha256_file,
}


@pytest.fixture
def pipe(tmp_path):
    """A pipe that nobody writes to."""
    os.mkfifo(path := tmp_path / "pipe")
    return path


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", ["pipe", "/dev/zero"])
def test_what_is_no_file_is_not_read(what, reader, pipe):
    with pytest.raises(UserError, match="a pipe, a socket or a device"):
        READERS[reader](pipe if what == "pipe" else Path(what))


def test_each_file_of_a_run_may_be_one(ner_run, tmp_path):
    names = [p.relative_to(ner_run) for p in sorted(ner_run.rglob("*")) if p.is_file()]
    assert len(names) > 10
    for number, name in enumerate(names):
        run = tmp_path / str(number) / ner_run.name
        shutil.copytree(ner_run, run)
        (run / name).unlink()
        os.mkfifo(run / name)
        RunFolder(run).status()  # for tables, which read many
        with pytest.raises(UserError, match="a pipe, a socket or a device") as caught:
            load.load(run)
        assert caught.value.file == str(run / name)


def test_a_models_folder_may_hold_one(tmp_path, pipe):
    for check in (inside.files_of, lambda folder: bounds.require_own_files(folder, "model.path")):
        with pytest.raises(UserError, match="a pipe, a socket or a device") as caught:
            check(tmp_path)
        assert caught.value.file == str(pipe)


@pytest.mark.parametrize("command", [("study", "run"), ("eval",), ("compare",)])
def test_a_command_may_be_given_one(command, pipe, cli_inside):
    done = cli_inside(*command, *([pipe] * (1 + (command == ("compare",)))))
    assert done.code == 2, done.err
    assert str(pipe) in done.err
