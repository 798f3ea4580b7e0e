"""The one LightningModule: step, log, optimizer. What is learned is the task's business."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lushan.callbacks.ema import WeightAverage
from lushan.callbacks.guard import REPAIR, Guard
from lushan.checkpoint.dtensor import clip_gradients
from lushan.compat.lightning import is_attached
from lushan.compat.torch import without_compiler
from lushan.data.batch.batching import mix, plan_evaluation
from lushan.data.batch.loader import EvaluationLoader, GlobalBatch, TrainingLoader
from lushan.data.batch.packing import Pieces
from lushan.data.encode.encoding import Encoded
from lushan.engine import evaluating, joint, rehearsal, seeding
from lushan.engine.batch_plan import Batching, BatchPlan
from lushan.engine.distributed import shares
from lushan.engine.distributed.shares import data_share, of_all_shares, summed, walks_together
from lushan.engine.evaluating import PREFIX, TEST, VALIDATION
from lushan.engine.rates import Rates
from lushan.engine.running import RunningTotals, Step, UnreadSteps
from lushan.errors import RunFailed
from lushan.models import dropout
from lushan.models.losses import fill_gradients, with_all_weights
from lushan.models.peft.adaptation import adaptation_of
from lushan.tasks.base import Task
from lushan.tasks.batches import Batch
from lushan.tasks.evaluation import Evaluation, Records


class LitModule(pl.LightningModule):
    """Trains one model on one task.

    A batch from the loader is one optimizer step (manual optimization) of all its micro-batches, so
    that the loss is divided by the targets of the *global* batch, and a step is whole or not done.

    The random state of a step is a function of (seed, step, rank): nothing of it needs saving.

    Args:
        model: From `task.build`.
        task: Loss, decoding, metrics.
        batching: How examples become batches.
        plan: Which examples are learned when; none is needed to evaluate.
        encoded: Encoded splits that are evaluated.
        tables: The corpus splits they come from.
        optimizer: Model to optimizer; none is needed to evaluate.
        multiplier: The factor on every learning rate, see `Rates`; likewise.
        clip: Largest gradient norm, or None.
        guard: Decides on steps that are not to be trusted; None ends the run at them.
        average: Keeps an average of the weights, which is evaluated instead of them.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        task: Task,
        batching: Batching,
        plan: BatchPlan | None = None,
        encoded: dict[str, Encoded],
        tables: dict[str, pa.Table],
        optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None,
        multiplier: Callable[..., float] | None = None,
        clip: float | None = None,
        guard: Guard | None = None,
        average: WeightAverage | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.task = model, task
        self.make_optimizer = optimizer
        self.rates = Rates(multiplier)
        self.batching, self.encoded, self.tables = batching, encoded, tables
        self.clip = clip
        self.plan = plan
        self.evaluations: dict[str, Evaluation] = {}
        self.guard, self.average = guard, average
        self.adaptation = adaptation_of(model)
        self._tested_split = TEST
        self.running, self._unread = RunningTotals(), UnreadSteps()
        self._epoch = 0
        self._records: Records = []
        self._losses: list[Tensor] = []
        self._own_batches = 0
        self._weights: list[nn.Parameter] = []

    # Data

    def _collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self.task.collate(rows)
        if self.task.counts_targets:
            batch["targets"] = sum(int(row["targets"]) for row in rows)
        return batch

    def train_dataloader(self) -> TrainingLoader:
        """Return this epoch's batches, from the step that the run has reached."""
        assert self.plan is not None
        fit: Any = self.trainer.fit_loop
        progress = fit.epoch_loop.batch_progress.current
        epoch, start = fit.epoch_progress.current.processed, 0
        if self.plan.epochs is not None:
            epoch = min(epoch, self.plan.epochs - 1)
        if fit.restarting:
            start = progress.processed
        return self.training_loader(
            epoch,
            start=start,
            share=data_share(self.trainer),
            in_step=walks_together(self.trainer),
        )

    def training_loader(
        self, epoch: int, *, start: int = 0, share: tuple[int, int] = (0, 1), in_step: bool = False
    ) -> TrainingLoader:
        """The batches of an epoch, from number `start` on, as one of the ranks gets them."""
        assert self.plan is not None
        done = self.global_step - start
        batches = self.plan.epoch(epoch, done=done)
        if self.plan.epochs is None and is_attached(self):  # a stream: is it the last?
            ends = done + len(batches) >= self.plan.total_steps
            self.trainer.fit_loop.max_epochs = epoch + (1 if ends else 2)
        self._epoch = epoch
        return TrainingLoader(
            self.plan.features(epoch),
            batches,
            self._collate,
            rows=self.plan.rows_of(epoch),
            draw=functools.partial(
                self.task.transform, seed=mix(self.batching.seed, epoch), training=True
            ),
            start=start,
            rank=share[0],
            world_size=share[1],
            micro_tokens=self.batching.micro_tokens,
            in_step=in_step,
        )

    def _evaluation_loader(self, split: str) -> EvaluationLoader:
        rank, ranks = data_share(self.trainer)
        everything = plan_evaluation(self.encoded[split].lengths, bound=self.batching.eval_tokens)
        batches = everything[rank::ranks]
        self._own_batches = len(batches)
        # A rank without any must have one to begin with; others only where all must keep step.
        if not batches or walks_together(self.trainer):
            batches += everything[:1] * (-(-len(everything) // ranks) - len(batches))
        return evaluating.loader_of(self.task, self.encoded[split], batches)

    def val_dataloader(self) -> EvaluationLoader | list[Any]:
        """The validation split, or nothing."""
        return self._evaluation_loader(VALIDATION) if VALIDATION in self.encoded else []

    def test_dataloader(self) -> EvaluationLoader:
        """Return the loader of the split that is evaluated in full."""
        return self._evaluation_loader(self._tested_split)

    # Training

    def setup(self, stage: str) -> None:
        """Give weights their precision before a state is read into them, not after."""
        self.trainer.precision_plugin.convert_module(self)

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule; the length of the schedule comes from the plan."""
        assert self.plan is not None
        assert self.make_optimizer is not None
        if self.adaptation is not None:
            self.adaptation.follow(self.plan.total_steps)
        optimizer = without_compiler(functools.partial(self.make_optimizer, self.model))
        steps, validates = self.plan.total_steps, VALIDATION in self.encoded
        scheduler = self.rates.schedule(optimizer, steps, validates=validates)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def on_train_start(self) -> None:
        """Switch dropout on: checkpoints are loaded with it off, and Lightning leaves it so."""
        self.model.train()
        self._weights = list(self.model.parameters())

    def training_step(self, batch: GlobalBatch, batch_idx: int) -> None:
        """One optimizer step over one global batch."""
        optimizer: Any = self.optimizers()
        rank, ranks = data_share(self.trainer)
        seeding.seed_torch(mix(self.batching.seed, self.global_step, rank))
        targets = self._count_targets(batch)
        total = torch.zeros((), device=self.device)
        losses = joint.losses_of(self, batch) if self.task.joint else None
        for i, micro in enumerate(batch["micro"]):
            last = i + 1 == len(batch["micro"])
            weight = batch["weight"] if i < batch["real"] else 0.0
            # The ranks' gradients are averaged; times the number of ranks, that is their sum.
            scale = weight * ranks / (targets or 1)
            masks = self.masks(batch["pieces"][i])
            with self._synchronised(last=last), dropout.masked(masks):
                loss = self.through(self.loss_of if losses is None else losses[i], micro)
                # Backward repeats the forward's types by itself; under autocast it casts once more.
                with torch.autocast(self.device.type, enabled=False):
                    self.manual_backward(self._with_penalty(loss * scale, last=last))
            total += loss.detach() * weight
        if self.task.moves_all:
            fill_gradients(self._weights)
        step = Step(self.global_step, total, self._clipped(), targets, batch["examples"])
        if left_out := self._left_out(step):
            optimizer.zero_grad()  # without gradients, the step below counts and changes nothing
        optimizer.step()
        if self.adaptation is not None:
            self.adaptation.after_step(self.global_step)
        optimizer.zero_grad()
        self.lr_schedulers().step()  # type: ignore[union-attr]
        self.running.examples += len(batch["examples"])
        self.running.tokens += batch["tokens"]
        if not left_out:
            self._unread.add(step)
        if self.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.settle()

    def loss_of(self, model: nn.Module, micro: Batch) -> Tensor:
        """Return the loss of a micro-batch, summed over its targets."""
        loss = self.task.loss(model, micro)
        return with_all_weights(loss, model) if self.task.moves_all else loss

    def masks(self, pieces: Pieces) -> dropout.Masks:
        """Return what a micro-batch drops in this step, wherever it is computed."""
        seed = mix(self.batching.seed, self.global_step)
        return dropout.Masks(seed, pieces, self.device, share=shares.model_share(self.trainer))

    def _clipped(self) -> Tensor | None:
        """Clip the gradient, and return its norm before; None where no one wants it."""
        if self.clip is None and self.guard is None:
            return None
        return clip_gradients(self._weights, math.inf if self.clip is None else self.clip)

    def _left_out(self, step: Step) -> bool:
        """Return whether the guard skips the step, which must wait for its numbers."""
        if self.guard is None:
            return False
        loss = summed(self.trainer, step.loss) / (step.targets or 1)
        return self.guard.refuses(loss, float(step.norm), where=self._where(step))

    def _with_penalty(self, share: Tensor, *, last: bool) -> Tensor:
        """Add an adapter's penalty to a share of the loss, once per step; it is not reported."""
        penalty = self.adaptation.penalty() if last and self.adaptation is not None else None
        return share if penalty is None else share + penalty

    def _count_targets(self, batch: GlobalBatch) -> float:
        """Loss terms of the global batch, or the sum of their weights, over all ranks."""
        own = batch["targets"]
        return round(summed(self.trainer, own)) if batch["counted"] else own

    def through(
        self, call: Callable[[nn.Module, Any], Any], batch: Any, *, freely: bool = False
    ) -> Any:
        """Return the result of `call` on the model and a batch; a sharded model has one way in.

        Args:
            call: The function to call.
            batch: Given to it.
            freely: Whether it goes through the model as often as it likes; see `Sharded.run`.
        """
        strategy: Any = self.trainer.strategy
        if hasattr(strategy, "run"):
            return strategy.run(call, self.model, batch, freely=freely)
        return call(self.model, batch)

    rehearse = rehearsal.rehearse

    @contextlib.contextmanager
    def _synchronised(self, *, last: bool) -> Iterator[None]:
        """Gradients cross the ranks once a step, with the last micro-batch."""
        strategy: Any = self.trainer.strategy
        wait = getattr(strategy, "no_sync", getattr(strategy.model, "no_sync", None))
        with contextlib.nullcontext() if last or wait is None else wait():
            yield

    def settle(self) -> None:
        """Add up the losses that steps have left on the device; the device is waited for once.

        Raises:
            RunFailed: A loss or gradient was not finite.
        """
        for step in self._unread.read():
            if step.trouble:
                raise RunFailed(f"{step.trouble} {self._where(step)}\n  {REPAIR}")
            self.running.learned(step.loss, step.targets)

    on_train_epoch_end = settle  # before another epoch has other examples

    def _where(self, step: Step) -> str:
        assert self.plan is not None
        ids = self.plan.table(self._epoch).column("id")
        names = [str(ids[i]) for i in sorted(set(step.examples))]
        return f"at step {step.number}\n  The batch's examples: {', '.join(names)}"

    def take_running(self, scope: str = "") -> float:
        """The mean training loss since the last call; `scope` is empty or `epoch_`.

        All ranks must call it: each knows the loss of its own shares, and the targets of all.
        """
        self.settle()
        loss, targets = self.running.take(scope)
        return summed(self.trainer, loss) / (targets or 1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The running loss counts the whole epoch, also over a resume."""
        self.settle()
        checkpoint["running"] = of_all_shares(self.trainer, dataclasses.asdict(self.running))
        checkpoint["scores"] = list(self.rates.scores)
        if self.adaptation is not None:
            checkpoint["adaptation"] = self.adaptation.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the running loss over."""
        self.running = RunningTotals.restored(checkpoint["running"], *data_share(self.trainer))
        self.rates.scores[:] = checkpoint["scores"]
        if self.adaptation is not None:
            self.adaptation.restore(checkpoint["adaptation"])

    def eval_weights(self) -> dict[str, Tensor]:
        """The weights that validation sees: the averaged ones, where an average is kept."""
        weights = self.model.state_dict()
        return weights if self.average is None else {**weights, **self.average.averages()}

    # Evaluation

    def test_on(self, trainer: pl.Trainer, split: str) -> Evaluation:
        """Evaluate one split: all metrics, their intervals, and a record of each example."""
        self._tested_split = split
        trainer.test(self, verbose=False)
        return self.evaluations[split]

    def on_validation_epoch_start(self) -> None:
        """Forget the last round."""
        self._begin(VALIDATION)

    def on_test_epoch_start(self) -> None:
        """Likewise."""
        self._begin(self._tested_split)

    def _begin(self, split: str) -> None:
        self._records, self._losses = [], []
        self.task.begin(self.tables[split])

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Collect the predictions of one batch."""
        self._evaluate_batch(batch, batch_idx, generate=self.task.generates_in_validation)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Evaluate a batch, and generate text if the task does."""
        self._evaluate_batch(batch, batch_idx, generate=self.task.generates)

    def _evaluate_batch(self, batch: dict[str, Any], number: int, *, generate: bool) -> None:
        loss, records = evaluating.answers(self.task, self.through, batch, generate=generate)
        if number < self._own_batches:
            self._losses.append(loss)
            self._records += records

    def on_validation_epoch_end(self) -> None:
        """Evaluate, log, and keep the evaluation."""
        self._evaluate(VALIDATION, full=False)
        found, main = self.evaluations[VALIDATION], self.task.main_metric
        self.rates.follow(found, main, self.lr_schedulers())

    def on_test_epoch_end(self) -> None:
        """Evaluate with intervals and example records."""
        self._evaluate(self._tested_split, full=True)

    def _evaluate(self, split: str, *, full: bool) -> None:
        evaluation = self.evaluate(split, full=full)
        self.evaluations[split] = evaluation
        named = {f"{PREFIX[split]}/{k}": v for k, v in evaluation.metrics.items()}
        tensors = {k: torch.tensor(v, dtype=torch.float64) for k, v in named.items()}
        self.log_dict(tensors, logger=False)  # `Record` sends them, at the step of its own row

    def evaluate(self, split: str, *, full: bool) -> Evaluation:
        """Evaluate what the ranks have collected of `split`."""
        loss = float(torch.stack(self._losses).sum()) if self._losses else 0.0
        records, total = self._gather(self._records, loss)
        if split == VALIDATION and self.plan is not None:
            self.task.tune(self.tables[split], records)
        return evaluating.scored(
            self.task, self.encoded[split], self.tables[split], records, total, full=full
        )

    def _gather(self, records: Records, loss: float) -> tuple[Records, float]:
        """Every rank's records and the sum of their losses, on every rank."""
        parts = of_all_shares(self.trainer, (records, loss))
        return [r for part, _ in parts for r in part], sum(value for _, value in parts)
