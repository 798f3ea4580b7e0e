"""A conversation, one line a message; its history is cut at its front when it no longer fits."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from lushan.common.terminal import console, echo
from lushan.common.wording import plural
from lushan.errors import RunFailed, UserError
from lushan.guard import Guard
from lushan.inference import guarding
from lushan.inference.batch_generate import Shown, option
from lushan.inference.dialogues import asked, images_of, read_tools, shown, unseen_notes
from lushan.inference.generator import Dtype, TextGenerator, open_generator
from lushan.inference.inputs import sampling_of
from lushan.inference.prompt_files import stored
from lushan.models.decoding import Settings, Written
from lushan.run.files import atomic_write, json_line
from lushan.text.parts import Part

HELP = """\
/reset         start over
/system TEXT   set the system message; without TEXT, remove it
/tool TEXT     give the result of the model's tool call
/image FILE    attach an image or a video to the next message
/save FILE     save the conversation as a JSON line, in the format of training data
/help          show this help
/exit          quit (or Ctrl-D). Ctrl-C stops a reply
To start a message with /, write //."""


class TooLong(Exception):
    """A message that leaves no room for an answer."""


class Conversation:
    """A conversation with a model: the messages, and the model that answers.

    Args:
        generator: A chat model; or one of plain text, which continues all that was written.
        settings: How answers are written.
        system: What holds for the whole conversation.
        tools: Functions that the model may call, as JSON schemas.
        guard: Checks messages and answers.

    Attributes:
        messages: The messages so far, without the system message.
        dropped: Messages that were left out of the last prompt because it was too long.
    """

    def __init__(
        self,
        generator: TextGenerator,
        settings: Settings,
        system: str | None = None,
        tools: object = None,
        guard: Guard | None = None,
    ) -> None:
        self.generator, self.settings, self.system = generator, settings, system
        self.tools, self.guard = tools, guard
        self.messages: list[dict[str, Any]] = []
        self.dropped = 0

    @property
    def room(self) -> int | None:
        """Tokens of a prompt and its answer: positions that were never trained make no sense."""
        bounds = [n for n in (self.generator.positions, self.generator.trained) if n is not None]
        return min(bounds, default=None)

    def reset(self) -> None:
        """Remove all messages but the system message."""
        self.messages, self.dropped = [], 0

    def whole(self) -> list[dict[str, Any]]:
        """All messages, with the system's before them."""
        head = [] if self.system is None else [{"role": "system", "content": self.system}]
        return head + self.messages

    def answer(
        self,
        message: str,
        show: Callable[[str], Any] | None = None,
        cancelled: Callable[[], bool] | None = None,
        role: str = "user",
        images: Sequence[Part] = (),
    ) -> Written:
        """Generate the answer to a message, and keep both.

        Args:
            message: What the user says.
            show: Gets the answer as it comes.
            cancelled: Whether to end at once; the part generated so far is kept.
            role: `tool`, where the message is the result of a call.
            images: What the message shows.

        Raises:
            TooLong: The message alone leaves no room.
            UserError: The chat template refuses the messages.
        """
        guard = self.guard
        if guard is not None:
            message = guard.redacted(message)
            if not guarding.prompt_passes(guard, message):
                if show is not None:
                    show(guard.refusal)
                return Written([], guard.refusal, "refused")
        before = list(self.messages)
        self.messages.append({"role": role, "content": shown(message, images)})
        try:
            prompt, new_tokens = self._prompt()
            settings = self.settings.with_new_tokens(new_tokens)
            media = self.generator.media([self._asked(self.messages[self.dropped :])])

            def writing(shown: guarding.Show | None, over: guarding.Cancelled | None) -> Written:
                texts = self.generator.write(
                    [prompt], settings, media=media, show=shown, cancelled=over
                )
                return texts[0][0]

            written = guarding.write(guard, writing, show, cancelled)
        except BaseException:
            self.messages = before
            raise
        text = written.text if not self.generator.takes_messages else written.text.strip()
        if written.finish != "refused" and (text or written.finish != "cancelled"):
            self.messages.append({"role": "assistant", "content": text})
        else:
            self.messages = before
        return written

    def _prompt(self) -> tuple[list[int], int]:
        """The tokens of as much of the conversation as fits, and the longest answer."""
        wanted, room = self.settings.max_new_tokens, self.room
        messages = self.messages
        while True:
            prompt = self._encoded(messages)
            # An answer may always have half of the room.
            if room is None or len(prompt) + min(wanted, room // 2) <= room:
                break
            later = [i for i, m in enumerate(messages) if m["role"] == "user" and i]
            if not later:
                raise TooLong(
                    f"it has {len(prompt)} tokens with its context, but at most "
                    f"{room - min(wanted, room // 2)} leave room for a reply"
                )
            messages = messages[later[0] :]
        self.dropped = len(self.messages) - len(messages)
        return prompt, wanted if room is None else min(wanted, room - len(prompt))

    def _encoded(self, messages: list[dict[str, Any]]) -> list[int]:
        return self.generator.encode([self._asked(messages)])[0]

    def _asked(self, messages: list[dict[str, Any]]) -> object:
        """The prompt of some messages: with what stands before all, or their texts end to end."""
        if self.generator.takes_messages:
            head = self.whole()[: len(self.whole()) - len(self.messages)]
            return asked(head + messages, self.tools)
        return "".join(m["content"] for m in messages)


def chat(
    run: str | Path,
    settings: Settings,
    *,
    system: str | None = None,
    tools: str | None = None,
    dtype: Dtype = "auto",
    guard: Guard | None = None,
) -> None:
    """Talk until the input ends.

    Args:
        run: A run folder, or a model in Hugging Face format.
        settings: How answers are written.
        system: What holds for the whole conversation.
        tools: A JSON file of the tools that the model may call.
        dtype: See `open_generator`.
        guard: Checks messages and answers.

    Raises:
        UserError: There is no model that could answer.
    """
    settings.require_sound(option)
    schemas = None if tools is None else read_tools(tools)
    generator = open_generator(run, dtype=dtype)
    if generator.is_whole:
        raise UserError(
            "this is a sequence-to-sequence model, which does not support a conversation",
            key="RUN",
            value=str(run),
            hint="Use it with: lushan generate RUN --prompt SOURCE.",
        )
    if system is not None and not generator.takes_messages:
        raise UserError("system messages need a chat template", key="--system", value=system)
    if tools is not None and not generator.takes_messages:
        raise UserError("tools need a chat template", key="--tools", value=tools)
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        Terminal(Conversation(generator, settings, system, schemas, guard)).talk()


class Terminal:
    """Reads messages and commands, and writes answers.

    Args:
        conversation: The conversation.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        with contextlib.suppress(AttributeError):  # what is no file has no encoding
            sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
        self.is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self.console = console(stderr=not self.is_terminal, highlight=False, soft_wrap=True)
        self.saved: set[Path] = set()
        self.images: list[Part] = []
        self._dropped = 0
        self._interrupted = False

    def talk(self) -> None:
        """Answer until the input ends, or the user ends it."""
        generator = self.conversation.generator
        if not generator.takes_messages:
            self.note(
                "this model has no chat template: it continues the whole text so far, yours and "
                "its own"
            )
        first = asked([{"role": "user", "content": ""}], self.conversation.tools)
        for note in unseen_notes(generator.unseen([first]).items()):
            self.note(note)
        if self.is_terminal:
            self.note("/help lists the commands; Ctrl-C stops a reply, Ctrl-D quits")
        while (line := self._read()) is not None:
            if not line.strip():
                continue
            if line.startswith("/") and not line.startswith("//"):
                if line.split()[0] in ("/exit", "/quit"):
                    return
                self._obey(line)
            else:
                self._answer(line.removeprefix("/") if line.startswith("//") else line)

    def note(self, text: str) -> None:
        """Print a note that is no part of the model's answer."""
        self.console.print(text, style="dim", markup=False)

    def _read(self) -> str | None:
        """The next line; None at the end, or after a second Ctrl-C."""
        if not self.is_terminal:
            line = sys.stdin.readline()
            return line.rstrip("\r\n") if line else None
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (its import gives `input` editing and a history)
        while True:
            try:
                line = input("\x01\x1b[1m\x02you:\x01\x1b[0m\x02 ")
            except EOFError:
                echo()
                return None
            except KeyboardInterrupt:
                echo()
                if self._interrupted:
                    return None
                self._interrupted = True
                self.note("press Ctrl-C again, or Ctrl-D, to quit")
                continue
            self._interrupted = False
            return line

    def _answer(self, message: str, role: str = "user") -> None:
        plain = not self.conversation.generator.takes_messages
        if self.is_terminal and not plain:
            self.console.print("it:", style="bold green", end=" ")
        with stoppable() as stopped:
            try:
                written = self.conversation.answer(
                    message,
                    show=Shown(leading=not plain),
                    cancelled=stopped,
                    role=role,
                    images=self.images,
                )
                self.images = []
            except TooLong as error:
                self.note(f"this message is too long: {error}")
                return
            except UserError as error:
                self.note(f"error: {error}")
                return
        echo()
        self._interrupted = stopped()
        if written.finish == "refused":
            self.note("refused by the guard: the message and the reply are not in the conversation")
        elif written.finish == "cancelled":
            self.note("stopped; press Ctrl-C again, or Ctrl-D, to quit")
        elif written.finish == "length" and self.is_terminal and not plain:
            self.note(f"cut off after {len(written.ids)} tokens")
        dropped = self.conversation.dropped
        if dropped != self._dropped and dropped:
            first = plural(dropped, "message is", "messages are")
            self.note(f"the conversation is too long: its first {first} dropped")
        self._dropped = dropped

    # Commands

    def _obey(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        rest = rest.strip()
        if command == "/help":
            self.note(HELP)
        elif command == "/reset":
            self.conversation.reset()
            self._dropped = 0
            self.note("started over")
        elif command == "/system":
            self._set_system(rest)
        elif command == "/tool":
            self._give_result(rest)
        elif command == "/image":
            self._show_image(rest)
        elif command == "/save":
            self._save(rest)
        else:
            self.note(f"unknown command {command}; /help lists the commands")

    def _set_system(self, text: str) -> None:
        if not self.conversation.generator.takes_messages:
            self.note("system messages need a chat template, but this model has none")
            return
        self.conversation.system = text or None
        self.note("set; used from the next reply on" if text else "taken back")

    def _give_result(self, text: str) -> None:
        if not self.conversation.generator.takes_messages:
            self.note("tools need a chat template, but this model has none")
        elif text:
            self._answer(text, role="tool")
        else:
            self.note("the result is missing: /tool TEXT")

    def _show_image(self, name: str) -> None:
        if not name:
            self.note("the file is missing: /image FILE")
            return
        try:
            generator = self.conversation.generator
            generator.require_images("/image")
            self.images += images_of(name, "/image", sampling_of(generator.place))
        except UserError as error:
            self.note(f"error: {error}")
            return
        self.note(f"{name} is attached to the next message")

    def _save(self, name: str) -> None:
        if not name:
            self.note("the file is missing: /save FILE")
            return
        path = Path(name).expanduser()
        if path.exists() and path not in self.saved:
            self.note(f"{path} exists already; choose another name")
            return
        try:
            tools = {"tools": self.conversation.tools} if self.conversation.tools else {}
            atomic_write(path, json_line({"messages": stored(self.conversation.whole()), **tools}))
        except (OSError, RunFailed) as error:
            self.note(f"error: {error}")
            return
        self.saved.add(path)
        self.note(f"saved: {path}")


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C stop what is done in a block, which asks for it; a second one ends all.

    Yields:
        Whether it was pressed.
    """
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        del frame
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before: Any = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
