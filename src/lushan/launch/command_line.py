"""What a command line said that no config holds, for jobs in processes that have not seen it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from lushan.common.terminal import is_quiet, set_quiet
from lushan.errors import UserError
from lushan.run import remote_code


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """Goes with a job to its process: a worker of joblib's, Ray's or SLURM's.

    Attributes:
        folder: Where the command was typed.
        quiet: Whether `--quiet` was given.
        remote_code: Whether `--trust-remote-code` was given.
    """

    folder: Path
    quiet: bool
    remote_code: bool

    @classmethod
    def here(cls) -> CommandLine:
        """Return that of this process."""
        return cls(Path.cwd(), is_quiet(), remote_code.permitted())

    def apply(self) -> None:
        """Have this process do as the command line said.

        Raises:
            UserError: The folder is not on this machine.
        """
        set_quiet(wanted=self.quiet)
        if self.remote_code:
            remote_code.permit()
        if not self.folder.is_dir():
            raise UserError(
                "the working folder of the command does not exist on this machine",
                value=str(self.folder),
                hint="Machines of a sweep need a shared folder.",
            )
        if self.folder != Path.cwd():
            os.chdir(self.folder)
