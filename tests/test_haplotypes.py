"""What must not change a score: spelling, neighbours, order, workers, regions, strand. And which
status comes first."""

import io
import re
from functools import partial

import hypothesis.strategies as st
import numpy as np
import pysam
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings

from samvar import annotate as spine
from samvar.annotate import Options, annotate
from samvar.formats.annotation import load_annotation
from samvar.formats.regions import Regions
from samvar.formats.vcf import VcfReader
from samvar.formats.vcf.text import TextWriter
from samvar.genomics.genome import Genome, encode
from samvar.model.bundle import load_bundle
from samvar.model.sam import one_hot
from samvar.scoring.predictor import Predictor, ScoredWindow

from . import toy

pytestmark = pytest.mark.slow

D, F = 50, 30  # bases compared beyond the span; of the frame beyond those
ALL = 0.0  # --rbp-min: list the sites of every delta
NONE = 2.0  # of none


def contig_c():
    """Runs and repeats lie across each end of a gene and at both ends of the contig; N and lower
    case within genes."""
    bases = list(toy.random_bases(1500, seed=5))
    for start, text in (
        (0, "G" * 10),
        (408, "A" * 24),
        (639, "N" * 30),
        (888, "CA" * 12),
        (984, "GATTACA" * 5),
        (1488, "T" * 12),
        (770, "ACG" * 8),
        (1150, "TTAGGC" * 4),
    ):
        bases[start : start + len(text)] = text
    bases[699:800] = "".join(bases[699:800]).lower()
    return "".join(bases)


CONTIGS = {"c": contig_c(), "d": toy.random_bases(120, seed=6), "e": "ACGT" * 5}
BASES = {name: bases.upper() for name, bases in CONTIGS.items()}
GENES = (
    ("P", "c", "+", [(1, 150), (260, 420)]),
    ("M", "c", "-", [(380, 560), (700, 900)]),
    ("I", "c", "+", [(720, 760), (800, 830)]),
    ("Q", "c", "-", [(1000, 1100), (1250, 1500)]),
    ("T", "d", "+", [(20, 60), (90, 200)]),  # goes on beyond its contig
)
EDGES = {
    "c": (
        0,
        150,
        260,
        380,
        409,
        420,
        432,
        639,
        669,
        720,
        770,
        794,
        830,
        888,
        900,
        912,
        985,
        1000,
        1020,
        1150,
        1174,
        1250,
        1488,
        1500,
    ),
    "d": (0, 20, 60, 90, 120),
}


def bounded(examples):
    """The same `examples` in every run."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("invariance")


@pytest.fixture(scope="module")
def bundle(folder):
    (folder / "bundle").mkdir()
    return load_bundle(toy.bundle(folder / "bundle", seeds=(0, 1), flank=F))


@pytest.fixture(scope="module")
def parts(folder, bundle):
    return (
        Genome(toy.fasta(folder / "g.fa", **CONTIGS)),
        load_annotation(toy.gtf(folder / "g.gtf", *GENES)),
        Predictor(bundle),
    )


@pytest.fixture(scope="module")
def mirrored_parts(folder, parts):
    def flip(contig, exons):
        return [(len(BASES[contig]) + 1 - e, len(BASES[contig]) + 1 - b) for b, e in exons[::-1]]

    genes = [
        (name, contig, "-" if strand == "+" else "+", flip(contig, exons))
        for name, contig, strand, exons in GENES
        if name != "T"
    ]
    return (
        Genome(toy.fasta(folder / "m.fa", **{k: toy.revcomp(b) for k, b in BASES.items()})),
        load_annotation(toy.gtf(folder / "m.gtf", *genes)),
        parts[2],
    )


def run(parts, path, regions=None, indexed=False, **options):
    """(Stats, data lines) of an annotated file."""
    out, chosen = io.BytesIO(), Options(**options)
    with VcfReader(
        path, [f.key for f in chosen.fields], regions=regions, indexed=indexed
    ) as reader:
        writer = TextWriter(out)
        stats = annotate(reader, writer, *parts, chosen)
        writer.finish()
    return stats, [
        line for line in out.getvalue().decode().splitlines() if not line.startswith("#")
    ]


HEADER = (
    "##fileformat=VCFv4.2",
    *(f"##contig=<ID={name},length={len(b)}>" for name, b in CONTIGS.items()),
)


def infos(parts, folder, records, **options):
    """INFO of each record, as a dict."""
    _, lines = run(parts, toy.vcf(folder / "x.vcf", *records, header=HEADER), **options)
    return [dict(e.partition("=")[::2] for e in line.split("\t")[7].split(";")) for line in lines]


def place(text, pos):
    """(genomic position, offset) of a DP."""
    anchor, _, offset = text.partition("+")
    return int(anchor) + pos, int(offset or 0)


def rows(info, pos):
    """Rows of SAMVAR without ALLELE, DP as genomic positions."""
    out = []
    for row in info["SAMVAR"].split(","):
        f = row.split("|")
        out.append((*f[1:9], *(place(p, pos) for p in f[9:13]), f[13]))
    return out


def sites(info):
    """Rows of SAMVAR_RBP without ALLELE, POS as a place."""
    found = [row.split("|") for row in info.get("SAMVAR_RBP", "").split(",") if row]
    return [(*f[1:4], place(f[4], 0) if f[4] != "." else (), *f[5:]) for f in found]


# ------------------------------------------------------------------------- haplotypes and spellings


def common(a, b):
    """Length of the common beginning."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


class Change:
    """Bases [start, start + gone) of a contig replaced by `new`; 0-based."""

    def __init__(self, contig, start, gone, new):
        self.contig, self.bases = contig, BASES[contig]
        self.haplotype = self.bases[:start] + new + self.bases[start + gone :]
        self.more = len(new) - gone
        self.prefix = common(self.bases, self.haplotype)
        suffix = common(self.bases[::-1], self.haplotype[::-1])
        self.rest = len(self.bases) - suffix  # first base of the common end
        moves = self.prefix + suffix >= min(len(self.bases), len(self.haplotype))
        self.gone = max(-self.more, 0) if moves else self.rest - self.prefix
        self.added = self.gone + self.more
        self.first = self.rest - self.gone  # of the placements, the first
        self.last = self.prefix
        self.span = self.first, self.last + self.gone
        both = (
            min(self.gone, self.added) if self.more else 0
        )  # a delins: one gap, wherever within it
        self.gaps = [
            (at, max(-self.more, 0), max(self.more, 0))
            for at in range(self.first, self.last + both + 1)
        ]

    def record(self, low, high):
        """As a record whose REF is [low, high), which every spelling is for some low and high."""
        assert low <= self.prefix and high >= self.rest
        ref, alt = self.bases[low:high], self.haplotype[low : high + self.more]
        assert ref and alt
        return self.contig, low + 1, ref, alt

    def __repr__(self):
        return f"Change({self.contig}:{self.first}..{self.last}, -{self.gone}, +{self.added})"


@st.composite
def changes(draw, contigs=("c", "c", "c", "d")):
    """A change of any kind, most of them near an edge of something, whose REF holds no N."""
    contig = draw(st.sampled_from(contigs))
    bases = BASES[contig]
    start = draw(st.sampled_from(EDGES[contig])) + draw(st.integers(-20, 20))
    start = min(max(start, 0), len(bases) - 1)
    kind = draw(
        st.sampled_from(("snv", "mnv", "insertion", "duplication", "deletion", "long", "delins"))
    )
    text = lambda low, high: draw(st.text("ACGT", min_size=low, max_size=high))  # noqa: E731
    gone, new = 0, ""
    if kind == "snv":
        gone, new = 1, text(1, 1)
    elif kind == "mnv":
        gone = draw(st.integers(2, 7))
        new = text(gone, gone)
    elif kind == "insertion":
        new = text(1, 12) * draw(st.sampled_from((1, 1, 3, 12)))
    elif kind == "duplication":
        new = bases[max(0, start - draw(st.integers(1, 15))) : start] or "G"
    elif kind == "deletion":
        gone = draw(st.integers(1, 30))
    elif kind == "long":
        gone = draw(st.integers(51, 260))
    else:
        gone, new = draw(st.integers(1, 60)), text(1, 20)
    gone = min(gone, len(bases) - start)
    change = Change(contig, start, gone, new)
    assume(change.haplotype and change.haplotype != bases and "N" not in new)
    assume("N" not in bases[max(0, change.span[0] - 1) : change.span[1] + 1])
    return change


@st.composite
def spellings(draw, change, pad=10, case=True):
    """A record of the change: placed anywhere, padded on either side, in any case."""
    n = len(change.bases)
    low = draw(st.integers(max(0, change.first - pad), change.last))
    high = min(n, max(change.rest, low + change.gone) + draw(st.integers(0, pad)))
    if high == low or high + change.more == low:  # VCF wants a base
        low, high = (
            (low, high + 1) if high < n and draw(st.booleans()) or not low else (low - 1, high)
        )
    while "N" in change.bases[low:high] and low < change.first - 1:
        low += 1
    while "N" in change.bases[low:high] and high > max(change.rest, low + change.gone):
        high -= 1
    contig, pos, ref, alt = change.record(low, high)
    assume("N" not in ref)
    letters = (
        draw(st.sampled_from((str.upper, str.lower, str.swapcase, str.title))) if case else str
    )
    return contig, pos, letters(ref), letters(alt)


def genes_over(change):
    """Names of the genes that the change lies in; an insertion lies between two bases."""
    start, end = change.span
    return [
        g[0]
        for g in GENES
        if g[1] == change.contig and g[3][0][0] - 1 < end and start < g[3][-1][1]
    ]


@bounded(200)
@given(data=st.data())
def test_every_spelling_of_a_haplotype_scores_alike(parts, folder, data):
    change = data.draw(changes())
    records = [data.draw(spellings(change)) for _ in range(4)]
    found = infos(parts, folder, records, rbp_min=NONE, mask=data.draw(st.booleans()))
    assert len({(i["SAMVAR_STATUS"], i["SAMVAR_MAX"]) for i in found}) == 1, records
    names = genes_over(change)
    if not names:
        assert found[0]["SAMVAR_STATUS"] == "NO_GENE"
        return
    scores = [rows(i, r[1]) for i, r in zip(found, records)]
    assert all(s == scores[0] for s in scores), records
    assert sorted(row[0] for row in scores[0]) == sorted(names)
    for info, (_, pos, _, alt) in zip(found, records):
        assert {row.split("|")[0] for row in info["SAMVAR"].split(",")} == {alt}
        for row in rows(info, pos):
            for position, offset in row[8:12]:
                assert change.span[0] - D < position <= change.span[1] + D
                assert offset <= (change.added if change.added != change.gone else 0)


@bounded(25)
@given(data=st.data())
def test_every_spelling_has_the_same_sites(parts, folder, data):
    change = data.draw(changes())
    assume(genes_over(change))
    records = [data.draw(spellings(change)) for _ in range(2)]
    found = [sites(i) for i in infos(parts, folder, records, rbp_min=0.1)]
    assert found[0] == found[1], records


@bounded(60)
@given(data=st.data())
def test_alts_of_one_record_score_as_records_of_their_own(parts, folder, data):
    some = [data.draw(changes(contigs=("c",))) for _ in range(2)]
    contig, (low, high) = "c", (min(c.last for c in some), max(c.last + c.gone for c in some))
    assume(high - low < 300)
    some = [c for c in some if c.first <= low and c.rest <= high or c.last >= low]
    low, high = (
        max(0, min(c.first for c in some) - 1),
        min(len(BASES[contig]), max(c.span[1] for c in some) + 1),
    )
    records = [c.record(low, high) for c in some]
    assume("N" not in records[0][2])
    joint = (contig, low + 1, records[0][2], ",".join(r[3] for r in records))
    whole, *each = infos(parts, folder, [joint, *records], rbp_min=NONE)
    for key in ("SAMVAR_MAX", "SAMVAR_STATUS"):
        assert whole[key].split(",") == [i[key] for i in each]
    assert whole.get("SAMVAR", "").split(",") == ",".join(
        i["SAMVAR"] for i in each if "SAMVAR" in i
    ).split(",")


@bounded(25)
@given(
    start=st.integers(0, 1499), length=st.integers(1, 80), mask=st.booleans(), lower=st.booleans()
)
def test_ref_equal_to_alt_has_no_delta_anywhere(parts, folder, start, length, mask, lower):
    bases = BASES["c"][start : start + length]
    assume("N" not in bases)
    (info,) = infos(
        parts,
        folder,
        [("c", start + 1, bases, bases.lower() if lower else bases)],
        rbp_min=ALL,
        mask=mask,
    )
    assert "SAMVAR_RBP" not in info
    if info["SAMVAR_STATUS"] == "NO_GENE":
        assert info["SAMVAR_MAX"] == "."
        return
    assert info["SAMVAR_MAX"] == "0.0000"
    for row in rows(info, start + 1):
        assert row[4:8] == ("0.0000",) * 4 and row[12] == "0.0000"


# ------------------------------------------------------------------------------------------- mirror


def mirror(change):
    n = len(change.bases)
    new = change.haplotype[change.first : change.first + change.added]
    m = Change.__new__(Change)
    m.contig, m.bases, m.haplotype = (
        change.contig,
        toy.revcomp(change.bases),
        toy.revcomp(change.haplotype),
    )
    m.more, m.gone, m.added = change.more, change.gone, len(new)
    m.first, m.last = n - change.last - change.gone, n - change.first - change.gone
    m.prefix, m.rest, m.span = m.last, m.first + m.gone, (m.first, m.last + m.gone)
    return m


@pytest.mark.parametrize(
    "options",
    [dict(rbp_min=NONE), dict(rbp_min=NONE, mask=True), dict(rbp_min=0.1)],
    ids=["plain", "mask", "sites"],
)
def test_reverse_complement_of_everything_mirrors_every_column(
    parts, mirrored_parts, folder, options
):
    @bounded(20 if options["rbp_min"] < 1 else 80)
    @given(data=st.data())
    def check(data):
        change = data.draw(changes(contigs=("c",)))
        assume(genes_over(change))
        back = mirror(change)
        record, other = data.draw(spellings(change)), data.draw(spellings(back))
        n, strands = len(change.bases), {"+": "-", "-": "+"}

        def turned(position, offset):
            if offset:
                return n - position, change.added - change.gone + 1 - offset  # of the surplus
            return n + 1 - position, 0

        (a,), (b,) = (
            infos(parts, folder, [record], **options),
            infos(mirrored_parts, folder, [other], **options),
        )
        assert (a["SAMVAR_MAX"], a["SAMVAR_STATUS"]) == (b["SAMVAR_MAX"], b["SAMVAR_STATUS"])
        expected = [
            (*r[:3], strands[r[3]], *r[4:8], *(turned(*p) for p in r[8:12]), r[12])
            for r in rows(a, record[1])
        ]
        assert sorted(expected) == sorted(rows(b, other[1])), (record, other)
        assert sorted((*s[:3], s[3] and turned(*s[3]), *s[4:]) for s in sites(a)) == sorted(
            sites(b)
        ), (record, other)

    check()


# ------------------------------------------------------ order, neighbours, workers, chunks, regions


def pool():
    """Records of every status and kind, of both contigs."""
    b = BASES["c"]
    turn = str.maketrans("ACGT", "CGTA")
    some = [
        ("c", p, b[p - 1], b[p - 1].translate(turn))
        for p in (2, 149, 400, 419, 600, 680, 810, 1101, 1499)
    ]
    some += [
        ("c", 405, b[404:440], b[404]),
        ("c", 409, "A", "AA"),
        ("c", 760, b[759:860], b[759:761]),
        ("c", 890, "A", "ACACA"),
        ("c", 1090, b[1089:1092], "TTT,A,*,<DEL>"),
        ("c", 1200, b[1199], "."),
        ("c", 950, b[949], "G,T"),
        ("c", 640, "N", "A"),
        ("c", 800, "ACGT".replace(b[799], "")[0], b[799]),
        ("c", 1499, b[1498:] + "A", "A"),
        ("c", 1300, b[1299], "R"),
        ("x", 5, "A", "C"),
        ("d", 100, BASES["d"][99], BASES["d"][99] + "GGTAAG"),
        ("d", 110, BASES["d"][109:120], "A"),
    ]
    return [f"{c}\t{p}\tid{i}\t{r}\t{a}\t{i}.5\tPASS\tX={i}" for i, (c, p, r, a) in enumerate(some)]


POOL = pool()


@pytest.fixture(scope="module")
def alone(parts, folder):
    """Each record of the pool annotated in a file of its own."""
    return {
        line: run(parts, toy.vcf(folder / "a.vcf", line, header=HEADER), rbp_min=0.2)[1]
        for line in POOL
    }


def sort_key(line):
    contig, pos, *_ = line.split("\t")
    return contig, int(pos)


@bounded(25)
@given(
    lines=st.lists(st.sampled_from(POOL), min_size=1, max_size=12),
    threads=st.integers(1, 3),
    chunk=st.sampled_from((1, 2, 3, 7, 1000)),
)
def test_no_byte_depends_on_order_neighbours_workers_or_chunks(
    parts, bundle, folder, alone, lines, threads, chunk
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spine, "CHUNK", chunk)
        path = toy.vcf(folder / "o.vcf", *lines, header=HEADER)
        stats, found = run((*parts[:2], Predictor(bundle, threads=threads)), path, rbp_min=0.2)
    assert found == [out for line in lines for out in alone[line]]
    assert stats.records == len(lines)
    alts = [line.split("\t")[4] for line in lines]
    assert sum(stats.statuses.values()) == sum(a.count(",") + 1 for a in alts if a != ".")
    assert stats.without_alt == alts.count(".")


@bounded(8)
@given(cuts=st.lists(st.integers(2, 1500), max_size=3, unique=True), indexed=st.booleans())
def test_regions_put_together_give_the_whole(parts, folder, alone, cuts, indexed):
    lines = sorted(POOL, key=sort_key)
    path = toy.vcf(folder / "r.vcf", *lines, header=HEADER)
    if indexed:
        pysam.tabix_compress(path, path + ".gz", force=True)
        path = pysam.tabix_index(path + ".gz", preset="vcf", force=True)
    bounds = [1, *sorted(cuts), 2000]
    regions = [f"c:{a}-{b - 1}" for a, b in zip(bounds, bounds[1:])] + ["d", "x"]
    found = [
        line
        for r in regions
        for line in run(parts, path, Regions.parse(r, "pos"), indexed, rbp_min=0.2)[1]
    ]
    assert found == [out for line in lines for out in alone[line]]


# --------------------------------------------------------------------- deltas by hand, and statuses


class Given:
    """Stands for a Predictor: the sites' probabilities are told, by genomic position (0-based) of
    ref and of alt."""

    def __init__(self, predictor, ref, alt):
        self._predictor, self._told = predictor, (ref, alt)

    def __getattr__(self, name):
        return getattr(self._predictor, name)

    def ahead(self, alleles, precision="fp32"):
        return [partial(lambda own: [[self.score(w) for w in own]], own) for own in alleles]

    def score(self, window):
        out = []
        for haplotype, told in zip((window.ref, window.alt), self._told):
            p = np.zeros((1, 2, len(haplotype) - sum(window.reach) - 2 * window.flank))
            for (kind, position), value in told.items():
                if position - window.start < p.shape[2]:
                    p[0, kind, position - window.start] = value
            out.append(p)
        return ScoredWindow(window, *out)


def test_deltas_of_a_deleted_exon_are_those_worked_out_by_hand(folder, bundle):
    """Exon 701-860 and 120 bases on either side, 400 in all, go: 581-980. Acceptor 701 and donor
    860 go with it; donor 560 before the deletion falls from 0.7 to 0.3; acceptor 1010 behind it,
    index 609 of alt, rises."""
    a, d = 0, 1
    ref = {
        (d, 559): 0.7,
        (a, 700): 0.9,
        (d, 859): 0.8,
        (a, 1009): 0.4,
        (a, 545): 0.25,
        (d, 1040): 0.9,
    }
    alt = {
        (d, 559): 0.3,
        (a, 609): 0.75,
        (a, 545): 0.31,
        (d, 600): 0.11,
    }  # (d, 1040) lies beyond D: not compared
    bases = toy.random_bases(2000, seed=3)
    assert bases[579] != bases[979] and bases[580] != bases[980]  # one placement
    genome = Genome(toy.fasta(folder / "h.fa", c=bases))
    for strand in "+-":
        genes = load_annotation(
            toy.gtf(folder / "h.gtf", ("G", "c", strand, [(400, 560), (701, 860), (1010, 1200)]))
        )
        predictor = Given(Predictor(bundle), ref, alt)
        record = ("c", 580, bases[579:980], bases[579])
        (info,) = infos((genome, genes, predictor), folder, [record], rbp_min=NONE, max_allele=400)
        assert info["SAMVAR_STATUS"] == "OK" and info["SAMVAR_MAX"] == "0.9000"
        ((_, _, _, found, *row),) = rows(info, 580)
        assert found == strand
        # acceptor gain 0.75 - 0.4 at 1010, loss 0.9 at 701; donor gain 0.11 at alt 600 = ref 1000,
        # loss 0.8 at 860
        assert row[:4] == ["0.3500", "0.9000", "0.1100", "0.8000"]
        assert row[4:8] == [(1010, 0), (701, 0), (1001, 0), (860, 0)]


def by_hand(predictor, change, gene, gap):
    """{place: [AG, AL, DG, DL]} of a change within a gene, its bases deleted or inserted at one of
    its `gaps`, from the model's own probabilities."""
    at, gone, added = gap
    _, contig, strand, exons = gene
    low, high = exons[0][0] - 1, exons[-1][1]

    def inside(i):
        return change.bases[i] if low <= i < high and i < len(change.bases) and i >= 0 else "N"

    start, end = change.span[0] - D - F, change.span[1] + D + F
    reach = predictor.reach if strand == "+" else predictor.reach[::-1]
    ref = "".join(map(inside, range(start - reach[0], end + reach[1])))
    cut = change.first - start + reach[0]
    new = change.haplotype[change.first : change.first + change.added]
    alt = ref[:cut] + new + ref[cut + change.gone :]
    p = []
    for bases in (ref, alt):
        x = one_hot(torch.from_numpy(encode(bases if strand == "+" else toy.revcomp(bases)))[None])
        with torch.inference_mode():
            y = np.mean([m(x)[0, 1:].exp().numpy() for m in predictor.models], 0)
        p.append(y if strand == "+" else y[:, ::-1])
    out = {}

    def put(place, r, a):
        out[place] = [a[0] - r[0], r[0] - a[0], a[1] - r[1], r[1] - a[1]]

    nothing = (0.0, 0.0)
    for i in range(change.span[0] - D, change.span[1] + D):
        r = p[0][:, i - start]
        if i < at:
            put((i + 1, 0), r, p[1][:, i - start])
        elif i >= at + gone:
            put((i + 1, 0), r, p[1][:, i - start + change.more])
        else:
            put((i + 1, 0), r, nothing)
    for k in range(added):
        put((at + gone, k + 1), nothing, p[1][:, at + k - start])
    return out


@bounded(120)
@given(change=changes(), data=st.data())
def test_deltas_are_those_of_the_placement_that_explains_least(parts, folder, change, data):
    record = data.draw(spellings(change))
    (info,) = infos(parts, folder, [record], rbp_min=NONE)
    for gene in GENES:
        low, high = gene[3][0][0] - 1, gene[3][-1][1]
        if gene[1] != change.contig or not (low < change.span[0] and change.span[1] < high):
            continue
        (row,) = [r for r in rows(info, record[1]) if r[0] == gene[0]]
        tables = [by_hand(parts[2], change, gene, gap) for gap in change.gaps]
        totals = [np.clip(np.array(list(t.values())).max(0), 0, None).sum() for t in tables]
        best = [t for t, total in zip(tables, totals) if total < min(totals) + 1e-5]
        deltas = np.array([float(v) for v in row[4:8]])
        expected = [np.clip(np.array(list(t.values())).max(0), 0, None) for t in best]
        assert any(np.allclose(deltas, e, atol=1e-4) for e in expected), (record, gene)
        assert any(
            all(
                p in t and t[p][i] > max(v[i] for v in t.values()) - 1e-5
                for i, p in enumerate(row[8:12])
            )
            for t in best
        ), (record, gene)


def expected_status(contig, pos, ref, alt, max_allele):
    """product.md's order of precedence, in plain strings."""
    if alt == "*":
        return "STAR"
    if re.fullmatch(r"[A-Za-z]*[\[\]][^\[\]]+[\[\]][A-Za-z]*|\.[A-Za-z]+|[A-Za-z]+\.", alt):
        return "BND"
    if re.fullmatch("<.*>", alt):
        return "SYMBOLIC"
    if not re.fullmatch("[ACGTNacgtn]+", ref) or not re.fullmatch("[ACGTacgt]+", alt):
        return "NON_ACGT"
    contig = contig.removeprefix("chr")
    if contig not in BASES:
        return "NO_CONTIG"
    bases, start = BASES[contig], pos - 1
    if start < 0 or start + len(ref) > len(bases):
        return "CONTIG_END"
    if "N" in bases[start : start + len(ref)] + ref.upper():
        return "REF_N"
    if bases[start : start + len(ref)] != ref.upper():
        return "REF_MISMATCH"
    if ref.upper() == alt.upper():
        span, longest = (start, start + len(ref)), len(ref)
    else:
        change = Change(contig, start, len(ref), alt.upper())
        span, longest = change.span, max(change.gone, change.added)
    over = [
        (g[3][0][0] - 1, g[3][-1][1])
        for g in GENES
        if g[1] == contig and g[3][0][0] - 1 < span[1] and span[0] < g[3][-1][1]
    ]
    if not over:
        return "NO_GENE"
    if longest > max_allele:
        return "TOO_LONG"
    for low, high in over:
        frame = range(max(low, span[0] - D - F), min(high, span[1] + D + F))
        known = sum(i < len(bases) and bases[i] != "N" for i in frame)
        if known < 0.9 * len(frame):
            return "LOW_CONTEXT"
    return "OK"


@st.composite
def any_records(draw):
    contig = draw(st.sampled_from(("c",) * 6 + ("d", "d", "chrc", "e", "x", "chr", "C")))
    bases = BASES.get(contig.removeprefix("chr"), "ACGT")
    edges = EDGES.get(contig.removeprefix("chr"), (1, len(bases)))
    pos = draw(
        st.one_of(
            st.sampled_from(edges), st.sampled_from((-1, 0, 1, len(bases), len(bases) + 1, 10**12))
        )
    )
    pos += draw(st.integers(-25, 25))
    n = draw(st.one_of(st.integers(1, 8), st.integers(30, 130)))
    ref = bases[max(pos - 1, 0) : max(pos - 1, 0) + n] or "A"
    ref += draw(st.sampled_from(("",) * 8 + ("A", "N")))  # may go beyond the contig's end
    kind = draw(st.sampled_from(("same",) * 10 + ("N", "IUPAC", "other", ".", "-")))
    if kind == "other":
        ref = {"A": "C", "C": "G", "G": "T", "T": "A", "N": "A"}[ref[0]] + ref[1:]
    elif kind != "same":
        ref = {"N": "N", "IUPAC": "R", ".": ".", "-": "-"}[kind] + ref[1:]
    if draw(st.booleans()):
        ref = ref.lower()
    odd = (
        "*",
        "<DEL>",
        "<NON_REF>",
        "<*>",
        "<INS:ME:ALU>",
        "A[c:5[",
        "]c:5]A",
        "[x:1[T",
        "A]<ctg>:7]",
        ".A",
        "ACG.",
        "R",
        "ACN",
        "N",
        "A-",
        "0",
        "A*",
        "!",
        "ac gt",
    )
    plain = st.one_of(
        st.text("ACGTacgt", min_size=1, max_size=6),
        st.just(ref[:1]),
        st.just(ref),
        st.just(ref[::-1]),
        st.text("ACGT", min_size=20, max_size=22).map(lambda t: ref[:1] + 2 * t),
    )
    alts = draw(st.lists(st.one_of(plain, plain, st.sampled_from(odd)), min_size=1, max_size=3))
    assume(alts != ["."])
    return contig, pos, ref, ",".join(alts)


@bounded(150)
@given(records=st.lists(any_records(), min_size=1, max_size=8))
def test_status_is_the_first_that_applies(parts, folder, records):
    found = infos(parts, folder, records, rbp_min=NONE, max_allele=41, allow_ref_mismatch=True)
    for (contig, pos, ref, alts), info in zip(records, found, strict=True):
        expected = [expected_status(contig, pos, ref, alt, 41) for alt in alts.split(",")]
        assert info["SAMVAR_STATUS"].split(",") == expected, (contig, pos, ref, alts)
        scored = [e in ("OK", "LOW_CONTEXT") for e in expected]
        assert [v != "." for v in info["SAMVAR_MAX"].split(",")] == scored
        assert ("SAMVAR" in info) == any(scored)


@pytest.mark.parametrize(
    "pos, text, status",
    [(300, "G" * 1000, "OK"), (300, "G" * 1001, "TOO_LONG"), (950, "G" * 1001, "NO_GENE")],
)
def test_an_insertion_longer_than_the_frame_is_scored_up_to_the_limit(
    parts, folder, pos, text, status
):
    base = BASES["c"][pos - 1]
    other = "T" if base != "T" else "A"
    text = other + text[1:-1] + ("T" if BASES["c"][pos] != "T" else "A")
    for pad in (0, 7):
        tail = BASES["c"][pos : pos + pad]
        (info,) = infos(parts, folder, [("c", pos, base + tail, base + text + tail)], rbp_min=NONE)
        assert info["SAMVAR_STATUS"] == status
    (info,) = infos(parts, folder, [("c", pos, other, other + text)], rbp_min=NONE)
    assert info["SAMVAR_STATUS"] == "REF_MISMATCH"


def test_a_deletion_of_whole_genes_has_a_row_for_each(parts, folder):
    """REF spans I, the ends of P and M, and half of the contig."""
    bases = BASES["c"]
    (info,) = infos(parts, folder, [("c", 670, bases[669:1499], bases[669])], rbp_min=NONE)
    assert info["SAMVAR_STATUS"] in ("OK", "LOW_CONTEXT")
    assert {r[0] for r in rows(info, 670)} == {"M", "I", "Q"}
    (info,) = infos(parts, folder, [("c", 1, bases[:600], bases[0])], rbp_min=NONE)
    assert {r[0] for r in rows(info, 1)} == {"P", "M"}
