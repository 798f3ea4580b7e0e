"""The one LightningModule: step, log, optimizer. What is learned is the task's business."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from lushan.data.batching import Indices, mix, plan_epoch, plan_evaluation
from lushan.data.encoding import Encoded
from lushan.data.loader import EvaluationLoader, GlobalBatch, TrainingLoader
from lushan.errors import RunFailed
from lushan.models.ema import EMA
from lushan.tasks.base import Evaluation, Records, Task

VALIDATION, TEST = "validation", "test"
PREFIX = {VALIDATION: "val", TEST: "test"}
"""Metric names begin with these, as the field writes them."""


@dataclasses.dataclass(frozen=True)
class Batching:
    """How examples become batches; see `lushan.data.batching`.

    Attributes:
        seed: Of the order.
        batch_examples: Examples in a global batch, or None.
        batch_tokens: Padded tokens in a global batch, or None.
        micro_tokens: Padded tokens one device holds at a time; None means all of its share.
        eval_tokens: Padded tokens in an evaluation batch.
        bucket: Batches among which examples are sorted by length.
        max_epochs: Epochs to train; None where `max_steps` says when to stop.
        max_steps: Optimizer steps to train; None where `max_epochs` says when to stop.
        limit: Global batches an epoch, for debugging; None means all.
    """

    seed: int
    batch_examples: int | None
    batch_tokens: int | None
    micro_tokens: int | None = None
    eval_tokens: int = 8192
    bucket: int = 50
    max_epochs: int | None = None
    max_steps: int | None = None
    limit: int | float | None = None


class Schedule:
    """All epochs' plans: which batches, how many steps. A pure function of data and config."""

    def __init__(self, encoded: Encoded, batching: Batching) -> None:
        self.lengths = encoded.lengths
        self.batching = batching
        self.steps: list[int] = []  # of each epoch
        total = 0
        while not self._full(total):
            batches = len(self._plan(len(self.steps)))
            if batching.max_steps is not None:
                batches = min(batches, batching.max_steps - total)
            self.steps.append(batches)
            total += batches
        self.total_steps = total

    def _full(self, total: int) -> bool:
        b = self.batching
        by_epochs = b.max_epochs is not None and len(self.steps) >= b.max_epochs
        by_steps = b.max_steps is not None and total >= b.max_steps
        return by_epochs or by_steps

    def _plan(self, epoch: int) -> list[Indices]:
        b = self.batching
        plan = plan_epoch(
            self.lengths,
            seed=b.seed,
            epoch=epoch,
            batch_examples=b.batch_examples,
            batch_tokens=b.batch_tokens,
            bucket=b.bucket,
        )
        if b.limit is None:
            return plan
        return plan[: b.limit if isinstance(b.limit, int) else max(1, int(len(plan) * b.limit))]

    @property
    def epochs(self) -> int:
        """Epochs begun, the last one possibly cut short by `max_steps`."""
        return len(self.steps)

    def epoch(self, number: int) -> list[Indices]:
        """The global batches of one epoch."""
        return self._plan(number)[: self.steps[number]]

    def examples(self, steps: int) -> int:
        """Examples in the first `steps` global batches, each counted every time it comes."""
        count = 0
        for number, batches in enumerate(self.steps):
            if steps <= 0:
                break
            count += sum(len(batch) for batch in self.epoch(number)[:steps])
            steps -= batches
        return count


class Experiment(pl.LightningModule):
    """Trains one model on one task.

    One batch from the loader is one optimizer step (manual optimization): the module walks the
    micro-batches itself, so that the loss is divided by the targets of the *global* batch and a
    step is whole or has not happened, which is what makes resuming exact.

    The random state of a step is a function of (seed, step, rank): nothing of it needs saving.

    Args:
        model: From `task.build`.
        task: Loss, decoding, metrics.
        batching: How examples become batches.
        encoded: Encoded splits: train, validation, test.
        tables: The corpus splits they come from.
        pad_id: Of the tokenizer.
        optimizer: Model to optimizer; none is needed to judge.
        multiplier: step and `total_steps` to the factor on every learning rate; likewise.
        clip: Largest gradient norm, or None.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        task: Task,
        batching: Batching,
        encoded: dict[str, Encoded],
        tables: dict[str, pa.Table],
        pad_id: int,
        optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None,
        multiplier: Callable[..., float] | None = None,
        clip: float | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.task = model, task
        self.make_optimizer, self.multiplier = optimizer, multiplier
        self.batching, self.encoded, self.tables = batching, encoded, tables
        self.pad_id, self.clip = pad_id, clip
        self.plan = Schedule(encoded["train"], batching) if "train" in encoded else None
        self.evaluations: dict[str, Evaluation] = {}
        self.ema: EMA | None = None
        self.judged_split = TEST
        self.running = {"loss": 0.0, "targets": 0, "epoch_loss": 0.0, "epoch_targets": 0}
        self._records: Records = []
        self._losses: list[Tensor] = []

    # Data

    def _collate(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        return self.task.collate(rows, self.pad_id)

    def train_dataloader(self) -> TrainingLoader:
        """This epoch's batches, from where the run stands."""
        assert self.plan is not None
        fit: Any = self.trainer.fit_loop
        progress = fit.epoch_loop.batch_progress.current
        return TrainingLoader(
            self.encoded["train"],
            self.plan.epoch(min(fit.epoch_progress.current.processed, self.plan.epochs - 1)),
            self._collate,
            start=progress.processed if fit.restarting else 0,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            micro_tokens=self.batching.micro_tokens,
        )

    def _evaluation_loader(self, split: str) -> EvaluationLoader:
        batches = plan_evaluation(
            self.encoded[split].lengths,
            bound=self.batching.eval_tokens,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        return EvaluationLoader(self.encoded[split], batches, self._collate)

    def val_dataloader(self) -> Any:
        """The validation split, or nothing."""
        return self._evaluation_loader(VALIDATION) if VALIDATION in self.encoded else []

    def test_dataloader(self) -> Any:
        """The split that is judged with everything."""
        return self._evaluation_loader(self.judged_split)

    # Training

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule; the length of the schedule comes from the plan."""
        assert self.plan is not None
        assert self.make_optimizer is not None
        assert self.multiplier is not None
        optimizer = self.make_optimizer(self.model)
        multiplier = functools.partial(self.multiplier, total_steps=self.plan.total_steps)
        scheduler = LambdaLR(optimizer, multiplier)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def on_train_start(self) -> None:
        """Switch dropout on: checkpoints are loaded with it off, and Lightning leaves it so."""
        self.model.train()

    def training_step(self, batch: GlobalBatch, batch_idx: int) -> None:
        """One optimizer step over one global batch."""
        optimizer: Any = self.optimizers()
        torch.manual_seed(mix(self.batching.seed, self.global_step, self.global_rank))
        # DDP averages the ranks' gradients; times the number of ranks, it is their sum.
        scale = batch["weight"] * self.trainer.world_size / max(1, batch["targets"])
        total = torch.zeros((), device=self.device)
        for i, micro in enumerate(batch["micro"]):
            with self._synchronised(last=i + 1 == len(batch["micro"])):
                loss = self.task.loss(self.model, micro)
                # Backward repeats the forward's types by itself; under autocast it casts once more.
                with torch.autocast(self.device.type, enabled=False):
                    self.manual_backward(loss * scale)
            total += loss.detach() * batch["weight"]
        self._require_finite(total, batch, "loss")
        if self.clip is not None:
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self._require_finite(norm, batch, "gradient")
        optimizer.step()
        optimizer.zero_grad()
        self.lr_schedulers().step()  # type: ignore[union-attr]
        for scope in ("", "epoch_"):
            self.running[f"{scope}loss"] += float(total)
            self.running[f"{scope}targets"] += batch["targets"]

    @contextlib.contextmanager
    def _synchronised(self, *, last: bool) -> Iterator[None]:
        """Gradients cross the ranks once a step, with the last micro-batch."""
        wrapper: Any = self.trainer.strategy.model
        if last or not hasattr(wrapper, "no_sync"):
            yield
        else:
            with wrapper.no_sync():
                yield

    def _require_finite(self, value: Tensor, batch: GlobalBatch, what: str) -> None:
        if torch.isfinite(value):
            return
        ids = self.tables["train"].column("id")
        names = [str(ids[i]) for i in sorted(set(batch["examples"]))]
        raise RunFailed(
            f"the {what} is {float(value)} at step {self.global_step}; the batch's examples: "
            f"{', '.join(names)}\n  The last checkpoint is finite. Try a lower optimizer.lr, "
            f"trainer.gradient_clip_val=1.0 or trainer.precision=32."
        )

    def take_running(self, scope: str = "") -> float:
        """The mean training loss since the last call; `scope` is empty or `epoch_`.

        All ranks must call it: each knows the loss of its own shares, and the targets of all.
        """
        loss, targets = self.running[f"{scope}loss"], self.running[f"{scope}targets"]
        self.running[f"{scope}loss"], self.running[f"{scope}targets"] = 0.0, 0
        if self.trainer.world_size > 1:
            share = torch.tensor(loss, dtype=torch.float64, device=self.device)
            loss = float(self.trainer.strategy.reduce(share, reduce_op="sum"))
        return loss / max(1, targets)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The running loss counts the whole epoch, also over a resume."""
        checkpoint["running"] = dict(self.running)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the running loss over."""
        self.running = dict(checkpoint["running"])

    def judged_weights(self) -> dict[str, Tensor]:
        """The weights that validation sees: the averaged ones, where an average is kept."""
        weights = self.model.state_dict()
        return weights if self.ema is None else {**weights, **self.ema.averages()}

    # Judging

    def on_validation_epoch_start(self) -> None:
        """Forget the last round."""
        self._records, self._losses = [], []

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Collect the predictions of one batch."""
        loss, records = self.task.predict(self.model, batch)
        self._losses.append(loss.double())
        self._records += records

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Judge, log, keep."""
        self._judge(VALIDATION, full=False)

    def on_test_epoch_end(self) -> None:
        """Judge with intervals and example records."""
        self._judge(self.judged_split, full=True)

    def _judge(self, split: str, *, full: bool) -> None:
        evaluation = self.evaluate(split, full=full)
        self.evaluations[split] = evaluation
        named = {f"{PREFIX[split]}/{k}": v for k, v in evaluation.metrics.items()}
        tensors = {k: torch.tensor(v, dtype=torch.float64) for k, v in named.items()}
        # The best weights on validation, at the end, are no further point of a curve.
        self.log_dict(tensors, logger=not (full and split == VALIDATION))

    def evaluate(self, split: str, *, full: bool) -> Evaluation:
        """Judge what the ranks have collected of `split`."""
        loss = (
            torch.stack(self._losses).sum()
            if self._losses
            else torch.zeros((), dtype=torch.float64)
        )
        records, total = self._gather(self._records, float(loss))
        evaluation = self.task.evaluate(self.tables[split], records, full=full)
        evaluation.metrics["loss"] = total / max(1, int(self.encoded[split].targets.sum()))
        return evaluation

    def _gather(self, records: Records, loss: float) -> tuple[Records, float]:
        """Every rank's records and the sum of their losses, on every rank."""
        if self.trainer.world_size == 1:
            return records, loss
        parts: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(parts, (records, loss))
        return [r for part, _ in parts for r in part], sum(value for _, value in parts)
