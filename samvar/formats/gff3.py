"""Genes from GFF3."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

from ..genomics.genes import Gene, Rank, Transcript
from .loci import Notes, loci
from .transcripts import EXON, PIECES, SPAN, STRANDS, Draft, differs, rank_of, rows, with_version

_PARENT = re.compile(r"(?:^|;)\s*Parent=([^;]*)")
_EXPECTED = re.compile(r"gene|transcript|rna$", re.I)  # types that should have exons


class Feature(NamedTuple):
    """A gene, transcript or anything else that has an ID: what it says of itself."""

    type: str
    parent: str
    gene_id: str
    symbol: str
    gene_name: str
    name: str
    rank: Rank
    differs: bool


Features = dict[tuple[str, str], Feature]  # (contig, ID)


def read_gff3(lines: Iterable[str], notes: Notes) -> Iterator[Gene]:
    """GFF3 of GENCODE, Ensembl, RefSeq, MANE, FlyBase, WormBase and TAIR style; 1-based inclusive,
    its lines in any order."""
    drafts: dict[tuple[str, str, str], Draft] = defaultdict(Draft)  # (ID, contig, strand)
    features: Features = {}
    without_strand = set()
    for contig, kind, feature_type, start, end, strand, text in rows(lines):
        if kind in PIECES:
            found = _PARENT.search(text)
            owners = [unquote(p.strip()) for p in found[1].split(",")] if found else []
            if strand not in STRANDS:
                without_strand.update(owners)
                continue
            for owner in owners:
                drafts[owner, contig, strand].add(kind, start, end)
            if not owners:
                Draft().add(kind, start, end)  # a wrong number shows
                notes.add(Notes.NO_ID, f"{contig}:{start}-{end}")
        elif "ID=" in text:
            attributes = _attributes(text)
            if "ID" in attributes:
                name = attributes["ID"][0]
                features[contig, name] = _feature(feature_type, attributes)
                if strand in STRANDS and _EXPECTED.search(feature_type):
                    drafts[name, contig, strand].add_span(start, end)
    for name in without_strand:
        notes.add(Notes.NO_STRAND, name)
    parents = {(contig, f.parent) for (contig, _), f in features.items()}
    of_gene: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name, contig, strand in drafts:
        of_gene[_root(name, contig, features), contig, strand].append(name)
    grouped: dict[tuple[str, str, str], list[Transcript]] = defaultdict(list)
    symbols: dict[str, str] = {}
    for (root, contig, strand), names in of_gene.items():
        own = {name: drafts.pop((name, contig, strand)) for name in names}
        spans = own[root].places(SPAN) if root in own else []
        kinds = {name: draft.kinds for name, draft in own.items()}
        whole = any(EXON in some for some in kinds.values())
        gene = features.get((contig, root))
        for name, draft in own.items():
            feature = features.get((contig, name))
            if PIECES.isdisjoint(kinds[name]):
                if (contig, name) not in parents and name not in without_strand:
                    notes.add(Notes.NO_EXONS, _bare(name))
                continue
            if whole and name == root and EXON not in kinds[name]:
                continue  # CDS rows that name the gene, beside transcripts with exons
            if feature:
                draft.rank, draft.differs = feature.rank, feature.differs
            gene_id = _bare((gene and gene.gene_id) or (feature and feature.gene_id) or root)
            symbol = (gene and gene.symbol) or (feature and feature.gene_name)
            if symbol:
                symbols.setdefault(gene_id, symbol)
            grouped[gene_id, contig, strand] += draft.transcripts(
                _bare((feature and feature.name) or name), strand, spans, notes
            )
    for (gene_id, contig, strand), transcripts in grouped.items():
        yield from loci(gene_id, symbols.get(gene_id, gene_id), contig, strand, transcripts)


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
