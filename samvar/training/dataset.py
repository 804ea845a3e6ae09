"""The packed dataset: genes in transcript orientation, 2 bits a base, with their sites.

Imports numpy only, so that training runs where no genomics library is installed.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DatasetError
from ..model.sam import ACCEPTOR, DONOR

UNKNOWN = 4
IGNORE = 255  # label of a base that is not scored: unknown, or outside the gene
TRAIN, VALIDATION, TEST = "train", "validation", "test"
FORMAT = 1
CORE = {
    ACCEPTOR: ((-2, 0), (-1, 2)),
    DONOR: ((1, 2), (2, 3)),
}  # AG before an acceptor, GT after a donor


def pack(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes 0-4 -> (four bases a byte, (n, 2) runs [start, end) of unknown bases)."""
    unknown = np.flatnonzero(np.diff(np.pad(codes == UNKNOWN, 1).astype(np.int8)))
    two_bit = np.where(codes == UNKNOWN, 0, codes).astype(np.uint8)
    two_bit = np.pad(two_bit, (0, -len(two_bit) % 4)).reshape(-1, 4)
    return two_bit @ np.array([1, 4, 16, 64], np.uint8), unknown.reshape(-1, 2).astype(np.int64)


def unpack(packed: np.ndarray, runs: np.ndarray, length: int) -> np.ndarray:
    """The inverse of `pack`."""
    codes = ((packed[:, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3).reshape(-1)[:length]
    for start, end in runs:
        codes[start:end] = UNKNOWN
    return codes


def save_windows(path: str, codes: np.ndarray, arrays: dict[str, Any]) -> None:
    """Write windows of one length (N, L), 2 bits a base, and other arrays to a file."""
    packed, runs = pack(codes.reshape(-1))
    with open(path, "wb") as handle:
        np.savez_compressed(handle, packed=packed, runs=runs, shape=codes.shape, **arrays)


def load_windows(file: Mapping[str, np.ndarray]) -> np.ndarray:
    """The codes (N, L) in an open file of `save_windows`."""
    n, length = file["shape"].tolist()
    return unpack(file["packed"], file["runs"], n * length).reshape(n, length)


def core_bases(codes: np.ndarray, kind: int) -> np.ndarray:
    """Where an acceptor (AG before it) or a donor (GT after it) could be."""
    here = np.ones(len(codes), bool)
    for shift, base in CORE[kind]:
        here &= np.roll(codes, -shift) == base
    return here


@dataclass(frozen=True)
class Locus:
    """Where a transcript lies: [start, end) of a contig's strand, 0-based."""

    contig: str
    strand: str
    start: int
    end: int

    def offset(self, position: int) -> int:
        """Of a position (0-based on the contig) from the first base of the transcript."""
        return position - self.start if self.strand == "+" else self.end - 1 - position


@dataclass(frozen=True, eq=False)
class TrainingGene:
    """A gene as training and evaluation take it: one transcript, in its own orientation.

    name, chrom  symbol, chromosome of origin
    codes      (L,) uint8: 0-3 A C G T, 4 unknown
    acceptors, donors  positions of the first and the last exonic bases of its introns, 0-based in
               `codes`, ascending
    paralog    whether it has one; None where that is not known
    split      train, validation or test
    locus      where it was cut from; None where that is not known
    """

    name: str
    chrom: str
    codes: np.ndarray
    acceptors: Sequence[int] | np.ndarray
    donors: Sequence[int] | np.ndarray
    paralog: bool | None = None
    split: str = TEST
    locus: Locus | None = None


@dataclass
class Dataset:
    """Genes end to end, in transcript orientation.

    codes     (B,) uint8: 0-3 A C G T, 4 unknown
    labels    (B,) uint8: 0 none, 1 acceptor, 2 donor, 255 where the base is unknown
    offsets   (G + 1,): gene g is [offsets[g], offsets[g + 1])
    names, chroms, splits, paralogs (G,): symbol, chromosome of origin, train/validation/test,
    1/0/-1 (not known)
    motifs    psam (K, 11, 4), a0 (K,), rbp (K,), names of the RBPs; empty where prepared without
    meta      where it came from
    """

    codes: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray
    names: np.ndarray
    chroms: np.ndarray
    splits: np.ndarray
    paralogs: np.ndarray
    motifs: dict[str, np.ndarray]
    meta: dict

    def proteins_of_motifs(self) -> dict[str, tuple[str, ...]]:
        """Name of each motif -> the proteins it stands for."""
        families = {m["name"]: m["family"] for m in self.meta.get("motifs", [])}
        names = [str(n) for n in self.motifs["names"]] if self.motifs else []
        return {n: tuple(dict.fromkeys([n, *families.get(n, n).split("/")])) for n in names}

    @classmethod
    def from_genes(
        cls,
        genes: Sequence[TrainingGene],
        motifs: dict[str, np.ndarray] | None = None,
        meta: dict | None = None,
    ) -> Dataset:
        offsets = np.cumsum([0, *(len(g.codes) for g in genes)], dtype=np.int64)
        codes = np.concatenate([np.zeros(0, np.uint8), *(g.codes for g in genes)])
        labels = np.where(codes == UNKNOWN, np.uint8(IGNORE), np.uint8(0))
        for gene, start in zip(genes, offsets):
            for kind, positions in ((ACCEPTOR, gene.acceptors), (DONOR, gene.donors)):
                at = start + np.asarray(positions, np.int64)
                labels[at[codes[at] != UNKNOWN]] = kind
        return cls(
            codes,
            labels,
            offsets,
            names=np.array([g.name for g in genes]),
            chroms=np.array([g.chrom for g in genes]),
            splits=np.array([g.split for g in genes]),
            paralogs=np.array([-1 if g.paralog is None else g.paralog for g in genes], np.int8),
            motifs=motifs or {},
            meta=meta or {},
        )

    def save(self, path: str) -> None:
        packed, runs = pack(self.codes)
        motifs: dict[str, Any] = {f"motif_{k}": v for k, v in self.motifs.items()}
        sites = np.flatnonzero((self.labels == ACCEPTOR) | (self.labels == DONOR))
        with open(path, "wb") as handle:
            np.savez_compressed(
                handle,
                format=FORMAT,
                packed=packed,
                runs=runs,
                sites=sites,
                kinds=self.labels[sites],
                offsets=self.offsets,
                names=self.names,
                chroms=self.chroms,
                splits=self.splits,
                paralogs=self.paralogs,
                meta=json.dumps(self.meta),
                **motifs,
            )

    @classmethod
    def load(cls, path: str) -> Dataset:
        """Raises DatasetError when the file is missing or no packed dataset."""
        try:
            with np.load(path, allow_pickle=False) as z:
                f = dict(z)
            if int(f["format"]) != FORMAT:
                raise DatasetError(
                    f"{path} has dataset format {int(f['format'])}; make it again: samvar train "
                    "prepare"
                )
            codes = unpack(f["packed"], f["runs"], int(f["offsets"][-1]))
            labels = np.where(codes == UNKNOWN, np.uint8(IGNORE), np.uint8(0))
            labels[f["sites"]] = f["kinds"]
            motifs = {k.removeprefix("motif_"): v for k, v in f.items() if k.startswith("motif_")}
            return cls(
                codes,
                labels,
                f["offsets"],
                f["names"],
                f["chroms"],
                f["splits"],
                f["paralogs"],
                motifs,
                json.loads(str(f["meta"])),
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
            raise DatasetError(
                f"cannot read dataset {path} ({e}); make it with: samvar train prepare"
            ) from e

    def digest(self) -> str:
        """sha256 of bases, labels, splits and motifs."""
        parts = (
            self.codes,
            self.labels,
            self.offsets,
            self.splits,
            *(self.motifs[k] for k in sorted(self.motifs)),
        )
        digest = hashlib.sha256()
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def genes(self, split: str | None = None) -> np.ndarray:
        """Indices of the genes of a split (all: None)."""
        return np.flatnonzero(self.splits == split) if split else np.arange(len(self))

    def extent(self, split: str) -> dict[str, int]:
        """Number of genes, bases and introns of a split."""
        spans = [slice(self.offsets[g], self.offsets[g + 1]) for g in self.genes(split)]
        return dict(
            genes=len(spans),
            bases=sum(int(span.stop - span.start) for span in spans),
            introns=sum(int((self.labels[span] == DONOR).sum()) for span in spans),
        )

    def window(
        self, gene: int, start: int, end: int, left: int = 0, right: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """(codes of [start - left, end + right), labels of [start, end)) in gene coordinates;
        outside: unknown."""
        low, high = self.offsets[gene], self.offsets[gene + 1]
        return _slice(self.codes, low, high, start - left, end + right, UNKNOWN), _slice(
            self.labels, low, high, start, end, IGNORE
        )


def _slice(values: np.ndarray, low: int, high: int, start: int, end: int, fill: int) -> np.ndarray:
    out = np.full(end - start, fill, values.dtype)
    a, b = max(start, 0), min(end, int(high - low))
    if a < b:
        out[a - start : b - start] = values[low + a : low + b]
    return out
