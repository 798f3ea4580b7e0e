"""What CONTRIBUTING.md says of the layers is what `make check` holds."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_layers_are_those_of_the_import_contract():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    written = re.search(r"```\n(__main__\n.*?)```", text, re.DOTALL)[1].splitlines()
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = content["tool"]["importlinter"]["contracts"][0]
    assert written == contract["layers"]
    packages = {p.name for p in (ROOT / "src/lushan").iterdir() if (p / "__init__.py").exists()}
    described = {
        name for row in re.findall(r"^\| (`.*?) \|", text, re.M) for name in row.split("`")
    }
    assert packages <= described
