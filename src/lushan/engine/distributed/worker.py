"""One more rank of a run that the first rank has started.

Usage: `python -m lushan.engine.distributed.worker RUN_FOLDER`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lushan.common.terminal import guard_warnings
from lushan.engine.job import code_of, complain
from lushan.engine.lifecycle import follow
from lushan.errors import Pruned
from lushan.launch.signals import end_with
from lushan.run import remote_code

if __name__ == "__main__":
    end_with(os.getppid())
    guard_warnings()
    try:
        follow(Path(remote_code.without_flag(sys.argv[1:])[0]))
    except Pruned:
        pass  # the first rank reports it
    except BaseException as error:  # noqa: BLE001 - each has its exit code
        complain(error, sys.argv[1:])
        sys.exit(code_of(error))
