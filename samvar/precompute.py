"""Scores of all SNVs and of all insertions and deletions of one base, written once to be looked
up."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from tqdm import tqdm

from . import files
from .annotate import (
    Allele,
    Options,
    encode,
    examine,
    header_lines,
    one_ahead,
    start,
)
from .errors import SamvarError
from .files import BGZF_EOF
from .formats.loci import merge
from .formats.regions import Regions
from .formats.vcf.bgzf import Bgzf
from .formats.vcf.indexed import record_count, write_index
from .formats.vcf.record import Record
from .genomics.genes import Annotation
from .genomics.genome import Genome, decode
from .genomics.variant import Variant
from .lookup import INDEXES, MARK, identity
from .scoring.effects import ScoredAllele
from .scoring.predictor import Predictor
from .workers import Workers

CHUNK = 200  # bases that are scored and kept together
MOST = 7  # alleles of a base: three SNVs, three insertions, a deletion
BIN = 9  # the csi index finds 2 ** BIN bases, which have seven records each
SETTINGS = "settings.json"


class Place(NamedTuple):
    """Bases start to end of a contig (0-based, half-open; the FASTA's name): of each the alleles
    whose POS it is."""

    contig: str
    start: int
    end: int


# --------------------------------------------------------------------------------- what is scored


def places(
    genome: Genome,
    annotation: Annotation,
    options: Options,
    regions: Regions | None = None,
    names: Collection[str] = (),
) -> list[Place]:
    """Where the genes lie, those of `names` (symbols or ids) where there are any, as far as they
    lie in `regions`, in the order of the FASTA. The base before a gene is part of it: there stands
    the POS of an allele without the gene's first base. Raises SamvarError where there is no such
    gene, or none in the regions."""
    known = {name for g in annotation.genes for name in (g.symbol, g.id)}
    if unknown := sorted(set(names) - known):
        more = ", ..." * (len(unknown) > 5)
        raise SamvarError(f"the annotation has no gene {', '.join(unknown[:5])}{more}")
    genes = annotation.of_chosen_transcripts() if options.transcript_extent else annotation
    found: dict[str, list[tuple[int, int]]] = {contig: [] for contig in genome.lengths}
    for gene in genes.genes:
        contig = genome.contig(gene.contig)
        if contig and (not names or not {gene.symbol, gene.id}.isdisjoint(names)):
            end = min(gene.end, genome.lengths[contig])
            found[contig].append((max(gene.start - 1, 0), end))
    wanted = [
        Place(contig, *part)
        for contig, intervals in found.items()
        for start, end in merge(i for i in intervals if i[0] < i[1])
        for part in ([(start, end)] if regions is None else _within(regions, contig, start, end))
    ]
    if not wanted:
        raise SamvarError(
            "no gene lies in the regions: there is nothing to score"
            if regions
            else "no gene of the annotation lies on the FASTA's contigs"
        )
    return wanted


def _within(regions: Regions, contig: str, start: int, end: int) -> list[tuple[int, int]]:
    parts = [(max(start, first), min(end, last)) for first, last in regions.on(contig)]
    return [part for part in parts if part[0] < part[1]]


def pieces(place: Place, size: int) -> Iterator[Place]:
    """A place in pieces of at most `size` bases."""
    for first in range(place.start, place.end, size):
        yield Place(place.contig, first, min(first + size, place.end))


def alleles_at(genome: Genome, place: Place) -> Iterator[list[Allele]]:
    """Of each base all SNVs, and all insertions and deletions of one base with that POS, each at
    the left-most of its places; no unknown bases are changed."""
    bases = decode(genome.codes(place.contig, place.start, place.end + 1))
    for i, (base, following) in enumerate(zip(bases, bases[1:])):
        others = "ACGT".replace(base, "")
        if base == "N":
            continue
        alleles = [(base, alt) for other in others for alt in (other, base + other)]
        if following not in ("N", base):
            alleles.append((base + following, base))
        yield [Allele(place.contig, place.start + i + 1, *a) for a in sorted(alleles)]


def records(
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    place: Place,
    options: Options,
    workers: Workers | None = None,
) -> Iterator[bytes]:
    """Lines of a VCF: the alleles of a place that lie in genes, in order; the workers start at
    once."""
    examined = [
        (allele, change)
        for alleles in alleles_at(genome, place)
        for allele in alleles
        if isinstance(change := examine(genome, annotation, allele, options), Variant)
    ]
    # First those of one length, then those of another: alleles that lie alike share more work
    order = sorted(range(len(examined)), key=lambda i: examined[i][1].growth)
    named = [(examined[i][0].alt, examined[i][1]) for i in order]
    scored = start(genome, annotation, predictor, named, options, workers=workers)
    return _in_place([allele for allele, _ in examined], order, scored, options)


def _in_place(
    alleles: Sequence[Allele],
    order: Sequence[int],
    scored: Iterable[ScoredAllele],
    options: Options,
) -> Iterator[bytes]:
    """The line of each allele, where `scored` has them in this order."""
    of_allele = dict(zip(order, scored))
    for i, allele in enumerate(alleles):
        yield _line(options, allele, of_allele[i])


def _line(options: Options, allele: Allele, scored: ScoredAllele) -> bytes:
    contig, pos, ref, alt = allele
    line = f"{contig}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n".encode()
    record = Record(line, 0, contig, pos, ref, (alt,))
    return record.with_info(encode(record, [scored], options))


# --------------------------------------------------------------------------- chunks, and all of it


class Summary(NamedTuple):
    """Bases whose alleles a file has, those that had been scored before, and its records (None
    where the index does not say)."""

    bases: int
    kept: int
    records: int | None


@dataclass(frozen=True)
class Chunks:
    """A folder of scored chunks, each a file that is there when it is complete, and the settings
    that they were scored with."""

    folder: str

    @classmethod
    def open(cls, folder: str, settings: dict[str, Any], resume: bool) -> Chunks:
        """The folder, made where it is missing. Raises SamvarError where it is there and `resume`
        is not asked for, was made with other settings, or has chunks without any."""
        path = os.path.join(folder, SETTINGS)
        if os.path.isdir(folder) and os.listdir(folder) and not os.path.exists(path):
            raise SamvarError(
                f"{folder} does not say what its chunks were made with ({SETTINGS} is missing): "
                "remove it"
            )
        if os.path.exists(path):
            if not resume:
                raise SamvarError(
                    f"{folder} has the chunks of a run that did not end: go on with --resume, or "
                    "remove it"
                )
            _check_same(settings, path)
        else:
            os.makedirs(folder, exist_ok=True)
            files.write(path, json.dumps(settings, indent=1) + "\n")
        return cls(folder)

    def path(self, index: int) -> str:
        return os.path.join(self.folder, f"{index:07d}.vcf.gz")

    def has(self, index: int) -> bool:
        return os.path.exists(self.path(index))

    def write(self, index: int, lines: Iterable[bytes]) -> None:
        with files.new_file(self.path(index), "wb") as stream:
            chunk = Bgzf(stream)
            for line in lines:
                chunk.write(line)
            chunk.finish()

    def append(self, index: int, output: BinaryIO) -> None:
        """Write a chunk, but for its end marker, to `output`."""
        with open(self.path(index), "rb") as stream:
            content = stream.read()
        if not content.endswith(BGZF_EOF):
            raise SamvarError(f"{self.path(index)} is damaged: remove it, and go on with --resume")
        output.write(content.removesuffix(BGZF_EOF))


def _check_same(settings: dict[str, Any], path: str) -> None:
    try:
        with open(path) as handle:
            before = json.load(handle)
        differ = [key for key, value in settings.items() if before.get(key) != value]
    except (ValueError, AttributeError) as e:
        raise SamvarError(f"{path} is damaged ({e}): remove its folder, and start again") from e
    if differ:
        raise SamvarError(
            f"{os.path.dirname(path)} has the chunks of a run with another {', '.join(differ)}: "
            "give what that run had, or remove the folder and start again"
        )


def precompute(
    output: str,
    genome: Genome,
    annotation: Annotation,
    predictor: Predictor,
    options: Options,
    wanted: Sequence[Place],
    command: str | None = None,
    resume: bool = False,
    workers: Workers | None = None,
) -> Summary:
    """Write every SNV and every insertion and deletion of one base of the places to a bgzipped VCF
    with an index beside it. What is scored is kept in the folder OUTPUT.chunks, so that a run that
    ends early can `resume`; the folder goes when the file is complete. Raises SamvarError where it
    is there without `resume`, or was made with other settings, or there is nothing to resume, the
    file being complete. `workers`: as `annotate` takes them."""
    names = list(dict.fromkeys(place.contig for place in wanted))
    hashed = {contig: genome.md5(contig) for contig in names}
    settings = identity(genome, annotation, predictor, options.text()) | dict(
        bases=hashed, regions=[list(place) for place in wanted], chunk=CHUNK
    )
    folder = f"{output}.chunks"
    if resume and os.path.exists(output) and not os.path.exists(folder):
        raise SamvarError(
            f"{output} is complete, there is nothing to resume: without --resume it is made anew"
        )
    chunks = Chunks.open(folder, settings, resume)
    plan = list(enumerate(p for place in wanted for p in pieces(place, CHUNK)))
    todo = [(i, place) for i, place in plan if not chunks.has(i)]
    bases, left = (sum(p.end - p.start for _, p in some) for some in (plan, todo))
    started = (
        (i, place, records(genome, annotation, predictor, place, options, workers))
        for i, place in todo
    )
    with tqdm(total=bases, initial=bases - left, disable=None, unit="base") as bar:
        for i, place, lines in one_ahead(started):
            chunks.write(i, lines)
            bar.update(place.end - place.start)
    header = [
        "##fileformat=VCFv4.2",
        *(f"##contig=<ID={name},length={genome.lengths[name]}>" for name in names),
        *header_lines(genome, annotation, predictor, options, command, hashed),
        MARK,
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
    ]
    _assemble(output, header, [i for i, _ in plan], chunks)
    shutil.rmtree(chunks.folder)
    return Summary(bases, bases - left, record_count(output))


def _assemble(output: str, header: list[str], indices: list[int], chunks: Chunks) -> None:
    """The whole file, with a csi index of small bins and, for programs that read no other, a tbi
    where that can have all positions."""
    with ExitStack() as stack:
        part = stack.enter_context(files.complete_file(output))
        with open(part, "wb") as stream:
            start = Bgzf(stream)
            start.write("".join(f"{line}\n" for line in header).encode("utf-8", "backslashreplace"))
            start.flush()
            for i in indices:
                chunks.append(i, stream)
            stream.write(BGZF_EOF)
        for kind in INDEXES:
            made = stack.enter_context(files.complete_file(f"{output}.{kind}"))
            write_index(part, made, kind, BIN)
