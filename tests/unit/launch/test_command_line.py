"""What the command line said reaches jobs in processes that have not seen it."""

import cloudpickle
import pytest

from lushan.common import terminal
from lushan.engine.job import Job
from lushan.errors import UserError
from lushan.launch.command_line import CommandLine
from lushan.run import remote_code


@pytest.fixture(autouse=True)
def switches(monkeypatch):
    """The switches of a process, as they are when it begins."""
    monkeypatch.setattr(terminal, "_quiet", False)
    monkeypatch.setattr(remote_code, "_permitted", False)


@pytest.mark.parametrize("quiet", [True, False])
def test_a_job_that_was_sent_elsewhere_is_as_quiet_as_its_command(quiet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    terminal.set_quiet(wanted=quiet)
    sent = cloudpickle.dumps(Job())  # as joblib, Ray and submitit send it
    terminal.set_quiet(wanted=False)
    monkeypatch.chdir("/")
    cloudpickle.loads(sent).command_line.apply()
    assert CommandLine.here() == CommandLine(tmp_path, quiet=quiet, remote_code=False)


def test_consent_to_code_goes_along_and_is_not_taken_back(tmp_path):
    CommandLine(tmp_path.cwd(), quiet=False, remote_code=True).apply()
    CommandLine(tmp_path.cwd(), quiet=False, remote_code=False).apply()
    assert remote_code.permitted()


def test_a_folder_that_only_another_machine_has_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist on this machine"):
        CommandLine(tmp_path / "missing", quiet=False, remote_code=False).apply()
