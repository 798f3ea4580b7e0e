"""A sweep whose jobs train nothing: each does what its experiment's name says.

Run as a program: `sweep_program.py FOLDER ARGS...`. What happens is written into the folder; the
outcomes are printed as JSON.
"""

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

from omegaconf import OmegaConf

from lushan.config import train_command
from lushan.errors import Interrupted, UserError
from lushan.launch import job_status
from lushan.launch.job_status import JobStatus
from lushan.launch.protocol import CheckedConfig
from lushan.launch.signals import Signals
from lushan.run.result import RunResult

FOLDER = Path(sys.argv[1])


def note(name, **facts):
    """Write a file, whole."""
    temporary = FOLDER / f".{name}"
    temporary.write_text(json.dumps(facts | {"pid": os.getpid(), "group": os.getpgid(0)}))
    temporary.rename(FOLDER / name)


def wait_for(name):
    deadline = time.monotonic() + 120
    while not (FOLDER / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.01)


class Job:
    threads = None

    def __call__(self, cfg):
        return self.execute(cfg)

    def execute(self, cfg, checked=None):
        what = cfg.name
        note(f"{what}.begun", threads=self.threads)
        return dataclasses.replace(getattr(self, what)(), seconds=0.5)

    def ok(self):
        sys.stdout.write("from the job\n")
        metrics = {"test/x": 0.25}
        result = RunResult(FOLDER, "ok", "0", 1, metrics, "test/x", {})
        return JobStatus("complete", result=result)

    def before(self):
        return JobStatus("complete", answered=True)

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def leave(self):
        os._exit(7)

    def crash(self):
        raise RuntimeError("no job does this")

    def wrong(self):
        return JobStatus("failed", reason="as it should", exit_code=2)

    def left(self):
        wait_for("right.begun")
        return JobStatus("complete")

    def right(self):
        wait_for("left.begun")
        return JobStatus("complete")

    def save(self, name="save", seconds=0.2):
        """As training does: the first signal saves, a second one does not wait for it."""
        with Signals().caught() as signals:
            signals.deferred = True
            note(f"{name}.ready")
            try:
                while not signals.pending:
                    time.sleep(0.01)
                note(f"{name}.first")
                time.sleep(seconds)
            except Interrupted:
                note(f"{name}.hurried")
                raise
        note(f"{name}.saved", signal=signals.pending)
        code = 128 + signals.pending
        return JobStatus("interrupted", reason="saved", exit_code=code)

    def save_long(self):
        """The same, which takes longer than anyone waits."""
        return self.save("save_long", seconds=300)

    def check(self, cfg):
        plain = OmegaConf.to_container(cfg, resolve=True)
        if plain["name"] in ("before", "wrong"):
            raise UserError("it is carried out in the process of the sweep")
        return CheckedConfig(plain)

    def preload(self, configs):
        note(f"preloaded.{len(list(configs))}")

    def limit_threads(self, count):
        self.threads = count


def plain(status):
    """As JSON can hold it."""
    fields = {f.name: getattr(status, f.name) for f in dataclasses.fields(status)}
    folder = None if status.folder is None else str(status.folder)
    return fields | {"value": status.value, "folder": folder, "result": None}


def main():
    code = 0
    try:
        arguments = ["-m", "hydra/launcher=fork", f"paths.output_dir={FOLDER}/outputs"]
        train_command.main([*arguments, *sys.argv[2:]], Job())
        code = job_status.exit_code(job_status.collected())
    except Interrupted as stopped:
        code = stopped.exit_code
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        code = error.exit_code
    note("outcomes", found=[plain(status) for status in job_status.collected()])
    return code


if __name__ == "__main__":
    sys.exit(main())
