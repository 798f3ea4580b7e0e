"""What a search varies, from the overrides of a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from lushan.config.compose import Composer
from lushan.errors import UserError

TRIAL = "trial"
"""The key of a job's config that says which trial it is."""

USUAL = "optimizer.lr"
"""What is searched where nothing is named: from a tenth of its value to ten times it."""


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
                "a search would choose the luckiest seed",
                key="seed",
                value=override.get_value_string(),
                hint="Leave it away, and run the best trial with several seeds: "
                "lushan train -m experiment=search/NAME seed=1,2,3.",
            )
        space[override.get_key_element()] = _distribution(override)
    return space, tuple(fixed)


def _bare(override: Override) -> str:
    return str(override.get_key_element()).lstrip("+~")


def _distribution(override: Override) -> Any:
    from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override

    try:
        return create_optuna_distribution_from_override(override)
    except (ValueError, NotImplementedError, AssertionError) as error:
        raise UserError(
            f"this cannot be searched: {error}",
            key=_bare(override),
            value=override.get_value_string(),
            hint="Write a,b,c, range(1, 8), interval(0, 0.5) or tag(log, interval(1e-5, 1e-3)).",
        ) from error


def around(value: object) -> dict[str, Any]:
    """The space where none is named: learning rates around the experiment's own.

    Raises:
        UserError: The experiment has no learning rate to search around.
    """
    from optuna.distributions import FloatDistribution

    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise UserError(
            "there is nothing to search",
            key=USUAL,
            value=value,
            hint=f"Name what varies: {USUAL}='tag(log, interval(1e-5, 1e-3))'.",
        )
    return {USUAL: FloatDistribution(value / 10, value * 10, log=True)}


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


def _in_words(distribution: Any) -> str:
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
    from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl

    found = {}
    for key, distribution in space.items():
        try:
            found[key] = list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))
        except ValueError as error:
            raise UserError(
                "a grid takes values that can be counted",
                key=key.lstrip("+"),
                value=str(distribution),
                hint="Write a,b,c or range(1, 8), or hydra/sweeper/sampler=tpe.",
            ) from error
    return found
