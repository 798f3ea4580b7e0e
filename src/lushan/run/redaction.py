"""Redaction of what must not travel with a run: keys, tokens and passwords.

Run folders are shared, copied to trackers and attached to papers. Everything written there that
comes from outside (command line, config, diff, traceback) passes through here first. All patterns
take time in proportion to the text, whatever stands in it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

HIDDEN = "***"

# What looks like a secret wherever it stands.
_SHAPES = [
    r"hf_[A-Za-z0-9]{16,}",
    r"sk-[A-Za-z0-9_-]{16,}",
    r"wandb_v\d_[A-Za-z0-9_-]{16,}",
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    r"gh[pousr]_[A-Za-z0-9]{20,}",
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"glpat-[A-Za-z0-9_-]{16,}",
    r"xox[abprs]-[A-Za-z0-9-]{10,}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"(?<=://)[^\s/:@]*:[^\s/@]+(?=@)",  # the user and password of a URL
    r"(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}",
]
_SHAPE = re.compile("|".join(rf"(?<![A-Za-z0-9]){s}" for s in _SHAPES), re.DOTALL)

# A JSON web token: parts between dots, each taken whole, so that nothing is read twice.
_PART = r"[A-Za-z0-9_-]"
_JWT = re.compile(rf"(?<!{_PART})(?P<head>{_PART}++)\.eyJ{_PART}{{8,}}+(?:\.{_PART}*+)?")

# What is called a secret. `pad_token` and its kin are words of tokenizers.
_NAME = (
    r"(?:.*[_.-])?(?:token|api[_-]?key|apikey|secret(?:[_-]?key)?|password|passwd|passphrase"
    r"|pwd|credentials?|private[_-]?key|access[_-]?key(?:[_-]?id)?|auth)"
)
_IS_NAME = re.compile(_NAME, re.IGNORECASE | re.DOTALL)
# Of a variable of the environment shorter words say as much: SMTP_PASS, GITHUB_PAT.
_IS_VARIABLE = re.compile(r"(?:.*_)?(?:key|pass|pat|cookie|dsn|pin|sid|cert)", re.IGNORECASE)
_TOKENIZER = re.compile(
    r"(?:.*[_.-])?(?:pad|mask|cls|sep|unk|bos|eos|eot|stop|special|image|start|end|per|prefix"
    r"|suffix|middle)_token",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?<![\w.+~-])(?P<name>[\w.+~-]++)(?P<sign>[\"']?+\s*+[=:]\s*+)"
    r"(?P<quote>[\"']?+)(?P<value>[^\s,;\"'&()\[\]{}]{6,}+)(?P=quote)"
)
_FOLDERS = {"PWD", "OLDPWD"}  # of the shell: the working folder, and no password
_HARMLESS = re.compile(
    r"none|null|true|false|~|\?\?\?|-?[\d.]{1,7}|\*+|\$\{.*|.{0,3}", re.IGNORECASE | re.DOTALL
)

PUBLIC = "LUSHAN_PUBLIC"
"""Environment variable that lists variables whose interpolated values are no secrets."""
_PUBLIC = re.compile(
    r"(?:\w+_)?(?:HOME|DIR|PATH|ROOT|FOLDER|TMP|TMPDIR|TEMP|DATA|CACHE|RANK|WORLD_SIZE)"
    r"|USER|LOGNAME|HOSTNAME|HOST|PWD|SCRATCH|WORK|LANG|SEED|(?:SLURM|OMP|MKL)_\w+"
    r"|CUDA_VISIBLE_DEVICES"
)
_SHORT = 8
"""Characters from which on a known secret is redacted within words too."""

_PARTS = re.compile(r"[^\s,:\[\]{}\"']+")

_interpolated: dict[str, str] = {}


def remember_interpolated(variable: str, value: str) -> None:
    """Take the value of an environment variable that a config has interpolated for a secret.

    Its name may say nothing: `${oc.env:GITHUB_PAT}`. Folders, users, ranks and the like are no
    secrets, nor are the variables that LUSHAN_PUBLIC lists.
    """
    _interpolated[variable] = value


def interpolated_secrets() -> dict[str, str]:
    """Return the variables that a config has interpolated, with their values, less public ones."""
    listed = re.split(r"[,\s]+", os.environ.get(PUBLIC, ""))
    return {
        name: value
        for name, value in _interpolated.items()
        if name not in listed and not _PUBLIC.fullmatch(name) and not _HARMLESS.fullmatch(value)
    }


def is_secret_name(name: str) -> bool:
    """Return whether what has this name is a secret: `WANDB_API_KEY`, `hub.token`."""
    bare = name.lstrip("-+~")
    return bool(_IS_NAME.fullmatch(bare)) and not _TOKENIZER.fullmatch(bare)


def secret_values(
    config: Mapping[str, Any] | None = None,
    arguments: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> frozenset[str]:
    """Collect the values that config, command line and environment give to secret names.

    With them `redact` finds a secret where nothing around it marks it as one: in the middle
    of a traceback, for instance. `environ` is that of the process when not given.
    """
    found = [
        value
        for name, value in (os.environ if environ is None else environ).items()
        if (is_secret_name(name) or _IS_VARIABLE.fullmatch(name))
        and name not in _FOLDERS
        and len(value) >= _SHORT  # a short one would redact plain words
    ]
    found.extend(interpolated_secrets().values())
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, sign, value = argument.partition("=")
        if is_secret_name(name):
            found.append(value if sign else following)
    found.extend(_named(config or {}))
    stripped = (value.strip("\"'") for value in found)
    secret = {value for value in stripped if not _HARMLESS.fullmatch(value)}
    return frozenset(form for value in secret for form in _forms(value))


def _forms(value: str) -> set[str]:
    """Return a secret as messages and files may have it: escaped, in a URL, by its lines or parts.

    `${oc.decode:${oc.env:NAME}}` makes a list or a mapping of a value that is written as one.
    """
    whole = {value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe="")}
    parts = _PARTS.findall(value) if value.lstrip()[:1] in ("[", "{") else value.splitlines()
    return whole | {part for part in parts if len(part) >= _SHORT}


def _named(node: object) -> list[str]:
    """All texts under secret names, at any depth of a config."""
    if isinstance(node, Mapping):
        own = [
            value
            for name, value in node.items()
            if isinstance(value, str) and is_secret_name(str(name))
        ]
        return own + [text for value in node.values() for text in _named(value)]
    if isinstance(node, list | tuple):
        return [text for value in node for text in _named(value)]
    return []


def redact(text: str, known: frozenset[str] | None = None) -> str:
    """Redact the secrets in a free text: a diff, a traceback, a message.

    Three ways to know one: its value is known, its shape is that of a known kind of key, or it is
    a literal with digits in it given to a secret name. (`token = words[i]` in a diff is code and
    stays: a patch that no longer applies is of no use.)

    Args:
        text: The text.
        known: What `secret_values` found; the environment's alone when not given.
    """
    for value in sorted(secret_values() if known is None else known, key=len, reverse=True):
        if len(value) >= _SHORT:
            text = text.replace(value, HIDDEN)
        else:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", HIDDEN, text)
    return _ASSIGNED.sub(_hide_assigned, _JWT.sub(_hide_jwt, _SHAPE.sub(HIDDEN, text)))


def _hide_jwt(match: re.Match[str]) -> str:
    before, begins, rest = match["head"].partition("eyJ")
    return f"{before}{HIDDEN}" if begins and len(rest) >= _SHORT else match[0]


def _hide_assigned(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    literal = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    if not literal or "." in value.strip(".") or not is_secret_name(name):
        return match[0]
    return f"{name}{match['sign']}{match['quote']}{HIDDEN}{match['quote']}"


def redact_arguments(arguments: Sequence[str]) -> list[str]:
    """Redact the secrets of a command line: `key=value`, `--key value`, `--key=value`."""
    known = secret_values(arguments=arguments)
    return [redact(argument, known) for argument in arguments]


def redact_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a config in which every secret reads `***`."""
    known = secret_values(config)
    copy = _redact_node(config, known)
    assert isinstance(copy, dict)
    return copy


def _redact_node(node: object, known: frozenset[str]) -> object:
    if isinstance(node, Mapping):
        return {name: _redact_node(value, known) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [_redact_node(value, known) for value in node]
    if isinstance(node, int | float):  # also a number may be one: `${oc.decode:${oc.env:PIN}}`
        return HIDDEN if str(node) in known else node
    return redact(node, known) if isinstance(node, str) else node
