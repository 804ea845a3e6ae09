"""bigWig files of site probabilities, one for each kind of site and strand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from ..errors import SamvarError
from ..files import complete_file

Track = tuple[str, str]  # kind of site, and strand
KINDS = ("acceptor", "donor")
SIDES = {"+": "plus", "-": "minus"}


def track_files(prefix: str, strands: str = "+-") -> dict[Track, str]:
    """A name for each track: PREFIX.acceptor.plus.bw and so on."""
    return {
        (kind, strand): f"{prefix}.{kind}.{SIDES[strand]}.bw"
        for kind in KINDS
        for strand in strands
    }


def need_bigwig() -> None:
    """Raises SamvarError where pyBigWig is not installed."""
    try:
        import pyBigWig  # noqa: F401
    except ImportError as e:
        raise SamvarError("--bigwig needs pyBigWig: pip install 'samvar[bigwig]'") from e


class BigWigs:
    """Files that are being written. Values come by contig, in the order of `lengths`, and by
    position."""

    def __init__(self, files: Mapping[Track, str], lengths: Sequence[tuple[str, int]]):
        import pyBigWig

        self._files = {track: pyBigWig.open(path, "w") for track, path in files.items()}
        for file in self._files.values():
            file.addHeader(list(lengths))

    def add(self, track: Track, contig: str, first: int, values: np.ndarray) -> None:
        """Values of the bases from `first` on (0-based); what is nan is left out."""
        for start, end in runs(~np.isnan(values)):
            own = values[start:end].astype(np.float64)
            self._files[track].addEntries(contig, first + start, values=own, span=1, step=1)

    def close(self) -> None:
        """Write what is held."""
        for file in self._files.values():
            file.close()


@contextmanager
def bigwigs(files: Mapping[Track, str], lengths: Sequence[tuple[str, int]]) -> Iterator[BigWigs]:
    """Files that appear when they are complete."""
    with ExitStack() as stack:
        parts = {track: stack.enter_context(complete_file(path)) for track, path in files.items()}
        tracks = BigWigs(parts, lengths)
        try:
            yield tracks
        finally:
            tracks.close()


def runs(mask: np.ndarray) -> Iterator[tuple[int, int]]:
    """[start, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist())
