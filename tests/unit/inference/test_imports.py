"""What only predicts, and what only reads results, waits for no metrics."""

import subprocess
import sys

import pytest

TASKS = (
    "import lushan.inference.prediction, lushan.tasks.ner, lushan.tasks.seq2seq, lushan.tasks.chat"
)
READS = "import lushan.study.table, lushan.study.compare, lushan.report.site"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "names"), [(TASKS, ["torchmetrics"]), (READS, ["torchmetrics", "torch"])]
)
def test_torchmetrics_is_not_imported(code, names):
    asked = f"{code}; import sys; print([n for n in {names} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
