"""The files of a report: gathered, written beside their place, and then put there as a whole."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from lushan.data.record_schema import RecordSchema
from lushan.errors import UserError
from lushan.metrics.calibration import Aim
from lushan.report import class_scores, curves, details, examples, probabilities
from lushan.report.class_scores import ClassCounts
from lushan.report.examples import Compact, script
from lushan.report.groups import Gathered, Shown
from lushan.report.media import Media
from lushan.report.page import GENERATOR, page
from lushan.run import checksums
from lushan.run.folder import RunFolder
from lushan.run.metrics_csv import SAMPLES, read_samples
from lushan.run.new_folder import replacing_folder
from lushan.study import records, schemas

SCRIPTS = (
    *("core.js", "charts.js", "tables.js", "figures.js", "probabilities.js"),
    *("examples.js", "start.js"),
)
"""Scripts of `assets/`, joined to one file in this order."""
_OURS = re.compile(
    r"index\.html|report\.(css|js)|data(/(report|examples-\w+|run-\d+-(\d+|p))\.js)?"
    r"|media(/\w+\.(png|jpg|gif))?"
)

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Written:
    """Summary of a report that was written.

    Attributes:
        index: The page.
        files: How many there are.
        size: Their bytes.
        problems: What could not be read; it is named on the page too.
    """

    index: Path
    files: int
    size: int
    problems: list[str]


def write(
    made: Gathered,
    output: Path,
    on_progress: Progress | None = None,
    aims: Sequence[Aim] = probabilities.USUAL,
) -> Written:
    """Write a report, and replace an earlier one.

    Args:
        made: What it shows.
        output: The folder.
        on_progress: Called with how many of how many runs have been read.
        aims: What thresholds on probabilities are chosen for.

    Raises:
        UserError: There is something at `output` that is not a report.
        RunFailed: It cannot be written.
    """
    output = Path(os.path.realpath(output))
    require_ours(output)
    with replacing_folder(output) as folder:
        problems = _Writer(made, folder, aims).write(on_progress)
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
    return Written(output / "index.html", len(files), size, problems)


def require_ours(output: Path) -> None:
    """Refuse a place where there is something else than a report."""
    hint = "Choose a new folder, or the folder of an earlier report."
    if output.is_file():
        raise UserError("a report needs a folder, but this is a file", key="-o", value=str(output))
    if not output.is_dir():
        return
    inside = sorted(path.relative_to(output).as_posix() for path in output.rglob("*"))
    strange = [name for name in inside if not _OURS.fullmatch(name)]
    if strange:
        raise UserError(
            f"the folder contains other files than a report: {', '.join(strange[:3])}"
            + (f" and {len(strange) - 3} more" if len(strange) > 3 else ""),
            key="-o",
            value=str(output),
            hint=hint,
        )
    if inside and not _is_report(output / "index.html"):
        raise UserError(
            "the folder contains a page that is not a report",
            key="-o",
            value=str(output),
            hint=hint,
        )


def _is_report(index: Path) -> bool:
    try:
        return GENERATOR.encode() in index.read_bytes()[:1000]
    except OSError:
        return False


class _Writer:
    """Reads run after run, and keeps of each only what its group needs."""

    def __init__(self, made: Gathered, folder: Path, aims: Sequence[Aim]) -> None:
        self.made, self.folder, self.problems = made, folder, list[str]()
        self.aims, self.probable = aims, dict[int, str]()
        self.group_of = {run: g for g, group in enumerate(made.groups) for run in group.runs}
        self.curves: list[dict[str, Any]] = []
        self.scores: list[dict[str, Any]] = []
        self.confusions: list[dict[str, Any]] = []
        self.files: dict[int, list[dict[str, Any]]] = {}
        self.shared: set[str] = set()
        self.media = Media(folder)

    def write(self, on_progress: Progress | None) -> list[str]:
        (self.folder / "data").mkdir()
        done = 0
        for group in self.made.groups:
            numbers, by_split = [], dict[str, list[tuple[ClassCounts, str]]]()
            for run in group.runs:
                numbers.append(self._curves(self.made.runs[run]))
                for split, found, digest in self._predictions(run):
                    by_split.setdefault(split, []).append((found, digest))
                done += 1
                if on_progress is not None:
                    on_progress(done, len(self.made.runs))
            self._group(numbers, by_split)
        self._write_script("report", self._report(), "data/report.js")
        assets = resources.files("lushan.report") / "assets"
        code = [(assets / name).read_text(encoding="utf-8") for name in SCRIPTS]
        self._write("report.js", "\n".join(code))
        self._write("report.css", (assets / "report.css").read_text(encoding="utf-8"))
        self._write("index.html", page(self.made, self.problems))
        return self.problems

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def _write_script(self, name: str, content: object, file: str) -> None:
        self._write(file, script(name, content))

    # What is read of a run

    def _curves(self, run: Shown) -> dict[str, curves.Series]:
        found, problem = curves.read(run.member)
        if problem:
            self.problems.append(f"{run.member.folder}: {problem}")
        return found

    def _predictions(self, number: int) -> Iterator[tuple[str, ClassCounts, str]]:
        """Split, counts by class and the hash of the examples, where there are classes."""
        member = self.made.runs[number].member
        folder, refused = RunFolder(member.folder), Counter[str]()
        paths = sorted(folder.predictions.glob("*.jsonl"))
        if not paths or member.result is None:
            return
        images = self.media.of_run(folder.path, refused)
        try:
            schema = schemas.schema_of(member.result, folder.path)
        except UserError as error:
            self._unreadable(Path(error.file or folder.result_json), error.problem)
            return
        self.problems += [f"{folder.path}: {note}" for note in schema.notes]
        probable: dict[str, probabilities.Probabilities] = {}
        for place, path in enumerate(paths):
            try:
                rows = records.read(folder.path, path.stem, schema)
                small = examples.compact(rows, schema, _prompts(folder), images)
                found = self._class_counts(rows, schema, path) if small else None
                if (known := self._known(rows, schema, path)) is not None:
                    probable[path.stem] = known
            except UserError as error:
                self._unreadable(Path(error.file or path), error.problem)
                continue
            except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
                self._unreadable(path, f"{type(error).__name__}: {error}")
                continue
            if small is not None:
                self._keep(number, place, path.stem, small)
            if small is not None and found is not None:
                self._confusion(number, path.stem, found)
                yield path.stem, found, small.hash
        self._probabilities(number, probable)
        for reason, count in refused.items():
            self.problems.append(f"{folder.path}: {count} images are not shown: {reason}")

    def _class_counts(
        self, rows: records.Records, schema: RecordSchema, path: Path
    ) -> ClassCounts | None:
        try:
            return class_scores.class_counts(rows, schema)
        except class_scores.TooMany as error:
            self.problems.append(f"{path}: {error}")
            return None

    def _known(
        self, rows: records.Records, schema: RecordSchema, path: Path
    ) -> probabilities.Probabilities | None:
        try:
            return probabilities.probabilities(rows, schema)
        except probabilities.NotAll as error:
            self.problems.append(f"{path}: no calibration and curves: {error}")
            return None

    def _probabilities(self, number: int, found: dict[str, probabilities.Probabilities]) -> None:
        if found:
            self.probable[number] = name = f"run-{number}-p"
            splits = probabilities.of_splits(found, self.aims)
            self._write_script(name, {"splits": splits}, f"data/{name}.js")

    def _unreadable(self, path: Path, problem: str) -> None:
        self.problems.append(f"{path}: cannot be read: {problem}")

    def _keep(self, number: int, place: int, split: str, small: Compact) -> None:
        if small.hash not in self.shared:
            self.shared.add(small.hash)
            name = f"examples-{small.hash}"
            self._write_script(name, {"rows": small.shared}, f"data/{name}.js")
        name = f"run-{number}-{place}"
        own = {
            "numbers": small.numbers,
            "classes": small.classes,
            "strict": small.is_strict,
            "unpaired": small.unpaired,
            "rows": small.own,
        }
        self._write_script(name, own, f"data/{name}.js")
        self.files.setdefault(number, []).append(
            {
                "split": split,
                "examples": f"examples-{small.hash}",
                "own": name,
                "count": len(small.own),
                "errors": small.errors,
                "left_out": small.left_out,
            }
        )

    def _confusion(self, number: int, split: str, found: ClassCounts) -> None:
        if found.confusion:
            cells = [[gold, predicted, n] for (gold, predicted), n in found.confusion.items()]
            self.confusions.append(
                {
                    "run": number,
                    "split": split,
                    "caption": found.caption,
                    "unpaired": found.unpaired,
                    "cells": cells,
                }
            )

    # What is written of a group

    def _group(
        self,
        numbers: Sequence[dict[str, curves.Series]],
        by_split: dict[str, list[tuple[ClassCounts, str]]],
    ) -> None:
        place = len(self.curves)
        found = curves.together([one for one in numbers if one])
        self.curves.append({name: dataclasses.asdict(curve) for name, curve in found.items()})
        for split, several in by_split.items():
            alike = len({digest for _, digest in several}) == 1
            rows = class_scores.scores([one for one, _ in several], alike=alike)
            self.scores.append(
                {"group": place, "split": split, "rows": [dataclasses.asdict(r) for r in rows]}
            )

    def _report(self) -> dict[str, Any]:
        made = self.made
        runs = [details.of_run(run, self.group_of[i]) for i, run in enumerate(made.runs)]
        names = {row[0] for run in runs for row in run["metrics"]}
        names |= {name for group in self.curves for name in group}
        results = [run.member.result for run in made.runs]
        measures = {n: m for result in results if result for n, m in result.measures.items()}
        keys = dict.fromkeys(key for group in made.groups for key in group.values)
        return {
            "keys": list(keys),
            "runs": [
                run | {"files": self.files.get(i, []), "probabilities": self.probable.get(i)}
                for i, run in enumerate(runs)
            ],
            "groups": [
                {
                    "label": group.label,
                    "experiment": group.experiment,
                    "values": dict(group.values),
                    "runs": list(group.runs),
                }
                for group in made.groups
            ],
            "metrics": details.metrics(sorted(names), measures),
            "curves": self.curves,
            "scores": self.scores,
            "confusions": self.confusions,
            "configs": details.configs(made.runs),
        }


def _prompts(folder: RunFolder) -> dict[str, str]:
    """Return the prompts of a run's samples; the rest of the run does not need them."""
    try:
        rows = read_samples(checksums.verified(folder.path, SAMPLES))
    except (OSError, ValueError):
        return {}
    return {str(row["id"]): str(row["prompt"]) for row in rows if "id" in row and "prompt" in row}
