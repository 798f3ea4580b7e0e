"""An option that a command does not have leads to one that it has, or to none."""

import pytest
import typer

from lushan.cli import app as program
from lushan.cli.options import PEERS, RUN, suggestion

COMMANDS = typer.main.get_command(program.app).commands


def options_of(command):
    return [option for param in command.params for option in param.opts]


EVERY = {
    **COMMANDS,
    **{f"study {name}": one for name, one in COMMANDS["study"].commands.items()},
}


def test_the_table_names_options_that_some_command_has():
    known = {option for command in EVERY.values() for option in options_of(command)}
    assert set(PEERS) <= known


@pytest.mark.parametrize("name", EVERY)
def test_a_hint_names_only_what_the_command_has(name):
    known = options_of(EVERY[name])
    for word in [*RUN, *(word for words in PEERS.values() for word in words), *PEERS]:
        hint = suggestion(f"--{word.lstrip('-')}x", known, name) or ""
        hint += " "
        hint += suggestion(f"--{word.lstrip('-')}", known, name) or ""
        named = [part.rstrip(".?") for part in hint.split() if part.startswith("--")]
        assert set(named) <= set(known)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["generate", "run", "--num-beams", "4"], "Write --beams."),
        (["generate", "run", "--num_return_sequences=2"], "Write --num-samples."),
        (["generate", "run", "--max_new_tokens", "4"], "Did you mean --max-new-tokens?"),
        (["generate", "run", "--max-length", "4"], "Write --max-new-tokens."),
        (["generate", "--model", "x"], "lushan generate RUN."),
        (["predict", "run", "--inptu", "x"], "Did you mean --input?"),
        (["predict", "run", "--file", "x"], "Write --input."),
        (["table", "outputs", "--group-by", "model"], "Write --rows."),
        (["eval", "run", "--device", "cuda"], "`lushan eval --help`"),
        (["study", "run", "x", "--workers", "2"], "Write --jobs."),
        (["runs", "--nothing"], "`lushan runs --help`"),
    ],
)
def test_what_is_said(cli_inside, arguments, printed):
    done = cli_inside(*arguments)
    assert done.code == 2
    assert done.err.startswith("error: --")
    assert printed in done.err


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["predict"], "Missing argument"),
        (["runz"], "No such command"),
        (["generate", "run", "--top-k", "z"], "--top-k: must be a whole number"),
        (["runs", "a", "b"], "unexpected extra argument"),
    ],
)
def test_other_mistakes_are_said_too(cli_inside, arguments, printed):
    done = cli_inside(*arguments)
    assert (done.code, done.out) == (2, "")
    assert printed in done.err
    assert "Traceback" not in done.err


def test_exit_codes_are_kept(cli_inside):
    assert cli_inside("--help").code == 0
    assert cli_inside("runs", "--help").code == 0
    assert cli_inside("runs", "nowhere").code == 2
