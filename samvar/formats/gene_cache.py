"""Parsed annotations in the user's cache folder, named by the checksum of the file they came
from."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import platformdirs

from ..genomics.genes import Gene, Transcript

FORMAT = 5


def path_of(digest: str) -> str:
    """Where the genes of the annotation with this sha256 are kept."""
    return os.path.join(
        platformdirs.user_cache_dir("samvar", appauthor=False), f"genes.{digest}.v{FORMAT}.npz"
    )


def save(digest: str, genes: list[Gene]) -> None:
    """Keep genes; where the folder cannot be written, nothing is kept."""
    path = path_of(digest)
    part = f"{path}.part{os.getpid()}"
    transcripts = [t for g in genes for t in g.transcripts]
    text = {
        f"gene_{k}": [getattr(g, k) for g in genes]
        for k in ("id", "symbol", "contig", "strand", "origin")
    }
    text["transcript_id"] = [t.id for t in transcripts]
    columns = dict(
        span=np.array([(g.start, g.end) for g in genes]),
        paralog=np.array([-1 if g.paralog is None else int(g.paralog) for g in genes], np.int8),
        n_transcripts=np.array([len(g.transcripts) for g in genes]),
        rank=np.array([(t.cds_length, t.rank) for t in transcripts]),
        n_exons=np.array([len(t.exons) for t in transcripts]),
        exons=np.array([e for t in transcripts for e in t.exons]),
    )
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(part, "wb") as handle:
            np.savez(
                handle,
                **columns,
                **{k: np.frombuffer(json.dumps(v).encode(), np.uint8) for k, v in text.items()},
            )
        os.replace(part, path)
    except OSError:
        if os.path.exists(part):
            os.unlink(part)


def load(digest: str) -> list[Gene] | None:
    """The genes of an annotation, or None where they are not kept or the file is damaged."""
    try:
        with open(path_of(digest), "rb") as handle, np.load(handle, allow_pickle=False) as z:
            f = {
                k: json.loads(v.tobytes()) if v.dtype == np.uint8 else v.tolist()
                for k, v in z.items()
            }
        transcripts = _transcripts(f)
        return [
            Gene(
                f["gene_id"][i],
                f["gene_symbol"][i],
                f["gene_contig"][i],
                f["gene_strand"][i],
                *f["span"][i],
                tuple(next(transcripts) for _ in range(f["n_transcripts"][i])),
                f["gene_origin"][i],
                None if f["paralog"][i] < 0 else bool(f["paralog"][i]),
            )
            for i in range(len(f["span"]))
        ]
    except (OSError, EOFError, ValueError, KeyError, IndexError, RuntimeError, zipfile.BadZipFile):
        return None


def _transcripts(f: dict[str, list]):
    end = 0
    for name, n, (cds_length, rank) in zip(f["transcript_id"], f["n_exons"], f["rank"]):
        start, end = end, end + n
        yield Transcript(name, tuple((s, e) for s, e in f["exons"][start:end]), cds_length, rank)
