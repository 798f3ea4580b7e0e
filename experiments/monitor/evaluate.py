"""Detectors on streams with known changes, over seeds: writes the table of `README.md`.

    python experiments/monitor/evaluate.py FOLDER RUN --seeds 10

`FOLDER` was written by `stream.py split`, and `RUN` was trained on its `train.csv`. Each seed is a
stream of its own, replayed as `lushan monitor --replay` does. Beside the detectors of the command
stands a cumulative sum whose baseline is binomial, which takes all variation between hours for
chance within them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from lushan.monitor import cusum, replay
from lushan.monitor.classifier import Runs
from lushan.monitor.records import MONTH, Parser
from lushan.monitor.replay import Outcome, outcome
from lushan.monitor.service import Monitor, Settings
from lushan.monitor.sources import FileSource
from lushan.monitor.store import ALL

HERE = Path(__file__).parent
BASELINE = 200
SCENARIOS = {
    "shares that vary between hours (correlation 0.02)": ["--rho", "0.02"],
    "shares that do not vary (correlation 0)": ["--rho", "0.000001"],
}
BINOMIAL = "CUSUM, binomial baseline"


def binomial(monitor: Monitor) -> list[int]:
    """Return the alarms of a sum that assumes binomial counts."""
    rows = monitor.store.series(ALL, 0, monitor.closed)
    texts, found = np.array([(n, k) for _, n, k in rows[:BASELINE]]).T
    share = found.sum() / texts.sum()
    base = cusum.Baseline(float(share), cusum.LEAST)
    raised = monitor.correction.raised(base.share, monitor.settings.rise)
    increments = cusum.Increments(base, base, raised, texts)
    detector = cusum.Detector(base, raised, increments.threshold(monitor.settings.run_length))
    return [w for w, n, k in rows[BASELINE:] if detector.step(w, k, n)]


def replayed(stream: Path, changes: Path, runs: Runs, seen: list[bool]) -> dict[str, Outcome]:
    """Return how each detector did on a stream; `seen` gets whether a day's interval was right."""
    known = replay.read_changes(changes)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings("negative", baseline=BASELINE, rise=2.0)
        monitor = Monitor(
            Path(folder), settings, runs.classify, runs.correction(), Parser(), recipients=None
        )
        for lines in FileSource(stream, whole=True).read(None):
            monitor.take(lines)
        monitor.finish()
        found = replay.outcomes(monitor, known)
        rows = monitor.store.series(ALL, 0, monitor.closed)
        first = monitor.store.sums(ALL)[0][0]
        found[BINOMIAL] = outcome(binomial(monitor), rows, known, settings.window, first)
        days: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        for window, texts, hits in rows:
            days[window // 24][0] += texts
            days[window // 24][1] += hits
        with stream.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                days[int(row["time"] // 86400)][2] += row["label"] == "negative"
        for texts, hits, gold in days.values():
            low, high = monitor.correction.interval(hits, texts)
            seen.append(low <= gold / texts <= high)
        monitor.store.close()
    return found


def joined(outcomes: list[Outcome]) -> Outcome:
    """Return several histories as one."""
    delays = [delay for one in outcomes for delay in one.delays]
    false, quiet = sum(o.false for o in outcomes), sum(o.quiet for o in outcomes)
    return Outcome(delays, false, quiet)


def rows_of(outcomes: dict[str, list[Outcome]]) -> list[str]:
    """Return a row of the table for each detector."""
    rows = []
    for name, several in outcomes.items():
        whole = joined(several)
        delay = whole.delay()
        hours = (
            "–" if delay is None else "{:.0f} [{:.0f}, {:.0f}]".format(*(d / 3600 for d in delay))
        )
        low, high = whole.false_interval()
        a_month = [o.false_a_month for o in several]
        rows.append(
            f"| {name} | {whole.found} of {len(whole.delays)} | {hours} | "
            f"{whole.false_a_month:.2f} [{low:.2f}, {high:.2f}] | {np.std(a_month, ddof=1):.2f} |"
        )
    return rows


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=HERE / "TABLE.md")
    options = parser.parse_args()
    runs = Runs([options.run], "negative")
    correction = runs.correction()
    lines = [
        f"Written by `python experiments/monitor/evaluate.py FOLDER RUN --seeds {options.seeds}`.",
        "",
        f"The classifier finds {correction.hits} of {correction.positives} negative validation "
        f"sentences and {correction.rejections} of the {correction.negatives} others. "
        f"{options.seeds} streams of 90 days each, 6 changes in each: for 24 hours the share of "
        "negative texts is twice the usual 12 %, among 30 texts an hour. Stated: 1 false alarm a "
        "month. Delays are medians over the changes found, in hours; intervals are of 95 %, by a "
        "bootstrap over changes, and exact for the Poisson counts of false alarms; the deviation "
        "is that of streams.",
    ]
    for title, ways in SCENARIOS.items():
        outcomes: dict[str, list[Outcome]] = defaultdict(list)
        seen: list[bool] = []
        for seed in range(1, options.seeds + 1):
            words = [str(options.folder), "--seed", str(seed), *ways]
            command = [sys.executable, str(HERE / "stream.py"), "stream", *words]
            subprocess.run(command, check=True)
            places = (options.folder / f"{n}-{seed}.jsonl" for n in ("stream", "changes"))
            for name, one in replayed(*places, runs, seen).items():
                outcomes[name].append(one)
            sys.stderr.write(f"{title}, seed {seed}\n")
        quiet = sum(one.quiet for one in outcomes["CUSUM"]) / MONTH
        lines += [
            "",
            f"## {title[0].upper()}{title[1:]}",
            "",
            f"`stream.py stream FOLDER --seed SEED {shlex.join(ways)}`; {quiet:.1f} months without "
            f"a change; the interval of a day's adjusted share holds the share of the gold labels "
            f"on {np.mean(seen):.1%} of {len(seen)} days.",
            "",
            "| detector | changes found | delay, h | false alarms a month | deviation |",
            "| --- | --- | --- | --- | --- |",
            *rows_of(outcomes),
        ]
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
