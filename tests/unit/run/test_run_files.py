"""Files that are there in full or not at all."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.waiting import until

from lushan.errors import RunFailed, UserError
from lushan.run import files


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_it_replaces_a_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "new folder" / "a.txt"
    files.atomic_write(path, "one")
    files.atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["a.txt"]


def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="not a regular file"):
        files.atomic_write(pipe, "one")
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


def test_an_exception_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with files.replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


WRITER = """
import sys
from lushan.run.files import atomic_write
number = 0
while True:
    atomic_write(sys.argv[1], str(number % 10) * 200_000)
    number += 1
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    path = tmp_path / "a.txt"
    for wait in (0.0, 0.004, 0.013):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        path.unlink(missing_ok=True)
        until(path.exists, process=writer, pause=0.005)
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        content = path.read_text()
        assert len(content) == 200_000
        assert len(set(content)) == 1
    files.clean_leftovers(tmp_path)
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_no_fault_of_the_program(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match="No space left"):
        files.atomic_write(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_folder_without_permission_is_refused_before_the_first_step(tmp_path):
    place = tmp_path / "closed"
    place.mkdir(mode=0o700)
    child = os.fork()
    if child == 0:
        os.seteuid(65534)
        try:
            files.check_writable(place / "run")
        except UserError as error:
            os._exit(0 if error.key == "paths.output_dir" else 3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_probe_of_a_folder_leaves_nothing(tmp_path):
    files.check_writable(tmp_path)
    assert names(tmp_path) == []


def test_json_has_no_nan(tmp_path):
    path = tmp_path / "a.json"
    value = {"a": math.nan, "b": [math.inf, 1.5], 3: Path("x"), "中": np.float32(0.5)}
    files.write_json(path, value)
    assert files.read_json(path) == {"a": None, "b": [None, 1.5], "3": "x", "中": 0.5}
    assert "中" in path.read_text(encoding="utf-8")
    files.write_json(path, "\udcff")  # a file name that is not UTF-8
    json.loads(path.read_bytes())
    with pytest.raises(TypeError, match="object"):
        files.jsonable(object())


def test_a_damaged_json_file_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": ')
    with pytest.raises(UserError) as caught:
        files.read_json(path)
    assert caught.value.file == str(path)


def test_leftovers_are_found_at_any_depth(tmp_path):
    (tmp_path / "a" / ".tmp-folder").mkdir(parents=True)
    (tmp_path / "a" / ".tmp-folder" / "x").touch()
    (tmp_path / "a" / ".tmp-1-x").touch()
    (tmp_path / "a" / "kept").touch()
    assert len(files.clean_leftovers(tmp_path)) == 2
    assert names(tmp_path / "a") == ["kept"]
