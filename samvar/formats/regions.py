"""Selection of records by region, as bcftools does it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable

from ..errors import RegionError
from ..files import text_lines
from ..genomics.genome import ContigNames

_END = 1 << 62  # beyond every POS
_REGION = re.compile(r"(.+?):([0-9][0-9,]*)(?:(-)([0-9][0-9,]*)?)?")
_INFO_END = re.compile(rb"(?:^|;)END=([0-9]+)(?=;|$)")
_INFO_SVLEN = re.compile(rb"(?:^|;)SVLEN=([^;]*)")
_SPANS_SVLEN = re.compile(r"<(?:DEL|DUP|INV|CNV)[:>]")  # with their subtypes: <DUP:TANDEM>
_REFERENCE_BLOCK = ("<*>", "<NON_REF>")


class Regions:
    """Disjoint intervals (0-based, half-open) of each contig, under whatever of its names; `names`
    are the contigs that are known (of the FASTA).

    `overlap` is what of a record must lie in one: "pos" its POS, "record" any base of its span
    (`span_end`), "variant" the same without the bases that REF and all ALTs begin with; of an
    insertion both bases beside it.
    """

    def __init__(
        self,
        intervals: Iterable[tuple[str, int, int]],
        overlap: str = "record",
        names: Iterable[str] = (),
    ):
        by_contig: dict[str, list[list[int]]] = defaultdict(list)
        intervals = list(intervals)
        self._names = ContigNames(names)
        for contig, start, end in sorted(intervals, key=lambda i: i[1:]):
            merged = by_contig[self._names.key(contig)]
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        self._intervals = {k: [(s, e) for s, e in v] for k, v in by_contig.items()}
        self._starts = {k: [s for s, _ in v] for k, v in self._intervals.items()}
        self.contigs = list(dict.fromkeys(contig for contig, _, _ in intervals))
        self.overlap = overlap

    @classmethod
    def parse(cls, text: str, overlap: str = "record", names: Iterable[str] = ()) -> Regions:
        """From CONTIG, CONTIG:POS, CONTIG:FROM-, CONTIG:FROM-TO (1-based, inclusive), separated by
        commas. What is one of `names` is that contig, even if it has colons or commas."""
        _refuse_exclusion(text)
        known = ContigNames(names)
        parts = _parts(text, known)
        if not parts:
            raise RegionError("an empty region: give CONTIG or CONTIG:FROM-TO")
        return cls([_interval(p, known) for p in parts], overlap, known.names)

    @classmethod
    def read(cls, path: str, overlap: str = "record", names: Iterable[str] = ()) -> Regions:
        """From a file of CONTIG, FROM[, TO] (1-based, inclusive), or BED where the name ends in
        .bed or .bed.gz, in any case."""
        _refuse_exclusion(path)
        known = ContigNames(names)
        bed = path.lower().endswith((".bed", ".bed.gz"))
        found = []
        try:
            lines = list(text_lines(path))
        except OSError as e:
            raise RegionError(f"cannot read regions {path}: {e}") from e
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith(("#", "track", "browser")):
                continue
            f = line.split()
            if f[0].startswith('"'):
                raise RegionError(f"{path}, line {number}: take the quotation marks away")
            if len(f) == 1 and not bed:
                found.append(_interval(f[0], known))
            elif len(f) < 2 + bed or not all(
                v.isdigit() for v in f[1 : 3 if bed or len(f) > 2 else 2]
            ):
                raise RegionError(
                    f"{path}, line {number}: CONTIG, FROM, TO separated by tabs expected"
                )
            else:
                start = int(f[1]) - (not bed)
                end = int(f[2]) if len(f) > 2 else start + 1
                if start < 0 or end < start + (not bed):
                    raise RegionError(
                        f"{path}, line {number}: the interval ends before it starts, or starts "
                        f"before {int(not bed)}"
                    )
                if start < end:
                    found.append((f[0], start, end))
        if not found:
            raise RegionError(f"{path} holds no region")
        return cls(found, overlap, known.names)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Contigs that are none of `names`."""
        known = ContigNames(names)
        return [c for c in self.contigs if known.find(c) is None]

    def on(self, contig: str) -> list[tuple[int, int]]:
        """The intervals of a contig, ascending."""
        return self._intervals.get(self._names.key(contig), [])

    def first(
        self,
        contig: str,
        pos: int,
        ref: str,
        alts: tuple[str, ...],
        info: bytes,
        samples: bytes = b"",
    ) -> int | None:
        """Index in `on(contig)` of the first interval that selects a record (`pos` 1-based,
        `samples` FORMAT and all that follows it); None where none does."""
        key = self._names.key(contig)
        if not (intervals := self._intervals.get(key)):
            return None
        start, end, inserted = pos - 1, pos, False
        if self.overlap != "pos":
            end = span_end(pos, ref, alts, info, samples)
            if self.overlap == "variant":
                start += min((_common(ref, a) for a in alts), default=end - start)
                if inserted := start >= end:
                    start, end = start - 1, start + 1
        i = bisect_right(self._starts[key], start) - 1
        if inserted:
            return i if i >= 0 and end <= intervals[i][1] else None
        if i >= 0 and start < intervals[i][1]:
            return i
        return i + 1 if i + 1 < len(intervals) and intervals[i + 1][0] < end else None


def span_end(pos: int, ref: str, alts: tuple[str, ...], info: bytes, samples: bytes = b"") -> int:
    """Last base (1-based) of a record as htslib has it from 1.22 on: the farthest of REF's last
    base, END, for <DEL>, <DUP>, <INV>, <CNV> the base SVLEN after POS, and for <*> (in older files
    <NON_REF>) the last of the longest LEN of any sample. VCF 4.5, sections 1.6.1.8 and 1.6.2."""
    ends = [pos + len(ref) - 1]
    ends += [int(end) for end in _INFO_END.findall(info)]
    for values in _INFO_SVLEN.findall(info):
        for alt, length in zip(alts, values.split(b",")):
            if _SPANS_SVLEN.match(alt) and (number := _integer(length)) is not None:
                ends.append(pos + abs(number))
    if samples and any(block in alts for block in _REFERENCE_BLOCK):
        ends += [pos + length - 1 for length in _block_lengths(samples)]
    return max(ends)


def _block_lengths(samples: bytes) -> list[int]:
    """Every sample's LEN."""
    keys, *columns = samples.rstrip(b"\r\n").split(b"\t")
    names = keys.split(b":")
    if b"LEN" not in names:
        return []
    place = names.index(b"LEN")
    values = [v for column in columns for v in column.split(b":")[place : place + 1]]
    return [n for v in values for x in v.split(b",") if (n := _integer(x)) is not None]


def _integer(text: bytes) -> int | None:
    return int(text) if re.fullmatch(rb"[+-]?[0-9]{1,18}", text) else None


def _refuse_exclusion(text: str) -> None:
    if text.startswith("^"):
        raise RegionError(
            f"{text}: a leading ^, for all but these regions, is not supported: give the regions "
            "to keep"
        )


def _parts(text: str, known: ContigNames) -> list[str]:
    """A text taken apart at its commas, but for those of numbers and of contigs that are known."""
    pieces = [p for p in re.split(r",(?![0-9]{3}(?:[-,]|$))", text) if p]
    longest = 1 + max((name.count(",") for name in known.names), default=0)
    parts = []
    while pieces:
        several = range(min(longest, len(pieces)), 1, -1)
        n = next((n for n in several if _is_on(",".join(pieces[:n]), known)), 1)
        parts.append(",".join(pieces[:n]))
        del pieces[:n]
    return parts


def _is_on(region: str, known: ContigNames) -> bool:
    """Whether a region is a known contig or lies on one."""
    found = _REGION.fullmatch(region)
    return known.find(region) is not None or bool(found and known.find(found[1]) is not None)


def _interval(text: str, known: ContigNames) -> tuple[str, int, int]:
    if known.find(text) is not None:
        return text, 0, _END
    found = _REGION.fullmatch(text)
    if not found:
        if ":" in text and not re.search(r"[*:][0-9]+:", text):
            raise RegionError(f"region {text!r} is not of the form CONTIG:FROM-TO")
        return text, 0, _END
    contig, start, dash, end = found.groups()
    first = int(start.replace(",", ""))
    last = int(end.replace(",", "")) if end else _END if dash else first
    if first < 1 or last < first:
        raise RegionError(f"region {text!r}: positions count from 1, and TO is not before FROM")
    return contig, first - 1, last


def _common(ref: str, alt: str) -> int:
    """Length of the common beginning."""
    n = 0
    for a, b in zip(ref, alt):
        if a != b:
            break
        n += 1
    return n
