"""The JSON body of a request, looked at nowhere else: it may hold no position, and nothing of it is repeated."""

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from recsys.errors import InputError, PositionError
from recsys.serving.requests.positions import mentions_position, names_position

Model = TypeVar("Model", bound=BaseModel)


def body_of(content: bytes, model: type[Model], *, hint: str) -> Model:
    """Return what a body says.

    Raises
    ------
    InputError
        If it is no JSON (UTF-8, RFC 8259), or does not fit.
    PositionError
        If it holds a position, or a field that is called after one.
    """
    try:
        text = content.decode()
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("the body is not JSON", hint=hint) from None
    names = given if isinstance(given, dict) else ()
    if mentions_position(text) or any(map(names_position, names)):
        raise PositionError("the request carries a position, which is neither needed nor wanted here", hint=hint)
    try:
        return model.model_validate_json(content)
    except ValidationError:
        raise InputError("the body does not fit", hint=hint) from None
