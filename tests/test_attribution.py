"""Attribution: the parts sum to the delta, and are those of an integral and of edits made on the
plain path."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.genome import Genome
from samvar.genomics.haplotype import joined
from samvar.genomics.variant import normalise
from samvar.genomics.window import make_window
from samvar.model.bottleneck import LSSI_FLOOR, Detection
from samvar.model.bundle import load_bundle
from samvar.model.sam import one_hot
from samvar.scoring import attribution
from samvar.scoring.attribution import COMPLETE, Attribution, Part, PartKind, attribute
from samvar.scoring.deltas import NAMES, SIGN, SITE_OF, compute
from samvar.scoring.knockout import EditableAllele
from samvar.scoring.predictor import Predictor, ScoredWindow

from . import toy

CHANNELS = ["LSSI_A", "LSSI_D", *toy.RBPS]
BASES = toy.random_bases(1200, seed=5)
BASES = BASES[:800] + "CAG" * 6 + BASES[818:]
CHANGES = {
    "snv": (600, 1, "N"),
    "mnv": (600, 3, "NNN"),
    "insertion": (600, 0, "GGATCCTT"),
    "deletion": (600, 6, ""),
    "delins": (600, 4, "GGTT"),
    "shorter": (600, 7, "GA"),
    "repeat": (803, 3, ""),
    "exon": (640, 80, ""),
}
IN_CIS = {
    "deletions": ((560, 1, ""), (600, 1, "N"), (640, 2, ""), (652, 0, "G")),
    "as long": ((560, 1, ""), (640, 0, "G")),
    "insertions": ((590, 0, "GG"), (600, 1, "N"), (620, 0, "TTC")),
}


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motifs")
    predictor = Predictor(load_bundle(toy.bundle(folder, seeds=(0, 3))))
    for model in predictor.models:  # so that motifs have a say
        model.aggregator.classes.weight.data.mul_(20)
        model.aggregator.lstm.weight_ih_l0.data.mul_(4)
    return Genome(toy.fasta(folder / "g.fa", c=BASES)), predictor


def edited(genome, at, gone, new):
    new = "".join(
        "ACGT".replace(BASES[at + i], "")[0] if c == "N" else c for i, c in enumerate(new)
    )
    return normalise(genome, "c", at, BASES[at - 1 : at + gone], BASES[at - 1] + new)


def prepared(setting, strand, change, predictor=None):
    genome, both = setting
    predictor = predictor or both
    edits = IN_CIS.get(change) or [CHANGES[change]]
    variants = [edited(genome, *edit) for edit in edits]
    variant = joined(genome, variants) if len(variants) > 1 else variants[0]
    gene = Gene("G", "G", "c", strand, 0, 1200, (Transcript("T", ((0, 500), (700, 1200))),))
    window = make_window(genome, gene, variant, 50, predictor.bundle.flank, predictor.reach)
    scored = predictor.score(window)
    return window, scored, compute(window, scored.ref, scored.alt)


@pytest.mark.slow
@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("change", [*CHANGES, *IN_CIS])
def test_parts_sum_to_the_delta(setting, strand, change):
    window, scored, deltas = prepared(setting, strand, change)
    found = attribute(setting[1], scored, deltas, 0.0)
    assert [a.delta for a in found] == [d for d in range(4) if deltas.values[d] > 0] and found
    for a in found:
        assert a.value == deltas.values[a.delta]
        assert abs(a.residual) <= COMPLETE + 1e-5
        assert sum(p.effect for p in a.parts) + a.residual == pytest.approx(a.value, abs=1e-9)
        spacing = [p for p in a.parts if p.kind is PartKind.SPACING]
        own = [p for p in a.parts if p.event.startswith("site_")]
        assert len(spacing) == (0 if change in ("snv", "mnv", "delins") or own else 1)
        assert not own or len(a.parts) == 1
    assert any(len(a.parts) > 2 for a in found)


@pytest.mark.slow
@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("change", ["snv", "mnv"])
def test_events_tell_what_the_mean_of_the_seeds_holds(setting, strand, change):
    window, scored, deltas = prepared(setting, strand, change)
    ref, alt = (EditableAllele.make(setting[1], window, side).bottleneck for side in (False, True))
    seen = set()
    for part in (p for a in attribute(setting[1], scored, deltas, 0.0) for p in a.parts):
        if window.start <= part.position < window.end:
            channel = CHANNELS.index(part.rbp)
            empty = LSSI_FLOOR if part.kind is PartKind.CORE else 0.0
            before, after = (float(u[channel, part.position - window.start]) for u in (ref, alt))
            was, is_now = before > empty + 1e-5, after > empty + 1e-5
            expected = (
                "gain"
                if not was
                else "loss"
                if not is_now
                else "stronger"
                if after > before
                else "weaker"
            )
            assert (part.event, part.change) == (expected, pytest.approx(after - before, abs=1e-4))
            seen.add(part.event)
    assert len(seen) > 1


def plain_bottlenecks(model, window):
    """Of ref and alt, whole windows in transcript orientation; index 0 is `reach` before the
    frame."""
    out = []
    for haplotype in (window.ref, window.alt):
        with torch.no_grad():
            out.append(
                torch.cat(model.detect(one_hot(torch.from_numpy(haplotype[None].copy()))), 1)
            )
    return out


def plain_probability(model, u, window, row, index):
    """Probability of a compared position (transcript order) by running the whole aggregator; u (N,
    channels, L)."""
    p = model.aggregate(Detection(u[:, :2], u[:, 2:]))[:, 1:].exp()
    return p[:, row, window.flank + index]


@pytest.mark.slow
@pytest.mark.parametrize("strand", "+-")
def test_effects_of_an_snv_are_the_integral_on_the_plain_path(setting, strand):
    """One seed; a midpoint sum of 512 steps over the whole window's bottleneck."""
    genome, both = setting
    predictor = Predictor(both.bundle)
    predictor.models, predictor.references = predictor.models[:1], predictor.references[:1]
    window, scored, deltas = prepared(setting, strand, "snv", predictor)
    model = predictor.models[0]
    ref, alt = plain_bottlenecks(model, window)
    reach, n = model.config.aggregate_reach, window.end - window.start
    for a in attribute(predictor, scored, deltas, 0.0):
        column = deltas.alignment.ref[deltas.columns[a.delta]]
        index = column if strand == "+" else n - 1 - column
        total = torch.zeros_like(ref)
        for alpha in (torch.arange(512) + 0.5).split(32):
            u = (ref + alpha.view(-1, 1, 1) / 512 * (alt - ref)).requires_grad_()
            (g,) = torch.autograd.grad(
                plain_probability(model, u, window, SITE_OF[a.delta], index).sum(), u
            )
            total += g.sum(0, keepdim=True) / 512
        effects = (total * (alt - ref))[0].numpy() * SIGN[a.delta]
        seen = 0
        for p in a.parts:
            channel = CHANNELS.index(p.rbp)
            at = p.position - window.start + window.flank
            at = at if strand == "+" else n + 2 * window.flank - 1 - at
            assert p.effect == pytest.approx(effects[channel, at + reach], abs=COMPLETE)
            assert p.change == pytest.approx(float((alt - ref)[0, channel, at + reach]), abs=1e-4)
            seen += p.effect
        assert effects.sum() == pytest.approx(seen, abs=2 * COMPLETE)


@pytest.mark.slow
@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("change", ["snv", "insertion", "deletion", "exon", "deletions", "as long"])
def test_knock_outs_are_edits_on_the_plain_path(setting, strand, change):
    window, scored, deltas = prepared(setting, strand, change)
    predictor = setting[1]
    found = attribute(predictor, scored, deltas, 0.0, knockouts=True)
    bottlenecks = [plain_bottlenecks(m, window) for m in predictor.models]
    checked = 0
    for a in found:
        for p in a.parts:
            if p.event.startswith("site_") or p.kind is PartKind.SPACING or p.offset:
                continue
            channel = CHANNELS.index(p.rbp)
            deleted = any(gap.start <= p.position < gap.end for gap in deltas.gaps)
            before = [gap for gap in deltas.gaps if p.position >= gap.end]
            shift = sum(gap.new - gap.gone for gap in before)
            each = []
            for model, (ref, alt) in zip(predictor.models, bottlenecks):
                reach = model.config.aggregate_reach + window.flank
                in_ref, in_alt = (
                    p.position - window.start + reach,
                    p.position - window.start + reach,
                )
                in_alt += shift
                if strand == "-":
                    in_ref, in_alt = ref.shape[-1] - 1 - in_ref, alt.shape[-1] - 1 - in_alt
                u = (ref if deleted else alt).clone()
                if deleted:
                    u[0, channel, in_ref] = LSSI_FLOOR if p.kind is PartKind.CORE else 0.0
                else:
                    u[0, channel, in_alt] = ref[0, channel, in_ref]
                column = (deltas.alignment.ref if deleted else deltas.alignment.alt)[
                    deltas.columns[a.delta]
                ]
                n = u.shape[-1] - 2 * reach
                place = column if strand == "+" else n - 1 - column
                with torch.no_grad():
                    before = plain_probability(
                        model, ref if deleted else alt, window, SITE_OF[a.delta], place
                    )
                    after = plain_probability(model, u, window, SITE_OF[a.delta], place)
                each.append(SIGN[a.delta] * float(after - before if deleted else before - after))
            assert p.knockout == pytest.approx(np.mean(each), abs=1e-5)
            checked += 1
    assert checked > 3


@pytest.mark.slow
@pytest.mark.parametrize("change", ["snv", "deletion", "delins"])
def test_where_the_integral_does_not_settle_sites_are_switched(setting, change, monkeypatch):
    """Complete all the same, and near the integral where that settles."""
    window, scored, deltas = prepared(setting, "+", change)
    monkeypatch.setattr(attribution, "SOME", 0)
    monkeypatch.setattr(attribution, "FEW", 1)
    monkeypatch.setattr(attribution, "STEPS", ())
    for a in attribute(setting[1], scored, deltas, 0.0):
        assert abs(a.residual) < 1e-5
    monkeypatch.setattr(attribution, "ORDERS", 60)
    many = attribute(setting[1], scored, deltas, 0.0)
    monkeypatch.setattr(attribution, "STEPS", (64,))
    monkeypatch.setattr(attribution, "COMPLETE", 1.0)
    for a, b in zip(many, attribute(setting[1], scored, deltas, 0.0)):
        place = lambda p: (p.rbp, p.position, p.offset)  # noqa: E731
        integral = {place(p): p.effect for p in b.parts}
        for p in a.parts:
            assert p.effect == pytest.approx(integral[place(p)], abs=0.25 * max(a.value, 0.01))


class Game:
    """A haplotype whose two probabilities are a function of six entries each."""

    ENTRIES = [(0, 1), (0, 3), (1, 0), (2, 1), (2, 2), (2, 3)]

    def __init__(self, *functions):
        self.functions, self.asked = functions, 0

    def probabilities(self, stretch):
        self.asked += len(stretch)
        channels, columns = np.array(self.ENTRIES).T
        entries = stretch[:, channels, columns].T
        return torch.stack([f(*entries) for f in self.functions], 1)[:, :, None]

    def leg(self, moving):
        """A leg on which so many of the entries change."""
        start = torch.full((3, 4), 0.4)
        end = start.clone()
        for entry, value in list(zip(self.ENTRIES, (0.9, 0.1, 0.6, 0.7, 0.2, 0.5)))[:moving]:
            end[entry] = value
        targets = attribution.Targets(np.array([0, 1]), np.array([0, 0]))
        ends = [self.probabilities(u[None])[0, :, 0].double().numpy() for u in (start, end)]
        self.asked = 0
        return attribution.Leg(attribution.Frame.ALT, self, start, end, targets, *ends)

    def shapley(self, leg):
        """By their definition: the mean over all orders."""
        values = np.zeros((2, len(leg.moved)))
        orders = list(itertools.permutations(range(len(leg.moved))))
        for order in orders:
            u, before = leg.start.clone(), leg.p_start
            for k in order:
                u[self.ENTRIES[k]] = leg.end[self.ENTRIES[k]]
                after = self.probabilities(u[None])[0, :, 0].double().numpy()
                values[:, k] += (after - before) / len(orders)
                before = after
        self.asked = 0
        return values


@pytest.mark.parametrize("moving", range(7))
def test_few_sites_share_a_change_as_over_all_orders(moving):
    game = Game(
        lambda a, b, c, d, e, f: 0.1 + a * (b + 0.5) * d * e - f**2 / 5,
        lambda a, b, c, d, e, f: torch.maximum(a * f, 2 * c * d) / 4 + b * e,
    )
    leg = game.leg(moving)
    expected = game.shapley(leg)
    assert [(e.channel, e.column) for e in leg.moved] == game.ENTRIES[:moving]
    assert leg.effects(np.zeros(2)) == pytest.approx(expected, abs=1e-6)
    assert leg.knockouts().shape == expected.shape  # of combinations that are known
    assert game.asked == max(2**moving - 2, 0)  # none is looked at twice


@pytest.mark.parametrize("frame", attribution.Frame)
def test_a_part_of_the_way_without_a_change_has_no_effects_and_no_knockouts(frame):
    game = Game(lambda a, *_: a, lambda a, *_: a)
    leg = replace(game.leg(0), frame=frame)
    assert leg.effects(np.zeros(2)).shape == leg.knockouts().shape == (2, 0)
    assert not game.asked


@pytest.mark.parametrize("moving", [4, 5, 6])
def test_sites_that_act_in_pairs_are_looked_at_first_and_last_alone(moving):
    """Exact then; with a weak product of three within the tolerance, which is asked of the sum."""
    pairs = lambda a, b, c, d, e, f: a * b - c * d + e * f + a * f - b  # noqa: E731
    threes = lambda a, b, c, d, e, f: pairs(a, b, c, d, e, f) + a * b * c / 10  # noqa: E731
    game = Game(pairs, threes)
    leg = game.leg(moving)
    expected = game.shapley(leg)
    found = leg.effects(np.array([1e-6, 0.01]))
    assert game.asked == 2 * moving
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    left = np.abs(found[1].sum() - (leg.p_end - leg.p_start)[1])
    assert 1e-4 < left < 0.01
    assert found[1] == pytest.approx(expected[1], abs=left)
    assert leg.effects(np.array([1e-6, left / 2])) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strand", "+-")
def test_sites_are_read_in_transcript_orientation(setting, strand):
    window, scored, deltas = prepared(setting, strand, "snv")
    at = CHANGES["snv"][0]
    changed = BASES[:at] + "ACGT".replace(BASES[at], "")[0] + BASES[at + 1 :]
    parts = [p for a in attribute(setting[1], scored, deltas, 0.0) for p in a.parts]
    assert parts
    for p in parts:
        haplotype = changed if p.event in ("gain", "stronger") else BASES
        eleven = haplotype[p.position - 5 : p.position + 6]
        assert p.site == (eleven if strand == "+" else toy.revcomp(eleven))
        assert {"gain": p.change > 0, "stronger": p.change > 0}.get(p.event, p.change < 0)


@pytest.mark.parametrize("strand", "+-")
def test_sites_around_an_insertion_are_found_in_their_haplotype(setting, strand):
    window, scored, deltas = prepared(setting, strand, "insertion")
    (at, _, new), (gap,) = CHANGES["insertion"], deltas.gaps
    haplotypes = dict(alt=BASES[:at] + new + BASES[at:], ref=BASES)
    inserted = 0
    for a in attribute(setting[1], scored, deltas, 0.0):
        for p in a.parts:
            if p.kind is PartKind.SPACING or p.event.startswith("site_"):
                continue
            in_alt = p.event in ("gain", "stronger")
            centre = (
                p.position
                + p.offset
                + (len(new) if in_alt and not p.offset and p.position >= gap.start else 0)
            )
            eleven = haplotypes["alt" if in_alt else "ref"][centre - 5 : centre + 6]
            assert p.site == (eleven if strand == "+" else toy.revcomp(eleven))
            inserted += p.offset > 0
    assert inserted


def test_the_deltas_own_base_deleted_is_one_part(setting):
    window, _, _ = prepared(setting, "+", "deletion")
    n = window.end - window.start
    ref, alt = np.zeros((2, 2, n)), np.zeros((2, 2, n - 6))
    gone = window.variant.start + 2 - window.start
    ref[:, 0, gone] = 0.9
    scored = ScoredWindow(window, ref, alt)
    (a,) = attribute(setting[1], scored, compute(window, ref, alt), 0.5)
    (part,) = a.parts
    assert (NAMES[a.delta], part.rbp, part.event, part.change) == (
        "AL",
        "LSSI_A",
        "site_deleted",
        None,
    )
    assert (
        part.position == gone + window.start
        and part.effect == pytest.approx(0.9)
        and a.residual == 0
    )
    assert part.site == BASES[part.position - 5 : part.position + 6]


@pytest.mark.slow
def test_seeds_are_means_and_absent_sites_count_zero(setting):
    genome, both = setting
    single = []
    for i in (0, 1):
        one = Predictor(both.bundle)
        one.models, one.references = both.models[i : i + 1], both.references[i : i + 1]
        single.append(one)
    window, scored, deltas = prepared(setting, "+", "snv")
    key = lambda p: (p.rbp, p.position)  # noqa: E731
    for a in attribute(both, scored, deltas, 0.0):
        each = []
        for one in single:
            own = one.score(window)
            forced = deltas._replace(
                values=np.ones(4)
            )  # the ensemble's sites, whatever this seed says of them
            each.append(
                {
                    key(p): p
                    for b in attribute(one, own, forced, 0.0)
                    if b.delta == a.delta
                    for p in b.parts
                }
            )
        for p in a.parts:
            effects = [e[key(p)].effect if key(p) in e else 0.0 for e in each]
            assert p.effect == pytest.approx(np.mean(effects), abs=1e-3)
            assert p.agree in (0.5, 1.0) or p.effect == 0
        assert {k for e in each for k in e} == {key(p) for p in a.parts}


def test_rows_are_the_strongest_and_what_completes_the_sum():
    parts = [Part(f"R{i}", "gain", i, effect=e) for i, e in enumerate((0.5, -0.2, 0.1, 0.00001))]
    a = Attribution(0, 0.42, parts, 0.02)
    rows = a.rows(2)
    assert [r.rbp for r in rows] == ["R0", "R1", "OTHER", "RESIDUAL"]
    assert sum(r.effect for r in rows) == pytest.approx(0.42001)
    assert [r.rbp for r in a.rows(10)] == ["R0", "R1", "R2", "RESIDUAL"]
