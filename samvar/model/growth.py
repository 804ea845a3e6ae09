"""Weights of a smaller model in one with more channels of the bottleneck."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from .bottleneck import BRANCH_POINT_CORE, LSSI_FLOOR
from .sam import SAM, FixedMotifs

# Axes of the tensors that are channels of the bottleneck: all of them, core sites, fixed motifs
ALL, CORE, FIXED = "all", "core", "fixed"
CHANNEL_AXES = {
    "aggregator.lssi_in.weight": (CORE, CORE),
    "aggregator.first.enter.weight": (None, ALL),
    "aggregator.first.leave.weight": (ALL,),
    "aggregator.first.leave.bias": (ALL,),
    "aggregator.attention.query.weight": (None, ALL),
    "aggregator.attention.key.weight": (None, ALL),
    "aggregator.second.enter.weight": (None, ALL),
    "aggregator.net.enter.weight": (None, ALL),
    "aggregator.effects.weight": (None, ALL),
    "motifs.adjust.leave.weight": (FIXED,),
    "motifs.adjust.leave.bias": (FIXED,),
    **{
        f"motifs.{sparse}.norm.{tensor}": (FIXED,)
        for sparse in ("main", "pre")
        for tensor in ("weight", "bias", "running_mean", "running_var")
    },
    "motifs.main.threshold": (FIXED,),
    "motifs.pre.threshold": (FIXED,),
}
NEVER = 1e9  # a threshold above all activations
# What reads the bottleneck
READERS = tuple(name for name, axes in CHANNEL_AXES.items() if axes == (None, ALL))


def shared_motifs(
    ours: FixedMotifs, our_names: Sequence[str], theirs: FixedMotifs, their_names: Sequence[str]
) -> dict[int, int]:
    """Index of each fixed motif in `theirs` -> its index in `ours`, where name and affinities are
    the same."""
    place = {name: i for i, name in enumerate(our_names)}
    found = {}
    for i, name in enumerate(their_names):
        j = place.get(name)
        if j is not None and _same(_affinities(theirs, i), _affinities(ours, j)):
            found[i] = j
    return found


def _affinities(fixed: FixedMotifs, motif: int) -> tuple[torch.Tensor, torch.Tensor]:
    used = fixed.mix[motif] > 0
    return fixed.log_psam[used].cpu(), fixed.mix[motif, used].cpu()


def _same(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    return all(a.shape == b.shape and torch.allclose(a, b) for a, b in zip(one, other))


@torch.no_grad()
def forget_branch_points(model: SAM) -> None:
    """Have nothing read the branch-point channel of a model in which no base has such a score. It
    holds a mix of the two splice-site scores there: what is linear in it is read from these
    instead; what passes its gate is lost. From now on a branch point counts by its whole score, a
    splice site by a tenth."""
    aggregator, branch = model.aggregator, model.core.index(BRANCH_POINT_CORE)
    mix = aggregator.lssi_in.weight
    share = mix[branch, :branch] @ mix[:branch, :branch].inverse()
    linear = [aggregator.first.enter.weight]
    if aggregator.effects is not None:
        linear.append(aggregator.effects.weight)
    for weight in linear:
        weight[:, :branch] += share.view(-1, *[1] * (weight.dim() - 2)) * weight[:, branch, None]
    read_nothing_of(model, branch)
    mix[branch, branch] = -LSSI_FLOOR


@torch.no_grad()
def read_nothing_of(model: SAM, core: int) -> None:
    """Have nothing read the channel of a core model, nor mix it with another."""
    for name, weight in model.named_parameters():
        if name in READERS and "attention" not in name:  # which reads what the first stack makes
            weight[:, core] = 0
    mix = model.aggregator.lssi_in.weight
    mix[core], mix[:, core] = 0, 0


@torch.no_grad()
def grow(model: SAM, source: SAM, motifs: dict[int, int], aggregator: bool = True) -> None:
    """Copy the weights of `source` into `model`, channel by channel, so that `model` says what
    `source` does: nothing reads the channels that `source` does not have, until training has it do
    so. `motifs`: index of each fixed motif in `source` -> in `model`. Core sites and affinities are
    not touched, nor is what stands between affinities and sites, where candidates are counted in
    another way, nor are the stacks, where they are of another width, nor is the aggregator, where
    that is not wanted."""
    n_core, n_fixed = len(source.core), len(source.motifs.fixed.mix)
    learnt = source.motifs.channels - n_fixed
    first_learnt = len(model.core) + len(model.motifs.fixed.mix)
    of_learnt = range(min(learnt, model.motifs.channels - len(model.motifs.fixed.mix)))
    pairs = {
        CORE: [(i, i) for i in range(min(n_core, len(model.core)))],
        FIXED: sorted(motifs.items()),
    }
    pairs[ALL] = [
        *pairs[CORE],
        *((n_core + i, len(model.core) + j) for i, j in pairs[FIXED]),
        *((n_core + n_fixed + i, first_learnt + i) for i in of_learnt),
    ]
    ours, theirs = model.state_dict(), source.state_dict()
    counted_otherwise = model.config.candidates_each != source.config.candidates_each
    recounted = model.config.kind == "am" and counted_otherwise
    between = ("motifs.pre.", "motifs.main.") if recounted else ()
    kept = ["lssi.", "motifs.fixed.", *between]
    if model.config.channels != source.config.channels:
        kept += ["motifs.adjust."]
    if _stacks(model) != _stacks(source):
        kept += ["aggregator.first.", "aggregator.second."]
    if model.config.cnn_channels != source.config.cnn_channels:
        kept += ["aggregator.net."]
    if not aggregator:
        kept += ["aggregator."]
    for name, tensor in ours.items():
        if name not in theirs or name.startswith(tuple(kept)):
            continue
        if not (tensor.dim() and theirs[name].dim()):  # one threshold for all channels, or a count
            tensor.fill_(theirs[name].max().item())
            continue
        axes = CHANNEL_AXES.get(name, ())
        old, new = [], []
        for axis, (size, other) in enumerate(zip(tensor.shape, theirs[name].shape)):
            kind = axes[axis] if axis < len(axes) else None
            along = pairs[kind] if kind else [(i, i) for i in range(min(size, other))]
            old.append(torch.tensor([i for i, _ in along]))
            new.append(torch.tensor([j for _, j in along]))
        if axes[1:] == (ALL,):  # what reads the channels
            tensor.zero_()
        # A wider network says what the narrow one did: nothing old reads its new units
        if name.startswith("motifs.learnt.net.") and tensor.dim() > 1:
            tensor[: theirs[name].shape[0], theirs[name].shape[1] :] = 0
        there = theirs[name].to(tensor.device)[torch.meshgrid(*old, indexing="ij")]
        tensor[torch.meshgrid(*new, indexing="ij")] = there


def _stacks(model: SAM) -> tuple[int, int]:
    """Channels of the aggregator's stacks, and within their units."""
    return model.config.channels, model.config.inner_channels


@torch.no_grad()
def with_silent_motifs(model: SAM, learnt: int) -> SAM:
    """The same model with `learnt` learnt motifs, none of which has a site; it must have none."""
    fixed = copy.deepcopy(model.motifs.fixed)
    wide = SAM(replace(model.config, learnt_motifs=learnt), fixed).eval()
    for weight in wide.parameters():  # what reads or serves silent motifs stays at 0
        weight.zero_()
    wide.lssi.load_state_dict(model.lssi.state_dict())
    grow(wide, model, {i: i for i in range(len(fixed.mix))})
    if wide.motifs.learnt:
        wide.motifs.learnt.sparse.threshold.fill_(NEVER)
    return wide
