"""Labels of texts by the pipeline of transformers, eight at a time, as its documentation has it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers import pipeline


def main() -> None:
    model, source, target = sys.argv[1:]
    lines = Path(source).read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    classify = pipeline("text-classification", model=model)
    with Path(target).open("w", encoding="utf-8") as file:
        for text, found in zip(texts, classify(texts, batch_size=8, truncation=True), strict=True):
            record = {"text": text, "predicted": found["label"], "score": found["score"]}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
