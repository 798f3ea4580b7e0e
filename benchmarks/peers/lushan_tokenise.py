"""A corpus tokenised by lushan: read as documents, encoded, both on disk.

Prints one line of JSON: seconds from the file to token ids on disk, and how many there are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from transformers import PreTrainedTokenizerFast

from lushan.data.encode.encoding import encode
from lushan.data.formats import Text

SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("length", pa.int32()),
        ("targets", pa.int32()),
        ("example", pa.int64()),
    ]
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--tokenizer", required=True)
    args = parser.parse_args()

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=args.tokenizer).backend_tokenizer

    def encoder(rows: dict[str, list], first: int) -> dict[str, list]:
        ids = [found.ids for found in tokenizer.encode_batch_fast(rows["text"])]
        lengths = [len(row) for row in ids]
        numbers = list(range(first, first + len(ids)))
        return {"input_ids": ids, "length": lengths, "targets": lengths, "example": numbers}

    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        corpus = Text(train=args.corpus, text="text", cache_dir=Path(folder)).read()
        encoded = encode(
            corpus.splits["train"], encoder, SCHEMA, fingerprint="f", cache_dir=Path(folder)
        )
        seconds = time.perf_counter() - begun
        tokens = int(encoded.lengths.sum())
    print(json.dumps({"seconds": seconds, "tokens": tokens}))


if __name__ == "__main__":
    main()
