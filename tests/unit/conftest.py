"""What unit tests share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lushan.errors import UserError


@pytest.fixture
def refused() -> Callable[..., UserError]:
    """Call something that must raise a UserError, which is returned."""

    def called(function: Callable[..., object], *args: object, **kwargs: object) -> UserError:
        with pytest.raises(UserError) as caught:
            function(*args, **kwargs)
        return caught.value

    return called
