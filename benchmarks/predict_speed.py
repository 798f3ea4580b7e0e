"""Labels of short texts, from the command to the file: lushan, and the pipeline of transformers.

A classifier of MiniLM, trained for a step on Financial PhraseBank and exported, so that both read
the same weights; its sentences, over and over; and the same as a graph, which onnxruntime computes
in float32, whatever torch takes. Seconds of the processor, on one thread; start-up
counts, unless `--inside` has both work in one process. Both must give the same labels; where
lushan computes in bf16, one text of a hundred may have another.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import statistics
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

from common import DATA, HERE, LUSHAN, Clock, alternate, machine, on_one_thread, run, table

from lushan.models.precision import best_precision

SENTENCES = DATA / "financial_phrasebank" / "sentences_allagree.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--precision", default="auto", help="of training: 32-true has no bf16")
    parser.add_argument("--inside", action="store_true", help="in one process, without start-up")
    args = parser.parse_args()
    print(f"{machine()}; one thread\n")
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        known = [row["sentence"] for row in csv.DictReader(file)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        lines = "".join(json.dumps({"text": t}) + "\n" for t in islice(cycle(known), args.texts))
        folder.joinpath("texts.jsonl").write_text(lines, encoding="utf-8")
        commands = prepared(folder, args.precision, graph=not args.inside)
        if args.inside:
            show(inside(Path(commands["lushan"][2]), folder, args), args.texts)
            return

        def spent(_: int, name: str) -> float:
            return on_one_thread(commands[name])[1]

        systems = {name: functools.partial(spent, name=name) for name in commands}
        numbers = alternate(systems, args.rounds)
        require_alike(labels(folder / "ours.jsonl"), labels(folder / "theirs.jsonl"), args)
    show(numbers, args.texts)


def require_alike(ours: list[str], theirs: list[str], args: argparse.Namespace) -> None:
    """End where the labels differ by more than rounding to bf16 explains."""
    differ = sum(a != b for a, b in zip(ours, theirs, strict=True))
    exact = args.precision == "32-true" or best_precision("cpu") != "bf16-mixed"
    print(f"{differ} of {len(ours):,} labels differ")
    if differ > (0 if exact else len(ours) // 100):
        sys.exit(1)


def show(numbers: dict[str, list[float]], texts: int) -> None:
    ours = statistics.median(numbers["lushan"])
    print(f"{texts:,} texts:\n")
    print(table(numbers, "CPU s", lambda name: statistics.median(numbers[name]) / ours))


def inside(run: Path, folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """Label the texts in this process, from the file's rows to lines of JSON, taking turns."""
    import torch
    from transformers import pipeline

    from lushan.inference.inputs import reader_for
    from lushan.inference.load import load
    from lushan.inference.prediction import predict_rows

    torch.set_num_threads(1)
    loaded = load(run)
    classify = pipeline("text-classification", model=f"{folder}/exported")
    lines = folder.joinpath("texts.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    reader = reader_for(
        run, loaded.cfg, loaded.task.fields, folder / "texts.jsonl", overrides=["data.text=text"]
    )
    rows = reader.read().table
    found: dict[str, list[str]] = {}

    def ours(_: int) -> float:
        with Clock() as clock:
            records = predict_rows(loaded, rows)
            for record in records:
                json.dumps(record, ensure_ascii=False)
        found["ours"] = [record["predicted"] for record in records]
        return clock.cpu

    def theirs(_: int) -> float:
        with Clock() as clock:
            records = classify(texts, batch_size=8, truncation=True)
            for text, record in zip(texts, records, strict=True):
                json.dumps({"text": text, **record}, ensure_ascii=False)
        found["theirs"] = [record["label"] for record in records]
        return clock.cpu

    numbers = alternate({"lushan": ours, "HF pipeline, batch 8": theirs}, args.rounds)
    require_alike(found["ours"], found["theirs"], args)
    return numbers


def prepared(folder: Path, precision: str, *, graph: bool = True) -> dict[str, list[str]]:
    """Train and export the model, and return the commands; of a graph, too."""
    trained = ["experiment=classification/phrasebank", f"data.dir={SENTENCES.parent}"]
    trained += ["trainer.max_steps=1", "trainer.max_epochs=null", "data.validation=null"]
    trained += [
        f"trainer.precision={precision}",
        "test=false",
        f"paths.output_dir={folder}/runs",
        f"paths.cache_dir={folder}/cache",
    ]
    out, _ = run([LUSHAN, "train", *trained])
    made = out.strip().splitlines()[-1].removeprefix("run: ")
    run([LUSHAN, "export", made, f"{folder}/exported"])
    texts = str(folder / "texts.jsonl")
    asked = ["--input", texts, "--output", f"{folder}/ours.jsonl", "data.text=text"]
    peer = [f"{folder}/exported", texts, f"{folder}/theirs.jsonl"]
    commands = {
        "lushan": [LUSHAN, "predict", made, *asked],
        "HF pipeline, batch 8": [sys.executable, str(HERE / "peers" / "hf_predict.py"), *peer],
    }
    if graph:
        run([LUSHAN, "export", made, f"{folder}/graph", "--format", "onnx"])
        options = ["--input", texts, "--output", f"{folder}/graph.jsonl", "data.text=text"]
        commands["lushan, ONNX"] = [LUSHAN, "predict", f"{folder}/graph", *options]
    return commands


def labels(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["predicted"] for line in lines]


if __name__ == "__main__":
    main()
