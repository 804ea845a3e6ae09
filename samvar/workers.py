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
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

from .errors import SamvarError

PR_SET_PDEATHSIG = 1  # sys/prctl.h
ENDING = signal.SIGINT, signal.SIGTERM, signal.SIGHUP  # signals that end a run

R = TypeVar("R")
T = TypeVar("T")


def can_fork() -> bool:
    """Whether this process may have forks, and these are safe here: on Linux."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


class Fork(NamedTuple):
    """A process, and where it is asked."""

    process: ForkProcess
    pipe: Connection


class Workers:
    """`n` forks of this process. Each calls `begin` at first, then functions that are pickled, as
    partial ones of modules are, with results that are, but for the objects of `shared`, which are
    sent as their places in it: what a result has of them is the very object of this process.

    To be made by the main thread, before output is written and other threads are at work; as a
    context manager it ends the forks. They end with this process, too, however that ends. Raises
    SamvarError where there can't be so many, where one of them ends by itself, and where work is
    asked for once they are closed.
    """

    def __init__(self, n: int, shared: Sequence[object], begin: Callable[[], None]):
        self.n = n
        self._shared = _Shared(shared)
        self._idle: SimpleQueue[Fork] = SimpleQueue()
        self._forks: list[Fork] = []
        self._askers = ThreadPoolExecutor(n, "samvar-asker")
        self._closed = False
        try:
            with _held_back(ENDING):
                for _ in range(n):
                    self._forks.append(self._fork(begin))
                    self._idle.put(self._forks[-1])
        except BaseException as e:
            self.close()
            if isinstance(e, OSError):
                few = f"there can be no {n} processes ({e}): give fewer --threads"
                raise SamvarError(few) from e
            raise

    def _fork(self, begin: Callable[[], None]) -> Fork:
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        not_its_own = [here, *(fork.pipe for fork in self._forks)]
        args = there, not_its_own, self._shared, begin, os.getpid()
        process = context.Process(target=_work, args=args, daemon=True)
        process.start()
        there.close()
        return Fork(process, here)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the forks; what they have not done is dropped."""
        self._closed = True
        for fork in self._forks:
            fork.process.kill()
        self._askers.shutdown(cancel_futures=True)
        for fork in self._forks:
            fork.process.join()

    def submit(self, function: Callable[[], R]) -> Future[R]:
        """Have a fork call a function."""
        if self._closed:
            raise SamvarError("the processes are closed, and work no more")
        return self._askers.submit(self._ask, function)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """function(item) of every item, in order, from the forks, which start at once."""
        answers = deque([self.submit(partial(function, item)) for item in items])

        def results() -> Iterator[R]:
            while answers:
                yield answers.popleft().result()  # what is taken is kept no longer

        return results()

    def _ask(self, function: Callable[[], R]) -> R:
        fork = self._idle.get()
        try:
            fork.pipe.send_bytes(self._shared.dumps(function))
            answer = fork.pipe.recv_bytes()
        except (EOFError, OSError) as e:
            raise SamvarError(_ended(fork.process)) from e
        finally:
            self._idle.put(fork)
        error, result = self._shared.loads(answer)
        if error is not None:
            raise error from InFork(result)
        return result


def _ended(process: ForkProcess) -> str:
    """What to say of a fork that has gone."""
    process.join(1)
    code = process.exitcode
    if code == -signal.SIGKILL:
        return (
            "a process that scores was killed, most likely for want of memory: give fewer --threads"
        )
    return f"a process that scores ended by itself (exit code {code})"


@contextmanager
def _held_back(signals: Iterable[signal.Signals]) -> Iterator[None]:
    """Signals wait: what a handler raises while Python forks would be lost."""
    came: list[int] = []
    handlers = {s: signal.signal(s, lambda number, _: came.append(number)) for s in signals}
    try:
        yield
    finally:
        for which, handler in handlers.items():
            signal.signal(which, signal.SIG_DFL if handler is None else handler)
    for number in came:
        signal.raise_signal(number)


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
        _Pickler(stream, self._places).dump(value)
        return stream.getvalue()

    def loads(self, data: bytes):
        return _Unpickler(io.BytesIO(data), self._objects).load()


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, places: dict[int, int]):
        super().__init__(stream, pickle.HIGHEST_PROTOCOL)
        self._places = places

    def persistent_id(self, value: object) -> int | None:
        return self._places.get(id(value))


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, objects: Sequence[object]):
        super().__init__(stream)
        self._objects = objects

    def persistent_load(self, place: int) -> object:
        return self._objects[place]


def _work(
    asked: Connection,
    not_its_own: Sequence[Connection],
    shared: _Shared,
    begin: Callable[[], None],
    parent: int,
) -> None:
    """Of a fork: answer until it is ended, or nobody is left to ask. It leaves in no other way:
    Python's would write what its parent had in its buffers."""
    for number in (signal.SIGINT, signal.SIGHUP):  # the parent has them, too: it ends its forks,
        signal.signal(number, signal.SIG_IGN)  # or goes on, as under nohup
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for pipe in not_its_own:
        pipe.close()
    if os.getppid() != parent:
        os._exit(1)
    try:
        begin()
        failed = None
    except Exception as e:
        failed = shared.dumps((_sendable(e), traceback.format_exc()))
    while True:
        try:
            function = shared.loads(asked.recv_bytes())
            asked.send_bytes(failed or _answer(shared, function))
        except (EOFError, BrokenPipeError):
            os._exit(1)


def _answer(shared: _Shared, function: Callable[[], object]) -> bytes:
    """(None, result), or (error, its traceback)."""
    try:
        return shared.dumps((None, function()))
    except Exception as e:
        return shared.dumps((_sendable(e), traceback.format_exc()))


def _sendable(error: Exception) -> Exception:
    """An error as it is, where it can be pickled, else what it says."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
