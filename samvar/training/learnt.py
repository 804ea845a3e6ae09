"""Motifs without a protein, learnt from what a teacher says of single substitutions.

The model is the local part of a SAM alone: sparse motif sites, each of which moves the log-odds of
a splice site by its distance from it. A substitution changes the sites within five bases, so that
a sequence of 21 bases is all that it takes, where the whole model takes a thousand.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from ..errors import DatasetError, RecipeError
from ..model.bundle import sha256_file
from ..model.sam import DONOR, SAM, Config, DirectEffects, LearntMotifs, one_hot
from .checkpoint import read_run, save_run
from .dataset import UNKNOWN, Dataset
from .effects import SubstitutionEffects
from .loop import Stateless
from .recipe import MotifRecipe, between
from .soft_labels import digest_of
from .yardstick import spearman

REACH = Config().attention_reach
SIDE = 5  # bases on either side that a motif sees
DONOR_SITE, ACCEPTOR_SITE = range(-2, 7), range(-3, 3)  # bases of the core models, left to them
FAR_SHARE = 0.12  # how often a base beyond `near` is drawn, against one within it
LARGEST = 5.0  # effects beyond this count as this
SMALL = 0.1  # errors below this count by their square
VALIDATED = 20_000  # substituted places


class LocalModel(nn.Module):
    """Learnt motifs and their RNA maps, which reach as far as the attention of a SAM."""

    def __init__(self, motifs: int, channels: int, bumps: int, reach: int = REACH):
        super().__init__()
        self.learnt = LearntMotifs(motifs, channels)
        self.effects = DirectEffects(0, motifs, bumps, reach)
        nn.init.normal_(self.effects.weight, std=0.01)

    def forward(self, codes: torch.Tensor, distance: torch.Tensor, kind: torch.Tensor):
        """Effects (n, 4) on a splice site where the middle base becomes A, C, G or T.

        codes     (n, 21): 0-3 A C G T, 4 unknown; the middle one known
        distance  (n,): of the middle base from the splice site, positive downstream
        kind      (n,): ACCEPTOR or DONOR
        """
        n, own = len(codes), codes[:, 2 * SIDE]
        each = codes[:, None].repeat(1, 4, 1)
        each[:, :, 2 * SIDE] = torch.arange(4, device=codes.device)
        x = one_hot(each.flatten(0, 1))
        inner = x[..., SIDE:-SIDE].sum(1, keepdim=True)
        sites = torch.log1p(self.learnt(x, inner)).view(n, 4, -1, 2 * SIDE + 1)
        maps, reach = self.effects.weight @ self.effects.bumps, self.effects.reach
        offset = distance[:, None] + torch.arange(-SIDE, SIDE + 1, device=codes.device)
        there = offset.abs() <= reach
        here = maps[(kind - 1)[:, None], :, offset.clamp(-reach, reach) + reach]  # (n, 11, motifs)
        moved = torch.einsum("namp,npm,np->na", sites, here, there.float())
        return moved - moved.gather(1, own[:, None].long())


def load_local_model(folder: str) -> tuple[LocalModel, str]:
    """The model of a finished run of `samvar train motifs`, and the sha256 of its tensors. Raises
    RecipeError where the folder holds none."""
    description, state = read_run(folder, "motifs")
    model = LocalModel(**description["shape"])
    model.load_state_dict(state)
    return model, sha256_file(os.path.join(folder, "model.safetensors"))


@torch.no_grad()
def give_learnt_motifs(model: SAM, local: LocalModel) -> None:
    """Have `model` see and read the motifs of `local` as it does: as many motifs, by direct effects
    of as many bumps. Raises RecipeError where `model` is not made for them."""
    ours, theirs = model.motifs.learnt, local.learnt
    shape = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    maps = model.aggregator.effects
    if (
        ours is None
        or maps is None
        or {name: tensor.shape for name, tensor in ours.state_dict().items()} != shape
        or maps.bumps.shape != local.effects.bumps.shape
    ):
        _, motifs, bumps = local.effects.weight.shape
        raise RecipeError(
            f"these learnt motifs need learnt_motifs = {motifs} and effect_bumps = {bumps // 2} in "
            "the recipe"
        )
    ours.load_state_dict(theirs.state_dict())
    maps.weight[:, -local.effects.weight.shape[1] :] = local.effects.weight


class Places(NamedTuple):
    """Substituted bases, each with a splice site that is followed; all (n,): index of the site, and
    0-based position in the scored bases."""

    site: np.ndarray
    at: np.ndarray


class LearntMotifsTask(Stateless):
    """Fits a `LocalModel` to the effects in a folder of `samvar train teach`; a share of the
    windows is held out, to validate on."""

    def __init__(
        self,
        data: Dataset,
        recipe: MotifRecipe,
        device: torch.device,
        effects: str,
        rank: int = 0,
    ):
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.rank = recipe, device, rank
        self.labels = SubstitutionEffects.load_folder(effects)
        self.model = LocalModel(recipe.motifs, recipe.channels, recipe.bumps).to(device)
        self.identity = dict(kind="motifs", data=data.digest(), effects=digest_of(effects))
        last = int(len(self.labels.codes) * (1 - recipe.held_out))
        self.places = self._places(range(last))
        self.held_out = self._places(range(last, len(self.labels.codes)))
        if not len(self.places.at) or not len(self.held_out.at):
            raise DatasetError(f"{effects} has too few windows with splice sites to learn from")
        away = np.abs(self.places.at - self.labels.site_at[self.places.site])
        self.cumulative = np.cumsum(np.where(away <= recipe.near, 1.0, FAR_SHARE))
        self.density = recipe.density_start

    def _places(self, windows: range) -> Places:
        """All bases within reach of the sites in these windows, their core sites apart."""
        labels, reach = self.labels, self.model.effects.reach
        first, last = labels.first_site[windows.start], labels.first_site[windows.stop]
        sites, places = [], []
        for site in range(first, last):
            at = int(labels.site_at[site])
            near = np.arange(max(at - reach, 0), min(at + reach + 1, labels.width))
            core = DONOR_SITE if labels.site_kind[site] == DONOR else ACCEPTOR_SITE
            window = labels.site_window[site]
            known = labels.codes[window, near + labels.left] != UNKNOWN
            near = near[known & ~np.isin(near - at, core)]
            sites.append(np.full(len(near), site))
            places.append(near)
        empty = np.empty(0, int)
        return Places(np.concatenate([empty, *sites]), np.concatenate([empty, *places]))

    def start_step(self, step: int) -> None:
        r = self.recipe
        done = min(step / max(r.density_until * r.steps, 1), 1.0)
        self.density = between(r.density_start, r.density_end, done)
        self.model.learnt.sparse.density = self.density

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
        span = np.arange(-2 * SIDE, 2 * SIDE + 1)
        codes = labels.codes[labels.site_window[site][:, None], (at + labels.left)[:, None] + span]
        distance = at - labels.site_at[site].astype(int)
        kind = labels.site_kind[site].astype(int)
        inputs = (torch.from_numpy(v).to(self.device) for v in (codes, distance, kind))
        theirs = torch.from_numpy(labels.effect[site, :, at].astype(np.float32))
        return self.model(*inputs), theirs.to(self.device)

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
        r = self.recipe
        shape = dict(motifs=r.motifs, channels=r.channels, bumps=r.bumps)
        description = dict(self.identity, step=step, steps=r.steps, shape=shape)
        save_run(folder, self.model, description)
