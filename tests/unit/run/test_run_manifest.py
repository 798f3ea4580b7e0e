"""What a manifest says of the repository that a run began in."""

import json
import subprocess

import pytest

from lushan.run import manifest


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Git in a repository without a commit."""
    (tmp_path.parent / "no settings").touch()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path.parent / "no settings"))

    def call(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    call("init", "-q", "-b", "trunk")
    return call


@pytest.fixture
def committed(git, tmp_path):
    """The same, with a commit of one file."""
    (tmp_path / "a.txt").write_text("one\n")
    git("add", "a.txt")
    git("commit", "-q", "-m", "a")
    return git


def test_before_the_first_commit(git, tmp_path):
    (tmp_path / "new é.txt").write_text("x")
    found, diff = manifest.describe_git(tmp_path)
    assert found == {
        **{"root": str(tmp_path), "commit": None, "branch": "trunk", "remote": None},
        **{"dirty": False, "untracked": ["new é.txt"]},
    }
    assert diff == ""
    git("add", ".")
    found, diff = manifest.describe_git(tmp_path)
    assert (found["dirty"], found["untracked"], diff) == (True, [], "")


def test_a_commit_and_what_has_changed_since(committed, tmp_path):
    committed("remote", "add", "origin", "https://me:secret@example.com/x.git")
    found, diff = manifest.describe_git(tmp_path)
    assert (found["commit"], found["branch"]) == (committed("rev-parse", "HEAD"), "trunk")
    assert (found["dirty"], found["untracked"], diff) == (False, [], "")
    assert "example.com" in found["remote"]
    assert "secret" not in found["remote"]
    (tmp_path / "a.txt").write_text("two\n")
    (tmp_path / "below").mkdir()
    found, diff = manifest.describe_git(tmp_path / "below")
    assert (found["root"], found["dirty"]) == (str(tmp_path), True)
    assert "-one\n+two\n" in diff
    committed("mv", "a.txt", "b.txt")
    assert manifest.describe_git(tmp_path)[0]["dirty"]


def test_no_branch_and_no_status(committed, tmp_path, monkeypatch):
    commit = committed("rev-parse", "HEAD")
    committed("checkout", "-q", "--detach")
    assert manifest.describe_git(tmp_path)[0]["branch"] is None
    git = manifest._git
    monkeypatch.setattr(
        manifest, "_git", lambda f, *a, **o: None if a[0] == "status" else git(f, *a, **o)
    )
    assert manifest.describe_git(tmp_path)[0]["commit"] == commit


def test_code_in_the_users_own_repository_is_described_once(committed, tmp_path, monkeypatch):
    code = tmp_path / "lushan" / "__init__.py"
    code.parent.mkdir()
    code.touch()
    committed("add", "lushan")
    (tmp_path / "a.txt").write_text("two\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(manifest, "PACKAGE", code.parent)
    monkeypatch.setattr(manifest, "packages", tuple)
    path = tmp_path / "run" / "manifest.json"
    path.parent.mkdir()
    manifest.write_manifest(path, fingerprints={}, started="now", command=["lushan"])
    written = json.loads(path.read_text())
    assert written["git"]["dirty"]
    assert written["lushan"]["git"] == written["git"]
    assert path.with_suffix(".diff").read_text().count("+two") == 1


def test_no_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert manifest.describe_git(tmp_path) == (None, "")
