"""How sure a score is: likelihood ratios measured, kept in a bundle, and told."""

import importlib
import json
import os

import pytest
from click.testing import CliRunner

from samvar.cli import main
from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.genome import encode
from samvar.genomics.variant import Variant
from samvar.model.bundle import load_bundle, write_manifest
from samvar.model.evidence import FILE, Evidence, Group, Measure, Range, Ranges, to_dict
from samvar.scoring.groups import group_of
from samvar.views.sureness import Sureness, in_words

from . import toy

FOLDER = os.path.join(os.path.dirname(__file__), "..", "train", "evaluate")
BASES = toy.random_bases(1500, seed=2)
MIDDLE = Range(0.0, 0.5, 0.2, 0.15, 0.3, 3, 30)
HIGH = Range(0.5, 1.0, 9.0, 5.0, 12.0, 50, 4)


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("calibration")


@pytest.mark.parametrize(
    "lower, upper, level",
    [
        (2.07, 9, ""),
        (2.08, 9, "supporting for"),
        (4.33, 9, "moderate for"),
        (18.7, 99, "strong for"),
        (0.1, 0.49, ""),
        (0.1, 0.48, "supporting against"),
        (0.01, 0.23, "moderate against"),
        (0.5, 3, ""),
    ],
)
def test_the_whole_interval_must_reach_a_level(lower, upper, level):
    own = Range(0.0, 1.0, (lower * upper) ** 0.5, lower, upper, 9, 9)
    assert Ranges((own,), 5, 5).level(own) == level
    unmeasured = own._replace(changing=0, others=0)
    assert Ranges((own, unmeasured), 5, 5).level(unmeasured) == ""
    assert Ranges((own,), 4, 9).level(own) == Ranges((own,), 9, 4).level(own) == ""


def test_the_range_of_a_value():
    ranges = Ranges((MIDDLE, HIGH), 9, 9)
    assert [ranges.of(v) for v in (0.0, 0.4999, 0.5, 1.0)] == [MIDDLE, MIDDLE, HIGH, HIGH]


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize(
    "at, group",
    [
        (480, Group.CORE_SITE),  # 20 bases before an acceptor
        (479, Group.INTRONIC),
        (502, Group.CORE_SITE),
        (503, Group.EXONIC),
        (596, Group.EXONIC),
        (597, Group.CORE_SITE),
        (605, Group.CORE_SITE),
        (606, Group.INTRONIC),
    ],
)
def test_groups(strand, at, group):
    flip = (lambda s, e: (s, e)) if strand == "+" else (lambda s, e: (1000 - e, 1000 - s))
    exons = tuple(sorted(flip(*e) for e in ((100, 200), (500, 600), (800, 900))))
    gene = Gene("G", "G", "c", strand, exons[0][0], exons[-1][1], (Transcript("T", exons),))
    start, _ = flip(at, at + 1)
    assert group_of(Variant("c", start, encode("A"), encode("C")), [gene]) is group
    assert group_of(Variant("c", start, encode("A"), encode("")), [gene]) is Group.INDEL


# --------------------------------------------------------------------------------- measuring them


def rows_of(script, gene, changes, value, n=1):
    values = dict.fromkeys(Measure, value)
    return [script.Tested(gene, Group.EXONIC, changes, values)] * n


def test_every_gene_counts_as_one(script):
    """Of A all changing variants lie high, of B none, however many they are: one half."""
    some = rows_of(script, "A", True, 0.9) + rows_of(script, "B", True, 0.01)
    some += rows_of(script, "C", False, 0.01)
    many = rows_of(script, "A", True, 0.9, n=300) + rows_of(script, "B", True, 0.01)
    many += rows_of(script, "C", False, 0.01)
    first, second = (script.ranges_of(variants, Measure.MAX) for variants in (some, many))
    assert [r.ratio for r in first.ranges] == [r.ratio for r in second.ranges]
    low, *_, high = second.ranges
    ranges = len(second.ranges)
    half = 0.5 / (2 + ranges / 2), 0.5 / (1 + ranges / 2)  # half a gene more
    assert low.ratio == pytest.approx((half[0] * 3) / (half[1] * 3), rel=1e-3)
    assert high.ratio == pytest.approx((half[0] * 3) / half[1], rel=1e-3)
    assert (high.changing, high.others, low.changing, low.others) == (300, 0, 1, 1)
    assert (second.genes_changing, second.genes_others) == (2, 1)


def test_intervals_narrow_with_genes_and_not_with_variants(script):
    def width(genes, n):
        variants = []
        for i in range(genes):
            variants += rows_of(script, f"G{i}", True, (0.9, 0.9, 0.05)[i % 3], n)
            variants += rows_of(script, f"G{i}", False, (0.05, 0.05, 0.9)[i % 3], n)
        *_, high = script.ranges_of(variants, Measure.MAX).ranges
        return high.upper / high.lower

    assert width(6, 1) == pytest.approx(width(6, 50))
    assert width(60, 1) < width(12, 1)


def test_groups_without_both_outcomes_have_no_evidence(script):
    found = script.evidence(rows_of(script, "A", True, 0.9, n=9))
    assert found == Evidence(9, {})


# ------------------------------------------------------------------------------------ telling them


@pytest.fixture
def world(tmp_path):
    fasta = toy.fasta(tmp_path / "g.fa", c=BASES)
    table = toy.gtf(tmp_path / "g.gtf", ("G", "c", "+", [(201, 500), (701, 900), (1101, 1300)]))
    (tmp_path / "m").mkdir()
    model = toy.bundle(tmp_path / "m")
    ref = BASES[705]
    vcf = toy.vcf(tmp_path / "x.vcf", ("c", 706, ref, "ACGT"["CGTA".index(ref)]))
    return model, vcf, ["-f", fasta, "-a", table, "--model", model]


def add(model, low=MIDDLE, **changes):
    """Evidence for the exonic variants of a bundle."""
    ranges = {(m, Group.EXONIC): Ranges((low, HIGH), 9, 8) for m in Measure}
    content = {"am": to_dict(Evidence(87, ranges), load_bundle(model).sha256) | changes}
    with open(os.path.join(model, FILE), "w") as f:
        json.dump(content, f)
    write_manifest(model)


def run(*args):
    result = CliRunner().invoke(main, list(args))
    assert result.exit_code == 0, result.output
    return result.stdout


def variant_of(vcf):
    with open(vcf) as f:
        _, pos, _, ref, alt, *_ = f.read().splitlines()[-1].split("\t")
    return f"c:{pos}:{ref}:{alt}"


def test_evidence_is_kept_in_a_bundle_for_its_models_alone(world):
    model, *_ = world
    assert load_bundle(model).evidence is None
    add(model)
    found = load_bundle(model).evidence
    assert found.n == 87 and found.ranges[Measure.PROB, Group.EXONIC].ranges == (MIDDLE, HIGH)
    add(model, sha256="of other models")
    assert load_bundle(model).evidence is None


def test_every_view_tells_how_sure_a_score_is(world, tmp_path):
    model, vcf, files = world
    variant, page = variant_of(vcf), tmp_path / "p.html"
    silent = run("explain", variant, *files), run("annotate", vcf, *files)
    assert "How sure" not in silent[0] and "samvar_evidence" not in silent[1]
    add(model)
    text = run("explain", variant, *files, "--html", str(page))
    (gene,) = json.loads(run("explain", variant, *files, "--json", "-"))["genes"]
    first, second = gene["evidence"]
    assert (first["measure"], second["measure"]) == ("SAMVAR_MAX", "PROB")
    assert first["value"] == max(d["value"] for d in gene["deltas"].values())
    assert (first["low"], first["high"], first["level"]) == (0.0, 0.5, "supporting against")
    said = (
        "How sure: of tested variants like this one (exonic, largest change 0 to 0.5) 3 changed "
        "splicing and 30 did not. Likelihood ratio of an effect 0.2 (95 % interval 0.15 to 0.3): "
        "supporting evidence against an effect."
    )
    for shown in (text, page.read_text()):
        assert said in shown and shown.count("How sure") == 1 and "SAMVAR_MAX" not in shown
    header = [x for x in run("annotate", vcf, *files).splitlines() if "samvar_evidence" in x]
    assert header[0] == (
        "##samvar_evidence=<ID=SAMVAR_MAX_EXONIC,GenesWith=9,GenesWithout=8,LikelihoodRatios="
        '"0-0.5 0.2 (0.15-0.3) supporting against; 0.5-1 9 (5-12) moderate for",Note="">'
    )
    assert "benign" not in text and "PP3" not in text


def test_too_few_genes_are_told(world):
    model, vcf, files = world
    add(model)
    with open(os.path.join(model, FILE)) as f:
        content = json.load(f)
    content["am"]["measures"]["SAMVAR_MAX"]["exonic"]["genes_others"] = 4
    add(model, measures=content["am"]["measures"])
    text = run("explain", variant_of(vcf), *files)
    assert "no level of evidence, since too few genes were tested (4; 5 are needed)." in text


def test_where_nothing_was_measured_no_ratio_is_told(world, tmp_path):
    model, vcf, files = world
    variant, page = variant_of(vcf), tmp_path / "p.html"
    add(model, low=MIDDLE._replace(ratio=1.0, lower=0.4, upper=2.2, changing=0, others=0))
    text = run("explain", variant, *files, "--html", str(page))
    for shown in (text, page.read_text()):
        assert "no variants like this one (exonic, largest change 0 to 0.5) have been" in shown
        assert "0.4 to 2.2" not in shown
    (gene,) = json.loads(run("explain", variant, *files, "--json", "-"))["genes"]
    first = gene["evidence"][0]
    assert (first["ratio"], first["lower"], first["upper"], first["level"]) == (None,) * 4
    assert (first["changing"], first["others"]) == (0, 0)
    assert 'LikelihoodRatios="0-0.5 no variants were measured; 0.5-1' in run(
        "annotate", vcf, *files
    )


def test_the_level_of_the_largest_delta_is_told_alone():
    ranges = Ranges((MIDDLE, HIGH), 9, 8)
    found = [
        Sureness(Measure.PROB, Group.EXONIC, 0.1, MIDDLE, ranges),
        Sureness(Measure.MAX, Group.EXONIC, 0.9, HIGH, ranges),
    ]
    assert in_words(found).endswith(": moderate evidence for an effect.")
    assert in_words(found[:1]) == in_words([]) == ""
