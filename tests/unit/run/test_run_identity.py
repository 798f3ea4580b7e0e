"""A run is its config: which differences make another run, and which do not."""

import copy

import pytest
import yaml

from lushan.errors import UserError
from lushan.run import identity
from lushan.run.identity import ABSENT, differences, is_excluded, run_id, run_path, varying


def changed(config, key, value):
    config = copy.deepcopy(config)
    *groups, last = key.split(".")
    node = config
    for group in groups:
        node = node.setdefault(group, {})
    node[last] = value
    return config


def test_ten_hex_digits_and_the_same_whatever_the_order_of_the_keys(config):
    backwards = dict(reversed(config.items()))
    assert run_id(config) == run_id(backwards)
    assert len(run_id(config)) == 10
    assert int(run_id(config), 16) >= 0


def test_a_number_is_a_number_however_it_is_written(config):
    short, long = (yaml.safe_load(f"lr: {text}")["lr"] for text in ("1.0e-5", "0.00001"))
    assert run_id(changed(config, "optimizer.lr", short)) == run_id(
        changed(config, "optimizer.lr", long)
    )


@pytest.mark.parametrize("values", [(1, 1.0), (1, True), (0, False), ("1", 1), (None, "null")])
def test_values_of_different_types_are_different(config, values):
    one, other = (changed(config, "scheduler.warmup", value) for value in values)
    assert run_id(one) != run_id(other)


@pytest.mark.parametrize("key", identity.DIVISION)
@pytest.mark.parametrize(
    ("apart", "value"), [("trainer.compile", True), ("model.attention", "flash_attention_2")]
)
def test_how_a_batch_is_shared_out_counts_where_kernels_draw_masks(config, key, apart, value):
    drawn = changed(config, apart, value)
    assert run_id(changed(drawn, key, 2)) != run_id(changed(drawn, key, 4))
    ours = changed(config, apart, "sdpa" if apart == "model.attention" else False)
    assert run_id(changed(ours, key, 2)) == run_id(changed(ours, key, 4))


@pytest.mark.parametrize(
    "key",
    [
        "paths.output_dir",
        "name",
        "tags",
        "logger.wandb.project",
        "trainer.devices",
        "trainer.strategy",
        "trainer.accelerator",
        "data.micro_tokens",
        "data.workers",
        "callbacks.rich_progress_bar.leave",
        "processor.cache_dir",
    ],
)
def test_what_cannot_change_a_result_does_not_change_the_id(config, key):
    assert is_excluded(key)
    assert run_id(changed(config, key, ["something else"])) == run_id(config)


@pytest.mark.parametrize(
    "key", ["seed", "data.batch_tokens", "trainer.max_epochs", "trainer.precision", "names", "test"]
)
def test_everything_else_does(config, key):
    assert not is_excluded(key)
    assert run_id(changed(config, key, 7)) != run_id(config)


def test_a_file_is_the_same_file_from_every_folder(config, tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    here = run_id(changed(config, "data.train", "a.conll"))
    absolute = run_id(changed(config, "data.train", str(tmp_path / "a.conll")))
    monkeypatch.chdir(tmp_path / "below")
    assert here == absolute == run_id(changed(config, "data.train", "../a.conll"))
    assert here != run_id(changed(config, "data.train", "a.conll"))


def test_so_are_the_files_of_the_sources_of_a_mixture(config, tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    mixture = changed(config, "data.sources", {"zh": {"train": "a.txt", "validation": 0.1}})
    here = run_id(mixture)
    monkeypatch.chdir(tmp_path / "below")
    assert here != run_id(mixture)
    assert here == run_id(changed(mixture, "data.sources.zh.train", "../a.txt"))


def test_a_fraction_and_a_set_of_the_hub_are_no_files(config, tmp_path, monkeypatch):
    hub = changed(changed(config, "data.path", "conll2003"), "data.train", "train")
    fraction = changed(config, "data.validation", 0.1)
    before = run_id(hub), run_id(fraction)
    monkeypatch.chdir(tmp_path)
    assert before == (run_id(hub), run_id(fraction))


def test_the_folder_is_the_name_and_the_id(config, tmp_path):
    assert run_path(config) == tmp_path / "outputs" / "mine" / run_id(config)
    assert run_path(changed(config, "name", "a/b")).parts[-3:-1] == ("a", "b")


@pytest.mark.parametrize("name", ["", "/etc", "../up", "a/../../b"])
def test_a_name_cannot_lead_elsewhere(config, name):
    with pytest.raises(UserError, match="name"):
        run_path(changed(config, "name", name))


def test_differences_name_the_keys(config):
    other = changed(changed(config, "seed", 2), "data.limit", 5)
    assert differences(config, other) == {"seed": (1, 2), "data.limit": (ABSENT, 5)}
    moved = changed(config, "paths.output_dir", "x")
    assert differences(config, moved) == {}
    assert list(differences(config, moved, excluded=True)) == ["paths.output_dir"]


def test_what_varies_over_many_configs(config):
    runs = [changed(config, "seed", seed) for seed in (1, 2, 3)]
    runs.append(changed(changed(config, "optimizer.lr", 1), "trainer.devices", 2))
    assert varying(runs) == ["seed", "optimizer.lr"]
    assert varying(runs[:1]) == []
    assert varying([]) == []
    assert varying([{"a": {"b": 1}}, {"a": None}]) == ["a", "a.b"]


def test_only_plain_values_have_an_id(config):
    with pytest.raises(TypeError, match="plain"):
        run_id(changed(config, "optimizer.lr", object()))


def test_lookup_tells_null_from_nothing():
    assert identity.lookup({"a": {"b": None}}, "a.b") is None
    assert identity.lookup({"a": {"b": None}}, "a.c") is ABSENT
    assert identity.lookup({"a": 1}, "a.b") is ABSENT


@pytest.mark.parametrize("name", [".", "a\0b", "a\nb"])
def test_what_names_no_folder_below_is_refused(name):
    with pytest.raises(UserError, match="used as a folder name below"):
        run_path({"name": name, "paths": {"output_dir": "outputs"}})


@pytest.mark.parametrize("key", [1, True, None])
def test_keys_that_are_no_text_are_those_of_no_text(key):
    assert run_id({"task": {key: 2}}) != run_id({"task": {f"\0{key!r}": 2}})
