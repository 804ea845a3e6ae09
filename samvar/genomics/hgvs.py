"""Variants by the names that HGVS nomenclature gives them (c., n., g.), mapped both ways with the
annotation's own transcripts. See https://hgvs-nomenclature.org."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..errors import HgvsError
from .genes import Annotation, Gene, Transcript, without_version
from .genome import UNKNOWN, Genome, decode, encode, reverse_complement
from .transcript import TranscriptMap, TranscriptPlace
from .variant import Variant, normalise

STOPS = frozenset(("TAA", "TAG"))  # TGA may be selenocysteine
EXAMPLES = "NM_000059.4:c.8165C>G, NM_000059.4:c.67+3_67+6del or chr13:g.32363367C>G"
_DESCRIPTION = re.compile(r"[^\s:]+:[a-z]\.\S+")
_PROTEIN = re.compile(r"\s+\(p\.[^\s]*\)$")  # ends a title of ClinVar

# what is missing from an incomplete description, by the first of these forms that it has
_MISSING = (
    (re.compile(r"[a-z]\.[^:]*"), "a transcript, gene or contig and a colon are missing before it"),
    (re.compile(r"[^:]*"), "a colon, then c., n. or g. with position and change, are missing"),
    (re.compile(r"[^:]*:"), "c., n. or g. with position and change are missing after the colon"),
    (re.compile(r"[^:]*:[cng]\."), "position and change are missing"),
    (re.compile(r"[^:]*:(?![a-z]\.).*"), "c., n. or g. is missing after the colon"),
    (re.compile(r".*>"), "the base after > is missing"),
    (re.compile(r".*ins"), "the bases after ins are missing"),
)

# chromosome -> version of its RefSeq accession in GRCh37, and its lengths in GRCh37 and GRCh38,
# where the version is one higher
_CHROMOSOMES = {
    "1": (10, 249250621, 248956422),
    "2": (11, 243199373, 242193529),
    "3": (11, 198022430, 198295559),
    "4": (11, 191154276, 190214555),
    "5": (9, 180915260, 181538259),
    "6": (11, 171115067, 170805979),
    "7": (13, 159138663, 159345973),
    "8": (10, 146364022, 145138636),
    "9": (11, 141213431, 138394717),
    "10": (10, 135534747, 133797422),
    "11": (9, 135006516, 135086622),
    "12": (11, 133851895, 133275309),
    "13": (10, 115169878, 114364328),
    "14": (8, 107349540, 107043718),
    "15": (9, 102531392, 101991189),
    "16": (9, 90354753, 90338345),
    "17": (10, 81195210, 83257441),
    "18": (9, 78077248, 80373285),
    "19": (9, 59128983, 58617616),
    "20": (10, 63025520, 64444167),
    "21": (8, 48129895, 46709983),
    "22": (10, 51304566, 50818468),
    "X": (10, 155270560, 156040895),
    "Y": (9, 59373566, 57227415),
}
_ACCESSIONS = {f"NC_{i:06}": name for i, name in enumerate(_CHROMOSOMES, 1)}


class Located(NamedTuple):
    """A described variant as a VCF writes it, left-aligned: `contig` by the FASTA's name, `pos`
    1-based. `notes` say what the description left open."""

    contig: str
    pos: int
    ref: str
    alt: str
    notes: tuple[str, ...] = ()


class Edit(NamedTuple):
    """What a description says of the bases between two places: their bases are `deleted` (None:
    not said), `length` many (None: not said), and become those of `kind`."""

    kind: str  # the parser's word, such as "duplication"
    start: dict[str, Any]
    end: dict[str, Any]
    deleted: str | None
    length: int | None
    inserted: str


def is_description(text: str) -> bool:
    """Whether a text has the form REFERENCE:c.CHANGE, with any letter for the c."""
    return bool(_DESCRIPTION.fullmatch(bare(text)))


def bare(text: str) -> str:
    """A description without blanks around it, or the protein's change that a title of ClinVar has
    behind it: NM_000059.4(BRCA2):c.8165C>G (p.Thr2722Arg)."""
    return _PROTEIN.sub("", text.strip())


def require_parser() -> None:
    """Raises HgvsError where the parser is not installed."""
    try:
        import mutalyzer_hgvs_parser  # noqa: F401
    except ImportError as e:
        raise HgvsError(
            "HGVS descriptions need the package mutalyzer-hgvs-parser: pip install 'samvar[hgvs]'"
        ) from e


# ------------------------------------------------------------------------- description -> variant


class Locator:
    """Finds described variants on a genome, by an annotation's transcripts."""

    def __init__(self, genome: Genome, annotation: Annotation):
        require_parser()
        self._genome, self._annotation = genome, annotation
        self._by_id: dict[str, list[tuple[Gene, Transcript]]] = defaultdict(list)
        self._by_stem: dict[str, set[str]] = defaultdict(set)
        self._by_symbol: dict[str, list[Gene]] = defaultdict(list)
        self._checked: set[TranscriptMap] = set()
        for gene in annotation.genes:
            for name in {gene.symbol, gene.id}:
                self._by_symbol[name].append(gene)
            for transcript in gene.transcripts:
                self._by_id[transcript.id].append((gene, transcript))
                self._by_stem[without_version(transcript.id)].add(transcript.id)

    def locate(self, text: str) -> Located:
        """The variant that a description (`bare`, or as it was written) names. Raises HgvsError,
        which begins with the text, where the description cannot be read or is none that samvar
        maps, the annotation does not have the transcript or this version of it, that differs from
        the genome, it has no such position, or the description names other bases than the FASTA
        has."""
        try:
            return self._locate(bare(text))
        except HgvsError as e:
            raise HgvsError(f"{text.strip()}: {e}") from e

    def _locate(self, text: str) -> Located:
        if len(text.split()) > 1:
            raise HgvsError("a description has no blanks within; give one at a time")
        model = _parsed(text)
        system = model.get("coordinate_system")
        if system is None:
            raise HgvsError(_unreadable(text))
        if system not in ("c", "n", "g"):
            raise HgvsError(f"samvar maps descriptions in c., n. and g., not {system}.")
        reference = model["reference"]["id"]
        selector = model["reference"].get("selector", {}).get("id")
        edit = _edit(model, text)
        notes: list[str] = []
        if system == "g":
            contig = self._contig(reference)
            strand = "+"
            first, last = (self._of_genome(contig, end) for end in (edit.start, edit.end))
        else:
            transcript = self._transcript(reference, selector, notes)
            found = self._genome.contig(transcript.contig)
            if found is None:
                raise HgvsError(
                    f"{transcript.id} is on {transcript.contig}, which {self._genome.name} does "
                    "not have"
                )
            contig, strand = found, transcript.strand
            self._check(transcript)
            ends = (edit.start, edit.end)
            first, last = (_of_transcript(transcript, end, system) for end in ends)
        variant = self._variant(contig, strand, first, last, edit)
        return Located(contig, *_as_vcf(self._genome, variant), tuple(notes))

    # ----------------------------------------------------------------- what is the description of

    def _contig(self, name: str) -> str:
        """The FASTA's contig of this name, or RefSeq's accession of a human chromosome."""
        stem, _, version = name.partition(".")
        if found := self._genome.contig(name):
            return found
        if stem not in _ACCESSIONS:
            raise HgvsError(f"{self._genome.name} has no contig {name}")
        chromosome = _ACCESSIONS[stem]
        older, *lengths = _CHROMOSOMES[chromosome]
        builds = dict(zip((str(older), str(older + 1)), zip(("GRCh37", "GRCh38"), lengths)))
        if version not in builds:
            raise HgvsError(
                f"{stem} needs the version of GRCh37 (.{older}) or GRCh38 (.{older + 1})"
            )
        build, length = builds[version]
        contig = self._genome.contig(chromosome)
        if contig is None:
            raise HgvsError(f"{self._genome.name} has no contig {chromosome}")
        if self._genome.lengths[contig] != length:
            raise HgvsError(
                f"{name} is chromosome {chromosome} of {build}, {length} bases long; {contig} of "
                f"{self._genome.name} has {self._genome.lengths[contig]}"
            )
        return contig

    def _of_genome(self, contig: str, point: dict[str, Any]) -> int:
        """A point of a g. description, 0-based."""
        position = _whole(point)
        if "outside_cds" in point or "offset" in point:
            raise HgvsError("a position in g. is a whole number")
        if not 1 <= position <= self._genome.lengths[contig]:
            raise HgvsError(f"{contig} has {self._genome.lengths[contig]} bases")
        return position - 1

    def _transcript(self, name: str, selector: str | None, notes: list[str]) -> TranscriptMap:
        """The transcript of NM_000059.4, NM_000059.4(BRCA2), BRCA2(NM_000059.4),
        NC_000013.11(NM_000059.4) or BRCA2."""
        if selector and not self._has(name) and self._has(selector):
            gene, transcript = self._named(selector, self._genes(name), notes)
        elif self._has(name):
            owners = self._genes(selector) if selector else None
            gene, transcript = self._named(name, owners, notes)
        elif name in self._by_symbol and not selector:
            gene = _only(self._by_symbol[name], f"genes are named {name}")
            transcript = gene.chosen
            notes.append(f"{name} is taken for its transcript {transcript.id}")
        else:
            example = self._annotation.genes[0].chosen.id
            raise HgvsError(
                f"{self._annotation.name} has no transcript {selector or name} (its names are such "
                f"as {example})"
            )
        return TranscriptMap.of(gene, transcript)

    def _has(self, name: str) -> bool:
        return without_version(name) in self._by_stem

    def _genes(self, name: str) -> list[Gene]:
        """The genes of a symbol, id or contig."""
        if name in self._by_symbol:
            return self._by_symbol[name]
        try:
            contig = self._contig(name)
        except HgvsError as e:
            raise HgvsError(f"{self._annotation.name} has no gene {name}; {e}") from e
        return [g for g in self._annotation.genes if self._genome.contig(g.contig) == contig]

    def _named(
        self, name: str, owners: list[Gene] | None, notes: list[str]
    ) -> tuple[Gene, Transcript]:
        """The transcript of this id, in one of these genes where they are named."""
        there = self._by_stem[without_version(name)]
        known = name
        if name not in self._by_id:
            known = min(there)
            if len(there) > 1 or (
                without_version(name) != name and without_version(known) != known
            ):
                raise HgvsError(
                    f"{self._annotation.name} has {' and '.join(sorted(there))}, not {name}"
                )
            notes.append(f"{name} is taken for {known}, as the annotation names it")
        found = self._by_id[known]
        if owners is not None:
            within = [pair for pair in found if any(pair[0] is gene for gene in owners)]
            if not within:
                raise HgvsError(f"{known} is of {found[0][0].symbol} on {found[0][0].contig}")
            found = within
        _only([gene for gene, _ in found], f"places have a transcript {known}")
        return found[0]

    def _check(self, transcript: TranscriptMap) -> None:
        """Raises HgvsError where the annotation or the FASTA shows that the transcript's own
        sequence is not that of the genome, or where it is not known."""
        if transcript in self._checked:
            return
        what = f"{transcript.id} on {self._genome.name}"
        if transcript.gapped:
            raise HgvsError(
                f"by {self._annotation.name}, {transcript.id} has more or fewer bases than the "
                "genome, so that positions cannot be mapped"
            )
        if transcript.cds:
            first, end = transcript.cds
            codes = transcript.sequence(self._genome)[first + transcript.transcript.phase : end]
            if (codes == UNKNOWN).any():
                raise HgvsError(f"{what} cannot be checked: the FASTA has N in its coding sequence")
            bases = decode(codes)
            codons = [bases[i : i + 3] for i in range(0, len(bases) - 3, 3)]
            if early := next((i for i, codon in enumerate(codons, 1) if codon in STOPS), 0):
                raise HgvsError(
                    f"{what} has a stop codon within its reading frame (codon {early}): its "
                    "sequence is not that of the genome, or the annotation is of another build"
                )
        self._checked.add(transcript)

    # --------------------------------------------------------------------------- what does change

    def _variant(self, contig: str, strand: str, first: int, last: int, edit: Edit) -> Variant:
        """The change, with `first` and `last` 0-based on the genome, in the order of the text."""
        if (first > last) if strand == "+" else (first < last):
            raise HgvsError("its first position comes after its last")
        start, end = min(first, last), max(first, last) + 1
        if edit.kind == "insertion":
            if end - start != 2:
                raise HgvsError(
                    "an insertion names the two neighbouring bases that it lies between"
                )
            start, end = start + 1, end - 1
        here = self._genome.codes(contig, start, end)
        read = here if strand == "+" else reverse_complement(here)
        if (here == UNKNOWN).any():
            raise HgvsError(f"the FASTA is N at {contig}:{start + 1}-{end}")
        if edit.length not in (None, len(read)):
            raise HgvsError(f"its positions are {len(read)} bases apart, not {edit.length}")
        if edit.deleted not in (None, decode(read)):
            raise HgvsError(
                f"the reference has {_short(decode(read))} there ({contig}:{start + 1}"
                f"{f'-{end}' if end - start > 1 else ''}"
                f"{', minus strand' if strand == '-' else ''}), not {_short(edit.deleted)}"
            )
        after = {
            "duplication": np.concatenate([read, read]),
            "inversion": reverse_complement(read),
        }.get(edit.kind, encode(edit.inserted))
        if np.array_equal(after, read):
            raise HgvsError("it changes nothing")
        new = after if strand == "+" else reverse_complement(after)
        return normalise(self._genome, contig, start + 1, decode(here), decode(new))


def _parsed(text: str) -> dict[str, Any]:
    from mutalyzer_hgvs_parser import exceptions, to_model

    try:
        return to_model(text)
    except (exceptions.UnexpectedCharacter, exceptions.UnexpectedEnd) as e:
        raise HgvsError(_unreadable(text, str(e).splitlines()[0].rstrip(":"))) from e
    except exceptions.NestedDescriptions as e:
        raise HgvsError("it has another description within it") from e


def _unreadable(text: str, parser_says: str = "") -> str:
    """The message about a description that is incomplete, or that the parser does not accept."""
    cause = next((what for form, what in _MISSING if form.fullmatch(text)), parser_says.lower())
    return f"this is no HGVS description: {cause}. Write such as {EXAMPLES}"


def _edit(model: dict[str, Any], text: str) -> Edit:
    """The one change of a description that names its places and bases."""
    changes = model.get("variants") or []
    if len(changes) != 1:
        raise HgvsError("samvar maps one change at a time")
    change = changes[0]
    if "type" not in change:
        raise HgvsError(f"it does not say what changes: write such as {text}del or {text}A>G")
    if unchanged := _without_change(change):
        other = "G" if unchanged.upper() == "A" else "A"
        form = f"{text}>{other}" if len(unchanged) == 1 else EXAMPLES
        raise HgvsError(f"it does not say what {unchanged} becomes: write such as {form}")
    kind, location = change["type"], change["location"]
    if kind == "equal":
        raise HgvsError("= says that nothing changes here: there is no variant to be scored")
    if kind not in (
        "substitution",
        "deletion",
        "insertion",
        "duplication",
        "deletion_insertion",
        "inversion",
    ):
        raise HgvsError(f"samvar maps no {kind}; write it as deletion, insertion or delins")
    start, end = location.get("start", location), location.get("end", location)
    if location.get("uncertain") or not {start["type"], end["type"]} == {"point"}:
        raise HgvsError("its positions are not exact")
    removed = change.get("deleted", [])
    added = change.get("inserted", [])
    if kind in ("duplication", "inversion"):
        removed, added = removed + added, []
    deleted, length = _bases(removed, lengths=True)
    inserted, _ = _bases(added)
    if kind == "substitution" and (
        start is not end or len(deleted or "") != 1 or len(inserted or "") != 1
    ):
        raise HgvsError("a substitution has one base for one; write others as delins")
    if kind in ("insertion", "deletion_insertion") and not inserted:
        raise HgvsError("it does not say which bases are inserted")
    return Edit(kind, start, end, deleted, length, inserted or "")


def _without_change(change: dict[str, Any]) -> str:
    """The bases of a change that only names them (262+1G); the parser takes it for a repeat."""
    parts = change.get("inserted", [])
    if change["type"] != "repeat" or len(parts) != 1 or parts[0].keys() != {"sequence", "source"}:
        return ""
    return parts[0]["sequence"]


def _bases(parts: list[dict[str, Any]], lengths: bool = False) -> tuple[str | None, int | None]:
    """(bases, or None; how many, or None) that a description spells out."""
    if not parts:
        return None, None
    if lengths and len(parts) == 1 and "length" in parts[0]:
        return None, parts[0]["length"].get("value")
    if not all(part.keys() <= {"sequence", "source"} for part in parts):
        raise HgvsError("it does not spell out its bases")
    bases = "".join(part["sequence"] for part in parts).upper()
    if set(bases) - set("ACGT"):
        raise HgvsError(f"{_short(bases)} holds other letters than A, C, G and T")
    return bases, None


def _short(bases: str) -> str:
    return bases if len(bases) <= 20 else f"{bases[:17]}..."


def _whole(point: dict[str, Any]) -> int:
    position = point.get("position")
    if not isinstance(position, int) or point.get("uncertain"):
        raise HgvsError("its positions are not exact")
    return position


def _only(found: list[Gene], what: str) -> Gene:
    if len(found) > 1:
        places = ", ".join(f"{g.contig}:{g.start + 1}-{g.end}" for g in found[:3])
        raise HgvsError(f"{len(found)} {what} ({places}): write CHR:POS:REF:ALT instead")
    return found[0]


def _of_transcript(transcript: TranscriptMap, point: dict[str, Any], system: str) -> int:
    """A point of a c. or n. description as a base of the genome, 0-based."""
    number, side = _whole(point), point.get("outside_cds")
    first, end = 0, transcript.length
    if system == "c":
        if transcript.cds is None:
            raise HgvsError(f"{transcript.id} is not coding in the annotation: write n. for c.")
        first, end = transcript.cds
    elif side:
        raise HgvsError("positions in n. have no - or * before them")
    base = {"upstream": first - number, "downstream": end + number - 1}.get(
        side or "", first + number - 1
    )
    inside = 0 <= base < transcript.length and (side is not None or first <= base < end)
    if number < 1 or not inside:
        parts = f"{end - first} bases" + (
            f" of coding sequence, {first} before and {transcript.length - end} after it"
            if system == "c"
            else ""
        )
        raise HgvsError(f"{transcript.id} has {parts}")
    offset = point.get("offset", {"value": 0})
    if "value" not in offset:
        raise HgvsError("its positions are not exact")
    try:
        return transcript.position(TranscriptPlace(base, offset["value"]))
    except ValueError as e:
        raise HgvsError(str(e)) from e


def _as_vcf(genome: Genome, variant: Variant) -> tuple[int, str, str]:
    """POS (1-based), REF and ALT: left-aligned, with the base before (at the start of the contig
    the one after) where REF or ALT would be empty."""
    v = variant.placed(variant.start - variant.left)
    ref, alt = decode(v.ref), decode(v.alt)
    if ref and alt:
        return v.start + 1, ref, alt
    if v.start:
        anchor = decode(genome.codes(v.contig, v.start - 1, v.start))
        return v.start, anchor + ref, anchor + alt
    anchor = decode(genome.codes(v.contig, len(ref), len(ref) + 1))
    return 1, ref + anchor, alt + anchor


# ------------------------------------------------------------------------- variant -> description


def hgvs_c(transcript: TranscriptMap, variant: Variant, genome: Genome) -> str:
    """What the variant is called on the transcript: ID:c. where that is coding, else ID:n.; as far
    towards its 3' end as it can be placed there. Empty where it reaches beyond the transcript, or
    changes nothing, or the transcript is gapped."""
    change = "" if transcript.gapped else _change(transcript, variant, genome)
    if not change:
        return ""
    return f"{transcript.id}:{'n' if transcript.cds is None else 'c'}.{change}"


def _change(transcript: TranscriptMap, variant: Variant, genome: Genome) -> str:
    if np.array_equal(variant.ref, variant.alt):
        return ""
    v = _rightmost(transcript, variant)
    start, end = v.start, v.start + len(v.ref)
    if not len(v.ref):
        return _insertion(transcript, v, genome)
    if not len(v.alt):
        return _located(transcript, start, end, "del")
    forward = transcript.strand == "+"
    ref, alt = (bases if forward else reverse_complement(bases) for bases in (v.ref, v.alt))
    if len(ref) == len(alt) == 1:
        return _located(transcript, start, end, f"{decode(ref)}>{decode(alt)}")
    if np.array_equal(alt, reverse_complement(ref)):
        return _located(transcript, start, end, "inv")
    return _located(transcript, start, end, f"delins{decode(alt)}")


def _insertion(transcript: TranscriptMap, v: Variant, genome: Genome) -> str:
    """An insertion at its last placement: it repeats the bases before it, as far as they are on the
    transcript, or lies between two."""
    forward, width = transcript.strand == "+", len(v.alt)
    repeated = (v.start - width, v.start) if forward else (v.start, v.start + width)
    if np.array_equal(genome.codes(v.contig, *repeated), v.alt):
        if name := _located(transcript, *repeated, "dup"):
            return name
    v = _rightmost(transcript, v, margin=1)
    bases = v.alt if forward else reverse_complement(v.alt)
    return _located(transcript, v.start - 1, v.start + 1, f"ins{decode(bases)}")


def _rightmost(transcript: TranscriptMap, v: Variant, margin: int = 0) -> Variant:
    """The placement that is last in the direction of transcription, and still on the transcript,
    `margin` bases from its ends, where one is."""
    first, last = v.start - v.left, v.start + v.right
    low = transcript.transcript.start + margin
    high = transcript.transcript.end - margin - len(v.ref)
    if transcript.strand == "+":
        return v.placed(max(first, min(last, high)))
    return v.placed(min(last, max(first, low)))


def _located(transcript: TranscriptMap, start: int, end: int, what: str) -> str:
    """A change of the bases [start, end) of the genome; empty where they are not all within the
    transcript."""
    first, last = (start, end - 1) if transcript.strand == "+" else (end - 1, start)
    places = [transcript.place(p) for p in (first, last)]
    texts = [numbered(transcript, place) for place in places if place]
    if len(texts) < 2:
        return ""
    return ("_".join(texts) if end - start > 1 else texts[0]) + what


def numbered(transcript: TranscriptMap, place: TranscriptPlace) -> str:
    """A place as c. (n. where there is no coding sequence) numbers it."""
    first, end = transcript.cds or (0, transcript.length)
    base = place.base
    if base < first:
        number = f"-{first - base}"
    elif base >= end:
        number = f"*{base - end + 1}"
    else:
        number = f"{base - first + 1}"
    return number + (f"{place.offset:+d}" if place.offset else "")


def notes_of(located: Iterable[Located]) -> list[str]:
    """The notes of all, each once."""
    return list(dict.fromkeys(note for one in located for note in one.notes))
