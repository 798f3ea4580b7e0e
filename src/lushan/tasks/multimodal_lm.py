"""Language models of one vocabulary of text and images, which draw texts and caption images."""

from __future__ import annotations

from lushan.configurable import configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Image, Text
from lushan.data.references import structs
from lushan.data.source import Corpus
from lushan.tasks.pair_lm import PairLM
from lushan.vision import images

SCENES: Fields = {"text": Text(optional=True, names=("caption",)), "image": Image(optional=True)}


@configurable
class MultimodalLM(PairLM):
    """Learn to draw images from texts, and to caption images, with one causal language model.

    A row is learned in both directions: a text and then the codes of its image, and the codes and
    then the text. What stands first is not learned.

    The arguments are those of `PairLM`.
    """

    fields = SCENES
    medium = "image"

    @classmethod
    def demo(cls) -> Corpus:
        colors = ["red", "green", "blue"] * 2
        found = [{"path": "", "bytes": images.encoded(color)} for color in colors]
        return demo_corpus(SCENES, {"text": [f"all {c}" for c in colors], "image": structs(found)})
