"""The guard of a run: its threshold by the validation split, its scores by its model."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lushan.errors import UserError
from lushan.guard.calibration import threshold
from lushan.guard.guard import Guard
from lushan.inference import validation
from lushan.metrics.calibration import fitted_temperature, with_temperature
from lushan.models.decoding import Written

Show = Callable[[str], Any]
Cancelled = Callable[[], bool]

UNSAFE = ("unsafe", "offensive", "toxic", "1")
"""Labels that mean an unsafe text where none is named."""
RATE = 0.01
_NAMED = ("content", "text")
"""Fields of messages, and of their parts, that hold text."""


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """What the validation split says of a guard.

    Attributes:
        label: Of unsafe texts.
        labels: All.
        temperature: Of its probabilities.
        threshold: A text above it is unsafe.
        found: Share of the unsafe validation texts above it.
        false: Share of the safe ones above it.
        texts: Validation texts.
    """

    label: str
    labels: tuple[str, ...]
    temperature: float
    threshold: float
    found: float
    false: float
    texts: int

    def __str__(self) -> str:
        return (
            f"guard: unsafe is {self.label!r} above {self.threshold:.3f}, temperature "
            f"{self.temperature:.2f}; of {self.texts:,} validation texts {self.found:.1%} of the "
            f"unsafe and {self.false:.2%} of the safe ones lie above it"
        )


def calibrate(run: str | Path, *, label: str | None = None, rate: float = RATE) -> Calibrated:
    """Choose temperature and threshold by a run's stored validation predictions.

    Args:
        run: A run that gives each text one label.
        label: Of unsafe texts; by its name if None.
        rate: Share of safe texts that may be refused.

    Raises:
        UserError: It is no such run, or has too few safe texts.
    """
    if not 0 < rate < 1:
        raise UserError("must be above 0 and below 1", key="--guard-rate", value=rate)
    records = validation.predictions(run)
    if not all(_is_single(record) for record in records):
        raise UserError(
            "this run does not predict one label for each text",
            file=run,
            hint="Train a guard with task=classification and task.kind=single.",
        )
    labels = tuple(records[0]["probabilities"])
    chosen = label or next((one for one in UNSAFE if one in labels), None)
    if chosen is None or chosen not in labels:
        raise UserError(
            f"the label of unsafe texts is unknown; labels: {', '.join(labels)}",
            key="--guard-label",
            value=label,
        )
    probabilities = np.array([[r["probabilities"][one] for one in labels] for r in records])
    gold = np.array([labels.index(r["gold"]) for r in records])
    heat = fitted_temperature(probabilities, gold)
    scores = with_temperature(probabilities, heat, several=False)[:, labels.index(chosen)]
    unsafe = gold == labels.index(chosen)
    bound = threshold(scores[~unsafe], rate)
    return Calibrated(
        label=chosen,
        labels=labels,
        temperature=heat,
        threshold=bound,
        found=float((scores[unsafe] > bound).mean()) if unsafe.any() else 0.0,
        false=float((scores[~unsafe] > bound).mean()),
        texts=len(records),
    )


def _is_single(record: dict[str, Any]) -> bool:
    known = record.get("probabilities")
    return isinstance(known, dict) and record["gold"] in known and "of_classes" not in record


def open_guard(
    run: str | Path | None,
    *,
    label: str | None = None,
    rate: float | None = None,
    redacts: bool = False,
    notes: list[str] | None = None,
) -> Guard | None:
    """Return the guard of a run; None where nothing is asked of it.

    Args:
        run: A run of task=classification; None checks nothing.
        label: See `calibrate`.
        rate: See `calibrate`; `RATE` if None.
        redacts: Whether personal data are redacted.
        notes: Gets what was chosen.

    Raises:
        UserError: There is no such run, or it is none that can guard.
    """
    if run is None:
        if label is not None or rate is not None:
            key = "--guard-label" if label is not None else "--guard-rate"
            raise UserError("requires --guard", key=key, value=label or rate)
        return Guard(None, redacts=True) if redacts else None
    found = calibrate(run, label=label, rate=RATE if rate is None else rate)
    if notes is not None:
        notes.append(str(found))
    return Guard(_Scores(run, found), found.threshold, redacts=redacts)


def write(
    guard: Guard | None,
    writing: Callable[[Show | None, Cancelled | None], Written],
    show: Show | None = None,
    cancelled: Cancelled | None = None,
) -> Written:
    """Generate a text under a guard: what is shown has passed, and it ends where it is refused.

    Args:
        guard: The guard, if any.
        writing: Generates the text; takes `show` and `cancelled` as `TextGenerator.write` does.
        show: Gets the text as it may be shown.
        cancelled: Whether to end at once.

    Returns:
        The text, redacted; or the refusal, whose `finish` is `refused`.
    """
    if guard is None:
        return writing(show, cancelled)
    stream = guard.open_stream()

    def push(piece: str) -> None:
        if (text := stream.push(piece)) and show is not None:
            show(text)

    def is_over() -> bool:
        return stream.refused is not None or (cancelled is not None and cancelled())

    written = writing(push, is_over)
    if (rest := stream.close()) and show is not None:
        show(rest)
    if stream.refused is not None:
        return Written([], guard.refusal, "refused")
    return redacted(guard, written)


def redacted(guard: Guard, written: Written) -> Written:
    """Return a text without personal data; its tokens, which would hold them, are removed then."""
    text = guard.redacted(written.text)
    return written if text == written.text else dataclasses.replace(written, ids=[], text=text)


def checked(guard: Guard, written: Written) -> Written:
    """Return a whole text, redacted, or the refusal."""
    if guard.check(written.text).is_safe:
        return redacted(guard, written)
    guard.counts["answers refused"] += 1
    return Written([], guard.refusal, "refused")


def redacted_prompt(guard: Guard, value: Any) -> Any:
    """Return a prompt, a text or messages, with the personal data of its texts redacted."""
    if isinstance(value, str):
        return guard.redacted(value)
    if isinstance(value, list):
        return [redacted_prompt(guard, one) for one in value]
    if isinstance(value, Mapping):
        return {k: redacted_prompt(guard, v) if k in _NAMED else v for k, v in value.items()}
    return value


def prompt_passes(guard: Guard, value: Any) -> bool:
    """Return whether all texts of a prompt may pass."""
    passes = all(guard.check(text).is_safe for text in _texts(value))
    guard.counts["prompts refused"] += not passes
    return passes


def _texts(value: Any) -> Iterator[str]:
    """Yield a prompt's texts: itself, or the contents of its messages and their parts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Mapping):
        for name in _NAMED:
            yield from _texts(value.get(name))


def notes_of(guard: Guard | None) -> list[str]:
    """Return what a guard has done, in words."""
    found = {} if guard is None else {k: v for k, v in sorted(guard.counts.items()) if v}
    return [f"guard: {', '.join(f'{v:,} {k}' for k, v in found.items())}"] if found else []


class _Scores:
    """Calibrated scores of texts by a run's model; several threads may ask it."""

    def __init__(self, run: str | Path, found: Calibrated) -> None:
        from lushan.inference.load import load

        self.found = found
        self._lock = threading.RLock()  # tokenizers are not made for several threads
        self.loaded = load(Path(run).expanduser())
        if "text" not in self.loaded.task.fields:
            raise UserError("this run does not classify texts", file=run)

    def __call__(self, texts: Sequence[str]) -> list[float]:
        with self._lock:
            return self._scores(texts)

    def _scores(self, texts: Sequence[str]) -> list[float]:
        import pyarrow as pa

        from lushan.inference.prediction import predict_rows

        table = pa.table({"id": [str(i) for i in range(len(texts))], "text": list(texts)})
        records = predict_rows(self.loaded, table)
        rows = [[r["probabilities"][one] for one in self.found.labels] for r in records]
        scaled = with_temperature(np.array(rows), self.found.temperature, several=False)
        scores = [float(v) for v in scaled[:, self.found.labels.index(self.found.label)]]
        for row, (text, record) in enumerate(zip(texts, records, strict=True)):
            if "truncated" in record:  # of a text that is too long, the worst part counts
                third = len(text) // 3
                scores[row] = max(self._scores((text[: 2 * third + 1], text[third:])))
        return scores
