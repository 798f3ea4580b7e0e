"""Address and key of the W&B server, from the environment and the user's own files."""

from __future__ import annotations

import configparser
import netrc
import os
import urllib.parse
from pathlib import Path

from lushan.errors import UserError

DEFAULT = "https://api.wandb.ai"
_HARMLESS = ("project", "entity", "mode")


def api_key() -> str | None:
    """Return the key that W&B would use: the environment's, or what `wandb login` keeps."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        found = netrc.netrc(path).authenticators(urllib.parse.urlsplit(base_url()).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def base_url() -> str:
    """Return W&B's server: the environment's, else that of the person's own settings."""
    home = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    own = _read(Path(home).expanduser() / "settings")
    return os.environ.get("WANDB_BASE_URL") or own.get("base_url") or DEFAULT


def refuse_workspace_settings() -> None:
    """Refuse settings that W&B reads from the working folder, which may belong to another user.

    They can name the server that the key is sent to, and a program that is run.
    """
    for folder in ("wandb", ".wandb"):
        file = Path(folder) / "settings"
        for name, value in _read(file).items():
            if name not in _HARMLESS and (name, value) != ("base_url", base_url()):
                raise UserError(
                    "a settings file in the working folder cannot set this for W&B",
                    key=name,
                    value=value,
                    file=file,
                    hint="Remove the line, or move it to ~/.config/wandb/settings.",
                )


def _read(file: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UserError("W&B's settings cannot be read", file=file) from error
    return {name: value for part in parser.sections() for name, value in parser[part].items()}
