"""Gather a knowledge base from CrossWOZ, and deal out its dialogues: gate, thresholds, test.

python experiments/assist_zh/prepare.py DATA/crosswoz FOLDER
"""

import gzip
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GATE = 20
"""Percent of the validation's dialogues that teach the gate; the others choose thresholds."""
NAME = "名称"
ASKED = {
    "地址": "{}的地址在哪里？",
    "电话": "{}的电话是多少？",
    "评分": "{}的评分是多少？",
    "门票": "{}的门票多少钱？",
    "价格": "{}的价格是多少，住一晚多少钱？",
    "人均消费": "{}的人均消费多少钱？",
    "营业时间": "{}的营业时间是几点到几点？",
    "游玩时间": "{}可以游玩多长时间？",
    "推荐菜": "{}有什么推荐菜？",
    "酒店类型": "{}是什么类型的？",
    "周边景点": "{}的周边有哪些景点？",
    "周边餐馆": "{}的周边有哪些餐馆？",
    "周边酒店": "{}的周边有哪些酒店？",
}
"""How each property is asked for, of a sight, restaurant or hotel; facilities are asked alike."""
FACILITY = "酒店设施-"
KINDS = ("景点", "餐馆", "酒店")
Key = tuple[str, str, str]
"""Kind, name and property: what an entry is named by."""
Row = dict[str, Any]


say = sys.stdout.write


def number_of(text: str) -> int:
    """Return a number that depends on a text alone."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


@dataclass(frozen=True)
class Turn:
    """A turn of a customer.

    Attributes:
        number: Of its message.
        asked: Properties that are asked of an entity named before or here, not one yet to be found.
        given: What is answered, with the entity that it is about by then.
        is_clear: Whether a question of properties, if it is one, is about one entity.
    """

    number: int
    asked: set[Key]
    given: dict[Key, tuple[str, ...]]
    is_clear: bool


def turns_of(dialogue: Row) -> Iterator[Turn]:
    """Yield the turns; an entity is the one of its kind named last, by either side, and alone."""
    named: dict[str, str] = {}
    messages = dialogue["messages"]
    for number, (asking, answering) in enumerate(zip(messages[::2], messages[1::2], strict=False)):
        acts = asking["dialog_act"]
        wanted = {(k, s) for act, k, s, _ in acts if act == "Request" and k in KINDS and s != NAME}
        found_first = {
            k for act, k, s, _ in acts if act == "Select" or (act, s) == ("Request", NAME)
        }
        named = named | _named(asking)
        about = named | _named(answering)
        given: dict[Key, list[str]] = defaultdict(list)
        for act, kind, slot, value in answering["dialog_act"]:
            if act == "Inform" and (kind, slot) in wanted and about.get(kind):
                given[kind, about[kind], slot].append(value)
        of_named = {(kind, slot) for kind, slot in wanted if kind not in found_first}
        asked = {(k, named[k], s) for k, s in of_named if named.get(k) and named[k] == about[k]}
        answers = {key: tuple(sorted(values)) for key, values in given.items()}
        yield Turn(2 * number, asked, answers, is_clear=bool(asked) or not of_named)
        named = about


def _named(message: Row) -> dict[str, str]:
    """Return the entity of each kind that a turn names; an empty one where it names several."""
    found: dict[str, str] = {}
    for act, kind, slot, value in message["dialog_act"]:
        if act in ("Inform", "Recommend") and kind in KINDS and slot == NAME:
            found[kind] = "" if found.get(kind, value) != value else value
    return found


def entries_of(dialogues: list[Row]) -> dict[Key, Row]:
    """Return the entries: of each property what was answered most often."""
    said: dict[Key, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for dialogue in dialogues:
        for turn in turns_of(dialogue):
            for key, values in turn.given.items():
                said[key][values] += 1
    several = sum(len(counts) > 1 for counts in said.values())
    say(f"{len(said):,} entries on {len({key[:2] for key in said}):,} entities; of {several:,} ")
    say("there were several answers, the most frequent of which is kept\n")
    entries = {}
    for key in sorted(said):
        kind, name, slot = key
        facility = slot.removeprefix(FACILITY)
        asked = f"{{}}提供{facility}吗？" if facility != slot else ASKED[slot]
        values = max(sorted(said[key]), key=said[key].__getitem__)
        entries[key] = {
            **dict(zip(("kind", "entity", "property"), key, strict=True)),
            "question": asked.format(f"这家{kind}" if kind != "景点" else f"这个{kind}"),
            "answer": f"{name}：{facility}：{'、'.join(values)}。",
        }
    return entries


def rows_of(dialogue: Row, entries: dict[Key, Row]) -> list[Row | None]:
    """Return the turns with all before, and what answers them; None where that is not known."""
    texts = [message["content"] for message in dialogue["messages"]]
    rows: list[Row | None] = []
    for turn in turns_of(dialogue):
        source = [
            {name: entries[key][name] for name in ("kind", "entity", "property")}
            for key in sorted(turn.asked)
            if key in entries
        ]
        row = {"turns": texts[: turn.number + 1], "asks": bool(source), "source": source}
        rows.append(row if turn.is_clear and bool(source) == bool(turn.asked) else None)
    return rows


def last_turn(row: Row) -> Row:
    """Return the last turn of a dialogue, and whether it asks for knowledge."""
    return {"text": row["turns"][-1], "label": "yes" if row["asks"] else "no"}


def main(source: Path, target: Path) -> None:
    """Write the knowledge base, dialogues to choose by and to test, and last turns of the gate."""
    splits = {name: _read(source / f"{name}.jsonl.gz") for name in ("val", "test")}
    entries = entries_of([dialogue for several in splits.values() for dialogue in several])
    gate: list[Row] = []
    asked: dict[str, list[Row]] = {"validation": [], "test": []}
    unknown = 0
    for split, dialogues in splits.items():
        for dialogue in dialogues:
            every = rows_of(dialogue, entries)
            number, rows = number_of(dialogue["id"]), [row for row in every if row is not None]
            unknown += len(every) - len(rows)
            if split == "val" and number % 100 < GATE:
                gate += map(last_turn, rows)
            else:
                # One turn a dialogue: so rows are independent, as the stated risk wants them.
                name = "test" if split == "test" else "validation"
                asked[name].append(rows[number // 100 % len(rows)])
    say(f"{unknown:,} questions left out: what they are about, or its answer, is not known\n")
    target.mkdir(parents=True, exist_ok=True)
    files = {"knowledge": list(entries.values()), "gate": gate, **asked}
    files["gate_test"] = [last_turn(row) for row in asked["test"]]
    for name, several in files.items():
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in several)
        (target / f"{name}.jsonl").write_text(content, encoding="utf-8")
        say(f"{name}: {len(several):,} rows\n")


def _read(file: Path) -> list[Row]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
