"""What the channels of the bottleneck mean is the bundle's to say: nothing counts on two core
channels, or on motifs that are all RBPs'."""

import numpy as np
import pytest
import torch

from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.genome import Genome
from samvar.genomics.variant import normalise
from samvar.genomics.window import make_window
from samvar.model.bottleneck import (
    ACCEPTOR_CORE,
    DONOR_CORE,
    LSSI_FLOOR,
    Detection,
    Entry,
    Layout,
)
from samvar.model.bundle import Bundle
from samvar.scoring.attribution import COMPLETE, PartKind, attribute
from samvar.scoring.deltas import compute
from samvar.scoring.knockout import EditableAllele, channel_of, emptied
from samvar.scoring.predictor import Predictor

from . import toy

NAMES = ("LSSI_A", "LSSI_D", "BP", *toy.RBPS, "MOTIF_01")
BASES = toy.random_bases(1200, seed=5)
BEYOND_THE_PAPER = dict(
    branch_point=True, learnt_motifs=1, learnt_channels=8, effect_bumps=3, faint_candidates=0.5
)


@pytest.fixture(scope="module", params=[False, True], ids=["anywhere", "canonical"])
def predictor(request):
    models = [toy.model(seed=s, canonical=request.param, **BEYOND_THE_PAPER) for s in (0, 3)]
    for model in models:  # so that the bottleneck has a say
        model.aggregator.classes.weight.data.mul_(20)
        model.aggregator.lstm.weight_ih_l0.data.mul_(4)
        model.aggregator.effects.weight.data.normal_()
    return Predictor(Bundle("beyond", "am", models, [0, 3], toy.RBPS, 30, "", ""))


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return Genome(toy.fasta(tmp_path_factory.mktemp("bottleneck") / "g.fa", c=BASES))


def window(genome, predictor, strand, gone, new):
    gene = Gene("G", "G", "c", strand, 0, 1200, (Transcript("T", ((0, 500), (700, 1200))),))
    ref = BASES[599 : 600 + gone]
    variant = normalise(genome, "c", 600, ref, ref[0] + new)
    return make_window(genome, gene, variant, 50, 30, predictor.reach)


@pytest.mark.slow
def test_the_layout_names_channels_and_says_what_they_hold_without_a_site(predictor):
    layout = predictor.bundle.layout
    assert layout.names == NAMES
    empty = [-10, -10, -10, 0, 0, 0, 0]
    assert list(layout.core_channels) == [0, 1, 2] and list(layout.motif_channels) == [3, 4, 5, 6]
    assert [layout.empty(c) for c in range(7)] == empty
    column = layout.empty_column(torch.ones(7, 4, dtype=torch.float64))
    assert column.dtype == torch.float64 and column[:, 0].tolist() == empty
    assert [layout.channel(n) for n in NAMES] == list(range(7))
    with pytest.raises(ValueError):
        layout.channel("nonesuch")


def test_parts_are_joined_and_taken_apart(predictor):
    layout = predictor.bundle.layout
    found = predictor.models[0].detect(toy.sequence(2, 120, seed=1))
    whole = layout.join(found)
    assert whole.shape == (2, 7, 90)
    assert all(torch.equal(a, b) for a, b in zip(layout.split(whole), found))


def test_the_shipped_layout_is_two_core_sites_and_the_rbps():
    layout = Layout.of((ACCEPTOR_CORE, DONOR_CORE), ["X", "Y"], 2)
    assert layout.names == ("LSSI_A", "LSSI_D", "X", "Y")


@pytest.mark.parametrize("strand", "+-")
def test_scores_are_those_of_the_plain_path(genome, predictor, strand):
    w = window(genome, predictor, strand, 0, "GGATC")
    scored = predictor.score(w)
    for found, plain in zip((scored.ref, scored.alt), toy.plain_scores(predictor.bundle.models, w)):
        np.testing.assert_allclose(found, plain, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("gone, new", [(0, "GGATCCTTAGGCATTC"), (30, "")])
def test_a_delta_is_shared_out_among_all_channels(genome, predictor, strand, gone, new):
    scored = predictor.score(window(genome, predictor, strand, gone, new))
    deltas = compute(scored.window, scored.ref, scored.alt)
    kinds, events = {}, set()
    for cause in attribute(predictor, scored, deltas, 0.0, knockouts=True):
        assert abs(cause.residual) <= COMPLETE + 1e-5
        kinds |= {p.rbp: p.kind for p in cause.parts}
        events |= {(p.rbp, p.event) for p in cause.parts}
    assert {"BP", "MOTIF_01"} <= set(kinds) <= {*NAMES, "SPACING"}
    assert {name for name, kind in kinds.items() if kind is PartKind.CORE} == {*NAMES[:3]} & set(
        kinds
    )
    assert ("BP", "loss" if gone else "gain") in events


@pytest.mark.parametrize("strand", "+-")
def test_a_site_taken_out_leaves_what_its_channel_holds_without_one(genome, predictor, strand):
    w = window(genome, predictor, strand, 0, "A")
    allele = EditableAllele.make(predictor, w)
    third = allele.bottleneck[2]
    column = int(third.argmax())
    assert allele.bottleneck.shape[0] == 7 and third[column] > LSSI_FLOOR
    (found,) = allele.without([Entry(2, column)])
    edited = []
    for model in predictor.models:
        with torch.no_grad():
            core, motifs = model.detect(toy.one_hot(torch.from_numpy(w.ref[None].copy())))
            edge = model.config.aggregate_reach + w.flank
            at = edge + (column if strand == "+" else w.compared - 1 - column)
            core[0, 2, at] = LSSI_FLOOR
            p = model.aggregate(Detection(core, motifs))[0, 1:].exp().numpy()
        edited.append(p[:, w.flank : p.shape[1] - w.flank])
    np.testing.assert_allclose(found, w.to_genome(np.mean(edited, 0)), atol=1e-5)


def test_a_learnt_motif_can_be_silenced(genome, predictor):
    w = window(genome, predictor, "+", 0, "A")
    channel = channel_of(predictor, "motif_01")
    assert channel == 6
    before, after = emptied(predictor, w, channel)
    assert np.abs(before - after).max() > 1e-4
