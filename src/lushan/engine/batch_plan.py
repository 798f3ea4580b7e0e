"""Batch plan: the examples of each epoch, in batches, and the number of steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lushan.data.batch.batching import Batches, Indices, plan_epoch
from lushan.data.batch.mixing import Mix
from lushan.data.batch.packing import Rows, best_fit, single
from lushan.data.encode.encoding import Encoded
from lushan.data.splits import GROUP
from lushan.engine.limits import TrainLimits
from lushan.errors import UserError

MOST_EPOCHS = 1_000_000
"""Whose steps are counted before the first one, for the schedule of learning rates."""


@dataclasses.dataclass(frozen=True)
class Batching:
    """Settings by which examples become batches; see `lushan.data.batch.batching`.

    Attributes:
        seed: Of the order.
        batch_examples: Examples in a global batch, or None.
        batch_tokens: Padded tokens in a global batch, or None.
        micro_tokens: Padded tokens one device holds at a time; None means all of its share.
        eval_tokens: Padded tokens in an evaluation batch.
        bucket: Batches among which examples are sorted by length.
        by_group: Whether a batch has whole groups of examples.
        limits: How many epochs and steps are trained, and how many batches an epoch has.
        row_tokens: Tokens of a row that holds several features; None gives each one its own.
        mix: Which examples an epoch has; None where each has all of them.
    """

    seed: int
    batch_examples: int | None
    batch_tokens: int | None
    micro_tokens: int | None = None
    eval_tokens: int = 8192
    bucket: int = 50
    by_group: bool = False
    limits: TrainLimits = dataclasses.field(default_factory=TrainLimits)
    row_tokens: int | None = None
    mix: Mix | None = None


class BatchPlan:
    """All epochs' plans: which batches, how many steps. A pure function of data and config."""

    def __init__(self, encoded: Encoded, corpus: pa.Table, batching: Batching) -> None:
        self.encoded, self.corpus, self.batching = encoded, corpus, batching
        self.rows = self._made(0)
        self.waste = self.rows.waste(encoded.lengths)
        self.notes = size_notes(self.rows.sums(encoded.lengths), batching)
        self._kept = (0, self.rows)  # an epoch, and its rows
        self.steps: list[int] = []  # of each epoch
        total = 0
        first = len(self._plan(0))
        self._require_countable(first)
        while not self._full(total):
            batches = len(self._plan(len(self.steps))) if self.steps else first
            if batching.limits.max_steps is not None:
                batches = min(batches, batching.limits.max_steps - total)
            self.steps.append(batches)
            total += batches
        self.total_steps = total

    def _require_countable(self, batches: int) -> None:
        """Refuse a training whose steps would take days to count, epoch by epoch."""
        for key, wanted, most in (
            ("max_epochs", self.batching.limits.max_epochs, MOST_EPOCHS),
            ("max_steps", self.batching.limits.max_steps, MOST_EPOCHS * max(1, batches)),
        ):
            if wanted is not None and wanted > most:
                raise UserError(
                    f"an epoch has {batches} steps here, and the limit is {MOST_EPOCHS:,} epochs",
                    key=f"trainer.{key}",
                    value=wanted,
                )

    def rows_of(self, epoch: int) -> Rows:
        """The rows of an epoch; the same in all, unless corpora are mixed."""
        if self.batching.mix is not None and epoch != self._kept[0]:
            self._kept = epoch, self._made(epoch)
        return self._kept[1]

    def _made(self, epoch: int) -> Rows:
        b, lengths = self.batching, self.encoded.lengths
        if b.mix is None:
            chosen = np.arange(len(lengths))
        else:
            chosen = b.mix.features(self.encoded.examples, lengths, seed=b.seed, epoch=epoch)
        rows = (
            single(len(chosen)) if b.row_tokens is None else best_fit(lengths[chosen], b.row_tokens)
        )
        return dataclasses.replace(rows, members=chosen[rows.members])

    def _full(self, total: int) -> bool:
        limits = self.batching.limits
        by_epochs = limits.max_epochs is not None and len(self.steps) >= limits.max_epochs
        by_steps = limits.max_steps is not None and total >= limits.max_steps
        return by_epochs or by_steps

    def _plan(self, epoch: int) -> Batches:
        b = self.batching
        plan = plan_epoch(
            self.rows_of(epoch).sums(self.encoded.lengths),
            seed=b.seed,
            epoch=epoch,
            batch_examples=b.batch_examples,
            batch_tokens=b.batch_tokens,
            bucket=b.bucket,
            groups=self._groups(epoch) if b.by_group else None,
        )
        limit = b.limits.train_batches
        if limit is None:
            return plan
        return plan[: limit if isinstance(limit, int) else max(1, int(len(plan) * limit))]

    def _groups(self, epoch: int) -> Indices:
        """Return the number of each row's group.

        Raises:
            UserError: There are none, or a row holds several examples.
        """
        table, rows = self.table(epoch), self.rows_of(epoch)
        if GROUP not in table.column_names or rows.capacity:
            problem = "packed rows have no group" if rows.capacity else "there is no data.group"
            raise UserError(
                problem,
                key="data.batch_by_group",
                value=True,
                hint="Write data.packing=false, and data.group=COLUMN, the column of the group.",
            )
        _, numbers = np.unique(table.column(GROUP).to_pylist(), return_inverse=True)
        return numbers[self.encoded.examples[rows.members]]

    @property
    def epochs(self) -> int | None:
        """Epochs begun, the last one possibly cut short by `max_steps`."""
        return len(self.steps)

    def epoch(self, number: int, *, done: int | None = None) -> Sequence[Indices]:
        """The global batches of one epoch.

        Args:
            number: Of the epoch.
            done: Steps before it, where the schedule does not know them.
        """
        del done
        return self._plan(number)[: self.steps[number]]

    def features(self, epoch: int) -> Encoded:
        """Return the encoded split that the example numbers of an epoch refer to."""
        del epoch
        return self.encoded

    def table(self, epoch: int) -> pa.Table:
        """The corpus rows behind them."""
        del epoch
        return self.corpus


def size_notes(lengths: NDArray[np.int64], batching: Batching) -> list[str]:
    """Count the rows that are longer than a batch is to be.

    Args:
        lengths: Tokens of each row, shape (N,).
        batching: With the size of a global batch.

    Raises:
        UserError: Most examples do not fit into a batch: then the number was not meant in tokens.
    """
    batch_tokens = batching.batch_tokens
    if batch_tokens is None or not len(lengths):
        return []
    over = int((lengths > batch_tokens).sum())
    if batching.row_tokens is None and 2 * over > len(lengths):
        median, longest = int(np.median(lengths)), int(lengths.max())
        raise UserError(
            f"the batch is too small for one example: the median length is {median} "
            f"tokens, the longest has {longest}",
            key="data.batch_tokens",
            value=batch_tokens,
            hint=f"Write data.batch_examples={batch_tokens} data.batch_tokens=null to set the "
            f"number of examples in an optimizer step.",
        )
    if not over:
        return []
    noun = "example" if batching.row_tokens is None else "packed row"
    what = f"{noun} is" if over == 1 else f"{noun}s are"
    return [
        f"{over:,} {what} longer than data.batch_tokens={batch_tokens}: each is a batch of its own"
    ]


class Streamed(BatchPlan):
    """Epochs of a set that is never there as a whole: each is a window of its own.

    How many there will be is not known; `max_steps` ends the training, in the midst of a window.

    Args:
        encoded: The features of a window, by its number.
        table: Its corpus rows.
        batching: With `max_steps`.

    Raises:
        UserError: There are no `max_steps`.
    """

    def __init__(
        self,
        encoded: Callable[[int], Encoded],
        table: Callable[[int], pa.Table],
        batching: Batching,
    ) -> None:
        if batching.limits.max_steps is None:
            raise UserError(
                "a stream has no end, so the length of training must be set",
                key="trainer.max_steps",
                hint="Write trainer.max_steps=10000.",
            )
        self._encoded_of, self.table_of = encoded, table
        self._window = (0, encoded(0))
        self.batching = batching
        self.total_steps = batching.limits.max_steps
        self._kept = (0, self._made(0))
        self.rows = self._kept[1]
        self.waste = self.rows.waste(self.encoded.lengths)
        self.notes = size_notes(self.rows.sums(self.encoded.lengths), batching)

    @property
    def encoded(self) -> Encoded:  # type: ignore[override]
        """The features of the window that is at hand."""
        return self._window[1]

    def rows_of(self, epoch: int) -> Rows:
        """The rows of a window."""
        if epoch != self._kept[0]:
            self.features(epoch)
            self._kept = epoch, self._made(epoch)
        return self._kept[1]

    @property
    def epochs(self) -> None:
        """Number of epochs, which is unknown for a stream."""
        return None

    def epoch(self, number: int, *, done: int | None = None) -> Sequence[Indices]:
        """The global batches of a window, as many as are left to do."""
        assert done is not None
        return self._plan(number)[: self.total_steps - done]

    def features(self, epoch: int) -> Encoded:
        """The features of a window, which is read when it is asked for."""
        if epoch != self._window[0]:
            self._window = epoch, self._encoded_of(epoch)
        return self._window[1]

    def table(self, epoch: int) -> pa.Table:
        """The documents of a window."""
        return self.table_of(epoch)
