"""Work of many requests, one after the other: so many at once, no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from ..errors import SamvarError

T = TypeVar("T")


class Busy(SamvarError):
    """As many requests as are taken at once are there."""


class Desk:
    """Hands work to the workers in the order in which it comes. `submit` starts a job; `most`
    requests are taken at once, at work or waiting."""

    def __init__(self, submit: Callable[[Callable[[], Any]], Future[Any]], most: int):
        self._submit, self._most, self._taken = submit, most, 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for a request, for as long as it takes. Raises Busy where none is free."""
        if self._taken >= self._most:
            raise Busy(f"{self._most} requests are worked on or wait: try again in a moment")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def work(self, job: Callable[[], T]) -> T:
        """What a worker makes of the job. A job that has not begun is dropped when the caller is
        cancelled."""
        return await asyncio.wrap_future(self._submit(job))


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to; it is cancelled when the client leaves, which raises
    ClientDisconnect."""
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        left.cancel()


async def _left(request: Request) -> None:
    """Returns when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
