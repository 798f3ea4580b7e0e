"""Texts of a run's config, labels and metrics are texts in the card of its export, not markup."""

from __future__ import annotations

import pytest

from lushan.export import card

pytestmark = pytest.mark.fault(65)

EVIL = ["<script>alert(1)</script>", "[a](javascript:x)", "a | b\n\n# c", "![x](http://h/y)", "`a`"]


@pytest.mark.parametrize("text", EVIL)
def test_a_text_is_no_markup(text):
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    rendered = markdown.render(
        f"# {card.plain(text)}\n\n| a | b |\n| --- | --- |\n| {card.plain(text)} | 1 |\n"
    )
    kinds = {
        t.type
        for token in markdown.parse(f"x {card.plain(text)}")
        for t in [token, *(token.children or ())]
    }
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}
    assert rendered.count("<td>") == 2
    assert rendered.count("<h1>") == 1


@pytest.mark.parametrize("text", ["```\n# out", "``````", "~~~\n```yaml\nx"])
def test_a_block_of_code_does_not_end_early(text):
    markdown = pytest.importorskip("markdown_it").MarkdownIt()
    (token,) = markdown.parse(card._fenced(text, "yaml"))
    assert (token.type, token.content) == ("fence", f"{text}\n")
