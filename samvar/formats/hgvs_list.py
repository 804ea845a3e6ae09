"""A list of HGVS descriptions, one a line, made a VCF."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..errors import HgvsError
from ..files import text_lines
from ..genomics.genome import Genome
from ..genomics.hgvs import Located, Locator, bare


class Described(NamedTuple):
    """A variant and the text that describes it."""

    text: str
    variant: Located


class Listed(NamedTuple):
    """What the lines of a list hold, and a message for each line that could not be mapped."""

    described: list[Described]
    faults: list[str]


def read_list(path: str, locator: Locator) -> Listed:
    """The descriptions of a file, plain or gzipped; blank lines and those that start with # are
    left out. Raises OSError when it cannot be read, HgvsError when no line of it can be mapped."""
    described, faults = [], []
    for number, line in enumerate(text_lines(path, lenient=True), 1):
        text = bare(line)
        if not text or text.startswith("#"):
            continue
        try:
            described.append(Described(text, locator.locate(text)))
        except HgvsError as e:
            faults.append(f"{path}, line {number}: {e}")
    if not described:
        first = f"; the first: {faults[0]}" if faults else ""
        raise HgvsError(f"{path} holds no description that can be mapped{first}")
    return Listed(described, faults)


def as_vcf(described: Iterable[Described], genome: Genome) -> str:
    """The text of a VCF, sorted by the contigs' order in the FASTA and by position; ID is the
    description."""
    order = {contig: i for i, contig in enumerate(genome.lengths)}
    ordered = sorted(described, key=lambda d: (order[d.variant.contig], d.variant.pos))
    contigs = dict.fromkeys(d.variant.contig for d in ordered)
    lines = [
        "##fileformat=VCFv4.3",
        *(f"##contig=<ID={name},length={genome.lengths[name]}>" for name in contigs),
        "\t".join("#CHROM POS ID REF ALT QUAL FILTER INFO".split()),
        *(
            "\t".join([v.contig, str(v.pos), text, v.ref, v.alt, ".", ".", "."])
            for text, v in ordered
        ),
    ]
    return "\n".join(lines) + "\n"
