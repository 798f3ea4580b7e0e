"""Built-in sample data: small enough to learn in seconds, too varied to overfit at once.

Sentences come from the templates below, filled with names by a generator of our own, so that they
are the same in every version of Python. Evaluation has names and words that training has not.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, TypeVar

from lushan.common.arrays import pa
from lushan.configurable import configurable
from lushan.data.encode import arrow
from lushan.data.fields import DIALOGUES, DOCUMENTS, LABELLED, PAIRS, WORDS, Fields
from lushan.data.source import Source, hash_json
from lushan.errors import UserError
from lushan.text.words import join_words

T = TypeVar("T")
Values = dict[str, Sequence[str] | Sequence[Sequence[str]]]
Example = tuple[list[str], list[str]]
SIZES = {"train": 200, "validation": 60, "test": 60}

# The last sixth of each list stands in evaluation only. Some names are of two kinds, and only the
# words around them determine which.
_NAMES = {
    "PER": "Anna|Bob Miller|Maria Lopez|Jordan|Li Wei|Tom|Grace Kim|Washington|Chen Yu|Sara|"
    "Omar Haddad|Florence",
    "LOC": "Paris|New York|Jordan|Mount Lu|Washington|Lake Como|Berlin|Amazon|Nanjing|Kyoto|"
    "Cape Town|Florence",
    "ORG": "Amazon|Red Cross|Bank of Jordan|Orange|Shell|Paris Motors|United Steel|Apple|"
    "Lotus|Delta|Sun Foods|Washington Post",
    "人": "李白|苏轼|王小明|江山|陈静|白云|张华|黄河清|林海|高山|周庐|马南京",
    "地": "庐山|南京|北京|九江|白云|江州|黄山|长江|高山|上海|林海|周庄",
    "机": "北京大学|白云公司|九江银行|长江医院|黄山集团|新华社|南京书局|江山报社|上海银行|林海公司",
}
_TYPES = {"人": "PER", "地": "LOC", "机": "ORG"}
_SENTENCES = """\
{PER} lives in {LOC} .
{PER} works for {ORG} in {LOC} .
{ORG} opened an office in {LOC} last spring .
We met {PER} at {ORG} .
The people of {LOC} like rain .
{PER} and {PER} went to {LOC} by train .
{ORG} hired {PER} .
She said that {LOC} is cold in May .
"{ORG} pays well" , {PER} said .
It may rain today .
He bought an orange and an apple .
From {LOC} to {LOC} it takes a day .
{LOC} , seen by {PER}
Shares of {ORG} fell , and those of {ORG} rose .
My sister {PER} reads the news of {ORG} .
Nobody was there .
{人}住在{地}。
{人}在{机}工作。
{机}在{地}开了分店。
{人}和{人}去了{地}。
昨天我们在{地}见到了{人}。
{机}聘请了{人}。
{地}今天下雨。
今天没有人来。
山上有白云。
{人}写过{地}。
从{地}到{地}要一天。
{机}的{人}说，{地}很冷。
"""

_WORDS = {
    "G": "wonderful|lovely|fresh|kind|bright|warm|charming|superb",
    "B": "awful|cold|rude|dirty|boring|slow|noisy|dreadful",
    "T": "film|room|soup|staff|book|music|garden|coffee",
    "好": "精彩|好看|舒服|新鲜|热情|美味|安静|动人",
    "坏": "糟糕|难看|冷淡|无聊|肮脏|难吃|吵闹|乏味",
    "物": "电影|房间|汤|服务|风景|书|音乐|故事",
}
_REVIEWS = """\
positive	The {T} was {G} .
positive	{G} {T} , {G} {T} !
positive	I expected a {B} {T} , but it was {G} .
positive	The {T} was {G} , not {B} .
positive	We liked the {G} {T} .
positive	{物}很{好}。
positive	{物}一点也不{坏}，很{好}。
positive	以为{物}会{坏}，其实很{好}。
negative	The {T} was {B} .
negative	{B} {T} , {B} {T} .
negative	I expected a {G} {T} , but it was {B} .
negative	The {T} was {B} , not {G} .
negative	We left the {B} {T} .
negative	{物}很{坏}。
negative	{物}一点也不{好}，很{坏}。
negative	以为{物}会{好}，其实很{坏}。
neutral	The {T} was like any other {T} .
neutral	We saw the {T} and went home .
neutral	The {T} was neither {G} nor {B} .
neutral	There is a {T} next to the {T} .
neutral	{物}和别的{物}一样。
neutral	我们看了{物}就回家了。
neutral	{物}{好}，{物}{坏}。
"""
_SLOT = re.compile(r"\{(\w+)\}")


class Chance:
    """A small linear congruential generator (Knuth's MMIX constants)."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def pick(self, options: Sequence[T]) -> T:
        """Return one of some options."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return options[(self._state >> 33) % len(options)]


def _options(words: str, split: str) -> list[str]:
    """Return the words that may fill a slot: evaluation also has the last sixth."""
    every = words.split("|")
    return every if split != "train" else every[: len(every) * 5 // 6]


@functools.cache
def _fresh(make: Callable[[str], Iterator[T]], split: str) -> tuple[T, ...]:
    """The examples of a split: none twice, and none that a split before it has.

    A run asks for each split several times: to read it, and for its fingerprint.
    """
    seen: set[str] = set()
    for name, size in SIZES.items():
        examples: list[T] = []
        for example in make(name):
            if repr(example) not in seen:
                seen.add(repr(example))
                examples.append(example)
                if len(examples) == size:
                    break
        if name == split:
            return tuple(examples)
    raise AssertionError(f"no split {split}")


def _sentences(split: str) -> Iterator[Example]:
    """Tokens and IOB2 tags, without end."""
    chance = Chance(1 + list(SIZES).index(split))
    templates = _SENTENCES.splitlines()
    names = {kind: _options(text, split) for kind, text in _NAMES.items()}
    while True:
        tokens: list[str] = []
        tags: list[str] = []
        # With one group in the pattern, every other part of the split is a slot's name.
        for place, part in enumerate(_SLOT.split(chance.pick(templates))):
            words = _words(chance.pick(names[part]) if place % 2 else part)
            kind = _TYPES.get(part, part)
            tokens += words
            if place % 2:
                tags += [f"{'I' if i else 'B'}-{kind}" for i in range(len(words))]
            else:
                tags += ["O"] * len(words)
        yield tokens, tags


def _words(text: str) -> list[str]:
    """Words between blanks; each Chinese character is one."""
    return [word for part in text.split() for word in ([part] if part.isascii() else part)]


def _reviews(split: str) -> Iterator[tuple[str, str]]:
    """Text and label, without end."""
    chance = Chance(11 + list(SIZES).index(split))
    templates = [line.split("\t") for line in _REVIEWS.splitlines()]
    words = {slot: _options(text, split) for slot, text in _WORDS.items()}
    while True:
        label, template = chance.pick(templates)
        text = _SLOT.sub(lambda slot: chance.pick(words[slot[1]]), template)
        yield text[0].upper() + text[1:], label


@dataclasses.dataclass(kw_only=True)
class Sample(Source):
    """A built-in set: its splits are fixed."""

    name: ClassVar[str]

    train: str | None = "train"
    validation: str | float | None = "validation"
    test: str | float | None = "test"

    def __post_init__(self) -> None:
        for split in SIZES:
            value = getattr(self, split)
            if value not in (split, None):
                raise UserError(
                    "the built-in sample data has no files",
                    key=f"data.{split}",
                    value=value,
                    hint="Set the format too: data=conll, data=jsonl, data=table or data=hub.",
                )
        super().__post_init__()

    def hash_of(self, split: str, name: str) -> str:
        """Return a hash of the rows of a split."""
        rows = self.load(split, name, []).select([0, 1, 2]).to_pylist()
        return hash_json(rows)


@dataclasses.dataclass(kw_only=True)
class SampleTable(Sample):
    """A built-in set of which each split has as many rows as `SIZES` says."""

    @abc.abstractmethod
    def _columns(self, split: str) -> dict[str, pa.Array]:
        """Make the columns of a split that fields describe."""

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Make one split."""
        lines = self._lines(split)
        return pa.table(
            {
                "id": arrow.texts(self._ids(split)),
                **self._columns(split),
                "line": arrow.numbers(lines, pa.int64()),
                "file": arrow.texts([f"{self.name}/{split}"] * len(lines)),
            }
        )

    @staticmethod
    def _lines(split: str) -> range:
        return range(1, SIZES[split] + 1)

    def _ids(self, split: str) -> list[str]:
        return [f"{split}:{n}" for n in self._lines(split)]


@dataclasses.dataclass(kw_only=True)
class SampleTexts(SampleTable):
    """A set of texts and lists of texts, which are hashed without Arrow."""

    @abc.abstractmethod
    def _values(self, split: str) -> Values:
        """Return the values of the columns of a split that fields describe."""

    def hash_of(self, split: str, name: str) -> str:
        """Return the hash that is that of the rows, of which the first two columns count."""
        columns = {"id": self._ids(split), **self._values(split), "line": self._lines(split)}
        names = list(columns)[:3]
        rows = zip(*(columns[name] for name in names), strict=True)
        return hash_json([dict(zip(names, row, strict=True)) for row in rows])

    def _columns(self, split: str) -> dict[str, pa.Array]:
        return {name: _column(values) for name, values in self._values(split).items()}


def _column(values: Sequence[str] | Sequence[Sequence[str]]) -> pa.Array:
    texts = [value for value in values if isinstance(value, str)]
    return arrow.texts(texts) if texts else arrow.text_lists(values)


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleNER(SampleTexts):
    """Sentences in English and Chinese with people, places and organisations."""

    gives: ClassVar[Fields | None] = WORDS

    name: ClassVar[str] = "sample_ner"

    def _values(self, split: str) -> Values:
        tokens, tags = zip(*_fresh(_sentences, split), strict=True)
        return {"tokens": tokens, "tags": tags}


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleReviews(SampleTexts):
    """Reviews in English and Chinese: positive, negative or neutral."""

    gives: ClassVar[Fields | None] = LABELLED

    name: ClassVar[str] = "sample_reviews"

    def _values(self, split: str) -> Values:
        texts, labels = zip(*_fresh(_reviews, split), strict=True)
        return {"text": texts, "label": labels}


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleText(SampleTexts):
    """Short documents in English and Chinese: a few reviews each, without their labels."""

    gives: ClassVar[Fields | None] = DOCUMENTS

    name: ClassVar[str] = "sample_text"

    def _values(self, split: str) -> Values:
        return {"text": _fresh(_documents, split)}


def _documents(split: str) -> Iterator[str]:
    """One to six reviews in a row, without end."""
    chance, reviews = Chance(21 + list(SIZES).index(split)), _reviews(split)
    while True:
        yield "\n".join(next(reviews)[0] for _ in range(chance.pick(range(1, 7))))


_EXCHANGES = """\
What is {a} plus {b} ?	{a} plus {b} is {c} .
{a}加{b}是多少？	{a}加{b}是{c}。
Good morning .	Good morning . How can I help you ?
你好。	你好，有什么可以帮您？
Which of {a} and {b} is the first ?	The first is {a} .
Count to {d} .	{count} .
Thank you .	You are welcome .
谢谢。	不客气。
"""


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleChat(SampleTable):
    """Dialogues in English and Chinese: sums, counting and good manners."""

    gives: ClassVar[Fields | None] = DIALOGUES

    name: ClassVar[str] = "sample_chat"

    def _columns(self, split: str) -> dict[str, pa.Array]:
        return {"messages": arrow.record_lists(_fresh(_dialogues, split), ("role", "content"))}


def _dialogues(split: str) -> Iterator[list[tuple[str, str]]]:
    """One to three exchanges, some under a system message, without end."""
    chance = Chance(31 + list(SIZES).index(split))
    exchanges = [line.split("\t") for line in _EXCHANGES.splitlines()]
    while True:
        messages = [("system", "Answer in one sentence .")] * (chance.pick(range(4)) == 0)
        for _ in range(chance.pick(range(1, 4))):
            a, b, d = chance.pick(range(10)), chance.pick(range(10)), chance.pick(range(2, 10))
            count = " ".join(map(str, range(1, d + 1)))
            filled = [
                part.format(a=a, b=b, c=a + b, d=d, count=count) for part in chance.pick(exchanges)
            ]
            messages += zip(("user", "assistant"), filled, strict=True)
        yield messages


_NEWS = """\
{PER} lives in {LOC} .	{PER} in {LOC}	{PER} lives in {LOC}
{PER} was seen in {LOC} yesterday .	{PER} in {LOC}	{PER} seen in {LOC}
{ORG} opened an office in {LOC} last spring .	{ORG} in {LOC}	{LOC} has {ORG}
After long talks {ORG} hired {PER} .	{PER} joins {ORG}	{ORG} hires {PER}
In {LOC} it may rain today .	rain in {LOC}	it may rain in {LOC}
{人}住在{地}。	{人}在{地}	{人}住{地}
昨天有人在{地}见到了{人}。	{人}在{地}	{地}见到{人}
{机}去年在{地}开了分店。	{机}到{地}	{地}有{机}
{机}聘请了{人}。	{人}到{机}	{机}聘{人}
{地}今天下雨。	{地}有雨	{地}下雨
"""


@configurable
@dataclasses.dataclass(kw_only=True)
class SamplePairs(SampleTexts):
    """News in English and Chinese with their headlines; in evaluation two of each."""

    gives: ClassVar[Fields | None] = PAIRS

    name: ClassVar[str] = "sample_pairs"

    def _values(self, split: str) -> Values:
        news = _fresh(_news, split)
        most = 1 if split == "train" else 2
        return {
            "source": [join_words(sentences)[0] for sentences, _ in news],
            "targets": [headlines[:most] for _, headlines in news],
            "lead": [sentences[0] for sentences, _ in news],
        }


def _news(split: str) -> Iterator[tuple[list[str], list[str]]]:
    """One to three sentences, and the headlines of the first, without end."""
    chance = Chance(41 + list(SIZES).index(split))
    templates = [line.split("\t") for line in _NEWS.splitlines()]
    names = {kind: _options(text, split) for kind, text in _NAMES.items()}
    while True:
        written: list[list[str]] = []
        for _ in range(chance.pick(range(1, 4))):
            chosen = {kind: chance.pick(options) for kind, options in names.items()}
            written.append([part.format(**chosen) for part in chance.pick(templates)])
        yield [sentence for sentence, *_ in written], written[0][1:]
