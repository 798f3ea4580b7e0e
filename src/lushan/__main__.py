"""`python -m lushan`: the command line."""

import os
import sys

# `python -m` searches the working folder first, where a `random.py` may be anybody's.
if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - no import more
    del sys.path[0]

from lushan.cli.app import main

sys.exit(main())
