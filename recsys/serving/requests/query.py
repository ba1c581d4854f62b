"""The query: none where a request has none, and how long a list it may ask for."""

from starlette.requests import Request

from recsys.errors import InputError
from recsys.messages import template
from recsys.settings import Settings


def without_parameters(request: Request) -> None:
    """Refuse any parameter, where a request has none: a coordinate would come under any name."""
    if request.query_params:
        raise InputError(
            template("there is a parameter that this request does not have"),
            hint="The parameters of every request are in /openapi.json.",
        )


def size_of_list(limit: int | None, *, settings: Settings, most: int) -> int:
    """Return how many a list gets: as many as it asks for, or the usual number.

    Raises
    ------
    InputError
        If more are asked for than there may be.
    """
    if limit is not None and limit > most:
        raise InputError(f"limit is larger than {most}", hint=f"Ask for 1 to {most}.")
    return min(settings.serving.list_size, most) if limit is None else limit
