"""`lushan chat`: over a pipe, and what a terminal adds."""

import contextlib
import io
import json
import os
import select
import subprocess
import sys
import time

import pytest

from lushan.errors import UserError
from lushan.inference.chat_session import Conversation, TooLong, stoppable
from lushan.inference.generator import open_generator
from lushan.models.decoding import Settings

GREEDY = Settings(max_new_tokens=8, greedy=True)


@pytest.fixture
def talk(cli_inside, chat_run, monkeypatch):
    def content(*lines, run=chat_run, ways=("-n", 6, "--greedy")):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return cli_inside("chat", run, *ways)

    return content


@pytest.fixture(scope="module")
def generator(chat_run):
    return open_generator(chat_run)


def test_each_line_is_answered_and_all_is_remembered(talk, tmp_path):
    done = talk("Good morning .", "", "谢谢。", "/save talk.jsonl")
    assert done.code == 0, done.err
    saved = json.loads((tmp_path / "talk.jsonl").read_text(encoding="utf-8"))["messages"]
    assert [m["role"] for m in saved] == ["user", "assistant"] * 2
    assert saved[0]["content"] == "Good morning ."
    printed = [m["content"] for m in saved if m["role"] == "assistant"]
    assert done.out == "".join(f"{text}\n" for text in printed)
    assert "saved: talk.jsonl" in done.err


def test_commands(talk, tmp_path):
    (tmp_path / "there.jsonl").write_text("mine")
    done = talk(
        "one",
        "/reset",
        "/system Be kind .",
        "//slash",
        "/save a.jsonl",
        "/save there.jsonl",
        "/save",
        "/nothing",
        "/help",
        "/exit",
        "never",
    )
    assert done.code == 0, done.err
    saved = json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))["messages"]
    assert [m["role"] for m in saved] == ["system", "user", "assistant"]
    assert saved[1]["content"] == "/slash"
    assert (tmp_path / "there.jsonl").read_text() == "mine"
    for note in (
        "started over",
        "exists already",
        "the file is missing: /save FILE",
        "unknown command /nothing",
        "/system TEXT",
    ):
        assert note in done.err
    assert len(done.out.splitlines()) == 2


def test_the_same_conversation_has_the_same_answers(talk):
    drawn = ("-n", 6, "--temperature", 1.0, "--seed", 5)
    assert talk("one", "two", ways=drawn).out == talk("one", "two", ways=drawn).out


def test_a_model_without_a_template_continues_all_of_it(talk, lm_run):
    done = talk("the film", "/system no", " and", run=lm_run)
    assert done.code == 0, done.err
    assert "has no chat template" in done.err
    assert "system messages need a chat template" in done.err
    assert talk("a", run=lm_run, ways=("--system", "x")).code == 2


def test_a_run_that_cannot_answer_is_refused(talk, ner_run):
    assert talk("hi", run=ner_run).code == 2


# The conversation


def test_what_was_said_is_part_of_the_next_prompt(generator):
    talked = Conversation(generator, GREEDY, system="Be kind .")
    talked.answer("one")
    prompts = []
    encode = generator.encode
    generator.encode = lambda dialogues: prompts.extend(dialogues) or encode(dialogues)
    try:
        talked.answer("two")
    finally:
        generator.encode = encode
    roles = [m["role"] for m in prompts[0]]
    assert roles == ["system", "user", "assistant", "user"]


def test_a_long_conversation_loses_its_beginning(generator):
    talked = Conversation(generator, GREEDY, system="Be kind .")
    while not talked.dropped:
        talked.answer("What is 3 plus 4 ? What is 5 plus 6 ? " * 3)
        assert len(talked.messages) < 100
    prompt, new_tokens = talked._prompt()
    assert len(prompt) + new_tokens <= talked.room
    text = generator.tokenizer.decode(prompt)
    assert "Be kind" in text
    assert talked.messages[0]["content"].startswith("What is 3")  # nothing is forgotten for /save


def test_a_message_that_leaves_no_room_is_refused_and_forgotten(generator):
    talked = Conversation(generator, GREEDY)
    with pytest.raises(TooLong):
        talked.answer("too long " * 600)
    assert talked.messages == []
    talked.answer("hi")
    assert len(talked.messages) == 2


def test_a_stopped_answer_is_remembered_as_far_as_it_came(generator):
    talked = Conversation(generator, Settings(max_new_tokens=50, seed=2))
    shown = []
    written = talked.answer("one", show=shown.append, cancelled=lambda: len(shown) >= 2)
    assert written.finish == "cancelled"
    assert talked.messages[-1]["content"] == "".join(shown).strip()


def test_a_prompt_that_is_refused_leaves_the_conversation_as_it_was(generator):
    talked = Conversation(generator, GREEDY)
    encode = generator.encode

    def refuse(_):
        raise UserError("no")

    generator.encode = refuse
    try:
        with pytest.raises(UserError):
            talked.answer("one")
    finally:
        generator.encode = encode
    assert talked.messages == []


def test_ctrl_c_once_stops_and_twice_ends():
    import signal

    # What started the tests may have had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with stoppable() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# A terminal


SPAWN = """
import os, pty, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # what started the tests may have had it ignored
sys.exit(os.waitstatus_to_exitcode(pty.spawn([sys.executable, "-c", *sys.argv[1:]])))
"""
SLOWLY = """
import sys, time
from lushan.cli.app import main
from lushan.text.incremental import Reader
push = Reader.push
def pause(self, token):
    time.sleep(0.1)
    return push(self, token)
Reader.push = pause
sys.exit(main())
"""
"""The command line, with a model that takes its time."""


class Watched:
    """A program in a terminal of its own, into which one can type."""

    def __init__(self, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SPAWN, SLOWLY, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"TERM": "dumb"},
        )
        self.seen = ""

    def wait_for(self, text, timeout=120, typing=None):
        """Read until a text has come; meanwhile type something every few seconds."""
        end = time.monotonic() + timeout
        out = self.process.stdout.fileno()
        again = 0.0
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if typing and time.monotonic() > again:
                self.type(typing)
                again = time.monotonic() + 5
            if select.select([out], [], [], 0.2)[0]:
                new = os.read(out, 4096)
                assert new, self.seen
                self.seen += new.decode("utf-8", "replace")
        self.seen = self.seen.partition(text)[2]

    def wait_to_end(self, typing, timeout=60):
        """Return its exit code; meanwhile type something every few seconds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.type(typing)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(timeout=5)
        raise AssertionError(self.seen)

    def type(self, text):
        with contextlib.suppress(BrokenPipeError):  # it has ended
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.mark.slow
def test_in_a_terminal_ctrl_c_stops_the_answer_and_then_ends(chat_run):
    watched = Watched("chat", chat_run, "-n", 450, "--temperature", 3, "--top-p", 1, "--seed", 4)
    try:
        watched.wait_for("you:")
        watched.type("What is 3 plus 4 ?\n")
        watched.wait_for("it:")
        time.sleep(0.5)
        watched.type("\x03")
        watched.wait_for("stopped")
        watched.wait_for("you:")
        watched.type("/help\n")
        watched.wait_for("/reset")
        watched.wait_for("you:")
        # A signal at the very moment at which Python begins to wait for a line is seen with the
        # next key only.
        watched.wait_for("Ctrl-C again", typing="\x03")
        assert watched.wait_to_end(typing="\x03") == 0
    finally:
        watched.close()


def test_tools_and_their_results(talk, tmp_path):
    tool = {"type": "function", "function": {"name": "weather"}}
    (tmp_path / "tools.json").write_text(json.dumps([tool]))
    lines = ("hi", "/tool", "/tool 3 degrees", "/save talk.jsonl")
    done = talk(*lines, ways=("-n", 2, "--greedy", "--tools", "tools.json"))
    assert done.code == 0, done.err
    saved = json.loads((tmp_path / "talk.jsonl").read_text(encoding="utf-8"))
    assert saved["tools"] == [tool]
    assert [m["role"] for m in saved["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert "the result is missing" in done.err
