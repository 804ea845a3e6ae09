"""Records by index, and the index of a file that was written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pysam

from ...errors import VcfError
from ..regions import Regions
from .bcf import text_of

LAST = (1 << 31) - 1  # position, 1-based, that pysam reads by an index


def fetched(path: str, index: str, bcf: bool, regions: Regions) -> Iterator[tuple[int, bytes]]:
    """(number of the region on its contig, line) of every record by the index, in file order; a
    record that lies in two regions comes twice. Raises VcfError when file or index is damaged."""
    file = None
    fetch: Callable[..., Iterable[bytes]]
    try:
        if bcf:
            file = pysam.VariantFile(path, index_filename=index)
            names, fetch = (
                list(file.header.contigs),
                lambda *region: map(text_of, file.fetch(*region)),
            )
        else:
            file = pysam.TabixFile(path, index=index, encoding="latin-1")
            names, fetch = (
                file.contigs,
                lambda *region: (t.encode("latin-1") for t in file.fetch(*region)),
            )
        for contig in names:
            for i, (start, stop) in enumerate(regions.on(contig)):
                if start >= LAST:
                    raise VcfError(
                        f"{contig}:{start + 1}: an index is read up to {LAST:,}; select "
                        "records beyond that without it, by -t"
                    )
                for line in fetch(contig, start, min(stop, LAST)):
                    yield i, line
    except (OSError, ValueError) as e:
        raise VcfError(
            f"{path} or its index {index} is damaged ({e}): make the index again with "
            "bcftools index; where that fails, it is the file"
        ) from e
    finally:
        with suppress(OSError):  # of a damaged file
            if file:
                file.close()


def record_count(path: str) -> int | None:
    """How many records a file has, where the index beside it says so; None where there is none."""
    import pysam.bcftools

    if not any(os.path.exists(path + suffix) for suffix in (".csi", ".tbi")):
        return None
    try:
        return int(pysam.bcftools.index("-n", path))
    except (pysam.utils.SamtoolsError, ValueError):  # an index without counts, or damaged
        return None


def write_index(path: str, index_path: str, kind: str, smallest: int = 14) -> None:
    """Index a file ("tbi" or "csi"); the smallest bins of a csi have 2 ** `smallest` bases. Raises
    VcfError where that cannot be done."""
    import pysam.bcftools

    form = ["-t"] if kind == "tbi" else ["-c", "-m", str(smallest)]
    try:
        pysam.bcftools.index("-f", *form, "-o", index_path, path, catch_stdout=False)
    except pysam.utils.SamtoolsError as e:
        raise VcfError(
            f"cannot make the output's {kind} index: htslib gives the cause above. "
            "Leave out -W to write the file without one"
        ) from e
