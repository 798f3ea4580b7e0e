"""Who says where W&B's server is: never the working folder."""

import pytest

from lushan.callbacks.destinations import wandb_server
from lushan.errors import UserError


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """The person's own folder of W&B's settings, and a working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "settings"


def workspace(folder, line):
    (folder / "wandb").mkdir()
    (folder / "wandb" / "settings").write_text(f"[default]\n{line}\n")


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    "line", ["base_url = http://evil", "x_executable = ./evil.sh", "insecure_disable_ssl = true"]
)
def test_a_working_folder_does_not_say_where_the_key_is_sent(tmp_path, line):
    workspace(tmp_path, line)
    with pytest.raises(UserError, match="working folder") as caught:
        wandb_server.refuse_workspace_settings()
    assert caught.value.key == line.partition(" ")[0]


@pytest.mark.parametrize(
    "line", ["project = a", "entity = me", f"base_url = {wandb_server.DEFAULT}"]
)
def test_what_wandb_init_writes_is_harmless(tmp_path, line):
    workspace(tmp_path, line)
    wandb_server.refuse_workspace_settings()


def test_the_environment_comes_before_the_person_s_file(own, monkeypatch):
    assert wandb_server.base_url() == wandb_server.DEFAULT
    own.write_text("[default]\nbase_url = https://ours\n")
    assert wandb_server.base_url() == "https://ours"
    monkeypatch.setenv("WANDB_BASE_URL", "https://here")
    assert wandb_server.base_url() == "https://here"
