"""`manifest.json`: from which code, with which packages, on which machine a run was made."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, TypedDict

from lushan.run import checksums
from lushan.run.files import atomic_write, read_json, write_json
from lushan.run.redaction import redact, redact_arguments, secret_values
from lushan.version import PACKAGE, VERSION

DIFF_LIMIT = 10 * 2**20
"""Bytes of a diff that are kept; a cut is noted in the manifest."""
_NO_FETCH = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
_SUBMODULE = "160000 "
"""Mode of a repository in another one, as git lists it."""


class Code(TypedDict, total=False):
    """Part of the manifest: the version of lushan."""

    version: str | None
    git: dict[str, Any] | None


class Machine(TypedDict, total=False):
    """Part of the manifest: the machine."""

    processor: str | None
    gpus: list[Any] | None


class Manifest(TypedDict, total=False):
    """Parts of a manifest that its readers need."""

    command: list[str] | None
    packages: list[str] | None
    lushan: Code | None
    machine: Machine | None
    threads: int | None


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run.

    Raises:
        FileNotFoundError: There is none.
        UserError: It was changed, or is not what a run writes.
    """
    return dict(checksums.read_json(folder, "manifest.json", Manifest))


def write_manifest(
    path: str | Path,
    *,
    fingerprints: Mapping[str, Any],
    started: str,
    config: Mapping[str, Any] | None = None,
    command: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Write `manifest.json`, and the uncommitted changes beside it as `manifest.diff`.

    Args:
        path: The file to write.
        fingerprints: What the run read: data splits, processor, pretrained weights.
        started: Date and time of the start.
        config: The config: its secrets are redacted in command and diff too.
        command: The command line; that of this process when not given.

    Returns:
        What was written. `ended` is None until `close_manifest`.
    """
    path = Path(path)
    command = sys.argv if command is None else command
    known = secret_values(config, command)
    git, diff = describe_git(Path.cwd())
    # An installed package may lie in an environment inside the user's own repository.
    tracked = _git(PACKAGE, "ls-files", "--error-unmatch", "__init__.py") is not None
    code, code_diff = None, ""
    if tracked and git is not None and git["root"] == _root(PACKAGE):
        code = git
    elif tracked:
        code, code_diff = describe_git(PACKAGE)
    manifest: dict[str, Any] = {
        "started": started,
        "ended": None,
        "command": redact_arguments(command),
        "cwd": str(Path.cwd()),
        "python": sys.version.split()[0],
        "lushan": {"version": VERSION, "path": str(PACKAGE), "git": code},
        "git": git,
        "fingerprints": dict(fingerprints),
        "machine": describe_machine(),
        "packages": list(packages()),
    }
    text = redact(diff + code_diff, known)
    patch = path.with_suffix(".diff")
    if text:
        data = text.encode("utf-8", errors="surrogateescape")
        manifest["diff"] = {"file": patch.name, "bytes": len(data), "cut": len(data) > DIFF_LIMIT}
        atomic_write(patch, data[:DIFF_LIMIT])
    else:
        patch.unlink(missing_ok=True)  # of an earlier attempt, when there still were changes
        manifest["diff"] = None
    write_json(path, manifest)
    return manifest


def close_manifest(path: str | Path, *, ended: str, **more: object) -> None:
    """Add the end of the run, and whatever else was found out on the way."""
    write_json(path, read_json(path) | {"ended": ended} | more)


def describe_git(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Describe the repository that holds a folder, and return its uncommitted changes as a patch.

    Returns:
        None where there is no repository, or no git; else root, commit (None before the first),
        branch, remote, whether it is dirty and the names of its untracked files.
    """
    if (top := _root(folder)) is None:
        return None, ""
    options = ("--porcelain=v2", "--branch", "-z", "--no-renames")
    plain = _without_programs(Path(top))
    lines = (_git(Path(top), "status", *options, more=plain) or "").split("\0")
    head = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    # Where the status of a large repository is waited for in vain, its commit is still known.
    commit = head.get("branch.oid") or _git(Path(top), "rev-parse", "--verify", "-q", "HEAD") or "("
    branch = head.get("branch.head", "(")
    remote = (_git(Path(top), "config", "--get", "remote.origin.url") or "").strip() or None
    dirty = any(line.startswith(("1 ", "2 ", "u ")) for line in lines)
    begun = not commit.startswith("(")  # (initial), and as a branch (detached)
    diff = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD")
    return {
        "root": top,
        "commit": commit.strip() if begun else None,
        "branch": None if branch.startswith("(") else branch,
        "remote": redact(remote) if remote else None,
        "dirty": dirty,
        "untracked": [_printable(line[2:]) for line in lines if line.startswith("? ")],
    }, (_git(Path(top), *diff, more=plain) or "") if begun and dirty else ""


def _root(folder: Path) -> str | None:
    root = _git(folder, "rev-parse", "--show-toplevel")
    return None if root is None else root.strip()


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _without_programs(folder: Path) -> dict[str, str]:
    """Return variables by which git starts no program that a repository's own settings name.

    A folder that was unpacked may hold the settings of a repository: filters that each changed
    file goes through. Those of the user's own settings stay.
    """
    first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    named = {f"filter.{name}.{part}" for name in _filters(folder) for part in ("clean", "process")}
    off = dict.fromkeys(sorted(named), "")
    off |= {f"{name.rpartition('.')[0]}.required": "false" for name in named}
    found = {"GIT_CONFIG_COUNT": str(first + len(off))}
    for number, (key, value) in enumerate(off.items(), first):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _filters(folder: Path) -> set[str]:
    """Return the names of the filters in the settings of a repository and of those in it."""
    listed = _git(
        folder, "config", "--show-scope", "-z", "--name-only", "--get-regexp", "^filter[.]"
    )
    words = iter((listed or "").split("\0"))
    own = [key for scope, key in zip(words, words, strict=False) if scope in ("local", "worktree")]
    found = {key.partition(".")[2].rpartition(".")[0] for key in own}
    for entry in (_git(folder, "ls-files", "--stage", "-z") or "").split("\0"):
        inner = folder / entry.partition("\t")[2]
        if entry.startswith(_SUBMODULE) and (inner / ".git").exists():
            found |= _filters(inner)
    return found


def _git(folder: Path, *arguments: str, more: Mapping[str, str] | None = None) -> str | None:
    # Without optional locks: a status must not get in the way of what the user does meanwhile.
    # Nothing is fetched, and no program watches files: a repository's settings could name any.
    environ = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"} | _NO_FETCH | dict(more or {})
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments],
            capture_output=True,
            env=environ,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return done.stdout.decode("utf-8", errors="surrogateescape")


@functools.cache
def packages() -> tuple[str, ...]:
    """Return the installed packages as `name==version`, sorted."""
    found = {str(d.metadata["Name"]): d.version for d in distributions() if d.metadata["Name"]}
    return tuple(sorted((f"{name}=={found[name]}" for name in found), key=str.lower))


@functools.cache
def describe_machine() -> dict[str, Any]:
    """Describe this machine: system, processor, memory, graphics cards."""
    import psutil  # tables read what was written, and ask no machine

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=False),
        "threads": os.cpu_count(),
        "threads_usable": usable,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": gpus(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def gpus() -> list[dict[str, str]]:
    """Return the NVIDIA cards of this machine, as `nvidia-smi` knows them; none without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    fields = ("index", "name", "memory.total", "driver_version")
    try:
        done = subprocess.run(
            [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in done.stdout.splitlines() if line.strip()]
    return [dict(zip(fields, row, strict=False)) for row in rows]
