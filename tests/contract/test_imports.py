"""What a command imports: each in a fresh interpreter, as a shell starts it.

One process carries out several commands in turn, those that import least first.
"""

import json
import subprocess
import sys

import pytest

READS = "import lushan.study.table, lushan.study.compare, lushan.report.site"
WAITING = {
    "pytorch_lightning",
    "torchmetrics",
    "torch._dynamo",
    "torch.distributed.tensor",
    "torch.distributed.fsdp",
    "accelerate",
    "sympy",
    "matplotlib",
    "scipy.optimize",
    "scipy.signal",
    "datasets",
    "pandas",
    "sklearn",
}
"""Nothing of this is needed to predict, or before the first step of a training."""
PROGRAM = """
import contextlib, io, json, sys
from lushan.cli.app import main
found = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["lushan", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main()
    found.append([code, sorted(sys.modules), err.getvalue()])
print(json.dumps(found))
"""
STEP = """
import sys
from lushan.cli.app import main
def watch(frame, event, _):
    if event == "call" and frame.f_code.co_qualname == "LitModule.training_step":
        print("first step:", *sorted(sys.modules), file=sys.stderr)
        sys.setprofile(None)
sys.setprofile(watch)
sys.exit(main())
"""


SAMPLE = ["experiment=sample/ner", "model=bert_tiny", "trainer=cpu", "processor.vocab_size=300"]


@pytest.fixture(scope="module")
def known():
    """Have the signatures of a config read once: those not known yet import what they are of."""
    carried_out(["explain", "data.max_length", *SAMPLE])


def carried_out(*commands):
    """Exit code, modules and errors after each of some commands."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return [(code, set(modules), err) for code, modules, err in json.loads(done.stdout)]


def test_paths_are_looked_at_before_torch_is_imported(tmp_path, ner_run):
    missing = str(tmp_path / "missing")
    text = tmp_path / "x.txt"
    text.write_text("Anna lives in Paris .\n")
    found = carried_out(
        ["predict", missing, "--input", str(text)],
        ["predict", str(ner_run), "--input", missing],
        ["eval", missing],
        ["export", missing, str(tmp_path / "out")],
        ["generate", str(tmp_path), "--prompt", "x"],
        ["chat", str(tmp_path)],
        ["generate", str(ner_run), "--input", missing],
        ["serve", missing],
        ["serve", "nowhere"],
        ["serve", f"name={missing}"],
        ["serve", str(ner_run), "--host", "0.0.0.0"],
    )
    for code, modules, err in found:
        assert code == 2, err
        assert not modules & {"torch", "transformers", "numpy", "hydra"}, err


@pytest.mark.slow
def test_what_only_predicts_imports_neither_lightning_nor_metrics(
    tmp_path, ner_run, lm_run, chat_run, known
):
    text = tmp_path / "x.txt"
    text.write_text("Anna lives in Paris .\n")
    *light, export, audit, evaluated = carried_out(
        ["predict", str(ner_run), "--input", str(text)],
        ["generate", str(lm_run), "--prompt", "hi", "-n", "3"],
        ["chat", str(chat_run)],
        ["serve", f"a={ner_run}", f"b={lm_run}", "--port", "0", "--check"],
        ["export", str(ner_run), str(tmp_path / "out")],
        ["audit", *SAMPLE],
        ["eval", str(ner_run)],
    )
    for code, modules, err in light:
        assert code == 0, err
        assert not modules & WAITING
    for _, modules, err in light[:3]:
        assert not modules & {"hydra", "omegaconf", "numpy.f2py"}, err
    for code, modules, err in (export, audit):
        assert code == 0, err
        assert not modules & (WAITING - {"sympy"})
        assert "scipy.stats" not in modules
    code, modules, err = evaluated
    assert code == 0, err
    assert not modules & (WAITING - {"sympy", "torchmetrics"})


@pytest.mark.slow
def test_a_lone_training_imports_no_compiler_and_no_plots_before_its_first_step(tmp_path, known):
    overrides = [*SAMPLE, "data.limit=16", "trainer.max_epochs=1"]
    done = subprocess.run(
        [sys.executable, "-c", STEP, "train", *overrides],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("first step:"))
    assert not set(line.split()) & (WAITING - {"pytorch_lightning", "torchmetrics"})


def test_what_needs_no_torch_imports_none(tmp_path, ner_run, known):
    texts = tmp_path / "texts.txt"
    texts.write_text("There is parking.\nBreakfast is at eight.\n")
    index = str(tmp_path / "index")
    found = carried_out(
        *(["runs", str(ner_run)], ["options"], ["data", "list"], ["completion", "bash"]),
        *(["doctor", "--offline"], ["table", str(ner_run), "--rows", "seed"]),
        ["page", str(ner_run), "--output", str(tmp_path / "page.md")],
        *(["explain", "data.max_length", *SAMPLE], ["options", "optimizer/adamw"]),
        ["report", str(ner_run), "-o", str(tmp_path / "site")],
        ["compare", str(ner_run), str(ner_run)],
        ["index", "build", str(texts), "--model", "bm25", "--output", index],
        ["search", index, "parking"],
    )
    for code, modules, err in found:
        assert code == 0, err
        assert modules & {"torch", "transformers", "pytorch_lightning", "torchmetrics"} == set()


@pytest.mark.slow
def test_what_only_reads_results_needs_no_torch():
    asked = f"{READS}; import sys; print({{'torch', 'torchmetrics'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"
