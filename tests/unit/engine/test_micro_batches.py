"""`data.micro_tokens=auto`: what is found is as good as a number that was written."""

import json
import mmap

import pytest
import torch
from tests.conftest import trained
from tests.helpers import command

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import micro_batches
from lushan.engine.micro_batches import largest
from lushan.errors import RunFailed, UserError
from lushan.run.identity import run_id

SMALL = [*command.SMALL, "data.limit=24", "test=false"]


def line(base, per_row, tried):
    def peak(rows):
        tried.append(rows)
        return base + per_row * rows

    return peak


@pytest.mark.parametrize(
    ("limit", "expected"), [(10_000, 64), (1000, 64), (740, 64), (499, 39), (110, 1), (105, 0)]
)
def test_the_largest_size_within_the_limit_is_found(limit, expected):
    tried = []
    found = largest(64, line(100, 10, tried), limit)
    assert found <= expected <= found + found // micro_batches.CLOSE
    assert all(100 + 10 * rows <= limit for rows in tried[2:])  # no trial that must fail


def test_a_size_that_does_not_fit_has_no_peak():
    assert largest(64, lambda rows: 5 if rows <= 20 else None, 1000) in range(18, 21)


@pytest.fixture
def holds(monkeypatch):
    """Let the device hold so many rows, as the sizes of the trials say."""

    def set_(rows):
        sizes = []

        class Device(micro_batches.Ram):
            def limit(self):
                return rows

            def peak(self, step):
                step()
                return sizes[-1]

        excerpt = micro_batches.Excerpt

        def noted(plan, batches):
            sizes.append(len(batches[0]))
            return excerpt(plan, batches)

        monkeypatch.setattr(micro_batches, "Excerpt", noted)
        monkeypatch.setattr(micro_batches, "device_of", lambda cfg: Device())
        return sizes

    return set_


def losses(folder):
    rows = (folder / "metrics.csv").read_text().splitlines()
    seconds = rows[0].split(",").index("seconds")
    return [[v for i, v in enumerate(row.split(",")) if i != seconds] for row in rows]


@pytest.mark.slow(1)
def test_what_is_found_is_as_good_as_written(holds, tmp_path):
    sizes = holds(3)
    auto = trained(tmp_path / "auto", *SMALL, "data.micro_tokens=auto")
    assert sizes == [1, 2, 3]
    result = json.loads((auto / "result.json").read_text())
    tokens = result["config"]["resolved"]["data.micro_tokens"]
    assert tokens % 3 == 0
    fixed = trained(tmp_path / "fixed", *SMALL, f"data.micro_tokens={tokens}")
    assert auto.name == fixed.name  # the run's id
    other = json.loads((fixed / "result.json").read_text())
    assert losses(auto) == losses(fixed)
    assert result["final_weights_sha256"] == other["final_weights_sha256"]


@pytest.mark.long
@pytest.mark.slow(1)
def test_whole_batches_that_fit_are_not_cut(holds, tmp_path):
    holds(1000)
    auto = trained(tmp_path / "auto", *SMALL, "data.micro_tokens=auto")
    result = json.loads((auto / "result.json").read_text())
    assert result["config"]["resolved"]["data.micro_tokens"] is None
    whole = losses(trained(tmp_path / "whole", *SMALL))
    assert losses(auto) == whole
    holds(3)
    cut = losses(trained(tmp_path / "cut", *SMALL, "data.micro_tokens=auto"))
    assert cut != whole  # in the last digits alone
    column = whole[0].index("train/loss")
    for one, other in zip(cut[1:-1], whole[1:-1], strict=True):
        assert float(one[column]) == pytest.approx(float(other[column]), rel=1e-5)


def test_a_resumed_run_takes_what_was_found(holds, tmp_path):
    sizes = holds(3)
    (tmp_path / micro_batches.FILE).write_text('{"micro_tokens": 77}')
    cfg = check(compose([*SMALL, "data.micro_tokens=auto", f"paths.output_dir={tmp_path}"]))
    parts = type("Parts", (), {"source": type("Source", (), {"micro_tokens": "auto"})})
    assert micro_batches.settled(cfg, parts, None, tmp_path) == 77
    assert sizes == []


def test_not_one_row_is_an_error(holds, tmp_path):
    holds(0)
    with pytest.raises(RunFailed, match="even one row of"):
        trained(tmp_path, *SMALL, "data.micro_tokens=auto")


@pytest.mark.slow
def test_memory_of_this_machine_is_measured():
    ram = micro_batches.Ram()
    # Pages of its own: the C library gives out again what earlier tests have freed.
    with mmap.mmap(-1, 64 << 20) as pages:
        small = ram.peak(lambda: None)
        large = ram.peak(lambda: pages.write(b"x" * len(pages)))
    assert 32 << 20 < large - small < 512 << 20
    assert ram.limit() > small


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["trainer=ddp_sim"], "here are several"),
        (["trainer=fsdp_sim"], "here are several"),
        (["model.attention=flash_attention_2"], "micro-batch size"),
    ],
)
def test_where_it_has_no_meaning_it_is_refused(more, reason):
    cfg = check(compose(["data.micro_tokens=auto", *more]))
    with pytest.raises(UserError, match=reason) as caught:
        micro_batches.require_measurable(cfg)
    assert caught.value.key == "data.micro_tokens"


@pytest.mark.parametrize("value", ["0", "-1", "most"])
def test_other_values_are_refused(value):
    from lushan.config.build import source_of

    with pytest.raises(UserError, match=r"micro_tokens|1 or more"):
        source_of(check(compose([f"data.micro_tokens={value}"])))


def test_it_is_no_part_of_the_runs_id():
    ids = {
        run_id(check(compose([f"data.micro_tokens={value}"]))) for value in ("auto", "64", "null")
    }
    assert len(ids) == 1


@pytest.mark.slow
def test_a_card_that_is_out_of_memory_has_no_peak(monkeypatch):
    """The calls alone: on a card they are those of torch."""
    freed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(1))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 7)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 20)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (80, 200))

    def full():
        raise torch.cuda.OutOfMemoryError

    card = micro_batches.Cuda()
    assert card.limit() == int(micro_batches.SHARE * 100)
    assert card.peak(full) is None
    assert card.peak(lambda: None) == 7
    assert len(freed) == 3
