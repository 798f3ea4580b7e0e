"""A search whose trials train nothing: the result of a trial is a sum over its config."""

import functools
import json
import math
import os
import signal
import sys
from pathlib import Path

from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from lushan.config import train_command
from lushan.errors import Pruned, UserError
from lushan.launch.job_status import JobStatus
from lushan.run.folder import RunFolder
from lushan.run.result import RunResult
from lushan.search.sweeper import Search
from lushan.search.trials import Ongoing
from tests.helpers import measuring

BEST = 3e-4
"""The learning rate that is best."""


class Job:
    """Carries out trials in this process.

    Args:
        die_at: Trials during which the process is killed.
        fail_at: Trials that fail.
        prune_at: Trials that are pruned.
        code: Exit code of those that fail.
    """

    __name__ = "job"
    metric = None
    """Another one that is reported, the lower the better."""

    def __init__(self, die_at=(), fail_at=(), prune_at=(), code=1):
        self.die_at, self.fail_at, self.prune_at, self.code = die_at, fail_at, prune_at, code
        self.trials = []

    def __call__(self, cfg):
        return self.execute(cfg)

    def execute(self, cfg, checked=None):
        config = OmegaConf.to_container(cfg, resolve=True)
        trial, lr = config["trial"], config["optimizer"]["lr"]
        number = trial["number"]
        self.trials.append((number, lr))
        folder = RunFolder.of(config)
        ended = functools.partial(JobStatus, number=number, seconds=0.1, folder=folder.path)
        if folder.result_json.exists():
            return ended("complete", result=folder.result(), answered=True)
        if number in self.fail_at:
            return ended("failed", reason="as it should", exit_code=self.code)
        try:
            with folder.locked():
                folder.start(config)
                if number in self.die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                if number in self.prune_at:
                    ongoing = Ongoing(trial["storage"], trial["study"], number)
                    ongoing.report(1, 0.125)
                    ongoing.mark_pruned("hopeless")
                    raise Pruned("hopeless")
                score = 1 - abs(math.log10(lr / BEST)) / 4
                metrics = {"val/entity_f1": score, "val/loss": 2 - score, "test/entity_f1": 0.0}
                if self.metric is not None:
                    metrics[self.metric] = 1 - score
                result = folder.complete(
                    RunResult(
                        folder=folder.path,
                        name=config["name"],
                        run_id=folder.path.name,
                        seed=config["seed"],
                        metrics=metrics,
                        main_metric="val/entity_f1",
                        measures=measuring.measures_of(metrics),
                        config=config,
                    )
                )
        except Pruned as early:
            return ended("pruned", reason=str(early))
        return ended("complete", result=result)

    def check(self, cfg):
        raise UserError("all of it is carried out in the process of the search")

    def preload(self, configs):
        pass

    def limit_threads(self, count):
        pass


def search(folder, *overrides, job=None):
    """Carry out `lushan train -m ...` with stub trials; the job, which knows what it was given."""
    job = job or Job()
    Plugins.instance().register(Search)
    arguments = ["-m", "hparams_search=optuna", f"paths.output_dir={folder}/outputs", "name=stub"]
    train_command.main([*arguments, *overrides], job)
    return job


def the_folder(folder):
    """Of the one search below."""
    (found,) = Path(folder, "outputs", "stub").glob("search-*")
    return found


def main():
    """As a program: FOLDER, the number of the trial that kills it, and overrides."""
    folder, die_at, *overrides = sys.argv[1:]
    job = Job(die_at=json.loads(die_at))
    search(folder, *overrides, job=job)
    sys.stdout.write(json.dumps([number for number, _ in job.trials]) + "\n")


if __name__ == "__main__":
    main()
