"""An exported folder on the Hugging Face hub, or what HF_ENDPOINT names instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lushan.errors import RunFailed, UserError


def require_access(repo: str) -> str:
    """Return the token of the hub, before anything is written.

    Raises:
        UserError: There is none, no network is wanted, or this is no name of a repository.
    """
    import huggingface_hub
    import huggingface_hub.utils
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError

    library: Any = huggingface_hub.utils
    try:
        library.validate_repo_id(repo)
        if "/" not in repo:
            raise HFValidationError("the owner is missing")
    except HFValidationError as error:
        raise UserError(
            f"this is not a repository name: {error}",
            key="--push",
            value=repo,
            hint="Write OWNER/NAME.",
        ) from error
    if constants.HF_HUB_OFFLINE:
        raise UserError("HF_HUB_OFFLINE is set", key="--push", value=repo, hint="Unset it.")
    token = huggingface_hub.get_token()
    if token is None:
        raise UserError(
            "no Hub token is set",
            key="--push",
            value=repo,
            hint="Set HF_TOKEN to a token with write access, or run `hf auth login`.",
        )
    return token


def push(folder: Path, repo: str, token: str, *, private: bool) -> str:
    """Upload a folder, whose repository is made where there is none; return where it is.

    Args:
        folder: An exported one.
        repo: `OWNER/NAME`.
        token: From `require_access`.
        private: Whether a new repository is seen by its owner alone.

    Raises:
        RunFailed: The hub refuses it, or is not there; the folder stays.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="lushan")
    try:
        url = api.create_repo(repo, private=private or None, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Export by lushan")
    except Exception as error:  # of the network, or whatever the hub answers
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise RunFailed(f"{repo} was not uploaded: {reason}; the export is in {folder}") from error
    return str(url)
