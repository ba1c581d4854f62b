"""The JSON body of a request, looked at nowhere else: it may hold no position, and nothing of it is repeated."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from recsys.errors import InputError, PositionError
from recsys.geography.positions import mentions_position, names_position

Model = TypeVar("Model", bound=BaseModel)


def body_of(
    content: bytes, model: type[Model], *, hint: str, is_known: Callable[[str], bool] = lambda _: False
) -> Model:
    """Return what a body says.

    Parameters
    ----------
    content : bytes
    model : type
        What it is to fit.
    hint : str
        What to send.
    is_known : callable, optional
        Tells of a text whether it is the name of something known to everybody, and so no position, whatever it reads
        like: ids of tracks may be anything. It is asked where something reads like one.

    Raises
    ------
    InputError
        If it is no JSON (UTF-8, RFC 8259), or does not fit.
    PositionError
        If it holds a position, or a field that is called after one.
    """
    try:
        text = content.decode()
        given = orjson.loads(text)  # which counts how deep a body goes, and so never runs out of stack
    except ValueError:
        raise InputError("the body is not JSON", hint=hint) from None
    names = given if isinstance(given, dict) else ()
    told = mentions_position(text) and mentions_position(_without(text, filter(is_known, _texts(given))))
    if told or any(map(names_position, names)):
        raise PositionError("the request carries a position, which is neither needed nor wanted here", hint=hint)
    try:
        return model.model_validate_json(content)
    except ValidationError:
        raise InputError("the body does not fit", hint=hint) from None


def _texts(given: Any) -> Iterator[str]:
    """Yield all texts in a JSON value but the names of fields."""
    left = [given]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | dict):
            left.extend(value if isinstance(value, list) else value.values())


def _without(text: str, known: Iterator[str]) -> str:
    for each in known:
        text = text.replace(f'"{each}"', '""')
    return text
