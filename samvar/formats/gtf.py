"""Genes from GTF."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from ..genomics.genes import Gene, Rank, Transcript
from .loci import Notes, loci
from .transcripts import (
    EXON,
    GENE,
    OTHER,
    PIECES,
    SPAN,
    Draft,
    differs,
    inherit_strands,
    put,
    rank_of,
    rows,
    tell_both_strands,
)

_ATTRIBUTE = re.compile(r'\s*([^\s;]+)\s+(?:"([^"]*)"|([^;]*))\s*(?:;|$)')
_TAG = re.compile(r'tag(?<![^\s;]tag)\s+"?([^";]*[^";\s])')  # begins with letters: is found faster
_SYMBOLS = "gene_name", "gene_symbol", "gene"
_NO_NAME = "\n"  # stands in no line

Key = tuple[str, str, str, str]  # transcript, gene, contig, strand: RefSeq gives several genes'
# transcripts one id. The first two are empty where a row does not say.


def read_gtf(lines: Iterable[str], notes: Notes) -> Iterator[Gene]:
    """GTF of GENCODE, Ensembl, RefSeq, StringTie and AUGUSTUS style; 1-based inclusive, its lines
    in any order. What a row does not say of its transcript, other rows do."""
    drafts: dict[Key, Draft] = defaultdict(Draft)
    genes: dict[tuple[str, str, str], Draft] = defaultdict(Draft)  # rows of genes
    symbols: dict[str, str] = {}
    ids = _Ids()
    draft: Draft | None = None  # of the row before, where that is one of a piece
    place, known, symbol = ("", ""), "", ""
    before, after = "", ""  # attributes that rows of this draft share
    for contig, kind, _, start, end, strand, text in rows(lines):
        if kind == OTHER:
            continue
        if (
            draft
            and kind >= EXON
            and place == (contig, strand)
            and text.startswith(before)
            and text.endswith(after)
        ):
            own = text[len(before) : len(text) - len(after)]
            if own == known or not _says_more(own, symbol):
                draft.add(kind, start, end, own)
                known = own
                continue
        transcript, gene = ids.of(text)
        draft = None
        if kind == GENE:
            if gene:
                genes[gene, contig, strand].add_span(start, end)
        elif kind == SPAN:
            if transcript or gene:
                span = drafts[transcript, gene, contig, strand]
                span.add_span(start, end)
                _tag(span, text)
        elif transcript or gene:
            draft = drafts[transcript, gene, contig, strand]
            draft.add(kind, start, end, text)
            _tag(draft, text)
            place, known = (contig, strand), _NO_NAME
            before, after = _around_exon(text)
            if not before.startswith(ids.beginning):
                draft = None
        else:
            Draft().add(kind, start, end)  # a wrong number shows
            notes.add(Notes.NO_ID, f"{contig}:{start}-{end}")
        if symbols.get(gene or transcript, _NO_NAME) not in text:
            _name(symbols, gene or transcript, text)
        symbol = symbols.get(gene or transcript, _NO_NAME)
    inherit_strands(genes, drafts, notes)
    inherit_strands(drafts, drafts, notes)
    drafts = _with_genes(drafts)
    tell_both_strands(drafts, notes)
    yield from _genes(drafts, genes, symbols, notes)


class _Ids:
    """Transcript and gene id of a row. GTF begins with them, and neighbours mostly share them."""

    def __init__(self) -> None:
        self.beginning = _NO_NAME  # of the attributes, with both ids; if these stand in it at all
        self._ids = "", ""

    def of(self, attributes: str) -> tuple[str, str]:
        if not attributes.startswith(self.beginning):
            found: dict[str, str] = {}
            self.beginning = _NO_NAME
            for match in _ATTRIBUTE.finditer(attributes):
                key, quoted, bare = match.groups()
                if key in ("gene_id", "transcript_id"):
                    value = quoted or (bare or "").strip()
                    if bare and value.startswith(("'", '"')):
                        raise ValueError(f"{key} is not in double quotes before a semicolon")
                    found.setdefault(key, value)
                    if len(found) == 2:
                        if match[0].endswith(";"):
                            self.beginning = attributes[: match.end()]
                        break
            self._ids = found.get("transcript_id", ""), found.get("gene_id", "")
        return self._ids


def _around_exon(attributes: str) -> tuple[str, str]:
    """Whole attributes before and after those of an exon (its number and id), which the next row
    of the transcript mostly shares. Both end or begin at a semicolon."""
    first = attributes.find("exon_")
    if first < 0:
        first = last = len(attributes)
    else:
        last = attributes.rfind("exon_")
    before = attributes[: attributes.rfind(";", 0, first) + 1]
    _, _, after = attributes[last:].partition(";")
    return before, after


def _says_more(attributes: str, symbol: str) -> bool:
    """Whether attributes may hold what `_tag` or `_name` look for."""
    return (
        "MANE" in attributes
        or "canonical" in attributes
        or "this genomic" in attributes
        or "transcript_version" in attributes
        or ("gene" in attributes and symbol not in attributes)
    )


def _values(attributes: str, *keys: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, quoted, bare in _ATTRIBUTE.findall(attributes):
        if key in keys and (value := quoted or bare.strip()):
            found.setdefault(key, []).append(value)
    return found


def _tag(draft: Draft, text: str) -> None:
    """What a row's attributes say of its transcript's rank, version and sequence."""
    rank = draft.rank
    if (rank < Rank.MANE_SELECT and "MANE" in text) or (not rank and "canonical" in text):
        draft.rank = max(rank, rank_of(_TAG.findall(text)))
    draft.differs = draft.differs or differs(text)
    if not draft.version and "transcript_version" in text:
        draft.version = _values(text, "transcript_version").get("transcript_version", [""])[0]


def _name(symbols: dict[str, str], owner: str, text: str) -> None:
    """The symbol of a gene (or of a transcript whose gene the row leaves out); of several, the
    first in the alphabet."""
    found = _values(text, *_SYMBOLS)
    if name := next((found[key][0] for key in _SYMBOLS if key in found), ""):
        symbols[owner] = min(symbols.get(owner, name), name)


def _with_genes(drafts: dict[Key, Draft]) -> dict[Key, Draft]:
    """Rows without a gene id go to the gene of their transcript (of several genes, to that whose
    transcript row is nearest), rows without a transcript id to the gene's only transcript (else
    they are one of the gene's name)."""
    genes_of: dict[tuple, set[str]] = defaultdict(set)
    transcripts_of: dict[tuple, set[str]] = defaultdict(set)
    for transcript, gene, contig, strand in drafts:
        if transcript and gene:
            genes_of[transcript, contig, strand].add(gene)
            transcripts_of[gene, contig, strand].add(transcript)
    for (transcript, contig, strand), some in genes_of.items():
        if len(some) > 1 and (bare := drafts.get((transcript, "", contig, strand))):
            owners = [drafts[transcript, gene, contig, strand] for gene in sorted(some)]
            bare.share([bare, *owners])
            if not bare.numbers:
                del drafts[transcript, "", contig, strand]
    whole: dict[Key, Draft] = {}
    for key in list(drafts):
        transcript, gene, contig, strand = key
        gene = gene or _only(genes_of.get((transcript, contig, strand), ()), transcript)
        transcript = transcript or _only(transcripts_of.get((gene, contig, strand), ()), gene)
        put(whole, (transcript, gene, contig, strand), drafts.pop(key))
    return whole


def _only(names: Iterable[str], otherwise: str) -> str:
    some = list(names)
    return some[0] if len(some) == 1 else otherwise


def _genes(
    drafts: dict[Key, Draft],
    genes: dict[tuple[str, str, str], Draft],
    symbols: dict[str, str],
    notes: Notes,
) -> Iterator[Gene]:
    of_gene: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for transcript, gene, contig, strand in drafts:
        of_gene[gene, contig, strand].append(transcript)
    for key in genes.keys() - of_gene.keys():
        notes.add(Notes.NO_EXONS, key[0])
    for (gene, contig, strand), names in of_gene.items():
        spans = genes[gene, contig, strand].places(SPAN) if (gene, contig, strand) in genes else []
        own = {name: drafts.pop((name, gene, contig, strand)) for name in names}
        kinds = {name: draft.kinds for name, draft in own.items()}
        whole = any(EXON in some for some in kinds.values())
        transcripts: list[Transcript] = []
        for name, draft in own.items():
            if PIECES.isdisjoint(kinds[name]):
                notes.add(Notes.NO_EXONS, name)
            elif EXON in kinds[name] or not (whole and name == gene):
                transcripts += draft.transcripts(name, strand, spans, notes)
        symbol = symbols.get(gene) or next((symbols[n] for n in names if n in symbols), gene)
        yield from loci(gene, symbol, contig, strand, transcripts)
