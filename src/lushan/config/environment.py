"""`${oc.env:NAME}` in a config: read as OmegaConf reads it, and remembered as a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from lushan.errors import UserError
from lushan.run import redaction


def _read(name: str, *default: object) -> str | None:
    if name in os.environ:
        redaction.remember_interpolated(name, os.environ[name])
    return oc.env(name, *default)


def register() -> None:
    """Let OmegaConf read the environment by this module."""
    OmegaConf.register_resolver("oc.env", _read, replace=True)


def require_visible(cfg: Mapping[str, Any]) -> None:
    """Refuse a secret in what becomes the name of a folder."""
    named = {"name": cfg.get("name")}
    named |= {f"paths.{key}": value for key, value in (cfg.get("paths") or {}).items()}
    for key, text in named.items():
        for variable, value in redaction.interpolated_secrets().items():
            if isinstance(text, str) and value in text:
                raise UserError(
                    f"this is a folder name, but it contains the value of {variable}",
                    key=key,
                    hint=f"If that is not a secret, set {redaction.PUBLIC}={variable} in the "
                    f"environment.",
                )
        if isinstance(text, str) and redaction.redact(text) != text:
            raise UserError("this is a folder name, but it contains a secret", key=key)


def notes() -> list[str]:
    """Return what the person should know of the variables that a config has interpolated."""
    names = ",".join(sorted(redaction.interpolated_secrets()))
    if not names:
        return []
    return [
        f"the value of {names} is redacted in all files; if it is not a secret, set "
        f"{redaction.PUBLIC}={names} in the environment"
    ]
