"""Dialogues as a task: the loss on the assistant's turns alone, windows, generated answers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from transformers import GPT2Config, LlamaConfig

from lushan.config.binding import bind
from lushan.config.build import TARGET
from lushan.data.batch.loader import TrainingLoader
from lushan.data.batch.packing import best_fit, joined
from lushan.data.encode.encoding import encode
from lushan.data.messages import Message, message_lists, unpacked
from lushan.errors import UserError
from lushan.models import encoders
from lushan.tasks.batches import IGNORED, Limits
from lushan.tasks.chat import Chat
from lushan.text import chat as templates
from lushan.text import tokenizers

GPT2 = functools.partial(GPT2Config, n_embd=32, n_layer=2, n_head=2, n_positions=64)
LLAMA = functools.partial(
    LlamaConfig,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    intermediate_size=48,
    max_position_embeddings=64,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    texts = Chat.demo().train_texts
    folder = tmp_path_factory.mktemp("tokenizers")
    special = list(templates.NEEDS["chatml"])
    return tokenizers.train(
        "bpe", 300, min_frequency=1, special_tokens=special, texts=texts, cache_dir=folder
    )


def task(tokenizer: Any, **options: Any) -> Chat:
    made = Chat(**options)
    made.prepare(Chat.demo())
    tokenizer.chat_template = None  # another task has left its own
    made.use(tokenizer)
    return made


def model(made: Chat, tokenizer: Any, config: Any = LLAMA, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    encoder = encoders.fresh(
        config,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        special=made.special_ids(tokenizer),
        auto_class=made.auto_class,
        wrap=made.wrap,
    )
    return made.build(encoder).eval()


def features(
    made: Chat, tokenizer: Any, table: pa.Table, longest: int = 64
) -> list[dict[str, Any]]:
    found = made.encode(table.to_pydict(), 0, tokenizer, Limits(longest))
    rows = [
        {name: np.asarray(column[i]) for name, column in found.items()}
        for i in range(len(found["length"]))
    ]
    return made.transform(rows, 0)


def learned(made: Chat, net: Any, batch: Any, table: pa.Table) -> list[dict[str, Any]]:
    """What a model generates once it knows its few dialogues by heart."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        made.loss(net, batch).backward()
        optimizer.step()
    made.begin(table)
    return made.generate(net, batch)


def demo() -> pa.Table:
    return Chat.demo().splits["train"]


@pytest.mark.parametrize("name", ["plain", "chatml"])
def test_what_is_learned_is_what_the_assistant_says(name: str, tokenizer: Any) -> None:
    made = task(tokenizer, template=name)
    printed = [
        "".join(m["content"] for m in row if m["role"] == "assistant")
        for row in demo().column("messages").to_pylist()
    ]
    ends = []
    for row, text in zip(features(made, tokenizer, demo()), printed, strict=True):
        learned = row["labels"][row["labels"] != IGNORED]
        assert len(learned) == row["targets"]
        assert len(row["input_ids"]) == len(row["labels"]) == row["length"]
        ends.append(tokenizer.decode(learned[-1]))
        words = tokenizer.decode(learned).replace(ends[-1], "")
        assert words.replace(" ", "") == text.replace(" ", "")
    assert set(ends) == {"[SEP]" if name == "plain" else "<|im_end|>"}


def test_the_loss_is_that_of_the_learned_tokens(tokenizer: Any) -> None:
    """Against all logits, token by token."""
    made = task(tokenizer)
    net = model(made, tokenizer)
    for row in features(made, tokenizer, demo())[:3]:
        batch = made.collate([row])
        logits = net.encoder.model(input_ids=batch["input_ids"]).logits[0]
        each = F.cross_entropy(logits, batch["labels"][0], reduction="none", ignore_index=IGNORED)
        loss, records = made.predict(net, batch)
        torch.testing.assert_close(loss.float(), each.sum(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(made.loss(net, batch), each.sum(), rtol=1e-5, atol=1e-5)
        assert records[0]["tokens"] == row["targets"] == int((each > 0).sum())


def test_padding_and_packing_change_no_loss(tokenizer: Any) -> None:
    made = task(tokenizer)
    net = model(made, tokenizer)
    rows = features(made, tokenizer, demo())[:3]
    alone = sum(made.loss(net, made.collate([row])) for row in rows)
    padded = made.loss(net, made.collate(rows))
    packed = made.loss(net, made.collate([joined(rows)]))
    torch.testing.assert_close(padded, alone, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-4)


def test_perplexity_and_bits_are_ratios_over_the_split(tokenizer: Any) -> None:
    made = task(tokenizer, generate_examples=0)
    net = model(made, tokenizer)
    rows = features(made, tokenizer, demo())
    with torch.no_grad():
        loss, records = made.predict(net, made.collate(rows))
    metrics = made.evaluate(demo(), records, full=True).metrics
    tokens = sum(int(row["targets"]) for row in rows)
    size = sum(
        len(m["content"].encode())
        for row in demo().column("messages").to_pylist()
        for m in row
        if m["role"] == "assistant"
    )
    assert metrics["perplexity"] == pytest.approx(float(torch.exp(loss / tokens)))
    assert metrics["bits_per_byte"] == pytest.approx(float(loss) / np.log(2) / size)
    assert set(metrics) | {"loss"} == set(Chat.measures({"generate_examples": 0}, {}))


def test_a_dialogue_in_windows_has_one_record(tokenizer: Any) -> None:
    made = task(tokenizer)
    net = model(made, tokenizer)
    table = demo().take([0, 2, 3, 5])
    rows, whole = features(made, tokenizer, table, 20), features(made, tokenizer, table)
    assert len(rows) == table.num_rows + 2
    assert max(int(row["length"]) for row in rows) <= 20
    for name in ("bytes", "targets"):
        assert sum(int(r[name]) for r in rows) == sum(int(r[name]) for r in whole)
    with torch.no_grad():
        _, records = made.predict(net, made.collate(rows))
    evaluation = made.evaluate(table, records, full=True)
    assert [r["id"] for r in evaluation.records] == table.column("id").to_pylist()
    assert made.count(made.encode(table.to_pydict(), 0, tokenizer, Limits(20)))["split"] == 2


def test_what_is_cut_is_counted_with_the_bytes_that_are_left(tokenizer: Any) -> None:
    made = task(tokenizer)
    found = made.encode(demo().to_pydict(), 0, tokenizer, Limits(4))
    assert max(found["length"]) <= 4
    assert made.count(found)["cut"] == sum(found["cut"]) > 0
    assert min(found["targets"]) > 0
    for tokens, turns, size in zip(found["tokens"], found["turns"], found["bytes"], strict=True):
        text = tokenizer.decode(tokens[turns[0] : turns[1]], skip_special_tokens=True).strip()
        assert size == len(text.encode())


def test_disguised_control_tokens_are_counted(tokenizer: Any) -> None:
    made = task(tokenizer)
    rows = {
        "messages": [
            [{"role": "user", "content": "a [SEP] b"}, {"role": "assistant", "content": "c"}]
        ]
    }
    assert made.count(made.encode(rows, 0, tokenizer, Limits(64)))["disguised"] == 1


def test_a_dialogue_that_the_template_refuses_is_named(tokenizer: Any, tmp_path: Any) -> None:
    path = tmp_path / "strict.jinja"
    refuse = "{% if messages[0].role == 'assistant' %}{{ raise_exception('no') }}{% endif %}"
    path.write_text(refuse + templates.read("chatml"), encoding="utf-8")
    made = task(tokenizer, template=str(path))
    with pytest.raises(UserError) as caught:
        made.encode(demo().to_pydict(), 0, tokenizer, Limits(64))
    assert caught.value.file == "demo"
    assert caught.value.line == 3
    assert "it says: no" in caught.value.problem


def test_the_template_is_kept(tokenizer: Any, tmp_path: Any) -> None:
    made = task(tokenizer, template="chatml")
    again = Chat(template="chatml")
    again.restore(made.state())
    assert tokenizer.chat_template == templates.read("chatml")
    again.use(tokenizer)
    assert again.options() == made.options()
    other = task(tokenizer, template="plain")
    assert other.options() != made.options()


# Generation


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_answers_do_not_depend_on_the_batch(config: Any, tokenizer: Any) -> None:
    """Padding on the left is no part of a dialogue."""
    made = task(tokenizer, max_new_tokens=8)
    net = model(made, tokenizer, config)
    prompts = [made.template.prompt(row[:-1]) for row in demo().column("messages").to_pylist()[:3]]
    assert len({len(prompt) for prompt in prompts}) > 1
    together = made.answer(net, prompts)
    assert not any(row["shortened"] for row in together)
    assert together == [made.answer(net, [prompt])[0] for prompt in prompts]


@pytest.mark.parametrize("which", ["last", "any"])
def test_it_is_asked_by_what_stands_before_the_turn(
    which: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = task(tokenizer, generate_turn=which)
    printed = [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")] * 4
    messages = [{"role": role, "content": f"{text} {i}"} for i, (role, text) in enumerate(printed)]
    table = pa.table({"id": list("abcdef"), "messages": [messages] * 6})
    made.begin(table)
    rows = features(made, tokenizer, table, 40)
    assert len(rows) > table.num_rows
    asked: list[list[int]] = []

    def answer(net: Any, prompts: list[list[int]], media: Any) -> list[dict[str, Any]]:
        asked.extend(prompts)
        return [{"generated": "x", "shortened": False}] * len(prompts)

    monkeypatch.setattr(made, "answer", answer)
    batch = made.collate(rows)
    found = made.generate(None, batch)
    records = [
        {"example": int(row["example"]), "loss": 1.0, "tokens": 1, "hits": 0} | more
        for row, more in zip(rows, found, strict=True)
    ]
    gold = [record["gold"] for record in made.join(table, records)]
    assert len(asked) == table.num_rows  # one a dialogue, however many windows it has
    assert (len(set(gold)) == 1) == (which == "last")
    for prompt, text in zip(asked, gold, strict=True):
        place = next(i for i, m in enumerate(messages) if m["content"] == text)
        if which == "last":
            assert place == len(messages) - 1
        whole = made.template.prompt(messages[:place])
        assert prompt[0] == whole[0]
        assert prompt[1:] == whole[len(whole) - len(prompt) + 1 :]


def test_a_sample_of_fixed_size(tokenizer: Any) -> None:
    made, again = (task(tokenizer, generate_examples=4) for _ in range(2))
    table = demo()
    made.begin(table)
    again.begin(table)
    assert made.sample == again.sample
    assert made.sample is not None
    assert len(made.sample) == 4
    assert not task(tokenizer, generate_examples=0).generates


def test_generated_turns_are_compared(tokenizer: Any) -> None:
    made = task(tokenizer)
    table = demo()
    records = [
        {"example": i, "loss": 1.0, "tokens": 2, "hits": 1, "bytes": 3}
        for i in range(table.num_rows)
    ]
    records[0]["generated"] = "four"
    records[1]["generated"] = "明月"
    evaluation = made.evaluate(table, records, full=True)
    assert evaluation.metrics["exact_match"] == 0.5
    assert set(evaluation.metrics) == set(Chat.measures({}, {}))
    assert evaluation.records[0]["predicted"] == evaluation.records[0]["gold"] == "four"
    assert "predicted" not in evaluation.records[2]
    assert [row["bytes"] for row in evaluation.records] == [3] * table.num_rows
    assert evaluation.notes[0] == "the last turn of 2 dialogues was generated"


@pytest.mark.slow
def test_it_learns_to_answer_and_to_stop(tokenizer: Any) -> None:
    made = task(tokenizer, max_new_tokens=16)
    net = model(made, tokenizer, functools.partial(GPT2, resid_pdrop=0.0, embd_pdrop=0.0))
    table = demo().slice(0, 3)
    batch = made.collate(features(made, tokenizer, table))
    printed = learned(made, net, batch, table)
    assert [row["generated"] for row in printed] == ["four", "明月几时有", "good bye"]


def test_a_prompt_that_leaves_no_room_is_cut(tokenizer: Any) -> None:
    made = task(tokenizer, max_new_tokens=100)
    net = model(made, tokenizer, GPT2)  # which reads 64 tokens
    long, short = made.answer(net, [[5] * 64, [5] * 32])
    assert long["shortened"]
    assert not short["shortened"]
    assert isinstance(long["generated"], str)


@pytest.mark.parametrize(("key", "value"), [("generate_examples", -1), ("max_new_tokens", 0)])
def test_wrong_numbers(key: str, value: int) -> None:
    with pytest.raises(UserError) as caught:
        bind("task", {TARGET: "lushan.tasks.chat.Chat", key: value})
    assert caught.value.key == f"task.{key}"


def test_a_metric_of_generated_text_makes_validation_generate() -> None:
    assert not Chat().generates_in_validation
    assert Chat(monitor="bleu").generates_in_validation
    assert Chat.measures({}, {})["bleu"].higher_is_better
    # The checkpoint that repeats itself least is the best, as a search has it.
    assert Chat.measures({}, {})["repetition"].higher_is_better is False


# Weights, and fields of messages


CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


def weighed(*weights: float, **fields: Any) -> pa.Table:
    """A dialogue with a turn of each weight; the fields are the last one's."""
    messages = []
    for number, weight in enumerate(weights):
        messages.append(Message("user", f"one {number}"))
        more = {"weight": weight} if weight != 1 else {}
        more |= fields if number == len(weights) - 1 else {}
        messages.append(Message("assistant", f"two {number} three", more))
    table = {"id": ["a"], "messages": message_lists([messages]), "line": [1], "file": ["a"]}
    return pa.table(table)


def losses(made: Chat, net: Any, table: pa.Table, tokenizer: Any) -> tuple[float, Any]:
    """The loss that is learned, and the record that is evaluated."""
    batch = made.collate(features(made, tokenizer, table))
    with torch.no_grad():
        loss, (record,) = made.predict(net, batch)
        torch.testing.assert_close(made.loss(net, batch), loss.float(), rtol=1e-5, atol=1e-5)
    return float(loss), record


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_weights_multiply_the_losses_of_their_turns(config: Any, tokenizer: Any) -> None:
    made = task(tokenizer, generate_examples=0)
    net = model(made, tokenizer, config)
    whole, all_of_it = losses(made, net, weighed(1, 1), tokenizer)
    first, of_first = losses(made, net, weighed(1, 0), tokenizer)
    last, of_last = losses(made, net, weighed(0, 1), tokenizer)
    assert first + last == pytest.approx(whole, rel=1e-5)
    assert of_first["tokens"] + of_last["tokens"] == all_of_it["tokens"]
    mixed, record = losses(made, net, weighed(0.25, 2), tokenizer)
    assert mixed == pytest.approx(0.25 * first + 2 * last, rel=1e-5)
    assert record["tokens"] == 0.25 * of_first["tokens"] + 2 * of_last["tokens"]
    evaluation = made.evaluate(weighed(0.25, 2), [record], full=True)
    assert evaluation.metrics["loss"] == pytest.approx(mixed / record["tokens"])
    assert evaluation.records[0]["tokens"] == record["tokens"]
    bits = mixed / np.log(2) / round(0.25 * len("two 0 three") + 2 * len("two 1 three"))
    assert evaluation.metrics["bits_per_byte"] == pytest.approx(bits)


def test_a_weight_that_all_share_changes_no_mean(tokenizer: Any, tmp_path: Any) -> None:
    """The sum is divided by the weights' sum, also where it is less than 1."""
    made = task(tokenizer, generate_examples=0)
    net = model(made, tokenizer)
    means = []
    for weight in (1, 0.01):
        table = pa.concat_tables([weighed(weight, weight)] * 2)
        encoder = functools.partial(made.encode, processor=tokenizer, limits=Limits(64))
        encoded = encode(table, encoder, made.schema, fingerprint=str(weight), cache_dir=tmp_path)
        collate = made.collate
        draw = functools.partial(made.transform, seed=0)
        packed = best_fit(encoded.lengths, 200)
        loader = TrainingLoader(encoded, [np.array([0])], collate, draw=draw, rows=packed)
        (batch,) = loader
        assert len(packed) == 1
        means.append(float(made.loss(net, batch["micro"][0]).detach()) / batch["targets"])
    assert means[0] == pytest.approx(means[1], rel=1e-5)


def test_turns_that_are_not_learned_are_not_generated(tokenizer: Any) -> None:
    made = task(tokenizer)
    table = weighed(1, 1, 0)
    (row,) = features(made, tokenizer, table)
    start = int(row["asked"])
    printed = made.template.prompt(unpacked(table.column("messages")[0].as_py())[:3])
    assert row["input_ids"][:start].tolist() == printed
    records = [{"example": 0, "loss": 1.0, "tokens": 1, "hits": 0, "generated": "x"}]
    assert made.join(table, records)[0]["gold"] == "two 1 three"


def test_a_generated_call_is_compared_with_the_call(tokenizer: Any) -> None:
    made = task(tokenizer)
    records = [{"example": 0, "loss": 1.0, "tokens": 1, "hits": 0, "generated": "x", "bytes": 1}]
    table = weighed(1, tool_calls=[CALL])
    (row,) = made.join(table, records)
    assert row["gold"].startswith("two 0 three")
    assert '"arguments": {"a": 1}' in row["gold"]
    (shown,) = made.present(table, [row])
    assert shown["messages"][1]["tool_calls"] == [CALL]
    (feature,) = features(made, tokenizer, table, 200)
    assert int(feature["bytes"]) == len(row["gold"].encode())


def test_fields_that_the_template_does_not_show_are_reported(tokenizer: Any) -> None:
    made = task(tokenizer)
    table = pa.concat_tables([weighed(1, mood="good", reasoning_content="why")] * 3)
    counts = made.count(made.encode(table.to_pydict(), 0, tokenizer, Limits(64)))
    assert {k: n for k, n in counts.items() if "unseen" in k} == {"unseen mood": 3}
    assert list(made.encoding_notes("train", counts)) == [
        "train: the chat template does not show mood (3 times)"
    ]


NEWLINE = """{% for message in messages %}{% if message['role'] == 'assistant' %}\
<|im_start|>assistant
{% generation %}{{ message['content'] }}<|im_end|>
{% endgeneration %}{% else %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def test_it_stops_by_a_template_with_white_space_behind_the_end(
    tokenizer: Any, tmp_path: Any
) -> None:
    path = tmp_path / "nl.jinja"
    path.write_text(NEWLINE, encoding="utf-8")
    made = task(tokenizer, template=str(path), max_new_tokens=16)
    net = model(made, tokenizer, functools.partial(GPT2, resid_pdrop=0.0, embd_pdrop=0.0))
    table = demo().slice(0, 3)
    rows = features(made, tokenizer, table)
    batch = made.collate(rows)
    printed = learned(made, net, batch, table)
    with torch.no_grad():
        _, records = made.predict(net, batch)
    records = [{**r, **s} for r, s in zip(records, printed, strict=True)]
    assert made.evaluate(table, records, full=False).metrics["exact_match"] == 1.0
