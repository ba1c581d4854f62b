"""The privacy account: what listeners risk by all that was released, as the jobs write it and the endpoint reads it."""

import json

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from recsys.errors import NotReadyError
from recsys.workspace import Workspace, replace_file

ACCOUNT = "account.json"  # in the workspace


class Spent(TypedDict):
    """What one listener can have been a part of, or can be at most (``releases`` is null then)."""

    purpose: str
    nights: str
    releases: int | None
    rho: float
    epsilon: float


class Accounted(TypedDict):
    """What was spent: epsilon by the larger of two accountants, and what that means in words."""

    at: str
    delta: float
    spent: list[Spent]
    meaning: str


def write_privacy_account(workspace: Workspace, account: Accounted) -> None:
    """Write the account into a workspace, in place of the one before."""
    replace_file(workspace.root / ACCOUNT, json.dumps(account, indent=2).encode())


def read_privacy_account(workspace: Workspace) -> Accounted:
    """Return the account that was written last.

    Raises
    ------
    NotReadyError
        If none was written yet, or what is there is none.
    """
    try:
        return _ACCOUNT.validate_json((workspace.root / ACCOUNT).read_bytes())
    except (OSError, ValidationError):
        raise NotReadyError("no privacy account can be read", hint="Run `hearabouts nightly`: it writes one.") from None


_ACCOUNT = TypeAdapter(Accounted)
