"""Language models of one vocabulary of text and frames, which make videos of texts, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from lushan.configurable import Within, configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Text
from lushan.data.media_fields import Video
from lushan.data.references import structs
from lushan.data.source import Corpus
from lushan.models.clip_codecs import ClipCodec
from lushan.tasks.pair_lm import PairLM
from lushan.vision import clips
from lushan.vision.video import MOST_TAKEN

CLIPS: Fields = {"text": Text(optional=True), "video": Video(optional=True)}


@configurable
class VideoLM(PairLM):
    """Learn to make short videos of texts, and texts of videos, with one causal language model.

    A video is so many frames, evenly sampled, and its tokens are the codes of these, frame after
    frame. A row is learned in both directions, as one of `multimodal_lm` is.

    Other arguments are those of `PairLM`.

    Args:
        frames: Number of frames of a video; shorter videos are refused.
        fps: Frames per second of generated videos.
    """

    fields = CLIPS
    medium = "video"
    written_as = clips.ENDINGS

    def __init__(
        self,
        *,
        frames: Annotated[int, Within(least=2, most=MOST_TAKEN)] = 3,
        fps: Annotated[float, Within(above=0, most=60)] = 4.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.frames, self.fps = frames, fps

    def prepare(self, corpus: Corpus) -> None:
        super().prepare(corpus)
        self.images = ClipCodec(self.images, self.frames, self.fps)

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state["images"])
        self.images = ClipCodec(self.images, self.frames, self.fps)

    def decoded(self, values: Sequence[Any], names: Sequence[Any]) -> list[Any]:
        return [
            clips.exactly(value["bytes"], value["path"] or str(name), self.frames)
            for value, name in zip(values, names, strict=True)
        ]

    @classmethod
    def demo(cls) -> Corpus:
        colors = ["red", "green", "blue"] * 2
        found = [{"path": "", "bytes": clips.flashing(color)} for color in colors]
        return demo_corpus(CLIPS, {"text": [f"all {c}" for c in colors], "video": structs(found)})
