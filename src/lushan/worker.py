"""`python -m lushan.worker RUN_FOLDER`: one more rank of a run that the first rank has started."""

from __future__ import annotations

import sys
from pathlib import Path

from lushan.errors import Interrupted
from lushan.training import follow

if __name__ == "__main__":
    try:
        follow(Path(sys.argv[1]))
    except Interrupted as stopped:
        sys.exit(stopped.exit_code)
