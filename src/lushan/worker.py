"""`python -m lushan.worker RUN_FOLDER`: one more rank of a run that the first rank has started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lushan.errors import Pruned
from lushan.job import code_of, complain
from lushan.runs import trust
from lushan.runs.signals import end_with
from lushan.terminal import guard_warnings
from lushan.training import follow

if __name__ == "__main__":
    end_with(os.getppid())
    guard_warnings()
    try:
        follow(Path(trust.without_flag(sys.argv[1:])[0]))
    except Pruned:
        pass  # the first rank tells
    except BaseException as error:  # noqa: BLE001 - each has its exit code
        complain(error, sys.argv[1:])
        sys.exit(code_of(error))
