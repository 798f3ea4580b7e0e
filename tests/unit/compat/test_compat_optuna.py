"""Private names of Hydra's plugin for Optuna."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
distributions = pytest.importorskip("optuna.distributions")

from lushan.compat import optuna  # noqa: E402


def distribution(text: str):
    return optuna.distribution(OverridesParser.create().parse_override(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=interval(0, 1)", distributions.FloatDistribution(0, 1)),
        ("a=tag(log, interval(1e-5, 1e-3))", distributions.FloatDistribution(1e-5, 1e-3, log=True)),
        ("a=range(1, 8)", distributions.IntDistribution(1, 7)),
        ("a=x,y", distributions.CategoricalDistribution(("x", "y"))),
    ],
)
def test_sweeps_are_distributions(text: str, expected) -> None:
    assert distribution(text) == expected


def test_what_cannot_be_searched() -> None:
    with pytest.raises((ValueError, NotImplementedError, AssertionError)):
        distribution("a=glob(*)")


def test_all_values_of_a_distribution() -> None:
    assert optuna.grid_choices(distribution("a=x,y")) == ["x", "y"]
    assert optuna.grid_choices(distribution("a=range(1, 4)")) == [1, 2, 3]
    with pytest.raises(ValueError, match="discrete"):
        optuna.grid_choices(distribution("a=interval(0, 1)"))
