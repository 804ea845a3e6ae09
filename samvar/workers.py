"""Processes that work for this one: forks of it, which have what it has read. Threads would wait
for each other, as each of them is in Python for a quarter of its time."""

from __future__ import annotations

import ctypes
import io
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TypeVar

from .errors import SamvarError

PR_SET_PDEATHSIG = 1  # sys/prctl.h

R = TypeVar("R")
T = TypeVar("T")


def can_fork() -> bool:
    """Whether this system has processes fork safely, and end with their parent: Linux."""
    return sys.platform == "linux"


class Workers:
    """`n` forks of this process. Each calls `begin` before its first work, then functions that are
    pickled, as partial ones of modules are, with results that are, but for the objects of `shared`,
    which are sent as their places in it: what a result has of them is the very object of this
    process.

    To be made by the main thread, before output is written and other threads are at work; as a
    context manager it ends the forks. They end with this process, too, however that ends. Raises
    SamvarError where one of them ends by itself.
    """

    def __init__(self, n: int, shared: Sequence[object], begin: Callable[[], None]):
        self.n = n
        self._shared = _Shared(shared)
        self._idle: SimpleQueue[Connection] = SimpleQueue()
        self._forks = []
        context = multiprocessing.get_context("fork")
        for _ in range(n):
            here, there = context.Pipe()
            fork = context.Process(
                target=_work, args=(there, self._shared, begin, os.getpid()), daemon=True
            )
            fork.start()
            there.close()
            self._forks.append(fork)
            self._idle.put(here)
        self._askers = ThreadPoolExecutor(n, "samvar-asker")

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the forks; what they have not done is dropped."""
        for fork in self._forks:
            fork.kill()  # a fork that ends by itself would write what this one has in its buffers
        self._askers.shutdown(cancel_futures=True)
        for fork in self._forks:
            fork.join()

    def submit(self, function: Callable[[], R]) -> Future[R]:
        """Have a fork call a function."""
        return self._askers.submit(self._ask, function)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """function(item) of every item, in order, from the forks, which start at once."""
        answers = [self.submit(partial(function, item)) for item in items]
        return (answer.result() for answer in answers)

    def _ask(self, function: Callable[[], R]) -> R:
        fork = self._idle.get()
        try:
            fork.send_bytes(self._shared.dumps(function))
            answer = fork.recv_bytes()
        except (EOFError, OSError) as e:
            raise SamvarError(
                "a process that scores was ended from outside, most likely for want of memory: "
                "give fewer --threads"
            ) from e
        finally:
            self._idle.put(fork)
        error, result = self._shared.loads(answer)
        if error:
            raise error from InFork(result)
        return result


class InFork(Exception):
    """Where in a fork an error was raised: its traceback."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Shared:
    """Pickles what refers to objects that either side has."""

    def __init__(self, objects: Sequence[object]):
        self._objects = objects
        self._places = {id(o): i for i, o in enumerate(objects)}

    def dumps(self, value: object) -> bytes:
        stream = io.BytesIO()
        pickler = pickle.Pickler(stream, pickle.HIGHEST_PROTOCOL)
        pickler.persistent_id = self._place  # type: ignore[method-assign]
        pickler.dump(value)
        return stream.getvalue()

    def loads(self, data: bytes):
        unpickler = pickle.Unpickler(io.BytesIO(data))
        unpickler.persistent_load = self._objects.__getitem__  # type: ignore[method-assign]
        return unpickler.load()

    def _place(self, value: object) -> int | None:
        return self._places.get(id(value))


def _work(asked: Connection, shared: _Shared, begin: Callable[[], None], parent: int) -> None:
    """Of a fork: answer until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has it, too, and ends its forks
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    begun = False
    while True:
        function = shared.loads(asked.recv_bytes())
        try:
            if not begun:
                begin()
                begun = True
            answer = shared.dumps((None, function()))
        except Exception as e:
            answer = shared.dumps((_sendable(e), traceback.format_exc()))
        asked.send_bytes(answer)


def _sendable(error: Exception) -> Exception:
    """An error as it is, where it can be pickled, else what it says."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
