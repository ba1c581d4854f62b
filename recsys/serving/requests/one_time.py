"""Answers on a beat: an answer leaves at the next beat, so that its time tells nothing of what it says.

It is for answers that take longer where there is more behind them, and that nobody waits for at every turn.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

BEAT = 0.1  # seconds: longer than such an answer takes, but for very few

Answer = TypeVar("Answer")


async def on_the_beat(answer: Callable[[], Answer], *, beat: float = BEAT) -> Answer:
    """Return what a function does, run in another thread, at the next beat from now."""
    begun = time.monotonic()
    found = await run_in_threadpool(answer)
    await asyncio.sleep((begun - time.monotonic()) % beat)
    return found
