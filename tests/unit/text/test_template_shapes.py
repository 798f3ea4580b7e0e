"""Chat templates in the shapes that published ones have: what is learned, and where a turn ends."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lushan.errors import UserError
from lushan.text.chat import ChatTemplate, Unfit
from lushan.text.windows import windows

IM = ("<|im_start|>", "<|im_end|>")
USER = {"role": "user", "content": "hello"}
SAID = {"role": "assistant", "content": " hi there "}
DIALOGUE = [USER, SAID, {"role": "user", "content": "how are you ?"}, SAID | {"content": "fine"}]
SYSTEM = {"role": "system", "content": "be kind"}


@dataclasses.dataclass(frozen=True)
class Shape:
    """A template, and what it should give.

    Attributes:
        source: The Jinja text.
        control: Its tokens.
        stop: The one that ends a turn.
        learned: What is learned of each turn of `DIALOGUE`.
        alone: Whether each turn has a window of its own.
        system: Whether a system message is allowed.
    """

    source: str
    control: tuple[str, ...]
    stop: str
    learned: tuple[str, str]
    alone: bool = False
    system: bool = True


CHATML = """{% for m in messages %}<|im_start|>{{ m['role'] }}
{% if m['role'] == 'assistant' %}BLOCK{% else %}{{ m['content'] }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
UNMARKED = CHATML.replace("BLOCK", "{{ m['content'] }}<|im_end|>\n")
LLAMA = """{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] +
'<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""
MISTRAL = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{%- set system = messages[0]['content'] %}{% set messages = messages[1:] %}{% endif %}
{%- for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('roles must alternate') }}{% endif %}{% if m['role'] == 'user' %}
{%- if loop.last and system is defined %}
{{- '[INST] ' + system + '\n\n' + m['content'] + '[/INST]' }}
{%- else %}{{ '[INST] ' + m['content'] + '[/INST]' }}{% endif %}
{%- else %}{{ ' ' + m['content'] | trim + eos_token }}{% endif %}{% endfor %}"""
GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{{- raise_exception('System role not supported') }}{% endif %}{% for m in messages %}
{%- set role = 'model' if m['role'] == 'assistant' else m['role'] %}
{{- '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""
PHI = """{% for m in messages %}
{{- '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"""
QWEN3 = """{% set ns = namespace(last=0) %}{% for m in messages %}
{%- if m['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}
{%- if m['role'] == 'assistant' %}{% set content = m['content'] %}{% set thought = '' %}
{%- if '</think>' in content %}{% set thought = content.split('</think>')[0].split('<think>')[-1] %}
{%- set content = content.split('</think>')[-1] %}{% endif %}OPEN{% if loop.index0 > ns.last %}
{{- '<think>\n' + thought.strip() + '\n</think>\n\n' }}{% endif %}
{{- content.strip() + '<|im_end|>' }}CLOSE{{ '\n' }}
{%- else %}{{ m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
DEEPSEEK = """{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}
{{- m['content'] }}{% elif m['role'] == 'user' %}{{ '<|User|>' + m['content'] + '<|Assistant|>' }}
{%- else %}{{ m['content'] + '<|eos|>' }}{% endif %}{% endfor %}"""
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are kind.<|im_end|>\n"
    "{% endif %}" + UNMARKED
)
THOUGHTS = "<think>\n\n</think>\n\n"
PLAIN = (" hi there <|im_end|>", "fine<|im_end|>")
STRIPPED = ("hi there<|im_end|>", "fine<|im_end|>")


def chatml(block: str) -> Shape:
    return Shape(CHATML.replace("BLOCK", block), IM, "<|im_end|>", PLAIN)


def thinking(opening: str, closing: str) -> Shape:
    source = QWEN3.replace("OPEN", opening).replace("CLOSE", closing)
    learned = (THOUGHTS + STRIPPED[0], THOUGHTS + STRIPPED[1])
    return Shape(source, IM, "<|im_end|>", learned, alone=True)


SAY = "{{ m['content'] }}"
SHAPES = {
    "chatml": Shape(UNMARKED, IM, "<|im_end|>", PLAIN),
    "chatml, default system message": Shape(DEFAULT_SYSTEM, IM, "<|im_end|>", PLAIN),
    "llama": Shape(
        LLAMA,
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|eot_id|>",
        ("hi there<|eot_id|>", "fine<|eot_id|>"),
    ),
    "mistral": Shape(
        MISTRAL, ("[INST]", "[/INST]"), "[SEP]", (" hi there[SEP]", " fine[SEP]"), system=False
    ),
    "gemma": Shape(
        GEMMA,
        ("<start_of_turn>", "<end_of_turn>"),
        "<end_of_turn>",
        ("hi there<end_of_turn>", "fine<end_of_turn>"),
        system=False,
    ),
    "phi": Shape(
        PHI,
        ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        "<|end|>",
        (" hi there <|end|>", "fine<|end|>"),
    ),
    "deepseek": Shape(
        DEEPSEEK,
        ("<|User|>", "<|Assistant|>", "<|eos|>"),
        "<|eos|>",
        (" hi there <|eos|>", "fine<|eos|>"),
    ),
    "qwen, thinking": thinking("", ""),
    "qwen, thinking, marked": thinking("{% generation %}", "{% endgeneration %}"),
    "white space in the block": chatml(f"{{% generation %}}{SAY}<|im_end|>\n{{% endgeneration %}}"),
    "end behind the block": chatml(f"{{% generation %}}{SAY}{{% endgeneration %}}<|im_end|>\n"),
    "end within, line behind": chatml(
        f"{{% generation %}}{SAY}<|im_end|>{{% endgeneration %}}{{{{ '\n' }}}}"
    ),
    "header in the block": Shape(
        CHATML.replace("<|im_start|>{{ m['role'] }}\n{% if", "{% if", 1)
        .replace("{% else %}{{", "{% else %}<|im_start|>{{ m['role'] }}\n{{", 1)
        .replace(
            "BLOCK",
            "{% generation %}<|im_start|>assistant\n" + SAY + "<|im_end|>\n{% endgeneration %}",
        ),
        IM,
        "<|im_end|>",
        PLAIN,
    ),
    "half of the header in the block": Shape(
        CHATML.replace("<|im_start|>{{ m['role'] }}\n{% if", "<|im_start|>{{ m['role'] }}{% if", 1)
        .replace("{% else %}{{", "{% else %}{{ '\n' }}{{", 1)
        .replace("BLOCK", "{% generation %}{{ '\n' }}" + SAY + "<|im_end|>\n{% endgeneration %}"),
        IM,
        "<|im_end|>",
        PLAIN,
    ),
}


def made(shape: Shape, dialogue_tokenizer: Any) -> ChatTemplate:
    tokenizer = dialogue_tokenizer(control=list(shape.control))
    tokenizer.add_tokens(["<think>", "</think>"])  # which are not special, as Qwen has them
    return ChatTemplate(shape.source, tokenizer)


def learned(template: ChatTemplate, messages: Any) -> list[str]:
    """The text of what is learned, turn by turn."""
    parts = template.parts(messages)
    return [part.text[start:end] for part in parts for start, end in part.turns]


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_learned_and_where_it_ends(name: str, dialogue_tokenizer: Any) -> None:
    shape = SHAPES[name]
    template = made(shape, dialogue_tokenizer)
    assert learned(template, DIALOGUE) == list(shape.learned)
    stop = template.tokenizer.convert_tokens_to_ids(shape.stop)
    assert template.stops[0] == stop
    found = windows(template, [DIALOGUE], limit=10_000)[0]
    assert len(found) == (2 if shape.alone else 1)
    for window in found:
        for start, end in window.turns:
            assert window.ids[end - 1] == stop
            assert stop not in window.ids[start : end - 1]


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_learned_follows_the_prompt(name: str, dialogue_tokenizer: Any) -> None:
    """Token by token: else a model would be asked by tokens that it never saw."""
    shape = SHAPES[name]
    template = made(shape, dialogue_tokenizer)
    heads = [[], [SYSTEM]] if shape.system else [[]]
    for head in heads:
        messages = [*head, *DIALOGUE]
        found = windows(template, [messages], limit=10_000)[0]
        turns = [(window.ids, span) for window in found for span in window.turns]
        places = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        for place, (ids, (start, _)) in zip(places, turns, strict=True):
            assert template.prompt(messages[:place]) == ids[:start]


def test_a_system_message_may_be_refused(dialogue_tokenizer: Any) -> None:
    template = made(SHAPES["gemma"], dialogue_tokenizer)
    with pytest.raises(Unfit, match="System role not supported"):
        template.encode([[SYSTEM, *DIALOGUE]])


def test_a_system_message_that_is_only_in_prompts_is_refused(dialogue_tokenizer: Any) -> None:
    """Mistral writes it before the last question if nothing follows, and else not at all."""
    template = made(SHAPES["mistral"], dialogue_tokenizer)
    with pytest.raises(Unfit, match="not a prefix of the rendered dialogue: it has 'be kind"):
        template.encode([[SYSTEM, *DIALOGUE]])


def test_reasoning_is_learned_where_the_model_would_write_it(dialogue_tokenizer: Any) -> None:
    """Qwen leaves it out of earlier turns, which are then read without it."""
    for name in ("qwen, thinking", "qwen, thinking, marked"):
        template = made(SHAPES[name], dialogue_tokenizer)
        thought = {"role": "assistant", "content": "<think>\nwhy\n</think>\n\nhi"}
        found = windows(template, [[USER, thought, *DIALOGUE[2:]]], limit=10_000)[0]
        texts = [template.tokenizer.decode(window.ids) for window in found]
        assert learned(template, [USER, thought, *DIALOGUE[2:]]) == [
            "<think>\nwhy\n</think>\n\nhi<|im_end|>",
            f"{THOUGHTS}fine<|im_end|>",
        ]
        assert "why" not in texts[1]
        think = template.tokenizer.convert_tokens_to_ids("<think>")
        assert [window.ids.count(think) for window in found] == [1, 1]


def test_windows_of_a_template_that_rewrites_are_bounded(dialogue_tokenizer: Any) -> None:
    template = made(SHAPES["qwen, thinking"], dialogue_tokenizer)
    messages = DIALOGUE * 5
    whole, found = (windows(template, [messages], limit=n)[0] for n in (10_000, 60))
    assert max(len(window.ids) for window in found) <= 60 < max(len(w.ids) for w in whole)
    printed = [[w.ids[a:b] for w in several for a, b in w.turns] for several in (whole, found)]
    assert len(printed[0]) == 10
    assert printed[0] == printed[1]


UNUSABLE = {
    "no end at all": (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        "no end token",
    ),
    "no end, marked": (
        "{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}{% generation %}"
        "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        "no end token",
    ),
    "an end that the tokenizer lacks": (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|my_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        "with <|my_end|>, which is not a token of the tokenizer; train one with "
        '\'processor.special_tokens=["<|user|>","<|my_end|>","<|assistant|>"]\'',
    ),
    "no prompt": (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}",
        "add_generation_prompt",
    ),
    "another prompt": (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n<think>\n{% endif %}",
        "'<think>",
    ),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_cannot_be_learned_from_is_refused_with_the_reason(
    what: str, dialogue_tokenizer: Any
) -> None:
    source, reason = UNUSABLE[what]
    tokens = ["<|user|>", "<|assistant|>", "<|end|>"]
    with pytest.raises(UserError) as caught:
        ChatTemplate(source, dialogue_tokenizer(control=tokens), "mine.jinja")
    assert reason in caught.value.problem


def test_a_turn_whose_content_a_template_drops_is_refused(dialogue_tokenizer: Any) -> None:
    source = UNMARKED.replace("m['content']", "m['content'].split('</think>')[-1]")
    template = ChatTemplate(source, dialogue_tokenizer(control=list(IM)))
    assert learned(template, DIALOGUE) == list(PLAIN)
    dropped = [USER, SAID | {"content": "<think>why</think>fine"}]
    with pytest.raises(Unfit, match="omits the assistant's text"):
        template.encode([dropped])
