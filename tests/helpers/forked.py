"""Processes that are forked from one server, which has imported everything: they begin at once."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing as mp
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NoReturn, TextIO

PRELOADED = "tests.helpers.preloaded"
ROOT = Path(__file__).parents[2]

server = mp.get_context("forkserver")
server.set_forkserver_preload([PRELOADED])


def process(target: Callable[..., object], args: Iterable[Any] = ()) -> Any:
    """Start a process that has all imports.

    The server finds what it imports by its variables and its working folder alone, and says nothing
    where it finds none of it; then each of its processes would import all of that itself. Commands
    in a test's process set PYTHONSAFEPATH, and tests change the folder.
    """
    names = ("PYTHONPATH", "PYTHONSAFEPATH")
    before = {name: value for name in names if (value := os.environ.pop(name, None)) is not None}
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before.get("PYTHONPATH")]))
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        os.environ.update(before)
    begun = server.Process(target=_begin, args=(target, *args))  # type: ignore[attr-defined]
    begun.start()
    return begun


def _begin(target: Callable[..., object], *args: Any) -> None:
    assert PRELOADED in sys.modules, "the server has imported nothing"
    target(*args)


class Command:
    """`lushan`, or another program, in such a process; it is used like a `subprocess.Popen`.

    Tests of imports, of variables that are read by imports, or of the interpreter's options want an
    interpreter of their own instead (`command.executed`).

    Attributes:
        args: Its arguments.
        pid: Its process.
        stdout: What it prints.
        stderr: Its other stream; None where that goes to the same place.
        returncode: None while it is alive.
    """

    def __init__(
        self,
        args: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        *,
        merged: bool = False,
        session: bool = False,
        ranks: int = 0,
        program: Path | None = None,
    ) -> None:
        self.args = list(args)
        self.returncode: int | None = None
        out, to_out = server.Pipe(duplex=False)
        err, to_err = server.Pipe(duplex=False)
        ends = (to_out, to_out if merged else to_err)
        self._process = process(
            _serve, (self.args, str(cwd), dict(env), ends, session, ranks, program)
        )
        self.pid: int = self._process.pid or 0
        self.stdout, other = (_text(reader) for reader in (out, err))
        for end in (to_out, to_err):
            end.close()
        self.stderr = None if merged else other
        self._read: dict[str, str] = {}
        self._readers: list[threading.Thread] = []

    def poll(self) -> int | None:
        """Its exit code, or None."""
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, waited for."""
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str | None]:
        """What it writes to both streams until it ends."""
        until = None if timeout is None else time.monotonic() + timeout
        if not self._readers:
            pipes = {"out": self.stdout} | ({} if self.stderr is None else {"err": self.stderr})
            for pair in pipes.items():
                self._readers.append(threading.Thread(target=self._take, args=pair, daemon=True))
                self._readers[-1].start()
        for reader in self._readers:
            reader.join(None if until is None else max(0.0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if until is None else max(1.0, until - time.monotonic()))
        return self._read["out"], self._read.get("err")

    def _take(self, name: str, pipe: TextIO) -> None:
        with pipe:
            self._read[name] = pipe.read()

    def send_signal(self, signum: int) -> None:
        """Send a signal, if it is alive."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _text(reader: Any) -> TextIO:
    with reader:
        return os.fdopen(os.dup(reader.fileno()), encoding="utf-8")


def _serve(
    words: Sequence[str],
    cwd: str,
    env: Mapping[str, str],
    ends: Sequence[Any],
    session: bool,
    ranks: int,
    program: Path | None,
) -> None:
    """Be the process of a command."""
    if session:
        os.setsid()
    os.chdir(cwd)
    _take_over(env)
    with Path(os.devnull).open() as null:
        for number, end in enumerate((null, *ends)):
            os.dup2(end.fileno(), number)
    for end in ends:
        end.close()
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    prepare(ranks)
    sys.argv = [str(program or Path(sys.executable).parent / "lushan"), *words]
    code = _main() if program is None else _main_of(program)
    # The end of an interpreter; that of a child of a server waits for idle workers of libraries.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    os._exit(code)


def _main() -> int:
    from lushan.cli import app

    return app.main()


def _main_of(program: Path) -> int:
    try:
        runpy.run_path(str(program), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _take_over(env: Mapping[str, str]) -> None:
    """Have the variables of whoever asked for this process, not those of the server.

    As an interpreter does, it runs the `sitecustomize` of a folder that is searched first.
    """
    import torch
    from transformers import dynamic_module_utils
    from transformers.utils import hub

    os.environ.clear()
    os.environ.update(env)
    torch.set_num_threads(int(env["OMP_NUM_THREADS"]))
    if "HF_MODULES_CACHE" in env:  # the server's imports have read it
        hub.HF_MODULES_CACHE = dynamic_module_utils.HF_MODULES_CACHE = env["HF_MODULES_CACHE"]
    own = Path(env.get("PYTHONPATH", "").partition(os.pathsep)[0], "sitecustomize.py")
    if own.is_file():
        runpy.run_path(str(own))


def prepare(ranks: int) -> None:
    """Fork so many other ranks from this process, which has not begun anything.

    They wait until `lushan.engine.distributed.rank_launcher` or an agent of torchrun starts them.
    It has them as children of its own, like those that are interpreters of their own.
    """
    if not ranks:
        return
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    from lushan.engine.distributed import rank_launcher

    waiting = []
    for _ in range(ranks):
        call, answer = mp.Pipe()
        if not (pid := os.fork()):
            for _, earlier in waiting:
                earlier.close()
            call.close()
            _follow(answer)
        answer.close()
        waiting.append((pid, call))

    class Rank(subprocess.Popen):  # type: ignore[type-arg]
        def _execute_child(  # type: ignore[no-untyped-def]
            self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *more
        ):
            self.pid, call = waiting.pop(0)
            self._child_created = True
            *_, session, _ = more  # start_new_session, process_group
            call.send((args, dict(env), session))

    rank_launcher.subprocess = types.SimpleNamespace(  # type: ignore[attr-defined]
        Popen=Rank, TimeoutExpired=subprocess.TimeoutExpired
    )
    subprocess_handler.Popen = Rank  # type: ignore[misc]


def _follow(answer: Any) -> NoReturn:
    """Be another rank."""
    code: Any = 1
    try:
        words, env, session = answer.recv()
        if session:
            os.setsid()
        _take_over(env)
        module = words.index("-m") + 1
        sys.argv = list(map(str, words[module:]))
        runpy.run_module(words[module], run_name="__main__", alter_sys=True)
        code = 0
    except EOFError:
        pass  # nobody has wanted it
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - printed, as an interpreter does
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
