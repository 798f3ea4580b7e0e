"""Private names of Hydra's plugin for Optuna, which reads Hydra's sweep syntax as distributions.

Its public class is the sweeper as a whole, whose search is counted otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from hydra_plugins.hydra_optuna_sweeper._impl import (
    OptunaSweeperImpl,
    create_optuna_distribution_from_override,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distribution(override: Override) -> BaseDistribution:
    """Return Optuna's distribution for an override such as `interval(0, 1)`.

    Raises:
        ValueError, NotImplementedError, AssertionError: It cannot be searched.
    """
    return create_optuna_distribution_from_override(override)


def grid_choices(distribution: BaseDistribution) -> list[Any]:
    """Return all values of a distribution.

    Raises:
        ValueError: It has no end of them.
    """
    return list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))
