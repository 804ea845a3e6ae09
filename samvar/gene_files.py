"""Genes from GTF, GFF3, BED12 + gene, the SpliceAI table or the canonical exon table.

Inside samvar every coordinate is 0-based and half-open; these readers are the only place that converts.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from urllib.parse import unquote

from . import gene_cache
from .errors import AnnotationError
from .genes import Annotation, Gene, Transcript

CACHED_FROM = 1_000_000  # characters of an annotation that is worth keeping parsed


def load_annotation(path: str, cache: bool = False) -> Annotation:
    """Read a gene annotation, plain or gzipped, its dialect told by its content; `cache`: keep the parsed genes in the
    user's cache folder, and take them from there next time.

    Raises AnnotationError when the file is unreadable, in no known form, or without a transcript.
    """
    try:
        with open(path, "rb") as handle:
            data = handle.read()
        digest = hashlib.sha256(data).hexdigest()
        if cache and (genes := gene_cache.load(digest)):
            return Annotation(genes, path, digest)
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode(errors="replace")
    except FileNotFoundError as e:
        raise AnnotationError(f"annotation file not found: {path}") from e
    except (OSError, EOFError, zlib.error) as e:
        raise AnnotationError(f"cannot read annotation {path}: {e}") from e
    lines = [x for x in (line.rstrip("\r") for line in text.split("\n"))
             if x.strip() and not x.startswith(("track ", "browser "))]
    reader = _sniff(lines)
    if reader is None:
        raise AnnotationError(
            f"{path} is neither GTF, GFF3, BED12 with a gene column, nor a SpliceAI or canonical exon table"
        )
    try:
        genes = list(reader(lines))
    except ValueError as e:
        raise AnnotationError(f"cannot parse annotation {path}: {e}") from e
    except (IndexError, KeyError) as e:
        raise AnnotationError(f"cannot parse annotation {path}: {type(e).__name__}: {e}") from e
    if not genes:
        raise AnnotationError(f"annotation {path} holds no transcript with exons")
    if cache and len(text) >= CACHED_FROM:
        gene_cache.save(digest, genes)
    return Annotation(genes, path, digest)


def _sniff(lines: list[str]):
    for line in lines:
        fields = line.split("\t")
        if line.startswith("gene\thas_paralog\t"):
            return _read_canonical
        if line.upper().startswith("#NAME\tCHROM\tSTRAND"):
            return _read_spliceai
        if line.startswith("#"):
            continue
        if len(fields) >= 9 and fields[3].isdigit() and fields[4].isdigit() and fields[6] in "+-.?":
            return _read_gff
        if len(fields) >= 12 and fields[1].isdigit() and fields[9].isdigit():
            return _read_bed12
        return None
    return None


def _loci(gene_id: str, symbol: str, contig: str, strand: str, transcripts: list[Transcript], **more) -> Iterator[Gene]:
    """One Gene for each group of overlapping transcripts; none where the strand is not known."""
    if strand not in ("+", "-"):
        return
    group: list[Transcript] = []
    end = 0
    for t in sorted(transcripts, key=lambda t: (t.start, t.end, t.id)) + [None]:
        if group and (t is None or t.start >= end):
            ordered = tuple(sorted(group, key=Transcript.preference))
            yield Gene(gene_id, symbol, contig, strand, group[0].start, end, ordered, more.get("origin") or contig,
                       more.get("paralog"))
            group, end = [], 0
        if t is not None:
            group.append(t)
            end = max(end, t.end)


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


def _read_gff(lines: list[str]) -> Iterator[Gene]:
    """GTF and GFF3 of GENCODE, Ensembl, RefSeq, MANE, FlyBase, WormBase and TAIR style; 1-based inclusive."""
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
                    exons[key].update(_exons([int(start) - 1], [int(end)], line))
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
        transcript = Transcript(name, _merge(intervals), cds[owner, contig, strand], _rank(own))
        grouped[gene_id, contig, strand].append(transcript)
        if symbol:
            symbols.setdefault(gene_id, symbol)
    for (gene_id, contig, strand), transcripts in grouped.items():
        yield from _loci(gene_id, symbols.get(gene_id, gene_id), contig, strand, transcripts)


def _telling(lines: list[str]) -> str:
    """The line by which GTF and GFF3 are told apart: the first of an exon, as AUGUSTUS has bare ids in others; else the
    first."""
    features = (line for line in lines if line[0] != "#" and line.count("\t") >= 8)
    first = next(features)
    return next((x for x in chain([first], features) if x.split("\t", 3)[2].lower() in _KEPT), first)


def _gtf_owner(attributes: dict[str, list[str]], genes: dict[str, str]) -> list[tuple[str, str]]:
    """(gene, transcript) of a row, none where it has neither: RefSeq gives transcripts of different genes one id, or an
    empty one. `genes`: gene of each transcript so far, for rows that do not say."""
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


def _exons(starts: list[int], ends: list[int], line: str) -> list[tuple[int, int]]:
    """A line's exons, half-open. Raises ValueError when they are not whole, or end before they start."""
    if len(starts) != len(ends):
        raise ValueError(f"{len(starts)} starts and {len(ends)} ends of exons: {line[:100]!r}")
    if any(start >= end for start, end in zip(starts, ends)):
        raise ValueError(f"an exon ends before it starts: {line[:100]!r}")
    return list(zip(starts, ends))


def _merge(intervals: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ascending exons; overlapping or touching pieces of one exon become one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


def _numbers(text: str) -> list[int]:
    return [int(v) for v in text.split(",") if v.strip()]


def _read_bed12(lines: list[str]) -> Iterator[Gene]:
    """BED12, 0-based half-open, with the gene symbol in a 13th column (else the name is the gene)."""
    grouped: dict[tuple, list[Transcript]] = defaultdict(list)
    for line in lines:
        if line.startswith("#"):
            continue
        f = line.split("\t")
        start, thick = int(f[1]), (int(f[6]), int(f[7]))
        sizes, offsets = _numbers(f[10]), _numbers(f[11])
        if not len(sizes) == len(offsets) == int(f[9]):
            raise ValueError(f"blockSizes and blockStarts are not blockCount ({f[9]}) numbers: {line[:100]!r}")
        exons = _merge(_exons([start + o for o in offsets], [start + o + n for o, n in zip(offsets, sizes)], line))
        cds = sum(max(0, min(e, thick[1]) - max(s, thick[0])) for s, e in exons)
        symbol = f[12] if len(f) > 12 else f[3]
        grouped[symbol, symbol, f[0], f[5]].append(Transcript(f[3], exons, cds))
    for key, transcripts in grouped.items():
        yield from _loci(*key, transcripts)


def _read_spliceai(lines: list[str]) -> Iterator[Gene]:
    """SpliceAI's #NAME CHROM STRAND TX_START TX_END EXON_START EXON_END; starts 0-based, ends 1-based."""
    grouped: dict[tuple, list[Transcript]] = defaultdict(list)
    for line in lines:
        if line.startswith("#"):
            continue
        name, contig, strand, _, _, starts, ends = line.split("\t")[:7]
        exons = _merge(_exons(_numbers(starts), _numbers(ends), line))
        grouped[name, name, contig, strand].append(Transcript(name, exons))
    for key, transcripts in grouped.items():
        yield from _loci(*key, transcripts)


def _read_canonical(lines: list[str]) -> Iterator[Gene]:
    """gene has_paralog chrom|contig strand tx_start1 tx_end1 exon_ends1 exon_starts1 [chrom]; 1-based inclusive.

    exon_ends1 are last bases of exons that an intron follows on the genome, exon_starts1 first bases of the next exon.
    """
    header = lines[0].split("\t")
    for line in lines[1:]:
        row = dict(zip(header, line.split("\t")))
        starts = [int(row["tx_start1"])] + _numbers(row["exon_starts1"])
        ends = _numbers(row["exon_ends1"]) + [int(row["tx_end1"])]
        exons = tuple(_exons([s - 1 for s in starts], ends, line))
        contig = row.get("contig") or row["chrom"]
        yield from _loci(row["gene"], row["gene"], contig, row["strand"], [Transcript(row["gene"], exons)],
                         origin=row["chrom"], paralog=row["has_paralog"] == "1")
