"""What all tests share: where real data lies, how many threads, and no account of a person's."""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers import command, corpora, light, shared

DATA = Path(os.environ.get("LUSHAN_DATA") or Path(__file__).parents[2] / "shared" / "data")

# Set before torch is imported, and inherited by the processes that tests start: the golden numbers
# do not depend on how many cores a machine has. Two workers share two cores; what the process that
# starts them has set for itself is not theirs.
# MKL is given the same, for torch takes the larger number; and threads that share a core with
# another process wait for each other a hundred times as long as they compute.
IN_WORKER = "PYTEST_XDIST_WORKER" in os.environ
os.environ["OMP_NUM_THREADS"] = "1" if IN_WORKER else os.environ.get("OMP_NUM_THREADS", "2")
os.environ["MKL_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
# NumPy's own is read when a plugin imports NumPy, before this file: by workers, from the process
# that starts them.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# What tests write is synced to a disk a hundred thousand times; memory does that at once, if it is
# there and has room for the gigabyte that the suite leaves.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 6 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Processes that tests start inherit what `nohup` has set; a closed terminal is one of the tests.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

QUICK, SLOW = 0.1, 5.0
"""Seconds of a test, and of one that is marked as slow without a number."""

# Nothing a test does may reach somebody's account, whatever the shell around it is logged in to.
for variable in ("WANDB_API_KEY", "HF_TOKEN"):
    os.environ.pop(variable, None)


def pytest_configure(config: pytest.Config) -> None:
    """Have one folder for what the processes of this session share."""
    if not IN_WORKER:
        stack = contextlib.ExitStack()
        stack.enter_context(shared.place())
        config.add_cleanup(stack.close)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let tests that share something run in one process, which makes it once.

    These are the quick tests of a file, and those of its slow ones that ask for what the file makes
    for all. Another slow test runs wherever there is room, unless its file groups it.
    """
    known = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
    shares = any(found[-1].scope == "module" for found in known)
    if item.get_closest_marker("slow") is None or shares:
        item.add_marker(pytest.mark.xdist_group(item.location[0]))


def _group(item: pytest.Item) -> str:
    names = {mark.args[0] for mark in item.iter_markers("xdist_group")}
    return "_".join(sorted(names)) or item.nodeid


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("slow")
    return QUICK if mark is None else next(iter(mark.args), SLOW)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, or one worker waits for the other at the end."""
    if not IN_WORKER:
        return
    seconds: Counter[str] = Counter()
    for item in items:
        seconds[_group(item)] += _seconds(item)
    items.sort(key=lambda item: -seconds[_group(item)])


# A busy machine is no fault of a test. The quick suite tries fewer examples of each property.
settings.register_profile(
    "shared",
    deadline=None,
    max_examples=int(os.environ.get("LUSHAN_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("shared")


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Each test leaves the variables, and what is known of them, as it found them.

    Lightning writes the address of the first process to them, and whoever trains later in several
    processes, in this one or in a child, would wait for a machine that is not.
    """
    from lushan.run import redaction

    before, interpolated = dict(os.environ), dict(redaction._interpolated)
    yield
    redaction._interpolated.clear()
    redaction._interpolated.update(interpolated)
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def _lightened() -> None:
    """Tests whose files have imported torch do not wait for what it has not.

    Nor do they look through all that is imported at each collection of garbage.
    """
    if "torch" in sys.modules:
        light.lighten()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _left_over() -> Iterator[None]:
    """What a test that failed has left running ends with the tests, which would wait for it."""
    yield
    for process in multiprocessing.active_children():
        process.kill()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets, which may not be there."""
    if not DATA.is_dir():
        pytest.skip(f"no data in {DATA}; set LUSHAN_DATA to its folder")
    return DATA


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., command.Done]:
    """`lushan` with some arguments, in a forked process of its own that works in `tmp_path`."""
    return functools.partial(command.cli, cwd=tmp_path)


@pytest.fixture
def cli_inside(tmp_path: Path) -> Callable[..., command.Done]:
    """The same in this process: quicker, where nothing but the answer is of interest."""
    return functools.partial(command.inside, cwd=tmp_path)


@pytest.fixture
def conll_files(tmp_path: Path) -> dict[str, Path]:
    """Split to file: words and tags in two columns."""
    return corpora.conll(tmp_path)


@pytest.fixture
def jsonl_files(tmp_path: Path) -> dict[str, Path]:
    """Split to file: token lists."""
    return corpora.jsonl(tmp_path)


@pytest.fixture
def table_files(tmp_path: Path) -> dict[str, Path]:
    """Split to file: texts with labels, TSV with a header."""
    return corpora.table(tmp_path)


@pytest.fixture(scope="session")
def ner_run() -> Path:
    """The folder of a trained run that tags words. Look, do not touch: all tests share it."""
    return _once("ner", "task=ner", "data=conll", files=corpora.conll)


@pytest.fixture(scope="session")
def reviews_run() -> Path:
    """The folder of a trained run that sorts texts. Look, do not touch: all tests share it."""
    columns = ["data.text=sentence", "data.label=label"]
    return _once("reviews", "task=classification", "data=table", *columns, files=corpora.table)


@pytest.fixture(scope="session")
def lm_run() -> Path:
    """The folder of a trained run that continues text. Look, do not touch: all tests share it."""
    return _once("lm", *command.LANGUAGE, "task=causal_lm")


@pytest.fixture(scope="session")
def chat_run() -> Path:
    """The folder of a trained run that answers. Look, do not touch: all tests share it."""
    return _once("chat", *command.LANGUAGE, "task=chat", "task.generate_examples=0")


@pytest.fixture(scope="session")
def pairs_run() -> Path:
    """The folder of a trained run that turns texts into others; look, do not touch."""
    overrides = ["task=seq2seq", "model=t5_tiny", "model.config.d_model=32", "test=false"]
    more = ["data.limit=8", "task.generates=false", "task.prefix='short: '"]
    return _once("pairs", *overrides, *more)


def _once(
    name: str, *overrides: str, files: Callable[[Path], dict[str, Path]] | None = None
) -> Path:
    """The folder of a run that one worker trains for all."""

    def make(folder: Path) -> None:
        given = [] if files is None else corpora.overrides(files(folder))
        trained(folder, *overrides, *given, drawn=True)

    (state,) = shared.once(name, make).glob("outputs/*/*/run.json")
    return state.parent


def trained(
    folder: Path, *overrides: str, small: Sequence[str] = command.SMALL, drawn: bool = False
) -> Path:
    """Train something small in this process; its run folder.

    Args:
        folder: It is made in.
        overrides: Of its config.
        small: What makes it small.
        drawn: Whether its plots are drawn.
    """
    from lushan.config.check import check
    from lushan.config.compose import compose
    from lushan.engine import lifecycle
    from tests.helpers import plots

    places = [f"paths.output_dir={folder}/outputs", f"paths.cache_dir={folder}/cache"]
    cfg = check(compose([*small, *places, *overrides]))
    with contextlib.nullcontext() if drawn else plots.undrawn():
        return lifecycle.run(cfg).folder
