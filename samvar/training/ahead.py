"""Batches made ahead of their use."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Ahead(Generic[Batch]):
    """`make(step)`, called for the next step while this one's batch is in use: a GPU need not
    wait."""

    def __init__(self, make: Callable[[int], Batch]):
        self._make, self._pool = make, ThreadPoolExecutor(1)
        self._step = -1
        self._next: Future[Batch] | None = None

    def __call__(self, step: int) -> Batch:
        batch = self._next.result() if self._next and self._step == step else self._make(step)
        self._step, self._next = step + 1, self._pool.submit(self._make, step + 1)
        return batch
