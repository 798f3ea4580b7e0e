"""Streams that are closed or full, encodings that lack letters, variables that are no numbers."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.helpers.command import LUSHAN

pytestmark = [pytest.mark.fault(77), pytest.mark.timeout(120)]


def shell(line, cwd, **env):
    return subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env=os.environ | {"LUSHAN": str(LUSHAN)} | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_is_closed(closed, tmp_path):
    done = shell(f'"$LUSHAN" --version {closed}', tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_files_do_not_get_the_number_of_a_closed_stream(tmp_path):
    line = (
        "import os; from lushan.common.terminal import open_streams as o; o(); f = open('x', 'w'); "
    )
    line += "print('hidden'); assert f.fileno() > 2; f.close(); assert not open('x').read()"
    done = shell(f'"$(dirname "$LUSHAN")/python" -c "{line}" <&- >&-', tmp_path)
    assert done.returncode == 0, done.stderr


def test_what_is_printed_to_is_full(tmp_path):
    done = shell('"$LUSHAN" --version >/dev/full; "$LUSHAN" train --help >/dev/full', tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("no space left on the disk, or on what this is printed to") == 2
    assert "Traceback" not in done.stderr


def test_an_encoding_lacks_a_letter(tmp_path):
    line = "import sys; from lushan.common import terminal as t; t.open_streams(); t.echo('\u00b1')"
    python = f'"$(dirname "$LUSHAN")/python" -c "{line}"'
    done = shell(python, tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "\\xb1\n"), done.stderr


def test_the_working_folder_is_gone(tmp_path):
    done = shell('mkdir gone; cd gone; rmdir ../gone; "$LUSHAN" runs', tmp_path)
    assert done.returncode == 2
    assert "the working folder no longer exists" in done.stderr


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID"])
@pytest.mark.parametrize("value", ["abc", "-1", "", "１"])
def test_a_launchers_variable_is_no_number(name, value, cli_inside, monkeypatch):
    monkeypatch.setenv(name, value)
    done = cli_inside("train", "experiment=sample/ner")
    assert done.code == 2, done.err
    assert f"{name}: this variable must be a number" in done.err
