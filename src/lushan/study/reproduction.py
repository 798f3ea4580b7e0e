"""A run made again: what is different from then, and whether the numbers are the same."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lushan.common import units
from lushan.errors import UserError
from lushan.run import checksums
from lushan.run.config_yaml import read_config
from lushan.run.folder import RunFolder
from lushan.run.identity import RESOLVED
from lushan.run.input_changes import changes, in_words
from lushan.run.manifest import describe_git, describe_machine, packages, read_manifest
from lushan.run.result import RunResult
from lushan.study import collect, records
from lushan.study.schemas import schema_of

EQUAL, CLOSE, DIFFERENT = "bit-equal", "within tolerance", "different"
VERDICTS = (EQUAL, CLOSE, DIFFERENT)
"""From best to worst."""

TOLERANCE = 1e-4
"""Relative, of a metric; and absolute, where it is near zero."""


@dataclasses.dataclass(frozen=True)
class Original:
    """A complete run that is to be made again."""

    folder: RunFolder
    result: RunResult
    manifest: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> Original:
        """Read a run's folder.

        Raises:
            UserError: The run is not complete, or has no manifest, or its manifest or its
                predictions are damaged.
        """
        folder = RunFolder(path)
        result = folder.result()
        if result is None or not result.config:
            raise UserError(
                f"not a complete run ({folder.status().missing})",
                file=path,
                hint="Only a run with a result can be reproduced; `lushan runs` lists the runs.",
            )
        try:
            manifest = read_manifest(folder.path)
        except OSError as error:
            raise UserError(
                "it does not say how it was produced", file=folder.manifest_json
            ) from error
        read_config(folder.path)  # it holds the config that was run
        checksums.verified(folder.path, folder.predictions.name)  # none of them is gone
        schema = schema_of(result, folder.path)
        for file in sorted(folder.predictions.glob("*.jsonl")):
            records.read(folder.path, file.stem, schema)  # the other run is not made for nothing
        return cls(folder, result, manifest)

    @property
    def threads(self) -> int | None:
        """Threads it was computed with; None where it does not say."""
        return self.manifest.get("threads")

    def config_in(self, place: Path) -> dict[str, Any]:
        """Its config, with another place for runs, and no word to the search it was a trial of."""
        config = {k: v for k, v in self.result.config.items() if k != RESOLVED}
        return config | {"trial": None, "paths": dict(config["paths"]) | {"output_dir": str(place)}}

    def differences(self, inputs: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Return the differences to the original surroundings, a line each.

        Args:
            inputs: What the run would read now.
        """
        then, machine = self.manifest, dict(self.manifest.get("machine") or {})
        now = describe_machine()
        found = [in_words([change]) for change in changes(self.result.inputs, inputs)]
        found += _packages(then.get("packages") or [])
        code, _ = describe_git(Path(__file__).parent)
        commit = ((then.get("lushan") or {}).get("git") or {}).get("commit")
        if code is not None and commit is not None and commit != code["commit"]:
            found.append(f"lushan: commit {commit[:10]}, now {str(code['commit'])[:10]}")
        for name in ("processor", "threads_usable", "gpus"):
            if machine.get(name) != now[name]:
                found.append(f"machine: {name} {machine.get(name)}, now {now[name]}")
        if self.threads is None:
            found.append("threads: the original number is unknown")
        return found


def _packages(then: Iterable[str]) -> list[str]:
    """Packages of another version; those that are only more or fewer change no number."""
    before = dict(line.split("==", 1) for line in then if "==" in line)
    now = dict(line.split("==", 1) for line in packages() if "==" in line)
    return [
        f"package: {name} {version}, now {now[name]}"
        for name, version in before.items()
        if name in now and now[name] != version and name != "lushan"
    ]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A run beside the same run made again.

    Attributes:
        metrics: Metric to its value then and now.
        weights: Whether the SHA-256 that each run noted of its weights is the same; None where one
            noted none. The weights themselves need not be there any more.
        examples: Split to the number of predictions that differ, and of all.
        tolerance: See `TOLERANCE`.
        resolved: Key to its value then and now, where the two differ.
        measures: Unit of each metric.
    """

    metrics: Mapping[str, tuple[float | None, float | None]]
    weights: bool | None
    examples: Mapping[str, tuple[int, int]]
    tolerance: float
    resolved: Mapping[str, tuple[Any, Any]] = dataclasses.field(default_factory=dict)
    measures: Mapping[str, units.Measure] = dataclasses.field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        worst = max((VERDICTS.index(self.of(name)) for name in self.metrics), default=0)
        predicted = any(different for different, _ in self.examples.values())
        if worst == 0 and (predicted or self.weights is False):
            return CLOSE
        return VERDICTS[worst]

    def of(self, metric: str) -> str:
        """The verdict on one metric."""
        then, now = self.metrics[metric]
        if then == now:
            return EQUAL
        if then is None or now is None:
            return DIFFERENT
        close = math.isclose(then, now, rel_tol=self.tolerance, abs_tol=self.tolerance)
        return CLOSE if close else DIFFERENT

    def lines(self, *, every: bool = True) -> list[str]:
        """Return, in words, what was computed otherwise, each metric, the weights, the examples.

        Args:
            every: Also those that are bit-equal.
        """
        heads = {n: units.head(n, units.measure_of(self.measures, n)) for n in self.metrics}
        width = max(map(len, heads.values()), default=0)
        found = [f"differs: {k} {old}, now {new}" for k, (old, new) in self.resolved.items()]
        found += [
            f"{heads[name].ljust(width)}  {self._number(then, name)}  {self._number(now, name)}  "
            f"{self.of(name)}"
            for name, (then, now) in self.metrics.items()
        ]
        if self.weights is not None:
            found.append(f"weights, by their SHA-256: {EQUAL if self.weights else DIFFERENT}")
        for split, (different, all_) in self.examples.items():
            verdict = EQUAL if not different else f"{different:,} of {all_:,} {DIFFERENT}"
            found.append(f"predictions on {split}: {verdict}")
        return [line for line in found if every or not line.endswith(EQUAL)]

    def _number(self, value: float | None, metric: str) -> str:
        """Return a value with all its digits but the last, which scaling would change."""
        if value is None:
            return "-"
        return f"{units.scaled(value, units.measure_of(self.measures, metric)):.15g}"


def compare(original: Original, now: RunResult, *, tolerance: float = TOLERANCE) -> Comparison:
    """Compare a run with the same run made again."""
    then, again = original.result, RunFolder(now.folder)
    names = dict.fromkeys([*then.metrics, *now.metrics])
    known = then.weights_sha256 is not None and now.weights_sha256 is not None
    files = sorted(
        {
            path.name
            for place in (original.folder, again)
            for path in place.predictions.glob("*.jsonl")
        }
    )
    return Comparison(
        {name: (then.metrics.get(name), now.metrics.get(name)) for name in names},
        then.weights_sha256 == now.weights_sha256 if known else None,
        {
            Path(name).stem: _lines(original.folder.predictions / name, again.predictions / name)
            for name in files
        },
        tolerance,
        collect.resolved_apart([then.config, now.config]),
        {**now.measures, **then.measures},
    )


def _lines(one: Path, other: Path) -> tuple[int, int]:
    """Count the lines of two files that differ, and all; a missing file has none."""
    texts = [path.read_bytes().splitlines() if path.is_file() else [] for path in (one, other)]
    pairs = list(itertools.zip_longest(*texts))
    return sum(a != b for a, b in pairs), len(pairs)
