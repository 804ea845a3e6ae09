"""BGZF: how it is written."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from ...files import BGZF_EOF


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
