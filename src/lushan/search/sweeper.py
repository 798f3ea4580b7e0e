"""Hydra's sweeper that searches: each trial is a run, and no trial is lost or made twice.

Hydra's own plugin over Optuna counts `n_trials` from the beginning each time, leaves trials of a
killed search unfinished forever, and has no pruning; the space and the samplers are read as it
reads them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from lushan.common import extras
from lushan.common.terminal import echo
from lushan.common.units import measure_of
from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import Composer
from lushan.config.measures import measures as measures_of
from lushan.errors import UserError
from lushan.launch import job_status
from lushan.launch.job_status import JobStatus
from lushan.run import inside
from lushan.run.identity import lookup, run_id, run_path
from lushan.run.result import RunResult, objective
from lushan.run.status import COMPLETE, INTERRUPTED, PRUNED
from lushan.search import results, space
from lushan.search.plan import Plan, directions_of, metrics_of, require_prunable
from lushan.search.trials import JOURNAL, Trials, opened

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.samplers import BaseSampler


STEADY = ("GridSampler", "QMCSampler", "CmaEsSampler")
"""Samplers whose next proposal is a place in one sequence, which the seed stands for."""

STORAGE = "LUSHAN_STORAGE"
"""Environment variable with the place of the search, for its jobs."""

ATTEMPTS = 3
"""Most starts of a trial whose process dies; a search that is stopped does not count."""


class Search(Sweeper):
    """Let Optuna propose trials until there are as many as are wanted.

    Args:
        sampler: Node of one of `optuna.samplers`.
        pruner: Node of one of `optuna.pruners`; null lets every trial finish.
        n_trials: In total, over all processes and interruptions.
        n_jobs: Trials at the same time; null is as many as the launcher's `jobs`.
        direction: `minimize`, `maximize`, or a list of them; null asks the metrics.
        storage: URL of a database; null is a journal in the search's folder.
        study_name: Of the search; null derives it from what it searches.
        params: Key to values, as on the command line, which wins.
        preset: Where below `conf/experiment` the best trial is written; null writes none.
    """

    def __init__(
        self,
        sampler: Mapping[str, Any],
        pruner: Mapping[str, Any] | None = None,
        n_trials: int = 20,
        n_jobs: int | None = None,
        direction: str | Sequence[str] | None = None,
        storage: str | None = None,
        study_name: str | None = None,
        params: Mapping[str, Any] | None = None,
        preset: str | None = None,
    ) -> None:
        for key, value in (("n_trials", n_trials), ("n_jobs", 1 if n_jobs is None else n_jobs)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                problem = "must be a whole number, 1 or more"
                raise UserError(problem, key=f"hydra.sweeper.{key}", value=value)
        self.sampler, self.pruner = _plain(sampler), _plain(pruner)
        self.n_trials, self.n_jobs, self.direction = n_trials, n_jobs, _plain(direction)
        self.storage, self.study_name, self.preset = storage, study_name, preset
        self.params: dict[str, Any] = _plain(params) or {}
        self.config: DictConfig
        self.context: HydraContext
        self.launcher: Any

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives before the search."""
        self.context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Search until there are `n_trials`.

        Returns:
            What the jobs of this process returned.

        Raises:
            UserError: There is nothing to search, or what is named cannot be searched.
            Interrupted: A signal stopped the search; the same command resumes it.
        """
        needed = ("optuna", "hydra_plugins.hydra_optuna_sweeper")
        extras.require("search", *needed, what="a search", key="hparams_search")
        plan = self._plan(arguments)
        if self._kind == "GridSampler":
            self.n_trials = min(self.n_trials, math.prod(map(len, space.grid(plan.space).values())))
        trials, place = self._open(plan)
        done: list[JobReturn] = []
        try:
            with trials.searching():
                echo(self._beginning(plan, trials))
                self._search(plan, trials, place, done)
        finally:
            preset = None if self.preset is None else str(self.preset)
            job_status.add_note(results.close(plan, trials, self.n_trials, preset))
        return done

    # Before the first trial

    def _plan(self, arguments: Sequence[str]) -> Plan:
        named = Composer().spelled_out([f"{k}={v}" for k, v in self.params.items()])
        varied, fixed = space.split(dict(line.split("=", 1) for line in named), arguments)
        base = self._composed(fixed)
        if not varied:
            varied = space.around(lookup(base, space.USUAL))
        metrics = metrics_of(base)
        measures = measures_of(base)
        directions = directions_of(metrics, measures, self.direction)
        if self.pruner:
            require_prunable(metrics)
        identity = {
            "base": run_id(base),
            "space": space.described(varied),
            "metrics": metrics,
            "directions": directions,
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
        name = self.study_name or digest
        folder = run_path(base).parent / f"search-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        inside.require_no_way_out(folder)
        seed = self.sampler.get("seed")
        seed = int(base["seed"]) if seed is None else int(seed)
        whole = f"{base['name']}/{name}"
        known = {m: measure_of(measures, m) for m in metrics}
        return Plan(whole, folder, varied, fixed, tuple(metrics), tuple(directions), seed, known)

    def _composed(self, lines: Sequence[str]) -> dict[str, Any]:
        config = self.context.config_loader.load_sweep_config(self.config, list(lines))
        with open_dict(config):
            del config["hydra"]
        return check(config)

    def _open(self, plan: Plan) -> tuple[Trials, str]:
        import optuna

        place = self.storage or str((plan.folder / JOURNAL).absolute())
        # Jobs send their numbers only to a database that this command names, wherever they run.
        os.environ[STORAGE] = place
        storage = opened(place)
        study = optuna.create_study(
            study_name=plan.name,
            storage=storage,
            directions=[optuna.study.StudyDirection[d.upper()] for d in plan.directions],
            load_if_exists=True,
        )
        about = {
            "space": space.described(plan.space),
            "fixed": space.of_a_run(plan.fixed),
            "metrics": list(plan.metrics),
        }
        before = study.user_attrs.get("about")
        if before is None:
            study.set_user_attr("about", about)
        elif before != about or [d.name.lower() for d in study.directions] != [*plan.directions]:
            changed = next((key for key in about if before.get(key) != about[key]), "directions")
            raise UserError(
                f"the search with this name has different {changed}",
                key="hydra.sweeper.study_name",
                value=self.study_name,
                hint="Choose another name, or remove it to derive it from the search space.",
            )
        return Trials(study, storage, plan.folder), place

    def _beginning(self, plan: Plan, trials: Trials) -> str:
        begun = len(trials.all())
        what = ", ".join(f"{k} in {v}" for k, v in space.described(plan.space).items())
        aims = ", ".join(f"{d} {m}" for m, d in zip(plan.metrics, plan.directions, strict=True))
        so_far = f", {begun} started before" if begun else ""
        return f"search {plan.name}: {self.n_trials} trials{so_far}; {aims}\n  {what}"

    # The trials

    def _search(self, plan: Plan, trials: Trials, place: str, done: list[JobReturn]) -> None:
        attempts: dict[int, int] = {}
        at_once = self._at_once()

        def before_asking(number: int) -> None:
            trials.study.sampler = self._sampler(plan, number, at_once)

        while batch := trials.due(dict(plan.space), self.n_trials, at_once, before_asking):
            batch = [trial for trial in batch if not self._was_pruned(trial, trials)]
            if not batch:
                continue
            jobs = [self._job(plan, trial, place) for trial in batch]
            returned = self.launcher.launch(jobs, initial_job_idx=batch[0].number)
            done += returned
            for trial, one in zip(batch, returned, strict=True):
                attempts[trial.number] = attempts.get(trial.number, 0) + 1
                last = attempts[trial.number] >= ATTEMPTS
                self._report_end(plan, trials, trial.number, one.return_value, last)
            self._stop_if_hopeless(trials, returned)

    def _at_once(self) -> int:
        if self.n_jobs is not None:
            return self.n_jobs
        jobs = OmegaConf.select(self.config, "hydra.launcher.jobs", default=1)
        return int(jobs)

    def _sampler(self, plan: Plan, number: int, at_once: int) -> BaseSampler:
        """The sampler of one trial.

        Its seed is of the trial's number, so that a search that was stopped proposes what it would
        have proposed, and not its first trials once more.
        """
        node = dict(self.sampler)
        node["seed"] = plan.seed if self._kind in STEADY else (plan.seed + number) % 2**32
        if self._kind == "TPESampler" and at_once > 1:
            node["constant_liar"] = True  # else trials at the same time are all alike
        given = {k: v for k, v in node.items() if v is not None}
        made = build(given, "hydra.sweeper.sampler")
        if self._kind == "GridSampler":
            return made(space.grid(plan.space))
        return space.round_proposals(made)

    @property
    def _kind(self) -> str:
        return str(self.sampler["_target_"]).rpartition(".")[2]

    def _job(self, plan: Plan, trial: Trial, place: str) -> list[str]:
        about = {
            "storage": place,
            "study": plan.name,
            "number": trial.number,
            "metric": plan.metrics[0],
            "pruner": self.pruner,
        }
        return [*plan.fixed, *space.lines(trial.params), f"++{space.TRIAL}={_as_override(about)}"]

    @staticmethod
    def _was_pruned(trial: Trial, trials: Trials) -> bool:
        """Return whether a trial was pruned by a process that died before it could report it."""
        import optuna

        if "pruned" not in trial.user_attrs:
            return False
        trials.study.tell(trial.number, state=optuna.trial.TrialState.PRUNED)
        return True

    def _report_end(
        self, plan: Plan, trials: Trials, number: int, status: JobStatus, last: bool
    ) -> None:
        """Report the end of a trial to Optuna; an interrupted one stays open, to be resumed."""
        import optuna

        states = optuna.trial.TrialState
        if status.folder is not None:
            trials.mark(number, "run", str(status.folder))
        if status.state == PRUNED:
            trials.study.tell(number, state=states.PRUNED)
            return
        if status.state == INTERRUPTED and not last:
            return
        reason = status.reason
        if status.result is not None:
            values = _values(status.result, plan.metrics)
            numbers = [value for value in values if value is not None]
            if len(numbers) == len(values):
                # The last place of a grid stops the search, which only Optuna's own loop can do.
                with contextlib.suppress(RuntimeError):
                    trials.study.tell(number, numbers)
                return
            reason = f"{plan.metrics[values.index(None)]} is not a number"
        trials.mark(number, "reason", str(reason or status.state))
        trials.study.tell(number, state=states.FAIL)

    def _stop_if_hopeless(self, trials: Trials, returned: Sequence[JobReturn]) -> None:
        jobs: list[JobStatus] = [one.return_value for one in returned]
        mistaken = all(job.state != COMPLETE and job.exit_code == 2 for job in jobs)
        if mistaken and not any(t.state.name in ("COMPLETE", "PRUNED") for t in trials.all()):
            raise UserError(
                f"no trial could start: {jobs[0].reason}",
                hint="Fix this, and give the search another hydra.sweeper.study_name.",
            )


def _values(result: RunResult, metrics: Sequence[str]) -> list[float | None]:
    found = [objective(result, metric) for metric in metrics]
    return [None if value is None or not math.isfinite(value) else value for value in found]


def _plain(node: object) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _as_override(value: object) -> str:
    """A value in Hydra's grammar."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}: {_as_override(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_as_override, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return space.written(value)
