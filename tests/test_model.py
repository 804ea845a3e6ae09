import math

import pytest
import torch
from torch.testing import assert_close

from samvar.model.bottleneck import LSSI_FLOOR, Detection
from samvar.model.sam import (
    LSSI,
    NO_BRANCH_POINTS,
    BandedAttention,
    Candidates,
    Config,
    FixedMotifs,
    FoldedUnit,
    Norm,
    Sparse,
    Stack,
    Unit,
    crop,
    for_scoring,
    one_hot,
    stack_reach,
    warm_start_am,
)

from . import toy


def code(bases):
    return torch.tensor([["ACGTN".index(b) for b in bases]])


def test_one_hot_has_zeros_for_unknown():
    x = one_hot(code("ACGTN"))
    assert_close(x[0, :, :4], torch.eye(4))
    assert_close(x[0, :, 4], torch.zeros(4))


def test_reach_at_full_size_is_what_the_design_says():
    assert Config().reach == (268, 258)
    assert stack_reach(Config().stack_widths) * 2 + 1 == 49


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind"):
        Config(kind="xm")


# ------------------------------------------------------------------------------------- fixed motifs


def test_fixed_motif_by_hand():
    """One RBP, two PSAMs; the second is the first with the best base at the centre moved from A to
    C."""
    psam = torch.ones(2, 11, 4)
    psam[0, 5] = torch.tensor([1.0, 0.5, 0.25, 0.125])
    psam[1, 5] = torch.tensor([0.5, 1.0, 0.25, 0.125])
    f = FixedMotifs.from_psams(psam, torch.tensor([2.0, 1.0]), torch.tensor([0, 0]))
    for base, expected in zip(
        "ACGT", (5 * (1 + 0.5 * 0.5), 5 * (0.5 + 0.5 * 1), 5 * 1.5 * 0.25, 5 * 1.5 * 0.125)
    ):
        x = one_hot(code("T" * 5 + base + "T" * 5))
        assert_close(f(x), torch.full((1, 1, 1), expected))


def test_fixed_motif_covers_five_bases_either_side_and_unknown_bases_count_one():
    psam = torch.ones(1, 11, 4)
    psam[0, 0], psam[0, 10] = torch.tensor([1, 0.5, 1, 1]), torch.tensor([1, 1, 0.25, 1])
    f = FixedMotifs.from_psams(psam, torch.ones(1), torch.zeros(1, dtype=torch.long))
    assert_close(f(one_hot(code("CAAAAAAAAAG"))).item(), 5 * 0.5 * 0.25)
    assert_close(f(one_hot(code("NAAAAAAAAAG"))).item(), 5 * 0.25)
    assert f(one_hot(code("CAAAANAAAAG"))).item() == 0  # unknown centre


# --------------------------------------------------------------------------------------------- LSSI


def test_lssi_is_at_the_floor_where_a_core_base_is_unknown():
    torch.manual_seed(0)
    m = LSSI(8).eval()
    for model in (m.acceptor, m.donor):
        torch.nn.init.constant_(model.net[-1].bias, 5.0)
    n = 60
    whole = m(toy.sequence(1, n, seed=1))
    assert whole.shape == (1, 2, n - 26)
    assert (whole > LSSI_FLOOR).all()
    x = toy.sequence(1, n, seed=1)
    x[:, :, 40] = 0
    out = m(x)
    floor = (out == LSSI_FLOOR).nonzero()[:, 1:].tolist()
    # output i is position i + 20: acceptors one or two bases after the N, donors one or two before
    # it
    assert floor == [[0, 21], [0, 22], [1, 18], [1, 19]]


# ------------------------------------------------------------------------------------- sparse layer


def test_sparse_layer_keeps_the_asked_share_and_freezes_at_evaluation():
    torch.manual_seed(0)
    layer = Sparse(5, affine=True)
    layer.density = 0.1
    known = torch.ones(4, 1, 500)
    for _ in range(80):
        y = layer(torch.rand(4, 5, 500), known)
    assert abs((y > 0).float().mean().item() - 0.1) < 0.02
    layer.eval()
    t = layer.threshold.clone()
    a, b = layer(torch.rand(1, 5, 100), known[:1, :, :100]), layer.threshold
    assert a.shape == (1, 5, 100) and torch.equal(t, b)


def test_a_channel_that_others_crowd_out_keeps_its_least_share():
    """The last of five is never among the highest values."""
    torch.manual_seed(0)
    kept = {}
    for least in (0.0, 0.5):
        layer = Sparse(5, affine=True, least=least)
        layer.density = 0.1
        with torch.no_grad():
            layer.norm.bias[-1] = -9
            for _ in range(80):
                y = layer(torch.rand(4, 5, 500), torch.ones(4, 1, 500))
        kept[least] = (y > 0).float().mean((0, 2))
    assert kept[0.0][-1] == 0 and abs(kept[0.5][-1] - 0.05) < 0.02
    assert_close(kept[0.5][:4], kept[0.0][:4], atol=0.02, rtol=0)


def test_candidates_are_a_share_of_the_bases_of_each_rbp_in_nats_above_its_threshold():
    torch.manual_seed(0)
    layer = Candidates(3)
    layer.density = 0.2
    scale = torch.tensor([1.0, 1e3, 1e-3])[None, :, None]
    known = torch.ones(4, 1, 500)
    for _ in range(100):
        affinity = scale * torch.rand(4, 3, 500)
        found = layer(affinity, known)
    assert_close((found > 0).float().mean((0, 2)), torch.full((3,), 0.2), atol=0.04, rtol=0)
    layer.eval()
    layer.threshold.copy_(torch.tensor([[0.5], [0.5], [0.5]]).log())
    affinity = torch.tensor([[[1.0, 0.5, 0.4, 0.0], [4.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]])
    known = torch.tensor([[[1.0, 1.0, 1.0, 0.0]]])
    nats = torch.tensor([[[2.0, 1, 1, 1], [8.0, 1, 1, 1], [1.0, 1, 1, 1]]]).log()
    assert_close(layer(affinity, known), nats)


@pytest.mark.parametrize("layer", [Sparse(2, True), Sparse(2, True, 0.1), Candidates(2)])
def test_thresholds_stay_where_no_base_is_known(layer):
    layer.threshold.fill_(1.5)
    layer(torch.rand(1, 2, 40), torch.zeros(1, 1, 40))
    assert (layer.threshold == 1.5).all()


def test_sparse_layer_by_hand_at_evaluation():
    layer = Sparse(1, affine=True).eval()
    layer.norm.running_mean.fill_(2.0)
    layer.norm.running_var.fill_(4.0 - layer.norm.eps)
    layer.threshold.fill_(0.5)
    x = torch.tensor([[[2.0, 3.0, 4.0, 8.0]]])
    known = torch.tensor([[[1.0, 1.0, 1.0, 0.0]]])
    assert_close(layer(x, known), torch.tensor([[[0.0, 0.0, 0.5, 0.0]]]))


def test_unknown_bases_are_left_out_of_statistics_and_quantile():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 400)
    known = torch.ones(2, 1, 400)
    known[:, :, 200:] = 0
    x_other = x.clone()
    x_other[:, :, 200:] = 100.0
    results = []
    for values in (x, x_other):
        layer = Sparse(3, affine=True)
        layer.density = 0.1
        results.append(
            (crop(layer(values, known), 0, 200), layer.threshold, layer.norm.running_mean)
        )
    for a, b in zip(*results):
        assert_close(a, b)


def test_masked_norm_equals_batch_norm_where_all_is_known():
    torch.manual_seed(0)
    ours, theirs = Norm(3), torch.nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 1, 50)
    assert_close(ours(x, torch.ones(4, 1, 1, 50)), theirs(x))
    assert_close(ours.running_mean, theirs.running_mean)
    assert_close(ours.running_var, theirs.running_var)


# ---------------------------------------------------------------------------------------- attention


def test_attention_equals_its_definition():
    torch.manual_seed(0)
    layer = BandedAttention(6, 4, reach=7)
    layer.bias.data.normal_()
    v = torch.randn(2, 6, 300)
    out = layer(v)
    q, k = layer.query(v), layer.key(v)
    for i in (7, 100, 292):
        at = torch.arange(i - 7, i + 8)
        weight = torch.softmax(
            torch.einsum("nd,ndj->nj", q[:, :, i], k[:, :, at]) / 2 + layer.bias, -1
        )
        assert_close(
            out[:, :, i - 7], torch.einsum("nj,ncj->nc", weight, v[:, :, at]), atol=1e-5, rtol=1e-4
        )


def test_attention_at_sites_alone_passes_the_gate_as_attention_everywhere_does():
    """Rows with many sites, with one at either end, and with none."""
    aggregator = toy.model().aggregator
    reach, n = aggregator.attention.reach, 2 * aggregator.SITES_TOGETHER + 76
    g = torch.Generator().manual_seed(1)
    v = torch.randn(3, 5, n + 2 * reach, generator=g)
    u = torch.randn(3, 5, n, generator=g) * (torch.rand(3, 1, n, generator=g) < 0.1)
    u[1, :, 1:-1], u[1, :, [0, -1]], u[2] = 0, 1, 0
    v.requires_grad_()
    passed, expected = aggregator.gate_at_sites(v, u), aggregator.gate(v, u)
    assert_close(passed, expected, atol=1e-5, rtol=1e-5)
    assert (passed != 0).any((1, 2)).tolist() == [True, True, False]
    weight = torch.randn(passed.shape, generator=g)
    by_sites, by_all = (torch.autograd.grad((p * weight).sum(), v)[0] for p in (passed, expected))
    assert_close(by_sites, by_all, atol=1e-4, rtol=1e-4)


def test_uniform_attention_is_the_mean_of_the_band():
    layer = BandedAttention(1, 2, reach=2)
    for p in (layer.query, layer.key):
        torch.nn.init.zeros_(p.weight)
        torch.nn.init.zeros_(p.bias)
    assert_close(layer(torch.arange(7.0)[None, None]), torch.tensor([[[2.0, 3.0, 4.0]]]))


def test_stack_is_the_identity_when_its_units_add_nothing():
    stack = Stack(2, 2, 2, (3, 5)).eval()
    for conv in (stack.enter, stack.leave):
        torch.nn.init.zeros_(conv.bias)
        conv.weight.data = torch.eye(2)[:, :, None, None]
    for unit in stack.units:
        torch.nn.init.zeros_(unit.conv2.weight)
        torch.nn.init.zeros_(unit.conv2.bias)
    x = torch.randn(1, 2, 40)
    assert_close(stack(x), crop(x, 6, 6))


# ---------------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize("kind", ["fm", "am"])
def test_shapes_and_probabilities(kind):
    m = toy.model(kind)
    left, right = m.config.reach
    x = toy.sequence(3, 150 + left + right)
    found = m.detect(x)
    edge = m.config.aggregate_reach
    assert found.core.shape == (3, 2, 150 + 2 * edge)
    assert found.motifs.shape == (3, 3, 150 + 2 * edge)
    log_p = m.aggregate(found)
    assert log_p.shape == (3, 3, 150)
    assert_close(log_p.exp().sum(1), torch.ones(3, 150))
    assert torch.equal(log_p, m(x))


@pytest.mark.parametrize("kind", ["fm", "am"])
def test_everything_before_the_lstm_is_translation_equivariant(kind):
    m = toy.model(kind)
    x = toy.sequence(1, 700, seed=3)
    x[:, :, 300:310] = 0  # unknown bases move along
    edge = m.config.aggregate_reach
    seen = []
    m.aggregator.lstm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for shift in (0, 1, 37, 130):
        part = x[:, :, shift : shift + 500]
        found = m.detect(part)
        whole = m.detect(x)
        n = found.motifs.shape[-1]
        assert_close(found.core, whole.core[..., shift : shift + n], atol=1e-5, rtol=0)
        assert_close(found.motifs, whole.motifs[..., shift : shift + n], atol=1e-5, rtol=0)
        m.aggregate(found)
        m.aggregate(whole)
        part_h, whole_h = seen[-2:]
        assert part_h.shape[1] == n - 2 * edge
        assert_close(part_h, whole_h[:, shift : shift + n - 2 * edge], atol=1e-4, rtol=0)


def test_a_change_reaches_no_further_than_the_reach_says():
    m = toy.model("am")
    left, right = m.config.reach
    seen = []
    m.aggregator.lstm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = toy.sequence(1, 500, seed=4)
    m(x)
    at = 250
    x[:, :, at] = x[:, :, at].roll(1, dims=-1)
    m(x)
    moved = (seen[0] - seen[1]).abs().amax(
        (0, 2)
    ).nonzero().flatten() + left  # positions of the input
    assert len(moved) and moved.min() >= at - right and moved.max() <= at + left


def test_motifs_are_zero_where_the_base_is_unknown():
    m = toy.model("am")
    x = toy.sequence(1, 300, seed=5)
    x[:, :, 100:200] = 0
    motifs = m.detect(x).motifs
    assert (motifs[:, :, 100 - 20 : 200 - 20] == 0).all()
    assert (motifs > 0).any()


def test_adjusted_sites_are_among_the_best_fixed_sites():
    m = toy.model("am")
    torch.nn.init.constant_(
        m.motifs.adjust.leave.bias, 5.0
    )  # an adjustment that would switch everything on
    m.motifs.main.norm.bias.data.fill_(50.0)
    x = toy.sequence(2, 400, seed=6)
    known = torch.ones(2, 1, 400 - 20)
    candidates = m.motifs.pre(m.motifs.fixed(crop(x, 5, 5)), known) > 0
    sites = m.motifs(x) > 0
    assert sites.any()
    assert not (sites & ~candidates).any()


def test_influence_needs_a_site():
    """With nothing found and LSSI at its floor, the LSTM sees the same vector everywhere."""
    m = toy.model("fm")
    edge = m.config.aggregate_reach
    seen = []
    m.aggregator.lstm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    m.aggregate(
        Detection(torch.full((1, 2, 2 * edge + 50), LSSI_FLOOR), torch.zeros(1, 3, 2 * edge + 50))
    )
    assert_close(seen[0], seen[0][:, :1].expand_as(seen[0]))


def test_before_training_the_model_starts_from_the_lssi():
    m = toy.model("fm")
    a = m.aggregator
    torch.nn.init.zeros_(a.classes.weight)
    torch.nn.init.zeros_(a.classes.bias)
    left, right = m.config.reach
    x = toy.sequence(1, 100 + left + right, seed=7)
    found = m.detect(x)
    core = crop(found.core, a.reach, a.reach)
    expected = torch.log_softmax(torch.cat([torch.zeros(1, 1, 100), core], 1), 1)
    assert_close(m(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_warm_started_am_finds_the_fm_sites_that_are_candidates():
    fm = toy.model("fm", seed=1)
    fm.motifs.main.norm.weight.data.uniform_(0.8, 1.2)
    am = toy.model("am", seed=2)
    torch.nn.init.zeros_(am.motifs.adjust.leave.weight)
    torch.nn.init.zeros_(am.motifs.adjust.leave.bias)
    am.motifs.train()
    with torch.no_grad():
        for _ in range(80):
            am.motifs(toy.sequence(4, 300))
    warm_start_am(am, fm)
    am.eval()
    x = toy.sequence(4, 400, seed=8)
    candidates = am.motifs.pre(am.motifs.fixed(crop(x, 5, 5)), torch.ones(4, 1, 380)) > 0
    a, f = am.detect(x).motifs, fm.detect(x).motifs
    both = crop(candidates, 10, 0)[..., : a.shape[-1]] & (f > 0.05)
    assert both.sum() > 20
    assert_close(a[both], f[both], atol=0.02, rtol=0.02)


def test_log_probabilities_are_finite_with_nothing_but_unknown_bases():
    m = toy.model("am")
    left, right = m.config.reach
    out = m(torch.zeros(1, 4, 60 + left + right))
    assert torch.isfinite(out).all() and math.isclose(out.exp().sum().item(), 60, rel_tol=1e-5)


@pytest.mark.parametrize("canonical", [True, False])
def test_a_model_made_for_scoring_gives_the_same(canonical):
    """With norms that have seen data; the trained model stays as it was."""
    model = toy.model(branch_point=True, canonical=canonical, effect_bumps=3, learnt_motifs=2)
    with torch.no_grad():
        for norm in (m for m in model.modules() if isinstance(m, Norm) and m.affine):
            for values in (norm.weight, norm.running_var):
                values.uniform_(0.5, 2)
            for values in (norm.bias, norm.running_mean):
                values.uniform_(-1, 1)
        x = toy.sequence(2, 300, 4)
        expected = model(x)
        made = for_scoring(model)
        torch.testing.assert_close(made(x), expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(model(x), expected)
    units = [u for m in made.modules() if isinstance(m, Stack) for u in m.units]
    assert units and all(isinstance(u, FoldedUnit) for u in units)
    assert not any(p.requires_grad for p in made.parameters())


def test_gradients_pass_through_folded_units():
    """As through the units themselves."""
    unit = Unit(6, 3, 6).eval()
    with torch.no_grad():
        unit.norm1.running_mean.uniform_(-1, 1)
        unit.norm2.running_var.uniform_(0.5, 2)
    found = []
    for layer in (unit, FoldedUnit(unit)):
        x = torch.randn(2, 6, 1, 20, generator=torch.Generator().manual_seed(1)).requires_grad_()
        layer(x).square().sum().backward()
        found.append(x.grad)
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("canonical", [True, False])
def test_branch_points_that_cannot_be_are_not_looked_at(canonical, monkeypatch):
    model = toy.model(branch_point=True, canonical=canonical).eval()
    x = toy.sequence(1, 200, 4)
    with torch.no_grad():
        model.lssi.branch_floor.fill_(NO_BRANCH_POINTS / 2)  # too high for any score, but looked at
        expected = model.lssi(x)
        model.lssi.branch_floor.fill_(NO_BRANCH_POINTS)
        assert torch.equal(model.lssi(x), expected)
        assert (expected[:, 2] == LSSI_FLOOR).all() and (expected[:, :2] > LSSI_FLOOR).any()
