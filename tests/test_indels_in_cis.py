"""Several insertions and deletions on one haplotype: what is between them maps base to base. With
the rules of `test_in_cis`, and with a model of random weights."""

from dataclasses import replace
from functools import partial
from itertools import chain, product

import numpy as np
import pytest

from samvar.annotate import Options, joint_effect
from samvar.formats.annotation import load_annotation
from samvar.genomics.align import ABSENT, align, placements
from samvar.genomics.genome import Genome, decode
from samvar.genomics.haplotype import joined, overlapping, place
from samvar.genomics.variant import Gap, normalise
from samvar.genomics.window import Place, make_window
from samvar.model.bundle import load_bundle
from samvar.scoring import deltas as scoring
from samvar.scoring.predictor import Predictor

from . import toy
from .test_in_cis import EXONS, LENGTH, ONE_MORE, SHORTER, STRANDS, WEAKER, ByRule, run, written

CDS = 410, 1600  # 0-based, in transcript orientation
DONOR_OF_2 = EXONS[1][1] - 1
OPTIONS = Options(rbp_min=2.0, event_min=0.0)


def gene_bases():
    """The sites of `test_in_cis` among bases without any, and with short runs alone."""
    bases = np.random.default_rng(3).choice(list("ACT"), LENGTH)
    for start, end in EXONS:
        bases[start - 7 : start] = list("TTTTCAG")
        bases[end : end + 6] = list("GTAAGA")
    bases[940:951] = list("GTCCCCCAACC")
    bases[960:970] = list("TATATATCAA")
    bases[1010:1020] = list("CTTTTTTACA")
    return "".join(bases)


def turned(strand, start, end):
    return (start, end) if strand == "+" else (LENGTH - end, LENGTH - start)


def world_of(folder, strand, make):
    """Bases, genome, annotation and predictor of a strand."""
    bases = gene_bases()
    exons = [turned(strand, *exon) for exon in EXONS]
    bases = bases if strand == "+" else toy.revcomp(bases)
    fasta = toy.fasta(folder / f"{make.__name__}.fa", c=bases)
    table = toy.gtf(folder / "g.gtf", ("G", "c", strand, [(s + 1, e) for s, e in exons]))
    low, high = turned(strand, *CDS)
    coding = [(max(s, low) + 1, min(e, high)) for s, e in exons]
    with open(table, "a") as f:
        for start, end in coding:
            ids = 'gene_id "G"; transcript_id "G.1";'
            f.write(f"c\ttoy\tCDS\t{start}\t{end}\t.\t{strand}\t.\t{ids}\n")
    return bases, Genome(fasta), load_annotation(table), make(load_bundle(toy.bundle(folder)))


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return {s: world_of(tmp_path_factory.mktemp("rule"), s, ByRule) for s in "+-"}


@pytest.fixture(scope="module")
def random_worlds(tmp_path_factory):
    return {s: world_of(tmp_path_factory.mktemp("random"), s, Predictor) for s in "+-"}


def variants_of(world, strand, *edits):
    """In order of their place."""
    bases, genome, *_ = world[strand]
    found = [normalise(genome, "c", *written(bases, strand, *edit)) for edit in edits]
    return sorted(found, key=place)


def effect_of(world, strand, *edits):
    _, genome, annotation, predictor = world[strand]
    parts = variants_of(world, strand, *edits)
    (gene,) = annotation.overlapping("c", *parts[0].span)
    return joint_effect(genome, predictor, gene, parts, OPTIONS)


def on_strand(strand, column):
    """Position of a base of the transcript, both 0-based."""
    return column if strand == "+" else LENGTH - 1 - column


@STRANDS
def test_a_site_between_two_deletions_stays(worlds, strand):
    around = (DONOR_OF_2 - 12, DONOR_OF_2 - 8, ""), (DONOR_OF_2 + 13, DONOR_OF_2 + 16, "")
    effect = effect_of(worlds, strand, *around)
    assert effect.deltas.values.tolist() == [0, 0, 0, 0] and effect.consequences == ()
    assert sorted(gap.gone for gap in effect.deltas.gaps) == [3, 4]
    window = effect.window
    one_gap = replace(window, variant=replace(window.variant, parts=()))
    scored = worlds[strand][3].exact(window)
    values = scoring.compute(one_gap, scored.ref, scored.alt).values
    assert values == pytest.approx([0, 0, 0.9, 0.9])  # lost, and found again
    told, _, counts = run(worlds, strand, *((edit, "0|1") for edit in around))
    assert told == {0: [], 1: []} and counts.scored == 1  # nothing that either does not do alone


@STRANDS
def test_a_site_between_an_insertion_and_a_deletion_is_weakened_where_it_is(worlds, strand):
    edits = (DONOR_OF_2 - 8, DONOR_OF_2 - 8, "AC"), WEAKER, (1025, 1028, "")
    effect = effect_of(worlds, strand, *edits)
    assert effect.deltas.values == pytest.approx([0, 0, 0, 0.8])
    assert effect.deltas.places[3] == Place(on_strand(strand, DONOR_OF_2))
    (consequence,) = effect.consequences
    (outcome, *_) = consequence.outcomes
    assert outcome.event.size == EXONS[1][1] - EXONS[1][0]  # of REF, without the two
    ends = sorted(on_strand(strand, c) for c in (EXONS[1][0], DONOR_OF_2))
    assert [outcome.first, outcome.last] == [Place(p) for p in ends]


@STRANDS
def test_a_new_site_in_an_insertion_behind_a_deletion(worlds, strand):
    edits = (915, 918, ""), (930, 930, "GCATAG"), (935, 935, "GGTAAGTG")
    effect = effect_of(worlds, strand, *edits)
    assert effect.deltas.values == pytest.approx([0, 0, 0.95, 0])
    before = turned(strand, 935, 935)[0] - 1
    assert effect.deltas.places[2] == Place(before, 1 if strand == "+" else 8)


@STRANDS
@pytest.mark.parametrize("gone, frame", [(2, "in_frame"), (3, "frameshift")])
def test_as_many_inserted_as_deleted_keep_the_frame(worlds, strand, gone, frame):
    """SHORTER and ONE_MORE make a donor that shortens exon 2 by 60 bases."""
    edits = (905, 905, "AC"), (920, 920 + gone, ""), SHORTER, ONE_MORE
    told, _, counts = run(worlds, strand, *((edit, "1|0") for edit in edits))
    assert counts.scored == 1  # whichever record asks
    for number, edit in enumerate(edits):
        pos, _, _ = written(worlds[strand][0], strand, *edit)
        (row,) = told[number]
        assert len(row[2].split("+")) == 3
        assert row[5:9] == ["0.0000", "0.0000", "0.9000", "0.0000"]
        assert row[11] == str(on_strand(strand, 939) + 1 - pos)
        assert row[13:16] == ["G.1", "partial_exon_deletion", "2"]
        assert [int(p) - 1 for p in row[16:18]] == sorted(on_strand(strand, c) for c in (940, 999))
        assert row[18:20] == ["60", frame]


def test_a_premature_stop_is_read_with_all_changes(worlds):
    """By hand: the message of exon 1, of exon 2 up to its new end, and of exon 3."""
    edits = (905, 905, "AC"), (920, 922, ""), SHORTER, ONE_MORE
    bases = worlds["+"][0]
    message = bases[CDS[0] : EXONS[0][1]] + bases[900:905] + "AC" + bases[905:920]
    message += bases[922:940] + bases[EXONS[2][0] : CDS[1]]
    codons = [message[i : i + 3] for i in range(0, len(message) - 2, 3)]
    before = bases[CDS[0] : EXONS[0][1]] + bases[900:1000] + bases[EXONS[2][0] : CDS[1]]
    for strand in "+-":
        (consequence,) = effect_of(worlds, strand, *edits).consequences
        stop = consequence.outcomes[0].message.stop
        stops = [i for i, c in enumerate(codons, 1) if c in ("TAA", "TAG", "TGA")]
        # those of exon 1 are there before, too
        new = [i for i in stops if message[: 3 * i] != before[: 3 * i]]
        assert stop == (new or [None])[0]


def test_both_strands_say_the_same(random_worlds):
    """The mirror image, with random weights."""
    rng, longest = np.random.default_rng(0), 0
    for _ in range(12):
        edits = random_edits(rng, 860, 1060)
        forward, reverse = (effect_of(random_worlds, strand, *edits) for strand in "+-")
        np.testing.assert_allclose(forward.deltas.values, reverse.deltas.values, atol=1e-6)
        mirrored = [mirror(reverse, p) for p in reverse.deltas.places]
        assert list(forward.deltas.places) == mirrored
        longest = max(longest, len(forward.deltas.gaps))
        for own, other in zip(forward.consequences, reverse.consequences):
            assert own.strongest == pytest.approx(other.strongest, abs=1e-6)
            about = [
                [(o.event.kind, o.event.size, o.message, o.rna) for o in c.outcomes]
                for c in (own, other)
            ]
            assert about[0] == about[1]
    assert longest > 2


def test_both_strands_say_the_same_of_changes_side_by_side(random_worlds):
    """Delins among them, and changes whose placements meet, so that they are one."""
    rng, some, fewer = np.random.default_rng(0), 0, 0
    for trial in range(60):
        low = int(rng.integers(850, 1040))
        edits = crowded_edits(rng, low, low + int(rng.integers(10, 60)))
        sides = [variants_of(random_worlds, strand, *edits) for strand in "+-"]
        there = [overlapping(parts) for parts in sides]
        assert there[0] == there[1]
        if there[0]:
            continue
        pieces = [joined(random_worlds[s][1], parts).pieces for s, parts in zip("+-", sides)]
        assert [p.growth for p in pieces[0]] == [p.growth for p in pieces[1]][::-1], edits
        fewer += len(pieces[0]) < len(edits)
        if trial % 3 == 0:
            forward, reverse = (effect_of(random_worlds, strand, *edits) for strand in "+-")
            np.testing.assert_allclose(forward.deltas.values, reverse.deltas.values, atol=1e-6)
            mirrored = [mirror(reverse, p) for p in reverse.deltas.places]
            assert list(forward.deltas.places) == mirrored, edits
            told = [
                [[(o.event.kind, o.event.size, o.message, o.rna) for o in c.outcomes]
                 for c in effect.consequences]
                for effect in (forward, reverse)
            ]  # fmt: skip
            assert told[0] == told[1], edits
            some += any(told[0])
    assert some and fewer > 10


def crowded_edits(rng, low, high):
    """SNVs, insertions, deletions and delins in order, up to three bases apart, none at the place
    of an insertion."""
    bases, edits, at = gene_bases(), [], low
    while at < high:
        at += int(rng.integers(4))
        gone = int(rng.integers(8))
        new = "".join(rng.choice(list("ACGT"), int(rng.integers(0 if gone else 1, 8))))
        inserted = not gone or (edits and edits[-1][0] == edits[-1][1])
        if bases[at : at + gone] != new and not (edits and inserted and at == edits[-1][1]):
            edits.append((at, at + gone, new))
            at += gone
    return edits


def test_an_insertion_stands_behind_its_anchor(random_worlds):
    """Though it could stand before that, were it not for the SNV there."""
    bases, genome, *_ = random_worlds["+"]
    at = 1017  # the last T of a run
    assert bases[at - 1 : at + 1] == "TA"
    parts = [normalise(genome, "c", at, "T", alt) for alt in ("G", "TGCT")]
    together = joined(genome, sorted(parts, key=place))
    # T is GGCT, that is GGC before it
    assert (together.start, decode(together.ref), decode(together.alt)) == (at - 1, "", "GGC")


def mirror(effect, p):
    """A place on the minus strand's world in that of the plus strand."""
    if not p.offset:
        return Place(LENGTH - 1 - p.position)
    (gap,) = (g for g in effect.deltas.gaps if g.new and g.start - 1 == p.position)
    return Place(LENGTH - gap.start - 1, gap.new + 1 - p.offset)


def random_edits(rng, low, high):
    """SNVs, insertions and deletions that do not overlap, in order; two at least change the
    length."""
    bases, edits, at = gene_bases(), [], low
    while at < high or sum(s == e or not new for s, e, new in edits) < 2:
        at += int(rng.integers(3, 40))
        kind = rng.integers(3)
        if kind == 0:
            edits.append((at, at + 1, "ACGT"["CGTA".index(bases[at])]))
        elif kind == 1:
            edits.append((at, at, "".join(rng.choice(list("ACGT"), int(rng.integers(1, 7))))))
        else:
            edits.append((at, at + int(rng.integers(1, 7)), ""))
        at = edits[-1][1]
    return edits


REPEATS = (963, 965, ""), (1014, 1014, "TT")  # TATATATC, CTTTTTTA


@STRANDS
def test_every_spelling_says_the_same(random_worlds, strand):
    _, genome, annotation, predictor = random_worlds[strand]
    first, snv, second = variants_of(random_worlds, strand, *REPEATS, (990, 991, "G"))
    (gene,) = annotation.overlapping("c", 0, LENGTH)
    spellings = []
    for starts in product(
        *(range(v.start - v.left, v.start + v.right + 1) for v in (first, second))
    ):
        moved = [v.placed(start) for v, start in zip((first, second), starts)]
        parts = [moved[0], snv, moved[1]]
        spellings.append(joint_effect(genome, predictor, gene, parts, OPTIONS))
    (one, *others) = spellings
    assert len(others) > 20 and len(one.deltas.gaps) == 2
    for other in others:
        assert other.deltas.values.tolist() == one.deltas.values.tolist()
        assert other.deltas.places == one.deltas.places and other.deltas.gaps == one.deltas.gaps
        assert repr(other.consequences) == repr(one.consequences)


@STRANDS
def test_rows_of_other_spellings(random_worlds, strand):
    """What records have, DP apart, which is relative to POS."""
    bases, *_ = random_worlds[strand]
    spelled = []
    for deleted, inserted in product((960, 961, 965), (1011, 1014, 1017)):
        edits = (deleted, deleted + 2, ""), (inserted, inserted, "TT"), (990, 991, "G")
        told, _, counts = run(random_worlds, strand, *((e, "0|1") for e in edits), hap_min=0.0)
        (row,) = told[2]
        spelled.append([row[5:], counts.scored])
    assert all(own == spelled[0] for own in spelled)


def test_changes_that_meet_are_one(random_worlds):
    _, genome, *_ = random_worlds["+"]

    def pieces(*edits):
        variants = variants_of(random_worlds, "+", *edits)
        assert not overlapping(variants)
        return joined(genome, variants).pieces

    apart = pieces((920, 923, ""), (935, 935, "GG"))
    assert [p.growth for p in apart] == [-3, 2]
    # in one run of T: the same as a deletion of two
    (one,) = pieces((1011, 1012, ""), (1016, 1017, ""))
    assert one.growth == -2 and one.span == (1011, 1017)
    # a repeat unit lost and one gained: nothing
    (nothing,) = pieces((960, 962, ""), (966, 966, "TA"))
    assert decode(nothing.ref) == decode(nothing.alt)
    # TTTTTTA with one T less and one A more behind it is TTTTTAA
    (snv,) = pieces((1011, 1012, ""), (1018, 1018, "A"))
    assert (snv.start, decode(snv.ref), decode(snv.alt)) == (1016, "T", "A")
    both = pieces((1011, 1012, ""), (1018, 1018, "A"), (920, 923, ""), (890, 891, "G"))
    assert [p.growth for p in both] == [0, -3, 0]  # the gap stays with its deletion
    three = pieces((1011, 1012, ""), (1014, 1014, "GA"), (920, 923, ""), (890, 891, "G"))
    assert [p.growth for p in three] == [0, -3, 1]
    assert (three[2].start, decode(three[2].ref), decode(three[2].alt)) == (1013, "T", "GA")


def test_gaps_of_a_haplotype_and_what_lies_between(random_worlds):
    """Of many sets: every base of either haplotype stands once, and all others that stand together
    are the same but for SNVs; `Window.base_of_alt` says the same as the columns."""
    rng, seen = np.random.default_rng(5), 0
    for strand in "+-" * 15:
        _, genome, annotation, predictor = random_worlds[strand]
        edits = random_edits(rng, 600, 600 + int(rng.integers(50, 500)))
        variants = variants_of(random_worlds, strand, *edits)
        (gene,) = annotation.overlapping("c", 0, LENGTH)
        together = joined(genome, variants)
        window = make_window(genome, gene, together, 50, 30, predictor.reach)
        choices = [p for piece in together.pieces if (p := placements(piece, window.direction))]
        gaps = [own[rng.integers(len(own))] for own in choices]
        columns = align(window, gaps)
        for index, length in ((columns.ref, window.compared),
                              (columns.alt, window.compared + together.growth)):  # fmt: skip
            assert index[index != ABSENT].tolist() == list(range(length))
        same = (columns.ref != ABSENT) & (columns.alt != ABSENT)
        ref, alt = (compared_bases(window, codes) for codes in (window.ref, window.alt))
        assert alt == haplotype(random_worlds[strand][0], strand, edits, window)
        differ = [
            int(p) for p, r, a in zip(columns.position[same], columns.ref[same], columns.alt[same])
            if ref[r] != alt[a]
        ]  # fmt: skip
        changed = [p for p in together.pieces if len(p.ref) and len(p.alt)]
        within = [range(p.start, p.start + len(p.ref)) for p in changed]
        assert set(differ) <= set(chain(*within))
        length = window.frame_length + together.growth
        for column, index in enumerate(columns.alt):
            if index != ABSENT:
                base = window.base_of_alt(window.flipped(int(index) + window.flank, length), gaps)
                assert base.place == Place(columns.position[column], columns.offset[column])
                assert base.in_alt == index
                assert (ABSENT if base.in_ref is None else base.in_ref) == columns.ref[column]
        seen += len(gaps) > 2
    assert seen > 10


def compared_bases(window, codes):
    """In genome order, of the transcript's strand."""
    inner = window.flank + window.reach[0], len(codes) - window.flank - window.reach[1]
    return decode(window.to_genome(codes[slice(*inner)]))


def haplotype(bases, strand, edits, window):
    """The compared bases with the edits made, as `compared_bases`."""
    made, done = "", window.start
    spelled = sorted(written(bases, strand, *edit) for edit in edits)
    for pos, ref, alt in spelled:
        made += bases[done : pos - 1] + alt
        done = pos - 1 + len(ref)
    made += bases[done : window.end]
    return made if strand == "+" else made.translate(toy.REVERSE)


def test_the_gaps_that_explain_least_are_found_one_after_the_other(random_worlds):
    """A site on the first T of a run that loses one, and another on the last of the run TATATA: no
    delta where each gap is at the other end of its run."""
    _, genome, annotation, predictor = random_worlds["+"]
    first, second = variants_of(random_worlds, "+", (961, 963, ""), (1012, 1013, ""))
    (gene,) = annotation.overlapping("c", 0, LENGTH)
    window = make_window(genome, gene, joined(genome, [first, second]), 50, 30, predictor.reach)
    low, n = window.start, window.compared
    peaks = partial(np.zeros, dtype=np.float32)
    ref, alt = peaks((1, 2, n)), peaks((1, 2, n - 3))
    ref[0, 1, 966 - low] = alt[0, 1, 964 - low] = 0.9  # the last TA stays
    ref[0, 1, 1011 - low] = alt[0, 1, 1009 - low] = 0.8  # and the first T
    found = scoring.compute(window, ref, alt)
    assert found.values.tolist() == [0, 0, 0, 0]
    assert found.gaps == (Gap(964, 2, 0), Gap(1016, 1, 0))
    ref, alt = 0 * ref, 0 * alt
    ref[0, 1, 960 - low] = alt[0, 1, 960 - low] = 0.9  # TA, the first, stays; the last T
    ref[0, 1, 1016 - low] = alt[0, 1, 1013 - low] = 0.8
    found = scoring.compute(window, ref, alt)
    assert found.values.tolist() == [0, 0, 0, 0] and found.gaps[1].start < 1016
