"""`Dockerfile.serve`, read, and its steps run as far as they go without an engine."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def steps():
    """(instruction, arguments) of each step, continued lines joined."""
    text = (ROOT / "Dockerfile.serve").read_text("utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.M)).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def test_it_ends_as_a_user_without_rights(steps):
    last = max(i for i, (name, _) in enumerate(steps) if name == "FROM")
    names = [name for name, _ in steps[last:]]
    user = next(value for name, value in steps[last:] if name == "USER")
    assert user.isdigit()
    assert int(user) >= 1000
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]
    assert f"--uid {user} " in " ".join(value for name, value in steps[last:] if name == "RUN")


def test_what_it_copies_is_there_and_holds_no_key(steps):
    for name, value in steps:
        words = [word for word in shlex.split(value) if not word.startswith("--")]
        assert name != "ADD"
        if name == "COPY" and "--from" not in value:
            for source in words[:-1]:
                assert (ROOT / source).exists(), source
        assert not re.search(r"LUSHAN_KEY=\S", value)
    assert {name for name, _ in steps} <= {
        *("FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL"),
        *("HEALTHCHECK", "ENTRYPOINT"),
    }


@pytest.mark.slow(1)
@pytest.mark.parametrize("kind", ["ner_run", "chat_run"])
def test_its_command_serves_an_exported_run(
    steps, kind, request, tmp_path, cli_inside, monkeypatch
):
    run = request.getfixturevalue(kind)
    exported = tmp_path / "exported"
    assert cli_inside("export", run, exported).code == 0
    command = json.loads(dict(steps)["ENTRYPOINT"])
    assert command[0] == "lushan"
    words = [word.replace("/run-served", str(exported)) for word in command[1:]]
    refused = cli_inside(*words, "--port", "0", "--check")
    assert refused.code == 2
    assert "LUSHAN_KEY" in refused.err
    monkeypatch.setenv("LUSHAN_KEY", "a-key-of-more-than-16-letters")
    done = cli_inside(*words, "--port", "0", "--check")
    assert done.code == 0, done.err
    endpoint = {"ner_run": "/predict", "chat_run": "/v1/chat/completions, /v1/completions"}[kind]
    assert f"run: {endpoint}\n" in done.err
