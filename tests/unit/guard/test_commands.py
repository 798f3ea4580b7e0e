"""`lushan generate` and `lushan chat` under a guard, with the runs of other tests."""

import io
import json

import pytest

from lushan.errors import UserError
from lushan.guard import Guard
from lushan.inference import batch_generate, guarding
from lushan.inference.chat_session import Conversation
from lushan.inference.generator import open_generator
from lushan.models.decoding import Settings

PHONE = "13800138000"


@pytest.fixture(scope="module")
def generator(chat_run):
    return open_generator(chat_run)


def test_a_run_guards_by_its_validation_split(reviews_run, cli_inside, lm_run):
    labels = json.loads((reviews_run / "task.json").read_text())["state"]["labels"]
    ways = ("--guard", reviews_run, "--guard-label", labels[0], "--guard-rate", 0.6)
    done = cli_inside("generate", lm_run, "--prompt", "the film", "-n", 4, *ways)
    assert done.code == 0, done.err
    assert f"note: guard: unsafe is {labels[0]!r} above" in done.err
    unnamed = cli_inside("generate", lm_run, "--prompt", "a", "--guard", reviews_run)
    assert unnamed.code == 2
    assert labels[0] in unnamed.err
    assert "--guard-label" in unnamed.err


def test_options_without_a_guard(cli_inside, lm_run):
    done = cli_inside("generate", lm_run, "--prompt", "a", "--guard-rate", 0.1)
    assert done.code == 2
    assert "requires --guard" in done.err


def test_a_run_of_another_task_is_no_guard(ner_run, cli_inside, lm_run):
    done = cli_inside("generate", lm_run, "--prompt", "a", "--guard", ner_run)
    assert done.code == 2, done.err


def test_a_text_that_is_too_long_counts_by_its_worst_part(reviews_run):
    labels = json.loads((reviews_run / "task.json").read_text())["state"]["labels"]
    found = guarding.calibrate(reviews_run, label=labels[0], rate=0.6)
    scores = guarding._Scores(reviews_run, found)
    parts = ["a fine film " * 3, "a dull story " * 3]
    long = scores([" ".join(parts * 60)])
    assert 0 <= long[0] <= 1
    assert long[0] >= min(scores(parts)) - 0.2


def refusing(word):
    return Guard(lambda texts: [float(word in text) for text in texts])


def talk(generator, guard, *messages):
    conversation = Conversation(generator, Settings(max_new_tokens=8, greedy=True), guard=guard)
    shown = []
    return conversation, [conversation.answer(m, show=shown.append) for m in messages], shown


def test_a_message_that_is_refused_is_not_answered_nor_kept(generator):
    guard = refusing("forbidden")
    conversation, (first, second), shown = talk(generator, guard, "forbidden thing", "hello")
    assert (first.finish, first.text, first.ids) == ("refused", guard.refusal, [])
    assert second.finish != "refused"
    assert conversation.messages[0]["content"] == "hello"
    assert "".join(shown).startswith(guard.refusal)


def test_an_answer_that_is_refused_is_neither_shown_nor_kept(generator):
    _, (plain,), _ = talk(generator, None, "Good morning .")
    assert plain.text.strip()
    seen = []

    def score(texts):
        seen.append(list(texts))
        return [float(len(seen) > 1)] * len(texts)  # the message passes, the answer does not

    guard = Guard(score)
    conversation, (written,), shown = talk(generator, guard, "Good morning .")
    assert written.finish == "refused"
    assert "".join(shown).strip() == guard.refusal
    assert conversation.messages == []


def test_a_guard_that_raises_refuses(generator):
    def score(texts):
        raise RuntimeError("no model")

    _, (written,), shown = talk(generator, Guard(score), "hello")
    assert written.finish == "refused"
    assert shown == [Guard(None).refusal]


def test_what_passes_is_the_same_as_without_a_guard(generator):
    _, (plain,), shown = talk(generator, None, "Good morning .")
    _, (guarded,), through = talk(generator, refusing("\0"), "Good morning .")
    assert guarded == plain
    assert "".join(through) == "".join(shown)


def test_personal_data_never_reach_the_model_or_the_file(generator, tmp_path, monkeypatch):
    asked = []
    before = generator.encode
    monkeypatch.setattr(
        generator, "encode", lambda prompts: asked.append(prompts) or before(prompts)
    )
    conversation, _, _ = talk(generator, Guard(None, redacts=True), f"call {PHONE}")
    assert conversation.messages[0]["content"] == "call [phone]"
    assert PHONE not in str(asked)


def test_records_have_no_personal_data(chat_run, tmp_path, cli_inside):
    (tmp_path / "in.jsonl").write_text(json.dumps({"prompt": f"my number is {PHONE}"}) + "\n")
    ways = ("--input", "in.jsonl", "--output", "out.jsonl", "-n", 4, "--redact")
    done = cli_inside("generate", chat_run, *ways)
    assert done.code == 0, done.err
    assert PHONE not in (tmp_path / "out.jsonl").read_text()
    assert "[phone]" in (tmp_path / "out.jsonl").read_text()
    assert "guard: 1 phone" in done.err


def test_refused_records_say_so(chat_run, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"prompt": "forbidden"}\n{"prompt": "hello"}\n')
    guard = refusing("forbidden")
    options = {"max_new_tokens": 4, "num_samples": 2}
    out = tmp_path / "out.jsonl"
    batch_generate.generate(chat_run, options, input=tmp_path / "in.jsonl", output=out, guard=guard)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["finish_reason"] == "refused" for row in rows] == [True, True, False, False]
    assert rows[0]["text"] == guard.refusal
    assert rows[0]["tokens"] == []


def test_a_stream_to_the_terminal_is_guarded(lm_run, capsys):
    guard = refusing("the film")
    batch_generate.generate(lm_run, {"max_new_tokens": 4}, prompts=["the film"], guard=guard)
    assert capsys.readouterr().out == f"{guard.refusal}\n"


def test_a_guard_of_images_is_refused():
    with pytest.raises(UserError, match="--guard"):
        batch_generate.require_no_dialogue(guard=True)


def test_chat_from_a_pipe(chat_run, reviews_run, cli_inside, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"I am {PHONE}\n/save talk.jsonl\n"))
    done = cli_inside("chat", chat_run, "-n", 4, "--greedy", "--redact")
    assert done.code == 0, done.err
    assert PHONE not in (done.cwd / "talk.jsonl").read_text()
