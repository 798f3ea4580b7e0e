"""What is installed: the lock fits pyproject.toml, and the wheel carries what it needs."""

from __future__ import annotations

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
NOT_LOCKED = {"minilm"}
"""Installed without its own dependencies, by a command of its own."""


def locked() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {}
    for pin in pins:
        (only,) = pin.specifier
        assert only.operator == "==", f"{pin} is not a version but a range"
        versions[canonicalize_name(pin.name)] = Version(only.version)
    return versions


def wanted() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    lines = [
        *PROJECT["dependencies"],
        *(x for e in extras if e not in NOT_LOCKED for x in extras[e]),
    ]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_holds_what_is_asked_for(requirement: Requirement) -> None:
    version = locked()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_torch_is_pinned_and_brings_nothing_for_cards() -> None:
    """A range, or these packages by name, would make a machine without a card load gigabytes."""
    assert locked()["torch"] == Version("2.13.0")
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
    assets = (ROOT / "src/lushan/studies/report/assets").iterdir()
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
