"""Dialogues: the assistant's turns are learned, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.common.wording import plural
from lushan.configurable import Within, configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import DIALOGUES, Messages, Text
from lushan.data.messages import TOOLS, dialogues_of, stored_message
from lushan.data.processing import require_tokenizer
from lushan.data.record_schema import Entry
from lushan.data.references import Keep
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models import decoding as writing
from lushan.models.exported import CONVERSATIONS, ExportSpec, TrainedModel
from lushan.models.language import language_model
from lushan.tasks import dialogue_images, language_export
from lushan.tasks.batches import IGNORED, Batch, Features, Limits, pad
from lushan.tasks.dialogue_features import SEED, UNSEEN, DialogueEncoder, Turn, shifted
from lushan.tasks.dialogue_images import OF_IMAGES, SEEN, Sight, images_in_batch, separate
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.language import LanguageTask, with_bytes
from lushan.text import parts
from lushan.text.chat import ChatTemplate, choose
from lushan.vision.reader import Seen, reader_of

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from lushan.data.encode.encoding import Encoded
    from lushan.data.processing import Processor


@configurable
class Chat(LanguageTask):
    """Learn to answer: the loss is that of the assistant's turns alone, each with its end.

    Turns of the weight 0 (`weight: 0`, `train: false`) are read, and not learned nor evaluated; the
    losses of another weight's tokens are multiplied by it, in training and in all metrics of the
    loss, and divided by the sum of the weights. Tool calls, tools, reasoning and whatever other
    fields messages have are written by the template as far as it shows them; what it does not show
    is counted.

    A dialogue that is longer than `data.max_length` is learned in windows, each turn in one of
    them, after as much of what was said as fits; see `lushan.text.windows`.

    With a processor that makes images, too, messages may hold some, and the model is one for images
    and text. A dialogue with images is not read in windows: one that is too long is refused.

    Args:
        template: Chat template: `chatml`, `llama3`, `plain`, or a Jinja file. The default is the
            tokenizer's own, or `plain` if it has none.
        generate_examples: Number of dialogues of each split for which a turn is generated with the
            best checkpoint and compared with the reference; 0 for none.
        generate_turn: Turn to generate: the `last` one, which in many data sets is a farewell, or
            `any`: a random one, the same in every run.
        max_new_tokens: Maximum number of tokens of a generated turn.
        blind: Whether to remove images from messages, to measure what can be answered without them.
        metrics: More metrics, by name: torchmetrics classes for texts, or your own classes.
        monitor: Metric that selects the best checkpoint.
    """

    fields = DIALOGUES
    per_byte = True
    auto_class = "AutoModelForCausalLM"
    labels_of_tokens: ClassVar[Literal["next", "same", "apart"] | None] = "next"

    def __init__(
        self,
        *,
        template: str | None = None,
        generate_examples: Annotated[int, Within(least=0)] = 100,
        generate_turn: Turn = "last",
        max_new_tokens: Annotated[int, Within(least=1)] = 128,
        blind: bool = False,
        metrics: dict[str, Any] | None = None,
        monitor: str | None = None,
    ) -> None:
        super().__init__(metrics=metrics, monitor=monitor)
        self.generate_examples, self.max_new_tokens = generate_examples, max_new_tokens
        self.generate_turn = generate_turn
        self.generates = generate_examples > 0
        self.blind = blind
        self.sight = Sight(blind=blind)
        self.wanted = template
        self.source: str | None = None
        self.template: ChatTemplate | None = None
        self.sample: set[int] | None = None

    @classmethod
    def generates_with(cls, node: Mapping[str, Any]) -> bool:
        return bool(node.get("generate_examples", 1) > 0)

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        text = Text(optional=True)  # an answer is generated for some examples alone
        both = {"gold": Entry(text, "gold"), "predicted": Entry(text, "predicted")}
        said = {"messages": Entry(Messages(optional=True), "input")}
        return {**super().record_fields, **(said if self.sight.reader else {}), **both}

    # The template

    def state(self) -> dict[str, Any]:
        return {"template": self.source}

    def restore(self, state: dict[str, Any]) -> None:
        self.source = state["template"]

    def use(self, processor: Any) -> None:
        """Choose the template, and give it to the tokenizer: they are saved together."""
        tokenizer = require_tokenizer(processor)
        super().use(processor)
        reader = reader_of(processor)
        image = ""
        if reader is not None:
            self.auto_class, image = "AutoModelForImageTextToText", reader.token
            tokenizer.chat_template = tokenizer.chat_template or processor.chat_template
        self.sight = Sight(reader, self.blind)
        self.moves_all = self.sight.sees
        if self.source is None:
            self.template = choose(self.wanted, tokenizer, image)
        else:
            self.template = ChatTemplate(self.source, tokenizer, self.wanted, image)
        self.source = tokenizer.chat_template = self.template.source
        if reader is not None:
            processor.chat_template = self.source

    @property
    def schema(self) -> pa.Schema:
        """Columns of a feature."""
        return self._encoder.schema

    def options(self) -> dict[str, Any]:
        asked: dict[str, Any] = {"generate_turn": self.generate_turn}
        if self.blind:
            asked["blind"] = True
        return {"task": "chat", "template": self.source, **asked}

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        return self._encoder.encode(rows, first, limits)

    @property
    def _encoder(self) -> DialogueEncoder:
        assert self.template is not None
        return DialogueEncoder(self.template, self.tokenizer, self.generate_turn, self.sight)

    def count(self, features: Features) -> dict[str, int]:
        names = ("split", "disguised")
        unseen = sum(features.get(UNSEEN, ()), Counter[str]())
        counts = super().count(features) | {n: s for n in names if (s := int(sum(features[n])))}
        counts |= {f"{UNSEEN} {name}": n for name, n in sorted(unseen.items())}
        return counts | dialogue_images.count(features)

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        return [self.sight.drawn(shifted(row)) if "images" in row else shifted(row) for row in rows]

    def remember(
        self, model: nn.Module, encoded: Mapping[str, Encoded], folder: Path, device: torch.device
    ) -> list[str]:
        return self.sight.remember(language_model(model).model, encoded, folder, device)

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        batch = super().collate(rows)
        more = {n: torch.tensor([int(row[n]) for row in rows]) for n in ("bytes", "asked")}
        if any((row["weights"][row["labels"] != IGNORED] != 1).any() for row in rows):
            more["weights"] = pad([row["weights"] for row in rows], 0, np.float32)
        if "seen" in rows[0]:
            more |= images_in_batch([row["seen"] for row in rows])
            more["images_asked"] = torch.tensor([int(row["images_asked"][0]) for row in rows])
        return batch | more

    def inputs(self, batch: Batch) -> Batch:
        own = ("bytes", "asked", "weights", *OF_IMAGES)
        given = super().inputs(batch).items()
        return {k.removeprefix(SEEN): v for k, v in given if k not in own}

    # Evaluation

    def prompts(self, rows: dict[str, list[Any]]) -> list[list[int]]:
        assert self.template is not None
        found = []
        for dialogue, tools in zip(*dialogues_of(rows), strict=True):
            found.append(self.template.prompt(self.sight.shown(_unanswered(dialogue)), tools))
        return found

    def media(self, rows: dict[str, list[Any]]) -> list[Seen] | None:
        if not self.sight.sees:
            return None
        found = []
        for dialogue in dialogues_of(rows)[0]:
            images = [i for m in _unanswered(dialogue) for i in parts.images_of(m.get("content"))]
            found.append(self.sight.inputs_of(images))
        return found

    def endings(self, model: PreTrainedModel) -> list[int]:
        assert self.template is not None
        return list(dict.fromkeys([*self.template.stops, *super().endings(model)]))

    def encoding_notes(self, split: str, counts: Mapping[str, int]) -> Iterator[str]:
        yield from super().encoding_notes(split, counts)
        if long := counts.get("split"):
            what = plural(long, "dialogue is", "dialogues are")
            yield f"{split}: {what} split into windows of max_length"
        if disguised := counts.get("disguised"):
            what = "dialogues contain the text of a control token"
            yield f"{split}: {disguised} {what}, which is treated as plain text"
        for name, number in counts.items():
            if name.startswith("unseen "):
                what = name.removeprefix("unseen ")
                yield f"{split}: the chat template does not show {what} ({number} times)"
        yield from dialogue_images.notes(split, counts)

    def begin(self, table: pa.Table) -> None:
        order = np.random.default_rng(SEED).permutation(table.num_rows)
        self.sample = set(order[: self.generate_examples].tolist())

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        loss, records = super().predict(model, batch)
        sizes = batch["bytes"].tolist()
        return loss, [{**r, "bytes": n} for r, n in zip(records, sizes, strict=True)]

    def generate(self, model: nn.Module, batch: Batch) -> Records:
        """Generate one turn of each dialogue of the sample."""
        found: Records = [{} for _ in range(len(batch["example"]))]
        prompts, seen = {}, separate(batch)
        for row, (example, asked) in enumerate(
            zip(batch["example"].tolist(), batch["asked"].tolist(), strict=True)
        ):
            if asked and (self.sample is None or example in self.sample):
                prompts[row] = batch["input_ids"][row, :asked].tolist()
        media = [seen[row] for row in prompts] if seen else None
        answers = self.answer(model, list(prompts.values()), media)
        for row, more in zip(prompts, answers, strict=True):
            found[row] = more
        return found

    def answer(
        self,
        model: nn.Module,
        prompts: Sequence[list[int]],
        media: Sequence[Seen] | None = None,
    ) -> Records:
        """`generated`, the likeliest next turn of each of some dialogues.

        Args:
            model: From `build`.
            prompts: Tokens behind which the assistant speaks. Of one that leaves no room in the
                model's positions the end is taken, and the answer is `shortened`; of one with
                images nothing is taken away.
            media: What the model reads of the images of each.
        """
        if not prompts:
            return []
        assert self.template is not None
        encoder = language_model(model)
        longest, new = encoder.max_length, self.max_new_tokens
        room = max(map(len, prompts))
        if longest is not None:
            new = min(new, max(1, longest // 2))
            room = longest - new
            if media is not None and any(media):
                room = max(room, *(len(p) for p, seen in zip(prompts, media, strict=True) if seen))
                new = max(1, longest - room)
        generated = writing.generate(
            encoder.model,
            [prompt[-room:] for prompt in prompts],
            writing.Settings(max_new_tokens=new, greedy=True),
            tokenizer=self.tokenizer,
            endings=self.template.stops,
            media=media,
        )
        return [
            {"generated": texts[0].text.strip(), "shortened": len(prompt) > room}
            for texts, prompt in zip(generated, prompts, strict=True)
        ]

    def join(self, table: pa.Table, records: Records) -> Records:
        joined = super().join(table, records)
        generated = {r["example"]: r["generated"] for r in records if "generated" in r}
        for example, text in generated.items():
            (messages,), (tools,) = dialogues_of(table.slice(example, 1).to_pydict())
            gold = self._encoder.asked_text(messages, tools, example)
            joined[example] |= {"predicted": text, "gold": gold}
        return joined

    def _with_messages(self, table: pa.Table, joined: Records, keep: Keep) -> Records:
        """Records with what was said before a turn that was generated, images as files."""
        found = []
        for example, record in enumerate(joined):
            said = {}
            if "predicted" in record:
                (messages,), _ = dialogues_of(table.slice(example, 1).to_pydict())
                before = messages[: self._encoder.asked_place(messages, example)]
                said = {"messages": [stored_message(m, keep) for m in before]}
            found.append({**record, **said})
        return found

    def present(self, table: pa.Table, joined: Records) -> Records:
        names = [name for name in ("messages", TOOLS) if name in table.column_names]
        dialogues = zip(*dialogues_of(table.select(names).to_pydict()), strict=True)
        shown = super().present(table, joined)
        return [
            {
                "id": row["id"],
                "messages": [stored_message(m) for m in messages],
                **({TOOLS: tools} if tools else {}),
                **row,
            }
            for (messages, tools), row in zip(dialogues, shown, strict=True)
        ]

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        sizes = np.zeros(table.num_rows)
        for record in records:
            sizes[record["example"]] += record["bytes"]
        joined = with_bytes(self.join(table, records), sizes)
        generated = [place for place, row in enumerate(joined) if "predicted" in row]
        result = Evaluation({}, records=joined if full else [])
        if full and self.sight.reader is not None:
            result.records = self._with_messages(table, joined, result.add_file)
        result.add(self.of_rows(joined, full=full, alone=not self.generates))
        if generated:
            rows = [joined[place] for place in generated]
            predicted, gold = ([row[k] for row in rows] for k in ("predicted", "gold"))
            found, notes = self.of_texts(
                predicted, [[text] for text in gold], full=full, examples=generated, records=rows
            )
            result.add(found)
            which = "the last turn" if self.generate_turn == "last" else "one turn"
            result.notes = [f"{which} of {len(generated)} dialogues was generated", *notes]
            if shortened := sum(bool(record.get("shortened")) for record in records):
                result.notes.append(
                    f"{shortened} of them from a truncated dialogue, because of the model's "
                    f"length limit"
                )
        if full:
            dialogues = table.column("messages").to_pylist()
            answers = [m for messages in dialogues for m in messages if m["role"] == "assistant"]
            self.note_lost_text(result, [(m["content"] or "").strip() for m in answers])
        return result

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        if self.sight.sees:
            return language_export.image_text(self, trained)
        if self.sight.reader is not None:
            raise UserError("a model that never saw its images", key="task.blind", value=True)

        def ids_of(tokenizer: Any, messages: object) -> list[int]:
            options = {"add_generation_prompt": True, "return_dict": True}
            return list(tokenizer.apply_chat_template(messages, **options)["input_ids"])

        prompt = '[{"role": "user", "content": "Hello"}]'
        rows = {"messages": CONVERSATIONS}
        return language_export.causal(self, trained, rows, ids_of=ids_of, prompt=prompt)

    def special_ids(self, processor: Processor) -> dict[str, int]:
        found = super().special_ids(processor)
        if self.template is not None and self.template.image_id is not None:
            found["image_token_id"] = self.template.image_id
        return found

    @classmethod
    def demo(cls) -> Corpus:
        rows = [
            [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")],
            [("system", "in Chinese"), ("user", "月"), ("assistant", "明月几时有")],
            [("assistant", "hello"), ("user", "bye"), ("assistant", "good bye")],
        ] * 3
        messages = [[{"role": r, "content": c} for r, c in row] for row in rows]
        return demo_corpus(DIALOGUES, {"messages": messages})


def _unanswered(dialogue: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the messages before the answer with which a dialogue may end."""
    answered = bool(dialogue) and dialogue[-1]["role"] == "assistant"
    return dialogue[:-1] if answered else dialogue
