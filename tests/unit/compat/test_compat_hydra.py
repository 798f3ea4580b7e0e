"""Private names of Hydra."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from lushan.compat import hydra


class Loader(hydra.ConfigLoader):
    """Notes what it is asked."""

    def __init__(self, path) -> None:
        super().__init__(path)
        self.merged: list[str] = []
        self.checked: list[tuple[str | None, list[str]]] = []

    def merge(self, defaults, repo):
        self.merged += [str(one.config_path) for one in defaults]
        return super().merge(defaults, repo)

    def check_search_path(self, config_name, overrides, repo) -> None:
        assert repo.config_exists("main")
        self.checked.append((config_name, [str(o.input_line) for o in overrides]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.yaml").write_text("defaults:\n  - db: small\n  - _self_\nsize: 3\n")
    (tmp_path / "db").mkdir()
    (tmp_path / "db/small.yaml").write_text("rows: 1\n")
    (tmp_path / "db/large.yaml").write_text("rows: 9\n")
    return tmp_path


def test_a_loader_asks_its_methods(folder: Path) -> None:
    loader = Loader(hydra.search_path(f"file://{folder}"))
    composer = hydra.Hydra(task_name="main", config_loader=loader)
    parsed = list(OverridesParser.create().parse_overrides(["db=large"]))
    cfg = composer.compose_config(
        "main", ["db=large"], RunMode.RUN, with_log_configuration=False, parsed_overrides=parsed
    )
    assert (cfg.db.rows, cfg.size) == (9, 3)
    assert loader.checked == [("main", ["db=large"])]
    assert {"main.yaml", "db/large"} <= {*loader.merged} or {"main", "db/large"} <= {*loader.merged}
    assert hydra.completions(loader, "main", "db=l") == ["db=large"]
    assert callable(hydra.callbacks(cfg).on_multirun_start)


def test_a_repository_knows_the_place_of_a_config(folder: Path) -> None:
    repository = hydra.ConfigRepository(hydra.search_path(f"file://{folder}"))
    source = repository.source_of("db/small")
    assert isinstance(source, hydra.FileConfigSource)
    assert hydra.file_of(source, "db/small") == folder / "db/small.yaml"
    assert repository.source_of("db/huge") is None
    copied = hydra.CachingConfigRepository(repository).delegate
    assert isinstance(copied, hydra.ConfigRepository)
    assert copied.source_of("db/small") is not None


def test_flags_that_are_read() -> None:
    parser = hydra.args_parser()
    read = vars(parser.parse_args(["a=1"]))
    assert read["overrides"] == ["a=1"]
    flags = ("help", "hydra_help", "cfg", "info", "package", "resolve", "multirun", "config_name")
    assert {*flags, "config_path", "config_dir", "experimental_rerun", "shell_completion"} <= {
        *read
    }


def test_the_sweeper_over_all_combinations() -> None:
    sweeper = hydra.BasicSweeper(max_batch_size=2)
    assert callable(sweeper.validate_batch_is_legal)
