"""What every task owes, whatever it is: a new one falls under this by its file and its YAML."""

import contextlib
import functools
import importlib
import inspect
import json
import math
import pkgutil

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import lushan.tasks
from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import built_in_conf, compose
from lushan.data import processing
from lushan.data.batch.loader import drawn
from lushan.data.encode.encoding import Encoded, encode
from lushan.data.field_roles import inputs, targets
from lushan.data.field_tables import present
from lushan.data.record_schema import RecordSchema
from lushan.engine.batch_plan import Batching, BatchPlan
from lushan.engine.components import require_apart
from lushan.engine.limits import TrainLimits
from lushan.engine.lr_range import Curve
from lushan.engine.trial_steps import try_steps
from lushan.errors import UserError
from lushan.export.graphs import write_graph
from lushan.inference.load import Loaded
from lushan.tasks.base import Task
from lushan.tasks.batches import Limits
from lushan.text.hub import find  # noqa: F401  (imports early what the fixtures need)
from tests.helpers import quick


def names(folder):
    return sorted(path.stem for path in (built_in_conf() / folder).glob("*.yaml"))


def heads(task):
    """The heads of a task whose config chooses one; else the model's own, None."""
    node = OmegaConf.load(built_in_conf() / f"task/{task}.yaml")
    chosen = [default for default in node.get("defaults", []) if "head" in default]
    return names("task/head") if chosen else [None]


COMBINATIONS = [(task, head) for task in names("task") for head in heads(task)]
STEPS = 150
"""As many as any task needs to learn its demo."""
BY_HEART = 0.3
"""The loss of a target that hardly surprises: nats, or squares of a number's deviation."""


def config(task, head, *more):
    chosen = [] if head is None else [f"task/head={head}"]
    return check(compose([f"task={task}", *chosen, *more]))


@functools.cache
def allowed(task, head):
    try:
        config(task, head)
    except UserError:
        return False
    return True


@functools.cache
def parts(task, head):
    """Task, tokenizer, features and model of the task's own demo."""
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp())
    cfg = config(task, head)
    if "vocab_size" in cfg["processor"]:
        cfg = config(task, head, "processor.vocab_size=300")
    made = build(cfg["task"])
    corpus = type(made).demo()
    made.prepare(corpus)
    tokenizer = build(cfg["processor"], texts=corpus.train_texts, cache_dir=folder)
    made.use(tokenizer)
    encoder = fresh(cfg, made, tokenizer)
    limits = Limits(64)
    encoded = encode(
        corpus.splits["train"],
        lambda rows, first: made.encode(rows, first, tokenizer, limits),
        made.schema,
        fingerprint="demo",
        cache_dir=folder,
        count=made.count,
    )
    torch.manual_seed(1)
    return made, tokenizer, corpus, encoded, made.build(encoder)


def fresh(cfg, made, tokenizer):
    """The model under a task."""
    return build(
        cfg["model"],
        **processing.vocabulary(tokenizer),
        special=made.special_ids(tokenizer),
        auto_class=made.auto_class,
        wrap=made.wrap,
    )


def whole_batch(task, encoded: Encoded):
    return batch_of(task, encoded, range(len(encoded)))


def batch_of(task, encoded: Encoded, indices):
    """Some features as a batch, drawn as evaluation draws them."""
    rows = drawn(encoded, np.asarray(list(indices)), functools.partial(task.transform, seed=1))
    return task.collate(rows)


def rows_of(features):
    """Features that were not stored as rows."""
    return [
        {name: np.asarray(column[i]) for name, column in features.items()} | {"index": i}
        for i in range(len(features["length"]))
    ]


def test_every_task_file_has_a_config_and_every_config_a_task():
    classes = set()
    for module in pkgutil.iter_modules(lushan.tasks.__path__):
        found = importlib.import_module(f"lushan.tasks.{module.name}")
        classes |= {
            f"{c.__module__}.{c.__qualname__}"
            for _, c in inspect.getmembers(found, inspect.isclass)
            if issubclass(c, Task) and not inspect.isabstract(c)
        }
    configured = {check(compose([f"task={name}"]))["task"]["_target_"] for name in names("task")}
    assert classes == configured


def test_a_head_that_a_task_cannot_have_is_refused_with_its_key():
    with pytest.raises(UserError, match=r"task\.head|task/head"):
        config("classification", "crf")


def pytest_generate_tests(metafunc):
    if "head" in metafunc.fixturenames:
        found = [c for c in COMBINATIONS if allowed(*c)]
        if metafunc.function is test_it_learns_its_demo:
            found = quick.only([("ner", "linear")], found)
        if metafunc.function is test_trial_steps_leave_a_task_as_it_was:
            kept = [case for case in found if case[0] in ("contrastive", "visual_qa", "rank")]
            found = quick.only(kept, found, long=[case for case in found if case not in kept])
        metafunc.parametrize(("task", "head"), found)


def test_features_have_the_columns_that_batching_needs(task, head):
    made, _, corpus, encoded, _ = parts(task, head)
    assert {"length", "targets", "example"} <= set(made.schema.names)
    assert set(encoded.examples.tolist()) == set(range(corpus.splits["train"].num_rows))
    assert (encoded.targets > 0).all()


def test_gradients_reach_every_parameter(task, head):
    made, _, _, encoded, model = parts(task, head)
    model.train()
    model.zero_grad()
    made.loss(model, whole_batch(made, encoded)).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    model.zero_grad()


def test_packing_is_possible_or_refused(task, head):
    *_, model = parts(task, head)
    with contextlib.suppress(UserError):
        require_apart(model)


def test_the_loss_is_a_sum_over_targets(task, head):
    made, _, _, encoded, model = parts(task, head)
    model.eval()
    with torch.no_grad():
        whole = made.loss(model, whole_batch(made, encoded))
        if made.joint:  # of the vectors of all, in any batches
            ones = [made.vectors(model, batch_of(made, encoded, [i])) for i in range(len(encoded))]
            one_by_one = made.joint_losses({n: torch.cat([v[n] for v in ones]) for n in ones[0]})
        else:
            batches = [batch_of(made, encoded, [i]) for i in range(len(encoded))]
            one_by_one = [made.loss(model, batch) for batch in batches]
    assert whole.dtype == torch.float32
    torch.testing.assert_close(sum(one_by_one), whole, rtol=1e-4, atol=1e-4)


def evaluated(made, model, corpus, batch, encoded):
    """The loss of a target, and the evaluation of the demo with all that is generated."""
    table = corpus.splits["train"]
    model.eval()
    with torch.no_grad():
        made.begin(table)
        loss, records = made.predict(model, batch)
        if made.generates:
            printed = made.generate(model, batch)
            records = [{**record, **more} for record, more in zip(records, printed, strict=True)]
    return float(loss) / int(encoded.targets.sum()), made.evaluate(table, records, full=True)


def test_it_learns_its_demo(task, head):
    made, tokenizer, corpus, encoded, _ = parts(task, head)
    torch.manual_seed(2)
    cfg = config(task, head)
    model = made.build(fresh(cfg, made, tokenizer))
    batch = whole_batch(made, encoded)
    first, before = evaluated(made, model, corpus, batch, encoded)
    main = before.measures[made.main_metric]
    enough = BY_HEART / 10 if main.higher_is_better else BY_HEART / 4
    if made.main_metric == "psnr":  # good reconstructions take long, and others have no bound
        enough = 0.45 * first
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = made.loss(model, batch) / int(encoded.targets.sum())
        loss.backward()
        optimizer.step()
        if loss.item() < enough:
            break
    loss, evaluation = evaluated(made, model, corpus, batch, encoded)
    main = evaluation.metrics[made.main_metric]
    if evaluation.measures[made.main_metric].higher_is_better:
        assert main > 0.99
        assert loss < first / 2
    else:
        assert loss < BY_HEART
        assert main < before.metrics[made.main_metric] * BY_HEART
    assert set(evaluation.metrics) | {"loss"} == set(type(made).measures(cfg["task"], {}))
    assert set(evaluation.measures) == set(evaluation.metrics)
    for low, high in evaluation.intervals.values():
        assert low <= high
    table = corpus.splits["train"]
    assert [r["id"] for r in evaluation.records] == table.column("id").to_pylist()
    assert {frozenset(r) for r in evaluation.records} == {frozenset(before.records[0])}
    stated = RecordSchema(dict(made.record_fields) | evaluation.record_fields)
    assert stated.as_dict()
    for record in evaluation.records:
        stated.check(json.loads(json.dumps(record)))
        assert set(record) <= {"id", *stated.entries}


def test_it_is_evaluated_where_all_is_in_half_precision(task, head):
    """As `trainer.precision=bf16-true` does it: weights, inputs, and what is made anew."""
    made, tokenizer, corpus, encoded, _ = parts(task, head)
    model = made.build(fresh(config(task, head), made, tokenizer)).to(torch.bfloat16)
    batch = {
        name: value.bfloat16() if torch.is_tensor(value) and value.is_floating_point() else value
        for name, value in whole_batch(made, encoded).items()
    }
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        loss, evaluation = evaluated(made, model, corpus, batch, encoded)
    finally:
        torch.set_default_dtype(before)
    assert math.isfinite(loss)
    assert math.isfinite(evaluation.metrics[made.main_metric])


def assert_alike(one, other):
    """Two records are the same, their numbers up to what another order of adding changes."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert_alike(value, other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_alike(*pair)
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-5)
    else:
        assert one == other


def test_predictions_do_not_depend_on_the_batch(task, head):
    made, _, corpus, encoded, model = parts(task, head)
    model.eval()
    table = corpus.splits["train"]
    with torch.no_grad():
        _, together = made.predict(model, whole_batch(made, encoded))
        alone = []
        for i in reversed(range(len(encoded))):
            alone += made.predict(model, batch_of(made, encoded, [i]))[1]
    for a, b in zip(made.join(table, together), made.join(table, alone), strict=True):
        assert_alike(a, b)


def test_a_task_restored_from_its_state_predicts_the_same(task, head):
    made, tokenizer, corpus, encoded, model = parts(task, head)
    again = build(config(task, head)["task"])
    again.restore(made.state())
    again.use(tokenizer)
    encoder_free = again.build(model.encoder)
    encoder_free.load_state_dict(model.state_dict())
    encoder_free.eval()
    model.eval()
    batch = whole_batch(made, encoded)
    with torch.no_grad():
        first, second = made.predict(model, batch), again.predict(encoder_free, batch)
    assert torch.equal(first[0], second[0])
    table = corpus.splits["train"]
    assert made.join(table, first[1]) == again.join(table, second[1])


@pytest.mark.slow(1)
def test_what_a_short_limit_cuts_off_is_counted_and_still_evaluated(task, head):
    made, tokenizer, corpus, encoded, model = parts(task, head)
    if "cut" not in made.schema.names:
        pytest.skip("no limit of tokens cuts what it reads")
    table = corpus.splits["train"]
    features = made.encode(table.to_pydict(), 0, tokenizer, Limits(4))
    # Counted as cut, or learned in pieces, of which none is lost.
    assert sum(features["cut"]) > 0 or len(features["length"]) > len(encoded)
    # So many tokens are read, and by an encoder-decoder as many written.
    assert max(features["length"]) <= 2 * 4
    rows = made.transform(rows_of(features), 1)
    model.eval()
    with torch.no_grad():
        _, records = made.predict(model, made.collate(rows))
    evaluation = made.evaluate(table, records, full=True)
    assert len(evaluation.records) == table.num_rows


def strings(value):
    """All texts inside a record."""
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_predictions_of_unlabelled_text(task, head):
    made, tokenizer, corpus, _, model = parts(task, head)
    table = corpus.splits["train"]
    table = table.drop_columns([n for n in targets(made.fields) if n in table.column_names])
    features = made.encode(table.to_pydict(), 0, tokenizer, Limits(64))
    rows = made.transform(rows_of(features), 1)
    model.eval()
    with torch.no_grad():
        _, records = made.predict(model, made.collate(rows))
    shown = made.present(table, made.join(table, records))
    assert [row["id"] for row in shown] == table.column("id").to_pylist()
    read = present(inputs(made.fields), table)
    for row, example in zip(shown, table.to_pylist(), strict=True):
        texts = {text for name, field in read.items() for text in field.texts(example[name])}
        assert texts & set(strings(row)) or not texts


def test_trial_steps_leave_a_task_as_it_was(task, head):
    """What finders of learning rates and batch sizes do, for any task."""
    made, _, corpus, encoded, model = parts(task, head)
    limits = TrainLimits(max_steps=2)
    batching = Batching(seed=1, batch_examples=4, batch_tokens=None, limits=limits)
    plan = BatchPlan(encoded, corpus.splits["train"], batching)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    curve = Curve([1e-4, 1e-3], None)
    cfg = config(task, head, "trainer=cpu")
    try_steps(cfg, made, model, plan, factor=lambda step, total_steps: 1.0, callbacks=[curve])
    assert len(curve.losses) == 2
    assert all(np.isfinite(curve.losses))
    for name, one in model.state_dict().items():
        assert torch.equal(one, before[name]), name


@pytest.mark.slow
@pytest.mark.long
def test_it_is_a_graph_with_the_same_predictions_or_says_why_not(task, head, tmp_path):
    made, tokenizer, _, _, model = parts(task, head)
    loaded = Loaded(tmp_path, config(task, head), made, tokenizer, model.eval(), Limits(64))
    (tmp_path / "exported").mkdir()
    refused, written = None, None
    try:
        written = write_graph(loaded, tmp_path / "exported", "onnx")
    except UserError as error:
        refused = str(error)
    assert refused is None or "Remove --format to export for transformers" in refused
    assert written is None or "the same predictions for" in written.proof[-1]
