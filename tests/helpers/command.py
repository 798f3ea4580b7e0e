"""The command line, as a process of its own or inside this one."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from tests.helpers import forked

LUSHAN = Path(sys.executable).parent / "lushan"

SMALL = (
    "data.batch_tokens=null",
    "data.batch_examples=8",
    "model=bert_tiny",
    "processor.vocab_size=300",
    "trainer=cpu",
    "trainer.precision=32-true",
    "trainer.max_epochs=1",
)
"""What makes any run one of a second."""
TRAINING = (("train",), ("reproduce",), ("study",))
"""The words that commands begin with which may train."""
LANGUAGE = ("model=gpt2_tiny", "model.config.n_embd=32", "data.limit=16", "test=false")
"""The same for a language model, after `SMALL`."""


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that has ended.

    Attributes:
        code: Its exit code, as a shell sees it.
        out: Its standard output.
        err: Its standard error.
        cwd: Where it ran.
    """

    code: int
    out: str
    err: str
    cwd: Path

    @property
    def folder(self) -> Path:
        """The run folder that its last line names."""
        last = self.out.strip().splitlines()[-1]
        assert last.startswith("run: "), self.out + self.err
        return self.cwd / last.removeprefix("run: ")

    @property
    def result(self) -> dict[str, Any]:
        """That folder's result."""
        return json.loads((self.folder / "result.json").read_text(encoding="utf-8"))


def started(
    *args: object,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    merged: bool = False,
    session: bool = False,
    ranks: int = 0,
) -> forked.Command:
    """`lushan` with these arguments, just started in a process that has its imports already.

    Args:
        args: Its arguments.
        cwd: The folder it works in.
        env: Variables beside those of this process.
        merged: Whether it has one stream for all that it says.
        session: Whether it has a group of processes of its own.
        ranks: Other ranks that it starts; what it starts beyond them is interpreters of their own.
    """
    return forked.Command(
        list(map(str, args)),
        cwd,
        os.environ | dict(env or {}),
        merged=merged,
        session=session,
        ranks=ranks,
    )


def ended(process: forked.Command | subprocess.Popen[str], cwd: Path, timeout: float = 300) -> Done:
    """Wait for a command that was `started`."""
    out, err = process.communicate(timeout=timeout)
    code = process.returncode
    assert code is not None
    return Done(128 - code if code < 0 else code, out, err or "", cwd)


def cli(
    *args: object,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    ranks: int = 0,
) -> Done:
    """`lushan` with these arguments in a process that has its imports already, waited for."""
    return ended(started(*args, cwd=cwd, env=env, ranks=ranks), cwd, timeout)


def executed(
    *args: object, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300
) -> Done:
    """`lushan` with these arguments in an interpreter of its own, as a shell starts it.

    For tests of what is imported, of what imports read, and of what the process starts.
    """
    return ended(popen(*args, cwd=cwd, env=env), cwd, timeout)


def popen(
    *args: object, cwd: Path, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """The same, just started."""
    return subprocess.Popen(
        [str(LUSHAN), *map(str, args)],
        cwd=cwd,
        env=os.environ | dict(env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **{"stderr": subprocess.PIPE, **options},
    )


def inside(*args: object, cwd: Path) -> Done:
    """`lushan` with these arguments in this process, which has torch imported already.

    For what no fault is tested with: signals, locks and imports are those of the test's process.
    As in forked processes, a run that it trains draws nothing.
    """
    from lushan.cli import app as program

    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    code: Any = 0
    sys.argv = ["lushan", *map(str, args)]
    drawing = _undrawn() if args[:1] in TRAINING else contextlib.nullcontext()
    try:
        with drawing, contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
            code = program.main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = argv
    return Done(int(code or 0), out.getvalue(), err.getvalue(), cwd)


def _undrawn() -> Any:
    from tests.helpers import plots  # imports torch

    return plots.undrawn()


def searched_first(folder: Path) -> dict[str, str]:
    """Variables of an interpreter that finds the modules of a folder before all others."""
    rest = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *([rest] if rest else [])])}


def begun(*arguments: Any, cwd: Path) -> forked.Command:
    """A command at work in a folder, with a group of processes of its own that may be killed."""
    cwd.mkdir(exist_ok=True)
    return started(*arguments, cwd=cwd, env={"OMP_NUM_THREADS": "1"}, merged=True, session=True)
