"""Inputs of a trained run, read as its own data is read.

The settings of the run's source hold for every format that has them; `data.KEY=VALUE` changes one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lushan.config.allow_list import locate
from lushan.config.build import TARGET, source_of
from lushan.config.signatures import signature
from lushan.data import files, raw_input
from lushan.data.fields import Fields
from lushan.data.formats.mixture import Mixture
from lushan.data.formats.text import Text
from lushan.data.labelled import remember
from lushan.data.raw_input import STDIN
from lushan.data.source import SPLITS, Format, Source
from lushan.data.unlabelled import Reading, format_for, reader_class
from lushan.inference.load import columns_of
from lushan.run.artifacts import TASK_STATE, is_run
from lushan.run.config_yaml import read_config
from lushan.run.files import intact
from lushan.vision.video import Sampling

_OF_SPLITS = (
    *SPLITS,
    *("train_share", "limit", "dir", "folds", "fold", "fold_split", "split_column"),
)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Input of a trained run.

    Attributes:
        table: From `lushan.data.unlabelled`.
        cfg: The run's config, with the source that has read the table and what was overridden.
        notes: How the table was read, for the user.
    """

    table: pa.Table
    cfg: dict[str, Any]
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reader of an input.

    Attributes:
        reading: The input, with the options that it is read by.
        cfg: The run's config, with the reader's node as its data.
    """

    reading: Reading
    cfg: dict[str, Any]

    def read(self) -> Inputs:
        """Read the input.

        Raises:
            UserError: It cannot be read; names file and line.
        """
        return Inputs(self.reading.read(), self.cfg, self.reading.notes)


def reader_for(
    run: str | Path,
    cfg: Mapping[str, Any],
    fields: Fields,
    path: str | Path,
    *,
    format: Format | None = None,
    overrides: Sequence[str] = (),
    data: bytes | None = None,
    before: int = 0,
) -> Reader:
    """Return the reader of a file, the standard input, or images: the run's own, or the format's.

    Args:
        run: The run's folder.
        cfg: Its config.
        fields: What its task reads.
        path: A file, or `-`; a folder, an archive or an image, where the task reads one image.
        format: By the file's ending when not given; files that end as the run's own do are read
            as these are.
        overrides: Of the keys below `data`.
        data: Content of the input, where it is in hand; `path` names it in errors.
        before: Lines of the file that precede `data`, where that is a piece of it.

    Raises:
        UserError: An override does not fit; names the key.
    """
    node, notes = _one_node(cfg["data"])
    own_class = locate(node[TARGET], "data")
    own: Format | None = own_class.input_format
    name = STDIN if str(path) == "-" else str(path)
    if name == STDIN:
        data = raw_input.standard_input()
    endings = {files.bare_suffix(v) for s in SPLITS if isinstance(v := node.get(s), str)}
    chosen = format or format_for(fields, name, own, endings, data)
    if chosen == own or issubclass(own_class, Text):
        target, target_name = own_class, node[TARGET]
    else:
        target = reader_class(chosen, fields)
        target_name = f"lushan.data.formats.{target.__name__}"
    settings = _settings(node, target_name)
    changed = {**cfg, "data": settings}
    if overrides:
        from lushan.config.override import overridden  # it imports Hydra

        changed = overridden(changed, overrides, groups=("data",))
    source: Source = source_of(changed)
    columns = columns_of(Path(run))
    with intact(Path(run) / TASK_STATE):
        remember(source, **columns)
    stated = [line.lstrip("+").partition("=")[0].removeprefix("data.") for line in overrides]
    is_own = target is own_class
    how = Reading(
        name,
        chosen,
        source,
        is_own=is_own,
        stated=stated,
        notes=notes,
        data=data,
        before=before,
        fields=fields,
    )
    return Reader(how, changed)


def sampling_of(place: str | Path) -> Sampling:
    """Return which frames of a video a run reads; of what is no run, as by default."""
    if not is_run(place):
        return Sampling()
    node = _one_node(read_config(place)["data"])[0]
    return Sampling(**{name: node[name] for name in ("frames", "fps") if name in node})


def _one_node(node: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """Return the node of the source that reads: of a mixture, what all its sources agree in."""
    if not issubclass(locate(node[TARGET], "data"), Mixture):
        return node, []
    inner = [_one_node(each)[0] for each in node["sources"].values()]
    first = inner[0]
    same = {k: v for k, v in first.items() if all(k in n and n[k] == v for n in inner[1:])}
    own = {"max_length": node.get("max_length"), "stride": node.get("stride")}
    if TARGET not in same:
        return {TARGET: "lushan.data.formats.Jsonl", **own}, []
    apart = sorted({k for n in inner for k in n} - set(same) - set(_OF_SPLITS))
    notes = [
        f"the run's data sources have different values of data.{key}; the default is used here"
        for key in apart
    ]
    return {**same, **own}, notes


def _settings(node: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the node of a target, with those settings of another node that it has too."""
    known = signature(name, "data").parameters
    kept = {k: v for k, v in node.items() if k in known and k not in _OF_SPLITS}
    if isinstance(kept.get("media"), dict):  # of the run's splits
        kept["media"] = None
    if kept.get("media") and node.get("dir"):
        below = files.below(kept["media"], node["dir"])
        kept |= {"media": str(below)} if below.exists() else {}
    return {TARGET: name, **kept}
