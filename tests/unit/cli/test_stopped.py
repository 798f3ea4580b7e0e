"""What a command that is stopped says of what it has saved."""

import signal

import pytest
from tests.helpers import narrow
from tests.helpers.command import SMALL

from lushan.engine import lifecycle
from lushan.errors import Interrupted


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ([], "nothing was saved yet; the same command starts again"),
        ([".tmp-step-2"], "nothing was saved yet; the same command starts again"),
        (["step-2"], "the state is saved; run the same command to resume"),
    ],
)
def test_a_stop_says_whether_anything_is_saved(cli_inside, monkeypatch, saved, expected):
    def execute(cfg, folder, *_):
        folder.start(cfg)
        for name in saved:
            (folder.checkpoints / name).mkdir(parents=True)
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(lifecycle, "execute", execute)
    done = cli_inside("train", *narrow.narrowed(SMALL), "data.limit=40")
    assert done.code == 130
    assert expected in done.err.splitlines()
