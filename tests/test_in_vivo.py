"""What binds a motif's sites in cells: counted among like surroundings, kept in a bundle, told."""

import json
import os
import sys

import numpy as np
import pytest

from samvar.model.bundle import LearntMotif, learnt_of, load_bundle, write_manifest
from samvar.model.in_vivo import FILE, Bound, InVivo, in_vivo_of
from samvar.scoring.predictor import Predictor
from samvar.views import logos

from . import toy

PTBP1 = Bound("PTBP1", 300, 10.4, 9.5, 11.2)
DOUBTED = Bound("SRSF9", 120, 1.1, 0.6, 1.7)


@pytest.fixture
def script(monkeypatch):
    root = os.path.join(os.path.dirname(__file__), "..", "train", "evaluate")
    monkeypatch.syspath_prepend(root)
    import in_vivo

    yield in_vivo
    sys.modules.pop("in_vivo")


def test_sites_are_expected_in_peaks_as_often_as_bases_of_their_stratum(script):
    """Two genes alike: 40 bases of stratum 0, half of them in peaks, 60 of stratum 1, a tenth. Of
    ten sites eight lie in stratum 0 and two in stratum 1: 4.2 are expected in peaks, 6 are."""
    counts = script.Counts(genes=2, motifs=1, proteins=1)
    codes = np.zeros(100, np.uint8)
    stratum = np.repeat([0, 1], [40, 60])
    active = np.zeros((1, 100), bool)
    active[0, [0, 1, 2, 3, 4, 20, 21, 22]] = True  # five of stratum 0 in peaks, three beside
    active[0, [40, 50]] = True  # one of stratum 1 in a peak
    for gene in range(2):
        counts.add(gene, codes, stratum, [(0, -5, 20), (0, 40, 46)], active)
    hits, expected, enrichment = counts.enrichment()
    assert hits.tolist() == [[12]] and expected == pytest.approx(np.array([[8.4]]), rel=1e-5)
    assert enrichment[:, 0, 0] == pytest.approx(6 / 4.2, rel=1e-5)
    found = script.summary(counts, ["RBFOX2"], ["RBFOX1"], {"RBFOX2": "RBFOX1/RBFOX2"})
    (own,) = found["RBFOX2"]["own"]
    assert own[:2] == ("RBFOX1", 12) and own[2:] == pytest.approx([1.429] * 3)
    assert found["RBFOX2"]["bound"] == []  # too few sites


def test_genes_that_motifs_have_learnt_from_do_not_count(script, tmp_path):
    toy.bundle(tmp_path)
    assert script.left_out(load_bundle(str(tmp_path))) is None
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["kinds"]["am"][0]["bound"] = dict(left_out=["chr1"])
    path.write_text(json.dumps(config))
    write_manifest(str(tmp_path))
    assert script.left_out(load_bundle(str(tmp_path))) == ["chr1"]


def test_unknown_bases_are_in_no_stratum(script):
    counts = script.Counts(1, 1, 1)
    codes = np.array([0, 4, 0, 4], np.uint8)
    counts.add(0, codes, np.zeros(4, int), [(0, 0, 2)], np.ones((1, 4), bool))
    assert counts.known[0, 0] == 2 and counts.covered[0, 0, 0] == 1


def test_surest_proteins_are_named_first(script):
    """Sites of one motif in the peaks of three proteins: of one as expected, of one twice as often
    in every gene, of one three times as often, but in a single gene."""
    rng = np.random.default_rng(1)
    counts = script.Counts(40, 1, 3)
    counts.known[:, 0] = 1000
    counts.sites[:, 0, 0] = 100
    counts.covered[:, :, 0] = 100
    counts.hits[:, 0, 0] = rng.poisson(10, 40)
    counts.hits[:, 0, 1] = rng.poisson(20, 40)
    counts.hits[0, 0, 2] = 1200
    found = script.summary(counts, ["MOTIF_01"], ["A", "B", "C"], {})["MOTIF_01"]
    assert [b.protein for b in found["bound"]] == ["B"] and found["own"] == []


def test_words():
    assert InVivo((PTBP1,), ()).text == ""
    assert InVivo((), (PTBP1,)).text == (
        "10.4 times as many of its sites as expected lie in CLIP peaks of PTBP1 (95 %: 9.5-11.2)"
    )
    assert InVivo((), (DOUBTED,)).text.endswith(
        "of SRSF9 (95 %: 0.6-1.7), which does not support the name"
    )
    assert InVivo((), (DOUBTED._replace(sites=12),)).text.endswith("0.6-1.7), too few to tell")
    surely_not = DOUBTED._replace(sites=14, upper=0.96)
    assert InVivo((), (surely_not,)).text.endswith(", which does not support the name")
    motif = LearntMotif("YTTTY", (("U2AF2", 0.92),), (PTBP1,))
    assert motif.text.endswith("most like U2AF2 (0.92); bound in cells by PTBP1 (10.4)")


def test_a_bundle_keeps_it_for_its_own_models_alone(tmp_path):
    folder = toy.bundle(tmp_path, learnt_motifs=2)
    bundle = load_bundle(folder)
    assert bundle.in_vivo == {}
    first, learnt = bundle.rbps[0], "MOTIF_01"
    content = {
        "am": dict(
            sha256=bundle.sha256,
            motifs={
                first: dict(bound=[], own=[list(DOUBTED)]),
                learnt: dict(bound=[list(PTBP1)], own=[]),
            },
        )
    }
    with open(os.path.join(folder, FILE), "w") as f:
        json.dump(content, f)
    write_manifest(folder)
    again = load_bundle(folder)
    assert again.in_vivo == {first: InVivo((), (DOUBTED,)), learnt: InVivo((PTBP1,), ())}
    assert in_vivo_of(folder, "am", "other") == {} == in_vivo_of(folder, "fm", bundle.sha256)
    metrics = {"learnt motifs": {"am": {learnt: dict(consensus="C", nearest=[["SF1", 0.8]])}}}
    assert learnt_of(metrics, "am", again.in_vivo)[learnt].bound == (PTBP1,)


def test_the_list_of_motifs_tells_it(tmp_path):
    folder = toy.bundle(tmp_path)
    bundle = load_bundle(folder)
    name = bundle.rbps[0]
    with open(os.path.join(folder, FILE), "w") as f:
        motifs = {name: dict(bound=[], own=[list(DOUBTED)])}
        json.dump({"am": dict(sha256=bundle.sha256, motifs=motifs)}, f)
    write_manifest(folder)
    with Predictor(load_bundle(folder)) as predictor:
        row = next(r for r in logos.listing(predictor) if r.startswith(f"{name}\t"))
    assert "does not support the name" in row


def test_a_protein_with_next_to_no_sites_is_not_listed(script):
    """No site in its peaks: where six are expected that says something, where three are it does
    not."""
    counts = script.Counts(1, 1, 2)
    counts.known[:, 0], counts.sites[0, 0, 0] = 1000, 30
    counts.covered[0, :, 0] = 200, 100
    found = script.summary(counts, ["X"], ["P", "Q"], {"X": "P/Q"})["X"]["own"]
    assert [(b.protein, b.sites, b.enrichment) for b in found] == [("P", 0, 0.0)]
