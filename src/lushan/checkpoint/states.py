"""Values that the state of a callback may hold: those that are read without running code."""

from __future__ import annotations

import io
import pickle
import re

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from lushan.errors import UserError


def require_readable(name: str, state: object) -> None:
    """Read a state as a resumed run would, without its tensors.

    Raises:
        UserError: It holds something that is only read by running code.
    """
    buffer = io.BytesIO()
    torch.save(apply_to_collection(state, Tensor, lambda _: None), buffer)
    buffer.seek(0)
    try:
        torch.load(buffer, weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = found[1] if found else "something other"
        raise UserError(
            f"the state of {name} contains {what}, which a resumed run cannot load",
            key="callbacks",
            hint="Its state_dict() must return only numbers, text, lists, dictionaries and "
            "tensors.",
        ) from error
