"""Commands, options and overrides are completed in bash, zsh and fish."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lushan.cli import app as program
from lushan.cli.completion import SCRIPTS, VARIABLE
from lushan.config import usage

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
MINE = "# mine\n_target_: lushan.models.encoders.pretrained\npath: x\n"


def names_of(app):
    """The commands of a typer application."""
    found = {one.name or one.callback.__name__ for one in app.registered_commands}
    return found | {group.name for group in app.registered_groups}


@pytest.fixture
def ways(cli_inside, monkeypatch):
    """How a line can continue, by the protocol that all shells use."""

    def found(line):
        monkeypatch.setenv(VARIABLE, line)
        done = cli_inside()
        assert done.code == 0, done.err
        return [way.partition("\t")[0] for way in done.out.splitlines() if way]

    return found


def test_every_command_and_subcommand_is_completed(ways):
    assert set(ways("lushan ")) == names_of(program.app)
    for group in program.app.registered_groups:
        assert set(ways(f"lushan {group.name} ")) == names_of(group.typer_instance)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lushan ta", ["table"]),
        ("lushan study ve", ["verify"]),
        ("lushan table --basel", ["--baseline"]),
        ("lushan generate run --max", ["--max-new-tokens"]),
        ("lushan --vers", ["--version"]),
        ("lushan train --multi", ["--multirun"]),
        ("lushan train model=bert_t", ["model=bert_tiny"]),
        ("lushan train trainer.max_ep", ["trainer.max_epochs="]),
        ("lushan train -m seed=1,2 experiment=ner/wn", ["experiment=ner/wnut17"]),
        ("lushan tr", ["train"]),
        ("lushan train", ["train"]),
        ("lushan runs outp", []),
        ("lushan no_such_command ", None),
    ],
)
def test_how_a_line_goes_on(ways, line, expected):
    found = ways(line)
    assert expected is None or found == expected


def test_options_are_offered_one_a_line_however_long_their_help(ways):
    """A wrapped help text would be taken for words."""
    commands = [f"lushan {name} " for name in names_of(program.app)]
    for group in program.app.registered_groups:
        commands += [f"lushan {group.name} {name} " for name in names_of(group.typer_instance)]
    for line in commands:
        found = ways(f"{line}--")
        assert found, line
        assert [way for way in found if not way.startswith("--") or " " in way] == [], line


def test_an_override_begins_with_any_group(ways):
    assert {"model=", "experiment=", "optimizer."} <= set(ways("lushan train "))


def test_the_flags_of_train_are_those_of_its_help():
    assert {"--multirun", "--cfg", "--trust-remote-code"} <= set(usage.flags())


def test_a_script_for_each_shell(cli_inside):
    for shell, script in SCRIPTS.items():
        assert cli_inside("completion", shell).out.strip() == script.strip()
    done = cli_inside("completion", "bsh")
    assert (done.code, "Did you mean 'bash'?" in done.err) == (2, True)
    done = cli_inside("train", "-sc", "install=bash")
    assert (done.code, "lushan completion bash" in done.err) == (2, True)


def shell(name, script, cwd):
    """What a shell prints that runs a script; skipped where it is not installed."""
    if (program := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed")
    plain = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
    done = subprocess.run(
        [program, *plain, "-c", script],
        cwd=cwd,
        env=os.environ | {"PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout.split(), done.stderr


def in_bash(line, cwd):
    """What bash offers for the last word of a line."""
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    # As readline breaks words: `=` stands alone.
    broken = []
    for word in words:
        parts = word.partition("=")
        broken += [part for part in parts if part] or [""]
    script = f"""{SCRIPTS["bash"]}
        COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
        COMP_WORDS=({" ".join(map(shlex.quote, broken))}) COMP_CWORD={len(broken) - 1}
        COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
        _lushan_completion
        printf "%s\\n" "${{COMPREPLY[@]}}"
        complete -p lushan >&2"""
    found, shown = shell("bash", script, cwd)
    assert "-F _lushan_completion lushan" in shown
    return found


def in_zsh(line, cwd):
    """What zsh offers, where `compadd` prints what it is given."""
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    script = f"""compdef() {{ : }}
        compadd() {{ while [[ "$1" != -- ]]; do shift; done; shift; print -l -- "$@" }}
        _files() {{ : }}
        {SCRIPTS["zsh"]}
        words=({" ".join(map(shlex.quote, words))}) CURRENT={len(words)}
        PREFIX={shlex.quote(words[-1])}
        _lushan_completion"""
    return shell("zsh", script, cwd)[0]


def in_fish(line, cwd):
    """What fish offers, without what it means."""
    script = f"{SCRIPTS['fish']}\ncomplete -C {shlex.quote(line)} | string split -f1 \\t"
    return shell("fish", script, cwd)[0]


@pytest.mark.slow
@pytest.mark.parametrize("offered", [in_bash, in_zsh, in_fish])
def test_a_shell_completes_a_command_and_an_override(offered, tmp_path):
    conf = tmp_path / "conf" / "model" / "bert_tuned.yaml"
    conf.parent.mkdir(parents=True)
    conf.write_text(MINE)
    assert offered("lushan ta", tmp_path) == ["table"]
    assert offered("lushan study ve", tmp_path) == ["verify"]
    # In bash, what stands before the `=` is there already.
    cut = "" if offered is in_bash else "model="
    expected = [f"{cut}bert_tiny", f"{cut}bert_tuned"]
    assert offered("lushan train model=bert_t", tmp_path) == expected


def test_the_version(cli_inside):
    import lushan

    assert cli_inside("--version").out == f"lushan {lushan.__version__}\n"
