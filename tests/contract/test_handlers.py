"""What runs when a signal arrives does nothing that its interruption may be in the middle of.

A handler of Python runs between two instructions of the main thread, which may be printing or may
hold a lock. `sys.stderr.write` then fails ("reentrant call"), and `threading.Event.set` waits for
ever for a lock that its own thread holds.
"""

import ast
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

SRC = Path(__file__).parents[2] / "src" / "lushan"
MODULES = [path for path in SRC.rglob("*.py") if "signal" in path.read_text()]
UNSAFE = {"echo", "hint", "print", "write", "flush", "set", "put", "acquire", "log", "info", "warn"}


def handlers(tree):
    """The functions that a module hands to `signal.signal`, and those that uvicorn calls."""
    names = {"handle_exit"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "signal.signal":
            if isinstance(node.args[1], ast.Lambda):
                yield node.args[1]
            names.add(ast.unparse(node.args[1]).removeprefix("self."))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield node


def unsafe(text):
    """The unsafe calls in handlers of a module."""
    return sorted(
        {
            ast.unparse(node)
            for handler in handlers(ast.parse(text))
            for node in ast.walk(handler)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func).rpartition(".")[2] in UNSAFE
            and ast.unparse(node.func) != "os.write"
        }
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_no_handler_prints_or_takes_a_lock(path):
    assert not unsafe(path.read_text())


def test_such_a_handler_is_found():
    printing = "def stop(number, frame):\n    echo('x')\nsignal.signal(number, stop)\n"
    assert unsafe(printing) == ["echo('x')"]
    assert unsafe("signal.signal(number, lambda *_: ending.set())") == ["ending.set()"]
    assert not unsafe(printing.replace("echo", "os.write"))


def test_a_server_says_so_while_it_is_printing(monkeypatch, capfd):
    """The first signal's line was seen, and a second came, before the first was printed whole."""
    process = pytest.importorskip("lushan.serve.process")

    class Busy:
        def write(self, text):
            raise RuntimeError("reentrant call inside <_io.BufferedWriter>")

        flush = write

    def end(code):
        raise SystemExit(code)

    monkeypatch.setattr("sys.stderr", Busy())
    monkeypatch.setattr("os._exit", end)
    server = SimpleNamespace(front=SimpleNamespace(draining=False, active=1))
    process.Server.handle_exit(server, signal.SIGTERM, None)
    with pytest.raises(SystemExit) as ended:
        process.Server.handle_exit(server, signal.SIGTERM, None)
    assert ended.value.code == 128 + signal.SIGTERM
    assert capfd.readouterr().err == (
        "SIGTERM: shutting down after 1 current requests\nstopped by a second signal\n"
    )
