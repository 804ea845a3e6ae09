"""What the spine says of one allele, and that every option acts in the library, too."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from samvar.annotate import Allele, Options, examine, score
from samvar.errors import SamvarError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.genomics.variant import Status, Variant
from samvar.model.bundle import load_bundle
from samvar.scoring.predictor import Predictor

from . import toy

BASES = toy.random_bases(1500, seed=11)
OTHER = dict(zip("ACGT", "CGTA"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """One gene: its chosen transcript from 501 on, a shorter one from 101."""
    folder = tmp_path_factory.mktemp("effects")
    rows = [
        ("T1", [(501, 700), (801, 900), (1001, 1400)]),
        ("T2", [(101, 200), (801, 900)]),
    ]
    with open(folder / "g.gtf", "w") as f:
        for transcript, exons in rows:
            for start, end in exons:
                ids = f'gene_id "G"; transcript_id "{transcript}";'
                f.write(f"c\ttoy\texon\t{start}\t{end}\t.\t+\t.\t{ids}\n")
    return (
        Genome(toy.fasta(folder / "g.fa", c=BASES)),
        load_annotation(str(folder / "g.gtf")),
        Predictor(load_bundle(toy.bundle(folder))),
    )


def snv(pos):
    return Allele("c", pos, BASES[pos - 1], OTHER[BASES[pos - 1]])


def scored(parts, pos, **options):
    (allele,) = score(*parts, [snv(pos)], Options(**options))
    return allele


def test_an_allele_has_an_effect_on_its_gene(parts):
    allele = scored(parts, 850, rbp_min=0.0)
    (effect,) = allele.genes
    assert (allele.alt, allele.status) == (snv(850).alt, Status.OK)
    assert effect.gene.id == "G" and effect.window.variant.start == 849
    assert allele.max == effect.largest == effect.deltas.values.max() > 0
    assert {c.delta for c in effect.causes} == set(np.flatnonzero(effect.deltas.values > 0))


def test_results_are_not_changed_later(parts):
    allele = scored(parts, 850)
    for result, field in ((allele, "status"), (allele.genes[0], "causes")):
        with pytest.raises(FrozenInstanceError):
            setattr(result, field, None)


def test_what_cannot_be_scored_says_why(parts):
    refused = [
        (Allele("c", 850, BASES[849], "*"), Status.STAR),
        (Allele("other", 850, "A", "C"), Status.NO_CONTIG),
        (Allele("c", 850, OTHER[BASES[849]], BASES[849]), Status.REF_MISMATCH),
        (snv(50), Status.NO_GENE),
    ]
    alleles = [allele for allele, _ in refused] + [snv(850)]
    found = list(score(*parts, alleles, Options()))
    assert [a.status for a in found] == [*(status for _, status in refused), Status.OK]
    assert all(a.max is None and a.genes == () for a in found[:-1])
    assert [a.alt for a in found] == [a.alt for a in alleles]


def test_the_extent_of_the_chosen_transcript_is_the_librarys(parts):
    genome, annotation, _ = parts
    whole, chosen = Options(), Options(transcript_extent=True)
    assert isinstance(examine(genome, annotation, snv(300), whole), Variant)
    assert examine(genome, annotation, snv(300), chosen) is Status.NO_GENE
    (a,), (b,) = (scored(parts, 550, transcript_extent=t).genes for t in (False, True))
    assert (a.gene.start, b.gene.start) == (100, 500)
    assert not np.array_equal(a.window.ref, b.window.ref)


def test_the_longest_allele_and_the_distance_are_the_librarys(parts):
    genome, annotation, _ = parts
    deletion = Allele("c", 850, BASES[849:870], BASES[849])
    assert examine(genome, annotation, deletion, Options(max_allele=19)) is Status.TOO_LONG
    assert isinstance(examine(genome, annotation, deletion, Options(max_allele=20)), Variant)
    (effect,) = scored(parts, 850, distance=7).genes
    assert (effect.window.start, effect.window.end) == (842, 857)


def test_a_cpu_refuses_the_precision_that_it_does_not_have(parts):
    with pytest.raises(SamvarError, match="bf16 is for a GPU"):
        scored(parts, 850, precision="bf16")


@pytest.mark.parametrize(
    "option",
    [
        dict(precision="fp8"),
        dict(distance=-1),
        dict(distance=50.5),
        dict(rbp_min=float("nan")),
        dict(transcripts="nope"),
    ],
)
def test_options_that_cannot_be_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        Options(**option)
    with pytest.raises(ValueError):
        replace(Options(), **option)
