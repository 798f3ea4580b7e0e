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
from lushan.models import image_codecs
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

    Args:
        images: Makes the codec of frames; see `lushan.models.image_codecs`.
        frames: Of a video; one that has fewer is refused.
        fps: Frames of a second of what is made.
        drop_prompt: Share of the texts that training drops, for guidance.
        guidance: How far making is led away from videos without a text; 1 is not at all.
        guidances: Others of which the final evaluation makes videos, too, with one training: the
            metrics of these have names such as `round_trip_match_guidance_4`.
        temperature: Of making; 0 takes the likeliest code each time.
        top_k: Likewise: only so many of the likeliest codes; 0 is all.
        generate: Whether the final evaluation makes a video of each text, a text of each video, and
            a text of each video that it has made.
        metrics: More metrics, by name: of one's own, which take an example's row: `text`, sums over
            tokens, and with `generate` its video as `png` (an animated one), `caption` and
            `round_trip`.
        monitor: The metric that chooses the best checkpoint.
    """

    fields = CLIPS
    medium = "video"
    written_as = clips.ENDINGS

    def __init__(
        self,
        *,
        images: image_codecs.Make,
        frames: Annotated[int, Within(least=2, most=MOST_TAKEN)] = 3,
        fps: Annotated[float, Within(above=0, most=60)] = 4.0,
        drop_prompt: Annotated[float, Within(least=0, below=1)] = 0.1,
        guidance: Annotated[float, Within(least=0)] = 2.0,
        guidances: Sequence[float] = (),
        temperature: Annotated[float, Within(least=0)] = 1.0,
        top_k: Annotated[int, Within(least=0)] = 0,
        generate: bool = True,
        metrics: dict[str, Any] | None = None,
        monitor: str | None = None,
    ) -> None:
        super().__init__(
            images=images,
            drop_prompt=drop_prompt,
            guidance=guidance,
            guidances=guidances,
            temperature=temperature,
            top_k=top_k,
            generate=generate,
            metrics=metrics,
            monitor=monitor,
        )
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
