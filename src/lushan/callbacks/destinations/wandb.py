"""Weights & Biases as a tracker."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from lushan.callbacks.destinations import content
from lushan.callbacks.destinations.probe import answers
from lushan.callbacks.destinations.tracker import About, Completed
from lushan.callbacks.destinations.wandb_server import (
    api_key,
    base_url,
    refuse_workspace_settings,
)
from lushan.configurable import configurable

log = logging.getLogger(__name__)

CONFUSION = "wandb/confusion_matrix/v1"
"""W&B's chart of counts of pairs of classes."""


@configurable
class WandB:
    """Weights & Biases: online where there is a key and a server, else offline; never a prompt.

    It gets the config, all numbers, the report by class, plots and confusion matrices, and as an
    artifact the run's config, result and `metrics.csv`. A resumed run continues its copy.

    Args:
        project: Name of the W&B project.
        entity: W&B user or team; null is the default of the API key.
        mode: `auto` is online if there is an API key, else offline. Other values are those of W&B.
        tables: Whether to send texts and images of the data: predictions and samples.
        weights: Whether to upload the evaluated weights, with labels, processor and config.
    """

    later: ClassVar[str] = "lushan sync {}"

    def __init__(
        self,
        *,
        project: str = "lushan",
        entity: str | None = None,
        mode: Literal["auto", "online", "offline", "disabled"] = "auto",
        tables: bool = False,
        weights: bool = False,
    ) -> None:
        self.project, self.entity, self.mode = project, entity, mode
        self.tables, self.weights = tables, weights
        self.run: Any = None
        self.step = 0

    def start(self, about: About) -> None:
        """Open W&B's run, under the run id."""
        refuse_workspace_settings()
        import wandb

        self.run = wandb.init(
            project=self.project,
            entity=self.entity,
            id=about.run_id,
            name=f"{about.name}-{about.run_id}",
            group=about.name,
            tags=list(about.tags),
            config=dict(about.config),
            dir=str(about.folder),
            resume="allow",
            mode=self._mode(),
            settings=wandb.Settings(
                base_url=base_url(),
                silent=True,
                console="off",
                # They would hold the command line and the working tree; the manifest has both,
                # without secrets.
                x_disable_meta=True,
                x_disable_machine_info=True,
                disable_git=True,
                disable_code=True,
                x_save_requirements=False,
                init_timeout=30,
            ),
        )
        if not self.run.offline and self.run.url:
            log.info("W&B: %s", self.run.url)

    @property
    def address(self) -> str:
        """Of the copy."""
        return str(self.run.url)

    def _mode(self) -> Any:
        mode = self.mode
        if mode == "auto":
            mode = os.environ.get("WANDB_MODE", "online" if api_key() else "offline")  # type: ignore[assignment]
        if mode == "online" and not answers(base_url()):
            log.warning(
                "warning: %s does not respond; W&B logs offline, and `lushan sync` uploads it "
                "later",
                base_url(),
            )
            return "offline"
        return mode

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One row; W&B ignores one that is behind, as Lightning numbers those of callbacks."""
        self.step = max(self.step, step)
        self.run.log(dict(values), step=self.step)

    def samples(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """All texts written so far, as a table: one sees the model learn to speak."""
        if self.tables:
            self.run.log({"samples": _table(rows[-content.MOST_ROWS :])}, step=step)

    def finish(self, done: Completed | None, folder: Path) -> None:
        """Send the summary, tables, plots and files; a stopped run stays open for its resume."""
        if done is None:
            self.run.finish(exit_code=1)
            return
        import wandb

        shown: dict[str, Any] = {
            f"plots/{path.stem}": wandb.Image(str(path)) for path in content.plots(folder)
        }
        if rows := content.class_rows(done.result):
            shown["report"] = _table(rows)
        for split, cells in content.confusions(folder).items():
            shown[f"confusion/{split}"] = _confusion(cells)
        if self.tables:
            found = content.predictions(done.result, done.schema)
            shown |= {f"predictions/{one.split}": _predictions(one) for one in found}
        if shown:
            self.run.log(shown)
        self.run.summary.update(content.summary_of(done.result))
        self._keep(done, folder, "results", content.RECORD)
        if self.weights:
            self._keep(done, folder, "model", content.WEIGHTS)
        self.run.finish(exit_code=0)

    def _keep(self, done: Completed, folder: Path, kind: str, names: tuple[str, ...]) -> None:
        """Send files as an artifact; they are read where they lie, and not copied first."""
        import wandb

        result = done.result
        name = re.sub(r"[^\w.-]", "_", f"{result.name}-{result.run_id}-{kind}")
        artifact = wandb.Artifact(name, type=kind, metadata={"main_metric": result.headline})
        for inside, path in content.files(folder, names).items():
            artifact.add_file(str(path), name=inside, policy="immutable")
        self.run.log_artifact(artifact)


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    import wandb

    return wandb.Table(columns=[*rows[0]], data=[list(row.values()) for row in rows])


def _confusion(cells: Sequence[tuple[str, str, int]]) -> Any:
    import wandb

    columns = ("Actual", "Predicted", "nPredictions")
    table = wandb.Table(columns=[*columns], data=[list(cell) for cell in cells])
    return wandb.plot_table(CONFUSION, table, {name: name for name in columns})


def _predictions(found: content.Table) -> Any:
    """Return stored predictions as a table, their images in columns `image`, `image_2`, ..."""
    import wandb
    from PIL import Image

    most = max(map(len, found.images), default=0)
    names = [f"image_{n + 1}" if n else "image" for n in range(most)]
    rows = []
    for row, images in zip(found.rows, found.images, strict=True):
        seen = [wandb.Image(Image.open(io.BytesIO(image)).convert("RGB")) for image in images]
        rows.append(row | dict(zip(names, [*seen, *[None] * (most - len(seen))], strict=True)))
    return _table(rows) if rows else wandb.Table(columns=["id"], data=[])
