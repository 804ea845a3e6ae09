"""`train/evaluate/exons.py`, `hexamers.py`: regions, strands and effects that one can work out."""

import os
import stat
import sys
from dataclasses import replace

import numpy as np
import pytest

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
        (-51, None), (-50, "deep"), (-41, "deep"), (-40, "branch point"),
        (-21, "branch point"), (-20, "tract"), (-4, "tract"),
        (-3, "acceptor"), (2, "acceptor"), (3, "exonic"), (46, "exonic"), (47, "donor"),
        (55, "donor"), (56, "deep"), (99, "deep"), (100, None),
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
        p = 0.2 + 0.6 * x[:, 2, exons.CONTEXT + exons.FLANK + at]
        return p[:, None, None].expand(-1, 3, x.shape[-1] - 2 * exons.CONTEXT)

    codes = {row.exon: exons.sequence(genome, row.exon)}
    same = replace(row, alt=row.ref)
    (loss, change), none = exons.effects(exons.of_network(network, [row, same], codes))
    assert none.tolist() == [0, 0]
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


def test_what_was_said_is_not_asked_again(exons, tmp_path):
    rows = [row_at(exons, START + at, "+") for at in range(4)]
    asked = []

    def say(some):
        for row in some:
            asked.append(row.at)
            yield (0.5 + row.at / 10, 0.5, 0.5, 0.5)

    path = tmp_path / "said.tsv"
    first = exons.remembered(path, rows[:2], say)
    path.write_text(path.read_text() + f"{rows[2].key}\t0.7\t0.")  # stopped within a line
    assert exons.remembered(path, rows[:2], say) == first and asked == [0, 1]
    every = exons.effects(exons.remembered(path, rows, say))
    assert asked == [0, 1, 2, 3] and every[:, 0] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_change_of_inclusion_is_a_loss_the_other_way(exons):
    assert exons.effects([(-2.0,), (1.0,)]).tolist() == [[2, -2], [-1, 1]]


PROGRAM = """#!{python}
import sys
for line in sys.stdin:
    key, ref, alt = line.rstrip("\\n").split("\\t")
    at = [i for i in range(len(ref)) if ref[i] != alt[i]][0]
    print(key, len(ref), at, ref.count("N"), sep="\\t")
"""


@pytest.mark.parametrize("name, edge, unknown", [("spliceai", 5000, 4000), ("mmsplice", 100, 0)])
@pytest.mark.parametrize("strand", "+-")
def test_a_program_is_shown_as_much_around_the_exon_as_it_takes(
    exons, tmp_path, name, edge, unknown, strand
):
    """Sequence is known from 3,000 bases before the exon on."""
    bin = tmp_path / name / "bin"
    bin.mkdir(parents=True)
    for file in (name, "python"):
        (bin / file).write_text(PROGRAM.format(python=sys.executable))
        (bin / file).chmod(stat.S_IRWXU)
    bases = "N" * 4000 + toy.random_bases(3000) + "A" + toy.random_bases(6000)
    genome = exons.Genome(str(toy.fasta(tmp_path / "g.fa", c=bases)))
    exon = exons.Exon("c", 6990, 7040, strand)
    row = exons.Row(exon, 10 if strand == "+" else 39, "A", "C", -1.0, True, "c")
    ((length, at, gaps),) = exons.of_program(name, tmp_path, [row], genome)
    assert (length, at) == (50 + 2 * edge, edge + row.at)
    assert gaps == (max(edge - 2990, 0) if edge == 5000 else unknown)


def test_a_sample_has_so_many_rows_of_each_label_and_region(exons):
    inside = [row_at(exons, START + at, "+") for at in range(10, 30)]
    rows = inside + [replace(r, label=False) for r in inside[:2]]
    rows += [row_at(exons, START - 10, "+")]
    drawn = exons.sample(rows, 3)
    assert drawn[:20].sum() == 3 and drawn[20:].all()
    assert exons.sample(rows, 20).all()


def test_the_share_of_a_lead(exons):
    """The student puts half of the positives that the base misses where the teacher has them."""
    exon = exons.Exon("c", 0, 50, "+")
    rows = [exons.Row(exon, 10, "A", "C", -float(i < 20), i < 20, i) for i in range(60)]
    teacher = np.array([1.0] * 20 + [0.0] * 40)
    base, student = teacher.copy(), teacher.copy()
    base[:10], student[:5] = -1, -1
    both = [np.stack([v, -v], 1) for v in (base, student, teacher)]
    found = exons.share(rows, *both)
    assert found.keys() == {"auroc", "auprc"}  # two values measured: no ranks
    lead, low, high = found["auroc"]["lead"]
    assert lead == pytest.approx(0.5) and low < lead < high
    assert found["auroc"]["share"][0] == pytest.approx(0.5)
    assert "share" not in exons.share(rows, both[2], both[1], both[0])["auroc"]


def test_each_region_has_what_is_said_on_the_same_rows(exons):
    inside = [
        replace(row_at(exons, START + at, "+"), label=at % 2 == 0, cluster=at)
        for at in range(3, 47)
    ]
    rows = inside + [replace(row_at(exons, START - 10, "+"), cluster="tract")]
    said = np.array([[r.label + 0.1, -r.label] for r in rows])
    some = said.copy()
    some[:20] = np.nan
    of = dict(default=said, paper=-said, OpenSpliceAI=said, SpliceAI=some)
    of["7-mers"] = np.where(np.arange(45)[:, None] < 44, said, np.nan)
    found = exons.told("S", rows, of)
    assert set(found) == {f"S: {r}{s}" for r in ("all", "exonic") for s in ("", ", sample")}
    assert "SpliceAI" not in found["S: exonic"] and "7-mers" not in found["S: all"]
    assert {p["n"] for p in found["S: exonic, sample"].values()} == {24}
    assert found["S: exonic"]["default"]["share"]["auroc"]["share"][0] == 1
    assert "share" not in found["S: exonic"]["7-mers"]


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
