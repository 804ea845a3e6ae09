"""Shared reference tensors with the change spliced in give what the whole model gives on the whole
window."""

import mmap
import os
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.genome import Genome
from samvar.genomics.variant import normalise
from samvar.genomics.window import make_window
from samvar.model.bundle import load_bundle
from samvar.model.device import same_anywhere
from samvar.model.sam import one_hot
from samvar.scoring import tiles
from samvar.scoring.batches import Batches
from samvar.scoring.predictor import Predictor

from . import toy

pytestmark = pytest.mark.slow

LENGTH = 2500
BASES = toy.random_bases(LENGTH, seed=9)
BASES = BASES[:700] + "N" * 40 + BASES[740:1200] + "CAG" * 12 + BASES[1236:]
GENES = [
    Gene(s, s, "c", s, start, end, (Transcript("T", ((start, start + 50), (end - 50, end))),))
    for s in "+-"
    for start, end in ((30, 1300), (1000, LENGTH))
]


def predictor_of(folder, **options):
    folder.mkdir()
    return Predictor(load_bundle(toy.bundle(folder, **options)))


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return Genome(toy.fasta(tmp_path_factory.mktemp("r") / "g.fa", c=BASES))


def scored_together(predictor, windows, precision="fp32"):
    """As `annotate` has them scored."""
    jobs = predictor.ahead([[w] for w in windows], precision)
    return [scored for job in jobs for (scored,) in job()]


def variants(rng, n):
    """(pos, REF, ALT) of SNVs, MNVs, insertions, deletions and delins, a third of them next to an
    end or the N."""
    for _ in range(n):
        near = int(rng.choice([31, 1001, 1300, LENGTH, 700, 745, 512, 1024]))
        at = int(
            np.clip(
                near + rng.integers(-30, 30) if rng.random() < 0.35 else rng.integers(1, LENGTH),
                1,
                LENGTH,
            )
        )
        kind = rng.integers(5)
        size = int(rng.choice([1, 2, 5, 20, 90]))
        new = toy.random_bases(size, seed=int(rng.integers(1 << 30)))
        gone = (1, min(size, 6), 1, size + 1, size)[kind]
        ref = BASES[at - 1 : at - 1 + gone]
        alt = (new[0], new[: len(ref)], ref + new, ref[0], new[::2] or "A")[kind]
        if "N" not in ref and ref != alt:
            yield at, ref, alt


@pytest.mark.parametrize(
    "kind, flank, distance, n", [("am", 30, 50, 300), ("fm", 45, 10, 150), ("am", 0, 3, 100)]
)
def test_scores_are_those_of_the_plain_path(
    genome, tmp_path, kind, flank, distance, n, monkeypatch
):
    monkeypatch.setattr(tiles, "TILE", 96)
    predictor = predictor_of(tmp_path / kind, kind=kind, seeds=(0, 1), flank=flank, channels=16)
    rng = np.random.default_rng(flank)
    windows = []
    for pos, ref, alt in variants(rng, n):
        variant = normalise(genome, "c", pos, ref, alt)
        windows += [
            make_window(genome, gene, variant, distance, flank, predictor.reach)
            for gene in GENES
            if gene.start < variant.span[1] and variant.span[0] < gene.end
        ]
    changed = 0
    for scored in scored_together(predictor, windows):
        expected = toy.plain_scores(predictor.bundle.models, scored.window)
        for found, plain in zip((scored.ref, scored.alt), expected):
            assert found.shape == plain.shape
            np.testing.assert_allclose(found, plain, atol=1e-5)
        changed += (
            scored.window.variant.growth != 0 or np.abs(expected[0] - expected[1]).max() > 1e-4
        )
    assert len(windows) > n and changed > n / 2


@pytest.mark.parametrize("name", ["toy, short frames", "default"])
def test_more_positions_around_a_scored_variant_are_those_of_a_wider_window(
    genome, tmp_path, name, monkeypatch
):
    """Whether the change reaches beyond the frames that have been scored, or does not."""
    if name == "default":
        predictor, distance, further, n = Predictor(load_bundle(name)), 50, 200, 12
    else:
        predictor = predictor_of(tmp_path / "k", seeds=(0, 1), flank=0, channels=16)
        distance, further, n = 3, 60, 80
    flank = predictor.bundle.flank
    windows, wider = [], []
    for pos, ref, alt in variants(np.random.default_rng(3), n):
        variant = normalise(genome, "c", pos, ref, alt)
        for gene in GENES:
            if gene.start < variant.span[1] and variant.span[0] < gene.end:
                of_gene = genome, gene, variant
                windows.append(make_window(*of_gene, distance, flank, predictor.reach))
                wider.append(make_window(*of_gene, further, flank, predictor.reach))
    expected = [predictor.exact(window) for window in wider]
    scored = scored_together(predictor, windows)
    if name == "default":  # whose changes reach less far than its frames: not made again
        monkeypatch.setattr("samvar.scoring.predictor.inputs_of_lstm", None)
        monkeypatch.setattr("samvar.scoring.predictor.alternatives", None)
    changed = 0
    for known, window, wide in zip(scored, wider, expected):
        found = predictor.widened(known, window)
        np.testing.assert_allclose(found.ref, wide.ref, atol=1e-6)
        np.testing.assert_allclose(found.alt, wide.alt, atol=1e-6)
        changed += wide.ref.shape != wide.alt.shape or (wide.ref != wide.alt).any()
    assert changed > n / 2


def snvs(genome, predictor, positions):
    """Windows of one SNV at each position, on either strand."""
    return [
        make_window(
            genome,
            GENES[i % len(GENES)],
            normalise(genome, "c", pos, BASES[pos - 1], "ACGT".replace(BASES[pos - 1], "")[i % 3]),
            50,
            predictor.bundle.flank,
            predictor.reach,
        )
        for i, pos in enumerate(positions)
    ]


def toy_of(tmp_path, channels):
    return predictor_of(tmp_path / "k", channels=channels)


@pytest.mark.parametrize("stretches", [True, False])
@pytest.mark.parametrize("name", ["toy8", "toy16", "default"])
def test_no_digit_of_an_snv_depends_on_its_neighbours(
    genome, tmp_path, name, stretches, monkeypatch
):
    """Neither where the reference is computed in stretches nor where it is in fixed tiles."""
    if stretches and not same_anywhere():
        pytest.skip("tiles have a fixed place on this processor")
    monkeypatch.setattr("samvar.scoring.predictor.same_anywhere", lambda: stretches)
    predictor = (
        Predictor(load_bundle(name)) if name == "default" else toy_of(tmp_path, int(name[3:]))
    )
    windows = snvs(genome, predictor, (1010, 1050, 1090, 1130, 1150, 1170, 1190, 1195, 1202))
    together = scored_together(predictor, windows)  # eight and one
    of_place = {s.window.variant.start: s for s in together}
    for order in (windows[::-1], windows[2:3], windows[1:4]):
        predictor.references[0]._kept.clear()
        for scored in scored_together(predictor, order):
            before = of_place[scored.window.variant.start]
            assert np.array_equal(scored.ref, before.ref)
            assert np.array_equal(scored.alt, before.alt)
            assert torch.equal(scored.detected[0].bottleneck, before.detected[0].bottleneck)
    for before in together[::8]:
        alone = predictor.exact(before.window)
        np.testing.assert_allclose(alone.ref, before.ref, atol=1e-6)
        np.testing.assert_allclose(alone.alt, before.alt, atol=1e-6)


@pytest.mark.parametrize("flank", [0, 100, 212, 512])
@pytest.mark.parametrize("name", ["toy16", "default"])
def test_no_digit_of_an_allele_depends_on_what_is_scored_with_it(genome, tmp_path, name, flank):
    """Be it an SNV, an insertion, a deletion or both: scored alone, and among others of any length
    in any order; some of them lie alike."""
    bundle = load_bundle(name) if name == "default" else toy_of(tmp_path, 16).bundle
    predictor = Predictor(replace(bundle, flank=flank))
    windows = []
    alike = [(pos, BASES[pos - 1], BASES[pos - 1] + b) for pos in (1010, 1011, 1040) for b in "AG"]
    alike += [(pos, BASES[pos - 1 : pos + 1], BASES[pos - 1]) for pos in (1010, 1011, 1012)]
    for pos, ref, alt in [*variants(np.random.default_rng(8), 24), *alike]:
        variant = normalise(genome, "c", pos, ref, alt)
        for gene in GENES:
            if gene.start < variant.span[1] and variant.span[0] < gene.end:
                windows.append(
                    make_window(genome, gene, variant, 50, predictor.bundle.flank, predictor.reach)
                )
    together = scored_together(predictor, windows)
    assert len({s.alt.shape for s in together}) > 3
    other_order = scored_together(predictor, windows[::-1])[::-1]
    for scored, other in zip(together, other_order):
        (alone,) = scored_together(predictor, [scored.window])
        for again in (other, alone):
            assert np.array_equal(scored.ref, again.ref)
            assert np.array_equal(scored.alt, again.alt)


@pytest.mark.parametrize("flank", [0, 100, 212, 300])
def test_frames_of_any_length_are_scored_together(genome, flank):
    """Also such that a change reaches an end of its frame, or both."""
    predictor = Predictor(replace(load_bundle("default"), flank=flank))
    windows = snvs(genome, predictor, (1010, 1050, 1130, 1202))
    for window, scored in zip(windows, scored_together(predictor, windows)):
        (alone,) = scored_together(predictor, [window])
        assert np.array_equal(scored.ref, alone.ref) and np.array_equal(scored.alt, alone.alt)
        expected = toy.plain_scores(predictor.bundle.models, window)
        for found, plain in zip((scored.ref, scored.alt), expected):
            np.testing.assert_allclose(found, plain, atol=1e-5)


@pytest.mark.skipif(not same_anywhere(), reason="tiles have a fixed place on this processor")
def test_no_more_of_the_reference_is_computed_than_frames_need(genome, monkeypatch):
    """Of a frame alone, of two that touch, and of two far from each other in a long gene."""
    predictor = Predictor(load_bundle("default"))
    gene = Gene("L", "L", "c", "+", 0, 20_000, (Transcript("T", ((0, 50), (19_950, 20_000))),))
    long = Genome(genome.path)
    monkeypatch.setattr(long, "codes", lambda contig, start, end: np.arange(start, end) * 7 % 4)
    computed = []
    detect = tiles.Reference.detect

    def counted(reference, codes):
        computed.append(codes.size)
        return detect(reference, codes)

    monkeypatch.setattr(tiles.Reference, "detect", counted)
    frame = 101 + 2 * predictor.bundle.flank
    needed = frame + sum(predictor.reach)

    def columns(*positions):
        windows = []
        for pos in positions:
            ref = "ACGT"[(pos - 1) * 7 % 4]
            snv = normalise(long, "c", pos, ref, "ACGT".replace(ref, "")[0])
            of_model = predictor.bundle.flank, predictor.reach
            windows.append(make_window(long, gene, snv, 50, *of_model))
        computed.clear()
        scored_together(predictor, windows)
        return sum(computed[1:])  # the first call is that of the alternative alleles

    tolerance = 200  # what each tile's own ends need
    assert needed <= columns(3_000) <= needed + tolerance
    assert needed + 600 <= columns(6_000, 6_600) <= needed + 600 + tolerance
    assert 2 * needed <= columns(9_000, 15_000) <= 2 * (needed + tolerance)


@pytest.mark.parametrize("name", ["toy16", "default"])
def test_alleles_of_one_place_share_a_frame(genome, tmp_path, name):
    """Three SNVs of one base on one strand and one elsewhere have two frames of the reference, in
    either order, and not a digit is another."""
    predictor = Predictor(load_bundle(name)) if name == "default" else toy_of(tmp_path, 16)
    bases = "ACGT".replace(BASES[1049], "")
    changes = [(1050, b) for b in bases] + [(1090, "ACGT".replace(BASES[1089], "")[0])]
    windows = [
        make_window(
            genome,
            GENES[0],
            normalise(genome, "c", pos, BASES[pos - 1], alt),
            50,
            predictor.bundle.flank,
            predictor.reach,
        )
        for pos, alt in changes
    ]
    for own, frames in ((windows, [0, 0, 0, 1]), (windows[::-1], [0, 1, 1, 1])):
        scored = scored_together(predictor, own)
        assert tiles.alternative(predictor.references[0], *own).haplotype.frames() == frames
        for s in scored:
            (alone,) = scored_together(predictor, [s.window])
            assert np.array_equal(s.ref, alone.ref) and np.array_equal(s.alt, alone.alt)
    assert np.array_equal(scored[1].ref, scored[2].ref)
    assert any(not np.array_equal(s.ref, s.alt) for s in scored)


def test_batches_of_whole_windows_give_the_same(genome, tmp_path, monkeypatch):
    """What a GPU is given, here on the CPU."""
    monkeypatch.setattr("samvar.scoring.batches.ROWS", 8)
    predictor = predictor_of(tmp_path / "k", seeds=(0, 1), flank=30)
    windows = []
    for pos, ref, alt in variants(np.random.default_rng(5), 60):
        variant = normalise(genome, "c", pos, ref, alt)
        windows += [
            make_window(genome, g, variant, 50, 30, predictor.reach)
            for g in GENES
            if g.start < variant.span[1] and variant.span[0] < g.end
        ]
    plain = [toy.plain_scores(predictor.bundle.models, w) for w in windows]
    predictor.batches = Batches(predictor.models, torch.device("cpu"))
    scored = scored_together(predictor, windows[:-3])
    scored += [predictor.score(w) for w in windows[-3:]]
    found = [(s.ref, s.alt) for s in scored]
    assert [s.window for s in scored] == windows and len({p[0].shape for p in plain}) > 3
    for f, p in zip(found, plain):
        np.testing.assert_allclose(f[0], p[0], atol=1e-5)
        np.testing.assert_allclose(f[1], p[1], atol=1e-5)
    for w, f in zip(windows[:5], found):  # whatever else is in a batch
        for alone, among in zip(predictor.batches.score([w])[0], f):
            np.testing.assert_allclose(alone, among, atol=1e-6)
    half = [(s.ref, s.alt) for s in scored_together(predictor, windows[:10], "bf16")]
    differences = [
        np.abs(a - b).max() for pair, exact in zip(half, found) for a, b in zip(pair, exact)
    ]
    assert 0 < max(differences) < 0.05


def test_a_batch_stays_on_its_device(monkeypatch):
    """PyTorch's device without memory stands in for a GPU: there, too, sums of tensors on two are
    errors."""
    monkeypatch.setattr(
        torch, "autocast", lambda *_, **__: nullcontext()
    )  # which knows no such device
    batches = Batches([toy.model(), toy.model(seed=1)], torch.device("meta"))
    with torch.inference_mode():
        p = batches._run([np.zeros(300, np.uint8)] * 3, 30, 4)
    assert p.device.type == "meta" and p.shape[:3] == (3, 2, 2)
    batches.models[1].aggregator.attention.bias = toy.model().aggregator.attention.bias
    with pytest.raises(RuntimeError, match="device"), torch.inference_mode():
        batches._run([np.zeros(300, np.uint8)] * 3, 30, 4)


def test_scores_of_the_shipped_bundle_are_those_of_the_plain_path(genome):
    predictor = Predictor(load_bundle("default"))
    for pos, ref, alt in variants(np.random.default_rng(0), 12):
        variant = normalise(genome, "c", pos, ref, alt)
        gene = next(
            (g for g in GENES if g.start < variant.span[1] and variant.span[0] < g.end), None
        )
        if gene:
            window = make_window(genome, gene, variant, 50, predictor.bundle.flank, predictor.reach)
            scored = predictor.score(window)
            for found, plain in zip(
                (scored.ref, scored.alt), toy.plain_scores(predictor.bundle.models, window)
            ):
                np.testing.assert_allclose(found, plain, atol=1e-5)


def test_the_gate_is_fed_the_same_values_wherever_a_base_stands(genome):
    """Bit for bit: else a motif at its threshold could be a site in one allele alone."""
    fixed = load_bundle("default").models[0].motifs.fixed

    def affinities(start, end):
        return fixed(one_hot(torch.from_numpy(genome.codes("c", start, end)[None])))

    whole = affinities(800, 1600)
    for start, size in ((0, 51), (7, 64), (100, 31), (333, 257)):
        assert affinities(800 + start, 800 + start + size + 10).equal(
            whole[..., start : start + size]
        )


def test_a_tile_is_set_apart_as_it_lies():
    """The same numbers in the same order of memory, in memory that nothing else is in."""
    tile = torch.randn(1, 64, 5).mT
    apart = tiles.set_apart(tile)
    assert torch.equal(apart, tile) and apart.stride() == tile.stride()
    assert apart.untyped_storage().nbytes() == tile.nbytes
    tile.zero_()
    assert apart.abs().min() > 0


def test_kept_tiles_have_memory_of_their_own(genome, tmp_path):
    predictor = predictor_of(tmp_path / "k")
    snv = normalise(genome, "c", 400, BASES[399], "ACGT".replace(BASES[399], "")[0])
    predictor.score(make_window(genome, GENES[0], snv, 50, 30, predictor.reach))
    kept = [future.result() for future in predictor.references[0]._kept.values()]
    assert kept and {tile.device.type for tile in kept} == {"cpu"}
    page = mmap.PAGESIZE
    assert all(tile.data_ptr() % page == 0 for tile in kept)
    assert all(tile.untyped_storage().nbytes() == tile.nbytes for tile in kept)


@pytest.mark.parametrize("given", [None, "7"])
def test_few_kernels_are_kept_unless_the_user_says_how_many(tmp_path, monkeypatch, given):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, given or "")
    if not given:
        monkeypatch.delenv(name)
    predictor_of(tmp_path / "k")
    assert os.environ[name] == given or (not given and int(os.environ[name]) < 1024)


def test_there_is_room_for_what_is_wanted_again(monkeypatch):
    """Tensors that come round more than there is room for are soon all kept; others take none."""
    monkeypatch.setattr(tiles, "KEPT", 10)
    monkeypatch.setattr(tiles, "MOST_KEPT", 40)
    toy_model = toy.model()
    once = tiles.Reference(toy_model, None)
    for key in range(500):
        once._keep(key, None)
    assert [*once._kept] == [*range(490, 500)] and len(once._dropped) == 40
    again, made = tiles.Reference(toy_model, None), 0
    for key in [*range(25)] * 8:
        made += key not in again._kept
        again._keep(key, None)
    assert made < 3 * 25 and len(again._kept) == 25


def test_forgotten_tiles_are_made_again(genome, tmp_path, monkeypatch):
    predictor = predictor_of(tmp_path / "k")
    window = make_window(
        genome,
        GENES[0],
        normalise(genome, "c", 400, BASES[399], "ACGT".replace(BASES[399], "")[0]),
        50,
        30,
        predictor.reach,
    )
    before = predictor.score(window)
    monkeypatch.setattr(tiles, "KEPT", 2)
    monkeypatch.setattr(tiles, "TILE", 64)
    monkeypatch.setattr(tiles, "MOST_KEPT", 5)
    predictor.references = [tiles.Reference(m, predictor.bundle.layout) for m in predictor.models]
    after = predictor.score(window)
    assert 2 < len(predictor.references[0]._kept) <= 5  # there is more room, but not for all
    np.testing.assert_allclose(before.ref, after.ref, atol=1e-6)
    np.testing.assert_allclose(before.alt, after.alt, atol=1e-6)
