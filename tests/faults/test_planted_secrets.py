"""Twenty secrets, planted wherever a person may leave one, are in nothing that a run writes."""

import pytest

from tests.helpers import command

ENVIRONMENT = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "HF_TOKEN": "hf_" + "aB3dE5fG7h" * 3,
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "OPENAI_API_KEY": "sk-" + "q1W2e3R4t5" * 4,
    "GITHUB_TOKEN": "ghp_" + "Z9y8X7w6V5" * 4,
    "DATABASE_URL": "postgres://me:hunter2hunter2@db.example.org/x",
    "MY_SERVICE_PASSWORD": "correct-horse-battery-staple",
    "COMET_API_KEY": "c0m3tk3yc0m3tk3yc0m3t",
    "SLACK_TOKEN": "xoxb-1234567890-abcdefghij",
    "AZURE_CLIENT_SECRET": "Xq8~Q.abcdefghijklmnopqrstuvwxyz0123",
    "GOOGLE_API_KEY": "AIza" + "Sy0123456789abcdefghijklmnopqrstuvw",
}
TENSORBOARD = "lushan.callbacks.destinations.tensorboard.TensorBoard"
TAGS = [
    "glpat-abcdefghij0123456789",
    "github_pat_11ABCDEFG0abcdefghij_klmnop",
    "https://user:swordfish77@example.org/repo.git",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123456",
    "Bearer abcdefghijklmnop0123456789",
    "gho_16C7e42F292c6912E7710c838347Ae178B4a",
    "wandb_v1_abcdefghij0123456789",
    "ASIAIOSFODNN7EXAMPLE",
]
"""Where a config holds any text: they are known by their shapes."""


def planted():
    """What must not be found: of a URL, the password."""
    values = [*ENVIRONMENT.values(), *TAGS]
    return [v.split("://")[1].split("@")[0] if "://" in v else v.split()[-1] for v in values]


@pytest.mark.slow
@pytest.mark.fault(42)
@pytest.mark.parametrize("fails", [False, True], ids=["complete", "with a traceback"])
def test_nothing_planted_is_written(fails, tmp_path):
    assert len(planted()) == 20
    env = {**ENVIRONMENT, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    if fails:
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "sitecustomize.py").write_text(BROKEN)
        env |= command.searched_first(tmp_path / "broken")
    quoted = ", ".join(f"'{tag}'" for tag in TAGS)
    done = command.cli(
        *("train", "data=sample_ner", "data.limit=40", *command.SMALL),
        *(
            "logger=wandb",
            "++logger.tensorboard._target_=lushan.callbacks.destinations.tensorboard.TensorBoard",
        ),
        f"tags=[{quoted}]",
        cwd=tmp_path,
        env=env,
    )
    assert done.code == int(fails), done.err
    (folder,) = tmp_path.glob("outputs/*/*/run.json")
    assert fails == ("Traceback" in done.err)
    written = [
        path for path in tmp_path.rglob("*") if path.is_file() and "broken" not in path.parts
    ]
    names = {path.name for path in written}
    assert names >= {"config.yaml", "overrides.yaml", "log.txt", "run.json"}
    assert list(folder.parent.glob("wandb/offline-run-*/*.wandb"))
    for value in planted():
        assert value not in done.out + done.err
        for path in written:
            assert value.encode() not in path.read_bytes(), path


BROKEN = """\
import os

import lushan.engine.fit


def fit(*_, **__):
    raise RuntimeError(f"no luck with {dict(os.environ)}")


lushan.engine.fit.fit = fit
"""
