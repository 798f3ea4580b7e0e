"""Folders of config files.

Searched are, in this order, the `conf/` of the working folder, the person's own configuration
folder, those of packages that the person allows (`lushan.config.search_path`), and the built-in
one. The working folder may be another person's; the user's own is trusted.
"""

from __future__ import annotations

import os
from pathlib import Path

from lushan.version import PACKAGE

PRIMARY = "train"


def built_in_conf() -> Path:
    """The `conf/` that comes with the package: in it when installed, beside `src/` in a clone."""
    packed, source = PACKAGE / "conf", PACKAGE.parents[1] / "conf"
    return packed if packed.is_dir() else source


def user_conf() -> Path | None:
    """The `conf/` in the working folder, where it is another than the built-in one."""
    folder = Path.cwd() / "conf"
    if folder.is_dir() and folder.resolve() != built_in_conf().resolve():
        return folder
    return None


def personal_conf() -> Path:
    """Return the person's own configuration folder, which need not exist.

    It is `$XDG_CONFIG_HOME/lushan`, or `~/.config/lushan`.
    """
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "lushan"


def is_there(path: Path) -> bool:
    """Return whether a file or folder is there, for this user: HOME may be another person's."""
    try:
        return path.exists()
    except OSError:
        return False
