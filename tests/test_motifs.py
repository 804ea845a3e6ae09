"""Each listed effect, recomputed by editing the bottleneck at the position that the row names."""

import numpy as np
import pytest
import torch

from samvar.bundle import load_bundle
from samvar.deltas import NAMES, SIGN, SITE_OF, compute
from samvar.genes import Gene, Transcript
from samvar.genome import Genome
from samvar.model import LSSI_FLOOR
from samvar.motifs import changed_sites
from samvar.predict import Predictor
from samvar.variant import normalise
from samvar.windows import make_window

from . import toy

BASES = toy.random_bases(1200, seed=5)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motifs")
    predictor = Predictor(load_bundle(toy.bundle(folder)))
    aggregator = predictor.models[0].aggregator
    aggregator.classes.weight.data.mul_(30)  # so that motifs have a say
    aggregator.lstm.weight_ih_l0.data.mul_(5)
    return Genome(toy.fasta(folder / "g.fa", c=BASES)), predictor


def prepared(setting, strand, pos, ref, alt):
    genome, predictor = setting
    gene = Gene("G", "G", "c", strand, 0, 1200, (Transcript("T", ((0, 500), (700, 1200))),))
    flank = predictor.bundle.flank
    window = make_window(genome, gene, normalise(genome, "c", pos, ref, alt), 50 + flank, predictor.reach)
    deltas = compute(window, *predictor.score(window), flank)
    return window, deltas, changed_sites(predictor, window, deltas, 0.0, 1000)


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("gone, new", [(1, "N"), (0, "GGATCCTT"), (6, "")])
def test_effects_are_knock_outs(setting, strand, gone, new):
    at = 600
    new = new.replace("N", "ACGT".replace(BASES[at], "")[0])
    _, predictor = setting
    window, deltas, sites = prepared(setting, strand, at, BASES[at - 1 : at + gone], BASES[at - 1] + new)
    model = predictor.models[0]
    reach = model.config.aggregate_reach
    ref, alt = (predictor.detect(model, h) for h in (window.ref, window.alt))
    n = alt.motifs.shape[-1]
    shift = len(window.alt) - len(window.ref)
    full = window.to_genome(predictor.aggregate(model, torch.cat((alt.lssi, alt.motifs), 1))[0].numpy())
    checked, deleted = 0, []
    for s in sites:
        if s.event.startswith("site_") or s.offset or s.rbp.startswith("LSSI"):
            continue
        if 0 <= s.position - deltas.placed.start < len(deltas.placed.ref) and gone > len(new):
            deleted.append(s)
            continue
        behind = s.position >= deltas.placed.start + len(deltas.placed.ref)
        i_ref = s.position - window.start + reach
        i_alt = i_ref + (shift if behind else 0)
        channel = toy.RBPS.index(s.rbp)
        edited = window.to_genome(alt.motifs.clone().numpy()).copy()
        value = window.to_genome(ref.motifs.numpy())[0, channel, i_ref]
        assert s.change == pytest.approx(edited[0, channel, i_alt] - value, abs=1e-4)
        assert s.event == {True: "gain", False: "stronger"}[value == 0] if s.change > 0 else True
        edited[0, channel, i_alt] = value
        motifs = torch.from_numpy(window.to_genome(edited).copy())
        assert motifs.shape[-1] == n
        p = window.to_genome(predictor.aggregate(model, torch.cat((alt.lssi, motifs), 1))[0].numpy())
        d = NAMES.index(s.delta)
        column = deltas.alignment.alt[deltas.columns[d]]
        assert s.effect == pytest.approx(SIGN[d] * (full - p)[SITE_OF[d], column], abs=1e-4)
        checked += 1
    assert checked > 3
    base = window.to_genome(predictor.aggregate(model, torch.cat((ref.lssi, ref.motifs), 1))[0].numpy())
    for s in deleted:  # taken out of ref
        edited = window.to_genome(ref.motifs.clone().numpy()).copy()
        edited[0, toy.RBPS.index(s.rbp), s.position - window.start + reach] = 0
        u = torch.cat((ref.lssi, torch.from_numpy(window.to_genome(edited).copy())), 1)
        p = window.to_genome(predictor.aggregate(model, u)[0].numpy())
        d = NAMES.index(s.delta)
        column = deltas.alignment.ref[deltas.columns[d]]
        assert s.effect == pytest.approx(SIGN[d] * (p - base)[SITE_OF[d], column], abs=1e-4)


def test_sites_are_read_in_transcript_orientation(setting):
    alt = "ACGT".replace(BASES[599], "")[0]
    for strand in "+-":
        _, _, sites = prepared(setting, strand, 600, BASES[599], alt)
        changed = BASES[:599] + alt + BASES[600:]
        for s in sites:
            haplotype = changed if s.event in ("gain", "stronger") else BASES
            eleven = haplotype[s.position - 5 : s.position + 6]
            assert s.site == (eleven if strand == "+" else toy.revcomp(eleven))


def test_the_deltas_own_base_deleted_is_one_row(setting):
    """A model that calls its acceptor wherever the core score is above the floor loses it with the base."""
    window, deltas, _ = prepared(setting, "+", 600, BASES[599:606], BASES[599])
    n_ref, n_alt = window.end - window.start, window.end - window.start - 6
    ref, alt = np.zeros((1, 2, n_ref)), np.zeros((1, 2, n_alt))
    gone = deltas.placed.start + 2 - window.start
    ref[0, 0, gone] = 0.9
    d = compute(window, ref, alt, setting[1].bundle.flank)
    (row,) = changed_sites(setting[1], window, d, 0.5, 10)
    assert (row.rbp, row.event, row.delta, row.change) == ("LSSI_A", "site_deleted", "AL", None)
    assert row.position == gone + window.start and row.effect == pytest.approx(0.9)
    assert row.site == BASES[row.position - 5 : row.position + 6]


def test_core_changes_are_measured_from_the_floor(setting):
    alt = "ACGT".replace(BASES[599], "")[0]
    _, _, sites = prepared(setting, "+", 600, BASES[599], alt)
    core = [s for s in sites if s.rbp.startswith("LSSI")]
    assert core and all(abs(s.change) <= -LSSI_FLOOR for s in core)
