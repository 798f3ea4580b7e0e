"""Links in a run folder that lead elsewhere, and names that would put a run where it is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lushan.errors import UserError
from lushan.run import cleanup, inside
from lushan.run.config_yaml import read_config
from lushan.run.files import TEMPORARY, appending, clean_leftovers
from lushan.run.folder import RunFolder
from lushan.run.identity import run_path
from lushan.run.result import RunResult
from tests.helpers.command import SMALL, Done

pytestmark = pytest.mark.fault(64)

OLD = time.time() - 10 * cleanup.DAY
TRAIN = ("train", *SMALL, "data=sample_ner", "data.limit=8")


def config(root: Path, name: str = "a", **paths: str) -> dict[str, Any]:
    return {"name": name, "seed": 1, "paths": {"output_dir": str(root / "outputs"), **paths}}


def complete(root: Path, name: str = "a") -> RunFolder:
    """A complete run with a state that was left behind; nobody has trained it."""
    cfg = config(root, name)
    folder = RunFolder.of(cfg)
    with folder.locked():
        folder.start(cfg)
        for part in ("step-000000003", "best"):
            (folder.checkpoints / part).mkdir(parents=True)
            (folder.checkpoints / part / "weights.safetensors").write_bytes(bytes(10))
        facts: dict[str, Any] = {"name": name, "run_id": folder.path.name, "seed": 1}
        numbers: dict[str, Any] = {"metrics": {"val/x": 1.0}, "main_metric": "val/x"}
        folder.complete(RunResult(folder.path, **facts, **numbers, config=cfg, seconds=1.0))
    return folder


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A folder that is nobody's business, with what a pruning would take in it."""
    place = tmp_path / "private"
    for name in ("step-000000009", f"{TEMPORARY}kept"):
        (place / name).mkdir(parents=True)
        (place / name / "x").write_text("keep")
    (place / "notes.txt").write_text("keep\n")
    for path in [place, *place.rglob("*")]:
        os.utime(path, (OLD, OLD))
    return place


def content(place: Path) -> dict[str, str | None]:
    return {
        str(path.relative_to(place)): path.read_text() if path.is_file() else None
        for path in sorted(place.rglob("*"))
    }


LINKS = {
    "checkpoints": "private",
    "checkpoints/step-000000009": "private/step-000000009",
    f"{TEMPORARY}x": "private",
    ".owner": "private",
    "log.txt": "private/notes.txt",
    "metrics.csv": "private/notes.txt",
    "predictions": "private",
    "plots": "private",
    "wandb": "private",
    "tensorboard": "private",
    "result.json": "private/notes.txt",
}


def replaced(folder: Path, name: str, target: Path) -> Path:
    """Put a link in place of a part of a run."""
    path = folder / name
    if path.exists():
        path.rename(path.with_name(f"{path.name}-before"))
    path.symlink_to(target)
    return path


@pytest.mark.parametrize("name", LINKS)
def test_nothing_is_removed_through_a_link(name, tmp_path, private, cli_inside) -> None:
    folder = complete(tmp_path).path
    link = replaced(folder, name, tmp_path / LINKS[name])
    before = content(private)
    done: Done = cli_inside("runs", "outputs", "--prune", "--older-than", "1", "--yes")
    assert content(private) == before
    assert link.is_symlink()
    assert done.code == 1
    assert "this link points outside of" in done.err, done.err
    assert (folder / "checkpoints").is_symlink() or (
        folder / "checkpoints" / "step-000000003"
    ).is_dir()


@pytest.mark.parametrize("name", LINKS)
def test_nothing_is_written_through_a_link(name, tmp_path, private) -> None:
    cfg = config(tmp_path)
    folder = RunFolder.of(cfg)
    (folder.path / name).parent.mkdir(parents=True)
    (folder.path / name).symlink_to(tmp_path / LINKS[name])
    before = content(private)
    with pytest.raises(UserError, match="points outside of") as found, folder.locked():
        folder.start(cfg)
    assert found.value.file == str(folder.path / name)
    assert content(private) == before
    with pytest.raises(UserError, match="points outside of"):
        read_config(folder.path)


def test_links_inside_a_run_are_its_own(tmp_path) -> None:
    folder = complete(tmp_path)
    (folder.path / "latest").symlink_to("checkpoints/best")
    (folder.path / "wandb" / "run-1" / "logs").mkdir(parents=True)
    (folder.path / "wandb" / "latest-run").symlink_to("run-1")
    (folder.path / "wandb" / "run-1" / "logs" / "debug.log").symlink_to("/var/log")
    with folder.locked():
        pass
    freed, left = cleanup.execute(cleanup.plan(tmp_path))
    assert (freed, left) == (10, [])
    assert not (folder.checkpoints / "step-000000003").exists()


def test_outputs_may_be_a_link(tmp_path, cli_inside) -> None:
    """As disks are laid out: `outputs -> /scratch/me/outputs`."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "outputs").symlink_to("scratch")
    folder = complete(tmp_path).path
    assert (tmp_path / "scratch" / "a").is_dir()
    done = cli_inside("runs", "outputs", "--prune", "--yes")
    assert done.code == 0, done.err
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["best"]


def test_a_folder_that_becomes_a_link_meanwhile(tmp_path, private) -> None:
    """Between the plan and its end, and between the look and the removal."""
    folder = complete(tmp_path)
    removals = cleanup.plan(tmp_path)
    before = content(private)
    replaced(folder.path, "checkpoints", private)
    freed, left = cleanup.execute(removals)
    assert freed == 0
    assert "points outside" in left[0]
    with pytest.raises(OSError, match="checkpoints"):
        inside.remove(folder.checkpoints / "step-000000009", folder.path)
    assert content(private) == before


def test_leftovers_that_are_links_go_and_what_they_name_stays(tmp_path, private) -> None:
    (tmp_path / "run").mkdir()
    for name, target in (("x", private), ("y", private / "notes.txt"), ("z", Path("nowhere"))):
        (tmp_path / "run" / f"{TEMPORARY}{name}").symlink_to(target)
    before = content(private)
    assert len(clean_leftovers(tmp_path / "run")) == 3
    assert list((tmp_path / "run").iterdir()) == []
    assert content(private) == before


def test_a_copy_by_hard_links_stays_as_it_was(tmp_path) -> None:
    """`cp -al` and backups make them; an archive may hold one of a file elsewhere."""
    (tmp_path / "log.txt").write_text("one\n")
    os.link(tmp_path / "log.txt", tmp_path / "backup.txt")
    with appending(tmp_path / "log.txt") as file:
        file.write("two\n")
    assert (tmp_path / "backup.txt").read_text() == "one\n"
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\n"


def test_the_cache_is_emptied_within_itself(tmp_path, private, cli_inside) -> None:
    (tmp_path / "outputs").mkdir()
    cache = tmp_path / "outputs" / ".cache"
    cache.symlink_to(private)
    before = content(private)
    done = cli_inside("runs", "outputs", "--prune", "--older-than", "1", "--yes")
    assert (done.code, content(private)) == (1, before)
    assert "points outside of" in done.err
    cache.unlink()
    (cache / "hashes").mkdir(parents=True)
    (cache / "encoded").symlink_to(private)
    done = cli_inside("runs", "outputs", "--prune", "--older-than", "1", "--yes")
    assert (done.code, content(private)) == (1, before)


def test_what_others_cache_stays(tmp_path, private, cli_inside) -> None:
    """`lushan runs ~ --prune` finds a `~/.cache`, and a run may have been called so."""
    cache = tmp_path / ".cache"
    for name in ("pip/x", "encoded/x.arrow", "0123456789/run.json", "0123456789/log.txt"):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text("{}")
        os.utime(cache / name, (OLD, OLD))
    (cache / "hashes").mkdir()
    (cache / "hashes" / "link").symlink_to(private / "notes.txt")
    before = content(private)
    assert cli_inside("runs", ".", "--prune", "--older-than", "1", "--yes").code == 0
    left = [path.name for path in cache.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sorted(left) == ["log.txt", "run.json", "x"]
    assert content(private) == before


def test_a_cache_holds_what_is_emptied(ner_run, lm_run) -> None:
    for run in (ner_run, lm_run):
        made = {path.name for path in (run.parents[2] / "cache").iterdir()}
        assert {"encoded"} <= made <= set(cleanup.CACHED)


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", [".cache", ".sweeps", ".hidden", "a/.b", ".cache/x"])
def test_names_that_are_reserved(name, tmp_path, cli_inside) -> None:
    done = cli_inside(*TRAIN, f"name={name}")
    assert done.code == 2
    assert "name: names that begin with a dot are reserved" in done.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    "paths",
    [
        {"output_dir": "outputs/.cache"},
        {"output_dir": "outputs/.sweeps"},
        {"output_dir": "x/.cache/"},
    ],
)
def test_folders_of_runs_that_are_reserved(paths, tmp_path, cli_inside) -> None:
    done = cli_inside(*TRAIN, *(f"paths.{key}={value}" for key, value in paths.items()))
    assert done.code == 2
    assert "paths.output_dir" in done.err
    assert not (tmp_path / "outputs").exists()


def test_a_run_is_not_kept_in_another(tmp_path) -> None:
    folder = complete(tmp_path).path
    with pytest.raises(UserError, match="is a run folder") as found:
        run_path(config(tmp_path, f"a/{folder.name}"))
    assert found.value.key == "name"


def test_a_search_writes_through_no_link(tmp_path, private, cli_inside) -> None:
    search = ("-m", "hydra/sweeper=search", "hydra.sweeper.study_name=x", "optimizer.lr=1,2")
    folder = tmp_path / "outputs" / "default" / "search-x"
    folder.mkdir(parents=True)
    (folder / "journal.log").symlink_to(private / "notes.txt")
    before = content(private)
    done = cli_inside(*TRAIN, *search)
    assert done.code == 2
    assert "search-x/journal.log: this link points outside of" in done.err
    assert content(private) == before


@pytest.mark.parametrize("name", ["../x", ".cache"])
def test_a_search_is_kept_where_its_runs_are(name, tmp_path, cli_inside) -> None:
    search = ("-m", "hydra/sweeper=search", "hydra.sweeper.preset=null", "optimizer.lr=1,2")
    done = cli_inside(*TRAIN, *search, f"name={name}")
    assert done.code == 2
    assert "error: name: " in done.err
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "outputs").exists()


SWEEP = ("train", "-m", "seed=1,2", "data=sample_ner", "show=batch")


@pytest.fixture
def other(tmp_path: Path) -> Callable[[Path], Path]:
    """A file of Hydra's name that somebody else's program has written."""

    def make(place: Path) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        (place / "multirun.yaml").write_text("mine: 1\n")
        return place / "multirun.yaml"

    return make


def test_a_sweep_replaces_no_file_of_others(tmp_path, other, cli_inside) -> None:
    kept = other(tmp_path / "x")
    done = cli_inside(*SWEEP, "hydra.sweep.dir=x")
    assert done.code == 2
    assert "x/multirun.yaml, hydra.sweep.dir: Hydra would replace this file" in done.err
    assert kept.read_text() == "mine: 1\n"


@pytest.mark.parametrize("whole", [False, True])
def test_a_sweep_writes_through_no_link(whole, tmp_path, other, cli_inside) -> None:
    kept = other(tmp_path / "private")
    place = tmp_path / "outputs" / ".sweeps"
    if whole:
        place.parent.mkdir()
        place.symlink_to("../private")
    else:
        place.mkdir(parents=True)
        (place / "multirun.yaml").symlink_to(kept)
    assert cli_inside(*SWEEP).code == 2
    assert kept.read_text() == "mine: 1\n"
