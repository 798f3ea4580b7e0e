"""Data sets of the Hugging Face hub, and local files that `datasets` reads."""

from __future__ import annotations

import abc
import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.common.arrays import pa
from lushan.configurable import configurable
from lushan.data import files, folders, unpacking
from lushan.data.classes import Classes
from lushan.data.fields import Fields
from lushan.data.hub_errors import about_file, heard
from lushan.data.json_rows import DATA, is_wrapper
from lushan.data.json_shapes import SUFFIXES
from lushan.data.media_fields import first_media
from lushan.data.raw_columns import Columns, require_short
from lushan.data.rows import Rows
from lushan.data.source import Source, hash_json
from lushan.errors import RunFailed, UserError, did_you_mean, first_line, in_a_line
from lushan.run import hashes
from lushan.text import hub

if TYPE_CHECKING:
    from types import ModuleType

    from datasets import Dataset, DatasetDict

BUILDERS = {
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".txt": "text",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
CONVERTED = "refs/convert/parquet"
"""Branch of the hub with a plain copy of a set that was made by a script."""


def builder_of(place: Path, path: str) -> tuple[str, str]:
    """Return the ending of a file's name, and the builder of `datasets` that reads such files.

    Raises:
        UserError: There is none.
    """
    suffix = files.bare_suffix(place)
    if suffix not in BUILDERS:
        raise UserError(
            "unknown file extension",
            key="data.path",
            value=path,
            hint=f"Supported: {', '.join(BUILDERS)}.",
        )
    return suffix, BUILDERS[suffix]


def load_here(*args: object, **options: Any) -> Dataset | DatasetDict:
    """Return `load_dataset` offline: it would report reads of local files to the hub."""
    with folders.asking_nobody() as datasets:
        return datasets.load_dataset(*args, **options)


def load_from_hub(path: str, config: str | None, **options: Any) -> Dataset | DatasetDict:
    """`load_dataset` of a set of the hub, whose files are all its own."""
    import datasets

    pinned = {"revision": options.get("revision")}
    folders.require_own(datasets.load_dataset_builder(path, config, **pinned), path)
    return datasets.load_dataset(path, config, **options)


@dataclasses.dataclass(kw_only=True)
class HubSet(Source):
    """A set of the hub; `train`, `validation` and `test` are names of its splits.

    Labels that the set keeps as numbers get the names it has for them.

    Args:
        path: A Hub id, or a folder or file that `datasets` supports: Parquet, JSONL, CSV.
        config: Config (subset) of the data set.
        revision: Branch, tag or commit. Only a commit is immutable.
        longest_line: Maximum length in characters of a text.
        largest_file: Maximum size in bytes of a split or an extracted file; null is 2 GiB.
    """

    path: str
    config: str | None = None
    revision: str | None = None
    longest_line: int = files.LONGEST_LINE
    largest_file: int | None = None
    train: str | None = "train"
    validation: str | float | None = "validation"
    test: str | float | None = "test"

    @abc.abstractmethod
    def table_of(
        self, columns: Columns, split: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """A corpus's table of the rows of one split."""

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one split."""
        data = self._dataset()
        if name not in data:
            raise self._no_split(split, name, list(data))
        table = data[name]
        if not len(table):
            raise files.empty(f"{self.path}[{name}]", "the split has no rows")
        most = self.largest_file or unpacking.LARGEST_FILE
        unpacking.require_size(table.data.nbytes, most, f"{self.path}[{name}]")
        if fields is not None and first_media(fields) is not None:
            for column, feature in table.features.items():
                if folders.is_image(feature):  # its bytes; the files that rows name are not opened
                    undecoded = dataclasses.replace(feature, decode=False)
                    table = table.cast_column(column, undecoded)
        features = {c: f for c, f in table.features.items() if not folders.is_media(f)}
        values = {column: list(table[column]) for column in features}
        classes = {
            column: Classes(names, values[column])
            for column, feature in features.items()
            if (names := _names(feature)) is not None
        }
        values |= {column: coded.named() for column, coded in classes.items()}
        columns = Columns(values, range(1, len(table) + 1), f"{self.path}[{name}]", classes)
        require_short(columns, self.longest_line)
        return self.table_of(columns, split, notes, fields)

    def hash_of(self, split: str, name: str) -> str:
        """Return the hash of local files; else that of the set's name and commit."""
        place = Path(self.path).expanduser()
        if place.is_file():
            content: Any = hashes.sha256(place)
        elif place.is_dir():
            content = folders.content(place)
        else:
            content = [self.path, self._commit()]
        return hash_json([content, self.config, name])

    def _commit(self) -> str:
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        self._require_hub_id()
        wanted = self.revision or "main"
        if hub.reachable():
            from huggingface_hub import HfApi

            with self._explained():
                info = HfApi().dataset_info(self.path, revision=wanted, timeout=10)
            return str(info.sha)
        from huggingface_hub.constants import HF_HUB_CACHE

        kept = Path(HF_HUB_CACHE) / f"datasets--{self.path.replace('/', '--')}" / "refs" / wanted
        if not kept.is_file():
            raise self._unreachable()
        return kept.read_text(encoding="utf-8").strip()

    def _dataset(self) -> Dataset | DatasetDict:
        """The whole set: split to rows; read once."""
        loaded = self.__dict__.get("_loaded")
        if loaded is None:
            with self._explained():
                loaded = self.__dict__["_loaded"] = self._load_all()
        return loaded

    def _load_all(self) -> Dataset | DatasetDict:
        import datasets

        datasets.disable_progress_bars()
        place = Path(self.path).expanduser()
        if place.is_dir() and folders.is_saved(place):
            return folders.load_saved(place)
        self._require_bounded(place)
        if place.is_dir():
            return folders.load(place, self.config)
        if place.is_file():
            suffix, builder = builder_of(place, self.path)
            more = {"sep": "\t"} if suffix == ".tsv" else {}
            if suffix in SUFFIXES and is_wrapper(place):
                more = {"field": DATA}
            return load_here(builder, data_files=str(place), **more)
        self._require_hub_id()
        if not hub.reachable():
            return self._from_cache(datasets)
        try:
            return load_from_hub(self.path, self.config, revision=self.revision)
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error) or self.revision is not None:
                raise
        return load_from_hub(self.path, self.config, revision=CONVERTED)

    def _require_bounded(self, place: Path) -> None:
        """Refuse local files that unpack to more than is read, before `datasets` unpacks them."""
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and unpacking.is_packed(path):
                for _ in unpacking.bounded(path, self.largest_file):
                    pass

    def _from_cache(self, datasets: ModuleType) -> Dataset | DatasetDict:
        kept = Path(datasets.config.HF_DATASETS_CACHE) / self.path.replace("/", "___").lower()
        if not kept.is_dir():
            raise self._unreachable()
        # Asked, the hub would be waited for, for half a minute.
        return load_here(self.path, self.config, revision=self.revision)

    def _require_hub_id(self) -> None:
        if not _HUB_ID.fullmatch(self.path):
            raise UserError(
                "the folder or file does not exist",
                key="data.path",
                value=self.path,
                hint="Give a folder, a file, or a Hub id (owner/name).",
            )

    def _unreachable(self) -> UserError:
        return UserError(
            "no such local folder or file, and the Hub cannot be reached",
            key="data.path",
            value=self.path,
            hint="Give the path of local files (Parquet, JSONL, CSV), or use data=jsonl, "
            "data=table, data=conll.",
        )

    def _no_split(self, split: str, name: str, there: list[str]) -> UserError:
        near = did_you_mean(name, there)
        ways = f"Its splits: {', '.join(there)}; data.{split}=NAME, =0.1 of train, or =null."
        return UserError(
            f"the data set has no split {name!r}",
            key=f"data.{split}",
            hint=f"{near} {ways}" if near else ways,
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the many ways in which reading a set fails into one `UserError`."""
        with heard() as messages:
            try:
                yield
            except (UserError, RunFailed):
                raise
            except Exception as error:  # what others wrote may be anything, and so is what fails
                raise about_file(error, messages) or self._about_set(error) from error

    def _about_set(self, error: Exception) -> UserError:
        cause = error.__cause__ or error
        first = in_a_line(cause) if isinstance(cause, LookupError) else first_line(cause)
        key = "data.config" if "config" in first.lower() else "data.path"
        value = self.config if key == "data.config" else self.path
        return UserError(f"the data set cannot be read: {first}", key=key, value=value)


@configurable
@dataclasses.dataclass(kw_only=True)
class Hub(Rows, HubSet):
    """Words with tags, texts with labels, or sources with targets, of a set of the hub."""


def _names(feature: object) -> Sequence[str] | None:
    """The names of class numbers, or of those in lists."""
    names: Sequence[str] | None = getattr(feature, "names", None)
    return names or getattr(getattr(feature, "feature", None), "names", None)
