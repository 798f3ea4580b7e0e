"""The fault matrix: what is injected, row by row, and the table that `make faults` prints.

A test belongs to a row by `@pytest.mark.fault(12)`, wherever it stands. This module is a plugin,
`python -m pytest -m fault -p tests.faults.matrix`: it prints what became of each row, and fails
where nothing tested one.
"""

from __future__ import annotations

import collections
from typing import Any

import pytest

ROWS = {
    1: "SIGKILL in the middle of a shuffled epoch, with dropout",
    2: "SIGKILL on an epoch's last batch",
    3: "SIGKILL at an epoch's end",
    4: "SIGKILL during validation",
    5: "SIGKILL inside an accumulation window",
    6: "SIGKILL with inputs that are changed at random",
    7: "SIGKILL with averaged weights (EMA)",
    8: "SIGKILL with AdaLoRA",
    9: "SIGKILL twice",
    10: "config, data or number of processes changed before the run resumes",
    11: "running metrics of training, counted over the whole epoch",
    12: "fifteen random kills during a save, TMPDIR on another file system",
    13: "the last checkpoint cut short",
    14: "one bit of a checkpoint flipped",
    15: "a malicious pickle: path, URL, environment switch",
    16: "our own checkpoint under weights_only=True",
    17: "the disk full",
    18: "a folder without write permission",
    19: "a read-only mount",
    20: "SIGTERM",
    21: "SIGTERM twice",
    22: "SIGINT",
    23: "SIGTERM inside a step",
    24: "a sweep's job killed or terminated",
    25: "a search killed in a trial",
    26: "a loss that is not finite",
    27: "a tracker at a closed port",
    28: "a tracker killed in the middle of a run",
    29: "two processes, one run",
    30: "two runs in the same second",
    31: "a dead owner: process gone, heartbeat old, another host",
    32: "an empty file, a header alone",
    33: "a missing column, a label that is null",
    34: "a label that training never has",
    35: "as many tags as there are no tokens",
    36: "invalid UTF-8, ragged CSV, cut JSON",
    37: "a line of ten megabytes",
    38: "a text that is empty or of special tokens alone",
    39: "a class without examples",
    40: "a text longer than the model reads",
    41: "hostile targets in a config",
    42: "planted secrets",
    43: "a rank killed",
    44: "a rank stopped (SIGSTOP)",
    45: "SIGTERM to rank 1",
    46: "thirteen examples on two ranks",
    47: "a request of ten megabytes",
    48: "requests that are malformed",
    49: "a burst of requests beyond the queue",
    50: "no key where other machines reach a server",
    51: "a rank raises",
    52: "random death, anywhere in a run's life",
    53: "a launcher's worker killed",
    54: "SIGUSR1, as before a time limit of SLURM's",
    55: "a tracker that takes nothing",
    56: "code that comes with a model",
    57: "a node of Ray's leaves",
    58: "launcher and sweeper settings from a file that start programs",
    59: "a config, or a working folder, that sends keys or numbers to another host",
    60: "modules in the working folder with the names of others",
    61: "a run that dies between any two things that act",
    62: "data and model folders that read outside themselves or ask a network",
    63: "secrets that a config interpolates, and texts that slow their redaction down",
    64: "links that lead out of a run folder, names that are reserved",
    65: "terminal escapes and formulas in data",
    66: "YAML and JSON that are bombs: aliases, depth, size",
    67: "damaged caches",
    68: "a lock from the future, a lock that is removed, a terminal that is closed",
    69: "a hundred thousand classes; files that are small and unpack to gigabytes",
    70: "damaged or foreign files of a run folder",
    71: "death while finishing",
    72: "every file of a run folder and of the cache damaged, under every command",
    73: "values at the edges of every numeric key, and names of 300 letters",
    74: "pipes and devices in place of files",
    75: "files of a run that are JSON of another shape",
    76: "arguments of permitted targets that write outside, or fetch code",
    77: "streams that are closed or full, odd encodings and variables",
    78: "chat templates that fail",
    79: "repositories whose settings name programs",
    80: "images, archives of them and image processors that do harm, or that change",
    81: "exported folders to which files were added",
    82: "indexes of others, and folders that are taken for one",
}
"""Number to fault."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the report of a test know its rows."""
    for mark in item.iter_markers("fault"):
        item.user_properties.append(("fault", mark.args))


class Row:
    """What has become of one row."""

    def __init__(self) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.seconds = 0.0
        self.reasons: list[str] = []

    def add(self, report: Any) -> None:
        """Count a report of a test's set-up, call or end."""
        self.seconds += report.duration
        if report.failed:
            self.outcomes["failed"] += 1
        elif report.skipped:
            self.outcomes["skipped"] += 1
            self.reasons.append(str(report.longrepr[2]).removeprefix("Skipped: "))
        elif report.when == "call":
            self.outcomes["passed"] += 1

    def __str__(self) -> str:
        if not self.outcomes:
            return "no test"
        parts = [
            f"{self.outcomes[o]} {o}" for o in ("failed", "passed", "skipped") if self.outcomes[o]
        ]
        reasons = f" ({'; '.join(dict.fromkeys(self.reasons))})" if self.reasons else ""
        return ", ".join(parts) + reasons


def _rows(terminalreporter: Any) -> dict[int, Row]:
    rows = {number: Row() for number in ROWS}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, numbers in getattr(report, "user_properties", ()):
                if name == "fault":
                    for number in numbers:
                        rows[number].add(report)
    return rows


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, in Markdown."""
    rows = _rows(terminalreporter)
    terminalreporter.write_line("")
    terminalreporter.write_line("| row | fault | outcome | seconds |")
    terminalreporter.write_line("| --: | --- | --- | --: |")
    for number, row in rows.items():
        terminalreporter.write_line(f"| {number} | {ROWS[number]} | {row} | {row.seconds:.1f} |")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A row without a test is a failure; the process that hears of all tests says so."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    whole = not session.config.option.keyword and not session.config.option.collectonly
    if not reporter or not whole or hasattr(session.config, "workerinput"):
        return
    if any(not row.outcomes for row in _rows(reporter).values()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
