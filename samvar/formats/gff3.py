"""Genes from GFF3."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

from ..genomics.genes import Gene, Rank, Transcript
from .loci import Notes, loci
from .transcripts import (
    EXON,
    PIECES,
    SPAN,
    STRANDS,
    Draft,
    differs,
    inherit_strands,
    rank_of,
    rows,
    tell_both_strands,
    with_version,
)

_PARENT = re.compile(r"(?:^|;)\s*Parent=([^;]*)")
_EXPECTED = re.compile(r"gene|transcript|rna$", re.I)  # types that should have exons


class Feature(NamedTuple):
    """A gene, transcript or anything else that has an ID: what it says of itself."""

    type: str
    parent: str
    source: str  # what a protein derives from
    gene_id: str
    symbol: str
    gene_name: str
    name: str
    rank: Rank
    differs: bool


Features = dict[tuple[str, str], Feature]  # (contig, ID); an ID of several transcripts stands
# for the first, "ID\nParent" for each other
Owner = tuple[str, str, str]  # ID, contig, strand


def read_gff3(lines: Iterable[str], notes: Notes) -> Iterator[Gene]:
    """GFF3 of GENCODE, Ensembl, RefSeq, MANE, FlyBase, WormBase and TAIR style; 1-based inclusive,
    its lines in any order. Parts without a strand have that of their transcript."""
    drafts, features = _read_rows(lines, notes)
    inherit_strands(drafts, drafts, notes)
    _share_namesakes(drafts, features)
    tell_both_strands(drafts, notes)
    parents = {(contig, f.parent) for (contig, _), f in features.items()}
    grouped: dict[Owner, list[Transcript]] = defaultdict(list)
    symbols: dict[str, str] = {}
    for (root, contig, strand), own in _by_gene(drafts, features):
        gene = features.get((contig, root))
        spans = own[root].places(SPAN) if root in own else []
        for name in _with_exons(own, root):
            feature = features.get((contig, name))
            draft = own.pop(name)
            if feature:
                draft.rank, draft.differs = feature.rank, feature.differs
            gene_id = _bare((gene and gene.gene_id) or (feature and feature.gene_id) or root)
            symbol = (gene and gene.symbol) or (feature and feature.gene_name)
            if symbol:
                symbols.setdefault(gene_id, symbol)
            grouped[gene_id, contig, strand] += draft.transcripts(
                _bare((feature and feature.name) or name), strand, spans, notes
            )
        for name, draft in own.items():
            if PIECES.isdisjoint(draft.kinds) and (contig, name) not in parents:
                notes.add(Notes.NO_EXONS, _bare(name.partition("\n")[0]))
    for (gene_id, contig, strand), transcripts in grouped.items():
        yield from loci(gene_id, symbols.get(gene_id, gene_id), contig, strand, transcripts)


def _read_rows(lines: Iterable[str], notes: Notes) -> tuple[dict[Owner, Draft], Features]:
    """What the rows say of each transcript (or gene), and of each feature that has an ID."""
    drafts: dict[Owner, Draft] = defaultdict(Draft)
    features: Features = {}
    for contig, kind, feature_type, start, end, strand, text in rows(lines):
        if "%" in contig:
            contig = unquote(contig)
        if kind in PIECES:
            found = _PARENT.search(text)
            owners = [unquote(p.strip()) for p in found[1].split(",")] if found else []
            for owner in owners:
                drafts[owner, contig, strand].add(kind, start, end, text)
            if not owners:
                Draft().add(kind, start, end)  # a wrong number shows
                notes.add(Notes.NO_ID, f"{contig}:{start}-{end}")
        elif "ID=" in text:
            attributes = _attributes(text)
            if "ID" in attributes:
                name = attributes["ID"][0]
                feature = _feature(feature_type, attributes)
                expected = bool(_EXPECTED.search(feature_type))
                if expected and _other_parent(features.get((contig, name)), feature):
                    name += "\n" + feature.parent
                features[contig, name] = feature
                if expected:
                    drafts[name, contig, strand].add_span(start, end)
    for name, contig, strand in list(drafts):
        protein = features.get((contig, name))
        if protein and (protein.source, contig, strand) in drafts:
            del drafts[name, contig, strand]  # its CDS rows name the transcript, too
    return drafts, features


def _other_parent(before: Feature | None, feature: Feature) -> bool:
    """Whether both have a parent, but not the same."""
    return len({f.parent for f in (before, feature) if f and f.parent}) == 2


def _share_namesakes(drafts: dict[Owner, Draft], features: Features) -> None:
    """The parts of transcripts of several genes that have one ID go to the nearest of them."""
    names_of: dict[tuple[str, str], list[str]] = defaultdict(list)
    for contig, key in features:
        name, is_namesake, _ = key.partition("\n")
        if is_namesake:
            names_of[contig, name].append(key)
    for (contig, name), namesakes in names_of.items():
        for strand in STRANDS:
            if shared := drafts.get((name, contig, strand)):
                keys = [(n, contig, strand) for n in (name, *namesakes)]
                shared.share([drafts[key] for key in keys if key in drafts])
                if not shared.numbers:
                    del drafts[name, contig, strand]


def _by_gene(
    drafts: dict[Owner, Draft], features: Features
) -> Iterator[tuple[Owner, dict[str, Draft]]]:
    """The drafts of each gene by their IDs, taken out of `drafts`."""
    names_of: dict[Owner, list[str]] = defaultdict(list)
    for name, contig, strand in drafts:
        names_of[_root(name, contig, features), contig, strand].append(name)
    for (root, contig, strand), names in names_of.items():
        own = {name: drafts.pop((name, contig, strand)) for name in names}
        yield (root, contig, strand), own


def _with_exons(own: dict[str, Draft], root: str) -> list[str]:
    """Those of a gene that are transcripts: that have exons, or CDS and UTR rows. Not the gene
    itself where CDS rows name it, beside transcripts with exons."""
    kinds = {name: draft.kinds for name, draft in own.items()}
    whole = any(EXON in some for some in kinds.values())
    return [
        name
        for name, some in kinds.items()
        if EXON in some or (not PIECES.isdisjoint(some) and not (whole and name == root))
    ]


def _attributes(text: str) -> dict[str, list[str]]:
    found = {}
    for part in text.strip().strip(";").split(";"):
        key, equals, value = part.strip().partition("=")
        if equals:
            found[key] = [unquote(v) for v in value.split(",")]
    return found


def _feature(kind: str, attributes: dict[str, list[str]]) -> Feature:
    first = lambda *keys: next((attributes[k][0] for k in keys if attributes.get(k)), "")  # noqa: E731
    return Feature(
        kind,
        first("Parent"),
        first("Derives_from"),
        first("gene_id"),
        first("gene_name", "gene", "locus", "Name"),
        first("gene_name", "gene"),
        with_version(first("transcript_id", "Name", "ID"), first("version")),
        rank_of(attributes.get("tag", ())),
        differs(",".join(attributes.get("Note", ()))),
    )


def _root(name: str, contig: str, features: Features) -> str:
    """The feature's topmost ancestor: its gene."""
    seen = {name}
    while (f := features.get((contig, name))) and f.parent and f.parent not in seen:
        name = f.parent
        seen.add(name)
    return name


def _bare(name: str) -> str:
    """An ID without the feature type that Ensembl, NCBI and WormBase put before it."""
    return re.sub(r"^(gene|transcript|rna)[:-]", "", name, flags=re.I)
