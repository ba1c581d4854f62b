"""Voice control: what a text means that was made of speech on the listener's device; nothing of it is kept."""

import unicodedata
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from recsys.consents.log import Purpose, State, not_allowed
from recsys.errors import PositionError
from recsys.geography.positions import holds_position
from recsys.messages import said, template
from recsys.serving.openapi.examples import problems
from recsys.serving.openapi.examples_me import INTENT, SPOKEN
from recsys.serving.pages.templates import SWITCHES
from recsys.serving.pages.words import words_in
from recsys.serving.requests.json_body import body_of
from recsys.serving.requests.query import without_parameters
from recsys.serving.state.endpoint import Parts
from recsys.serving.state.listener import Listener
from recsys.serving.voice.answers import IntentAnswer, intent_answer
from recsys.serving.voice.intents import Intent, Turn, intent_of
from recsys.serving.voice.numbers import speaks_position

router = APIRouter(dependencies=[Depends(without_parameters)])

_LONGEST = 200  # characters: nothing that can be asked for takes longer to say
_QUESTIONS = {State.GIVEN: template("Turn on “{name}”?"), State.WITHDRAWN: template("Turn off “{name}”?")}
_BODY = (
    f'Send {{"text": "...", "language": "..."}} as application/json: what was said, up to {_LONGEST} characters in one '
    "line, and en, de, es, fr, ja or pt."
)


def _sayable(text: str) -> str:
    if not text.strip() or any(unicodedata.category(each) in ("Cc", "Cs") for each in text):
        raise ValueError
    return text


class Spoken(BaseModel):
    """What was said."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[
        str,
        Field(min_length=1, max_length=_LONGEST, description="As the recogniser on the device wrote it."),
        AfterValidator(_sayable),
    ]
    language: Annotated[Literal["en", "de", "es", "fr", "ja", "pt"], Field(description="In which it was said.")]


async def _spoken(request: Request) -> Spoken:
    spoken = body_of(await request.body(), Spoken, hint=_BODY)
    if holds_position(spoken.text) or speaks_position(spoken.text, spoken.language):
        raise PositionError("the text holds a position, which is neither needed nor wanted here", hint=_BODY)
    return spoken


@router.post(
    "/v1/voice/intent",
    response_model=IntentAnswer,
    summary="What a spoken text means",
    responses={200: {"content": {"application/json": {"example": INTENT}}}, **problems(400, 401, 403, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Spoken.model_json_schema(), "example": SPOKEN}},
        }
    },
)
def voice_intent(who: Listener, spoken: Annotated[Spoken, Depends(_spoken)], parts: Parts) -> IntentAnswer:
    """Return what a text means that a recogniser on the listener's device made of speech.

    It needs the switch `voice` (403). What is popular, rising or special in a place, near me, a song, an artist, or a
    switch: in the languages of the page, by a closed grammar of names that there are. Names are found as they are
    heard, also where they are misspelled; a switch only by its whole name, and nothing is turned by this request: ask
    the question of the answer, and send the usual `PUT` after a yes. What is not understood is a null `intent`, with
    status 200. Nothing is kept, and the text is in no log.
    """
    if not parts.consents.allows(who.listener, Purpose.VOICE, at=who.now):
        raise not_allowed(Purpose.VOICE)
    published, say = parts.current.get(), words_in(spoken.language).say
    switches = {Purpose(purpose): say(name) for purpose, name in SWITCHES.items()}
    intent = intent_of(spoken.text, language=spoken.language, published=published, switches=switches)
    return intent_answer(intent, published=published, question=_question(intent, language=spoken.language))


def _question(intent: Intent | None, *, language: str) -> str:
    """Return what to ask before a switch is turned."""
    if not isinstance(intent, Turn):
        return ""
    return words_in(language).say(said(_QUESTIONS[intent.state], name=SWITCHES[intent.purpose]))
