"""Each thing is made, checked and read once, and passed on: counted over all processes."""

import json

import pytest
from tests.conftest import trained
from tests.helpers.command import SMALL

from lushan.config import build
from lushan.config import check as checks
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import fit, lifecycle
from lushan.run.folder import RunFolder
from lushan.run.result import RunResult

WORDS = (*SMALL, "task=ner", "data=sample_ner", "data.limit=40", "name=once")

STUDY = f"""\
base: [{", ".join(WORDS)}]
axes:
  head: {{linear: [task/head=linear], crf: [task/head=crf]}}
"""


class Counter:
    """Counts calls in this process and in those that are forked from it."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch

    def watch(self, holder, name):
        """Count the calls of a function, by its name."""
        place, called = self.folder / f"{name}.calls", getattr(holder, name)

        def counted(*args, **options):
            with place.open("a") as file:
                file.write(".")
            return called(*args, **options)

        self.monkeypatch.setattr(holder, name, counted)

    def take(self, name):
        """The calls since the last time."""
        place = self.folder / f"{name}.calls"
        found = len(place.read_text()) if place.exists() else 0
        place.unlink(missing_ok=True)
        return found


@pytest.fixture
def calls(tmp_path, monkeypatch):
    counter = Counter(tmp_path, monkeypatch)
    counter.watch(lifecycle, "source_of")
    counter.watch(checks, "check_top")
    counter.watch(fit, "build_components")
    counter.watch(RunResult, "from_dict")
    return counter


@pytest.mark.slow
def test_a_run_makes_one_source_and_returns_the_result_that_it_wrote(tmp_path, calls):
    cfg = check(
        compose([*WORDS, f"paths.output_dir={tmp_path}/o", f"paths.cache_dir={tmp_path}/c"])
    )
    result = lifecycle.run(cfg)
    assert calls.take("source_of") == 1
    assert calls.take("build_components") == 1
    assert calls.take("from_dict") == 0, "what is in hand is not read"
    assert result == RunFolder(result.folder).result()
    assert calls.take("from_dict") == 1
    assert lifecycle.run(cfg) == result
    assert (calls.take("source_of"), calls.take("from_dict")) == (1, 1)
    assert lifecycle.run(cfg, stored=result) is result
    assert (calls.take("source_of"), calls.take("from_dict")) == (1, 0)


def test_a_source_is_made_nowhere_else_in_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "source_of", lambda _: pytest.fail("made once more"))
    trained(tmp_path, "task=ner", "data=sample_ner", "data.limit=40")


@pytest.mark.slow(1)
def test_a_command_checks_its_config_once(cli_inside, calls):
    assert cli_inside("train", *WORDS).code == 0
    assert (calls.take("check_top"), calls.take("from_dict")) == (1, 0)
    again = cli_inside("train", *WORDS)
    assert "entity_f1" in again.out
    assert (calls.take("check_top"), calls.take("from_dict")) == (1, 1)


@pytest.mark.slow
def test_a_sweep_checks_each_job_once(cli_inside, calls):
    sweep = ["train", "-m", "hydra/launcher=fork", "task/head=linear,crf", *WORDS]
    done = cli_inside(*sweep)
    assert done.out.splitlines()[-1] == "2 jobs: 2 complete"
    assert (calls.take("check_top"), calls.take("from_dict")) == (2, 0)
    assert cli_inside(*sweep).out.splitlines()[-1] == "2 jobs: 2 complete (2 before)"
    assert (calls.take("check_top"), calls.take("from_dict")) == (2, 2)


@pytest.mark.slow(1)
def test_a_job_whose_config_is_refused_was_checked_once(cli_inside, calls):
    sweep = ["train", "-m", "hydra/launcher=fork", *WORDS, "data.limit=40,0"]
    done = cli_inside(*sweep)
    assert done.out.splitlines()[-1] == "2 jobs: 1 complete, 1 failed"
    assert "data.limit" in done.err
    assert calls.take("check_top") == 2


@pytest.mark.slow
def test_a_study_checks_each_run_once(cli_inside, calls, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(STUDY, encoding="utf-8")
    done = cli_inside("study", "run", file)
    assert "2 runs: 2 complete" in done.out, done.err
    assert calls.take("check_top") == 2


@pytest.mark.slow
def test_what_crosses_from_one_process_to_another_has_its_type(cli_inside, tmp_path):
    from lushan.launch import job_status

    cli_inside("train", "-m", "hydra/launcher=fork", "task/head=linear,crf", *WORDS)
    for job in job_status.collected():
        assert isinstance(job.result, RunResult)
        assert job.result.measure(job.shown).unit.sign == "%"
        path = tmp_path / job.result.folder / "result.json"
        stored = json.loads(path.read_text(encoding="utf-8"))
        assert stored["metrics"] == job.result.metrics
