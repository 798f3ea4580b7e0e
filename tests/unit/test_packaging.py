"""What is installed: the lock fits pyproject.toml, and the wheel carries what it needs."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def locked() -> dict[str, Version]:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", "")
    versions = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        pin, *hashes = line.split()
        assert hashes, f"{pin} has no hash"
        assert all(map(HASH.fullmatch, hashes)), line
        name, version = pin.split("==")  # a version, and no range
        versions[canonicalize_name(name)] = Version(version)
    return versions


def wanted() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *itertools.chain.from_iterable(extras)]
    return [found for found in map(Requirement, lines) if found.name != "torch"]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_holds_what_is_asked_for(requirement: Requirement) -> None:
    version = locked()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_torch_is_pinned_and_brings_nothing_for_cards() -> None:
    """A range, or these packages by name, would make a machine without a card load gigabytes.

    torch itself is not in the lock: each of its builds has hashes of its own.
    """
    assert "torch" not in locked()
    assert "torch==2.13.0" in PROJECT["dependencies"]
    assert [n for n in locked() if n.startswith(("nvidia-", "cuda-")) or n == "triton"] == []


@pytest.mark.slow
def test_the_wheel_carries_conf_and_works_elsewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.removeprefix("lushan/") for name in archive.namelist()}
        archive.extractall(tmp_path / "site")
    configs = {str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*.yaml")}
    assert configs
    assert configs <= inside
    templates = (ROOT / "src/lushan/text/templates").glob("*.jinja")
    assert {str(path.relative_to(ROOT / "src/lushan")) for path in templates} <= inside
    assets = (ROOT / "src/lushan/report/assets").iterdir()
    assert {str(path.relative_to(ROOT / "src/lushan")) for path in assets} <= inside
    compose = (
        "from lushan.config.compose import compose; import lushan;"
        "print(lushan.__file__, compose(['experiment=sample/ner']).name)"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", compose],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert elsewhere.stdout.split() == [str(tmp_path / "site/lushan/__init__.py"), "sample_ner"]
