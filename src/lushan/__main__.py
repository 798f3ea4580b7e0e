"""`python -m lushan`: the command line."""

import sys

from lushan.cli import main

sys.exit(main())
