"""What the samples of a record carry: alleles on each haplotype, and which of them belong
together."""

from __future__ import annotations

import re
from typing import NamedTuple

from .record import Record

_SEPARATORS = re.compile(rb"[|/]")
_GENOTYPE = re.compile(rb"[|/]?([0-9]+|\.)([|/]([0-9]+|\.))*")
WHOLE_CONTIG = "."  # phase set of phased calls without PS: they belong to one (VCF 4.3, 1.6.2)


class Call(NamedTuple):
    """Genotype of a sample: of each of its haplotypes the allele, 0 for REF, None where it is not
    known. `phase_set`: calls of one set tell which alleles lie on one haplotype; None: not
    phased."""

    alleles: tuple[int | None, ...]
    phase_set: str | None

    @property
    def alike(self) -> int | None:
        """The allele that all haplotypes have, one of a haploid call among them, else None."""
        first = self.alleles[0]
        return first if len(set(self.alleles)) == 1 else None


def samples(columns: bytes) -> list[str]:
    """Names of the samples, by the #CHROM line."""
    names = columns.rstrip(b"\r\n").split(b"\t")[9:]
    return [name.decode(errors="replace") for name in names]


class Genotypes(NamedTuple):
    """What the samples of a record carry: the calls of those (by their number, from 0) that have an
    ALT. `complete`: whether each sample has a genotype, unknown as it may be, of the record's
    alleles."""

    calls: dict[int, Call]
    complete: bool


def genotypes(record: Record, samples: int) -> Genotypes:
    """Of so many samples, as the header has; further columns are left alone."""
    fields = record.line.rstrip(b"\r\n").split(b"\t")
    keys = fields[8].split(b":") if len(fields) > 8 else []
    if b"GT" not in keys:
        return Genotypes({}, complete=False)
    genotype, phase = keys.index(b"GT"), keys.index(b"PS") if b"PS" in keys else None
    known: dict[bytes, Call | None] = {}  # many samples have the same
    found: dict[int, Call] = {}
    complete = len(fields) == 9 + samples
    for number, text in enumerate(fields[9 : 9 + samples]):
        values = text.split(b":", max(genotype, phase or 0) + 1)
        own = values[genotype] if genotype < len(values) else b"."
        of_set = values[phase] if phase is not None and phase < len(values) else b"."
        key = own + b":" + of_set
        if key not in known:
            readable = _is_genotype(own, len(record.alts))
            complete = complete and readable
            known[key] = _call(own, of_set.decode(errors="replace")) if readable else None
        if call := known[key]:
            found[number] = call
    return Genotypes(found, complete)


def _is_genotype(text: bytes, alts: int) -> bool:
    """Whether it is one of a record with so many ALTs."""
    named = [int(part) for part in _SEPARATORS.split(text) if part.isdigit()]
    return bool(_GENOTYPE.fullmatch(text)) and max(named, default=0) <= alts


def _call(genotype: bytes, phase_set: str) -> Call | None:
    """None where it names no ALT."""
    text = genotype.lstrip(b"|/")  # VCF 4.4 may begin with how the first allele is phased
    numbers = [int(part) if part.isdigit() else None for part in _SEPARATORS.split(text)]
    if not any(numbers):
        return None
    phased = b"/" not in text and b"|" in text
    return Call(tuple(numbers), (phase_set or WHOLE_CONTIG) if phased else None)
