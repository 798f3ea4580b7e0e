"""Models that are code of their own: not run unless the command line says so, and then kept."""

import json
import shutil
import textwrap

import pytest
import transformers

from lushan.errors import UserError
from lushan.run import remote_code
from lushan.run.folder import RunFolder
from lushan.text import hub
from tests.helpers import command

pytestmark = [pytest.mark.slow, pytest.mark.fault(56), pytest.mark.xdist_group("own code")]

CONFIG = """
    import os
    from pathlib import Path
    from transformers import BertConfig

    Path(os.environ["RAN"]).touch()


    class OwnConfig(BertConfig):
        model_type = "own"
"""
MODEL = """
    from transformers import BertModel
    from .configuration_own import OwnConfig


    class OwnModel(BertModel):
        config_class = OwnConfig

        def forward(self, *args, **options):
            found = super().forward(*args, **options)
            found.last_hidden_state = found.last_hidden_state * 2  # what no class of a library does
            return found
"""
SMALL = [word for word in command.SMALL if not word.startswith(("model=", "processor."))]
FLAG = remote_code.FLAG


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a checkpoint whose classes come with it."""
    place = tmp_path_factory.mktemp("own")
    folder = place / "model"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(33, 127))]
    words += [f"##{c}" for c in map(chr, range(33, 127))]
    folder.mkdir()
    numbers = {word: number for number, word in enumerate(words)}
    transformers.BertTokenizerFast(vocab=numbers).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=len(words), intermediate_size=16, **sizes)
    transformers.BertModel(config).save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "own", "architectures": ["OwnModel"]}
    classes = {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(settings | {"auto_map": classes}))
    (folder / "configuration_own.py").write_text(textwrap.dedent(CONFIG))
    (folder / "modeling_own.py").write_text(textwrap.dedent(MODEL))
    return place


@pytest.fixture(scope="module")
def lushan(place):
    """A command in that folder, and whether the code ran."""
    ran = place / "ran"

    def call(*words):
        ran.unlink(missing_ok=True)
        env = {"RAN": str(ran), "HF_MODULES_CACHE": str(place / "modules")}
        done = command.cli(*words, cwd=place, env=env | {"TRUST_REMOTE_CODE": "1"})
        return done, ran.exists()

    return call


def sample(*words):
    return ["train", "data=sample_ner", "init_from=model", *SMALL, "data.limit=40", *words]


@pytest.mark.parametrize(
    "words",
    [[], [f"+{remote_code.KEY}=true"], ["hydra.job.name=x", f"++{remote_code.KEY}=true"]],
    ids=["unsaid", "config", "override"],
)
def test_a_config_cannot_permit_it(lushan, place, words):
    done, ran = lushan(*sample(*words, "name=refused"))
    assert done.code == 2
    assert FLAG in done.err
    assert "Traceback" not in done.err
    assert not ran
    assert not list(place.glob("outputs/refused/*/result.json"))


@pytest.fixture(scope="module")
def trained(lushan):
    """A run that was permitted its code. Look, do not touch: all tests share it."""
    done, _ = lushan(*sample(FLAG, "name=trained"))
    assert done.code == 0, done.err
    return done


def test_permitted_it_is_recorded_and_kept_with_the_run(trained, lushan, place):
    done = trained
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert set(manifest["fingerprints"]["code"]) == {"configuration_own.py", "modeling_own.py"}
    assert f"{remote_code.KEY}: true" in (done.folder / "config.yaml").read_text()
    table, ran = lushan("table", "outputs/trained", "--rows", "task.head")
    assert "1 runs use a model with its own code" in table.out
    assert not ran
    # The run is asked without the place that it came from, and only where that is permitted too.
    moved = place / "moved"
    (place / "model").rename(moved)
    try:
        (place / "new.txt").write_text("Ada went to Paris .\n")
        words = ("predict", done.folder, "--input", "new.txt", "--output", "out.jsonl")
        refused, ran = lushan(*words)
        assert (refused.code, ran) == (2, False)
        assert FLAG in refused.err
        asked, ran = lushan(*words, FLAG)
        assert (asked.code, ran) == (0, True), asked.err
        again, _ = lushan("eval", done.folder, FLAG)
        assert again.code == 0, again.err
    finally:
        moved.rename(place / "model")


def test_others_take_it_up_where_their_command_permits_it(trained, lushan, place):
    done = trained
    words = [word for word in sample("name=after") if word != "init_from=model"]
    words.append(f"init_from={done.folder}")
    refused, ran = lushan(*words)
    assert (refused.code, ran) == (2, False)
    after, ran = lushan(*words, FLAG)
    assert (after.code, ran) == (0, True), after.err
    refused, ran = lushan("reproduce", done.folder)
    assert (refused.code, ran) == (2, False)
    again, _ = lushan("reproduce", done.folder, FLAG)
    assert again.code == 0, again.out + again.err


@pytest.mark.parametrize(
    ("launcher", "seeds"),
    [
        (["hydra/launcher=fork", "trainer=ddp_sim"], "1"),
        pytest.param(
            ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "trainer=cpu"],
            "1,2",
            marks=pytest.mark.long,
        ),
    ],
    ids=["fork, two ranks", "joblib"],
)
def test_jobs_and_ranks_are_reported(lushan, launcher, seeds):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = [word for word in sample("-m", f"seed={seeds}", FLAG) if word != "trainer=cpu"]
    done, _ = lushan(*words, *launcher, f"name={launcher[0][-4:]}")
    assert done.code == 0, done.err
    count = 1 + seeds.count(",")
    assert done.out.splitlines()[-1] == f"{count} job{'s' * (count > 1)}: {count} complete"


def test_a_study_states_it_and_its_command_permits_it(lushan, place):
    lines = ["title: Own", "base:", *(f"  - {w}" for w in sample("name=study")[1:])]
    lines += [f"  - +{remote_code.KEY}=true", "axes:", "  head: {linear: [task/head=linear]}"]
    (place / "study.yaml").write_text("\n".join([*lines, "seeds: [1]", ""]))
    refused, ran = lushan("study", "run", "study.yaml")
    assert (refused.code, ran) == (2, False)
    done, ran = lushan("study", "run", "study.yaml", FLAG)
    assert (done.code, ran) == (0, True), done.err
    assert "1 complete" in lushan("study", "status", "study.yaml")[0].out


def test_code_of_another_place_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(remote_code, "_permitted", True)
    folder = tmp_path / "model"
    folder.mkdir()
    classes = {"AutoConfig": "somebody/else--configuration.C"}
    (folder / "config.json").write_text(json.dumps({"model_type": "x", "auto_map": classes}))
    with pytest.raises(UserError, match="somebody/else"):
        hub.find(str(folder), key="model.path")


def test_a_run_folder_that_was_tampered_with_runs_nothing(trained, lushan, place):
    done = trained
    copy = place / "copy"
    shutil.copytree(done.folder, copy)
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace(f"{remote_code.KEY}: true\n", ""))
    assert RunFolder(copy).result() is not None
    (place / "new.txt").write_text("Ada went to Paris .\n")
    refused, ran = lushan("predict", copy, "--input", "new.txt", "--output", "o.jsonl")
    assert (refused.code, ran) == (2, False)
    assert "Traceback" not in refused.err
