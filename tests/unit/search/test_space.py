"""What is searched, and what stays."""

import pytest

from lushan.errors import UserError
from lushan.search import space

pytest.importorskip("optuna")


def test_what_varies_and_what_stays():
    lines = ["experiment=sample/ner", "optimizer.lr=tag(log, interval(1e-5, 1e-3))"]
    lines += ["+data.limit=range(10, 40, 10)", "task/head=linear,crf", "~peft"]
    varied, fixed = space.split({}, lines)
    assert fixed == ("experiment=sample/ner", "~peft")
    lr, limit, head = varied["optimizer.lr"], varied["+data.limit"], varied["task/head"]
    assert (lr.low, lr.high, lr.log) == (1e-5, 1e-3, True)
    assert (limit.low, limit.high, limit.step) == (10, 30, 10)
    assert head.choices == ("linear", "crf")


def test_the_command_line_wins_over_a_preset():
    params = {"optimizer.lr": "interval(1e-5, 1e-3)", "task/head": "linear,crf"}
    varied, fixed = space.split(params, ["optimizer.lr=1e-4", "task/head=mlp,linear"])
    assert fixed == ("optimizer.lr=1e-4",)
    assert varied["task/head"].choices == ("mlp", "linear")


def test_a_seed_is_not_searched():
    with pytest.raises(UserError, match="luckiest one"):
        space.split({}, ["seed=1,2,3"])


def test_what_cannot_be_searched():
    with pytest.raises(UserError, match=r"optimizer\.lr: this cannot be searched"):
        space.split({}, ["optimizer.lr=range(3, 3)"])


def test_around_what_is_there():
    ((key, found),) = space.around(2e-5).items()
    assert key == "optimizer.lr"
    assert (found.low, found.high, found.log) == pytest.approx((2e-6, 2e-4, True))


@pytest.mark.parametrize("value", [None, 0, -1.0, "auto", True])
def test_nothing_to_search(value):
    with pytest.raises(UserError, match="search space is empty"):
        space.around(value)


def test_values_as_overrides():
    values = {"a": 1e-05, "+b": None, "c": True, "task/head": "crf", "d": 3}
    assert space.lines(values) == ["a=1e-05", "+b=null", "c=true", "task/head=crf", "d=3"]


def test_a_grid_of_what_can_be_counted():
    varied, _ = space.split({}, ["a=1,2", "b=range(1, 4)"])
    assert space.grid(varied) == {"a": [1, 2], "b": [1, 2, 3]}
    varied, _ = space.split({}, ["a=interval(0, 1.5)"])
    with pytest.raises(UserError, match="a: a grid needs a finite number of values"):
        space.grid(varied)


@pytest.mark.parametrize(
    ("value", "width", "short"),
    [
        (3.281734e-05, 1e-3, 3.28e-05),
        (0.0009999999, 1e-3, 0.001),
        (0.237189, 0.5, 0.237),
        (0.4999999, 0.5, 0.5),
        (0.0, 0.5, 0.0),
        (-1.23456, 10.0, -1.23),
        (123456.7, 1e6, 123000.0),
        # A range that is finer than three digits of its numbers.
        (0.99912345, 0.0009, 0.999123),
    ],
)
def test_numbers_as_one_would_write_them(value, width, short):
    assert space.rounded(value, width) == short


@pytest.mark.parametrize("kind", ["TPESampler", "RandomSampler", "QMCSampler", "CmaEsSampler"])
def test_what_a_sampler_proposes_is_what_is_recorded(kind):
    from optuna import create_study, samplers
    from optuna.distributions import FloatDistribution, IntDistribution

    if kind == "CmaEsSampler":
        pytest.importorskip("cmaes")
    sampler = getattr(samplers, kind)(seed=3, **({"n_startup_trials": 2} if "TPE" in kind else {}))
    study = create_study(sampler=space.round_proposals(sampler))
    ranges = {
        "lr": FloatDistribution(1e-6, 1e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.5),
        "step": FloatDistribution(0.0, 1.0, step=0.125),
        "layers": IntDistribution(1, 6),
    }
    for _ in range(6):
        trial = study.ask(ranges)
        assert float(f"{trial.params['lr']:.3g}") == trial.params["lr"]
        assert float(f"{trial.params['dropout']:.3g}") == trial.params["dropout"]
        assert trial.params["step"] % 0.125 == 0
        assert isinstance(trial.params["layers"], int)
        study.tell(trial, trial.params["dropout"])
    assert len({trial.params["lr"] for trial in study.trials}) == 6
