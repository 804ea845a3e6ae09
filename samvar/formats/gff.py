"""Genes from GTF and GFF3."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from urllib.parse import unquote

from ..genomics.genes import Gene, Transcript
from .loci import exons_of, loci, merge

_GTF_ATTRIBUTE = re.compile(r'\s*([^\s;]+)\s+(?:"([^"]*)"|([^;]*))\s*(?:;|$)')


def _gtf_attributes(text: str) -> dict[str, list[str]]:
    found = defaultdict(list)
    for key, quoted, bare in _GTF_ATTRIBUTE.findall(text):
        found[key].append(quoted or bare.strip())
    return found


def _gff3_attributes(text: str) -> dict[str, list[str]]:
    found = {}
    for part in text.strip().strip(";").split(";"):
        key, equals, value = part.strip().partition("=")
        if equals:
            found[key] = [unquote(v) for v in value.split(",")]
    return found


def _rank(attributes: dict[str, list[str]]) -> int:
    tags = {t.replace(" ", "_") for t in attributes.get("tag", ())}
    return 2 if "MANE_Select" in tags else 1 if "Ensembl_canonical" in tags else 0


_KEPT = {"exon", "cds"}


def read_gff(lines: list[str]) -> Iterator[Gene]:
    """GTF and GFF3 of GENCODE, Ensembl, RefSeq, MANE, FlyBase, WormBase and TAIR style; 1-based
    inclusive."""
    gtf = _is_gtf(_telling(lines))
    exons: dict[tuple, set] = defaultdict(set)  # (owner, contig, strand) -> intervals
    cds: dict[tuple, int] = defaultdict(int)
    parents: dict[str, str] = {}  # GFF3: ID -> Parent
    genes: dict[str, str] = {}  # GTF: transcript -> gene
    info: dict[str | tuple, dict] = {}  # owner, or GFF3's ID of a gene -> attributes
    for line in lines:
        if line.startswith(("##FASTA", ">")):
            break
        if line[0] == "#":
            continue
        columns = line.split("\t")[:9]
        if len(columns) < 9:
            raise ValueError(f"not the nine columns of GTF or GFF3: {line[:100]!r}")
        contig, _, kind, start, end, _, strand, _, text = columns
        if strand not in "+-":
            continue
        attributes = (_gtf_attributes if gtf else _gff3_attributes)(text)
        low = kind.lower()
        if low in _KEPT:
            owners = _gtf_owner(attributes, genes) if gtf else attributes.get("Parent", ())
            for owner in owners:
                key = owner, contig, strand
                if low == "exon":
                    exons[key].update(exons_of([int(start) - 1], [int(end)], line))
                else:
                    cds[key] += int(end) - int(start) + 1
            if gtf and owners:
                info.setdefault(owners[0], attributes)
        elif gtf:
            if low in ("transcript", "mrna") and (owners := _gtf_owner(attributes, genes)):
                own = info.setdefault(owners[0], attributes)
                own["tag"] = [*own.get("tag", ()), *attributes.get("tag", ())]
        elif "ID" in attributes:
            info[attributes["ID"][0]] = attributes
            if "Parent" in attributes:
                parents[attributes["ID"][0]] = attributes["Parent"][0]
    grouped: dict[tuple, list[Transcript]] = defaultdict(list)
    symbols: dict[str, str] = {}  # of a gene id; not every row of a GTF need have it
    for (owner, contig, strand), intervals in exons.items():
        own = info.get(owner, {})
        if gtf:
            gene_id, name = owner
            symbol = _first(own, "gene_name", "gene_symbol", "gene")
        else:
            root = _root(owner, parents)
            gene = info.get(root, {})
            gene_id = _bare(_first(gene, "gene_id") or _first(own, "gene_id") or root)
            symbol = _first(gene, "gene_name", "gene", "locus", "Name")
            name = _bare(_first(own, "transcript_id", "Name", "ID") or owner)
        transcript = Transcript(name, merge(intervals), cds[owner, contig, strand], _rank(own))
        grouped[gene_id, contig, strand].append(transcript)
        if symbol:
            symbols.setdefault(gene_id, symbol)
    for (gene_id, contig, strand), transcripts in grouped.items():
        yield from loci(gene_id, symbols.get(gene_id, gene_id), contig, strand, transcripts)


def _telling(lines: list[str]) -> str:
    """The line by which GTF and GFF3 are told apart: the first of an exon, as AUGUSTUS has bare ids
    in others; else the first."""
    features = (line for line in lines if line[0] != "#" and line.count("\t") >= 8)
    first = next(features)
    return next(
        (x for x in chain([first], features) if x.split("\t", 3)[2].lower() in _KEPT), first
    )


def _gtf_owner(attributes: dict[str, list[str]], genes: dict[str, str]) -> list[tuple[str, str]]:
    """(gene, transcript) of a row, none where it has neither: RefSeq gives transcripts of different
    genes one id, or an empty one. `genes`: gene of each transcript so far, for rows that do not
    say."""
    transcript = _first(attributes, "transcript_id") or _first(attributes, "gene_id")
    gene = _first(attributes, "gene_id") or genes.get(transcript, transcript)
    genes.setdefault(transcript, gene)
    return [(gene, transcript)] if transcript else []


def _root(feature: str, parents: dict[str, str]) -> str:
    """The feature's topmost ancestor: its gene."""
    seen = {feature}
    while (parent := parents.get(feature)) and parent not in seen:
        seen.add(parent)
        feature = parent
    return feature


def _bare(name: str) -> str:
    """A GFF3 ID without the feature type that Ensembl, NCBI and WormBase put before it."""
    return re.sub(r"^(gene|transcript|rna)[:-]", "", name, flags=re.I)


def _is_gtf(line: str) -> bool:
    return bool(re.search(r'(gene_id|transcript_id)\s+"?[^=;]', line.split("\t")[8]))


def _first(attributes: dict[str, list[str]], *keys: str) -> str:
    return next((attributes[k][0] for k in keys if attributes.get(k)), "")
