"""Private names of Hydra's plugin for Ray."""

import dataclasses
import inspect

import pytest

pytest.importorskip("hydra_plugins.hydra_ray_launcher")
pytest.importorskip("ray")

from hydra_plugins.hydra_ray_launcher import _launcher_util, ray_launcher

from lushan.compat import ray


def test_settings_have_a_target_and_options_of_ray() -> None:
    settings = ray.settings()
    assert settings._target_.endswith("RayLauncher")
    assert dataclasses.replace(settings, _target_="x")._target_ == "x"
    assert hasattr(settings.ray, "init")


def test_ray_is_started_by_what_the_launcher_has(monkeypatch) -> None:
    assert len(inspect.signature(_launcher_util.start_ray).parameters) == 1
    source = inspect.getsource(ray_launcher)
    assert "self.ray_cfg" in source
