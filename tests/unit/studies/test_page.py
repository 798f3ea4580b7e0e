"""A run's page: its numbers, its curves, and what its model writes."""

import pytest

from lushan.errors import UserError
from lushan.studies import page


def test_it_tells_what_the_run_has_recorded(ner_run, tmp_path):
    output = tmp_path / "deep" / "README.md"
    page.write(ner_run, output, title="A title", command=["page", "RUN"])
    text = output.read_text(encoding="utf-8")
    assert text.startswith("# A title\n\n```\nlushan train ")
    assert "| **test/entity_f1** |" in text
    assert "tokens trained on" in text
    assert text.endswith("This page was made by `lushan page RUN`.\n")
    assert (output.parent / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_samples_keep_their_lines(ner_run, tmp_path):
    output = tmp_path / "README.md"
    page.write(ner_run, output, samples=[{"prompt": "明月", "text": "几时有\n把酒问青天"}])
    assert "> **明月**几时有  \n> 把酒问青天  " in output.read_text(encoding="utf-8")


def test_a_run_that_is_not_complete_has_no_page(tmp_path):
    with pytest.raises(UserError, match="not complete"):
        page.write(tmp_path, tmp_path / "README.md")
