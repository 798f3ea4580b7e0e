"""Location of a pretrained model or tokenizer: a folder, an installed package, or the hub.

The hub is asked only for what looks like a hub id, and not before one short request has shown that
it can be reached at all: its client retries for minutes on a machine without a network.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lushan.common import parsing
from lushan.errors import UserError, first_line
from lushan.run import places, remote_code
from lushan.run.identity import lookup
from lushan.run.places import PACKAGE, in_package
from lushan.text.bounds import require_own_files
from lushan.text.weight_files import unpacked

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WAIT = 3.0
"""Seconds to wait for the hub's first answer."""
_PATIENCE = 10.0
"""Seconds to wait for what a hub id stands for."""


NO_PICKLE = {"use_safetensors": True}
"""Said to transformers each time it reads weights: other formats can hold code."""


@dataclass(frozen=True)
class Place:
    """Location to read from.

    Attributes:
        path: A folder, or a hub id.
        on_hub: Whether it is a hub id.
        offline: Whether only the hub's local cache may be asked.
        commit: Of the hub's: what is read, whatever its branch holds by then; None where unknown.
    """

    path: str
    on_hub: bool = False
    offline: bool = False
    commit: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Options by which transformers reads from it."""
        pinned = {} if self.commit is None else {"revision": self.commit}
        return {
            "local_files_only": self.offline or not self.on_hub,
            **remote_code.options(),
            **pinned,
        }


def find(path: str, *, key: str, scripts: Sequence[str] | None = None) -> Place:
    """Find what a user's `path` means.

    Args:
        path: A folder, a file of packed weights (`lushan.text.weight_files`), either inside a
            package (`pkg://package/inside`), or a hub id.
        key: The config key it comes from, for the error.
        scripts: Of a file: see `weight_files.unpacked`.

    Raises:
        UserError: There is no such folder or package, or the file cannot be read.
    """
    inside = path.startswith(PACKAGE)
    folder = in_package(path, key) if inside else Path(path).expanduser()
    if folder.is_file():
        return Place(str(unpacked(folder, key=key, scripts=scripts)))
    if scripts is not None:
        raise UserError(
            "only the vocabulary of an E5 file can be pruned",
            key=f"{key.partition('.')[0]}.scripts",
            value=list(scripts),
        )
    if inside:
        return Place(str(folder))
    if folder.is_dir():
        return local(folder, key=key)
    if not _HUB_ID.fullmatch(path):
        raise UserError(
            "the folder does not exist",
            key=key,
            value=path,
            hint="Give a folder with config.json, a .gguf file, pkg://package/folder, or a Hub id "
            "(owner/name).",
        )
    offline = not reachable()
    place = Place(path, on_hub=True, offline=offline, commit=_commit(path, offline))
    return _with_own_code(place, key)


def local(folder: Path, *, key: str) -> Place:
    """Return the place that a folder is; nothing of it is looked for on the hub.

    Args:
        folder: The folder, which names no file outside of it.
        key: The config key or argument it comes from, for the error.

    Raises:
        UserError: It is not there, or a link or file in it names another outside of it.
    """
    if not folder.is_dir():
        raise UserError("the folder does not exist", key=key, file=folder)
    require_own_files(folder, key)
    _require_bounded(folder)
    return _with_own_code(Place(str(folder)), key)


def _require_bounded(folder: Path) -> None:
    """Refuse what transformers would choke on: it reads a checkpoint's settings without bounds."""
    for file in sorted({*folder.glob("*config.json"), *folder.glob("*tokens*.json")}):
        parsing.read_json(file)


def has_file(place: Place, name: str) -> bool:
    """Return whether a place has a file, which is fetched from the hub if it is there."""
    if not place.on_hub:
        return (Path(place.path) / name).is_file()
    from transformers.utils.hub import cached_file

    options = {k: v for k, v in place.options.items() if k != remote_code.KEY}
    found = cached_file(place.path, name, **options, _raise_exceptions_for_missing_entries=False)
    return found is not None


def _with_own_code(place: Place, key: str) -> Place:
    """A place whose code may run, if it does, from no other place: a commit pins only its own.

    Raises:
        UserError: Its config names the code of another.
    """
    if not remote_code.permitted():
        return place
    from transformers.utils.hub import cached_file

    for name in ("config.json", "tokenizer_config.json"):
        with explained(place, key=key, what="model"):
            options = {k: v for k, v in place.options.items() if k != remote_code.KEY}
            found = cached_file(
                place.path, name, **options, _raise_exceptions_for_missing_entries=False
            )
            settings = {} if found is None else parsing.read_json(found)
            references = list(parsing.texts_in(settings.get("auto_map")))
        for reference in references:
            owner, mark, own = reference.partition("--")
            if mark and owner != place.path:
                raise UserError(
                    f"its code is in {owner}, without a pinned commit",
                    key=key,
                    value=place.path,
                    hint=f"Download it together with the code of {owner}, and give the folder.",
                )
            if "/" in (own if mark else reference):
                raise UserError(
                    "its code is not in its folder", key=key, file=place.path, value=reference
                )
    return place


def require_known(place: Place, *, key: str, what: str) -> None:
    """Refuse a model of the hub that is not in its cache where the hub cannot be reached.

    Raises:
        UserError: Nothing could be read of it.
    """
    if place.on_hub and place.offline and place.commit is None:
        raise _nowhere(place, key, what)


def _nowhere(place: Place, key: str, what: str) -> UserError:
    return UserError(
        f"no such local folder, and the Hub cannot be reached for this {what}",
        key=key,
        value=place.path,
        hint=f"Give a folder that contains it (config.json, model.safetensors, tokenizer.json), "
        f"or a model from a package: {places.ENGLISH} (English), "
        f"{places.ENCODER} (a hundred languages), {places.WRITER} (text generation).",
    )


@contextmanager
def explained(place: Place, *, key: str, what: str) -> Iterator[None]:
    """Turn the many ways in which reading a checkpoint fails into one `UserError`.

    Args:
        place: Where it is read from.
        key: The config key, for the error.
        what: What is read: `model`, `tokenizer`.
    """
    from huggingface_hub.errors import StrictDataclassError

    try:
        with contextlib.nullcontext() if place.on_hub else _asking_nobody():
            yield
    except UserError:
        raise
    except Exception as error:  # what others made may be anything, and so is what it makes fail
        if place.offline:
            raise _nowhere(place, key, what) from error
        if remote_code.KEY in str(error) and not remote_code.permitted():
            raise UserError(
                f"this {what} needs its own code, which is not allowed by default",
                key=key,
                value=place.path,
                hint=f"Read that code, then add {remote_code.FLAG} on the command line.",
            ) from error
        # Whose field is wrong stands in one line, and how in the next.
        whole = isinstance(error, StrictDataclassError)
        message = " ".join(str(error).split()) if whole else first_line(error)
        raise UserError(
            f"the {what} cannot be read: {message}", key=key, value=place.path
        ) from error


@contextmanager
def _asking_nobody() -> Iterator[None]:
    """Let no hub be asked: a folder's settings may name what is on one."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@functools.cache
def reachable() -> bool:
    """Return whether the hub answers, by one request that waits three seconds at most."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return False
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    try:
        get_session().head(constants.ENDPOINT, timeout=_WAIT)
    except Exception:  # noqa: BLE001  (name, route, certificate, proxy: all mean "not from here")
        return False
    return True


@functools.cache
def _commit(model: str, offline: bool) -> str | None:
    """The commit that a hub id stands for in this process, from the hub or from its cache."""
    from huggingface_hub import constants

    if offline:
        kept = Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "refs/main"
        return kept.read_text(encoding="utf-8").strip() if kept.is_file() else None
    from huggingface_hub import HfApi

    try:
        return HfApi().model_info(model, timeout=_PATIENCE).sha
    except Exception:  # noqa: BLE001  (a wrong name, no permission: reported when it is read)
        return None


HUB_KEYS = ("model.path", "processor.path")
"""Keys that may name something of the hub besides `data.path`, which the source knows."""


def pinned(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the commits of what a config names on the hub, by the key that names it."""
    found = {}
    for key in HUB_KEYS:
        path = lookup(config, key)
        if isinstance(path, str) and _may_be_id(path):
            place = find(path, key=key)
            if place.commit is not None:
                found[key] = place.commit
    return found


def _may_be_id(path: str) -> bool:
    return not path.startswith(PACKAGE) and not Path(path).expanduser().exists()
