"""Parsed annotations in the user's cache folder, named by the checksum of the file they came
from."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import platformdirs

from ..files import new_file
from ..genomics.genes import Exons, Gene, Rank, Transcript

FORMAT = 11
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
        transcripts = _transcripts(columns, text["transcript"])
        genes = [
            Gene(
                name,
                symbol,
                contig,
                strand,
                span[0],
                span[1],
                tuple(next(transcripts) for _ in range(n)),
                origin,
                None if paralog < 0 else bool(paralog),
            )
            for name, symbol, contig, strand, origin, span, paralog, n in zip(
                *(text[name] for name in TEXTS),
                columns["span"].tolist(),
                columns["paralog"].tolist(),
                columns["n_transcripts"].tolist(),
            )
        ]
        return genes, tuple(text["notes"])
    return None


def _transcripts(columns, names: list[str]) -> Iterator[Transcript]:
    exons, end = columns["exons"], 0
    ranks = list(Rank)
    for name, n, cds_start, cds_end, phase, rank, differs in zip(
        names,
        columns["n_exons"].tolist(),
        *columns["cds"].T.tolist(),
        columns["phase"].tolist(),
        columns["rank"].tolist(),
        columns["differs"].tolist(),
    ):
        start, end = end, end + 2 * n
        own = Exons.of_bounds(exons[start:end].tobytes())
        yield Transcript(name, own, cds_start, cds_end, phase, ranks[rank], differs)
