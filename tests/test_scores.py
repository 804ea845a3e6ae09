"""Windows, alignment and deltas, on probabilities made by hand."""

import numpy as np
import pytest

from samvar.genomics.align import ABSENT, align, placements
from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.genome import Genome, decode
from samvar.genomics.variant import normalise
from samvar.genomics.window import make_window
from samvar.scoring.deltas import compute

from . import toy

DISTANCE, FLANK, REACH = 12, 3, (6, 5)
FRAME = DISTANCE + FLANK


def gene(strand="+", start=0, end=200):
    exons = ((start, 60), (100, end))
    return Gene("G", "G", "c", strand, start, end, (Transcript("T", exons),))


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    bases = toy.random_bases(200, seed=1)
    bases = bases[:90] + "CAAAAAT" + bases[97:]
    return Genome(toy.fasta(tmp_path_factory.mktemp("s") / "g.fa", c=bases))


def window(genome, pos, ref, alt, strand="+", **where):
    return make_window(
        genome, gene(strand, **where), normalise(genome, "c", pos, ref, alt), DISTANCE, FLANK, REACH
    )


def base(genome, pos, n=1):
    return decode(genome.codes("c", pos - 1, pos - 1 + n))


def other(bases):
    return bases.translate(str.maketrans("ACGT", "CATG"))


def test_window_of_an_snv_on_either_strand(genome):
    ref, alt = base(genome, 80), other(base(genome, 80))
    plus, minus = window(genome, 80, ref, alt), window(genome, 80, ref, alt, "-")
    assert (plus.start, plus.end) == (minus.start, minus.end) == (79 - DISTANCE, 80 + DISTANCE)
    assert decode(plus.ref) == base(genome, 80 - FRAME - 6, 2 * FRAME + 1 + 11)
    assert decode(plus.alt)[6 + FRAME] == alt and (plus.ref != plus.alt).sum() == 1
    assert decode(minus.ref) == toy.revcomp(base(genome, 80 - FRAME - 5, 2 * FRAME + 1 + 11))
    assert decode(minus.alt)[6 + FRAME] == toy.revcomp(alt)
    for w in (plus, minus):
        assert w.known == 1
        at_variant = w.site(w.alt, DISTANCE)
        assert len(at_variant) == 11 and at_variant[5] == (alt if w is plus else toy.revcomp(alt))


def test_outside_the_gene_is_unknown(genome):
    w = window(genome, 80, base(genome, 80), other(base(genome, 80)), start=78)
    assert (
        decode(w.ref).startswith("N" * (78 - (79 - FRAME - 6)))
        and decode(w.ref)[6 + FRAME - 1] != "N"
    )
    assert w.known == 1  # of the gene's part


def gaps(w):
    return placements(w.variant, w.direction)


def test_alignment_of_a_deletion_and_an_insertion(genome):
    deletion = window(genome, 120, base(genome, 120, 4), base(genome, 120))
    a = align(deletion, gaps(deletion)[:1])
    assert (a.alt == ABSENT).sum() == 3 and (a.ref == ABSENT).sum() == 0
    assert a.position.tolist() == list(range(deletion.start, deletion.end))
    insertion = window(genome, 120, base(genome, 120), base(genome, 120) + "GGT")
    a = align(insertion, gaps(insertion)[:1])
    new = a.ref == ABSENT
    assert a.offset[new].tolist() == [1, 2, 3] and set(a.position[new]) == {
        gaps(insertion)[0].start - 1
    }
    assert (np.diff(a.alt) == 1).all()


@pytest.mark.parametrize("strand", "+-")
def test_a_delins_has_one_gap_and_its_other_bases_map_one_to_one(genome, strand):
    w = window(
        genome,
        120,
        base(genome, 120, 4),
        other(base(genome, 120)) + other(base(genome, 123)),
        strand=strand,
    )
    assert (len(w.variant.ref), len(w.variant.alt)) == (4, 2)
    gone = [align(w, [g]).position[align(w, [g]).alt == ABSENT].tolist() for g in gaps(w)]
    start = w.variant.start
    assert gone == [[start + k, start + k + 1] for k in ((2, 1, 0) if strand == "+" else (0, 1, 2))]
    n = w.end - w.start
    site = start + 3 - w.start  # stands in both alleles, two bases earlier in alt
    found = compute(w, peaks(n, (1, site, 0.9)), peaks(n - 2, (1, site - 2, 0.8)))
    assert found.values == pytest.approx([0, 0, 0, 0.1]) and found.gaps[0].start <= start + 1


def peaks(n, *sites):
    p = np.zeros((1, 2, n))
    for kind, at, value in sites:
        p[0, kind, at] = value
    return p


def test_deltas_of_an_snv_by_hand(genome):
    w = window(genome, 80, base(genome, 80), other(base(genome, 80)))
    n = w.end - w.start
    ref = peaks(n, (0, 10, 0.9), (1, 14, 0.6))
    alt = peaks(n, (0, 10, 0.2), (0, 15, 0.5), (1, 14, 0.7))
    d = compute(w, ref, alt)
    np.testing.assert_allclose(d.values, [0.5, 0.7, 0.1, 0.0], atol=1e-9)
    assert [d.alignment.position[c] - w.start for c in d.columns[:3]] == [15, 10, 14]
    assert d.sd is None


def test_spread_over_seeds_is_that_of_the_largest_delta(genome):
    w = window(genome, 80, base(genome, 80), other(base(genome, 80)))
    n = w.end - w.start
    ref = np.concatenate([peaks(n, (1, 12, 0.9)), peaks(n, (1, 12, 0.7))])
    alt = np.concatenate([peaks(n, (1, 12, 0.1)), peaks(n, (1, 12, 0.3))])
    d = compute(w, ref, alt)
    assert d.values[3] == pytest.approx(0.6) and d.sd == pytest.approx(np.std([0.8, 0.4], ddof=1))


def test_a_deleted_site_is_lost_whole_and_its_neighbours_keep_their_place(genome):
    w = window(genome, 120, base(genome, 120, 4), base(genome, 120))
    v = w.variant
    n = w.end - w.start
    inside, after = v.start - w.start, v.start - w.start + 5
    ref = peaks(n, (0, inside, 0.8), (1, after, 0.9))
    alt = peaks(n - 3, (1, after - 3, 0.9))
    d = compute(w, ref, alt)
    np.testing.assert_allclose(d.values, [0, 0.8, 0, 0], atol=1e-9)


@pytest.mark.parametrize("strand", "+-")
def test_a_movable_deletion_blames_no_site_that_can_stay(genome, strand):
    """One A of AAAAA is lost: a site on the first or last A can be mapped onto an A that stays."""
    w = window(genome, 91, "CA", "C", strand)
    assert w.variant.span == (91, 96)
    assert len(gaps(w)) == 5
    n = w.end - w.start
    for at, moved in ((91, 91), (95, 94)):
        ref = peaks(n, (1, at - w.start, 0.9))
        alt = peaks(n - 1, (1, moved - w.start, 0.9))
        assert compute(w, ref, alt).values.max() == 0
    assert gaps(w)[0].start == (95 if strand == "+" else 91)


def test_ties_go_to_the_nearest_then_the_five_prime_site(genome):
    for strand, expected in (("+", 9), ("-", 15)):
        w = window(genome, 80, base(genome, 80), other(base(genome, 80)), strand)
        n = w.end - w.start
        d = compute(w, peaks(n), peaks(n, (0, 5, 0.5), (0, 9, 0.5), (0, 15, 0.5)))
        assert d.alignment.position[d.columns[0]] - w.start == expected


def test_masking_by_annotated_sites(genome):
    w = window(genome, 61, base(genome, 61), other(base(genome, 61)))
    n = w.end - w.start
    donor = 59 - w.start  # annotated
    gain = compute(w, peaks(n), peaks(n, (1, donor, 0.5), (1, donor + 3, 0.4)), mask=True)
    assert gain.values[2] == pytest.approx(0.4)
    loss = compute(w, peaks(n, (1, donor, 0.5), (1, donor + 3, 0.9)), peaks(n), mask=True)
    assert loss.values[3] == pytest.approx(0.5)
