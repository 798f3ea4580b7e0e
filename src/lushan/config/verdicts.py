"""What targets said of a config, remembered on disk beside their signatures.

`check` and `metric_names` of a task can only be asked by importing it, and it imports torch. What
they said of the same question stands as long as the files that they were read from do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from lushan.config import signatures


def remembered(question: list[Any], name: str, ask: Callable[[], Any]) -> Any:
    """The answer to a question, asked only where it is not known.

    Args:
        question: In plain values.
        name: The target that answers; its signature has been read.
        ask: Gives the answer, in plain values. What it raises is not remembered.
    """
    files = signatures.files_of(name)
    text = json.dumps([question, files], sort_keys=True, default=repr)
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    known = signatures.verdicts()
    if digest not in known:
        known[digest] = ask()
        signatures.save()
    return known[digest]
