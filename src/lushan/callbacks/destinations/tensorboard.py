"""TensorBoard as a tracker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lushan.callbacks.destinations import content
from lushan.callbacks.destinations.tracker import About, Completed
from lushan.common.units import SHARE, head, number
from lushan.configurable import configurable
from lushan.run.identity import flat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@configurable
class TensorBoard:
    """TensorBoard's event files, in the run folder's `tensorboard/`: they stay on this machine.

    They hold settings, scalars, samples, the report by class and plots.
    """

    later: ClassVar[str] = ""

    def __init__(self) -> None:
        self.writer: Any = None
        self.settings: dict[str, str | int | float] = {}

    def start(self, about: About) -> None:
        """Open the event file."""
        from torch.utils.tensorboard import SummaryWriter

        self.settings = {
            key: value if isinstance(value, int | float | str) else str(value)
            for key, value in flat(about.config).items()
        }
        self.writer = SummaryWriter(str(about.folder / "tensorboard"))

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One scalar each."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def samples(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """The texts of this step."""
        new = [f"**{row['prompt']}** {row['text']}" for row in rows if row["step"] == step]
        self.writer.add_text("samples", "\n\n".join(new), step)

    def finish(self, done: Completed | None, folder: Path) -> None:
        """The settings with the final numbers, the per-class table and the plots."""
        if done is not None:
            numbers = content.summary_of(done.result)
            for name, value in numbers.items():
                self.writer.add_scalar(f"result/{name}", value, 0)
            chosen = {done.result.headline: numbers.get(done.result.headline, float("nan"))}
            self.writer.add_hparams(self.settings, chosen, run_name=".")
            if rows := content.class_rows(done.result):
                self.writer.add_text("report", _markdown(rows), 0)
            for path in content.plots(folder):
                self.writer.add_image(f"plots/{path.stem}", _pixels(path), 0, dataformats="HWC")
        self.writer.close()


def _markdown(rows: list[dict[str, Any]]) -> str:
    columns = list(rows[0])
    heads = [head(str(c), SHARE) if isinstance(rows[0][c], float) else str(c) for c in columns]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = (number(v, SHARE) if isinstance(v, float) else str(v) for v in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _pixels(path: Path) -> NDArray[np.uint8]:
    from matplotlib.image import imread

    return imread(path)[..., :3]
