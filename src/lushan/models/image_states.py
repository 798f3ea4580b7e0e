"""What vision towers make of images: of a frozen one once, of one that learns once a batch.

The states of a frozen tower are kept in files, which all runs share. A file's name is a fingerprint
of the images, of the processor that reads them and of the tower with its weights, so it is never
stale. The states are those of evaluation, without dropout, in float32.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lushan.checkpoint.weights import weights_hash
from lushan.common.wording import plural
from lushan.data.encode.encoding import code_version, fingerprint_of
from lushan.run.caches import provide, replacing

if TYPE_CHECKING:
    from lushan.vision.reader import Seen

PIXELS = "pixel_values"
"""What a tower reads; states of it stand in its place, with a dimension less."""
AT_ONCE = 32
"""Images that a tower reads at once."""
LARGEST = 8 << 30
"""Bytes of a file of states; of more images than have room, they are computed in each step."""
_CLOSE = 1e-4
"""By how much what a model makes of an image may differ."""

Decode = Callable[[str], "Seen"]
"""Gives what a model reads of an image, by its key."""


class ImageStates:
    """States of images by keys, in files that are mapped into memory."""

    def __init__(self) -> None:
        self._files: list[Any] = []
        self._places: dict[str, tuple[int, int]] = {}

    def add(self, keys: Iterable[str], path: Path) -> None:
        """Add a file with the states of images, in the order of their keys."""
        self._files.append(np.asarray(np.load(path, mmap_mode="r")))
        number = len(self._files) - 1
        self._places |= {key: (number, row) for row, key in enumerate(keys)}

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> Seen:
        """Return what stands for an image among a model's inputs: `pixel_values`, (1, L, C)."""
        number, row = self._places[key]
        return {PIXELS: torch.from_numpy(np.array(self._files[number][row : row + 1]))}


@dataclasses.dataclass(frozen=True)
class Tower:
    """The vision tower of a model.

    Attributes:
        module: The tower.
        call: Calls it with pixels as the model that it is part of does.
        states: Takes what is read of its output, (N, L, C); None where it is not known.
    """

    module: nn.Module
    call: Callable[[Tensor], Any]
    states: Callable[[Any], Tensor] | None

    @property
    def is_frozen(self) -> bool:
        """Return whether nothing of it learns."""
        return not any(weight.requires_grad for weight in self.module.parameters())

    @torch.no_grad()
    def of(self, seen: Sequence[Seen], device: torch.device) -> Tensor:
        """Return the states of some images, (N, L, C), computed on a device."""
        assert self.states is not None
        pixels = torch.cat([one[PIXELS] for one in seen])
        home, training = next(self.module.parameters()).device, self.module.training
        self.module.to(device).eval()
        try:
            with torch.autocast(device.type, enabled=False):
                return self.states(self.call(pixels.to(device))).float().to(home)
        finally:
            self.module.to(home).train(training)

    def recall(self) -> None:
        """Let the tower give states back that stand where pixels would."""
        module: Any = self.module
        module.forward = functools.partial(_recalled, module, module.forward)

    def encode_once(self) -> None:
        """Let the tower encode an image once that a batch has several times."""
        module: Any = self.module
        module.forward = functools.partial(_each_once, module.forward)


def _recalled(module: nn.Module, forward: Callable[..., Any], *given: Tensor, **named: Any) -> Any:
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    pixels = given[0] if given else named[PIXELS]
    if pixels.ndim != 3:
        return forward(*given, **named)
    states = pixels.to(next(module.parameters()).dtype)
    layers: Any = _Every(states)
    return BaseModelOutputWithPooling(last_hidden_state=states, hidden_states=layers)


class _Every:
    """States in the place of those of each layer: the others are not read."""

    def __init__(self, states: Tensor) -> None:
        self.states = states

    def __getitem__(self, layer: int) -> Tensor:
        return self.states


def _each_once(forward: Callable[..., Any], *given: Tensor, **named: Any) -> Any:
    pixels = given[0] if given else named[PIXELS]
    first, places = different(pixels)
    if len(first) == len(pixels):
        return forward(*given, **named)
    few = pixels[first]
    out = forward(few, *given[1:], **named) if given else forward(**{**named, PIXELS: few})
    return type(out)(**{name: _spread(value, places) for name, value in out.items()})


def _spread(value: Any, places: Tensor) -> Any:
    if isinstance(value, tuple):
        return tuple(_spread(each, places) for each in value)
    return value[places] if isinstance(value, Tensor) else value


def different(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places of the different images among some, (M,), and which of them each is, (N,).

    Args:
        pixels: (N, C, H, W).
    """
    flat, every = pixels.flatten(1), torch.arange(len(pixels), device=pixels.device)
    weights = torch.linspace(1, 2, flat.shape[1], device=flat.device, dtype=torch.float32)
    sums, order = (flat * weights).sum(1).sort(stable=True)
    begins = torch.cat([torch.ones_like(order[:1], dtype=torch.bool), sums[1:] != sums[:-1]])
    places = torch.empty_like(order)
    places[order] = begins.cumsum(0) - 1
    first = order[begins]
    # Different ones may have the same sum.
    return (first, places) if flat[first][places].equal(flat) else (every, every)


def tower_of(model: Any, seen: Seen) -> Tower | None:
    """Return the vision tower of a model; None where none reads images of one size.

    Args:
        model: Of transformers.
        seen: What it reads of an image.
    """
    ask = getattr(model, "get_image_features", None)
    if ask is None or PIXELS not in seen or seen[PIXELS].ndim != 4:
        return None
    names = inspect.signature(ask).parameters
    given = {name: value for name, value in seen.items() if name in names}
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return _found(model, functools.partial(ask, **given), given[PIXELS])
    finally:
        model.train(training)


def _found(model: nn.Module, ask: Callable[..., Any], pixels: Tensor) -> Tower | None:
    """Return the first module that is called with pixels, and what is read of its output.

    The definition is the test: the model makes the same of an image, and of what the tower has
    made of it.
    """
    calls: list[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]] = []

    def note(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        calls.append((module, args, named))

    inside = [module for module in model.modules() if module is not model]
    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in inside]
    try:
        expected = _features(ask())
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        return None
    module, args, named = calls[0]
    read = args[0] if args else named.get(PIXELS)
    if not isinstance(read, Tensor) or read.shape != pixels.shape:
        return None
    call = functools.partial(_called, module, args, named)
    out = call(pixels)
    for states in _entries(model.config, out):
        found = Tower(module, call, states)
        found.recall()
        try:
            again = _features(ask(**{PIXELS: states(out)}))
            if again.shape == expected.shape and torch.allclose(again, expected, atol=_CLOSE):
                return found
        except (AttributeError, RuntimeError, TypeError, ValueError):
            continue
        finally:
            del module.forward
    return Tower(module, call, None)


def _called(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any], pixels: Tensor) -> Any:
    """Call a tower as it was called before, with other pixels."""
    return module(pixels, *args[1:], **named) if args else module(**{**named, PIXELS: pixels})


def _entries(config: Any, out: Any) -> Iterator[Callable[[Any], Tensor]]:
    """Yield what may be read of a tower's output."""
    if getattr(out, "last_hidden_state", None) is not None:
        yield lambda made: made.last_hidden_state
    layer = getattr(config, "vision_feature_layer", None)
    if isinstance(layer, int) and getattr(out, "hidden_states", None) is not None:
        yield lambda made: made.hidden_states[layer]


def _features(out: Any) -> Tensor:
    found = out.pooler_output
    return torch.cat(list(found)) if isinstance(found, list | tuple) else found.flatten(0, 1)


def is_random(tower: nn.Module) -> bool:
    """Return whether a tower drops something in training, or normalises over the batch."""
    config = getattr(tower, "config", None)
    shares = [v for n, v in vars(config).items() if "drop" in n] if config is not None else []
    drops = any(isinstance(share, float) and share > 0 for share in shares)
    return drops or any(
        getattr(module, "running_mean", None) is not None
        or (isinstance(module, nn.Dropout) and module.p > 0)
        for module in tower.modules()
    )


def provide_states(
    tower: Tower,
    splits: Mapping[str, Sequence[str]],
    decode: Decode,
    *,
    processor: str,
    folder: Path,
    device: torch.device,
) -> tuple[ImageStates | None, str]:
    """Return the states of all images, and a note; None where they are too large to keep.

    Args:
        tower: What makes them.
        splits: Keys of the different images of each split.
        decode: Reads an image.
        processor: Fingerprint of the processor.
        folder: Where the files are kept. One that is damaged is made again, with a warning.
        device: Where they are computed.
    """
    every = sorted({key for keys in splits.values() for key in keys})
    shape = tower.of([decode(every[0])], device).shape[1:]
    count = plural(len(every), "image is", "images are")
    size = len(every) * int(np.prod(shape)) * 4
    if size > LARGEST:
        return None, f"{count} encoded in each step: their states are {size >> 30} GB"
    weights = weights_hash(tower.module.state_dict())
    code = code_version(type(tower.module), ImageStates)
    states = ImageStates()
    for keys in splits.values():
        if not keys:
            continue
        name = fingerprint_of(list(keys), processor, weights, code, torch.__version__, list(shape))
        path = folder / f"{name}.npy"
        provide(path, functools.partial(_write, path, keys, tower, decode, shape, device))
        states.add(keys, path)
    return states, f"{count} encoded once by the frozen vision tower, without dropout"


def _write(
    path: Path,
    keys: Sequence[str],
    tower: Tower,
    decode: Decode,
    shape: Sequence[int],
    device: torch.device,
) -> None:
    """Write the states of images, a few at a time."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(keys), *shape)}
    with replacing(path) as sink:
        np.lib.format.write_array_header_1_0(sink, header)
        for start in range(0, len(keys), AT_ONCE):
            seen = [decode(key) for key in keys[start : start + AT_ONCE]]
            sink.write(tower.of(seen, device).contiguous().numpy().astype("<f4").tobytes())
