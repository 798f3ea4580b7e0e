"""Alarms on their way: a line of JSON in a file, on standard error, to a URL, to a command.

An alarm is sent after it has been committed, and marked afterwards: a process that is killed
between the two sends it once more, and none is lost.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lushan.common.terminal import echo
from lushan.errors import UserError, in_a_line
from lushan.run.files import appending, json_line
from lushan.run.redaction import redact

FILE = "alarms.jsonl"
TIMEOUT = 10.0
"""Seconds for a URL to answer."""
LONGEST = 60.0
"""Seconds of a command."""
TRIES = 3
"""Of a URL that does not answer; what then fails is reported, and is in the file."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclasses.dataclass(frozen=True)
class Recipients:
    """Where alarms are sent besides `alarms.jsonl` and standard error.

    Attributes:
        webhook: A URL that gets each as JSON by POST.
        command: A command that gets each as JSON on its standard input; no shell reads it.
    """

    webhook: str | None = None
    command: str | None = None

    def require_sound(self) -> None:
        """Refuse what cannot be sent to, before anything is loaded."""
        if self.webhook is not None:
            parts = urllib.parse.urlsplit(self.webhook)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                shown = redact(self.webhook)
                raise UserError("not an http:// or https:// URL", key="--webhook", value=shown)
        if self.command is not None:
            try:
                words = shlex.split(self.command)
            except ValueError as error:
                raise UserError(str(error), key="--command", value=self.command) from error
            if not words:
                raise UserError("an empty command", key="--command", value=self.command)

    def send(self, alarm: Mapping[str, Any], folder: Path) -> list[str]:
        """Send an alarm to all; return what failed, in words."""
        echo(f"ALARM {line_of(alarm)}", err=True)
        with appending(folder / FILE) as file:
            file.write(json_line(alarm))
        failed = []
        body = json.dumps(alarm, ensure_ascii=False).encode()
        if self.webhook is not None:
            tries = (_post(self.webhook, body) for _ in range(TRIES))
            whys = list(itertools.takewhile(bool, tries))
            failed += [f"webhook: {whys[-1]}"] if len(whys) == TRIES else []
        if self.command is not None and (why := _run(self.command, body)):
            failed.append(f"command: {why}")
        return failed


def line_of(alarm: Mapping[str, Any]) -> str:
    """Return an alarm in one line."""
    return (
        f"{alarm['series']}: {alarm['label']} since {alarm['since']}, "
        f"{alarm['found']:,} of {alarm['texts']:,} texts, adjusted share {alarm['share']:.1%} "
        f"({alarm['low']:.1%} to {alarm['high']:.1%}), usually {alarm['usual']:.1%}"
    )


def _post(url: str, body: bytes) -> str | None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT):
            return None
    except (OSError, ValueError) as error:
        return redact(in_a_line(error))


def _run(command: str, body: bytes) -> str | None:
    try:
        done = subprocess.run(
            shlex.split(command), input=body, timeout=LONGEST, check=False, capture_output=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return redact(in_a_line(error))
    return f"exit code {done.returncode}" if done.returncode else None
