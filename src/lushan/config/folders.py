"""Where config files are: the `conf/` of the folder the user works in, then the package's own."""

from __future__ import annotations

from pathlib import Path

import lushan

PRIMARY = "train"


def built_in_conf() -> Path:
    """The `conf/` that comes with the package: in it when installed, beside `src/` in a clone."""
    package = Path(lushan.__file__).parent
    packed, source = package / "conf", package.parents[1] / "conf"
    return packed if packed.is_dir() else source


def user_conf() -> Path | None:
    """The `conf/` in the working folder, where it is another than the built-in one."""
    folder = Path.cwd() / "conf"
    if folder.is_dir() and folder.resolve() != built_in_conf().resolve():
        return folder
    return None


def conf_folders() -> list[Path]:
    """Both, in the order in which they are searched."""
    return [folder for folder in (user_conf(), built_in_conf()) if folder is not None]
