"""The dilated residual network of SpliceAI and OpenSpliceAI: a baseline, and the teacher whose soft
labels a SAM learns from; its training from an annotation's labels.

Facts: Jaganathan et al., Cell 2019; Chao et al., OpenSpliceAI (2025). Every line here is samvar's
own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import RecipeError
from ..model.dilated import GROUPS, DilatedNet, Group
from ..model.sam import one_hot
from .checkpoint import read_run, save_run
from .dataset import IGNORE, TRAIN, Dataset
from .evaluate import TopK, tiles, top_k
from .loop import Stateless
from .recipe import CONTEXTS, CnnRecipe
from .sam import validation_genes
from .sampling import Mixture, WindowSampler


class DilatedResNet(DilatedNet):
    """One-hot (N, 4, L) -> log-probabilities (N, 3, L - 2 reach) of none, acceptor, donor."""

    def __init__(self, channels: int = 32, groups: tuple[Group, ...] = GROUPS[:3]):
        super().__init__(4, channels, groups)

    def forward(self, x):
        return torch.log_softmax(super().forward(x), 1)


def load_openspliceai(path: str) -> DilatedResNet:
    """The network of an OpenSpliceAI state dict (plain tensors, `weights_only`), in evaluation
    mode.

    Raises RecipeError where the file holds no such state dict.
    """
    try:
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        places = _openspliceai_places(theirs)
        channels = theirs["initial_conv.weight"].shape[0]
    except Exception as e:  # torch.load has no error class of its own
        raise RecipeError(f"{path} is no OpenSpliceAI state dict ({e})") from e
    model = DilatedResNet(channels, GROUPS[: len(places.skips) - 1])
    ours = {}
    for name, source in places.modules(model).items():
        for key in model.get_submodule(name).state_dict():
            value = theirs[f"{source}.{key}"]
            ours[f"{name}.{key}"] = value.unsqueeze(2) if value.dim() == 3 else value
    model.load_state_dict(ours)
    return model.eval()


@dataclass(frozen=True)
class _Places:
    """Where the modules stand in an OpenSpliceAI state dict: `residual_units` holds units and skips
    in turn."""

    units: list[str]
    skips: list[str]

    def modules(self, model: DilatedResNet) -> dict[str, str]:
        """Our module name -> theirs."""
        found = {"enter": "initial_conv", "classes": "final_conv"}
        found |= {f"skips.{i}": skip for i, skip in enumerate(self.skips)}
        units = iter(self.units)
        for g, group in enumerate(model.groups):
            for u in range(len(list(group.children()))):
                unit = next(units)
                for ours, theirs in (("norm", "batchnorm"), ("conv", "conv")):
                    found |= {f"groups.{g}.{u}.{ours}{k}": f"{unit}.{theirs}{k}" for k in (1, 2)}
        return found


def _openspliceai_places(state: dict) -> _Places:
    numbers = sorted({int(k.split(".")[1]) for k in state if k.startswith("residual_units.")})
    skip = {i for i in numbers if f"residual_units.{i}.conv.weight" in state}
    units = [f"residual_units.{i}" for i in numbers if i not in skip]
    return _Places(
        units, ["initial_skip.conv", *(f"residual_units.{i}.conv" for i in sorted(skip))]
    )


# --------------------------------------------------------------------------------------- training


class CnnTask(Stateless):
    """Fits a `DilatedResNet` to the annotation's labels, in windows of the train genes."""

    def __init__(self, data: Dataset, recipe: CnnRecipe, device: torch.device, rank: int = 0):
        torch.manual_seed(recipe.seed)
        self.data, self.recipe, self.device = data, recipe, device
        self.model = _network(recipe.channels, recipe.context).to(device)
        reach = self.model.reach
        mixture = Mixture(recipe.batch_bases, recipe.windows, recipe.site_share)
        self.sampler = WindowSampler(data, TRAIN, (reach, reach), mixture, recipe.seed, rank)
        self.identity = dict(kind="cnn", data=data.digest())

    def start_step(self, step: int) -> None:
        pass

    def loss(self, step: int) -> torch.Tensor:
        """Negative log-likelihood in nats per 1,000 known bases."""
        codes, labels = self.sampler.batch(step)
        log_p = self.model(one_hot(torch.from_numpy(codes).to(self.device)))
        target = torch.from_numpy(labels).to(self.device).long()
        nll = F.nll_loss(log_p.float(), target, ignore_index=IGNORE, reduction="sum")
        return 1000 * nll / max(int((labels != IGNORE).sum()), 1)

    def validate(self, step: int) -> dict[str, float]:
        """Top-k on a fixed part of the validation genes."""
        genes = validation_genes(self.data, self.recipe.validate_bases)
        if not len(genes):
            return {}
        found = cnn_top_k(self.model, self.data, genes, self.device, resamples=0)
        return dict(topk_acceptor=found.acceptor, topk_donor=found.donor, topk_mean=found.mean)

    def save_weights(self, folder: str, step: int) -> None:
        r = self.recipe
        shape = dict(channels=r.channels, context=r.context)
        save_run(folder, self.model, dict(self.identity, step=step, steps=r.steps, shape=shape))


def load_cnn(folder: str, unfinished: bool = False) -> DilatedResNet:
    """The network of a run of `samvar train cnn`, in evaluation mode. Raises RecipeError where the
    folder holds none, or, unless `unfinished`, one that is not trained to the end."""
    description, state = read_run(folder, "cnn", unfinished)
    model = _network(**description["shape"])
    model.load_state_dict(state)
    return model.eval()


def _network(channels: int, context: int) -> DilatedResNet:
    return DilatedResNet(channels, GROUPS[: CONTEXTS.index(context) + 1])


@torch.inference_mode()
def cnn_top_k(
    model: DilatedResNet,
    data: Dataset,
    genes: np.ndarray,
    device: torch.device,
    resamples: int = 1000,
) -> TopK:
    """Top-k accuracy on these genes, scored in tiles."""
    model.eval()
    scores, labels, owner = [], [], []
    for i, start, end, codes in tiles(data, genes, (model.reach, model.reach)):
        known = data.window(genes[i], start, end)[1]
        keep = known != IGNORE
        log_p = model(one_hot(torch.from_numpy(codes[None]).to(device)))[0, 1:].float()
        scores.append(log_p.cpu().numpy()[:, keep])
        labels.append(known[keep])
        owner.append(np.full(keep.sum(), i))
    return top_k(
        np.concatenate(scores, 1),
        np.concatenate(labels),
        np.concatenate(owner),
        len(genes),
        resamples,
    )


def evaluate_cnn(
    model: DilatedResNet, data: Dataset, genes: np.ndarray, device: torch.device
) -> dict:
    """The numbers of an evaluation, ready for JSON: percent."""
    found = cnn_top_k(model, data, genes, device)
    return dict(
        topk_acceptor=found.acceptor,
        topk_donor=found.donor,
        topk_mean=found.mean,
        topk_interval=found.interval,
        n_acceptor=found.n_acceptor,
        n_donor=found.n_donor,
        n_genes=found.n_genes,
    )
