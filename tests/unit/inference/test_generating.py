"""`lushan generate`: prompts in, texts out."""

import io
import json

import pytest

from lushan.cli.models import unescaped
from lushan.common.terminal import visible
from lushan.data.fields import DIALOGUES, DOCUMENTS, PAIRS
from lushan.errors import UserError
from lushan.inference.dialogues import asked
from lushan.inference.generator import open_generator
from lushan.inference.prompt_files import Prompt, as_taken, read_prompts
from lushan.models.decoding import Settings

PROMPTS = ["the film", "明月", "two hours I will not get back", ""]


@pytest.fixture(scope="module")
def generator(lm_run):
    return open_generator(lm_run)


def records(done):
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.split("\n")[:-1]]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    lines = [json.dumps({"id": f"p{i}", "prompt": p}) + "\n" for i, p in enumerate(PROMPTS)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


DRAWN = ("-n", 12, "--temperature", 0.8, "--top-p", 0.95)


def test_the_same_command_the_same_text_and_another_seed_another(lm_run, cli_inside):
    first, again, other = (
        cli_inside("generate", lm_run, "--prompt", "the film", *DRAWN, "--seed", seed)
        for seed in (1, 1, 2)
    )
    assert first.code == 0, first.err
    assert first.out == again.out != other.out
    assert first.out.startswith("the film")


@pytest.mark.slow
def test_in_a_file_of_prompts_each_has_the_text_that_it_has_alone(lm_run, cli_inside, prompts):
    together = records(cli_inside("generate", lm_run, "--input", prompts, *DRAWN))
    assert [r["id"] for r in together] == ["p0", "p1", "p2", "p3"]
    assert [r["prompt"] for r in together] == PROMPTS
    for record in together:
        ways = ["--prompt", record["prompt"], *DRAWN, "--output", "-"]
        (alone,) = records(cli_inside("generate", lm_run, *ways))
        assert alone["text"] == record["text"]
        assert alone["tokens"] == record["tokens"]
        shown = cli_inside("generate", lm_run, *ways[:-2])
        assert shown.out == visible(f"{record['prompt']}{record['text']}\n")


def test_samples_and_beams(lm_run, cli_inside):
    ways = ["--prompt", "the", "-n", 8, "--num-samples", 3]
    several = records(cli_inside("generate", lm_run, *ways, "--output", "-"))
    assert [r["sample"] for r in several] == [0, 1, 2]
    assert len({r["text"] for r in several}) > 1
    shown = cli_inside("generate", lm_run, *ways)
    for number, record in enumerate(several, start=1):
        assert visible(f"--- {number} of 3\nthe{record['text']}\n") in shown.out
    beams = cli_inside(
        *("generate", lm_run, *ways, "--beams", 3, "--temperature", 0.5, "--output", "-")
    )
    assert len(records(beams)) == 3
    assert "note: without sampling, these options have no effect: --temperature" in beams.err


def test_stop_strings(lm_run, cli_inside):
    ways = ["--prompt", "the", "-n", 20, "--seed", 3, "--output", "-"]
    (free,) = records(cli_inside("generate", lm_run, *ways))
    stop = free["text"][1:3]
    assert stop
    (found,) = records(cli_inside("generate", lm_run, *ways, "--stop", "never", "--stop", stop))
    assert found["text"] == free["text"][: free["text"].index(stop)]
    assert found["finish_reason"] == "stop"


def test_what_a_shell_leaves_as_it_is_written():
    assert unescaped(r"\n") == "\n"
    assert unescaped(r"a\tb\\n\x") == "a\tb\\n\\x"


def test_lines_of_standard_input_and_a_file_that_appears_whole(
    lm_run, cli_inside, tmp_path, monkeypatch
):
    lines = io.TextIOWrapper(io.BytesIO("the film\n明月\n".encode()))
    monkeypatch.setattr("sys.stdin", lines)
    done = cli_inside("generate", lm_run, "--input", "-", "--output", "out.jsonl", "-n", 4)
    assert done.code == 0, done.err
    assert "2 prompts, 2 texts, 8 tokens" in done.err or "2 prompts, 2 texts" in done.err
    written = (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["prompt"] for line in written[:-1]] == ["the film", "明月"]


def test_a_prompt_beyond_the_positions_is_refused_with_its_line(lm_run, cli_inside, tmp_path):
    long = "the film " * 600
    done = cli_inside("generate", lm_run, "--prompt", long, "-n", 4)
    assert done.code == 2
    assert "tokens, but the limit of prompt and generated text together is 512" in done.err
    (tmp_path / "p.txt").write_text(f"the\n{long}\n")
    done = cli_inside("generate", lm_run, "--input", "p.txt", "-n", 4)
    assert done.code == 2
    assert "p.txt:2" in done.err


def test_a_text_ends_where_the_positions_end_and_that_is_reported(lm_run, cli_inside, generator):
    nearly = "the film " * 120
    length = len(generator.encode([nearly])[0])
    assert 400 < length < 505
    done = cli_inside(
        "generate", lm_run, "--prompt", nearly, "-n", 200, "--output", "-", "--greedy"
    )
    (record,) = records(done)
    assert len(record["tokens"]) <= 512 - length
    assert "note: 1 of 1 prompts leave room for fewer than 200 tokens" in done.err


@pytest.mark.parametrize(
    ("ways", "printed"),
    [
        ([], "--prompt"),
        (["--prompt", "a", "--temperature", "-1"], "--temperature"),
        (["--prompt", "a", "--top-p", "2"], "--top-p"),
        (["--prompt", "a", "--max-new-tokens", "0"], "--max-new-tokens"),
        (["--prompt", "a", "--greedy", "--num-samples", "2"], "--num-samples"),
        (["--prompt", "a", "--batch-size", "0"], "--batch-size"),
        (["--prompt", "a", "--dtype", "fp8"], "--dtype"),
        (["--input", "none.jsonl"], "none.jsonl"),
        (["--input", "-", "--format", "csv"], "--format"),
    ],
)
def test_mistakes(lm_run, cli_inside, ways, printed):
    done = cli_inside("generate", lm_run, *ways)
    assert done.code == 2
    assert printed in done.err
    assert "Traceback" not in done.err


def test_a_run_that_only_reads_is_refused(ner_run, cli_inside, tmp_path):
    done = cli_inside("generate", ner_run, "--prompt", "Anna")
    assert done.code == 2
    assert "does not generate text" in done.err
    assert "lushan predict" in done.err
    assert cli_inside("generate", "nowhere-at-all/x y", "--prompt", "a").code == 2
    (tmp_path / "empty").mkdir()
    assert cli_inside("generate", "empty", "--prompt", "a").code == 2


def test_a_chat_run_answers_by_its_template_or_goes_on_raw(chat_run, cli_inside):
    ways = ["-n", 8, "--greedy", "--output", "-"]
    (printed,) = records(cli_inside("generate", chat_run, "--prompt", "Thank you .", *ways))
    assert printed["prompt"] == [{"role": "user", "content": "Thank you ."}]
    content = ["--system", "Answer ."]
    (other,) = records(cli_inside("generate", chat_run, "--prompt", "Thank you .", *ways, *content))
    assert other["prompt"][0] == {"role": "system", "content": "Answer ."}
    (raw,) = records(cli_inside("generate", chat_run, "--prompt", "Thank you .", *ways, "--raw"))
    assert raw["prompt"] == "Thank you ."


@pytest.mark.slow
def test_a_source_is_answered_as_it_was_evaluated_by_default(pairs_run, cli_inside):
    first, again, drawn, other = (
        records(cli_inside("generate", pairs_run, "--prompt", "one two", "--output", "-", *ways))
        for ways in ([], ["--seed", 2], ["--temperature", 1.5], ["--temperature", 1.5, "--seed", 2])
    )
    assert first == again  # nothing is drawn
    assert len(first[0]["tokens"]) <= 64  # task.decoding
    assert drawn != other


def test_a_source_that_is_too_long_is_cut_and_that_is_reported(pairs_run, cli_inside):
    done = cli_inside("generate", pairs_run, "--prompt", "one two " * 600, "-n", 4)
    assert done.code == 0, done.err
    assert "note: 1 of 1 sources were truncated at the end" in done.err


def test_bf16_weights(lm_run, cli_inside):
    (record,) = records(
        cli_inside("generate", lm_run, "--prompt", "a", "-n", 4, "--dtype", "bf16", "--output", "-")
    )
    assert record["tokens"]


# Prompts


def test_prompts_of_json_lines(tmp_path):
    path = tmp_path / "p.jsonl"
    messages = [{"role": "user", "content": "hi", "more": 1}]
    path.write_text(json.dumps({"messages": messages, "id": 7}) + "\n")
    (prompt,) = read_prompts(path, DIALOGUES)
    assert prompt.id == "7"
    assert as_taken(prompt, DIALOGUES) == messages
    path.write_text('{"source": ["One.", "Two."]}\n')
    (prompt,) = read_prompts(path, PAIRS)
    assert as_taken(prompt, PAIRS) == "One. Two."
    assert prompt.id == "p.jsonl:1"


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ('{"prompt": 3}', DOCUMENTS),
        (r'{"prompt": "half \ud83d"}', DOCUMENTS),
        (r'{"messages": [{"role": "user", "content": "\ud83d"}]}', DIALOGUES),
        ('{"prompt": [1]}', PAIRS),
        ('{"messages": []}', DIALOGUES),
        ('{"messages": [{"role": "king", "content": "hi"}]}', DIALOGUES),
        ('{"messages": [{"role": "user", "content": 3}]}', DIALOGUES),
    ],
)
def test_a_prompt_that_is_none_is_refused_with_its_line(tmp_path, line, fields):
    path = tmp_path / "p.jsonl"
    path.write_text(f"{line}\n")
    (prompt,) = read_prompts(path, fields)
    with pytest.raises(UserError) as caught:
        as_taken(prompt, fields)
    assert caught.value.line == 1


def test_a_file_without_a_field_of_prompts(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"promt": "a"}\n')
    with pytest.raises(UserError, match="prompt"):
        read_prompts(path, DOCUMENTS)
    path.write_text("\n")
    with pytest.raises(UserError, match="no prompt"):
        read_prompts(path, DOCUMENTS, "txt")


def test_a_batch_is_as_large_as_is_asked(generator, monkeypatch):
    sizes = []
    from lushan.inference import generator as writing

    original = writing.generate

    def counted(model, prompts, *args, **options):
        sizes.append(len(prompts))
        return original(model, prompts, *args, **options)

    monkeypatch.setattr(writing, "generate", counted)
    ids = generator.encode(["a", "bb", "the film", "x"])
    generator.write(ids, Settings(max_new_tokens=2, num_samples=2), batch_size=4)
    assert sizes == [2, 2]


def test_a_prompt_is_what_the_model_was_trained_on(generator):
    tokenizer = generator.tokenizer
    (ids,) = generator.encode(["the film"])
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in ids
    assert as_taken(Prompt("0", "a", {}), DOCUMENTS) == "a"


# Tools, and fields of messages


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}


def test_tools_are_part_of_the_prompt(chat_run, cli_inside, tmp_path):
    (tmp_path / "tools.json").write_text(json.dumps([TOOL["function"]]))
    rows = [
        {"messages": [{"role": "user", "content": "hi"}]},
        {"prompt": "hi", "tools": json.dumps([{"name": "add"}])},
    ]
    (tmp_path / "p.jsonl").write_text(json.dumps(rows[0]) + "\n")
    (tmp_path / "q.jsonl").write_text(json.dumps(rows[1]) + "\n")
    ways = ("-n", 2, "--greedy", "--output", "-", "--tools", "tools.json")
    (own,) = records(cli_inside("generate", chat_run, "--input", "q.jsonl", *ways))
    assert [tool["function"]["name"] for tool in own["tools"]] == ["add"]
    (given,) = records(cli_inside("generate", chat_run, "--input", "p.jsonl", *ways))
    assert given["tools"] == [TOOL]
    generator = open_generator(chat_run)
    bare, with_tools = generator.encode([given["prompt"], asked(given["prompt"], [TOOL])])
    assert "weather" in generator.tokenizer.decode(with_tools)
    assert len(with_tools) > len(bare)


def test_calls_and_results_are_part_of_the_prompt(tmp_path, chat_run):
    path = tmp_path / "p.jsonl"
    row = [
        {"from": "human", "value": "hi"},
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"from": "observation", "value": "3 degrees"},
    ]
    path.write_text(json.dumps({"messages": row}) + "\n")
    (prompt,) = read_prompts(path, DIALOGUES)
    messages = as_taken(prompt, DIALOGUES)
    assert messages[1] == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    generator = open_generator(chat_run)
    text = generator.tokenizer.decode(generator.encode([messages])[0])
    assert "Oslo" in text
    assert "None" not in text
    mood = [{"role": "user", "content": "hi", "mood": "good"}]
    assert generator.unseen([mood, asked(messages, [TOOL])]) == {"mood": 1}


@pytest.mark.parametrize("text", ["[", '["weather"]', "[]"])
def test_what_are_no_tools(text, chat_run, cli_inside, tmp_path):
    (tmp_path / "tools.json").write_text(text)
    done = cli_inside("generate", chat_run, "--prompt", "a", "--tools", "tools.json")
    assert done.code == 2
    assert "--tools" in done.err


def test_tools_without_a_template_are_refused(lm_run, cli_inside, tmp_path):
    (tmp_path / "tools.json").write_text(json.dumps([TOOL]))
    done = cli_inside("generate", lm_run, "--prompt", "a", "--tools", "tools.json")
    assert done.code == 2
    assert "tools need a chat template" in done.err
