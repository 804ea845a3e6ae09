"""Training of the core splice-site models (panel a) on single positions."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import DatasetError, RecipeError
from ..model.bottleneck import LSSI_FLOOR
from ..model.sam import ACCEPTOR, LSSI, LSSI_SPAN, one_hot
from .checkpoint import core_sites, load_start, save_run, sha256_of
from .dataset import CORE, IGNORE, TRAIN, UNKNOWN, VALIDATION, Dataset, core_bases
from .evaluate import top_k
from .loop import Stateless
from .recipe import LssiRecipe


class LssiTask(Stateless):
    """All sites, all GT/AG decoys and all other bases, each sampled at its own rate and weighted by
    the inverse, so that the output is the probability of a site at a base of a gene. `start_from`:
    a run's folder, or a bundle, whose core sites these start from."""

    def __init__(
        self,
        data: Dataset,
        recipe: LssiRecipe,
        device: torch.device,
        start_from: str | None = None,
        rank: int = 0,
    ):
        torch.manual_seed(recipe.seed)
        self.data, self.recipe, self.device, self.rank = data, recipe, device, rank
        self.model = LSSI(recipe.channels).to(device)
        self.started_from: dict | None = None
        if start_from:
            source, self.started_from = load_start(start_from)
            core = core_sites(source)
            if core.channels != recipe.channels:
                raise RecipeError(
                    f"the core sites of {start_from} have {core.channels} channels, the recipe "
                    f"{recipe.channels}"
                )
            self.model.load_state_dict(core.state_dict())
        self.identity = dict(
            kind="lssi", data=data.digest(), start_from=sha256_of(self.started_from)
        )
        margin = max(max(span) for span in LSSI_SPAN.values())
        self.margin = margin
        # every gene between margins of unknown bases, so that a window is one slice
        genes = data.genes(TRAIN)
        pieces, labels = [np.full(margin, UNKNOWN, np.uint8)], [np.full(margin, IGNORE, np.uint8)]
        for g in genes:
            own = slice(data.offsets[g], data.offsets[g + 1])
            pieces += [data.codes[own], pieces[0]]
            labels += [data.labels[own], labels[0]]
        self.codes, self.labels = np.concatenate(pieces), np.concatenate(labels)
        self.pools = {kind: self._pools(kind) for kind in CORE}
        for kind, pools in self.pools.items():
            if not len(pools[0]):
                raise DatasetError(
                    f"the train genes have no {'acceptor' if kind == ACCEPTOR else 'donor'}"
                )

    def _pools(self, kind: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(positions of sites, positions of decoys, mask of both)."""
        core = core_bases(self.codes, kind)
        site = self.labels == kind
        return (
            np.flatnonzero(site),
            np.flatnonzero(core & ~site & (self.labels != IGNORE)),
            core | site,
        )

    def start_step(self, step: int) -> None:
        pass

    def loss(self, step: int) -> torch.Tensor:
        """Weighted negative log-likelihood in nats per true site, summed over the two models."""
        rng = np.random.default_rng([self.recipe.seed, self.rank, step])
        acceptor, donor = (self._loss_of(rng, kind) for kind in CORE)
        return acceptor + donor

    def _loss_of(self, rng: np.random.Generator, kind: int) -> torch.Tensor:
        sites, decoys, either = self.pools[kind]
        r = self.recipe
        other = rng.integers(self.margin, len(self.codes) - self.margin, r.others)
        drawn = [
            rng.choice(sites, r.sites),
            rng.choice(decoys, r.decoys) if len(decoys) else decoys[:0],
            other,
        ]
        at = np.concatenate(drawn)
        rates = [len(sites) / r.sites, len(decoys) / max(r.decoys, 1), len(self.codes) / r.others]
        weight = np.repeat(rates, [len(d) for d in drawn]) / len(sites)
        # a base drawn as "other" that is a site or a decoy is counted there already
        weight[-r.others :][either[other]] = 0
        weight[self.labels[at] == IGNORE] = 0
        left, right = LSSI_SPAN[kind]
        windows = self.codes[at[:, None] + np.arange(-left, right + 1)]
        x = one_hot(torch.from_numpy(windows).to(self.device))
        model = self.model.acceptor if kind == ACCEPTOR else self.model.donor
        target = torch.from_numpy((self.labels[at] == kind).astype(np.float32)).to(self.device)
        nll = F.binary_cross_entropy_with_logits(model(x)[:, 0].float(), target, reduction="none")
        return (nll * torch.from_numpy(weight).float().to(self.device)).sum()

    @torch.inference_mode()
    def validate(self, step: int) -> dict[str, float]:
        """Top-k on the validation genes, and what survives the floor."""
        self.model.eval()
        genes = self.data.genes(VALIDATION)
        if not len(genes):
            return {}
        scores, labels, owner = [], [], []
        for i, g in enumerate(genes):
            length = int(self.data.offsets[g + 1] - self.data.offsets[g])
            codes, y = self.data.window(g, 0, length, 20, 6)
            log_p = [
                self.model(one_hot(torch.from_numpy(codes[None, s : s + 100_026]).to(self.device)))[
                    0
                ]
                .cpu()
                .numpy()
                for s in range(0, length, 100_000)
            ]
            keep = y != IGNORE
            scores.append(np.concatenate(log_p, 1)[:, keep])
            labels.append(y[keep])
            owner.append(np.full(keep.sum(), i))
        score, label, gene = (
            np.concatenate(scores, 1),
            np.concatenate(labels),
            np.concatenate(owner),
        )
        found = top_k(score, label, gene, len(genes), resamples=0)
        above = score > LSSI_FLOOR
        return dict(
            topk_acceptor=found.acceptor,
            topk_donor=found.donor,
            topk_mean=found.mean,
            sites_above_floor=float(np.mean([above[k - 1][label == k].mean() for k in CORE])),
            bases_above_floor=float(above.mean()),
        )

    def save_weights(self, folder: str, step: int) -> None:
        save_run(
            folder,
            self.model,
            dict(
                self.identity,
                step=step,
                steps=self.recipe.steps,
                channels=self.recipe.channels,
                started_from=self.started_from,
            ),
        )
