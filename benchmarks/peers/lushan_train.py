"""`lushan train`, with its arguments: notes what was trained on, as the peers do.

Prints one line of JSON last.
"""

from __future__ import annotations

import sys
from typing import Any

from counting import Marks

from lushan.cli.app import main
from lushan.data.batch.loader import TrainingLoader


def noted(marks: Marks) -> None:
    """Have the marks asked before each batch is made."""
    assemble = TrainingLoader.assemble

    def counted(self: TrainingLoader, batch: Any) -> Any:
        found = self.rows.of(batch)
        marks.add(len(found), int(self.lengths[batch].sum()))
        return assemble(self, batch)

    TrainingLoader.assemble = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    marks = Marks()
    noted(marks)
    sys.argv[1:1] = ["train"]
    try:
        main()
    finally:
        print(marks.report())
