"""Runs that are served, by their names, and what each answers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.assist.assistant import Assistant
from lushan.assist.settings import read_settings, read_thresholds
from lushan.common import units
from lushan.config.build import build
from lushan.errors import UserError, one_of
from lushan.guard import Guard
from lushan.inference import early
from lushan.inference.generator import TextGenerator, generator_of, open_generator
from lushan.inference.load import Loaded, config_of, load
from lushan.models.embedding import EmbeddingModel
from lushan.retrieval.embedder import embedder_of
from lushan.retrieval.reranking import ScoresPairs
from lushan.run.artifacts import is_run
from lushan.run.folder import RunFolder
from lushan.run.result import RunResult
from lushan.serve.assists import Assists
from lushan.serve.failures import Refused
from lushan.serve.guarded import Checks
from lushan.serve.heads import Heads
from lushan.serve.limits import Bounds
from lushan.serve.pairs import Pairs
from lushan.serve.schemas import About, Measured, ModelCard, Usage
from lushan.serve.texts import Texts
from lushan.serve.token_texts import TokenTexts
from lushan.serve.vectors import Vectors
from lushan.serve.writing import writer_of

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
PREDICT, EMBEDDINGS, RERANK = "/predict", "/v1/embeddings", "/v1/rerank"


@dataclasses.dataclass(frozen=True)
class Served:
    """A run that is served.

    Attributes:
        name: What requests call it.
        about: What is known of it.
        writes: The model, where it writes.
        heads: The same of `/predict`.
        vectors: The same of `/v1/embeddings`, and of `/v1/rerank`.
        pairs: A cross-encoder, for `/v1/rerank`.
        assists: An assistant, which answers as a model that writes does.
        created: When it was trained, in seconds since 1970.
    """

    name: str
    about: About
    writes: Texts | None = None
    heads: Heads | None = None
    vectors: Vectors | None = None
    pairs: Pairs | None = None
    assists: Assists | None = None
    created: int = 0

    @property
    def tokens(self) -> TokenTexts:
        """Texts of its tokens."""
        assert self.writes is not None
        return TokenTexts(self.writes.generator.tokenizer)

    @property
    def card(self) -> ModelCard:
        """What `/v1/models` says of it."""
        return ModelCard(id=self.name, created=self.created, lushan=self.about)

    @property
    def workers(self) -> Sequence[Any]:
        """Its threads: each has `waiting`, `running` and `close`."""
        owners = (self.heads, self.vectors, self.pairs, self.assists)
        found: list[Any] = [] if self.writes is None else [self.writes.writer]
        if self.writes is not None and self.writes.checks is not None:
            found.append(self.writes.checks)
        return [*found, *(owner.worker for owner in owners if owner is not None)]

    @property
    def guard(self) -> Guard | None:
        """Its guard, if any."""
        if self.assists is not None:
            return self.assists.assistant.guard
        checks = None if self.writes is None else self.writes.checks
        return None if checks is None else checks.guard

    @property
    def guard_counts(self) -> Mapping[str, int]:
        """What its guard has refused and redacted."""
        return {} if self.guard is None else self.guard.counts


class Runs:
    """All runs of a server.

    Args:
        served: The runs, with different names.
        count: Takes the name of a model, and the tokens of a response.
    """

    def __init__(
        self, served: Sequence[Served], count: Callable[[str, Usage], None] | None = None
    ) -> None:
        self.by_name = {run.name: run for run in served}
        self.count = count or _uncounted

    def all(self, endpoint: str) -> list[Served]:
        """Return those that answer at an endpoint."""
        return [run for run in self.by_name.values() if endpoint in run.about.endpoints]

    def find(self, name: str | None, endpoint: str) -> Served:
        """Return the run that a request names; the only one where it names none.

        Raises:
            Refused: There is none, or it answers elsewhere.
        """
        able = self.all(endpoint)
        if name is None:
            if len(able) == 1:
                return able[0]
            names = ", ".join(run.name for run in able)
            raise Refused(400, f"set the model: {names}", param="model")
        run = self.named(name)
        if run not in able:
            text = f"{name!r} is not available here, but at {', '.join(run.about.endpoints)}"
            raise Refused(400, text, param="model", code="unsupported")
        return run

    def named(self, name: str) -> Served:
        """Return the run of a name.

        Raises:
            Refused: There is none.
        """
        run = self.by_name.get(name)
        if run is None:
            hint = one_of(name, self.by_name, colon=True)
            raise Refused(404, f"unknown model. {hint}", param="model", code="model_not_found")
        return run

    def close(self) -> None:
        """End all threads."""
        for run in self.by_name.values():
            for worker in run.workers:
                worker.close()


def _uncounted(name: str, usage: Usage) -> None:
    del name, usage


# Loading


def open_runs(
    places: Sequence[tuple[str | None, str]], bounds: Bounds, guard: Guard | None = None
) -> list[Served]:
    """Load runs.

    Args:
        places: From `early.named_places`.
        bounds: Of what each takes.
        guard: Of prompts and texts.

    Raises:
        UserError: A run cannot be loaded, or two have one name; or none of them writes what the
            guard could check.
    """
    names: dict[str, str] = {}
    for given, place in places:
        name = given or _name_of(place)
        if name in names:
            raise UserError(
                f"two runs have the name {name!r}: {names[name]} and {place}",
                key="RUN",
                hint=f"Name one: lushan serve first={names[name]} second={place}",
            )
        names[name] = place
    found = [_open(name, place, bounds, guard) for name, place in names.items()]
    if guard is not None and all(run.guard is None for run in found):
        raise UserError(
            "none of these runs generates text, so there is nothing to check", key="--guard"
        )
    return found


def _name_of(place: str) -> str:
    if early.is_assistant(place):
        return Path(place).stem
    if early.is_ours(place):
        return str(config_of(Path(place).expanduser())["name"])
    return Path(place).name if Path(place).exists() else place


def _open(name: str, place: str, bounds: Bounds, guard: Guard | None) -> Served:
    if early.is_assistant(place):
        return _assisting(name, Path(place), bounds, guard)
    if not early.is_ours(place) and not _is_exported(place):
        return _of_checkpoint(name, place, bounds, guard)
    folder = Path(place).expanduser()
    if build(config_of(folder)["task"]).draws:
        return _with_heads(name, load(folder), bounds)
    loaded = load(folder)
    if isinstance(loaded.model, EmbeddingModel):
        return _with_vectors(name, place, loaded, bounds)
    if isinstance(loaded.task, ScoresPairs):
        about = _about(loaded, [RERANK], most=loaded.limits.max_length)
        pairs = Pairs(name, loaded, bounds)
        return Served(name, about, pairs=pairs, created=_created(loaded))
    generator = generator_of(loaded)
    if generator is None:
        return _with_heads(name, loaded, bounds)
    return _writing(name, generator, bounds, loaded, guard)


def _assisting(name: str, file: Path, bounds: Bounds, guard: Guard | None) -> Served:
    notes: list[str] = []
    settings = read_settings(file)
    thresholds = read_thresholds(file.parent / settings.thresholds)
    own = None if guard is None else guard.another()
    assistant = Assistant(settings, file.parent, notes, own)
    about = _about(None, [CHAT]).model_copy(update={"assists": True, "notes": notes})
    assists = Assists(name, assistant, thresholds, bounds)
    return Served(name, about, assists=assists, created=int(file.stat().st_mtime))


def _is_exported(place: str) -> bool:
    return (Path(place).expanduser() / early.EXPORTED).is_file()


def _of_checkpoint(name: str, place: str, bounds: Bounds, guard: Guard | None) -> Served:
    """Serve a model in Hugging Face format: one that writes, or an encoder."""
    try:
        generator = open_generator(place)
    except UserError as error:
        if "does not generate text" not in error.problem:
            raise
        return _with_vectors(name, place, None, bounds)
    return _writing(name, generator, bounds, None, guard)


def _writing(
    name: str,
    generator: TextGenerator,
    bounds: Bounds,
    loaded: Loaded | None,
    guard: Guard | None,
) -> Served:
    writer = writer_of(generator, size=bounds.batch, capacity=bounds.waiting)
    checks = None if guard is None else Checks(guard.another())
    texts = Texts(generator, writer, bounds.new_tokens, checks)
    endpoints = [CHAT, COMPLETIONS] if generator.takes_messages else [COMPLETIONS]
    about = _about(loaded, endpoints, images=texts.sees_images, most=generator.positions)
    return Served(name, about, writes=texts, created=_created(loaded))


def _with_heads(name: str, loaded: Loaded, bounds: Bounds) -> Served:
    heads = Heads(name, loaded, bounds)
    about = _about(
        loaded,
        [PREDICT],
        inputs=heads.schema(),
        displays=dict(loaded.task.displays),
        most=loaded.limits.max_length,
    )
    return Served(name, about, heads=heads, created=_created(loaded))


def _with_vectors(name: str, place: str, loaded: Loaded | None, bounds: Bounds) -> Served:
    embedder = embedder_of(place)
    vectors = Vectors(name, embedder, bounds)
    about = _about(loaded, [EMBEDDINGS, RERANK], most=embedder.max_length)
    return Served(name, about, vectors=vectors, created=_created(loaded))


def _about(
    loaded: Loaded | None,
    endpoints: list[str],
    *,
    inputs: Mapping[str, Any] | None = None,
    displays: Mapping[str, str] | None = None,
    images: bool = False,
    most: int | None = None,
) -> About:
    result = _result_of(loaded)
    cfg = {} if loaded is None else loaded.cfg
    return About(
        endpoints=endpoints,
        task=str(cfg["task"]["_target_"]).rpartition(".")[2] if cfg else None,
        run_id=None if result is None else result.run_id,
        metric=None if result is None else _metric_of(result),
        data=_data_of(cfg),
        inputs=dict(inputs or {}),
        displays=dict(displays or {}),
        sees_images=images,
        assists=False,
        most_tokens=most,
        notes=[] if loaded is None else list(loaded.notes),
    )


def _result_of(loaded: Loaded | None) -> RunResult | None:
    if loaded is None or not is_run(loaded.folder):
        return None
    return RunFolder(loaded.folder).result()


def _metric_of(result: RunResult) -> Measured | None:
    name = result.headline
    value = result.metrics.get(name)
    if value is None:
        return None
    measure = result.measure(name)
    low, high = result.ci.get(name) or (None, None)
    return Measured(
        name=name,
        text=units.text(value, measure),
        value=value,
        interval=units.interval(low, high, measure) or None,
    )


def _data_of(cfg: Mapping[str, Any]) -> str | None:
    """Return a run's data in a few words: the reader and its files, without the folders."""
    if not cfg:
        return None
    node = cfg["data"]
    files = [Path(str(node[k])).name for k in ("train", "path", "name") if node.get(k)]
    return " ".join([str(node["_target_"]).rpartition(".")[2], *files[:1]])


def _created(loaded: Loaded | None) -> int:
    if loaded is None:
        return int(time.time())
    return int(loaded.folder.stat().st_mtime)
