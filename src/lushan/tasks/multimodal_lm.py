"""Language models of one vocabulary of text and images, which draw texts and caption images."""

from __future__ import annotations

from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Image, Text
from lushan.data.references import structs
from lushan.data.source import Corpus
from lushan.tasks.pair_lm import PairLM
from lushan.vision import images

SCENES: Fields = {"text": Text(optional=True), "image": Image(optional=True)}


@configurable
class MultimodalLM(PairLM):
    """Learn to draw images from texts, and to caption images, with one causal language model.

    A row is learned in both directions: a text and then the codes of its image, and the codes and
    then the text. What stands first is not learned.

    Args:
        images: Makes the codec of images; see `lushan.models.image_codecs`.
        drop_prompt: Share of the texts that training drops, for guidance.
        guidance: How far drawing is led away from images without a text; 1 is not at all.
        guidances: Others of which the final evaluation draws each text, too, with one training: the
            metrics of what is drawn have names such as `round_trip_match_guidance_4`.
        temperature: Of drawing; 0 takes the likeliest code each time.
        top_k: Of drawing: only so many of the likeliest codes; 0 is all.
        generate: Whether the final evaluation draws each text, captions each image, and captions
            what it has drawn.
        metrics: More metrics, by name: of one's own, which take an example's row: `text`, sums over
            tokens, and with `generate` its drawing as `png`, `caption` and `round_trip`.
        monitor: The metric that chooses the best checkpoint.
    """

    fields = SCENES
    medium = "image"

    @classmethod
    def demo(cls) -> Corpus:
        colors = ["red", "green", "blue"] * 2
        found = [{"path": "", "bytes": images.encoded(color)} for color in colors]
        return demo_corpus(SCENES, {"text": [f"all {c}" for c in colors], "image": structs(found)})
