"""A complete run is answered, and an interrupted one resumed, only for what it was made from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import command, corpora

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import lifecycle
from lushan.errors import UserError
from lushan.run.files import read_json, write_json
from lushan.run.folder import RunFolder
from lushan.run.input_changes import INPUTS, changes

CODE = """
import helper
from pytorch_lightning import Callback


class Watch(Callback):
    def __init__(self, words: str) -> None:
        self.words = words
"""


@pytest.fixture(scope="module")
def began(ner_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A complete run that began with the weights of others, and its config."""
    folder = tmp_path_factory.mktemp("began")
    shutil.copytree(ner_run, folder / "earlier")
    shutil.copytree(ner_run / "checkpoints" / "best", folder / "weights")
    (folder / "mine_watching.py").write_text(CODE, encoding="utf-8")
    (folder / "helper.py").write_text("x = 1\n", encoding="utf-8")
    (folder / "words.txt").write_text("one\n", encoding="utf-8")
    files = corpora.overrides(corpora.conll(folder))
    small = [word for word in command.SMALL if not word.startswith(("model=", "processor."))]
    places = [f"paths.output_dir={folder}/outputs", f"paths.cache_dir={folder}/cache"]
    watch = f"+callbacks.own={{_target_: mine_watching.Watch, words: {folder}/words.txt}}"
    from_ = [f"init_from={folder}/earlier", f"ckpt_path={folder}/weights", watch]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUSHAN_TARGETS", "mine_watching")
        patch.syspath_prepend(folder)
        from lushan.config.init_from import starting_from

        overrides = starting_from([*small, *places, "task=ner", "data=conll", *files, *from_])
        cfg = check(compose(overrides))
        lifecycle.run(cfg)
    return folder, cfg


@pytest.fixture
def mine(began: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUSHAN_TARGETS", "mine_watching")
    monkeypatch.syspath_prepend(began[0])
    return began[0]


@pytest.fixture
def changed(mine: Path) -> Any:
    """Changes a file for the length of a test."""
    before: dict[Path, bytes] = {}

    def change(name: str) -> None:
        path = mine / name
        before[path] = path.read_bytes()
        path.write_bytes(before[path] + (b"\ny = 2\n" if name.endswith(".py") else b" "))

    yield change
    for path, content in before.items():
        path.write_bytes(content)


CHANGES = {
    "earlier/checkpoints/best/weights.safetensors": "model.path",
    "earlier/processor/tokenizer.json": "model.path",
    "earlier/encoder/config.json": "model.path",
    "weights/weights.safetensors": "ckpt_path",
    "words.txt": "callbacks.own.words",
    "mine_watching.py": None,
    "helper.py": None,
    "train.conll": "data.train",
}


@pytest.mark.slow
def test_what_is_as_it_was_is_answered(began: Any, mine: Path) -> None:
    assert lifecycle.run(began[1]).folder.is_dir()
    for path in mine.glob("*.py"):  # touched is not changed
        os.utime(path)
    assert lifecycle.run(began[1]).state == "complete"


@pytest.mark.parametrize(("name", "key"), CHANGES.items())
def test_what_has_changed_is_named(
    began: Any, changed: Callable[[str], None], name: str, key: str | None
) -> None:
    changed(name)
    with pytest.raises(UserError, match="changed since") as caught:
        lifecycle.run(began[1])
    assert caught.value.key == key
    assert Path(name).name.partition(".")[0] in str(caught.value)


def test_weights_are_not_used_by_other_code_without_a_word(
    began: Any, changed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lushan.inference.load import load

    folder = RunFolder.of(began[1]).path
    assert load(folder).notes == []
    changed("helper.py")
    with pytest.raises(UserError, match="the code of helper has changed"):
        load(folder)
    monkeypatch.setenv("LUSHAN_CHANGED_CODE", "1")
    assert "the code of helper has changed" in load(folder).notes[0]


def test_a_run_that_failed_at_once_begins_again_with_what_is_there_now(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    write_json(folder.path / INPUTS, {"data": {"train": "a"}})
    with pytest.raises(UserError, match="the data of train has changed"):
        lifecycle.require_its_inputs(folder, {"data": {"train": "b"}})
    write_json(folder.run_json, {"state": "failed"})
    (folder.path / "processor").mkdir()
    lifecycle.require_its_inputs(folder, {"data": {"train": "a"}, "files": {}, "targets": {}})
    assert (folder.path / "processor").is_dir()
    lifecycle.require_its_inputs(folder, {"data": {"train": "b"}, "files": {}, "targets": {}})
    assert not (folder.path / "processor").exists()
    (folder.checkpoints / "step-1").mkdir(parents=True)
    with pytest.raises(UserError, match="the data of train has changed"):
        lifecycle.require_its_inputs(folder, {"data": {"train": "b"}})


def test_a_file_that_a_callback_writes_is_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"data": {}, "files": {"callbacks.a.file": "1", "model.path/x": "1"}, "targets": {}}
    after = {"data": {}, "files": {"callbacks.a.file": "2", "model.path/x": "2"}, "targets": {}}
    monkeypatch.setattr(lifecycle, "inputs_of", lambda *_: after)
    kept, notes = lifecycle.still_inputs({}, None, before)
    assert kept["files"] == {"model.path/x": "1"}
    assert notes == ["x of model.path changed while the run was training"]


def test_new_and_lost_files_are_changes() -> None:
    before = {"files": {"model.path/a": "1", "task.template": "1"}}
    now = {"files": {"model.path/b": "1", "task.template": "1", "callbacks.x": "1"}}
    found = [(change.name, change.how) for change in changes(before, now)]
    assert found == [("model.path/a", "gone"), ("model.path/b", "new")]
    assert changes({}, now) == []  # an older run has recorded nothing


def test_what_was_read_is_recorded(began: Any) -> None:
    folder = RunFolder.of(began[1]).path
    kept = read_json(folder / "result.json")["inputs"]
    assert set(kept) == {"data", "files", "targets"}
    assert list(kept["targets"]) == ["helper", "mine_watching"]
    manifest = read_json(folder / "manifest.json")["fingerprints"]
    assert {kind: manifest[kind] for kind in kept} == kept
