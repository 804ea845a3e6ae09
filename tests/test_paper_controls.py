"""The scripts of the SAM paper's controls: exon classes at one k, RNA maps, an aggregator that
learns to read binary sites, a logistic classifier, alleles that are bound less, a larger model and
maximum entropy on the same bases; on inputs with answers worked out by hand."""

import gzip
import json
import os

import numpy as np
import pytest
import torch

from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, one_hot
from samvar.training.cnn import GROUPS, DilatedResNet
from samvar.training.dataset import IGNORE, TRAIN, Dataset, TrainingGene
from samvar.training.evaluate import score
from samvar.training.recipe import SamRecipe
from samvar.training.teach import Teacher

from . import toy

EVALUATE = os.path.join(os.path.dirname(__file__), "..", "train", "evaluate")


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """Scripts import their neighbours."""
    monkeypatch.syspath_prepend(EVALUATE)


def test_sites_of_classes_are_found_at_the_rank_of_all_of_them():
    """Three canonical acceptors and one alternative: four bases are found. Of the best five, by
    their score, the third is no site."""
    from exon_classes import CANONICAL, found_at_one_k, interval, sites_of

    labels = np.zeros(12, np.uint8)
    labels[[0, 1, 2]], labels[[9, 10]] = ACCEPTOR, DONOR
    sites = sites_of(labels, {"alternative": [(5, 9)], "none": []})
    assert [own.tolist() for own in sites[CANONICAL]] == [[0, 1, 2], [9, 10]]
    acceptor = np.array([9, 8, 1, 7, 0, 6, 0, 0, 0, 0, 0, 0.5])  # base 3 is no site, 5 the fourth
    donor = np.array([0] * 9 + [5, 1, 9.0])  # base 11 is none: of two found, base 9 is one
    gene = np.repeat([0, 1], 6)
    found = found_at_one_k(np.stack((acceptor, donor)), sites, gene, 2, resamples=50)
    assert found[CANONICAL][0] == pytest.approx((200 / 3 + 50) / 2)
    assert found["alternative"][0] == 100 and np.isnan(found["none"]).all()
    assert interval(found["alternative"])[0] == 100 and found[CANONICAL].shape == (51,)


def test_a_gene_that_is_drawn_twice_counts_twice():
    """Gene 0 has its acceptor first, gene 1 a base that is no site before its own. Drawn are both
    (one of two found), 0 twice (all), or 1 twice (none, since k is 2 and both places are taken)."""
    from exon_classes import found_at_one_k

    scores = np.array([[9, 0, 8, 7]] * 2, float)
    sites = {"own": (np.array([0, 3]), np.array([0, 3]))}
    found = found_at_one_k(scores, sites, np.array([0, 0, 1, 1]), 2, resamples=60)["own"]
    assert found[0] == 50 and set(found[1:]) == {0, 50, 100}


def gene(codes, acceptors=(), donors=(), split=TRAIN):
    return TrainingGene("G", "chr1", codes, acceptors, donors, False, split)


def random_codes(n, seed=0):
    return np.random.default_rng(seed).integers(0, 4, n).astype(np.uint8)


def test_internal_exons_are_known_and_short_enough():
    from rna_maps import EDGE, LONGEST, internal_exons

    n = 4000
    codes = random_codes(n)
    codes[2500] = 4  # within EDGE of the third
    acceptors = [100, 1000, 2600, 3000]
    donors = [50, 150, 1099, 2650, 3000 + LONGEST]
    data = Dataset.from_genes([gene(codes, acceptors, donors)])
    # The first lies too near the gene's start, the last is too long
    assert [(e.first, e.last) for e in internal_exons(data)] == [(1000, 1099)]
    assert EDGE > 100


def test_the_effect_of_a_site_is_that_of_its_removal():
    from rna_maps import EDGE, effects, internal_exons

    model = toy.model()
    data = Dataset.from_genes([gene(random_codes(900, 3), [400], [459])])
    (exon,) = internal_exons(data)
    strength = torch.tensor([1.0, 2.0, 3.0])
    found = effects(model, data, [exon], strength, [0, 2])
    codes, _ = data.window(0, 400 - EDGE, 460 + EDGE, *model.config.reach)
    seen = model.detect(one_hot(torch.from_numpy(codes[None])))
    binary = (seen.motifs > 0) * strength.view(1, 3, 1)
    first = model.config.aggregate_reach + EDGE
    places = {c: binary[0, c, first : first + 60].nonzero()[:, 0].tolist() for c in (0, 2)}
    assert {c: len(own) for c, own in found.items()} == {c: len(p) for c, p in places.items() if p}
    (channel, own), *_ = found.items()
    without = binary.clone()
    without[0, channel, first + places[channel][0]] = 0
    with torch.no_grad():
        log_p = [model.aggregate(seen._replace(motifs=m))[0] for m in (binary, without)]
    both = [(p[ACCEPTOR, EDGE] + p[DONOR, EDGE + 59]).item() for p in log_p]
    assert own[0].value == pytest.approx((both[0] - both[1]) / 2 / np.log(2), abs=1e-5)
    assert own[0].place == places[channel][0] / 59


def test_classes_and_their_signs():
    from rna_maps import LEAST_SITES, Effect, class_sign, scaled, summary

    names = ("SRSF2", "TRA2A", "HNRNPC", "PTBP3", "PCBP1", "RALY", "RBFOX2", "SRRM1")
    assert [class_sign(n) for n in names] == [1, 1, -1, -1, -1, -1, 0, 0]
    assert scaled(np.array([0.0, 0.0])).tolist() == [0, 0]
    values = np.append(np.linspace(-1, 1, 1000), 50.0)
    assert scaled(values).max() == 1 and scaled(values)[0] == pytest.approx(-1, abs=0.02)

    def sites(value, n=LEAST_SITES):
        return [Effect(i % 4, i, i / n, value) for i in range(n)]

    found = summary(
        {"SRSF2": sites(2.0), "HNRNPC": sites(0.5), "PCBP1": sites(-1.0), "TRA2A": sites(-1.0, 3)},
        n_exons=4,
        resamples=20,
    )
    assert found["tested"] == 3 and found["as_expected"] == [2, 2, 2]
    assert found["proteins"]["SRSF2"]["mean"] == [1, 1, 1]
    assert (
        found["proteins"]["TRA2A"]["by_bin"]
        == [-1.0, None, None] + [-1.0] + [None] * 2 + [-1.0] + [None] * 3
    )
    assert found["proteins"]["HNRNPC"] | dict(by_bin=0, mean=0) == dict(
        expected=-1, sites=LEAST_SITES, mean=0, by_bin=0
    )


def test_the_maps_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from rna_maps import Effect, draw, summary

    own = [Effect(0, i, i / 20, 1.0) for i in range(20)]
    draw(summary({"SRSF2": own, "HNRNPC": own}, 1, 5), str(tmp_path / "m.svg"))
    assert (tmp_path / "m.svg").stat().st_size > 1000


def test_only_the_aggregator_learns_to_read_binary_sites():
    from substitution import Reader, fit, read_by

    fm, am = toy.model("fm"), toy.model("am", seed=1)
    genes = [gene(random_codes(700, i), [300, 500], [200, 400], split=TRAIN) for i in range(4)]
    data = Dataset.from_genes(genes)
    strength = torch.tensor([1.0, 1.5, 2.0])
    before = {k: v.clone() for k, v in fm.state_dict().items()}
    recipe = SamRecipe(
        steps=3, lr=0.01, warmup=1, batch_bases=400, windows=(200,), precision="fp32"
    )
    losses = fit(Reader(fm, fm, strength), data, recipe)
    assert len(losses) == 3 and all(np.isfinite(losses))
    changed = {k.split(".")[0] for k, v in fm.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"aggregator"}
    found = read_by(fm, dict(fm=fm, am=am), strength, data, np.arange(4))
    first, second = found["fm"]["topk"][0], found["am"]["topk"][0]
    assert found["difference"][0] == pytest.approx(second - first)
    assert 0 <= first <= 100 and found["fm"]["density"] > 0


def test_bins_of_a_map_are_counted_from_both_sites():
    from encode_maps import BINS, EXONIC, bins_of

    assert BINS == 14 and (EXONIC.start, EXONIC.stop) == (6, 8)
    assert bins_of(-301, 120) == [] and bins_of(-300, 120) == [0] and bins_of(-1, 120) == [5]
    assert bins_of(0, 120) == [6] and bins_of(49, 120) == [6] and bins_of(60, 120) == []
    assert bins_of(70, 120) == [7] and bins_of(119, 120) == [7] and bins_of(120, 120) == [8]
    assert bins_of(419, 120) == [13] and bins_of(420, 120) == []
    assert bins_of(10, 60) == [6, 7] and bins_of(29, 30) == [6, 7] and bins_of(30, 30) == [8]
    assert bins_of(-1, 30) == [5]


def test_maps_of_replicates_and_cell_lines_are_averaged(tmp_path):
    from encode_maps import REGION, read_maps

    path = tmp_path / "maps.csv.gz"
    steps = np.repeat(np.arange(28), 50)
    with gzip.open(path, "wt") as f:
        for name, number, values in (
            ("ONE (K562)", 1, steps),
            ("ONE (K562)", 1, steps + 2),
            ("ONE (HepG2)", 1, steps + 11),
            ("TWO (K562)", 2, np.full(4 * REGION, np.nan)),
        ):
            print(name, number, *values, sep="\t", file=f)
    (name, own), *others = read_maps(path).items()
    assert name == "ONE" and not others
    assert own.tolist() == [step + 6 for step in range(7, 21)]  # mean of 1 and 11


def test_maps_are_compared_by_rank_and_by_sign_in_the_exon():
    from encode_maps import BINS, EXONIC, compare, model_map, spearman
    from rna_maps import Effect, Exon

    ties = np.array([1.0, 2.0, 2.0, 4.0])
    assert spearman(ties, ties**3) == pytest.approx(1) and spearman(ties, -ties) == pytest.approx(
        -1
    )
    assert spearman(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(0.5)
    assert spearman(ties, np.ones(4)) == 0
    exons = [Exon(0, 0, 59), Exon(0, 500, 619)]
    own = [Effect(0, -10, 0, 1.0), Effect(0, 20, 0, -1.0), Effect(1, 5, 0, 1.0)]
    weights = np.array([[1, 1], [0, 2]])
    first, second = model_map(own, exons, weights)
    assert first[5:8].tolist() == [1, 0, -1] and first.sum() == 0
    assert second[6] == 2 and second.sum() == 2
    encode = {k: np.roll(np.arange(BINS, dtype=float) - 4, i) for i, k in enumerate("ABCDE")}
    same = {k: np.stack((v, v, -v)) for k, v in encode.items()}
    found = compare(same, encode, resamples=20)
    assert found["n"] == 5 and found["spearman"] == pytest.approx([1, 1, 1])
    assert found["of_others"] < 1 and found["p"] < 0.05
    assert found["same_sign"][0] == 5 and found["proteins"]["A"]["spearman"][0] == pytest.approx(1)
    assert found["same_sign"][1] < 1 and encode["A"][EXONIC].sum() > 0


def test_both_maps_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from encode_maps import BINS, compare, draw

    maps = {"A": np.ones((3, BINS)), "B": np.arange(3.0 * BINS).reshape(3, BINS)}
    draw(compare(maps, {k: v[0] for k, v in maps.items()}, 5), str(tmp_path / "m.svg"))
    assert (tmp_path / "m.svg").stat().st_size > 1000


def test_sites_around_an_exon_are_found_where_they_are_asked_for():
    from rna_maps import effects, internal_exons

    model = toy.model()
    data = Dataset.from_genes([gene(random_codes(1500, 3), [700], [759])])
    (exon,) = internal_exons(data, 400)
    strength = torch.tensor([1.0, 2.0, 3.0])
    inside = effects(model, data, [exon], strength, [0, 1, 2], edge=400)
    around = effects(model, data, [exon], strength, [0, 1, 2], edge=400, intron=300)
    assert min(e.at for own in around.values() for e in own) < 0
    for channel, own in inside.items():
        assert own == [e for e in around[channel] if 0 <= e.at < 60]


def table(path, rows):
    """As tables/asb_exons.csv has them."""
    names = "RBP,samp,dPSI,chr,start,end,strand,asb_Coordinate,asb_Major allele,asb_Minor allele"
    with open(path, "w") as f:
        print(names, file=f)
        for row in rows:
            print(*row, sep=",", file=f)


def test_the_less_bound_allele_is_scored_on_either_strand(tmp_path):
    from bound_alleles import EDGE, Row, agreement, effect, read_rows

    model, bases = toy.model(), toy.random_bases(1400, 4)
    other = "A" if bases[650] != "A" else "C"
    fasta = toy.fasta(tmp_path / "g.fa", chr1=bases, chr2=toy.revcomp(bases))
    genome = Genome(fasta)
    path = tmp_path / "t.csv"
    plain = ("chr1", 600, 700, "+", 651, bases[650], other)
    table(path, [("P", "ASB", change, *plain) for change in (2, 4)])
    ((row, change),) = read_rows(path).items()
    assert row == Row("P", "ASB", "chr1", "+", 600, 700, 650, bases[650], other) and change == 3
    found = effect(model, genome, row)
    left, right = model.config.reach
    codes = genome.codes("chr1", 600 - EDGE - left, 700 + EDGE + right)
    changed = codes.copy()
    changed[50 + EDGE + left] = "ACGT".index(other)
    with torch.no_grad():
        a, b = model(one_hot(torch.from_numpy(np.stack((codes, changed)))))
    moved = sum((b - a)[[ACCEPTOR, DONOR], [EDGE, EDGE + 99]].tolist()) / 2 / np.log(2)
    assert found == pytest.approx(moved, abs=1e-5)
    flipped = row._replace(
        contig="chr2",
        strand="-",
        start=700,
        end=800,
        at=749,
        bound=toy.revcomp(bases[650]),
        less=toy.revcomp(other),
    )
    assert effect(model, genome, flipped) == pytest.approx(found, abs=1e-5)
    swapped = row._replace(bound=other, less=bases[650])
    assert effect(model, genome, swapped) == pytest.approx(-found, abs=1e-5)
    wrong = next(b for b in "ACGT" if b not in (bases[650], other))
    assert effect(model, genome, row._replace(bound=wrong)) is None
    assert effect(model, genome, row._replace(at=900)) is None
    assert effect(model, genome, row._replace(start=100, end=200)) is None  # N around it
    rows = [(row, 3.0, 0.5), (row, -3.0, 0.5), (row._replace(at=660), 1.0, 0.1), (row, 1.0, 0.0)]
    told = agreement(rows)
    assert (told["rows"], told["with_sign"], told["snvs"], told["same_sign"]) == (4, 3, 2, 2)
    assert told["share"][0] == pytest.approx(2 / 3) and told["share"][1:] == [0.5, 1]
    assert agreement([])["rows"] == 0


def test_decoys_have_the_core_score_of_their_site():
    from logistic import CALIPER, DECOYS, matched

    rng = np.random.default_rng(0)
    core = np.where(rng.random(4000) < 0.1, rng.uniform(-8, 0, 4000), -10.0)
    above = np.flatnonzero(core > -10)
    labels = np.zeros(4000, np.uint8)
    labels[above[:40]], labels[above[40:60]] = ACCEPTOR, DONOR
    labels[above[60]], labels[above[61]] = IGNORE, ACCEPTOR
    core[above[61]] = 5.0  # no decoy is as good
    sites, decoys = matched(core, labels, ACCEPTOR)
    assert 20 < len(sites) <= 40 and decoys.shape == (len(sites), DECOYS)
    assert (labels[sites] == ACCEPTOR).all() and above[61] not in sites
    assert np.isin(labels[decoys], (0, DONOR)).all() and len(np.unique(decoys)) == decoys.size
    assert (np.abs(core[decoys] - core[sites][:, None]) <= CALIPER).all()


def test_features_count_the_sites_of_a_gene_around_a_base():
    from logistic import BIN, BINS, features

    owner = np.repeat([0, 1], 500)
    sites = np.array([120, 301, 301, 350, 499, 510]), np.array([0, 1, 0, 1, 1, 0])
    (own,) = features(np.array([300]), owner, sites, 2).reshape(1, 2, BINS)
    middle = BINS // 2
    assert own[0].tolist() == [1.0 if b in (0, middle) else 0.0 for b in range(BINS)]
    expected = [0.0] * BINS
    expected[middle], expected[middle + 1], expected[-1] = 1, 1, 1
    assert BIN == 50 and own[1].tolist() == expected
    (first,) = features(np.array([505]), owner, sites, 2).reshape(1, 2, BINS)
    assert first.sum() == 1 and first[0, middle] == 1  # not those of the gene before
    (apart,) = features(np.array([300]), owner, sites, 2, near=1).reshape(1, 2, BINS)
    assert (own - apart)[:, middle].tolist() == [1, 1] and (own - apart).sum() == 2


def test_a_classifier_finds_what_tells_sites_from_decoys():
    from common import auroc
    from logistic import PENALTIES, Examples, areas, best_penalty, fit

    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (400, 5)).astype(np.float32)
    true = rng.random(400) < 1 / (1 + np.exp(-(2 * x[:, 1] - x[:, 3] - 1)))
    weight, _ = fit(x, true, 0.01)
    assert weight[1] > 0.5 > -0.2 > weight[3] and np.abs(weight[[0, 2, 4]]).max() < 0.4
    own = Examples(np.arange(400), true, np.arange(400) % 8)
    assert best_penalty(x, own) in PENALTIES
    drawn = np.array([[0] * 8, list(range(8))])
    found = areas(own, x @ weight, drawn)
    assert found[0] == found[2] == pytest.approx(auroc(true, x @ weight))
    assert found[1] == pytest.approx(auroc(true[::8], (x @ weight)[::8]))


def test_genes_are_seen_end_to_end():
    from logistic import examples, look

    models = dict(fm=toy.model("fm"), am=toy.model("am", seed=1))
    genes = [gene(random_codes(6000, i), [300, 500], [200, 400]) for i in range(3)]
    seen = look(models, Dataset.from_genes(genes), np.array([0, 2]))
    assert seen.core.shape == (2, 12_000) and (seen.labels == ACCEPTOR).sum() == 4
    for name, model in models.items():
        reach = model.config.reach
        codes = np.pad(genes[2].codes, reach, constant_values=4)
        with torch.no_grad():
            found = model.detect(one_hot(torch.from_numpy(codes[None])))
        edge = model.config.aggregate_reach
        at, channel = found.motifs[0, :, edge:-edge].T.nonzero().numpy().T
        place, own = seen.sites[name]
        assert (np.diff(place) >= 0).all()
        assert place[place >= 6000].tolist() == (at + 6000).tolist()
        assert own[place >= 6000].tolist() == channel.tolist()
        if name == "fm":
            core = found.core[0, :2, edge:-edge].numpy()
            assert np.allclose(seen.core[:, 6000:], core, atol=1e-5)
    own = examples(seen, ACCEPTOR)
    assert own.true.sum() * 4 == len(own.true) and set(own.gene) <= {0, 1}


def test_a_larger_model_is_scored_on_the_same_bases():
    from openspliceai import accuracy, chosen, probabilities

    genes = [gene(random_codes(n, n), [300, 500], [200, 400]) for n in (700, 6000, 900)]
    genes[1].codes[450] = 4
    data = Dataset.from_genes(genes)
    assert chosen(data, 10**9).tolist() == [0, 1, 2] and len(chosen(data, 1)) == 1
    torch.manual_seed(0)
    net = DilatedResNet(8, GROUPS[:1]).eval()
    picked = np.array([0, 1])
    found = probabilities(Teacher([net], net.reach, ["toy"]), data, picked)
    scores = score([toy.model()], data, picked, torch.device("cpu"))
    assert found.shape == (2, 6699) == scores.model.shape
    with torch.no_grad():
        codes = np.pad(genes[1].codes, net.reach, constant_values=4)
        whole = net(one_hot(torch.from_numpy(codes[None])))[0, 1:].exp().numpy()
    assert np.allclose(found[:, 700:], np.delete(whole, 450, 1), atol=1e-6)
    truth = np.stack([scores.labels == kind for kind in (ACCEPTOR, DONOR)]).astype(float)
    assert (accuracy(truth, scores) == 100).all()


def test_the_largest_entropy_has_the_marginals_and_no_more():
    """Bases that are independent give their product; the pairs of a chain give the chain; bases of
    which the third is the sum of two have pairs that are all equal, and so all sequences are."""
    from maxent import largest_entropy, marginal

    rng = np.random.default_rng(0)
    a, b, c = rng.dirichlet(np.ones(4), 3)
    product = np.einsum("i,j,k->ijk", a, b, c)
    assert np.allclose(largest_entropy(100 * product), product, atol=1e-6)
    step = rng.dirichlet(np.ones(4), (2, 4))
    chain = np.einsum("i,ij,jk->ijk", a, *step)
    assert np.allclose(largest_entropy(chain), chain, atol=1e-5)
    i, j = np.indices((4, 4))
    sums = np.zeros((4, 4, 4))
    sums[i, j, (i + j) % 4] = 1
    assert np.allclose(largest_entropy(sums), 1 / 64, atol=1e-6)
    observed = rng.dirichlet(np.ones(256)).reshape((4,) * 4)
    found = largest_entropy(observed)
    for pair in ((0, 1), (1, 3), (0, 3)):
        assert np.allclose(marginal(found, pair), marginal(observed, pair), atol=1e-6)
    entropy = [-(p * np.log(p)).sum() for p in (found, observed)]
    assert entropy[0] > entropy[1] + 0.01


def test_the_pieces_of_an_acceptor_count_each_position_once():
    """Where bases are independent, and the decoys' equal, the score is the sum over positions of
    log2(p / 0.25)."""
    from maxent import PIECES, MaxEnt, positions

    for kind, width in ((ACCEPTOR, 21), (DONOR, 7)):
        covered = np.zeros(width, int)
        for (start, end), sign in PIECES[kind]:
            covered[start:end] += sign
        assert (covered == 1).all() and len(positions(kind)) == width
    assert positions(DONOR).tolist() == [-2, -1, 0, 3, 4, 5, 6]
    assert positions(ACCEPTOR).tolist() == [*range(-20, -2), 0, 1, 2]
    rng = np.random.default_rng(0)
    p = np.full((21, 4), 0.25)
    p[[3, 5, 12, 20]] = [0.1, 0.5, 0.1, 0.3]
    sites = np.stack([rng.choice(4, 60_000, p=own) for own in p], 1)
    decoys = rng.integers(0, 4, (60_000, 21))
    windows = decoys[:200]
    expected = np.log2(p[np.arange(21), windows] / 0.25).sum(1)
    found = MaxEnt(sites, decoys, ACCEPTOR).score(windows)
    assert np.corrcoef(found, expected)[0, 1] > 0.97 and np.abs(found - expected).mean() < 0.4


def test_introns_without_their_ends_are_not_learnt_from():
    from maxent import bits, candidates, gt_ag

    a, c, g, t, n = 0, 1, 2, 3, 4
    codes = np.full(400, c, np.uint8)
    sites = dict(acceptors=[100, 200, 300, 390], donors=[50, 150, 250, 350])
    for donor in sites["donors"]:
        codes[donor + 1 : donor + 3] = g, t
    for acceptor in sites["acceptors"]:
        codes[acceptor - 2 : acceptor] = a, g
    codes[152] = c  # GC-AG
    codes[300] = n  # an acceptor that is unknown
    codes[30:33] = g, t, n  # a GT that is too near an unknown base
    codes[9:11] = g, t
    data = Dataset.from_genes([gene(codes, **sites), gene(codes[:60], [], [50])])
    found = gt_ag(data, 0)
    assert found[DONOR].tolist() == [50, 350] and found[ACCEPTOR].tolist() == [100, 390]
    assert gt_ag(data, 1)[DONOR].size == 0
    at, true, windows = candidates(data, 0, DONOR)
    assert at.tolist() == [8, 50, 250, 350] and true.tolist() == [False, True, True, True]
    assert windows.shape == (4, 7)

    class Ones:
        def score(self, windows):
            return np.ones(len(windows))

    scores = bits({ACCEPTOR: Ones(), DONOR: Ones()}, data, np.array([0]))
    assert scores.shape == (2, 398) and np.flatnonzero(scores[1] == 1).tolist() == [8, 49, 249, 348]
    assert np.isneginf(scores).sum() == 2 * 398 - 4 - 3


def test_windows_around_candidates_are_those_of_their_gene(tmp_path):
    from eclip_trained import windows

    bases = toy.random_bases(300, 1)
    genome = Genome(toy.fasta(tmp_path / "g.fa", chr1=bases))
    genes = load_annotation(
        toy.gtf(
            tmp_path / "g.gtf", ("A", "chr1", "+", [(51, 100)]), ("B", "chr1", "-", [(51, 100)])
        )
    ).genes
    found = dict(gene=np.array([1, 0, 0]), at=np.array([10, 0, 49]))
    codes = windows(genome, genes, found, np.array([2, 0, 1]), 3)
    last, minus, first = ("".join("ACGTN"[c] for c in row) for row in codes)
    assert first == "NNN" + bases[50:54] and last == bases[96:100] + "NNN"
    assert [g.strand for g in genes] == ["+", "-"] and minus == toy.revcomp(bases[86:93])


def test_negatives_are_of_the_same_protein_and_kind():
    from eclip_trained import NEGATIVES, balanced

    n = 4000
    rng = np.random.default_rng(0)
    found = dict(rbp=rng.integers(0, 2, n), kind=rng.integers(0, 2, n))
    found["hit"] = (found["rbp"] == 1) & (found["kind"] == 0) & (rng.random(n) < 0.05)
    use = np.arange(n) % 2 == 0
    rows = balanced(found, use)
    hits = found["hit"][rows].sum()
    assert hits == (found["hit"] & use).sum() and len(rows) == (1 + NEGATIVES) * hits
    assert use[rows].all() and set(found["rbp"][rows]) == {1} and set(found["kind"][rows]) == {0}


def test_an_adjustment_learns_what_lies_beside_motifs_in_peaks():
    from eclip_trained import Adjusted, scores, tensors, train

    rng = np.random.default_rng(0)
    n = 600
    codes = rng.integers(0, 4, (n, 5)).astype(np.uint8)
    found = dict(rbp=rng.integers(0, 2, n), affinity=rng.uniform(0.1, 1, n))
    hit = codes[:, 0] == np.where(found["rbp"] == 0, 1, 2)  # a C before one, a G before the other
    inputs = tensors(found, np.arange(n), codes)
    label = torch.from_numpy(hit.astype(np.float32))
    torch.manual_seed(0)
    model = Adjusted(2, 16, (3,))
    losses = train(model, (inputs, label), (inputs, label), epochs=12)
    value = scores(model, inputs).numpy()
    assert value.shape == (n,) and min(losses) < losses[0]
    weaker = inputs[:2] + (inputs[2] - 1,)
    lower = scores(model, weaker).numpy()
    slope = model.slope.detach().numpy()[found["rbp"]]
    assert np.allclose(value - lower, slope, atol=1e-4)


PAPER = os.path.join(os.path.dirname(__file__), "..", "train", "paper")


def content(name):
    with open(os.path.join(PAPER, "results", name)) as handle:
        return json.load(handle)


def told(values, digits):
    return "{:.{d}f} ({:.{d}f}-{:.{d}f})".format(*values, d=digits)


def test_the_page_says_what_the_results_say():
    with open(os.path.join(PAPER, "README.md")) as handle:
        page = handle.read()
    maps = content("rna_maps.json")
    signs = (
        f"{told(maps[kind]['as_expected'], 0)} of {maps[kind]['tested']}" for kind in ("am", "fm")
    )
    assert f"| {', '.join(signs)} | 16 of 23 | `rna_maps.py` |" in page
    proteins = maps["am"]["proteins"]
    against = [
        name
        for name, own in proteins.items()
        if own["sites"] >= 20 and own["mean"][0] * own["expected"] < 0
    ]
    assert sorted(against) == ["HNRNPK", "PCBP1", "SRSF4", "SRSF5"] and "HNRNPK and PCBP1" in page
    assert f"{maps['am']['exons']} of the {maps['of_exons']} internal exons" in page
    for kind in ("fm", "am"):
        assert maps[kind]["sha256"] == load_bundle(f"paper:{kind}").sha256


def test_the_table_of_controls_is_that_of_the_results():
    with open(os.path.join(PAPER, "README.md")) as handle:
        page = handle.read()
    sums = {kind: load_bundle(f"paper:{kind}").sha256 for kind in ("fm", "am")}
    classes, read = content("exon_classes.json"), content("substitution.json")
    for title, digits in (("canonical exons", 1), ("alternative exons", 0), ("new exons", 0)):
        own = ", ".join(told(classes[k]["found"][title], digits) for k in ("lssi", "fm", "am"))
        assert f"| {own} |" in page
    counts = [classes["sites"][k][0] for k in ("canonical exons", "alternative exons", "new exons")]
    assert "({}, {} and {} of each site type".format(*counts) in page
    after = read["after"]
    assert f"| {told(after['fm']['topk'], 1)}, {told(after['am']['topk'], 1)} |" in page
    both = [told(read[when]["difference"], 1) for when in ("before", "after")]
    assert f"| {', '.join(both)} |" in page and read["loss"][1] > read["loss"][0]
    areas = content("logistic.json")
    mean, apart = areas["all"]["mean"], areas["apart"]["mean"]
    assert f"| {told(mean['fm'], 3)}, {told(mean['am'], 3)} |" in page
    assert f"| {told(mean['am - fm'], 3)}, {told(apart['am - fm'], 3)} |" in page
    assert f"FM {told(apart['fm'], 3)}, AM {told(apart['am'], 3)}" in page
    maps = content("encode_maps.json")
    shown = (told(maps[kind]["spearman"], 2) for kind in ("am", "fm"))
    assert f"over {maps['am']['n']} proteins: AM, FM | {', '.join(shown)} |" in page
    assert f"p = {maps['am']['p']:.2f}" in page
    alleles = content("bound_alleles.json")
    own = [alleles[kind]["ASB"] for kind in ("am", "fm")]
    signs = (f"{o['same_sign']} of {o['with_sign']}" for o in own)
    assert f"AM, FM | {', '.join(signs)} |" in page and alleles["am"]["in_model"] == 0
    wide, wider = content("openspliceai.json"), content("openspliceai-10000nt.json")
    assert f"five seeds | {told(wide['topk']['2000nt'], 1)} |" in page
    assert f"one seed | {told(wider['topk']['10000nt'], 1)} |" in page
    entropy = content("maxent.json")
    shown = ", ".join(told(entropy[k]["topk"], 1) for k in ("maxent", "lssi"))
    assert f"MaxEnt, LSSI | {shown} | 21.6, 25.0 |" in page
    assert f"MaxEnt less LSSI\n  {told(entropy['maxent - lssi'], 1)}," in page
    assert entropy["sha256"] == sums["fm"] and entropy["bases"] == 3_942_711
    assert entropy["lssi"]["topk"][0] == pytest.approx(
        content("suite.json")["validation, LSSI of the fm alone"]["topk_mean"]
    )
    assert len(wide["sha256"]["2000nt"]) == 5 and len(wider["sha256"]["10000nt"]) == 1
    peaks = content("eclip_trained.json")
    for kind in ("am", "am_e"):
        own = (told(peaks[kind][k]["pooled"], 2) for k in ("exons", "introns"))
        assert f"exons, introns | {', '.join(own)} |" in page
    for result in (classes, maps, alleles):
        assert all(result[kind]["sha256"] == own for kind, own in sums.items())
    for result in (areas, wide, wider):
        assert all(result["sha256"][kind] == own for kind, own in sums.items())
    assert peaks["sha256"] == sums["am"]
