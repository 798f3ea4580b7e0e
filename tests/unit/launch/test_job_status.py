"""The table that closes a sweep names what was measured, and where each run is."""

import dataclasses
from pathlib import Path

from rich.console import Console

from lushan.common.units import LOSS, SHARE
from lushan.launch.job_status import JobStatus, status_table
from lushan.run.result import RunResult


def printed(*found, width=240):
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(status_table(found))
    return [line.rstrip() for line in captured.get().splitlines()]


def done(number, metric, value, **more):
    folder = Path(f"outputs/a/{number}")
    measures = {metric: LOSS if metric.endswith("loss") else SHARE}
    result = RunResult(folder, "a", str(number), 1, {metric: value}, metric, {}, measures)
    content = {"number": number, "overrides": (f"seed={number}",), "folder": folder}
    return JobStatus("complete", **content, result=result, **more)


def test_values_stand_under_their_metric_with_its_unit():
    head, one, other = printed(
        done(0, "test/entity_f1", 0.8651, seconds=2.04), done(1, "test/entity_f1", 1.0)
    )
    assert head.split("  ")[:1] == ["job"]
    assert "test/entity_f1, %" in head
    assert one.split() == ["0", "seed=0", "complete", "86.51", "2.0", "outputs/a/0"]
    assert other.split()[3] == "100.00"


def test_two_metrics_have_a_column_each():
    head, one, other = printed(done(0, "test/accuracy", 0.5), done(1, "val/loss", 0.25))
    assert head.index("test/accuracy, %") < head.index("val/loss")
    assert "50.00" in one
    assert "0.2500" in other


def test_a_failed_job_has_neither_value_nor_column():
    failed = JobStatus("failed", 0, ("seed=[1]",), reason="it broke", exit_code=1)
    head, line = printed(failed)
    assert "test/" not in head
    assert line.split() == ["0", "seed=[1]", "failed", "0.0", "it", "broke"]


def test_a_folder_is_whole_on_a_narrow_terminal():
    assert any("outputs/a/0" in line for line in printed(done(0, "test/f1", 0.5), width=40))


def test_a_trial_shows_the_metric_of_its_search():
    job = dataclasses.replace(done(0, "test/entity_f1", 0.8651), metric="val/loss")
    assert (job.shown, job.value) == ("val/loss", None)
