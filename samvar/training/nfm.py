"""Training of a neural fixed motif (`model.nfm`): bound reads against the input.

Equal sequences are in one part, so that copies of a train read are not tested.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import DatasetError
from ..formats.reads import Reads
from ..genomics.genome import UNKNOWN
from ..model.nfm import SIDE, NeuralMotif
from ..model.sam import one_hot
from .areas import auroc
from .checkpoint import save_run
from .loop import Stateless
from .motifs import information
from .recipe import NfmRecipe

BATCH = 4096  # reads that are evaluated together
RESAMPLES = 200
WIDTH = 2 * SIDE + 1
LEAST = 0.25  # bits
MOST = 20_000  # reads among which the strongest site is looked for


class Area(NamedTuple):
    """AUROC of bound reads against the input; `low`, `high`: 95 %, bootstrap over reads."""

    bound: int
    input: int
    auroc: float
    low: float
    high: float


class NfmTask(Stateless):
    """Fits a `NeuralMotif` to the reads of the train part."""

    def __init__(self, bound: Reads, inputs: Reads, recipe: NfmRecipe, device: torch.device):
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        self.codes = together(bound.codes, inputs.codes)
        if self.codes.shape[1] < WIDTH:
            raise DatasetError(f"the reads of {bound.path} have fewer than {WIDTH} bases")
        self.bound = np.arange(len(self.codes)) < len(bound)
        part = parts_of(self.codes, recipe)
        self.train, self.validation, self.test = (part == i for i in range(3))
        for own in (self.train, self.validation, self.test):
            if not (self.bound[own].any() and (~self.bound)[own].any()):
                raise DatasetError(
                    f"{bound.path} and {inputs.path} have too few reads for three parts"
                )
        self.rows = [np.flatnonzero(self.train & (self.bound == kind)) for kind in (True, False)]
        self.model = NeuralMotif(recipe.channels).to(device)
        self.identity = dict(kind="nfm", bound=bound.digest, input=inputs.digest)

    def start_step(self, step: int) -> None:
        pass

    def loss(self, step: int) -> torch.Tensor:
        """Nats per read; half of them are bound."""
        rng = np.random.default_rng([self.recipe.seed, step])
        rows = np.concatenate([rng.choice(own, self.recipe.batch // 2) for own in self.rows])
        target = torch.from_numpy(self.bound[rows]).float().to(self.device)
        bases = one_hot(torch.from_numpy(self.codes[rows]).to(self.device))
        return F.binary_cross_entropy_with_logits(self.model(bases)[:, 0].float(), target)

    def validate(self, step: int) -> dict[str, float]:
        """AUROC of the validation reads."""
        value = predict(self.model, self.codes[self.validation], self.device)
        return dict(auroc=auroc(self.bound[self.validation], value))

    def save_weights(self, folder: str, step: int) -> None:
        about = dict(step=step, steps=self.recipe.steps, recipe=asdict(self.recipe))
        save_run(folder, self.model, self.identity | about)


def together(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Reads (n, L) and (m, M) as one array, unknown beyond their ends."""
    longest = max(first.shape[1], second.shape[1])
    return np.concatenate(
        [
            np.pad(own, ((0, 0), (0, longest - own.shape[1])), constant_values=UNKNOWN)
            for own in (first, second)
        ]
    )


def parts_of(codes: np.ndarray, recipe: NfmRecipe) -> np.ndarray:
    """(n,): 0 train, 1 validation, 2 test, of reads (n, L); the same for equal reads."""
    whole = np.ascontiguousarray(codes).view(np.dtype((np.void, codes.shape[1])))[:, 0]
    unique, which = np.unique(whole, return_inverse=True)
    drawn = np.random.default_rng(recipe.seed).random(len(unique))[which]
    found: np.ndarray = 2 - (drawn >= recipe.held_out).astype(int) - (drawn >= 2 * recipe.held_out)
    return found


@torch.inference_mode()
def predict(model: NeuralMotif, codes: np.ndarray, device: torch.device) -> np.ndarray:
    """Log-odds (n,) of reads (n, L)."""
    model.eval()
    parts = [codes[start : start + BATCH] for start in range(0, len(codes), BATCH)]
    bases = (one_hot(torch.from_numpy(part).to(device)) for part in parts)
    return np.concatenate([model(part)[:, 0].float().cpu().numpy() for part in bases])


def tested(task: NfmTask) -> Area:
    """How well bound reads are told from the input in the test part."""
    bound = task.bound[task.test]
    value = predict(task.model, task.codes[task.test], task.device)
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(bound), np.flatnonzero(~bound)]
    drawn = (np.concatenate([rng.choice(own, len(own)) for own in rows]) for _ in range(RESAMPLES))
    low, high = np.percentile([auroc(bound[at], value[at]) for at in drawn], [2.5, 97.5])
    return Area(len(rows[0]), len(rows[1]), auroc(bound, value), float(low), float(high))


@torch.inference_mode()
def affinities(model: NeuralMotif, codes: np.ndarray, device: torch.device) -> np.ndarray:
    """PSAM (w, 4), relative to the best base, columns A C G T: what each substitution makes of the
    strongest site, without the columns on either side that tell less than LEAST. That site is
    looked for in reads (n, L), and then by changes of one base that make it stronger, while there
    is one."""
    model.eval()
    windows = np.lib.stride_tricks.sliding_window_view(codes[:MOST], WIDTH, axis=1)
    windows = windows.reshape(-1, WIDTH)
    windows = windows[(windows != UNKNOWN).all(1)]

    def scores(sites: np.ndarray) -> np.ndarray:
        parts = [sites[start : start + BATCH] for start in range(0, len(sites), BATCH)]
        bases = (one_hot(torch.from_numpy(part.copy()).to(device)) for part in parts)
        return np.concatenate([model.site(part)[:, 0, 0].double().cpu().numpy() for part in bases])

    best = windows[int(scores(windows).argmax())]
    place, base = np.divmod(np.arange(4 * WIDTH), 4)
    while True:
        changed = np.repeat(best[None], 4 * WIDTH, 0)
        changed[np.arange(4 * WIDTH), place] = base
        own = scores(changed)  # that of `best` is among them
        strongest = changed[int(own.argmax())]
        if (strongest == best).all():
            psam = np.exp(own - own.max()).reshape(WIDTH, 4)
            telling = np.flatnonzero(information(psam) >= LEAST)
            return psam[telling[0] : telling[-1] + 1] if len(telling) else psam
        best = strongest


def kmer_shares(codes: np.ndarray, k: int) -> np.ndarray:
    """(4^k,): of all k-mers in reads (n, L), how many are each; one more of each is counted."""
    windows = np.lib.stride_tricks.sliding_window_view(codes, k, axis=1).reshape(-1, k)
    windows = windows[(windows != UNKNOWN).all(1)]
    counts = np.bincount(windows @ 4 ** np.arange(k - 1, -1, -1), minlength=4**k) + 1
    shares: np.ndarray = counts / counts.sum()
    return shares
