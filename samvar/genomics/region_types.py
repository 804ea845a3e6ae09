"""Which part of a transcript a base lies in: 5' UTR, coding sequence, 3' UTR or intron."""

from __future__ import annotations

import numpy as np

from .genes import Transcript

NAMES = ("5'UTR", "CDS", "3'UTR", "intron")
UTR5, CODING, UTR3, INTRON, NONE = range(5)  # NONE: outside, or in an exon of a non-coding one


def region_types(transcript: Transcript, strand: str, start: int, end: int) -> np.ndarray:
    """The type (uint8) of each base of [start, end), 0-based, in genome order."""
    found = np.full(max(end - start, 0), NONE, np.uint8)

    def paint(first: int, last: int, kind: int) -> None:
        found[max(first - start, 0) : max(last - start, 0)] = kind

    paint(transcript.start, transcript.end, INTRON)
    before, after = (UTR5, UTR3) if strand == "+" else (UTR3, UTR5)
    for exon_start, exon_end in transcript.exons:
        if not transcript.coding:
            paint(exon_start, exon_end, NONE)
            continue
        paint(exon_start, min(exon_end, transcript.cds_start), before)
        paint(max(exon_start, transcript.cds_end), exon_end, after)
    for coding_start, coding_end in transcript.cds:
        paint(coding_start, coding_end, CODING)
    return found
