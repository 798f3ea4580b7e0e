"""MLflow as a tracker."""

from __future__ import annotations

import io
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lushan.callbacks.destinations import content
from lushan.callbacks.destinations.probe import answers
from lushan.callbacks.destinations.tracker import About, Completed
from lushan.configurable import configurable
from lushan.errors import RunFailed
from lushan.run.identity import flat
from lushan.run.redaction import redact

log = logging.getLogger(__name__)

URI = "MLFLOW_TRACKING_URI"
STORE = ".mlflow"
"""Folder beside the runs where their copies lie, without a server."""
RUN_ID = "lushan.run_id"
"""Tag by which a resumed run finds its copy; MLflow gives runs ids of its own."""
MOST_PARAMS = 100
"""Params of a message."""
LONGEST_PARAM = 6000
"""Characters of a value."""
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


@configurable
class MLflow:
    """MLflow, at the address in MLFLOW_TRACKING_URI, else in a database beside the runs.

    It gets the settings as params, all numbers as metrics, the report by class and confusion
    matrices as tables, and plots, config, result and `metrics.csv` as artifacts. A resumed run
    continues its copy. Address and credentials come from the environment alone.

    Args:
        experiment: Name of the MLflow experiment.
        tables: Whether to send texts and images of the data: predictions and samples.
        weights: Whether to upload the evaluated weights, with labels, processor and config.
    """

    later: ClassVar[str] = "lushan sync --to mlflow {}"

    def __init__(
        self, *, experiment: str = "lushan", tables: bool = False, weights: bool = False
    ) -> None:
        self.experiment, self.tables, self.weights = experiment, tables, weights
        self.client: Any = None
        self.run = ""
        self.resumed = False
        self._last: dict[str, int] = {}  # the last step that the copy has of a metric

    def start(self, about: About) -> None:
        """Open MLflow's run, or the one that an earlier attempt has opened.

        Raises:
            RunFailed: The server does not respond.
        """
        address = os.environ.get(URI) or _local(about)
        if address.startswith("http") and not answers(address):
            raise RunFailed(f"{URI} does not respond")
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=address)
        found = self.client.get_experiment_by_name(self.experiment)
        number = found.experiment_id if found else self._new_experiment(about)
        earlier = self.client.search_runs([number], f"tags.`{RUN_ID}` = '{about.run_id}'")
        self.resumed = bool(earlier)
        if earlier:
            self.run = earlier[0].info.run_id
            self.client.update_run(self.run, status="RUNNING")
        else:
            tags = {RUN_ID: about.run_id, "lushan.name": about.name}
            tags |= {f"lushan.tag.{_named(tag)}": tag for tag in about.tags}
            made = self.client.create_run(
                number, tags=tags, run_name=f"{about.name}-{about.run_id}"
            )
            self.run = made.info.run_id
        self._set_params(about.config, earlier[0].data.params if earlier else {})

    def _new_experiment(self, about: About) -> str:
        place = None if os.environ.get(URI) else (_store(about) / "artifacts").as_uri()
        return str(self.client.create_experiment(self.experiment, artifact_location=place))

    def _set_params(self, config: Mapping[str, Any], there: Mapping[str, str]) -> None:
        """Set what is not set yet: MLflow lets no param change, and a resume changes no result."""
        from mlflow.entities import Param

        params = {_named(key): str(value) for key, value in flat(config).items()}
        long = [key for key, value in params.items() if len(value) > LONGEST_PARAM]
        if long:
            log.info("note: too long for MLflow, so only in its config.yaml: %s", ", ".join(long))
        new = [Param(k, v) for k, v in params.items() if k not in there and k not in long]
        for start in range(0, len(new), MOST_PARAMS):
            self.client.log_batch(self.run, params=new[start : start + MOST_PARAMS])

    @property
    def address(self) -> str:
        """Of the copy."""
        return redact(f"{self.client.tracking_uri} run {self.run}")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One row; steps that an earlier attempt has sent are not sent again."""
        new = {key: value for key, value in values.items() if step > self._known(key)}
        self._send(new, step)

    def _known(self, key: str) -> int:
        if not self.resumed:
            return -1
        if key not in self._last:
            history = self.client.get_metric_history(self.run, _named(key))
            self._last[key] = max((point.step for point in history), default=-1)
        return self._last[key]

    def _send(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_named(key), value, now, step) for key, value in values.items()]
        self.client.log_batch(self.run, metrics=metrics)

    def samples(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """All texts written so far."""
        del step
        if self.tables:
            self._table("samples.json", rows[-content.MOST_ROWS :])

    def finish(self, done: Completed | None, folder: Path) -> None:
        """Send the summary, tables, plots and files; a stopped run stays open for its resume."""
        if done is None:
            self.client.set_terminated(self.run, "FAILED")
            return
        result = done.result
        self._send(content.summary_of(result), int(result.extra.get("steps") or 0))
        self.client.set_tag(self.run, "lushan.main_metric", result.headline)
        if rows := content.class_rows(result):
            self._table("report.json", rows)
        for split, cells in content.confusions(folder).items():
            named = [dict(zip(("gold", "predicted", "n"), cell, strict=True)) for cell in cells]
            self._table(f"confusion_{split}.json", named)
        for path in content.plots(folder):
            self.client.log_artifact(self.run, str(path), "plots")
        if self.tables:
            self._predictions(done)
        for path in content.files(folder, content.RECORD).values():
            self.client.log_artifact(self.run, str(path))
        if self.weights:
            for inside, path in content.files(folder, content.WEIGHTS).items():
                place = Path("model", inside).parent
                self.client.log_artifact(self.run, str(path), str(place))
        self.client.set_terminated(self.run, "FINISHED")

    def _predictions(self, done: Completed) -> None:
        """Send stored predictions as tables, and their images as files that rows name."""
        from PIL import Image

        for found in content.predictions(done.result, done.schema):
            rows = []
            for number, (row, images) in enumerate(zip(found.rows, found.images, strict=True)):
                names = [f"media/{found.split}/{number}_{n}.png" for n in range(len(images))]
                for place, image in zip(names, images, strict=True):
                    picture = Image.open(io.BytesIO(image)).convert("RGB")
                    self.client.log_image(self.run, picture, artifact_file=place)
                rows.append(row | ({"images": ", ".join(names)} if names else {}))
            self._table(f"predictions_{found.split}.json", rows)

    def _table(self, file: str, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = list(rows[0]) if rows else []
        data = [list(row.values()) for row in rows]
        self.client.log_dict(self.run, {"columns": columns, "data": data}, f"tables/{file}")


def _named(key: str) -> str:
    """Return a name as MLflow takes it: others than letters, digits and `_-. /` are `_`."""
    return re.sub(r"[^\w\-. /]", "_", key)


def _store(about: About) -> Path:
    return Path(str(about.config["paths"]["output_dir"])).resolve() / STORE


def _local(about: About) -> str:
    """Return the address of the database beside the runs."""
    _store(about).mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{_store(about) / 'mlflow.db'}"
