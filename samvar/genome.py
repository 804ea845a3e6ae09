"""Indexed FASTA as base codes, with contig names reconciled (chr1 = 1, chrM = MT)."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pysam

from .errors import GenomeError

UNKNOWN = 4
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


def contig_aliases(name: str) -> tuple[str, ...]:
    """Names under which other files may know this contig, itself first."""
    bare = name[3:] if name.lower().startswith("chr") else name
    names = [name, bare, "chr" + bare]
    if bare in ("M", "MT"):
        names += ["M", "MT", "chrM", "chrMT"]
    return tuple(dict.fromkeys(names))


def find_alias(name: str, known) -> str | None:
    """The first alias of `name` that `known` (a set or dict) contains, else None."""
    return next((alias for alias in contig_aliases(name) if alias in known), None)


class Genome:
    """A FASTA file, plain or bgzipped; makes the index where it is missing and the folder can be written.

    Raises GenomeError when the file or its index cannot be read.
    """

    def __init__(self, path: str):
        self.path, self.name = path, os.path.basename(path)
        if not os.path.isfile(path):
            raise GenomeError(f"FASTA file not found: {path}")
        try:
            self._fasta = pysam.FastaFile(path)
        except (OSError, ValueError) as e:
            raise GenomeError(
                f"cannot index or read FASTA {path} ({e}). It must be plain or compressed with bgzip (not gzip); "
                f"make its index with: samtools faidx {path}"
            ) from e
        self.lengths: dict[str, int] = dict(zip(self._fasta.references, self._fasta.lengths))
        if not self.lengths:
            raise GenomeError(f"FASTA {path} holds no sequence; re-make its index with: samtools faidx {path}")

    def contig(self, name: str) -> str | None:
        """This file's name for a contig, or None."""
        return find_alias(name, self.lengths)

    def codes(self, contig: str, start: int, end: int) -> np.ndarray:
        """Base codes of [start, end), 0-based; positions outside the contig are unknown (4)."""
        out = np.full(max(end - start, 0), UNKNOWN, np.uint8)
        low, high = max(start, 0), min(end, self.lengths[contig])
        if low < high:
            try:
                out[low - start : high - start] = encode(self._fasta.fetch(contig, low, high))
            except (OSError, ValueError) as e:
                raise GenomeError(
                    f"cannot read {contig}:{low + 1}-{high} from {self.path} ({e}); is its .fai up to date? "
                    f"Make it with: samtools faidx {self.path}"
                ) from e
        return out

    def digest(self) -> str:
        """sha256 of the index's name and length columns."""
        text = "".join(f"{name}\t{length}\n" for name, length in self.lengths.items())
        return hashlib.sha256(text.encode()).hexdigest()
