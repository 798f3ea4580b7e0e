"""What a run reads: every file that its config names, and the code of the user's own targets."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lushan.config import code, inputs
from lushan.config.allow_list import nodes
from lushan.config.signatures import signature
from lushan.errors import UserError
from lushan.run.identity import LOCATIONS, is_excluded

CONF = Path(__file__).parents[3] / "conf"
NAMES_A_PLACE = re.compile(r"(^|_)(path|dir|dirpath|folder|file|filename|template|storage)s?$")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, which code of the user's is imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LUSHAN_TARGETS", "mine")
    yield tmp_path
    importlib.invalidate_caches()


def config(here: Path, **groups: Any) -> dict[str, Any]:
    return {"paths": {"cache_dir": str(here / ".cache")}, **groups}


def written(path: Path, text: str = "a") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def paths_of_conf() -> Iterator[tuple[str, str]]:
    """Every key of every group of conf/ that is called like a place, and its target."""
    for file in sorted(CONF.rglob("*.yaml")):
        group = file.relative_to(CONF).parts[0]
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if group in ("hydra", "experiment", "hparams_search", "debug", "paths") or not content:
            continue
        node = content if "_target_" in content else {name: content[name] for name in content}
        for key, inner in nodes(node, group):
            for name in signature(inner["_target_"], key).parameters:
                if NAMES_A_PLACE.search(name):
                    yield f"{key}.{name}", inner["_target_"]


@pytest.mark.slow(2)
def test_every_key_that_names_a_place_is_read_or_said_not_to_be(here: Path) -> None:
    found = dict(paths_of_conf())
    assert {"model.path", "processor.path", "task.template", "data.dir"} <= set(found)
    folder = written(here / "place" / "x.bin").parent
    for key, target in found.items():
        if is_excluded(key) or target.startswith(inputs.LIGHTNING):
            continue
        group, *more = key.split(".")
        node: dict[str, Any] = {more[-1]: str(folder / "x.bin")}
        for name in reversed(more[:-1]):
            node = {name: node}
        files = inputs.read_by(config(here, **{group: node}))["files"]
        own = inputs.OF_SOURCE.fullmatch(key)
        assert list(files) == ([] if own else [key]), key


@pytest.mark.parametrize("key", [*LOCATIONS, "ckpt_path"])
def test_a_folder_is_all_of_its_files(here: Path, key: str) -> None:
    if inputs.OF_SOURCE.fullmatch(key):
        return  # the source's own
    for name in ("a.json", "sub/b.bin", ".hidden", "README.md", "__pycache__/a.pyc"):
        written(here / "place" / name)
    group, _, name = key.partition(".")
    cfg = config(here, **({group: {name: "place"}} if name else {key: "place"}))
    before = inputs.read_by(cfg)["files"]
    assert list(before) == [f"{key}/a.json", f"{key}/sub/b.bin"]
    written(here / "place" / "a.json", "b")
    after = inputs.read_by(cfg)["files"]
    assert [n for n in before if before[n] != after[n]] == [f"{key}/a.json"]


def test_any_key_that_names_a_file_counts(here: Path) -> None:
    written(here / "words.txt")
    head = {"_target_": "mine.Head", "words": ["words.txt", "not/there.txt"], "mode": "max"}
    found = inputs.read_by(config(here, task={"head": head}, name="words.txt"))["files"]
    assert list(found) == ["task.head.words.0"]


def test_words_that_happen_to_be_folders_are_no_places(here: Path) -> None:
    for name in ("max", "a/b"):
        written(here / name / "x.txt")
    task = {"mode": "max", "separator": "/", "here": ".", "home": "~", "long": "x/" * 5000}
    assert inputs.read_by(config(here, task=task))["files"] == {}
    assert inputs.read_by(config(here, task={"words": "a/b"}))["files"] != {}
    # What is written to is no input.
    writes = {"file": {"_target_": "mine.Watch", "folder": "a/b"}}
    assert inputs.read_by(config(here, callbacks=writes))["files"] == {}


def test_large_files_are_read_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs.hashes, "LARGE", 1)
    written(here / "m" / "model.safetensors")
    cfg = config(here, model={"path": "m"})
    first = inputs.read_by(cfg)
    monkeypatch.setattr(inputs.hashes, "_sha256", lambda *_: pytest.fail("it was read again"))
    assert inputs.read_by(cfg) == first


def test_the_code_of_a_target_is_its_module_and_what_that_imports_beside_it(here: Path) -> None:
    written(here / "mine" / "__init__.py", "from .heads import Head\n")
    written(here / "mine" / "heads.py", "import torch\nimport helper\nfrom . import parts\n")
    written(here / "mine" / "parts.py", "x = 1\n")
    written(here / "mine" / "other.py", "x = 1\n")
    written(here / "helper.py", "def f():\n    import mine.late\n")
    written(here / "mine" / "late.py", "")
    cfg = config(here, task={"head": {"_target_": "mine.Head"}})
    before = code.sources(cfg)
    assert list(before) == ["helper", "mine", "mine.heads", "mine.late", "mine.parts"]
    written(here / "mine" / "parts.py", "# one\nx = 1  # more\n")
    assert code.sources(cfg) == before
    written(here / "mine" / "parts.py", "x = 22\n")
    after = code.sources(cfg)
    assert [n for n in before if before[n] != after[n]] == ["mine.parts"]
    assert code.sources(cfg, here / ".cache") == code.sources(cfg, here / ".cache") == after


def test_code_that_cannot_change_a_result_does_not_count(here: Path) -> None:
    written(here / "mine.py", "class A: ...\n")
    assert code.sources(config(here, logger={"own": {"_target_": "mine.A"}})) == {}
    assert list(code.sources(config(here, callbacks={"own": {"_target_": "mine.A"}}))) == ["mine"]
    assert code.sources(config(here, optimizer={"_target_": "torch.optim.SGD"})) == {}


def test_a_module_that_is_not_there_or_not_whole_is_reported_later(here: Path) -> None:
    assert code.sources(config(here, task={"_target_": "mine.gone.A"})) == {}
    written(here / "mine.py", "class A(:\n")
    assert list(code.sources(config(here, task={"_target_": "mine.A"}))) == ["mine"]


def test_a_package_is_a_place(here: Path) -> None:
    with pytest.raises(UserError, match="not installed"):
        inputs.read_by(config(here, model={"path": "pkg://not_there/x"}))
