"""Results of the targets' own checks of a config, kept on disk with their signatures.

`check` and `measures` of a task can only be asked by importing it, and it imports torch. What
they said of the same question stands as long as the files that they were read from do.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from lushan.config import signatures


def remembered(question: list[Any], name: str, ask: Callable[[], Any]) -> Any:
    """Return the answer to a question, asked only where it is not known.

    Args:
        question: In plain values.
        name: The target that answers; its signature has been read.
        ask: Gives the answer, in plain values. What it raises is not remembered.
    """
    return remembered_of(question, name, lambda: (ask(), ()))


def remembered_of(
    question: list[Any], name: str, ask: Callable[[], tuple[Any, Iterable[str]]]
) -> Any:
    """Return an answer that stands as long as some modules do, beside the target's own.

    Args:
        question: In plain values.
        name: The target that answers.
        ask: Gives the answer, and the names of modules that it was read from.
    """
    files = signatures.files_of(name)
    text = json.dumps([question, files], sort_keys=True, default=repr)
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    known = signatures.check_results()
    if digest not in known or not signatures.unchanged(known[digest]["files"]):
        answer, modules = ask()
        paths = [getattr(sys.modules.get(module), "__file__", None) for module in modules]
        known[digest] = {"answer": answer, "files": signatures.stamps(paths)}
        signatures.save()
    return known[digest]["answer"]
