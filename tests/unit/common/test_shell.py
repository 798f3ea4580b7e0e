"""Words of shell commands: what a shell reads is what was meant, and it is easy to read."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lushan.common import shell

WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))


@given(WORDS)
def test_words_are_read_as_they_were(words):
    assert shlex.split(shell.join(words)) == words


@pytest.mark.parametrize("word", ["it's", "$HOME's", "`id`'s", "a\\'s", "'\"", "[a b]", "*'", "!'"])
def test_a_shell_reads_them_so_too(word):
    done = subprocess.run(
        ["bash", "-c", f"printf %s {shell.quote(word)}"], capture_output=True, check=True, text=True
    )
    assert done.stdout == word


def test_single_quotes_stand_within_double_ones():
    assert (
        shell.quote("optimizer.freeze=['*embeddings*']") == "\"optimizer.freeze=['*embeddings*']\""
    )
    assert shell.join(["data.dir=x", "a b"]) == "data.dir=x 'a b'"
