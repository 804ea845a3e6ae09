"""Parsed annotations in the user's cache folder, named by the checksum of the file they came
from. An annotation has hundreds of thousands of transcripts, of which a run looks at few: they are
made when they are looked at."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import platformdirs

from ..files import new_file
from ..genomics.genes import Exons, Gene, Rank, Transcript

FORMAT = 12
TEXTS = "id", "symbol", "contig", "strand", "origin"


def path_of(digest: str) -> str:
    """Where the genes of the annotation with this sha256 are kept. Raises RuntimeError or KeyError
    for a user without a home."""
    return os.path.join(
        platformdirs.user_cache_dir("samvar", appauthor=False), f"genes.{digest}.v{FORMAT}.npz"
    )


def save(digest: str, genes: list[Gene], notes: tuple[str, ...]) -> None:
    """Keep genes and the reader's notes; if that fails for any reason, nothing is kept."""
    with suppress(Exception):
        path = path_of(digest)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with new_file(path, "wb") as handle:
            np.savez(handle, **_columns(genes, notes))  # type: ignore[arg-type]


def _columns(genes: list[Gene], notes: tuple[str, ...]) -> dict[str, np.ndarray]:
    transcripts = [t for g in genes for t in g.transcripts]
    exons = array("I")
    for t in transcripts:
        exons.extend(t.exons.bounds)  # type: ignore[attr-defined]
    text = {name: [getattr(g, name) for g in genes] for name in TEXTS}
    text |= dict(transcript=[t.id for t in transcripts], notes=list(notes))
    return {k: np.frombuffer(json.dumps(v).encode(), np.uint8) for k, v in text.items()} | dict(
        span=np.array([(g.start, g.end) for g in genes]),
        paralog=np.array([-1 if g.paralog is None else int(g.paralog) for g in genes], np.int8),
        n_transcripts=np.array([len(g.transcripts) for g in genes]),
        cds=np.array([(t.cds_start, t.cds_end) for t in transcripts], np.uint32),
        phase=np.array([t.phase for t in transcripts], np.uint8),
        rank=np.array([t.rank for t in transcripts], np.uint8),
        differs=np.array([t.differs for t in transcripts], bool),
        n_exons=np.array([len(t.exons) for t in transcripts]),
        exons=np.frombuffer(exons, np.uint32),
    )


def load(digest: str) -> tuple[list[Gene], tuple[str, ...]] | None:
    """The genes of an annotation and the reader's notes, or None where they are not kept, cannot be
    reached or the file is damaged."""
    with (
        suppress(Exception),
        open(path_of(digest), "rb") as handle,
        np.load(handle, allow_pickle=False) as columns,
    ):
        text = {k: json.loads(columns[k].tobytes()) for k in (*TEXTS, "transcript", "notes")}
        transcripts = Columns.of(columns, text["transcript"])
        ends = np.cumsum(columns["n_transcripts"])
        genes = [
            Gene(
                name,
                symbol,
                contig,
                strand,
                span[0],
                span[1],
                KeptTranscripts(transcripts, first, end),
                origin,
                None if paralog < 0 else bool(paralog),
            )
            for name, symbol, contig, strand, origin, span, paralog, first, end in zip(
                *(text[name] for name in TEXTS),
                columns["span"].tolist(),
                columns["paralog"].tolist(),
                (ends - columns["n_transcripts"]).tolist(),
                ends.tolist(),
            )
        ]
        return genes, tuple(text["notes"])
    return None


class Columns(NamedTuple):
    """What is kept of the transcripts: a value for each; `exons` start, end, start, end, ... of all
    of them, those of the i-th up to `exon_ends[i]`."""

    names: list[str]
    cds: np.ndarray
    phase: np.ndarray
    rank: np.ndarray
    differs: np.ndarray
    exons: np.ndarray
    exon_ends: np.ndarray

    @classmethod
    def of(cls, kept, names: list[str]) -> Columns:
        cds, phase, rank, differs, exons = (
            kept[name] for name in ("cds", "phase", "rank", "differs", "exons")
        )
        return cls(names, cds, phase, rank, differs, exons, np.cumsum(2 * kept["n_exons"]))

    def transcript(self, i: int) -> Transcript:
        """The i-th one."""
        first = self.exon_ends[i - 1] if i else 0
        cds_start, cds_end = self.cds[i].tolist()
        return Transcript(
            self.names[i],
            Exons.of_bounds(self.exons[first : self.exon_ends[i]].tobytes()),
            cds_start,
            cds_end,
            int(self.phase[i]),
            Rank(int(self.rank[i])),
            bool(self.differs[i]),
        )


class KeptTranscripts(Sequence[Transcript]):
    """Those of a gene, [first, end) of the columns; equal to a tuple of the same ones, and pickled
    as one."""

    __slots__ = ("_columns", "_first", "_end", "_made")

    def __init__(self, columns: Columns, first: int, end: int):
        self._columns, self._first, self._end = columns, first, end
        self._made: tuple[Transcript, ...] | None = None

    def _all(self) -> tuple[Transcript, ...]:
        if self._made is None:
            self._made = tuple(map(self._columns.transcript, range(self._first, self._end)))
        return self._made

    def __len__(self) -> int:
        return self._end - self._first

    def __getitem__(self, i):
        return self._all()[i]

    def __iter__(self) -> Iterator[Transcript]:
        return iter(self._all())

    def __eq__(self, other) -> bool:
        return isinstance(other, (KeptTranscripts, tuple)) and self._all() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def __reduce__(self):
        return tuple, (self._all(),)
