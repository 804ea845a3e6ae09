"""Text inputs as lines, and outputs that take their name only when they are complete."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, BinaryIO

STDOUT_CLOSED = "stdout is closed; give -o, or send it to a file or pipe"
GZIP = b"\x1f\x8b"
BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
BYTE_ORDER_MARK = "\ufeff"
CR_ALONE = "lines end in CR alone; make the ends LF with: tr '\\r' '\\n'"
UTF16 = b"\xff\xfe", b"\xfe\xff"
NO_ROOM = errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO
BUFFER = 1 << 20  # bytes
CHUNK = 1 << 16  # bytes that are split into lines at once: they stay in the processor's cache


class Tail(io.RawIOBase):
    """Reads through to a stream and remembers its last bytes, to recognise a truncated BGZF."""

    def __init__(self, stream: BinaryIO, head: bytes = b""):
        self._stream, self._head, self.last = stream, head, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._head[: len(buffer)] or self._stream.read(len(buffer)) or b""
        self._head = self._head[len(data) :] if self._head else b""
        self.last = (self.last + data)[-len(BGZF_EOF) :]
        buffer[: len(data)] = data
        return len(data)


def is_bgzf(head: bytes) -> bool:
    """Whether a file that begins with these 14 bytes is BGZF."""
    return head[:2] == GZIP and head[12:14] == b"BC"


def ends_whole(path: str) -> bool:
    """Whether a file ends with the end marker of BGZF."""
    with open(path, "rb") as handle:
        handle.seek(-min(len(BGZF_EOF), os.path.getsize(path)), os.SEEK_END)
        return handle.read() == BGZF_EOF


def text_lines(path: str, lenient: bool = False) -> Iterator[str]:
    """The lines of a text file, plain or gzipped, without line ends (LF, CR LF or CR) and byte
    order marks. `lenient`: what is not UTF-8 becomes U+FFFD.

    Raises OSError, with file and line, when the file cannot be read to its end or is not UTF-8.
    """
    with open(path, "rb") as handle:
        yield from lines_of(handle, path, lenient)


def lines_of(handle: io.BufferedReader, path: str, lenient: bool = False) -> Iterator[str]:
    """`text_lines` of an open file, which stays open; `path` is its name in errors."""
    head = handle.peek(14)[:14]
    tail = Tail(handle) if is_bgzf(head) else None
    packed = head[:2] == GZIP
    content = io.BufferedReader(gzip.GzipFile(fileobj=tail or handle), BUFFER) if packed else handle
    number = 0
    try:
        if content.peek(2)[:2] in UTF16:
            raise OSError(f"{path} is UTF-16 text: save it as UTF-8")
        blocks = _blocks_of_lines(content, "replace" if lenient else "surrogateescape")
        for number, line in enumerate(chain.from_iterable(blocks), 1):
            if line.isascii():
                yield line
            elif lenient or _is_unicode(line):
                yield line.lstrip(BYTE_ORDER_MARK)
            else:
                raise OSError(f"{path}, line {number}: this is not UTF-8 text")
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise OSError(f"{path}, after line {number}: {e}") from e
    if tail and tail.last != BGZF_EOF:
        raise OSError(
            f"{path} is truncated: it ends after line {number} without the BGZF end marker"
        )


def _blocks_of_lines(content: io.BufferedIOBase, errors: str) -> Iterator[list[str]]:
    """UTF-8 text, some lines at a time without their ends: cheaper than line by line, above all
    from gzip."""
    utf8 = codecs.getincrementaldecoder("utf-8")(errors)
    decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
    begun = ""
    while block := content.read1(CHUNK):
        lines = (begun + decoder.decode(block)).split("\n")
        begun = lines.pop()
        yield lines
    lines = (begun + decoder.decode(b"", final=True)).split("\n")
    yield lines if lines[-1] else lines[:-1]


def _is_unicode(text: str) -> bool:
    return not any("\udc80" <= c <= "\udcff" for c in text)  # bytes that surrogateescape kept


def check_writable(path: str) -> None:
    """Raises OSError when no file of this name can be made."""
    if not path:
        raise FileNotFoundError("cannot write: the name of the file is empty")
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder if not os.path.exists(path) or os.path.isfile(path) else path, os.W_OK):
        raise PermissionError(f"cannot write {path}: no permission to write there")


def check_folder_writable(path: str) -> None:
    """Raises OSError when there is no folder of this name and none can be made, or no file can be
    made in it."""
    if not path:
        raise FileNotFoundError("cannot write: the name of the folder is empty")
    existing = os.path.realpath(path)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise NotADirectoryError(f"cannot write into {path}: {existing} is no folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write into {path}: no permission to write in {existing}")


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Errors of a full disk or the like, which name no file, name this one; - is stdout."""
    try:
        yield
    except OSError as e:
        if e.filename is None and e.errno in NO_ROOM:
            raise OSError(cannot_write(path, e.errno)) from e
        raise


def cannot_write(path: str, number: int) -> str:
    """That a file, or stdout (-), cannot be written, by the number of the system's error."""
    return f"cannot write {'to stdout' if path == '-' else path}: {os.strerror(number)}"


@contextmanager
def complete_file(path: str) -> Iterator[str]:
    """A name to write under; the file takes its own name when the block ends well, and goes when it
    does not.

    A pipe or device is written as it is. Raises OSError when the path cannot be written.
    """
    check_writable(path)
    with writing(path):
        yield from _part_of(path)


def _part_of(path: str) -> Iterator[str]:
    if os.path.exists(path) and not os.path.isfile(path):
        yield path
        return
    final = os.path.realpath(path)
    part = f"{final}.part{os.getpid()}"
    try:
        yield part
        os.replace(part, final)
    finally:
        if os.path.exists(part):
            os.unlink(part)


class _Output(io.FileIO):
    """A file whose errors of writing name it, by the name that it takes in the end: where several
    are open, the one that is full is told."""

    def __init__(self, part: str, path: str):
        super().__init__(part, "w")
        self._path = path

    def write(self, data: Any) -> int:
        with writing(self._path):
            return super().write(data)


@contextmanager
def new_file(path: str, mode: str = "w") -> Iterator[Any]:
    """A `complete_file`, open for text ("w") or bytes ("wb"). Raises OSError, with the name, when
    it cannot be written."""
    with complete_file(path) as part:
        handle = io.BufferedWriter(_Output(part, path), BUFFER)
        with handle if mode == "wb" else io.TextIOWrapper(handle, "utf-8") as opened:
            yield opened


def write(path: str, content: str | bytes) -> None:
    """The whole content, or nothing, under that name. Raises OSError when the path cannot be
    written."""
    with new_file(path, "wb") as handle:
        handle.write(content if isinstance(content, bytes) else content.encode())


def read_json(path: str) -> dict[str, Any]:
    """What a JSON file holds, {} where there is no such file."""
    if not os.path.exists(path):
        return {}
    with open(path) as handle:
        content: dict[str, Any] = json.load(handle)
    return content
