"""What a config is refused for."""

from __future__ import annotations

import pytest

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.errors import UserError


def refusal(*overrides: str) -> UserError:
    """The mistake that a config with these overrides is refused for; it must have one."""
    with pytest.raises(UserError) as caught:
        check(compose(overrides))
    return caught.value
