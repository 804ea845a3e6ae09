"""BGZF: how it is written, and its end marker, which is missing from a truncated file."""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class Tail(io.RawIOBase):
    """Reads through to a stream and remembers its last bytes, to recognise a truncated BGZF."""

    def __init__(self, stream: BinaryIO, head: bytes):
        self._stream, self._head, self.last = stream, head, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._head[: len(buffer)] or self._stream.read(len(buffer)) or b""
        self._head = self._head[len(data) :] if self._head else b""
        self.last = (self.last + data)[-len(BGZF_EOF) :]
        buffer[: len(data)] = data
        return len(data)


class Bgzf:
    """Writes BGZF; unlike a library's file object it leaves out the end marker when the run
    fails."""

    BLOCK = 0xFF00

    def __init__(self, stream: BinaryIO):
        self._stream, self._waiting = stream, bytearray()

    def write(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) >= self.BLOCK:
            self._block(bytes(self._waiting[: self.BLOCK]))
            del self._waiting[: self.BLOCK]

    def _block(self, data: bytes) -> None:
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = deflate.compress(data) + deflate.flush()
        self._stream.write(BGZF_EOF[:16] + struct.pack("<H", len(body) + 25) + body)
        self._stream.write(struct.pack("<II", zlib.crc32(data), len(data)))

    def flush(self) -> None:
        if self._waiting:
            self._block(bytes(self._waiting))
            self._waiting.clear()

    def finish(self) -> None:
        self.flush()
        self._stream.write(BGZF_EOF)
