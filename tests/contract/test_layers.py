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


def test_no_part_but_the_config_knows_a_task():
    tasks = "|".join(file.stem for file in (ROOT / "conf/task").glob("*.yaml"))
    named = re.compile(rf"^ *(from|import) lushan\.tasks\.({tasks})\b", re.M)
    source = ROOT / "src/lushan"
    files = (f for f in source.rglob("*.py") if f.parent != source / "tasks")
    assert not [f for f in files if named.search(f.read_text(encoding="utf-8"))]
