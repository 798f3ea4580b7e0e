"""The space of a search, from the overrides of a command line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override

from lushan.config.compose import Composer
from lushan.errors import UserError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.samplers import BaseSampler

TRIAL = "trial"
"""Key of a job's config that identifies its trial."""

USUAL = "optimizer.lr"
"""Default search space: the learning rate, from a tenth of its value to ten times it."""

DIGITS = 3
"""Digits of a proposed number, such as a learning rate; more of them make no other model."""


def split(
    params: Mapping[str, Any], arguments: Sequence[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Part what is searched from what is the same in every trial.

    Args:
        params: Of `hydra.sweeper.params`: key to values, as text.
        arguments: The command line's overrides; they win over `params`.

    Returns:
        Key, with its `+` if it has one, to Optuna's distribution; and the other overrides.

    Raises:
        UserError: What is named cannot be searched.
    """
    parsed = Composer.parse([*(f"{key}={value}" for key, value in params.items()), *arguments])
    named = {_bare(override): override for override in parsed}
    space: dict[str, Any] = {}
    fixed = []
    for key, override in named.items():
        if not override.is_sweep_override():
            fixed.append(str(override.input_line))
            continue
        if key == "seed":
            raise UserError(
                "a search over seeds would only select the luckiest one",
                key="seed",
                value=override.get_value_string(),
                hint="Remove it, and run the best trial with several seeds: "
                "lushan train -m experiment=search/NAME seed=1,2,3.",
            )
        space[override.get_key_element()] = _distribution(override)
    return space, tuple(fixed)


def _bare(override: Override) -> str:
    return str(override.get_key_element()).lstrip("+~")


def _distribution(override: Override) -> BaseDistribution:
    from lushan.compat import optuna

    try:
        return optuna.distribution(override)
    except (ValueError, NotImplementedError, AssertionError) as error:
        raise UserError(
            f"this cannot be searched: {error}",
            key=_bare(override),
            value=override.get_value_string(),
            hint="Write a,b,c, range(1, 8), interval(0, 0.5) or tag(log, interval(1e-5, 1e-3)).",
        ) from error


def around(value: object) -> dict[str, Any]:
    """Return the space where none is named: learning rates around the experiment's own.

    Raises:
        UserError: The experiment has no learning rate to search around.
    """
    from optuna.distributions import FloatDistribution

    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise UserError(
            "the search space is empty",
            key=USUAL,
            value=value,
            hint=f"Set what varies: {USUAL}='tag(log, interval(1e-5, 1e-3))'.",
        )
    low, high = rounded(value / 10, value), rounded(value * 10, value)
    return {USUAL: FloatDistribution(low, high, log=True)}


def rounded(value: float, width: float) -> float:
    """A number as one would write it: with `DIGITS` digits of its own, or of a width if finer.

    Args:
        value: The number.
        width: Of the range that it is from.
    """
    sizes = [abs(size) for size in (value, width) if size]
    if not sizes:
        return value
    places = DIGITS - 1 - math.floor(math.log10(min(sizes)))
    return round(value, places)


def round_proposals(sampler: Any) -> BaseSampler:
    """Let a sampler propose numbers as one would write them.

    Optuna keeps what the sampler says, so what is recorded and what the trial is trained with are
    the same number, and the sampler learns from it.
    """
    relative, independent = sampler.sample_relative, sampler.sample_independent

    def sample_relative(study: Study, trial: Trial, search_space: dict[str, Any]) -> dict[str, Any]:
        found = relative(study, trial, search_space)
        return {name: _written_down(value, search_space.get(name)) for name, value in found.items()}

    def sample_independent(
        study: Study, trial: Trial, name: str, distribution: BaseDistribution
    ) -> object:
        return _written_down(independent(study, trial, name, distribution), distribution)

    sampler.sample_relative, sampler.sample_independent = sample_relative, sample_independent
    return sampler


def _written_down(value: object, distribution: BaseDistribution | None) -> object:
    """A proposal rounded, where its range is one of all numbers; the ends stay in it."""
    from optuna.distributions import FloatDistribution

    if not isinstance(distribution, FloatDistribution) or not isinstance(value, float):
        return value
    if distribution.step is not None:
        return value
    short = rounded(value, distribution.high - distribution.low)
    return min(max(short, distribution.low), distribution.high)


def of_a_run(overrides: Sequence[str]) -> list[str]:
    """Overrides without the one that asks for a search."""
    return [line for line in overrides if not line.startswith("hparams_search=")]


def lines(values: Mapping[str, Any]) -> list[str]:
    """A trial's values as overrides."""
    return [f"{key}={written(value)}" for key, value in values.items()]


def written(value: object) -> str:
    """A plain value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def described(space: Mapping[str, Any]) -> dict[str, str]:
    """Each key of a space and its values in words that are the same each time."""
    return {key.lstrip("+"): _in_words(space[key]) for key in sorted(space)}


def _in_words(distribution: FloatDistribution | IntDistribution | CategoricalDistribution) -> str:
    """`linear, crf`, `1e-05 to 0.001 (log)` or `10 to 30 by 10`."""
    if hasattr(distribution, "choices"):
        return ", ".join(map(written, distribution.choices))
    text = f"{distribution.low} to {distribution.high}"
    if distribution.log:
        return f"{text} (log)"
    return f"{text} by {distribution.step}" if distribution.step else text


def grid(space: Mapping[str, Any]) -> dict[str, list[Any]]:
    """All values of each key.

    Raises:
        UserError: A key has no end of them.
    """
    from lushan.compat import optuna

    found = {}
    for key, distribution in space.items():
        try:
            found[key] = optuna.grid_choices(distribution)
        except ValueError as error:
            raise UserError(
                "a grid needs a finite number of values",
                key=key.lstrip("+"),
                value=str(distribution),
                hint="Write a,b,c or range(1, 8), or hydra/sweeper/sampler=tpe.",
            ) from error
    return found
