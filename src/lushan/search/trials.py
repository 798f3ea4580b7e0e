"""Storage of a search's trials, with the process that runs each; imported where Optuna is needed.

A process that searches owns a folder of its own below the search's, with a heartbeat (see
`lushan.run.lock`), and writes its name on the trials that it has begun. A trial whose process is
dead is taken over by the next one; new trials are asked for by one process at a time, so that all
of them together ask for as many as are wanted.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.errors import UserError
from lushan.run import lock as locks

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

JOURNAL = "journal.log"
SEARCHER = "searcher"
"""Attribute of a trial: the process that carries it out."""


def opened(place: str) -> BaseStorage:
    """Optuna's storage at a place: the URL of a database, or the path of a journal.

    Raises:
        UserError: The database cannot be reached.
    """
    import optuna
    from optuna.storages import journal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if "://" in place:
        try:
            return optuna.storages.get_storage(place)
        except Exception as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(
                f"the database cannot be used: {first}",
                key="hydra.sweeper.storage",
                value=place,
                hint="Write sqlite:///FILE.db, or postgresql://USER@HOST/NAME for many machines.",
            ) from error
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.JournalStorage(journal.JournalFileBackend(place))


class Trials:
    """The trials of one search, shared by all processes that carry it out."""

    def __init__(self, study: Study, storage: BaseStorage, folder: Path) -> None:
        self.study, self.storage, self.folder = study, storage, folder
        self._id = storage.get_study_id_from_name(study.study_name)
        self._me = secrets.token_hex(6)

    @contextlib.contextmanager
    def searching(self) -> Iterator[None]:
        """Be one of the processes that search, for the length of the block."""
        with locks.lock_run(self._place(self._me)):
            yield

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(locks.lock_run(self.folder / ".asking"))
                    break
                except UserError:  # another process is asking, which is a matter of moments
                    time.sleep(0.05)
            yield

    def _place(self, name: str) -> Path:
        return self.folder / ".searchers" / name

    def all(self) -> list[Any]:
        """Optuna's frozen trials, by number."""
        return sorted(self.study.get_trials(deepcopy=False), key=lambda trial: trial.number)

    def due(
        self, space: dict[str, Any], wanted: int, most: int, before_asking: Callable[[int], None]
    ) -> list[Any]:
        """Take trials to carry out: those of dead processes first, then new ones.

        Args:
            space: Key to distribution.
            wanted: Trials in all.
            most: So many at once.
            before_asking: Called with the number of trials there are, before each new one.

        Returns:
            Frozen trials; none when all that are wanted have been begun by living processes.
        """
        with self._alone():
            known = self.all()
            found = [trial for trial in known if self._is_abandoned(trial)][:most]
            for trial in found:
                self.mark(trial.number, SEARCHER, self._me)
            for number in range(len(known), min(wanted, len(known) + most - len(found))):
                before_asking(number)
                trial = self.study.ask(fixed_distributions=space)
                trial.set_user_attr(SEARCHER, self._me)
                found.append(self.get(trial.number))
            return found

    def _is_abandoned(self, trial: FrozenTrial) -> bool:
        if trial.state.is_finished():
            return False
        name = trial.user_attrs.get(SEARCHER)
        if name is None:  # it was asked for by a process that was killed at that moment
            return True
        if name == self._me:
            return True
        place = self._place(str(name))
        if not place.exists():  # a process on another machine, which has another disk
            return False
        return not locks.is_alive(*locks.current(place))

    def get(self, number: int) -> FrozenTrial:
        """One trial, frozen."""
        return self.storage.get_trial(self._trial_id(number))

    def mark(self, number: int, name: str, value: object) -> None:
        """Write something on a trial that is not finished."""
        self.storage.set_trial_user_attr(self._trial_id(number), name, value)

    def _trial_id(self, number: int) -> int:
        return int(self.storage.get_trial_id_from_study_id_trial_number(self._id, number))


class Ongoing:
    """One trial, as the run sees that carries it out.

    Its storage is opened by the first who asks for it: of several ranks only the first one does.
    """

    def __init__(self, storage: str, study: str, number: int) -> None:
        self.place, self.study, self.number = storage, study, number

    @functools.cached_property
    def storage(self) -> BaseStorage:
        """Optuna's."""
        return opened(self.place)

    @functools.cached_property
    def _id(self) -> int:
        study = self.storage.get_study_id_from_name(self.study)
        return int(self.storage.get_trial_id_from_study_id_trial_number(study, self.number))

    def report(self, step: int, value: float) -> None:
        """Report an intermediate value, once for each step even if a resumed run repeats it."""
        if step not in self.storage.get_trial(self._id).intermediate_values:
            self.storage.set_trial_intermediate_value(self._id, step, value)

    def is_hopeless(self, pruner: BasePruner) -> bool:
        """Return whether a pruner would end the trial here."""
        import optuna

        study = optuna.load_study(study_name=self.study, storage=self.storage, pruner=pruner)
        return bool(pruner.prune(study, self.storage.get_trial(self._id)))

    def mark_pruned(self, reason: str) -> None:
        """Report that the trial ends here, should its search not notice."""
        self.storage.set_trial_user_attr(self._id, "pruned", reason)
