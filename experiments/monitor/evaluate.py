"""Detectors on streams with known changes, over seeds: writes the table of `README.md`, and claims.

    python experiments/monitor/evaluate.py FOLDER RUN ... --streams 4

`FOLDER` was written by `stream.py split`, and each `RUN` was trained on its `train.csv`. A run has
streams of its own, replayed as `lushan monitor --replay` does, so that what is counted over all of
them is independent. Beside the detectors of the command stands a cumulative sum whose baseline is
binomial, which takes all variation between hours for chance within them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import beta

from lushan.monitor import cusum, replay
from lushan.monitor.classifier import Runs
from lushan.monitor.records import MONTH, Parser
from lushan.monitor.replay import Outcome, outcome
from lushan.monitor.service import Monitor, Settings
from lushan.monitor.sources import FileSource
from lushan.monitor.store import ALL

HERE = Path(__file__).parent
BASELINE = 200
VARYING = "shares that vary between hours (correlation 0.02)"
CONSTANT = "shares that do not vary (correlation 0)"
SCENARIOS = {VARYING: ["--rho", "0.02"], CONSTANT: ["--rho", "0.000001"]}
CUSUM, BINOMIAL = "CUSUM", "CUSUM, binomial baseline"
Ends = tuple[float, float]


def false_alarms(one: Outcome) -> Ends:
    """Return the interval of false alarms a month."""
    return one.false_interval()


def share_found(one: Outcome) -> Ends:
    """Return the exact interval of the share of changes that were found (Clopper and Pearson)."""
    hits, several = one.found, len(one.delays)
    low = float(beta.ppf(0.025, hits, several - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, several - hits)) if hits < several else 1.0
    return low, high


def median_delay(one: Outcome) -> Ends:
    """Return the interval of the median delay, in hours."""
    _, low, high = one.delay() or (0.0, 0.0, float("inf"))
    return low / 3600, high / 3600


@dataclass(frozen=True)
class Claim:
    """A statement on a detector that its streams must support.

    Attributes:
        text: The statement.
        scenario: Of which streams.
        detector: Its name.
        measure: The interval of what is spoken of.
        bound: That it does not exceed, or exceeds.
        exceeds: Which of the two.
    """

    text: str
    scenario: str
    detector: str
    measure: Callable[[Outcome], Ends]
    bound: float
    exceeds: bool = False

    def verdict(self, one: Outcome) -> str:
        """Return whether the whole interval bears it out, the other way round, or neither."""
        low, high = self.measure(one)
        above, below = low > self.bound, high <= self.bound
        word = "undecided"
        if above or below:
            word = "holds" if above == self.exceeds else "fails"
        return f"- {self.text}: **{word}** ([{low:.2f}, {high:.2f}])"


CLAIMS = (
    Claim("CUSUM: at most 1 false alarm a month, shares vary", VARYING, CUSUM, false_alarms, 1.0),
    Claim("CUSUM: at most 1, they do not vary", CONSTANT, CUSUM, false_alarms, 1.0),
    Claim(
        "binomial baseline: more than 1, shares vary", VARYING, BINOMIAL, false_alarms, 1.0, True
    ),
    Claim("binomial baseline: at most 1, they do not", CONSTANT, BINOMIAL, false_alarms, 1.0),
    Claim(
        "CUSUM: finds more than 80 % of changes, shares vary",
        VARYING,
        CUSUM,
        share_found,
        0.8,
        True,
    ),
    Claim("ADWIN: finds at most 80 %", VARYING, "ADWIN", share_found, 0.8),
    Claim("Page-Hinkley: finds at most 80 %", VARYING, "Page-Hinkley", share_found, 0.8),
    Claim(
        "CUSUM: a median delay of at most 16 hours, shares vary", VARYING, CUSUM, median_delay, 16.0
    ),
)
"""On all streams of all runs together; each is decided by its 95 % interval alone."""


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


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return several histories as one."""
    delays = [delay for one in outcomes for delay in one.delays]
    false, quiet = sum(o.false for o in outcomes), sum(o.quiet for o in outcomes)
    return Outcome(delays, false, quiet)


def rows_of(outcomes: dict[str, list[Outcome]]) -> list[str]:
    """Return a row of the table for each detector."""
    rows = []
    for name, several in outcomes.items():
        whole = joined(several)
        median = whole.delay()
        hours = (
            "–" if median is None else "{:.0f} [{:.0f}, {:.0f}]".format(*(d / 3600 for d in median))
        )
        low, high = whole.false_interval()
        a_month = [o.false_a_month for o in several]
        rows.append(
            f"| {name} | {whole.found} of {len(whole.delays)} | {hours} | "
            f"{whole.false_a_month:.2f} [{low:.2f}, {high:.2f}] | {np.std(a_month, ddof=1):.2f} |"
        )
    return rows


def classifiers(several: Sequence[Runs]) -> list[str]:
    """Return a table of how the runs classify their validation sentences."""
    lines = ["| run | negative sentences found | others left alone |", "| --- | --- | --- |"]
    for runs in several:
        own = runs.correction()
        hits = f"{own.hits} of {own.positives}"
        lines.append(f"| {runs.watching.name} | {hits} | {own.rejections} of {own.negatives} |")
    return lines


def section(
    folder: Path, several: Sequence[Runs], title: str, streams: int
) -> tuple[list[str], dict[str, list[Outcome]]]:
    """Replay the streams of a scenario; return its part of the page, and how each detector did."""
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    seen: list[bool] = []
    seed = 0
    for runs in several:
        for _ in range(streams):
            seed += 1
            words = [str(folder), "--seed", str(seed), *SCENARIOS[title]]
            command = [sys.executable, str(HERE / "stream.py"), "stream", *words]
            subprocess.run(command, check=True)
            places = (folder / f"{n}-{seed}.jsonl" for n in ("stream", "changes"))
            for name, one in replayed(*places, runs, seen).items():
                outcomes[name].append(one)
            sys.stderr.write(f"{title}, stream {seed}\n")
    quiet = sum(one.quiet for one in outcomes[CUSUM]) / MONTH
    lines = [
        f"## {title[0].upper()}{title[1:]}",
        "",
        f"`stream.py stream FOLDER --seed SEED {shlex.join(SCENARIOS[title])}`; {quiet:.1f} months "
        f"without a change; the interval of a day's adjusted share holds the share of the gold "
        f"labels on {np.mean(seen):.1%} of {len(seen)} days.",
        "",
        "| detector | changes found | delay, h | false alarms a month | deviation |",
        "| --- | --- | --- | --- | --- |",
        *rows_of(outcomes),
        "",
    ]
    return lines, outcomes


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--streams", type=int, default=4, help="of each run")
    parser.add_argument("--output", type=Path, default=HERE / "TABLE.md")
    options = parser.parse_args()
    several = [Runs([run], "negative") for run in options.runs]
    number = f"{len(several)} run{'s' if several[1:] else ''}"
    lines = [
        "Written by `python experiments/monitor/evaluate.py FOLDER RUN ... --streams "
        f"{options.streams}`.",
        "",
        *classifiers(several),
        "",
        f"{number} with {options.streams} streams each, of 90 days and 6 changes: for "
        "24 hours the share of negative texts is twice the usual 12 %, among 30 texts an hour. "
        "Stated: 1 false alarm a month. Delays are medians over the changes found, in hours; "
        "intervals are of 95 %, by a bootstrap over changes, and exact for the Poisson counts of "
        "false alarms; the deviation is that of streams.",
        "",
    ]
    outcomes = {}
    for title in SCENARIOS:
        more, outcomes[title] = section(options.folder, several, title, options.streams)
        lines += more
    claims = [claim.verdict(joined(outcomes[claim.scenario][claim.detector])) for claim in CLAIMS]
    lines += ["Claims, each decided by its 95 % interval over all streams:", "", *claims]
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
