"""`lushan export --format`: a graph predicts and writes what the run does, without its weights."""

import json

import pytest
from tests.conftest import trained
from tests.helpers import command, corpora

from lushan.errors import RunFailed, UserError
from lushan.export import tracing
from lushan.export.hf_folder import export
from lushan.export.tracing import alike

TEXTS = ["Anna lives in Paris .", "x", "李白在庐山，是吗？", "New York calls Bob " * 30]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "exported"


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "new.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return tmp_path / "new.txt"


def predicted(cli_inside, place, texts, *words):
    done = cli_inside("predict", place, "--input", texts, *words)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


@pytest.mark.slow
def test_a_graph_of_words_and_their_head(ner_run, folder, texts, cli_inside):
    printed = export(ner_run, folder, format="onnx").lines
    assert "largest difference from the run's model" in printed[0]
    assert not list(folder.glob("model*.safetensors"))
    found = predicted(cli_inside, folder, texts, "--runtime", "onnx")
    assert alike(found, predicted(cli_inside, ner_run, texts))


def test_a_runtime_that_a_folder_has_no_graph_for_is_refused(ner_run, texts, cli_inside):
    done = cli_inside("predict", ner_run, "--input", texts, "--runtime", "onnx")
    assert done.code == 2
    assert "--format onnx" in done.err


@pytest.mark.slow(10)
def test_a_graph_writes_with_a_cache(lm_run, folder, texts, cli_inside):
    export(lm_run, folder, format="onnx")
    ways = ["--prompt", "the film", "--prompt", "x", "-n", 10, "--greedy"]
    ours = cli_inside("generate", lm_run, *ways)
    theirs = cli_inside("generate", folder, *ways)
    assert theirs.code == 0, theirs.err
    assert theirs.out == ours.out
    assert ours.code == 0
    assert alike(predicted(cli_inside, folder, texts), predicted(cli_inside, lm_run, texts))


def test_formats_and_options_that_do_not_go_together(ner_run, folder):
    with pytest.raises(UserError, match="--quantize"):
        export(ner_run, folder, quantize=True)
    with pytest.raises(UserError, match="--adapter"):
        export(ner_run, folder, format="onnx", adapter=True)
    with pytest.raises(UserError, match="--private"):
        export(ner_run, folder, private=True)
    assert not folder.exists()


@pytest.mark.slow
def test_a_graph_that_differs_is_refused_and_leaves_nothing(ner_run, folder, monkeypatch):
    monkeypatch.setattr(tracing, "CLOSE", -1.0)
    with pytest.raises(RunFailed, match="does not match the run's model"):
        export(ner_run, folder, format="torch_export")
    assert list(folder.parent.iterdir()) == []


@pytest.mark.slow
@pytest.mark.long
def test_an_adapter_is_merged_into_the_graph(ner_run, tmp_path, folder, texts, cli_inside):
    more = [f"init_from={ner_run}", "peft=lora", "optimizer.lr=0.1", "test=false"]
    files = corpora.overrides(corpora.conll(tmp_path))
    small = [o for o in command.SMALL if not o.startswith(("model", "processor"))]
    made = trained(tmp_path / "adapted", "task=ner", "data=conll", *files, *more, small=small)
    export(made, folder, format="torch_export")
    assert alike(predicted(cli_inside, folder, texts), predicted(cli_inside, made, texts))


@pytest.mark.slow
@pytest.mark.long
def test_int8_says_what_it_loses(reviews_run, folder, texts, cli_inside):
    lines = export(reviews_run, folder, format="onnx", quantize=True).lines
    (line,) = [line for line in lines if line.startswith("int8")]
    stored = json.loads((reviews_run / "result.json").read_text(encoding="utf-8"))
    assert f"before {100 * stored['metrics']['test/accuracy']:.2f}" in line
    assert line in (folder / "README.md").read_text(encoding="utf-8")
    assert len(predicted(cli_inside, folder, texts)) == len(TEXTS)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("run", "format"), [("reviews_run", "torch_export"), ("chat_run", "onnx")])
def test_more_runs_predict_the_same(run, format, request, folder, tmp_path, cli_inside):
    made = request.getfixturevalue(run)
    export(made, folder, format=format)
    path = tmp_path / "new.jsonl"
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x"}]}
    rows = [row] if run == "chat_run" else [{"text": text} for text in TEXTS]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    assert alike(predicted(cli_inside, folder, path), predicted(cli_inside, made, path))


def test_a_causal_model_is_no_program_of_torch_export(lm_run, folder):
    with pytest.raises(UserError, match="--format onnx"):
        export(lm_run, folder, format="torch_export")


@pytest.mark.slow
@pytest.mark.long
def test_a_llama_is_written_as_gguf(tmp_path, folder):
    pytest.importorskip("gguf")
    small = ["model=llama_tiny", "processor=bpe", "processor.vocab_size=300", "data.limit=16"]
    made = trained(tmp_path / "run", "task=causal_lm", "test=false", small=small)
    lines = export(made, folder, format="gguf").lines
    assert "transformers loads the same model" in lines[0]
    assert {path.name for path in folder.iterdir()} == {"model.gguf", "README.md"}


@pytest.mark.slow
@pytest.mark.long
def test_what_is_no_llama_is_not_written_as_gguf(lm_run, ner_run, folder):
    for run in (lm_run, ner_run):
        with pytest.raises(UserError, match="cannot be exported as GGUF"):
            export(run, folder, format="gguf")
    assert not folder.exists()
