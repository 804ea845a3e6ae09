"""Motifs without a protein, and branch points, learnt from what a teacher says of single
substitutions.

The model is the local part of a SAM alone: sparse sites, each of which moves the log-odds of a
splice site by its distance from it. A substitution changes the sites within a few bases, so that a
sequence of 21 to 53 bases is all that it takes, where the whole model takes a thousand.
"""

from __future__ import annotations

import os
from typing import NamedTuple, TypeVar, cast

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from ..errors import DatasetError, RecipeError
from ..model.bottleneck import BRANCH_POINT_CORE, LSSI_FLOOR
from ..model.bundle import sha256_file
from ..model.growth import read_nothing_of
from ..model.sam import (
    ACCEPTOR,
    BRANCH_POINT,
    DONOR,
    LSSI,
    LSSI_SPAN,
    SAM,
    Config,
    DirectEffects,
    LearntMotifs,
    one_hot,
)
from .checkpoint import read_run, save_run
from .dataset import UNKNOWN, Dataset
from .effects import SubstitutionEffects
from .loop import Stateless
from .recipe import BranchPointRecipe, EffectsRecipe, MotifRecipe, between
from .soft_labels import digest_of
from .yardstick import spearman

REACH = Config().attention_reach
SIDE = 5  # bases on either side that a motif sees
BRANCH_POINTS = -60, -16  # where they are looked for, from the acceptor's first exonic base
DONOR_SITE, ACCEPTOR_SITE = range(-2, 7), range(-3, 3)  # bases of the core models, left to them
FAR_SHARE = 0.12  # how often a base beyond `near` is drawn, against one within it
LARGEST = 5.0  # effects beyond this count as this
SMALL = 0.1  # errors below this count by their square
VALIDATED = 20_000  # substituted places


class LocalModel(nn.Module):
    """Sites and their RNA maps, which reach as far as the attention of a SAM. `side`: bases on
    either side of a substitution that its effect is read from."""

    side: int
    first: int  # position of the first site that it may change, from the substituted base
    effects: DirectEffects
    kind: str | None = None  # of the run that it comes from; None: any

    def sites(self, x: torch.Tensor) -> torch.Tensor:
        """One-hot (N, 4, 2 side + 1) -> sites (N, channels, n) from `first` on, as maps count
        them."""
        raise NotImplementedError

    def forward(self, codes: torch.Tensor, distance: torch.Tensor, kind: torch.Tensor):
        """Effects (n, 4) on a splice site where the middle base becomes A, C, G or T.

        codes     (n, 2 side + 1): 0-3 A C G T, 4 unknown; the middle one known
        distance  (n,): of the middle base from the splice site, positive downstream
        kind      (n,): ACCEPTOR or DONOR
        """
        n, own = len(codes), codes[:, self.side]
        each = codes[:, None].repeat(1, 4, 1)
        each[:, :, self.side] = torch.arange(4, device=codes.device)
        sites = self.sites(one_hot(each.flatten(0, 1)))
        maps, reach = self.effects.weight @ self.effects.bumps, self.effects.reach
        span = torch.arange(self.first, self.first + sites.shape[-1], device=codes.device)
        offset = distance[:, None] + span
        there = offset.abs() <= reach
        here = maps[(kind - 1)[:, None], :, offset.clamp(-reach, reach) + reach]  # (n, span, maps)
        moved = torch.einsum("namp,npm,np->na", sites.unflatten(0, (n, 4)), here, there.float())
        return moved - moved.gather(1, own[:, None].long())


class LocalMotifs(LocalModel):
    """Learnt motifs and their RNA maps."""

    side, first, kind = 2 * SIDE, -SIDE, "motifs"

    def __init__(self, motifs: int, channels: int, bumps: int, reach: int = REACH):
        super().__init__()
        self.learnt = LearntMotifs(motifs, channels)
        self.effects = DirectEffects(0, motifs, bumps, reach)
        nn.init.normal_(self.effects.weight, std=0.01)

    def sites(self, x):
        known = x[..., SIDE:-SIDE].sum(1, keepdim=True)
        return torch.log1p(self.learnt(x, known))


class LocalBranchPoints(LocalModel):
    """Branch points, and what they do to the acceptor behind them by their distance."""

    side = LSSI_SPAN[ACCEPTOR][0] + LSSI_SPAN[BRANCH_POINT][1]
    first, kind = -LSSI_SPAN[BRANCH_POINT][1], "branch_points"
    inside: torch.Tensor

    def __init__(self, channels: int, bumps: int, reach: int = REACH):
        super().__init__()
        self.lssi = LSSI(channels, canonical=True, branch_point=True)
        self.effects = DirectEffects(1, 0, bumps, reach)
        first, last = BRANCH_POINTS
        peaks = self.effects.bumps.argmax(1) - reach
        self.register_buffer("inside", ((first <= peaks) & (peaks <= last)).float())
        nn.init.normal_(self.effects.weight[0], std=0.01)
        self.effects.weight.register_hook(lambda grad: grad * self.inside)
        with torch.no_grad():
            self.effects.weight.mul_(self.inside)
        for layer in self.lssi.branch_point.modules():
            if isinstance(layer, nn.Conv2d):  # else all scores are but one at the start
                nn.init.kaiming_normal_(layer.weight)

    def sites(self, x):
        last = LSSI_SPAN[BRANCH_POINT][0]
        return self._found(x)[..., : last - self.first + 1]

    def count(self, codes: torch.Tensor) -> None:
        """Move floor and norm, in training, such that of these bases (N, L) the wanted share are
        branch points."""
        self._found(one_hot(codes))

    def _found(self, x):
        return self.lssi(x)[:, 2:] - LSSI_FLOOR


LOCAL_MODELS = {model.kind: model for model in (LocalMotifs, LocalBranchPoints)}
Local = TypeVar("Local", bound=LocalModel)


def load_local_model(
    folder: str,
    model: type[Local] = LocalModel,  # type: ignore[assignment]
) -> tuple[Local, str]:
    """The model of a finished run of `samvar train motifs` or `branch-points`, of either where it
    is not said, and the sha256 of its tensors. Raises RecipeError where the folder holds none."""
    description, state = read_run(folder, model.kind)
    found = LOCAL_MODELS[description["kind"]](**description["shape"])
    found.load_state_dict(state)
    return cast(Local, found), sha256_file(os.path.join(folder, "model.safetensors"))


@torch.no_grad()
def give_learnt_motifs(model: SAM, local: LocalMotifs, beside: LearntMotifs | None = None) -> None:
    """Have `model` see and read the motifs of `local` as it does, by direct effects of as many
    bumps: as all its learnt motifs, or, where it is made for them, after those `beside` them that
    it has from its start. Raises RecipeError where it is made for neither."""
    ours, theirs = model.motifs.learnt, local.learnt
    maps, bumps = model.aggregator.effects, local.effects.bumps
    added = Size.of(theirs)
    before = Size(0, 0)
    if beside is not None and ours is not None and Size.of(ours) != added:
        before = Size.of(beside)
    wanted = Size(before.motifs + added.motifs, before.channels + added.channels)
    if ours is None or maps is None or Size.of(ours) != wanted or maps.bumps.shape != bumps.shape:
        raise RecipeError(
            f"these learnt motifs need learnt_motifs = {wanted.motifs}, learnt_channels = "
            f"{wanted.channels} and effect_bumps = {local.effects.weight.shape[2] // 2} in the "
            "recipe"
        )
    # Two networks side by side, neither of which sees the other
    (enter, between, leave), others = _layers(ours), _layers(theirs)
    _put(enter, others[0], before.channels, 0)
    _put(between, others[1], before.channels, before.channels)
    _put(leave, others[2], before.motifs, before.channels)
    norm, of_norm = ours.sparse.norm, theirs.sparse.norm
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name)[before.motifs :] = getattr(of_norm, name)
    if before.motifs:  # one threshold for all: these motifs' values are moved to it
        norm.bias[before.motifs :] += ours.sparse.threshold - theirs.sparse.threshold
    else:
        ours.sparse.threshold.copy_(theirs.sparse.threshold)
    maps.weight[:, -added.motifs :] = local.effects.weight


class Size(NamedTuple):
    """How many learnt motifs there are, and the width of the network that finds them."""

    motifs: int
    channels: int

    @classmethod
    def of(cls, learnt: LearntMotifs) -> Size:
        enter, _, leave = _layers(learnt)
        return cls(leave.out_channels, enter.out_channels)


def _layers(learnt: LearntMotifs) -> list[nn.Conv2d]:
    """What the network consists of: into its channels, between them, out to the motifs."""
    return [layer for layer in learnt.net if isinstance(layer, nn.Conv2d)]


def _put(layer: nn.Conv2d, other: nn.Conv2d, first_out: int, first_in: int) -> None:
    """Make the last channels of `layer` those of `other`, which see one another alone, as the
    channels before them do."""
    layer.weight[first_out:, :first_in] = 0
    if first_in:
        layer.weight[:first_out, first_in:] = 0
    layer.weight[first_out:, first_in:] = other.weight
    assert layer.bias is not None and other.bias is not None
    layer.bias[first_out:] = other.bias


@torch.no_grad()
def give_branch_points(model: SAM, local: LocalBranchPoints) -> None:
    """Have `model` see the branch points of `local`, and read them as it does, by direct effects of
    as many bumps, and by nothing else. Raises RecipeError where `model` is not made for them."""
    core, maps = model.lssi, model.aggregator.effects
    if (
        core.branch_point is None
        or core.channels != local.lssi.channels
        or maps is None
        or maps.bumps.shape != local.effects.bumps.shape
    ):
        raise RecipeError(
            f"these branch points need branch_point = true, core sites of {local.lssi.channels} "
            f"channels and effect_bumps = {local.effects.bumps.shape[0] // 2}"
        )
    branch = model.core.index(BRANCH_POINT_CORE)
    found = {k: v for k, v in local.lssi.state_dict().items() if k.startswith("branch_")}
    core.load_state_dict(found, strict=False)
    read_nothing_of(model, branch)
    model.aggregator.lssi_in.weight[branch, branch] = -LSSI_FLOOR  # as high as above its floor
    maps.weight[:, branch] = local.effects.weight[:, 0]


class Places(NamedTuple):
    """Substituted bases, each with a splice site that is followed; all (n,): index of the site, and
    0-based position in the scored bases."""

    site: np.ndarray
    at: np.ndarray


class EffectsTask(Stateless):
    """Fits a local model to the effects in a folder of `samvar train teach`; a share of the windows
    is held out, to validate on."""

    def __init__(
        self,
        model: type[LocalModel],
        data: Dataset,
        recipe: EffectsRecipe,
        device: torch.device,
        effects: str,
        rank: int,
        **shape: int,
    ):
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.rank = recipe, device, rank
        self.shape = dict(channels=recipe.channels, bumps=recipe.bumps, **shape)
        self.labels = SubstitutionEffects.load_folder(effects)
        self.model = model(**self.shape).to(device)
        self.identity = dict(kind=model.kind, data=data.digest(), effects=digest_of(effects))
        last = int(len(self.labels.codes) * (1 - recipe.held_out))
        self.places = self._places(range(last))
        self.held_out = self._places(range(last, len(self.labels.codes)))
        if not len(self.places.at) or not len(self.held_out.at):
            raise DatasetError(f"{effects} has too few windows with splice sites to learn from")
        self.cumulative = np.cumsum(self._share(self.places))
        self.density = recipe.density_start

    def _share(self, places: Places) -> np.ndarray:
        """How often each is drawn, against others; 0: never."""
        raise NotImplementedError

    def _distance(self, places: Places) -> np.ndarray:
        """From the splice site, positive downstream."""
        return places.at - self.labels.site_at[places.site].astype(int)

    def _places(self, windows: range) -> Places:
        """Bases within reach of the sites in these windows, as far as they are drawn."""
        labels, reach = self.labels, self.model.effects.reach
        first, last = labels.first_site[windows.start], labels.first_site[windows.stop]
        sites, places = [], []
        for site in range(first, last):
            at = int(labels.site_at[site])
            near = np.arange(max(at - reach, 0), min(at + reach + 1, labels.width))
            known = labels.codes[labels.site_window[site], near + labels.left] != UNKNOWN
            sites.append(np.full(known.sum(), site))
            places.append(near[known])
        empty = np.empty(0, int)
        found = Places(np.concatenate([empty, *sites]), np.concatenate([empty, *places]))
        drawn = self._share(found) > 0
        return Places(*(column[drawn] for column in found))

    def start_step(self, step: int) -> None:
        r = self.recipe
        done = min(step / max(r.density_until * r.steps, 1), 1.0)
        self.density = between(r.density_start, r.density_end, done)

    def loss(self, step: int) -> torch.Tensor:
        """Smooth absolute error of effects, in nats of log-odds."""
        rng = np.random.default_rng([self.recipe.seed, self.rank, step])
        drawn = rng.random(self.recipe.places) * self.cumulative[-1]
        chosen = np.searchsorted(self.cumulative, drawn, "right")
        ours, theirs = self._compare(Places(*(column[chosen] for column in self.places)))
        return F.smooth_l1_loss(ours, theirs.clamp(-LARGEST, LARGEST), beta=SMALL)

    def _compare(self, places: Places) -> tuple[torch.Tensor, torch.Tensor]:
        """Effects (n, 4) by the model and by the teacher."""
        labels, (site, at) = self.labels, places
        span = np.arange(-self.model.side, self.model.side + 1)
        codes = labels.codes[labels.site_window[site][:, None], (at + labels.left)[:, None] + span]
        kind = labels.site_kind[site].astype(int)
        inputs = codes, self._distance(places), kind
        ours = self.model(*(torch.from_numpy(v).to(self.device) for v in inputs))
        theirs = torch.from_numpy(labels.effect[site, :, at].astype(np.float32))
        return ours, theirs.to(self.device)

    @torch.inference_mode()
    def validate(self, step: int) -> dict[str, float]:
        """Spearman's correlation with the teacher on windows that are held out."""
        self.model.eval()
        rng = np.random.default_rng(0)
        chosen = rng.permutation(len(self.held_out.at))[:VALIDATED]
        pairs = [
            self._compare(Places(*(column[part] for column in self.held_out)))
            for part in np.array_split(chosen, -(-len(chosen) // 1000))
        ]
        ours, theirs = (torch.cat(side).flatten().cpu().numpy() for side in zip(*pairs))
        return dict(spearman=spearman(ours, theirs))

    def status(self) -> dict[str, float]:
        return dict(density=self.density)

    def save_weights(self, folder: str, step: int) -> None:
        description = dict(self.identity, step=step, steps=self.recipe.steps, shape=self.shape)
        save_run(folder, self.model, description)


class LearntMotifsTask(EffectsTask):
    """Motifs without a protein, from effects everywhere but in core sites."""

    recipe: MotifRecipe
    model: LocalMotifs

    def __init__(
        self,
        data: Dataset,
        recipe: MotifRecipe,
        device: torch.device,
        effects: str,
        rank: int = 0,
    ):
        super().__init__(LocalMotifs, data, recipe, device, effects, rank, motifs=recipe.motifs)

    def _share(self, places: Places) -> np.ndarray:
        distance = self._distance(places)
        of_donor = self.labels.site_kind[places.site] == DONOR
        core = np.where(of_donor, np.isin(distance, DONOR_SITE), np.isin(distance, ACCEPTOR_SITE))
        near = np.where(np.abs(distance) <= self.recipe.near, 1.0, FAR_SHARE)
        in_exon = np.where(of_donor, distance < 0, distance > 0)
        left_out = core | ~in_exon if self.recipe.exonic else core
        return np.where(left_out, 0.0, near)

    def start_step(self, step: int) -> None:
        super().start_step(step)
        self.model.learnt.sparse.density = self.density


class BranchPointsTask(EffectsTask):
    """Branch points, from effects on acceptors where these have them. The share of bases that are
    one is that of whole windows."""

    recipe: BranchPointRecipe
    model: LocalBranchPoints

    def __init__(
        self,
        data: Dataset,
        recipe: BranchPointRecipe,
        device: torch.device,
        effects: str,
        rank: int = 0,
    ):
        super().__init__(LocalBranchPoints, data, recipe, device, effects, rank)

    def _share(self, places: Places) -> np.ndarray:
        first, last = BRANCH_POINTS
        distance = self._distance(places)
        of_acceptor = self.labels.site_kind[places.site] == ACCEPTOR
        return np.where(of_acceptor & (first <= distance) & (distance <= last), 1.0, 0.0)

    def start_step(self, step: int) -> None:
        super().start_step(step)
        self.model.lssi.branch_density = self.density

    def loss(self, step: int) -> torch.Tensor:
        labels = self.labels
        rng = np.random.default_rng([self.recipe.seed, self.rank, step, 1])
        some = labels.codes[rng.integers(len(labels.codes), size=self.recipe.windows)]
        with torch.no_grad():
            self.model.count(torch.from_numpy(some[:, labels.left :]).to(self.device))
        self.model.lssi.eval()  # places near acceptors say nothing of how many there should be
        return super().loss(step)
