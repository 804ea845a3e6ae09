"""The dilated residual network of SpliceAI and OpenSpliceAI: a baseline, and the teacher whose soft
labels a SAM learns from; its training from an annotation's labels.

Facts: Jaganathan et al., Cell 2019; Chao et al., OpenSpliceAI (2025). Every line here is samvar's
own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from ..errors import RecipeError
from ..model.sam import one_hot
from .checkpoint import read_run, save_run
from .dataset import IGNORE, TRAIN, Dataset
from .evaluate import TopK, tiles, top_k
from .loop import Stateless
from .recipe import CONTEXTS, CnnRecipe
from .sam import validation_genes
from .sampling import Mixture, WindowSampler


@dataclass(frozen=True)
class Group:
    """Residual units of one width and dilation, followed by a skip connection."""

    units: int
    width: int
    dilation: int

    @property
    def reach(self) -> int:
        """Bases on either side that an output of the group depends on."""
        return self.units * (self.width - 1) * self.dilation


GROUPS = (Group(4, 11, 1), Group(4, 11, 4), Group(4, 21, 10), Group(4, 41, 25))
SLOPE = 0.1  # of the leaky ReLU


class DilatedUnit(nn.Module):
    """(norm, leaky ReLU, dilated convolution) twice, plus its input; valid convolutions."""

    def __init__(self, channels: int, width: int, dilation: int):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, (1, width), dilation=(1, dilation))
        self.conv2 = nn.Conv2d(channels, channels, (1, width), dilation=(1, dilation))
        self.edge = (width - 1) * dilation

    def forward(self, x):  # (N, C, 1, L) -> (N, C, 1, L - 2 edge)
        y = self.conv1(F.leaky_relu(self.norm1(x), SLOPE))
        y = self.conv2(F.leaky_relu(self.norm2(y), SLOPE))
        return x[..., self.edge : x.shape[-1] - self.edge] + y


class DilatedResNet(nn.Module):
    """One-hot (N, 4, L) -> log-probabilities (N, 3, L - 2 reach) of none, acceptor, donor.

    All convolutions are valid, so `reach` bases (40, 200, 1,000, 5,000 with one to four groups) are
    fed on either side.
    """

    def __init__(self, channels: int = 32, groups: tuple[Group, ...] = GROUPS[:3]):
        super().__init__()
        self.enter = nn.Conv2d(4, channels, 1)
        self.groups = nn.ModuleList(
            nn.Sequential(*(DilatedUnit(channels, g.width, g.dilation) for _ in range(g.units)))
            for g in groups
        )
        self.skips = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(len(groups) + 1))
        self.classes = nn.Conv2d(channels, 3, 1)
        self.reach = sum(g.reach for g in groups)

    def forward(self, x):
        n = x.shape[-1] - 2 * self.reach
        x = self.enter(x.unsqueeze(2).contiguous(memory_format=torch.channels_last))
        total = self.skips[0](_middle(x, n))
        for group, skip in zip(self.groups, self.skips[1:]):
            x = group(x)
            total = total + skip(_middle(x, n))
        return torch.log_softmax(self.classes(total).squeeze(2), 1)


def _middle(x: torch.Tensor, n: int) -> torch.Tensor:
    """The middle n positions of the last axis."""
    edge = (x.shape[-1] - n) // 2
    return x[..., edge : edge + n]


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
