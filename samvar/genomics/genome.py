"""Indexed FASTA as base codes, with contig names reconciled (chr1 = 1, chrM = MT)."""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import chain
from typing import BinaryIO

import numpy as np
import pysam

from ..errors import GenomeError
from ..files import CR_ALONE, GZIP, complete_file, ends_whole, is_bgzf

UNKNOWN = 4
MD5_PIECE = 1 << 24  # bases read at a time
_CODE = np.full(256, UNKNOWN, np.uint8)
for _i, _base in enumerate("ACGT"):
    _CODE[ord(_base)] = _CODE[ord(_base.lower())] = _i
_COMPLEMENT = np.array([3, 2, 1, 0, UNKNOWN], np.uint8)


def encode(sequence: str) -> np.ndarray:
    """Bases -> codes (uint8): A C G T = 0-3 in either case, every other letter 4."""
    return _CODE[np.frombuffer(sequence.encode("ascii", "replace"), np.uint8)]


def decode(codes: np.ndarray) -> str:
    """Codes -> bases, N where unknown."""
    return np.frombuffer(b"ACGTN", np.uint8)[codes].tobytes().decode()


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Reverse complement of base codes; its own inverse."""
    return _COMPLEMENT[codes[::-1]]


def contig_key(name: str) -> str:
    """What files that name a contig differently have in common: no chr, any case, and M for
    MT and MtDNA."""
    bare = _without_chr(name)
    return "M" if bare in ("MT", "Mt", "MtDNA") else bare


def _without_chr(name: str) -> str:
    return name[3:] if name[:3].lower() == "chr" and len(name) > 3 else name


class ContigNames:
    """Look-up of a contig under any of its names: an exact match goes first, then one but for chr
    (MT is chrMT where there is chrM, too), then M for MT."""

    def __init__(self, names: Iterable[str]):
        self.names = set(names)
        ordered = sorted(self.names, reverse=True)
        self._without_chr = {_without_chr(n): n for n in ordered}
        self._by_key = {contig_key(n): n for n in ordered}

    def find(self, name: str) -> str | None:
        """The name under which it is known here, or None."""
        if name in self.names:
            return name
        return self._without_chr.get(_without_chr(name)) or self._by_key.get(contig_key(name))

    def key(self, name: str) -> str:
        """What all names of one contig have in common: its name here, else that without chr."""
        return self.find(name) or contig_key(name)


def _head(path: str) -> bytes:
    with open(path, "rb") as handle:
        return handle.read(14)


def _unreadable(path: str) -> str | None:
    """Why no FASTA begins as this file does, and how to fix it; None where one may."""
    head = _head(path)
    if head.startswith(GZIP):
        bgzip = f"Uncompress it, or: gzip -dc {path} | bgzip > new.fa.gz"
        return None if is_bgzf(head) else f"is compressed with gzip, not bgzip. {bgzip}"
    if head.startswith(b"\xef\xbb\xbf"):
        return r"starts with a byte order mark. Remove it: sed '1s/^\xEF\xBB\xBF//'"
    if not head.strip():
        return "is empty, or begins with blank lines"
    if not head.lstrip().startswith(b">"):
        return f"does not begin with > and a name, but with {head!r}: it is no FASTA"
    return None


def _uneven(path: str) -> str | None:
    """Which sequence of a FASTA has lines that no index can count, in words; None where it is
    compressed, or has none. Reads all of it."""
    if _head(path).startswith(GZIP):
        return None
    name, width, ended = "", 1, False  # of the sequence; whether a line was shorter than its first
    with open(path, "rb") as handle:
        for number, line in enumerate(chain(handle, [b">"]), 1):
            bases = line.rstrip(b"\r\n")
            if line.startswith(b">") and not width:
                return f"has no bases in the sequence {name!r} (before line {number}): remove it"
            if line.startswith(b">"):
                name, width, ended = line[1:].decode(errors="replace").strip()[:40], 0, False
            elif bases and (ended or (width and len(bases) > width)):
                return (
                    f"has lines of different lengths in the sequence {name!r} (line {number}): "
                    f"make them alike, with: seqtk seq -l 60 {path} > new.fa"
                )
            else:
                width = width or len(bases)
                ended = len(bases) < width
            if b"\r" in bases:
                return f"has line ends that no index counts (line {number}): {CR_ALONE}"
    return None


def _make_index(path: str) -> None:
    """What is missing of the index; each file appears when it is complete, .fai last: other runs
    may look for it."""
    files = {"--fai-idx": path + ".fai"} | (
        {"--gzi-idx": path + ".gzi"} if _head(path)[:2] == GZIP else {}
    )
    if all(map(os.path.exists, files.values())):
        return
    with ExitStack() as stack:
        parts = [
            (option, stack.enter_context(complete_file(file))) for option, file in files.items()
        ]
        try:
            pysam.faidx(path, *(x for part in parts for x in part), catch_stdout=False)
        except pysam.SamtoolsError as e:
            raise OSError("samtools faidx failed") from e


def _files(path: str) -> list[tuple[int, int, int]]:
    """What tells a FASTA and its index from other files of their names."""
    found = [os.stat(path + ending) for ending in ("", ".fai")]
    return [(s.st_dev, s.st_ino, s.st_mtime_ns) for s in found]


class _Text:
    """Bytes of a FASTA, plain or in BGZF with its .gzi, by their place in the text."""

    TITLE = 1 << 12  # bytes of a title that are read at first

    def __init__(self, path: str, fasta: BinaryIO):
        self._fasta = fasta
        self._blocks = None
        if _head(path)[:2] == GZIP:
            entries = np.fromfile(path + ".gzi", "<u8")[1:].reshape(-1, 2)
            self._blocks = np.concatenate((np.zeros((1, 2), "<u8"), entries))
        self._block_at, self._block = -1, b""

    def read(self, start: int, n: int) -> bytes:
        """Bytes [start, start + n), fewer at the end."""
        if self._blocks is None:
            self._fasta.seek(start)
            return self._fasta.read(n)
        found = b""
        at = int(np.searchsorted(self._blocks[:, 1], start, "right")) - 1
        while len(found) < n and at < len(self._blocks):
            skip = max(start - int(self._blocks[at, 1]), 0)
            found += self._content(at)[skip : skip + n - len(found)]
            at += 1
        return found

    def _content(self, at: int) -> bytes:
        if at != self._block_at:
            compressed, _ = self._blocks[at]  # type: ignore[index]
            self._fasta.seek(int(compressed))
            self._block_at, self._block = (
                at,
                zlib.decompressobj(31).decompress(self._fasta.read(1 << 16)),
            )
        return self._block

    def line_before(self, end: int) -> bytes | None:
        """What follows > in the line that ends at `end`; None where that is no title."""
        size = self.TITLE
        while True:
            start = max(end - size, 0)
            text = self.read(start, end - start)
            begin = text.rfind(b"\n", 0, max(len(text) - 1, 0)) + 1
            if begin or not start:
                break
            size *= 16
        line = text[begin:]
        return line[1:] if line.startswith(b">") and line.endswith(b"\n") else None


class Genome:
    """A FASTA file, plain or bgzipped; makes the index where it is missing and the folder can be
    written.

    Raises GenomeError when the file or its index cannot be read.
    """

    def __init__(self, path: str):
        self.path, self.name = path, os.path.basename(path)
        self._lock = threading.Lock()
        if not os.path.isfile(path):
            raise GenomeError(f"FASTA file not found: {path}")
        if not os.access(path, os.R_OK):
            raise GenomeError(f"no permission to read FASTA {path}")
        if is_bgzf(_head(path)) and not ends_whole(path):
            raise GenomeError(
                f"FASTA {path} is truncated: it ends without the BGZF end marker. Copy it again, "
                "and remove its index (.fai, .gzi) if that was made of it"
            )
        try:
            _make_index(path)
            self._fasta = pysam.FastaFile(path)
            self._files = _files(path)
        except (OSError, ValueError) as e:
            if not os.path.exists(path + ".fai") and not os.access(
                os.path.dirname(os.path.abspath(path)), os.W_OK
            ):
                raise GenomeError(
                    f"FASTA {path} has no index and its folder cannot be written: link the FASTA "
                    "into a folder of "
                    "yours, or ask its owner to run: samtools faidx"
                ) from e
            if cause := _unreadable(path) or _uneven(path):
                raise GenomeError(f"FASTA {path} {cause}") from e
            raise GenomeError(
                f"cannot index or read FASTA {path} ({e}). It must be plain or compressed with "
                "bgzip; make its index "
                f"with: samtools faidx {path}"
            ) from e
        self.lengths: dict[str, int] = dict(zip(self._fasta.references, self._fasta.lengths))
        self._names = ContigNames(self.lengths)
        if not self.lengths:
            raise GenomeError(
                f"FASTA {path} holds no sequence; re-make its index with: samtools faidx {path}"
            )
        try:
            misplaced = self._misplaced()
        except (
            ValueError,
            OSError,
            EOFError,
            zlib.error,
        ):  # a number that is none, or no block where one should be
            misplaced = "its first lines"
        if misplaced and (cause := _unreadable(path)):
            raise GenomeError(f"FASTA {path} {cause}")
        if misplaced:
            raise GenomeError(
                f"the index {path}.fai does not fit the FASTA ({misplaced}): it is another "
                f"version's. Re-make it with: samtools faidx {path}"
            )

    def __getstate__(self) -> dict[str, str]:
        """A genome is sent to another process as its path ..."""
        return {"path": self.path}

    def __getattr__(self, name: str):
        """... and opened there when something is first read."""
        if name.startswith("__") or "lengths" in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name}")
        Genome.__init__(self, self.path)
        return getattr(self, name)

    def reopen(self) -> None:
        """Open the file once more, as a fork must: it shares its place in the file with the process
        that it is a fork of. Raises GenomeError where it is another file by now."""
        self._lock = threading.Lock()
        try:
            same = _files(self.path) == self._files
            self._fasta = pysam.FastaFile(self.path)
        except OSError as e:
            raise GenomeError(f"cannot read FASTA {self.path} once more ({e})") from e
        if not same:
            raise GenomeError(f"FASTA {self.path}, or its index, has changed since the start")

    def _misplaced(self) -> str | None:
        """A sequence of the index that does not stand where that says: its title just before, and a
        title or the end of the file just after it. A sequence of the file may be missing in the
        index, as the second of two with one name is, and the order may be any."""
        with open(self.path + ".fai") as index:
            rows = [line.rstrip("\n").split("\t")[:5] for line in index]
        with open(self.path, "rb") as fasta:
            text = _Text(self.path, fasta)
            for name, length, offset, bases, width in rows:
                begin, n = int(offset), int(length)
                full, rest = divmod(max(n - 1, 0), int(bases) or 1)
                end = begin + full * int(width) + rest + (n > 0)
                title = text.line_before(begin)
                after = text.read(end, 1000).lstrip()
                whole = bool(text.read(max(end - 1, 0), 1).strip()) or not n
                if title is None or title.split()[:1] != [name.encode()] or not whole:
                    return name
                if after and not after.startswith(b">"):
                    return name
        return None

    def contig(self, name: str) -> str | None:
        """This file's name for a contig, or None."""
        return self._names.find(name)

    def codes(self, contig: str, start: int, end: int) -> np.ndarray:
        """Base codes of [start, end), 0-based; positions outside the contig are unknown (4)."""
        out = np.full(max(end - start, 0), UNKNOWN, np.uint8)
        low, high = max(start, 0), min(end, self.lengths[contig])
        if low < high:
            out[low - start : high - start] = encode(self._fetch(contig, low, high))
        return out

    def is_circular(self, contig: str) -> bool:
        """Whether a contig's last base is followed by its first one."""
        return False

    def _fetch(self, contig: str, start: int, end: int) -> str:
        try:
            with self._lock:
                return self._fasta.fetch(contig, start, end)
        except (OSError, ValueError) as e:
            raise GenomeError(
                f"cannot read {contig}:{start + 1}-{end} from {self.path} ({e}); is its .fai up to "
                "date? "
                f"Make it with: samtools faidx {self.path}"
            ) from e

    def md5(self, contig: str) -> str:
        """MD5 of a contig's bases in upper case, as in SAM's M5. Reads all of it."""
        found = hashlib.md5(usedforsecurity=False)
        for start in range(0, self.lengths[contig], MD5_PIECE):
            found.update(self._fetch(contig, start, start + MD5_PIECE).upper().encode())
        return found.hexdigest()

    def digest(self) -> str:
        """sha256 of the index's name and length columns."""
        text = "".join(f"{name}\t{length}\n" for name, length in self.lengths.items())
        return hashlib.sha256(text.encode()).hexdigest()


class CircularGenome(Genome):
    """A genome some of whose contigs are circles: a position beyond an end is counted on from the
    other one. Raises GenomeError where it has no such contig."""

    def __init__(self, path: str, circular: Iterable[str]):
        super().__init__(path)
        self._circles = set()
        for name in circular:
            contig = self.contig(name)
            if contig is None:
                raise GenomeError(f"{path} has no contig {name}")
            self._circles.add(contig)

    def is_circular(self, contig: str) -> bool:
        return contig in self._circles

    def codes(self, contig: str, start: int, end: int) -> np.ndarray:
        """Base codes of [start, end), 0-based, on a circle any number of times round it."""
        if not self.is_circular(contig) or start >= end:
            return super().codes(contig, start, end)
        n = self.lengths[contig]
        first = start // n * n  # where the round that holds the start begins
        rounds = range(first, end, n)
        parts = [super(CircularGenome, self).codes(contig, start - r, end - r) for r in rounds]
        inside = [
            part[max(r - start, 0) : max(min(r + n, end) - start, 0)]
            for r, part in zip(rounds, parts)
        ]
        return np.concatenate(inside)
