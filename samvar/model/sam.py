"""The SAM model of RNA splicing, one file, in the order of Figure 2 of its paper.

Gupta et al., "Improved modeling of RNA-binding protein motifs in an interpretable neural model of
RNA splicing", Genome Biology 25:23 (2024); sparse layer: "Sparling" (2023).

    x                    one-hot pre-mRNA (N, 4, L), order A C G T, transcript orientation;
                         N, outside the gene: 0000
    panel a  LSSI        core acceptor and donor models: two log-probabilities per base
    panel b  FixedMotifs affinities of RNA-binding proteins (79 in the paper, from 318 PSAMs)
    panel c  Sparse      batch norm, then one threshold that leaves the share `density` of values
             above zero
    panel g  Motifs      FM sites, more than are kept, each adjusted by a network that sees 21 bases
    panels d, e  Aggregator  which sites act where: residual stacks, banded attention, BiLSTM
    SAM.detect(x) -> Detection
    SAM.aggregate(Detection) -> log-probabilities of none, acceptor, donor

Between `detect` and `aggregate` lies the bottleneck: everything the model knows of the sequence is
a few core sites and a handful of motif sites. Knock-out and attribution are edits of that
tensor.

Labels: 1 acceptor = first exonic base, 2 donor = last exonic base.

Deviations from the paper:

The model
* Every layer before the LSTM is a valid (unpadded) convolution over a window longer by the reach on
  either side, so that the same sequence gives the same tensor wherever it stands; the LSTM sees the
  scored frame alone. The paper's context of 200 bases a side cuts off part of the reach; here
  nothing is cut.
* Attention has a learned bias per relative position instead of a sinusoid of the absolute one.
* LSSI enters the aggregator as (log p + 10) / 10, so that its floor is 0; the floor also holds
  where a core intronic base (AG, GT) is N. Motifs are 0 where the centre is N. Norms and thresholds
  of the sparse layer see known bases only.
* LSSI models are two logistic ones.
* The core scores are added to what the LSTM says, before one softmax. Both at their floor make a
  site unlikely; they do not exclude it, unless the model is told to (`core_needed`).
* The gate passes the core channels, too: attention weighs all channels, not those of the motifs
  alone.
* The forget gates of the LSTM start at memories of 1 to 400 bases.
* The adjustment has five more residual units, of width 1, after its five of width 3; its receptive
  field stays at 21 bases.
* The candidates of an AM, so many times as many FM sites as are kept (`candidates`, 2 in the
  paper), are counted over all channels, by one threshold, not for each RBP (except with
  `candidates_each`): an RBP may have many, or none.
* An AM site is masked again after the norm, so that "AM sites are among the `candidates` x density
  best FM sites" is exact, but for `faint_candidates`.
* At evaluation the outputs are divided by a temperature before the softmax (`Config.temperature`);
  the paper has none. Training is at 1.
* C is 64 by default, where the paper has 200.

What a model may have beyond the paper's (`Config`)
* `canonical`: core scores at AG and AC, GT, GC and AT alone.
* `core_needed`: the log-odds of a splice site fall by 20 exp(-x), x being how far its core score
  stands above the floor; at evaluation by another 20 at the floor itself, after the temperature.
* `branch_point`: a third core model, of an A and 14 bases around it; its log-odds are normalised,
  and count where they stand above a floor of their own.
* `candidates_each`: candidates are counted for each RBP; they stand above its threshold by the
  logarithm of affinity.
* `least_share`: no RBP's sites are crowded out by those of others; each keeps so much of the
  density, where adjustment leaves it as many.
* `faint_candidates`: FM sites weaker than the candidates are adjusted, too, in proportion to their
  strength.
* `learnt_motifs`: motifs of 11 bases that a small network finds in the sequence, behind a norm and
  a threshold of their own; no affinity of a protein is in them.
* `effect_bumps`: sites within 200 bases act on a splice site directly, too, by a smooth function of
  the distance that is added to its log-odds, past gate and LSTM.
* `cnn_channels`: a dilated residual network in place of attention and LSTM, for comparison.
* `inner_channels`: fewer channels than C between the two convolutions of the aggregator's residual
  units.

Training
* The core models are trained on sampled positions: each step draws true sites, decoys (AG or GT
  that are no site) and other bases, weighted by the inverse of the rate at which they are drawn.
* They may be trained on with the rest (`train_core`): still models of 23 and 9 bases, but then they
  give what serves the aggregator best, no longer the probability of a site.
* The density falls geometrically, and reaches its end after a share of the steps; in the paper it
  falls whenever validation accuracy reaches a target (`density_schedule = "accuracy"`).
* Windows are drawn around sites and strong decoys more often than elsewhere, and may be changed
  away from sites (`mutate`, `indels`, `moved`); sites of an RBP may be silenced (`motif_dropout`).
* A run may start from the weights of another one, and several may be averaged; at the end the
  statistics of the norms are measured once more. With `keep_norms` they stay those of its start,
  since batches of a few windows say too little of them.
* The split is samvar's own. Genes of chr1 and chr3 are for validation and those of chr5 and chr7
  for test by default, those without paralogs alone, and train genes that share sequence with these
  are left out. The paper tests on chr1, chr3, chr5, chr7 and chr9.

Evaluation
* The sites of alternative and of new exons are counted among the best k bases of the genes they lie
  in; k is the number of annotated sites of these genes, the same for each class of exons.
* Module substitution: the FM's aggregator reads AM sites as it is, without being trained on them.
* eCLIP peaks are taken as they are, unless lengthened by 50 bases at the 5' end (`--extend5 50`).
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

from .bottleneck import ACCEPTOR_CORE, BRANCH_POINT_CORE, DONOR_CORE, LSSI_FLOOR, Detection
from .device import SMALL_ROW, same_anywhere
from .dilated import GROUPS, DilatedNet

NONE, ACCEPTOR, DONOR, BRANCH_POINT = 0, 1, 2, 3
A, C, G, T = range(4)
NO_AFFINITY = -80.0  # logarithm of affinities that are as good as none
LEAST_AFFINITY = 1e-9  # those below are as good as none
FOLLOW = 0.1  # of the way that a threshold moves to a batch's quantile, unless told otherwise
LSSI_SPAN = {  # bases before and after the site's own base
    ACCEPTOR: (20, 2),
    DONOR: (2, 6),
    BRANCH_POINT: (8, 6),
}
NO_SCORE = -1e4  # of a base that can be no core site: no floor comes down to it
NO_BRANCH_POINTS = 1e9  # a floor of branch points that none comes up to: they need no scores
NO_SITE = -20.0  # added to the log-odds of a splice site without a core score (`core_needed`)
MOTIF_REACH = 10  # of an adjusted motif, on either side; a fixed motif reaches 5
DETECT_REACH = (20, MOTIF_REACH)  # bases that `detect` needs before and after a position


@dataclass(frozen=True)
class Config:
    """Shape of a model. `kind` is "fm" (fixed motifs) or "am" (adjusted motifs); `channels` is the
    width C."""

    kind: str = "am"
    channels: int = 64
    lssi_channels: int = 100
    attention_reach: int = 200
    attention_dim: int = 32
    lstm_units: int = 40
    stack_widths: tuple[int, ...] = (7, 7, 7, 7)
    adjust_widths: tuple[int, ...] = (3, 3, 3, 3, 3, 1, 1, 1, 1, 1)
    temperature: float = 1.0  # of the probabilities at evaluation; training is at 1
    # What the paper's model does not have; at these values the model is the paper's
    canonical: bool = False  # core scores at AG and AC, GT, GC and AT alone
    core_needed: bool = False  # no splice site where its core score is at the floor
    branch_point: bool = False  # a third core model, of branch points
    candidates: float = 2.0  # AM: sites of fixed motifs that are adjusted, per site that is kept
    candidates_each: bool = False  # AM: candidates of each RBP are counted for itself
    least_share: float = 0.0  # of the density, that each RBP keeps; 0: there may be none
    faint_candidates: float = 0.0  # AM: weaker ones are adjusted in proportion to their strength
    learnt_motifs: int = 0  # motifs learnt from sequence alone
    learnt_channels: int = 64  # width of their network
    effect_bumps: int = 0  # direct effects on sites within `attention_reach`; 0: none
    cnn_channels: int = 0  # a cnn of this width as aggregator; 0: attention and LSTM
    inner_channels: int = 0  # within the aggregator's residual units; 0: `channels`

    def __post_init__(self):
        if self.kind not in ("fm", "am"):
            raise ValueError(f"kind must be 'fm' or 'am', not {self.kind!r}")
        object.__setattr__(self, "stack_widths", tuple(self.stack_widths))
        object.__setattr__(self, "adjust_widths", tuple(self.adjust_widths))
        if stack_reach(self.adjust_widths) > MOTIF_REACH:
            raise ValueError(f"adjust_widths reach further than {MOTIF_REACH} bases")

    @property
    def aggregate_reach(self) -> int:
        """Bases that `aggregate` needs on either side of a scored position."""
        return 2 * stack_reach(self.stack_widths) + self.attention_reach

    @property
    def reach(self) -> tuple[int, int]:
        """Bases before and after a scored position that it depends on, the LSTM apart: (268, 258)
        at full size."""
        return DETECT_REACH[0] + self.aggregate_reach, DETECT_REACH[1] + self.aggregate_reach

    def to_dict(self) -> dict:
        return asdict(self)


BEYOND_THE_PAPER = (
    "canonical",
    "core_needed",
    "branch_point",
    "candidates",
    "candidates_each",
    "least_share",
    "faint_candidates",
    "learnt_motifs",
    "learnt_channels",
    "effect_bumps",
    "cnn_channels",
    "inner_channels",
)


def stack_reach(widths: tuple[int, ...]) -> int:
    """Bases on either side seen by a `Stack`: two convolutions a unit."""
    return sum(w - 1 for w in widths)


def crop(x: torch.Tensor, left: int, right: int) -> torch.Tensor:
    """Drop `left` and `right` positions from the last axis."""
    return x[..., left : x.shape[-1] - right]


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


# ------------------------------------------------------------------------------ panel a: core sites


class CoreSite(nn.Module):
    """One core splice-site model: a convolution over `left + 1 + right` bases, five 1x1 layers, one
    log-probability."""

    TOGETHER = 64  # windows in one call

    def __init__(self, left: int, right: int, channels: int = 100):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(4, channels, (1, left + 1 + right)), nn.ReLU()]
        for _ in range(5):
            layers += [nn.Conv2d(channels, channels, 1), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))

    def forward(self, x):  # (N, 4, L) -> log-odds (N, L - left - right)
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return self.net(x)[:, 0, 0]

    def of_windows(self, windows):
        """(M, 4, left + 1 + right) -> log-odds (M,): as `forward`, one position each."""
        if self.training:
            return self._of_windows(windows)
        # In calls of one size, which a row's digits depend on
        pieces = windows.split(self.TOGETHER)
        found = [
            self._of_windows(F.pad(p, (0, 0, 0, 0, 0, self.TOGETHER - len(p)))) for p in pieces
        ]
        return torch.cat(found)[: len(windows)]

    def _of_windows(self, windows):
        first, *others, last = (layer for layer in self.net if isinstance(layer, nn.Conv2d))
        h = F.linear(windows.flatten(1), first.weight.flatten(1), first.bias).relu()
        for layer in others:
            h = F.linear(h, layer.weight.flatten(1), layer.bias).relu()
        return (h * last.weight.flatten()).sum(1) + last.bias


class LSSI(nn.Module):
    """Acceptor and donor models side by side (panel a), trained first; then frozen, or trained on
    with the rest. With `branch_point` a third one, of branch points, whose floor moves such that a
    share `branch_density` of the bases stands above it."""

    def __init__(self, channels: int = 100, canonical: bool = False, branch_point: bool = False):
        super().__init__()
        self.channels, self.canonical = channels, canonical
        self.acceptor = CoreSite(*LSSI_SPAN[ACCEPTOR], channels)
        self.donor = CoreSite(*LSSI_SPAN[DONOR], channels)
        self.branch_point = None
        if branch_point:
            self.branch_point = CoreSite(*LSSI_SPAN[BRANCH_POINT], channels)
            self.branch_norm = Norm(1)  # else scores, and their floor, fall without end
            self.register_buffer("branch_floor", torch.tensor(LSSI_FLOOR))
            self.branch_density, self.follow = 1.0, FOLLOW

    def forward(self, x):
        """x (N, 4, L) -> core scores (N, K, L - 26): acceptor, donor and, with it, branch point, of
        positions 20 .. L - 7."""
        return self.floored(self.scores(x))

    def scores(self, x):
        """As `forward`, but not floored: log-probabilities, of branch points normalised log-odds;
        NO_SCORE where there can be no site."""
        before, after = LSSI_SPAN[ACCEPTOR][0], LSSI_SPAN[DONOR][1]
        n = x.shape[-1] - before - after

        def base(shift, *codes):  # (N, n): whether the base so far on is one of these
            return x[:, list(codes), before + shift : before + shift + n].sum(1) > 0

        if self.canonical:
            acceptors = base(-2, A) & base(-1, G, C)
            donors = (base(1, G) & base(2, T, C)) | (base(1, A) & base(2, T))
        else:  # wherever the core intronic bases are known
            acceptors = base(-2, A, C, G, T) & base(-1, A, C, G, T)
            donors = base(1, A, C, G, T) & base(2, A, C, G, T)
        models = [(self.acceptor, ACCEPTOR, acceptors), (self.donor, DONOR, donors)]
        if self.branch_point is not None:
            branch_points = base(0, A)
            if not self.training and self.branch_floor >= NO_BRANCH_POINTS:
                branch_points = torch.zeros_like(branch_points)
            models.append((self.branch_point, BRANCH_POINT, branch_points))
        score = self._at_sites if self.canonical else self._everywhere
        return torch.stack([score(x, *each, before, after) for each in models], 1)

    def _everywhere(self, x, core, kind, possible, before, after):
        left, right = LSSI_SPAN[kind]
        found = self._scaled(core(crop(x, before - left, after - right)), kind, possible)
        return torch.where(possible, found, NO_SCORE)

    def _at_sites(self, x, core, kind, possible, before, after):
        """The same, computed at the possible sites alone."""
        left, right = LSSI_SPAN[kind]
        row, at = possible.nonzero(as_tuple=True)
        span = torch.arange(before - left, before + right + 1, device=x.device)
        windows = x[row[:, None], :, at[:, None] + span].transpose(1, 2)
        found = self._scaled(core.of_windows(windows)[None], kind, torch.ones_like(at)[None])[0]
        return torch.full_like(x[:, 0, : possible.shape[1]], NO_SCORE).index_put((row, at), found)

    def _scaled(self, log_odds, kind, possible):  # (N, n), (N, n) -> (N, n)
        """What a core model of this kind says is passed on as."""
        if kind != BRANCH_POINT:
            return F.logsigmoid(log_odds)
        rows = log_odds[:, None, None], possible[:, None, None].to(log_odds.dtype)
        return self.branch_norm(*rows)[:, 0, 0]

    def floored(self, scores):
        """(N, K, L) -> the same, at least LSSI_FLOOR; a branch point by how far it stands above
        its own floor."""
        if self.branch_point is None:
            return scores.clamp(min=LSSI_FLOOR)
        branch = scores[:, 2]
        if self.training:
            some = scores[:, 2:].detach()[..., ::2]
            q = quantile(some, torch.ones_like(some), self.branch_density, self.branch_floor)
            self.branch_floor.lerp_(q, self.follow)
        branch = LSSI_FLOOR + F.relu(branch - self.branch_floor)
        return torch.cat([scores[:, :2].clamp(min=LSSI_FLOOR), branch.unsqueeze(1)], 1)


# ---------------------------------------------------------------------------- panel b: fixed motifs


class FixedMotifs(nn.Module):
    """f_r(p) = 5 * sum_k (A0_k / max A0) * prod_j PSAM_k[j, x_{p+j-5}], all PSAMs as one
    convolution of log-affinities.

    log_psam  (K, 4, 11): logarithm of the affinities, columns at p-5 .. p+5
    mix       (R, K): 5 A0_k / max A0 where PSAM k is one of RBP r's, else 0
    """

    log_psam: torch.Tensor
    mix: torch.Tensor

    def __init__(self, log_psam: torch.Tensor, mix: torch.Tensor):
        super().__init__()
        self.register_buffer("log_psam", log_psam)
        self.register_buffer("mix", mix)

    @classmethod
    def from_psams(cls, psam, a0, rbp) -> FixedMotifs:
        """From affinities (K, 11, 4) relative to the best base (1 in a column that is not there),
        the affinity scale A0 (K,) of each PSAM and the index (K,) of its RBP."""
        mix = torch.zeros(int(rbp.max()) + 1, len(rbp))
        mix[rbp, torch.arange(len(rbp))] = a0.float()
        mix = 5 * mix / mix.amax(1, keepdim=True)
        return cls(psam.float().clamp(min=1e-12).log().transpose(1, 2).contiguous(), mix)

    def forward(self, x):
        """x (N, 4, L) -> affinities (N, R, L - 10); unknown bases have factor 1, an unknown centre
        gives 0."""
        with torch.autocast(x.device.type, enabled=False):
            filters = self.log_psam.unsqueeze(2)
            affinity = F.conv2d(
                x.unsqueeze(2).contiguous(memory_format=torch.channels_last), filters
            )
            # An exp that underflows takes five times as long
            affinity.clamp_(min=NO_AFFINITY).exp_()
            f = F.conv2d(affinity, self.mix[:, :, None, None]).squeeze(2)
            return f * crop(x, 5, 5).sum(1, keepdim=True)


# ---------------------------------------------------------------------------- panel c: sparse layer


class Norm(nn.BatchNorm2d):
    """Batch norm whose training statistics can be confined to known positions and are shared over
    all ranks."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def forward(self, x, known=None):  # x (N, C, 1, L), known (N, 1, 1, L) or None
        if not self.training or (known is None and not _distributed()):
            return super().forward(x)
        x = x.float()
        weight = torch.ones_like(x[:, :1]) if known is None else known
        sums = torch.cat(
            [(x * weight).sum((0, 2, 3)), (x * x * weight).sum((0, 2, 3)), weight.sum().view(1)]
        )
        if _distributed():
            sums = _SumOverRanks.apply(sums)
        total = sums[-1].clamp(min=1)
        mean = sums[: self.num_features] / total
        var = (sums[self.num_features : -1] / total - mean * mean).clamp(min=0)
        with torch.no_grad():
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(var.detach() * total / (total - 1).clamp(min=1), self.momentum)
            self.num_batches_tracked += 1
        scale = torch.rsqrt(var + self.eps)
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)

    def line(self):
        """Scale and shift (C,) that it stands for at evaluation."""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - scale * self.running_mean


class Sparse(nn.Module):
    """y = ReLU(norm(x) - t), with one t for all channels such that a share `density` of the values
    stays above it; with `least`, lower where a channel would keep less than `least` x `density`.

    In training t follows the batch's quantile, t <- 0.9 t + 0.1 q, without gradient; at evaluation
    it is frozen. `density` is set by the trainer. The quantile is taken over every fourth position,
    and is the mean over ranks.
    """

    threshold: torch.Tensor

    def __init__(self, channels: int, affine: bool, least: float = 0.0):
        super().__init__()
        self.norm = Norm(channels, affine=affine)
        self.register_buffer("threshold", torch.zeros((channels, 1) if least else ()))
        self.density, self.least, self.follow = 1.0, least, FOLLOW

    def forward(self, x, known):  # x (N, R, L), known (N, 1, L) -> (N, R, L)
        z = self.norm(x.unsqueeze(2), known.unsqueeze(2)).squeeze(2)
        if self.training:
            q = self._quantile(z.detach()[..., ::4], known[..., ::4])
            self.threshold.lerp_(q, self.follow)
        return F.relu(z - self.threshold) * known

    def above(self, x, known):
        """x (N, R, L), known (N, 1, L) -> by how much values stand above the threshold, or below
        it; neither norm nor threshold moves."""
        return self.norm(x.unsqueeze(2), known.unsqueeze(2)).squeeze(2) - self.threshold

    def _quantile(self, z, known):
        common = quantile(z, known, self.density, self.threshold.max())
        if not self.least:
            return common
        return torch.minimum(common, quantile(z, known, self.least * self.density, self.threshold))


class Candidates(nn.Module):
    """Of each RBP the share `density` of the bases with the highest affinities: by how many nats
    these stand above the RBP's threshold. Thresholds move as those of `Sparse`."""

    threshold: torch.Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("threshold", torch.zeros(channels, 1))
        self.density, self.follow = 1.0, FOLLOW

    def forward(self, f, known):  # affinities (N, R, L), known (N, 1, L) -> (N, R, L)
        z = f.clamp(min=LEAST_AFFINITY).log()
        if self.training:
            q = quantile(z.detach()[..., ::4], known[..., ::4], self.density, self.threshold)
            self.threshold.lerp_(q, self.follow)
        return F.relu(z - self.threshold) * known


def quantile(
    z: torch.Tensor, known: torch.Tensor, share: float, otherwise: torch.Tensor
) -> torch.Tensor:
    """The value above which a share `share` of z (N, C, L) lies, at positions that are `known`
    (N, 1, L); the mean over ranks. `otherwise`: what it is where none is known. Of the shape of
    `otherwise`: () over all channels, (C, 1) of each."""
    values = z.transpose(1, 2)[known[:, 0] > 0]  # (n, C)
    values = values.T.contiguous() if otherwise.dim() else values.flatten()
    n = values.shape[-1]
    k = max(int(round((1 - share) * n)), 1)
    if not n:
        q = otherwise.clone()
    elif values.is_cuda or torch.are_deterministic_algorithms_enabled():  # faster there
        q = values.sort(-1).values[..., k - 1].clone().view_as(otherwise)
    else:
        q = torch.kthvalue(values, k).values.view_as(otherwise)
    if _distributed():
        dist.all_reduce(q)
        q = q / dist.get_world_size()
    return q


# -------------------------------------------------------------------------- panel f: residual stack


class Unit(nn.Module):
    """Pre-activation residual unit: (norm, ReLU, convolution of width w) twice, plus its input;
    `inner` channels between the two convolutions."""

    def __init__(self, channels: int, width: int, inner: int):
        super().__init__()
        self.width = width
        self.norm1, self.norm2 = Norm(channels), Norm(inner)
        self.conv1 = nn.Conv2d(channels, inner, (1, width))
        self.conv2 = nn.Conv2d(inner, channels, (1, width))

    def forward(self, x):  # (N, C, 1, L) -> (N, C, 1, L - 2 (w - 1))
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        return crop(x, self.width - 1, self.width - 1) + y


class FoldedUnit(nn.Module):
    """A trained `Unit` with less work, the same but for rounding: the first norm is one scale and
    shift, the second one lies within the first convolution."""

    def __init__(self, unit: Unit):
        super().__init__()
        self.width = unit.width
        self.narrow = unit.conv2.in_channels < unit.conv1.in_channels
        scale, shift = (x.view(1, -1, 1, 1) for x in unit.norm1.line())
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        scale, shift = unit.norm2.line()
        self._keep(
            "1", unit.conv1.weight * scale.view(-1, 1, 1, 1), unit.conv1.bias * scale + shift
        )
        self._keep("2", unit.conv2.weight, unit.conv2.bias)

    def _keep(self, number, weight, bias):
        weight = weight.contiguous(memory_format=torch.channels_last)  # as its input lies
        self.register_buffer(f"weight{number}", weight)
        self.register_buffer(f"bias{number}", bias)

    def forward(self, x):  # as `Unit`
        y = torch.addcmul(self.shift, x, self.scale).relu_()
        y = F.conv2d(y, self.weight1, self.bias1).relu_()
        if self.narrow and len(x) == 1 and y.numel() <= SMALL_ROW < x.numel() and same_anywhere():
            y = torch.cat([y, y])  # its digits alone are others than those beside a second row
        y = F.conv2d(y, self.weight2, self.bias2)[: len(x)]
        return y.add_(crop(x, self.width - 1, self.width - 1))


class Stack(nn.Module):
    """1x1 in to C channels, residual units, 1x1 out; the output is shorter by `stack_reach` on
    either side. `inner`: channels within the units; 0: C."""

    def __init__(
        self, c_in: int, c_out: int, channels: int, widths: tuple[int, ...], inner: int = 0
    ):
        super().__init__()
        self.enter = nn.Conv2d(c_in, channels, 1)
        self.units = nn.Sequential(*(Unit(channels, w, inner or channels) for w in widths))
        self.leave = nn.Conv2d(channels, c_out, 1)

    def forward(self, x):  # (N, c_in, L) -> (N, c_out, L - 2 reach)
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return self.leave(self.units(self.enter(x))).squeeze(2)

    def fold(self):
        """Replace the units, for good, by folded ones: for a trained model that is only read."""
        self.units = nn.Sequential(*(FoldedUnit(u) for u in self.units))


# ------------------------------------------------------------------------- panel g: adjusted motifs


class Motifs(nn.Module):
    """Fixed motifs behind the sparse layer, or (kind "am") fixed motifs, adjusted, behind the
    sparse layer; then, where there are any, motifs learnt from sequence alone."""

    def __init__(self, config: Config, fixed: FixedMotifs):
        super().__init__()
        n = fixed.mix.shape[0]
        self.kind, self.channels = config.kind, n + config.learnt_motifs
        self.candidates, self.faint = config.candidates, config.faint_candidates
        self.fixed = fixed
        self.main = Sparse(n, affine=True, least=config.least_share)
        if config.kind == "am":
            self.pre = Candidates(n) if config.candidates_each else Sparse(n, affine=False)
            self.adjust = Stack(4, n, config.channels, config.adjust_widths)
            self.adjust_crop = MOTIF_REACH - stack_reach(config.adjust_widths)
        self.learnt = None
        if config.learnt_motifs:
            self.learnt = LearntMotifs(config.learnt_motifs, config.learnt_channels)

    def set_density(self, density: float, learnt: float | None = None) -> None:
        """Target share of non-zero values in training, and of the learnt motifs' (the same if
        None); the AM's candidates are `candidates` times as many."""
        self.main.density = density
        if self.kind == "am":
            self.pre.density = min(self.candidates * density, 1.0)
        if self.learnt is not None:
            self.learnt.sparse.density = density if learnt is None else learnt

    def forward(self, x):
        """x (N, 4, L) -> motif activations (N, channels, L - 20), zero but for a share
        `density`."""
        known = crop(x, MOTIF_REACH, MOTIF_REACH).sum(1, keepdim=True)
        inner = crop(x, MOTIF_REACH - 5, MOTIF_REACH - 5)
        f = self.fixed(inner)
        sites = self.main(f, known) if self.kind == "fm" else self._adjusted(x, f, known)
        return sites if self.learnt is None else torch.cat([sites, self.learnt(inner, known)], 1)

    def _adjusted(self, x, f, known):
        adjusted, chosen = self._candidates(x, f, known)
        return self.main(adjusted, known) * chosen

    def _candidates(self, x, f, known):
        """Candidates, adjusted, and where they are (1, else 0), each (N, RBPs, L)."""
        candidate = self.pre(f, known)
        chosen = (candidate > 0).float()
        adjustment = self.adjust(crop(x, self.adjust_crop, self.adjust_crop)).float()
        if self.faint:
            adjustment = adjustment * (candidate / self.faint).clamp(max=1)
        return chosen * (candidate + adjustment), chosen

    def above(self, x):
        """x (N, 4, L) -> by how much an AM's candidates stand above the threshold, or below it, and
        where they are (1, else 0), each (N, RBPs, L - 20); at evaluation alone."""
        known = crop(x, MOTIF_REACH, MOTIF_REACH).sum(1, keepdim=True)
        f = self.fixed(crop(x, MOTIF_REACH - 5, MOTIF_REACH - 5))
        adjusted, chosen = self._candidates(x, f, known)
        return self.main.above(adjusted, known), chosen


class LearntMotifs(nn.Module):
    """Motifs of 11 bases that no protein's affinities were measured for, behind a sparse layer of
    their own."""

    def __init__(self, motifs: int, channels: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(4, channels, (1, 11)),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, motifs, 1),
        )
        self.sparse = Sparse(motifs, affine=True)

    def forward(self, x, known):  # x (N, 4, L + 10), known (N, 1, L) -> (N, motifs, L)
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return self.sparse(self.net(x).squeeze(2).float(), known)


# ----------------------------------------------------------------------- panels d and e: aggregator


class BandedAttention(nn.Module):
    """One head over |i - j| <= reach: softmax(q_i . k_j / sqrt(d) + bias[j - i]) weights v_j; in
    blocks of queries."""

    BLOCK = 128

    def __init__(self, channels: int, dim: int, reach: int):
        super().__init__()
        self.query, self.key = nn.Conv1d(channels, dim, 1), nn.Conv1d(channels, dim, 1)
        self.bias = nn.Parameter(
            -torch.arange(-reach, reach + 1).abs() / 25.0
        )  # near before far, to start with
        self.reach = reach

    def forward(self, v):  # (N, c, L) -> (N, c, L - 2 reach)
        n, b, span = v.shape[-1] - 2 * self.reach, self.BLOCK, self.BLOCK + 2 * self.reach
        q = (
            crop(self.query(v), self.reach, self.reach).transpose(1, 2)
            * self.query.out_channels**-0.5
        )
        k = self.key(v)
        # bias[i, j]: of the block's query i for its key j, which lies j - i - reach from it
        bias = F.pad(self.bias, (b - 1, b - 1), value=float("-inf")).unfold(0, span, 1).flip(0)
        out = []
        for start in range(0, n, b):
            end = min(start + b, n)
            keys = slice(start, end + 2 * self.reach)
            score = (
                q[:, start:end] @ k[..., keys] + bias[: end - start, : end - start + 2 * self.reach]
            )
            out.append(torch.softmax(score, -1).to(v.dtype) @ v[..., keys].transpose(1, 2))
        return torch.cat(out, 1).transpose(1, 2)

    def at(self, v, positions):
        """v (L, c) of one sequence, `positions` (M,) among the L - 2 reach, M > 0 -> (M, c): as
        `forward`, there alone."""
        q = self._linear(self.query, v[positions + self.reach]) * self.query.out_channels**-0.5
        # bias[m, j]: of query m for key j, which lies j - positions[m] - reach from it
        far = F.pad(self.bias, (len(v), len(v)), value=float("-inf")).unfold(0, len(v), 1)
        score = torch.addmm(far[len(v) - positions], q, self._linear(self.key, v).T)
        return torch.softmax(score, -1) @ v

    @staticmethod
    def _linear(conv, v):
        return F.linear(v, conv.weight[..., 0], conv.bias)


class DirectEffects(nn.Module):
    """What a site of the bottleneck does to a splice site by its distance alone: an RNA map.

    The log-odds of acceptor and donor move by a sum over the sites within `reach`; each channel's
    share is a smooth function of the distance, made of `bumps` triangles on either side that are
    narrow near the splice site and wide far from it. Motif sites count by log(1 + activation).
    """

    BLOCK = 128

    def __init__(self, core: int, motifs: int, bumps: int, reach: int):
        super().__init__()
        self.core, self.reach = core, reach
        self.weight = nn.Parameter(torch.zeros(2, core + motifs, 2 * bumps))
        self.register_buffer("bumps", self._triangles(bumps, reach), persistent=False)

    @staticmethod
    def _triangles(bumps: int, reach: int) -> torch.Tensor:  # (2 bumps, 2 reach + 1)
        peaks = np.concatenate(([0.0], np.geomspace(min(3.0, reach), reach, bumps - 1)))
        side = np.stack([np.interp(np.arange(reach + 1), peaks, row) for row in np.eye(bumps)])
        none = np.zeros((bumps, reach))
        after, before = np.hstack((none, side)), np.hstack((side[:, ::-1], none))
        return torch.tensor(np.concatenate((before, after)), dtype=torch.float32)

    def forward(self, u):  # (N, channels, L) -> (N, 2, L - 2 reach): acceptor, donor
        n, b, span = u.shape[-1] - 2 * self.reach, self.BLOCK, self.BLOCK + 2 * self.reach
        counted = torch.cat([u[:, : self.core], torch.log1p(u[:, self.core :])], 1)
        v = torch.einsum("kcb,zcl->zkbl", self.weight, counted)
        # bumps[., j, i]: of the block's position j for its base i, which lies i - j - reach from it
        bumps = F.pad(self.bumps, (b - 1, b - 1)).unfold(1, span, 1).flip(1)
        out = []
        for start in range(0, n, b):
            end = min(start + b, n)
            bases = slice(start, end + 2 * self.reach)
            near = bumps[:, : end - start, : end - start + 2 * self.reach]
            near = near.transpose(1, 2).flatten(0, 1)  # (bumps x bases, positions)
            out.append(v[..., bases].flatten(2) @ near)
        return torch.cat(out, 2)

    def of_sites(self, u):
        """As `forward`, of the few entries alone that are not 0; no digit depends on other rows."""
        maps = F.pad((self.weight @ self.bumps).flip(2), (self.BLOCK - 1, self.BLOCK - 1))
        n, u = u.shape[-1] - 2 * self.reach, u.transpose(1, 2)
        out = []
        for start in range(0, n, self.BLOCK):
            end = min(start + self.BLOCK, n)
            near = u[:, start : end + 2 * self.reach]
            # numpy finds them in a fraction of the time that torch takes
            found = np.flatnonzero(near.detach().cpu().numpy() != 0)
            entries = np.unravel_index(found, near.shape)
            row, base, channel = (torch.from_numpy(i).to(u.device) for i in entries)
            value = near[row, base, channel]
            counted = torch.where(channel < self.core, value, torch.log1p(value.clamp(min=0)))
            # What an entry does to each position of the block: a piece of its channel's map
            pieces = maps.unfold(2, end - start, 1)
            effects = pieces[:, channel, 2 * self.reach + self.BLOCK - 1 - base] * counted[:, None]
            rows = effects.split(torch.bincount(row, minlength=len(u)).tolist(), 1)
            out.append(torch.stack([of_row.sum(1) for of_row in rows]))
        return torch.cat(out, 2)


class Readout(nn.Module):
    """What every aggregator begins and ends with: the bottleneck as one tensor, and the core scores
    added to what is read from it."""

    def __init__(self, config: Config, core: int, motifs: int):
        super().__init__()
        self.reach, self.attention_reach = config.aggregate_reach, config.attention_reach
        self.lssi_in = nn.Linear(core, core, bias=False)
        self.lssi_out = nn.Linear(2, 3)
        self.effects: DirectEffects | None = None  # a subclass makes them last, as checkpoints have
        self.core_needed = config.core_needed
        self.temperature = config.temperature
        self._initialise_core()

    def _make_effects(self, config: Config, core: int, motifs: int) -> None:
        if config.effect_bumps:
            self.effects = DirectEffects(core, motifs, config.effect_bumps, config.attention_reach)

    @torch.no_grad()
    def _initialise_core(self) -> None:
        """Before training the core term is the LSSI."""
        self.lssi_in.weight.copy_(torch.eye(self.lssi_in.in_features))
        self.lssi_out.weight.copy_(torch.eye(3)[:, 1:])
        self.lssi_out.bias.zero_()

    def embed(self, core, motifs):  # (N, K, L), (N, M, L) -> u (N, K + M, L)
        scaled = self.lssi_in(core.transpose(1, 2) / -LSSI_FLOOR + 1)
        return torch.cat([scaled, motifs.transpose(1, 2)], 2).transpose(1, 2)

    def direct(self, u):
        """u (N, K + M, n + 2 attention reach) -> direct effects (N, 2, n), None where the model has
        none."""
        return None if self.effects is None else self.effects(u)

    def direct_of_sites(self, u):
        """As `direct`, for the few positions that hold something."""
        return None if self.effects is None else self.effects.of_sites(u)

    def log_probabilities(self, found, core, direct=None):
        """What was read from the bottleneck (N, n, 3), core scores (N, K, n) and direct effects (N,
        2, n) -> log-probabilities (N, 3, n)."""
        out = found + self.lssi_out(core[:, :2].transpose(1, 2).float())
        if direct is not None:
            out = out + F.pad(direct.transpose(1, 2).float(), (1, 0))
        if self.core_needed:
            above_floor = core[:, :2].transpose(1, 2).float() - LSSI_FLOOR
            # In fp64: the last digit of an exp depends on where in memory a base stands
            absence = torch.exp(-above_floor.double()).float()
            out = out + F.pad(NO_SITE * absence, (1, 0))
        if not self.training:
            out = out / self.temperature
            if self.core_needed:  # at any temperature
                out = out + F.pad(NO_SITE * (above_floor == 0), (1, 0))
        return torch.log_softmax(out, -1).transpose(1, 2)


class Aggregator(Readout):
    """From the core scores and the motif sites of every base to the log-probabilities of none,
    acceptor, donor."""

    SITES_TOGETHER = 512  # positions whose sites attend at once, where only sites do

    def __init__(self, config: Config, core: int, motifs: int):
        super().__init__(config, core, motifs)
        n = core + motifs
        shape = config.channels, config.stack_widths, config.inner_channels
        self.first = Stack(n, n, *shape)
        self.attention = BandedAttention(n, config.attention_dim, config.attention_reach)
        self.second = Stack(n, 2 * config.lstm_units, *shape)
        self.lstm = nn.LSTM(
            2 * config.lstm_units, config.lstm_units, batch_first=True, bidirectional=True
        )
        self.classes = nn.Linear(2 * config.lstm_units, 3)
        self._make_effects(config, core, motifs)
        self._initialise(config)

    @torch.no_grad()
    def _initialise(self, config: Config) -> None:
        """Before training every site passes the gate (w = 1) and the LSTM remembers some 1 to 400
        bases (forget gates as in chrono initialisation, Tallec & Ollivier 2018)."""
        self.first.leave.bias.fill_(1.0)
        units = config.lstm_units
        for direction in ("", "_reverse"):
            memory = torch.empty(units).uniform_(1, 400).log()
            bias = getattr(self.lstm, f"bias_ih_l0{direction}")
            getattr(self.lstm, f"bias_hh_l0{direction}").zero_()
            bias.zero_()
            bias[:units], bias[units : 2 * units] = -memory, memory  # input and forget gates

    def forward(self, core, motifs):  # (N, K, L), (N, M, L) -> (N, 3, L - 2 reach)
        u = self.embed(core, motifs)
        v = self.first(u)
        edge = (u.shape[-1] - v.shape[-1]) // 2 + self.attention.reach
        g = self.gate(v, crop(u, edge, edge))
        edge = self.reach - self.attention.reach
        direct = self.direct(crop(u, edge, edge))
        return self.read(self.second(g), crop(core, self.reach, self.reach), direct=direct)

    def gate(
        self, v, u
    ):  # v (N, 81, L), u (N, 81, L - 2 attention reach) -> g: influence only where a site is
        return self.attention(v) * u

    def gate_at_sites(self, v, u, attention=None):
        """As `gate`, computed where u holds something: few positions, which are all that pass. By
        the model's own attention or a copy of it."""
        attention = attention or self.attention
        rows = [self._passed(*row, attention) for row in zip(v.transpose(1, 2), u.transpose(1, 2))]
        return torch.stack(rows).transpose(1, 2)

    def _passed(self, v, u, attention):
        """v (L, 81), u (L - 2 attention reach, 81) -> g, as long as u"""
        g = torch.zeros_like(u)
        for start in range(0, len(u), self.SITES_TOGETHER):
            end = min(start + self.SITES_TOGETHER, len(u))
            sites = u[start:end].abs().amax(1).nonzero()[:, 0]  # `any` takes three times as long
            if len(sites):
                near = v[start : end + 2 * self.attention.reach]
                # A copy: the last digits of a product depend on where in memory a matrix starts
                passed = attention.at(near.clone(), sites)
                g = g.index_copy(0, sites + start, passed * u[sites + start])
        return g

    def read(self, h, core, direct=None, before=None, after=None, like=None, lengths=None):
        """h (N, 2 units, L), core scores (N, K, n) and direct effects (N, 2, n) of the middle n
        positions -> their log-probabilities (N, 3, n). The LSTM sees all positions; each direction
        stops after the last one that is asked for. `before` (R, 2 units, b), `after` (R, 2 units,
        a): positions before and after those L, which several rows share, and which are read once:
        row i lies between those of row `like[i]` (N,), or 0. None of the n is among them.
        `lengths` (N,): positions L that are a row's own, where rows differ; those after them, and
        as many after its n, are of no account."""
        n, h = core.shape[-1], h.permute(2, 0, 1).float()  # (L, N, 2 units)
        before, after = (
            h[:0, :1] if x is None else x.permute(2, 0, 1).float() for x in (before, after)
        )
        like = torch.zeros(h.shape[1], dtype=torch.long, device=h.device) if like is None else like
        margin = (len(before) + len(h) + len(after) - n) // 2
        with torch.autocast(h.device.type, enabled=False):
            if margin or lengths is not None:
                first, last = margin - len(before), len(h) - (margin - len(after))
                own = compared = None
                if lengths is not None:
                    own, compared = lengths - first, lengths - len(h) + n
                forward = self._direction("", before, h[:last], like)
                backward = self._direction("_reverse", turned(after), turned(h[first:], own), like)
                memory = torch.cat((forward[-n:], turned(backward[-n:], compared)), 2)
                memory = memory.transpose(0, 1)
            else:
                memory = self.lstm(h.transpose(0, 1))[0]
            return self.log_probabilities(self.classes(memory), core, direct)

    def _direction(self, suffix: str, shared, h, like):
        """h (L, N, 2 units), row i after row `like[i]` of `shared` (S, R, 2 units) -> (L, N,
        units), one way of the LSTM."""
        weights = [
            getattr(self.lstm, f"{w}_l0{suffix}")
            for w in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]

        def run(x, state):
            return torch.lstm(x, state, weights, True, 1, 0.0, self.training, False, False)

        def nothing(rows):
            return (h.new_zeros(1, rows.shape[1], self.lstm.hidden_size),) * 2

        if not len(shared):
            return run(h, nothing(h))[0]
        state = run(shared, nothing(shared))[1:]
        return run(h, tuple(s[:, like] for s in state))[0]


class CnnAggregator(Readout):
    """A dilated residual network in place of attention and LSTM: a control of what these are worth.
    It reads 200 bases on either side, and nothing beyond."""

    def __init__(self, config: Config, core: int, motifs: int):
        super().__init__(config, core, motifs)
        self.net = DilatedNet(core + motifs, config.cnn_channels, GROUPS[:2])
        self._make_effects(config, core, motifs)

    def forward(self, core, motifs):  # (N, K, L), (N, M, L) -> (N, 3, L - 2 reach)
        u = self.embed(core, motifs)
        seen, near = self.reach - self.net.reach, self.reach - self.attention_reach
        found = self.net(crop(u, seen, seen)).transpose(1, 2).float()
        direct = self.direct(crop(u, near, near))
        with torch.autocast(u.device.type, enabled=False):
            return self.log_probabilities(found, crop(core, self.reach, self.reach), direct)


def turned(x, lengths=None):
    """The positions (L, N, ...) in reverse; `flip` takes longer. `lengths` (N,): of each row the
    first so many, those after them being of no account."""
    if lengths is None:
        return x.index_select(0, torch.arange(len(x) - 1, -1, -1, device=x.device))
    positions = lengths - 1 - torch.arange(len(x), device=x.device)[:, None]
    return x[positions.clamp(min=0), torch.arange(len(lengths), device=x.device)]


# ---------------------------------------------------------------------------------------- the model


class SAM(nn.Module):
    """The whole model. `reach` bases before and after the scored positions must be fed: see
    `Config.reach`."""

    def __init__(self, config: Config, fixed: FixedMotifs):
        super().__init__()
        self.config = config
        self.core = (ACCEPTOR_CORE, DONOR_CORE, BRANCH_POINT_CORE)[: 2 + config.branch_point]
        self.lssi = LSSI(config.lssi_channels, config.canonical, config.branch_point)
        self.motifs = Motifs(config, fixed)
        aggregator: type = CnnAggregator if config.cnn_channels else Aggregator
        self.aggregator = aggregator(config, len(self.core), self.motifs.channels)

    def detect(self, x, scores=None) -> Detection:
        """One-hot (N, 4, L) -> Detection of length L - 30: positions 20 .. L - 11. `scores`: what
        `self.lssi.scores(x)` gives, where that is at hand."""
        left, right = DETECT_REACH
        with torch.autocast(x.device.type, enabled=False):
            core = self.lssi.floored(self.lssi.scores(x) if scores is None else scores)
            core = crop(core, left - LSSI_SPAN[ACCEPTOR][0], right - LSSI_SPAN[DONOR][1])
        return Detection(core, crop(self.motifs(x), left - MOTIF_REACH, right - MOTIF_REACH))

    def aggregate(self, found: Detection) -> torch.Tensor:
        """Detection of length L -> log-probabilities (N, 3, L - 2 aggregate_reach) of none,
        acceptor, donor."""
        return self.aggregator(*found)

    def forward(self, x):
        """One-hot (N, 4, L) -> log-probabilities (N, 3, L - sum(reach))."""
        return self.aggregate(self.detect(x))


@torch.no_grad()
def for_scoring(model: SAM) -> SAM:
    """A copy that gives what the trained model does, but for rounding, in less time; its weights
    have no gradients."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for stack in [m for m in model.modules() if isinstance(m, Stack)]:
        stack.fold()
    return model


def one_hot(codes: torch.Tensor) -> torch.Tensor:
    """Base codes (N, L), 0-3 = A C G T and 4 = unknown -> one-hot float (N, 4, L), 0000 where
    unknown."""
    table = torch.cat([torch.eye(4, device=codes.device), torch.zeros(1, 4, device=codes.device)])
    return table[codes.long()].transpose(1, 2)


def warm_start_am(am: SAM, fm: SAM) -> None:
    """Start an AM as the trained FM: same aggregator, no adjustment, the FM's sites where they are
    candidates.

    The AM's main norm divides by the spread of its sparse input, which it has to be shown first:
    call this after the AM's norms have seen data (a few forward passes in training mode), so that
    scale and offset can be carried over.
    """
    am.aggregator.load_state_dict(fm.aggregator.state_dict())
    main, pre, source = am.motifs.main, am.motifs.pre, fm.motifs.main
    with torch.no_grad():
        am.motifs.adjust.leave.weight.zero_()
        am.motifs.adjust.leave.bias.zero_()
        pre.norm.running_mean.copy_(source.norm.running_mean)
        pre.norm.running_var.copy_(source.norm.running_var)
        std = torch.sqrt(main.norm.running_var + main.norm.eps)
        main.norm.weight.copy_(source.norm.weight * std)
        main.norm.bias.copy_(
            source.norm.bias + source.norm.weight * (pre.threshold + main.norm.running_mean)
        )
        main.threshold.copy_(source.threshold)
