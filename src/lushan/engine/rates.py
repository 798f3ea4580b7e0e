"""Learning rates of a run's steps: a schedule, and the validations that one may go by."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lushan.errors import UserError
from lushan.tasks.evaluation import Evaluation


class Rates:
    """The factor on every learning rate, step after step.

    Args:
        multiplier: step and `total_steps` to the factor. One that takes `scores` is also given the
            main metric of each validation so far, the better the higher. None to evaluate only.

    Attributes:
        scores: These; with the optimizer's state all that a resumed run needs.
    """

    def __init__(self, multiplier: Callable[..., float] | None) -> None:
        self.multiplier = multiplier
        self.scores: list[float] = []
        self.by_scores = (
            multiplier is not None and "scores" in inspect.signature(multiplier).parameters
        )

    def schedule(self, optimizer: Optimizer, total_steps: int, *, validates: bool) -> LambdaLR:
        """Return the schedule of an optimizer.

        Raises:
            UserError: It goes by validations, and there are none.
        """
        assert self.multiplier is not None
        factor = functools.partial(self.multiplier, total_steps=total_steps)
        if self.by_scores and not validates:
            raise UserError(
                "this schedule needs a validation metric, but there is no validation split",
                key="scheduler",
                hint="Write data.validation=0.1, or another scheduler.",
            )
        if self.by_scores:
            factor = functools.partial(factor, scores=self.scores)
        return LambdaLR(optimizer, factor)

    def follow(self, evaluation: Evaluation, metric: str, scheduler: Any) -> None:
        """Note a validation; the next step has the rate that follows from it."""
        lower = evaluation.measures[metric].higher_is_better is False
        self.scores.append(evaluation.metrics[metric] * (-1 if lower else 1))
        if not self.by_scores:
            return
        rates = zip(
            scheduler.optimizer.param_groups,
            scheduler.base_lrs,
            scheduler.lr_lambdas,
            strict=True,
        )
        for group, base, factor in rates:
            group["lr"] = base * factor(scheduler.last_epoch)
