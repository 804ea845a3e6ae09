"""The scripts of the SAM paper's controls: exon classes at one k, RNA maps, an aggregator that
learns to read binary sites; on inputs with answers worked out by hand."""

import json
import os

import numpy as np
import pytest
import torch

from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, one_hot
from samvar.training.dataset import TRAIN, Dataset, TrainingGene
from samvar.training.recipe import SamRecipe

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
        return [Effect(i % 4, i / n, value) for i in range(n)]

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

    own = [Effect(0, i / 20, 1.0) for i in range(20)]
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
