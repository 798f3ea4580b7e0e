"""What a run and an export write may be read by whom the umask lets read new files."""

import os
import stat

import pytest

from lushan.run.files import follow_umask


def test_no_file_of_a_run_is_its_owners_alone(ner_run):
    files = [path for path in ner_run.rglob("*") if path.is_file()]
    assert any(path.name == "weights.safetensors" for path in files)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    assert set(modes.values()) == {modes["result.json"]}, modes


def test_nor_of_an_export(ner_run, tmp_path, cli_inside):
    done = cli_inside("export", ner_run, tmp_path / "hf")
    assert done.code == 0, done.err
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "hf").iterdir()}
    assert set(modes.values()) == {modes["README.md"]}, modes


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_mode_is_the_umasks(tmp_path, umask):
    file = tmp_path / "a"
    file.write_text("x")
    file.chmod(0o600)
    before = os.umask(umask)
    try:
        follow_umask(file, tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask
    assert list(tmp_path.iterdir()) == [file]
