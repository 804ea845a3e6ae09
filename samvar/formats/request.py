"""What `samvar explain` is asked for: a region, a variant, by its place or by its HGVS name, or
records of a VCF."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

from tqdm import tqdm

from ..errors import RequestError, SamvarError
from ..genomics.genome import contig_key
from ..genomics.hgvs import bare, is_description
from .vcf import VcfReader
from .vcf.record import Record, split_info

HAP = "SAMVAR_HAP"  # INFO field of annotate --phased

_POSITION = "[0-9][0-9,]*"
_PLACE = re.compile(rf"(.+):({_POSITION})")
_REGION = re.compile(rf"(.+):({_POSITION})-({_POSITION})")
_VARIANT = re.compile(rf"({_POSITION}):([A-Za-z.*-]+):(.+)")  # after the contig
_ALT = re.compile(r"[A-Za-z.*-]+|<[^<>]+>|[^,]*[\[\]][^,]*")  # bases, symbolic, breakend


class Region(NamedTuple):
    """Bases start to end of a contig, 1-based, both included."""

    contig: str
    start: int
    end: int


class WrittenVariant(NamedTuple):
    """A variant as it was written; `pos` is 1-based. `haplotypes`: of a record that samvar has
    annotated, those on which it does something else, each as a `Haplotype` is asked for."""

    contig: str
    pos: int
    ref: str
    alts: tuple[str, ...]
    haplotypes: tuple[str, ...] = ()


class Place(NamedTuple):
    """A position of a contig, 1-based, to look up in a VCF."""

    contig: str
    pos: int


class Description(NamedTuple):
    """A variant in HGVS nomenclature."""

    text: str


class Haplotype(NamedTuple):
    """Variants that lie on one haplotype, the written ones with one ALT each."""

    variants: tuple[WrittenVariant | Description, ...]


IN_CIS = "+"  # between the variants of a haplotype

Reading = Region | WrittenVariant | Place


def asked_for(
    text: str, contigs: Iterable[str], vcf: str | None = None
) -> Region | Description | Haplotype | list[WrittenVariant]:
    """A region CHR:START-END, or variants: CHR:POS:REF:ALT, an HGVS description, or with a VCF its
    records that have an ALT and either the text as an ID or the place CHR:POS. Several variants
    joined by + are a haplotype.

    Names may hold colons and +. So an ID of the VCF comes first, then what reads as a place on a
    contig of the FASTA (`contigs`) or of the VCF, then HGVS. Raises RequestError when the text is
    none of these, SamvarError when the VCF has no such record, or a region ends before it starts.
    """
    readings = _readings(text)
    known = set(map(contig_key, contigs))
    there: list[WrittenVariant] = []
    if vcf is not None:
        place = next((r for r in readings if isinstance(r, Place)), None)
        with VcfReader(vcf, []) as reader:
            known.update(map(contig_key, reader.contigs))
            named, there = _records(reader, text, place)
        if named:
            return named
        known.update(contig_key(v.contig) for v in there)
    on_known = [r for r in readings if contig_key(r.contig) in known]
    if not on_known and (pieces := _in_cis(text, vcf is not None)):
        return Haplotype(tuple(_one(asked_for(piece, contigs, vcf), piece) for piece in pieces))
    if not on_known and is_description(text):
        return Description(bare(text))
    chosen = next(iter(on_known + readings), None)
    if isinstance(chosen, Region):
        if not 1 <= chosen.start <= chosen.end:
            raise SamvarError(
                f"region {text!r}: positions count from 1, and END is not before START"
            )
        return chosen
    if isinstance(chosen, WrittenVariant):
        return [chosen]
    if vcf is None:
        raise RequestError(
            f"{text!r} is neither a variant CHR:POS:REF:ALT or in HGVS (NM_000059.4:c.8165C>G), "
            "nor a region CHR:START-END; to look up CHR:POS or an ID, give its VCF: --vcf FILE"
        )
    if not there:
        raise SamvarError(f"{vcf} has no record {text} with an ALT")
    return there


def _in_cis(text: str, ids: bool) -> list[str]:
    """The variants that are joined by +, which HGVS has in places, too (c.100+1G>A); with `ids`
    each may be an ID. Nothing where they are not several."""
    pieces: list[str] = []
    for piece in text.split(IN_CIS):
        if pieces and ":" not in piece:
            pieces[-1] += IN_CIS + piece
        else:
            pieces.append(piece)
    if ":" not in pieces[0]:
        pieces = text.split(IN_CIS) if ids else []
    return [piece.strip() for piece in pieces] if len(pieces) > 1 and all(pieces) else []


def _one(
    asked: Region | Description | Haplotype | list[WrittenVariant], text: str
) -> WrittenVariant | Description:
    """The one variant that a part of a haplotype is."""
    if isinstance(asked, Description):
        return asked
    if isinstance(asked, list) and len(asked) == 1 and len(asked[0].alts) == 1:
        return asked[0]
    raise RequestError(f"{text!r} of a haplotype must be one variant with one ALT")


def _readings(text: str) -> list[Reading]:
    """All that the text can mean by its form, variants first."""
    found: list[Reading] = []
    for colon in re.finditer(":", text):
        variant = _VARIANT.fullmatch(text, colon.end())
        if variant is None or colon.start() == 0:
            continue
        alts = tuple(variant[3].split(","))
        if all(map(_ALT.fullmatch, alts)):
            contig = text[: colon.start()]
            found.append(WrittenVariant(contig, _number(variant[1]), variant[2], alts))
    if region := _REGION.fullmatch(text):
        found.append(Region(region[1], _number(region[2]), _number(region[3])))
    if place := _PLACE.fullmatch(text):
        found.append(Place(place[1], _number(place[2])))
    return found


def _number(text: str) -> int:
    """An integer that may have commas between its thousands."""
    return int(text.replace(",", ""))


def _records(
    reader: VcfReader, text: str, place: Place | None
) -> tuple[list[WrittenVariant], list[WrittenVariant]]:
    """Records with an ALT that have the text as an ID, and those at the place (on the contig of
    exactly this name, where there are any)."""
    named, there = [], []
    records = tqdm(reader, "read", total=reader.expected_records, disable=None, unit="record")
    for record in records:
        if not record.alts:
            continue
        variant = WrittenVariant(
            record.contig, record.pos, record.ref, record.alts, _haplotypes(record)
        )
        if text in _ids(record):
            named.append(variant)
        if place and record.pos == place.pos:
            if contig_key(record.contig) == contig_key(place.contig):
                there.append(variant)
    exact = [v for v in there if place and v.contig == place.contig]
    return named, exact or there


def _haplotypes(record: Record) -> tuple[str, ...]:
    """What the rows of SAMVAR_HAP that a record may have are about, each once."""
    found = []
    for entry in split_info(record.line)[1]:
        key, _, rows = entry.decode(errors="replace").partition("=")
        for row in rows.split(",") if key == HAP else ():
            alt, _, partners, *_ = [*map(unquote, row.split("|")), "", ""]
            if alt not in record.alts or not partners:
                continue
            with suppress(ValueError):  # not written by samvar
                found.append(spelled_in_cis(record, alt, partners))
    return tuple(dict.fromkeys(found))


def spelled_in_cis(record: Record, alt: str, partners: str) -> str:
    """An ALT of a record and its PARTNERS (POS_REF_ALT, joined by +) as a `Haplotype` is asked for,
    in order of POS."""
    own = f"{record.pos}_{record.ref}_{alt}"
    places = [place.split("_") for place in (own, *partners.split(IN_CIS))]
    places.sort(key=lambda place: int(place[0]))
    return IN_CIS.join(":".join((record.contig, *place)) for place in places)


def _ids(record: Record) -> set[str]:
    """The IDs of a record: the whole column, and its parts; none where it is "."."""
    column = record.line.split(b"\t", 3)[2].decode(errors="replace")
    return {column, *column.split(";")} - {".", ""}
