"""What a command imports: each in a fresh interpreter, as a shell starts it.

One process carries out several commands in turn, those that import least first.
"""

import json
import subprocess
import sys

import pytest

from lushan.cli.app import ANSWERING
from tests.contract.test_commands import EVERY
from tests.helpers import command, corpora

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
UNASKED = {"pydantic", "psutil"}
"""Of a typed argument, and of the machine."""
COMPUTING = {
    *(("train",), ("tune", "lr"), ("reproduce",), ("study", "verify")),
    *(("eval",), ("predict",), ("generate",), ("chat",), ("recommend",), ("assist",)),
    *(("serve",), ("monitor",), ("export",), ("audit",)),
}
"""Commands that compute with a model, or read data as a task does; the others need no torch."""
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
PARSERS = """
import sys, typer.main
made = []
make = typer.main.get_command_from_info
def watched(command_info, **options):
    made.append(command_info.callback.__name__)
    return make(command_info, **options)
typer.main.get_command_from_info = watched
from lushan.cli.app import main
code = main()
print("parsers:", *made, file=sys.stderr)
sys.exit(code)
"""
STEP = """
import importlib.util, os, sys
from lushan.cli.app import main

class Watch:
    # Let the first step of a training say what is imported, and end there.
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "lushan.engine.lit_module":
            return None
        sys.meta_path.remove(Watch)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def watched(module):
            execute(module)
            module.LitModule.training_step = first_step
        spec.loader.exec_module = watched
        return spec

def first_step(self, *args):
    print("first step:", *sorted(sys.modules), file=sys.stderr, flush=True)
    os._exit(0)

sys.meta_path.insert(0, Watch)
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
    assert "lushan.engine.fit" in line.split()
    assert not set(line.split()) & (WAITING - {"pytorch_lightning", "torchmetrics"})


def study_of(run, folder):
    """The file of a study whose one run is a trained one."""
    files = corpora.overrides({s: run.parents[2] / f"{s}.conll" for s in corpora.SPLITS})
    places = [f"paths.output_dir={run.parents[1]}", f"paths.cache_dir={run.parents[2]}/cache"]
    base = [*command.SMALL, *places, "task=ner", "data=conll", *files]
    lines = {"title": "One", "base": base, "axes": {"head": {"plain": []}}, "seeds": [1]}
    file = folder / "study.yaml"
    file.write_text(json.dumps(lines | {"tables": [{"rows": ["head"]}]}))
    return str(file)


@pytest.mark.slow
def test_what_needs_no_torch_imports_none(tmp_path, ner_run, known, monkeypatch):
    texts, gold = tmp_path / "texts.txt", tmp_path / "gold.conll"
    texts.write_text("There is parking.\nBreakfast is at eight.\n")
    gold.write_text("Anna B-person B-person\n")
    run, index = str(ner_run), str(tmp_path / "index")
    study = study_of(ner_run, tmp_path)
    for name in ("WANDB_API_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    done = [
        *(["runs", run], ["options"], ["data", "list"], ["completion", "bash"]),
        *(["doctor", "--offline"], ["table", run, "--rows", "seed"]),
        ["page", run, "--output", str(tmp_path / "page.md")],
        ["score", "--gold", str(gold)],
        *(["explain", "data.max_length", *SAMPLE], ["options", "optimizer/adamw"]),
        *(["study", name, study] for name in ("run", "status", "table")),
        ["report", run, "-o", str(tmp_path / "site")],
        ["compare", run, run],
        ["index", "build", str(texts), "--model", "bm25", "--output", index],
        ["search", index, "parking"],
    ]
    refused = [["sync", run], ["sync", "--to", "mlflow", run], ["data", "get", "nothing"]]
    found = carried_out(*done, *refused)
    for words, (code, modules, err) in zip([*done, *refused], found, strict=True):
        assert code == (2 if words in refused else 0), err
        heavy = {"torch", "transformers", "lightning_fabric", "scipy.stats"}
        assert modules & (heavy | WAITING) == set(), words
    tried = {name for name in EVERY for words in (*done, *refused) if words[: len(name)] == [*name]}
    assert tried == set(EVERY) - COMPUTING == ANSWERING  # a new command is one or the other


@pytest.mark.slow
def test_a_complete_study_is_answered_without_arrays_launchers_and_pydantic(
    tmp_path, ner_run, known
):
    study = study_of(ner_run, tmp_path)
    *first, table, compare = carried_out(
        *(["study", name, study] for name in ("status", "run", "table")),
        ["compare", str(ner_run), str(ner_run)],
    )
    for code, modules, err in first:
        assert code == 0, err
        assert not modules & {"numpy", "pyarrow", "hydra_plugins.hydra_ray_launcher", *UNASKED}
    for code, modules, err in (table, compare):
        assert code == 0, err
        assert not modules & {"pyarrow", "scipy.sparse", *UNASKED}


def test_a_source_is_imported_without_the_others(tmp_path):
    text = tmp_path / "texts.txt"
    text.write_text("There is parking.\n")
    words = ["index", "build", str(text), "--model", "bm25", "--output", str(tmp_path / "index")]
    ((code, modules, err),) = carried_out(words)
    assert code == 0, err
    formats = {name for name in modules if name.startswith("lushan.data.formats.")}
    assert formats == {f"lushan.data.formats.{name}" for name in ("jsonl", "table")}


@pytest.mark.parametrize(
    ("words", "code", "made"),
    [
        (["completion", "bash"], 0, ["completion"]),
        (["search", "--help"], 0, ["search_in"]),
        (["study", "status", "nowhere.yaml"], 2, ["run", "status", "table", "verify"]),
    ],
)
def test_a_command_makes_no_parser_of_another(words, code, made, tmp_path):
    command = [sys.executable, "-c", PARSERS, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1] == f"parsers: {' '.join(made)}"


def test_an_unknown_command_is_compared_with_all(tmp_path):
    ((code, _, err),) = carried_out(["studdy", "status"])
    assert code == 2
    assert "study" in err


@pytest.mark.slow
def test_what_only_reads_results_needs_no_torch():
    asked = f"{READS}; import sys; print({{'torch', 'torchmetrics'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"
