"""Private names of OmegaConf."""

from omegaconf import DictConfig, ListConfig, OmegaConf

from lushan.compat.omegaconf import is_empty, is_interpolation, node_at, raw_value


def test_nodes_as_they_are_written() -> None:
    cfg = OmegaConf.create({"a": "${b}", "b": 3, "inner": {"x": "???"}, "list": ["${b}"]})
    node = node_at(cfg, "a")
    assert is_interpolation(node)
    assert raw_value(node) == "${b}"
    assert not is_interpolation(node_at(cfg, "b"))
    assert raw_value(node_at(cfg, "b")) == 3
    assert isinstance(node_at(cfg, "inner"), DictConfig)
    assert raw_value(node_at(node_at(cfg, "list"), 0)) == "${b}"
    assert node_at(cfg, "c") is None


def test_empty_mappings_and_lists() -> None:
    assert is_empty(DictConfig(None))
    assert is_empty(DictConfig("???"))
    assert is_empty(ListConfig(None))
    assert not is_empty(DictConfig({}))
