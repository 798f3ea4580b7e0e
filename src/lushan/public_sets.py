"""The public data sets: a YAML file each, in `sets/public` and in a folder of the user's."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict
from urllib.parse import quote, urlsplit

from lushan.common import parsing
from lushan.errors import UserError, did_you_mean

VARIABLE = "LUSHAN_SETS"
"""Names a folder of further sets, in the environment."""
SCHEME = "set://"
"""Begins the name of a set in the place of a folder."""
PUBLIC = Path(__file__).parent / "sets" / "public"
GITHUB = (
    "https://raw.githubusercontent.com/{repository}/{commit}/{path}",
    "https://cdn.jsdelivr.net/gh/{repository}@{commit}/{path}",
)
"""Addresses of a file of a repository: GitHub's own, and a mirror of small repositories."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


class DownloadFile(TypedDict):
    """A download, as a set's file has it."""

    path: NotRequired[str]
    urls: NotRequired[list[str]]
    bytes: NotRequired[int]
    sha256: NotRequired[str]
    git_blob: NotRequired[str]


class SetFile(TypedDict):
    """A set, as its file has it."""

    title: str
    licence: str
    source: str
    presets: NotRequired[list[str]]
    hub: NotRequired[str]
    note: NotRequired[str]
    prepare: NotRequired[str]
    github: NotRequired[str]
    downloads: dict[str, DownloadFile]
    files: NotRequired[dict[str, str | None]]


@dataclasses.dataclass(frozen=True)
class Download:
    """A file as its authors published it.

    Attributes:
        name: What it is called here.
        urls: Where it is, the first one asked first.
        bytes: Its size; None where that is not known.
        sha256: Its hash; None where that is not known.
        git_blob: The hash by which Git names its content, where the file itself was not at hand.
    """

    name: str
    urls: Sequence[str]
    bytes: int | None = None
    sha256: str | None = None
    git_blob: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether its content can be checked."""
        return self.sha256 is not None or self.git_blob is not None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A public data set.

    Attributes:
        name: The name of its folder.
        title: What it is, with its paper.
        licence: Its terms, in short.
        source: Where its authors present it.
        presets: Options of `data` that read it.
        hub: Its name on the Hugging Face hub, where it is there.
        note: What else should be known.
        prepare: The function of `lushan.sets.prepare` that makes `files` of `downloads`.
        downloads: What is downloaded.
        files: SHA-256 of each prepared file, unpacked; None where that is not known.
    """

    name: str
    title: str
    licence: str
    source: str
    downloads: Sequence[Download]
    presets: Sequence[str] = ()
    hub: str | None = None
    note: str | None = None
    prepare: str = "as_they_are"
    files: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes to download, as far as they are known."""
        return sum(one.bytes or 0 for one in self.downloads)

    @property
    def is_restricted(self) -> bool:
        """Whether its terms ask for a decision, as where commercial use is not allowed."""
        return "commercial" in self.licence

    def holds(self, name: str, file: Path) -> bool:
        """Return whether a file has the content of one of the set, as far as that is known."""
        # None is larger than what it is made of: another's 50 GB are not read to learn that.
        if self.files.get(name) is None or file.stat().st_size > self.bytes:
            return False
        return content_hash(file) == self.files[name]


def content_hash(file: Path) -> str:
    """Return the SHA-256 of a file, unpacked where its name ends in `.gz`."""
    status = file.stat()
    return _content_hash(file, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.lru_cache
def _content_hash(file: Path, _size: int, _changed: int, _touched: int) -> str:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def address_of(source: Mapping[str, Any]) -> str | None:
    """Return the `set://NAME` whose files a source reads; None where it reads others.

    Args:
        source: Its config, with a `dir`. Each text that finds something in there is a file's name.
    """
    place = Path(source["dir"]).expanduser()
    names = parsing.texts_in({**source, "dir": None})
    found = {name for name in names if glob.glob(name, root_dir=place)}  # noqa: PTH207 - any text
    for one in public().values() if found else ():
        with contextlib.suppress(OSError, EOFError, zlib.error):  # named when the file is read
            if all(one.holds(name, place / name) for name in found):
                return f"{SCHEME}{one.name}"
    return None


def known() -> dict[str, DataSet]:
    """Return all sets by their names, those of the user's folder before others."""
    own = os.environ.get(VARIABLE)
    return {**public(), **(_all_in(Path(own).expanduser()) if own else {})}


def _all_in(folder: Path) -> dict[str, DataSet]:
    return {file.stem: read(file) for file in sorted(folder.glob("*.yaml"))}


@functools.cache
def public() -> dict[str, DataSet]:
    """Return the sets that lushan comes with."""
    return _all_in(PUBLIC)


def find(name: str) -> DataSet:
    """Return the set of a name: its own, that of a preset, that on the hub, or a file.

    Raises:
        UserError: There is none.
    """
    if name.endswith((".yaml", ".yml")):
        return read(Path(name).expanduser())
    sets = known()
    if name in sets:
        return sets[name]
    for one in sets.values():
        if name in one.presets or name == one.hub:
            return one
    hint = did_you_mean(name, [*sets, *(p for one in sets.values() for p in one.presets)])
    raise UserError(
        "unknown data set", value=name, hint=hint or "`lushan data list` shows all data sets."
    )


def read(file: Path) -> DataSet:
    """Read the file of a set.

    Raises:
        UserError: It is no such file, names an address that is not HTTPS, or a path as a name.
    """
    content = parsing.read_yaml(file)
    try:
        parsing.require_shape(content, SetFile)
        return DataSet(
            **{k: v for k, v in content.items() if k not in ("downloads", "github")},
            name=_name(file.stem),
            downloads=list(_downloads(content)),
        )
    except (ValueError, TypeError) as error:
        raise UserError(f"this is not a description of a data set: {error}", file=file) from error


def _downloads(content: SetFile) -> Iterator[Download]:
    repository, _, commit = content.get("github", "").partition("@")
    for name, one in content["downloads"].items():
        urls = list(one.get("urls", ()))
        if path := one.get("path"):
            if not commit:
                raise ValueError(f"{name} has a path, but there is no `github: OWNER/NAME@COMMIT`")
            parts = {"repository": repository, "commit": commit, "path": quote(path)}
            urls += [address.format(**parts) for address in GITHUB]
        if not urls:
            raise ValueError(f"{name} has no address; write urls: [https://...]")
        yield Download(
            _name(name),
            [_safe(url) for url in urls],
            one.get("bytes"),
            one.get("sha256"),
            one.get("git_blob"),
        )


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a valid name; use letters, digits, '.', '_' and '-'")
    return name


def _safe(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise ValueError(f"{url} is not an HTTPS address")
