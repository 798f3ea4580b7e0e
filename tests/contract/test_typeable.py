"""What messages say to write can be typed in a shell as it is printed, and Hydra reads it."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from lushan.common.override_text import typed, value_text

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "lushan").rglob("*.py"))
GROUPS = sorted({path.name for path in (ROOT / "conf").iterdir()})
NAMES = "|".join([*(re.escape(name.removesuffix(".yaml")) for name in GROUPS), "seed", "ckpt_path"])
# `data.text=`, `task/head=`, `model=`, perhaps behind the quotation mark of a shell's word.
OVERRIDE = re.compile(rf"(?<![\w./<>!-])'?(?:\+\+?)?(?:{NAMES}|test|paths)(?:[./]\w+)*=(?!=)")
QUOTED_WORD = re.compile(r"'[^']*'")
PLACEHOLDER = "X"


def texts_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and text of each string that is no docstring; a placeholder stands for values."""
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.JoinedStr):
            left_out |= set(map(id, node.values))
            parts = (v.value if isinstance(v, ast.Constant) else PLACEHOLDER for v in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def words_of(text: str) -> Iterator[str]:
    """The overrides that a text holds, each as a shell's word with its quotation marks."""
    for found in OVERRIDE.finditer(text):
        rest = text[found.start() :]
        quoted = QUOTED_WORD.match(rest)
        word = quoted.group() if quoted else re.match(r"\S*", rest).group().lstrip("'")
        yield word.rstrip(".,;:)`")


def problem(word: str) -> str | None:
    """Why a word cannot be typed, by a shell's rules for words and Hydra's for overrides."""
    try:
        lexer = shlex.shlex(word, posix=True, punctuation_chars=True)
        lexer.commenters = ""
        lexer.whitespace_split = True
        parts = list(lexer)
        if len(parts) != 1:
            return f"a shell takes it for {parts}"
        OverridesParser.create().parse_override(parts[0])
    except (ValueError, HydraException) as error:
        return str(error).splitlines()[0]
    return None


@pytest.mark.slow
def test_what_messages_say_to_write_can_be_typed() -> None:
    count, wrong = 0, []
    for path in SOURCES:
        for line, text in texts_of(ast.parse(path.read_text(encoding="utf-8"))):
            if path.name == "study.py" and "{" in text:  # an example in YAML
                continue
            for word in words_of(text):
                count += 1
                if (why := problem(word)) is not None:
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: {word}: {why}")
    assert count > 200
    assert wrong == []


VALUES = [
    *("#", '"', "'", "a b", "a,b", "~/x", "<|im_end|>", "null", "1", "", "naïve", "a=b", "$(x)"),
    *("\\", '\\"', "{a}", "a;b", "x.csv", "/a/b.c", "true", "key: value", "(a)", "a\tb", "*"),
    *([["a", "#"], {"a b": "#"}, 3, 0.5, 1e-5, None, True, ["0.5", "1"]]),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_read_as_it_was(value: object) -> None:
    (word,) = shlex.split(typed("data.x", value))
    read = OverridesParser.create().parse_override(word).value()
    assert (read, type(read)) == (value, type(value))
    assert OverridesParser.create().parse_override(f"x={value_text(value)}").value() == value
