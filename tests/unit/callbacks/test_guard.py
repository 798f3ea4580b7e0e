"""Steps that are left out: which, and what is said."""

import math

import pytest

from lushan.callbacks.guard import MOST_IN_A_ROW, WARM, Guard
from lushan.errors import RunFailed


def learned(**options):
    guard = Guard(**{"spike": 4.0, **options})
    for step in range(3 * WARM):
        assert not guard.refuses(2.0 + 0.1 * (-1) ** step, 1.0, where="at step")
    return guard


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.inf)])
def test_what_is_not_finite_is_left_out_and_counted(loss, norm, caplog):
    guard = learned()
    with caplog.at_level("WARNING"):
        assert guard.refuses(loss, norm, where="at step 7; the batch's examples: a.txt:1")
    assert guard.skipped == 1
    assert "a.txt:1" in caplog.text


def test_a_spike_is_left_out_and_does_not_become_usual():
    guard = learned()
    before = dict(guard.known)
    assert guard.refuses(2.9, 1.0, where="")
    assert (guard.known["mean"], guard.known["variance"]) == (before["mean"], before["variance"])
    assert not guard.refuses(2.3, 1.0, where="")


def test_the_mean_and_deviation_are_those_of_all_steps_at_first():
    guard = Guard(memory=1000)
    values = [1.0, 4.0, 2.5, 0.5]
    for value in values:
        guard.refuses(value, 1.0, where="")
    mean = sum(values) / 4
    assert guard.known["mean"] == pytest.approx(mean)
    assert guard.known["variance"] == pytest.approx(sum((v - mean) ** 2 for v in values) / 4)


def test_nothing_is_a_spike_before_the_usual_is_known():
    guard = Guard(spike=1.0)
    assert not guard.refuses(2.0, 1.0, where="")
    assert not guard.refuses(200.0, 1.0, where="")


def test_it_can_stop_instead():
    with pytest.raises(RunFailed, match="nan at step 3"):
        learned(on_nonfinite="stop").refuses(math.nan, 1.0, where="at step 3")


def test_it_does_not_go_on_for_ever():
    guard = learned()
    for _ in range(MOST_IN_A_ROW - 1):
        assert guard.refuses(math.nan, 1.0, where="")
    with pytest.raises(RunFailed, match="in a row"):
        guard.refuses(math.nan, 1.0, where="")


def test_its_state_goes_on():
    one, other = learned(), Guard(spike=4.0)
    other.load_state_dict(one.state_dict())
    assert other.refuses(2.9, 1.0, where="")
    assert one.refuses(2.9, 1.0, where="")
    assert one.known == other.known
