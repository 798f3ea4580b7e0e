"""A real browser without a window: Chromium, spoken to through two pipes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import waiting

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT = 60.0


class Browser:
    """A page in a browser.

    Args:
        sender: Where commands are written to.
        receiver: Where answers and events are read from.
    """

    def __init__(self, sender: int, receiver: int) -> None:
        self.sender, self.receiver = sender, receiver
        self.buffer = b""
        self.number = 0
        self.session: str | None = None
        self.printed: list[str] = []
        """What the page wrote to its console, errors and refusals of its policy among it."""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Do something, and return the browser's answer."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.sender, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT
        while b"\0" not in self.buffer:
            left = end - time.monotonic()
            assert left > 0, "the browser does not answer"
            ready, _, _ = select.select([self.receiver], [], [], left)
            if ready:
                chunk = os.read(self.receiver, 1 << 16)
                assert chunk, "the browser has ended"
                self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params") or {}
        if event.get("method") == "Runtime.exceptionThrown":
            self.printed.append(json.dumps(params["exceptionDetails"]))
        elif event.get("method") == "Runtime.consoleAPICalled":
            self.printed.append(json.dumps([a.get("value") for a in params["args"]]))
        elif event.get("method") == "Log.entryAdded":
            self.printed.append(params["entry"]["text"])

    def open(self, page: Path, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Load a page of the disk, and wait until it says that all is drawn."""
        self.visit(page.as_uri(), width=width, height=height, dark=dark)

    def visit(self, url: str, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Load a page of this machine, and wait until it says that all is drawn."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        self.until("document.documentElement?.dataset.drawn === 'yes'")

    def do(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true."""
        said = lambda: f"{expression}\n{self.printed}"  # noqa: E731
        return waiting.until(lambda: self.do(expression), TIMEOUT, said=said, pause=0.03)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save what is seen, or the whole page, as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in a folder.

    The test is skipped where none is installed.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    to_read, to_write = os.pipe(), os.pipe()
    flags = ["--headless=new", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
    flags += [
        "--disable-dev-shm-usage",
        "--no-proxy-server",
        f"--user-data-dir={folder}",
        "--remote-debugging-pipe",
    ]
    # Nothing may be loaded from elsewhere: no name is one, and there is no way round.
    flags.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    if os.geteuid() == 0:  # containers; the page is our own
        flags.append("--no-sandbox")

    # It reads commands from 3 and answers on 4.
    ends = (to_read[0], to_write[1])
    shell = ["bash", "-c", 'exec "$@" 3<&{} 4>&{}'.format(*ends), "bash"]
    process = subprocess.Popen(
        [*shell, program, *flags, "about:blank"],
        pass_fds=ends,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        browser = Browser(to_read[1], to_write[0])
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        browser.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            browser.call(f"{domain}.enable")
        yield browser
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        for end in (*to_read, *to_write):
            os.close(end)
