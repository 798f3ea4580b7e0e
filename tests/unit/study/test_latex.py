"""Tables in LaTeX, compiled: whatever a row is called, and whatever is not there."""

import shutil
import subprocess

import pytest
from tests.helpers.runs import finished

from lushan.study.table import table

pytestmark = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")

DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""
ODD = ["plain", "[a, b]", "*", "100 % & more", "a_b^c", "{x}~#1$", r"\alpha", "<1|2>", "naïve"]


def compiled(text, folder):
    """What pdflatex had to say; the document must have pages."""
    (folder / "table.tex").write_text(DOCUMENT % text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"],
        cwd=folder,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
    assert (folder / "table.pdf").read_bytes().startswith(b"%PDF")
    return (folder / "table.log").read_text(errors="replace")


@pytest.mark.parametrize("test", [None, "welch"])
def test_a_table_compiles(test, tmp_path):
    for number, name in enumerate(ODD):
        for seed in range(3 if number else 1):
            metrics = {"test/accuracy": (number + seed) / 40, "val/loss": float(number + seed)}
            finished(tmp_path / "runs", {"kind": name, "seed": seed}, metrics)
    options = {} if test is None else {"baseline": "plain", "test": test}
    metrics = ["test/accuracy", "val/loss"]
    made = table([tmp_path / "runs"], rows=["kind"], format="latex", metrics=metrics, **options)
    printed = compiled(made.text, tmp_path)
    assert "Missing character" not in printed
    assert "Warning" not in printed
    assert made.text.count(r" \\") == 1 + len(ODD)
