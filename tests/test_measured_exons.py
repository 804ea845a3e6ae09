"""`train/evaluate/exons.py`, `hexamers.py`: regions, strands and effects that one can work out."""

import os

import numpy as np
import pytest
import torch

from samvar.genomics.genome import encode

from . import toy

pytestmark = pytest.mark.slow

EVALUATE = os.path.join(os.path.dirname(__file__), "..", "train", "evaluate")
START, END = 1100, 1150  # of the exon


@pytest.fixture
def exons(monkeypatch):
    monkeypatch.syspath_prepend(EVALUATE)
    import exons

    return exons


def row_at(exons, pos, strand, ref="A", alt="C"):
    """An SNV at a 0-based position."""
    table = dict(pos=str(pos + 1), ref=ref, alt=alt)
    return exons.row_of(table, exons.Exon("c", START, END, strand), -1.0, True, "c")


@pytest.mark.parametrize(
    "at, region",
    [
        (-41, None), (-40, "branch point"), (-21, "branch point"), (-20, "tract"), (-4, "tract"),
        (-3, "acceptor"), (2, "acceptor"), (3, "exonic"), (46, "exonic"), (47, "donor"),
        (55, "donor"), (56, None),
    ],
)  # fmt: skip
def test_regions_count_from_the_ends_of_the_exon_on_either_strand(exons, at, region):
    assert row_at(exons, START + at, "+").region == region
    assert row_at(exons, END - 1 - at, "-").region == region


def test_no_row_for_other_than_snvs(exons):
    assert row_at(exons, START, "+", ref="AC") is None


@pytest.mark.parametrize("strand", "+-")
def test_effects_are_those_of_the_substituted_base(exons, tmp_path, strand):
    """A network that gives the exon's sites 0.8 where a base of the exon is G, else 0.2."""
    bases = list(toy.random_bases(3000))
    at = 20
    pos = START + at if strand == "+" else END - 1 - at
    bases[pos] = "G" if strand == "+" else "C"
    genome = exons.Genome(str(toy.fasta(tmp_path / "g.fa", c="".join(bases))))
    row = row_at(exons, pos, strand, bases[pos], "A" if strand == "+" else "T")

    def network(x):
        p = 0.8 if x[0, 2, exons.CONTEXT + exons.FLANK + at] else 0.2
        return torch.full((3, x.shape[-1] - 2 * exons.CONTEXT), p)

    codes = {row.exon: exons.sequence(genome, row.exon)}
    loss, change = exons.effects(network, [row], codes)[0]
    assert loss == pytest.approx(0.6, abs=1e-6)
    assert change == pytest.approx(2 * np.log(0.25), abs=1e-5)


def test_unknown_sequence_has_no_codes(exons, tmp_path):
    bases = toy.random_bases(3000)
    genome = exons.Genome(str(toy.fasta(tmp_path / "g.fa", c=bases[:100] + "N" + bases[101:])))
    assert exons.sequence(genome, exons.Exon("c", START, END, "+")) is None


@pytest.mark.parametrize("strand, ref, alt", [("+", "A", "C"), ("-", "T", "G")])
def test_seven_mers_sum_the_windows_that_hold_the_substitution(exons, tmp_path, strand, ref, alt):
    """Only AAAAAAA scores: seven windows lose it."""
    from itertools import product

    with open(tmp_path / "t.csv", "w") as f:
        for letters in product("ACGT", repeat=7):
            f.write(f"{''.join(letters)},{1.0 if set(letters) == {'A'} else 0.0},,\n")
    inside, outside = row_at(exons, START + 20, strand, ref, alt), row_at(exons, START - 5, strand)
    n = 2 * (exons.CONTEXT + exons.FLANK) + END - START
    codes = {inside.exon: encode("A" * n)}
    if strand == "-":  # counted from the other end, and not in its exonic part
        inside, outside = row_at(exons, END - 21, strand, ref, alt), row_at(exons, END + 4, strand)
    found = exons.seven_mers(tmp_path / "t.csv", [inside, outside], codes)
    assert found[0].tolist() == [7.0, -7.0] and np.isnan(found[1]).all()


def test_agreement_of_a_perfect_and_of_a_partial_predictor(exons):
    rows = [
        exons.Row(exons.Exon("c", 0, 50, "+"), 10, "A", "C", value, value <= -1, i)
        for i, value in enumerate(np.linspace(-2, 0, 21))
    ]
    measured = np.array([r.measured for r in rows])
    found = exons.agreement(rows, np.stack([-measured, measured], 1))
    assert found["positive"] == 11 and found["auroc"][0] == found["spearman"][0] == 1
    half = np.stack([-measured, measured], 1)
    half[::2] = np.nan
    assert exons.agreement(rows, half)["n"] == 10


def test_hexamers_score_the_mean_of_the_seven_mers_that_hold_them(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EVALUATE)
    from hexamers import measured_hexamers

    (tmp_path / "t.csv").write_text("AAAAAAC,1,,\nGAAAAAA,3,,\nCCCCCCC,5,,\n")
    found = measured_hexamers(tmp_path / "t.csv")
    assert found["AAAAAA"] == 2 and found["AAAAAC"] == 1 and found["CCCCCC"] == 5


def test_a_table_of_global_importance_is_held_against_the_measured_scores(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EVALUATE)
    from hexamers import of_table

    measured = dict(AAAAAA=1.0, CCCCCC=2.0, GGGGGG=3.0, TTTTTT=4.0)
    lines = ["PATTERN\tN\tIMPORTANCE", "TTTTTT\t5\t-0.1", "GGGGGG\t5\t0", "CCCCCC\t4\t0.2"]
    (tmp_path / "t.tsv").write_text("\n".join([*lines, "AAAAAA\t0\t.", "ACGTAC\t5\t1"]) + "\n")
    found = of_table(measured, str(tmp_path / "t.tsv"))
    assert (found["hexamers"], found["sequences"]) == (3, 5)
    assert found["spearman"][0] == -1
