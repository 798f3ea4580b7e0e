"""A corpus tokenised as the documentation of datasets does it: `load_dataset`, `map`, batched.

Prints one line of JSON: seconds from the file to token ids on disk, and how many there are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import datasets
from transformers import PreTrainedTokenizerFast


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=args.tokenizer)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        corpus = datasets.load_dataset(
            "json", data_files=args.corpus, split="train", cache_dir=folder
        )
        encoded = corpus.map(
            lambda rows: {"input_ids": tokenizer(rows["text"])["input_ids"]},
            batched=True,
            num_proc=args.processes,
            remove_columns=corpus.column_names,
        )
        seconds = time.perf_counter() - begun
        tokens = sum(map(len, encoded.with_format("numpy")["input_ids"]))
    print(json.dumps({"seconds": seconds, "tokens": tokens}))


if __name__ == "__main__":
    main()
