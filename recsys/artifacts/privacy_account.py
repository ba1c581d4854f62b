"""The privacy account: what listeners risk by all that was released, as the jobs write it and the endpoint reads it."""

import json

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from recsys.errors import NotReadyError
from recsys.messages import recognised, template
from recsys.workspace import Workspace, replace_file

ACCOUNT = "account.json"  # in the workspace

MEANING = template(
    "What this means for you. Suppose somebody knows everything about everybody else, sees all that is published, "
    "and guesses whether you were counted. A coin is right 50 times of 100. About a single night of the charts "
    "such a guess is right at most {night} times; about the 28 nights in which you add most, {month}; about a whole "
    "year in which you add all you can, {year}; and {both} if you allow partner statistics as well. Put otherwise: a "
    "night of the charts changes the odds of whatever anybody believes about you at most {odds}-fold, but for a chance "
    "of {delta}. Most people are far from these limits, which hold even for those who listen every day, and whoever is "
    "erased and comes back begins with nothing saved."
)
"""What an account means for a listener."""


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


def remembered(text: str) -> str:
    """Return a text of an account as the message that it was when it was written; one of another version as it is."""
    return recognised(text, _TOLD)


_ACCOUNT = TypeAdapter(Accounted)
_TOLD = (
    MEANING,
    template("charts"),
    template("partner"),
    template("together"),
    template("last night"),
    template("last {n} nights"),
    template("worst {n} nights so far"),
    template("most in any {n} nights"),
)
