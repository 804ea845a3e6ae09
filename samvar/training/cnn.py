"""The dilated residual network of SpliceAI and OpenSpliceAI: the teacher whose soft labels a SAM
learns from.

Facts: Jaganathan et al., Cell 2019; Chao et al., OpenSpliceAI (2025). Every line here is samvar's
own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

from ..errors import RecipeError


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

    All convolutions are valid, so `reach` bases (1,000 with three groups, 5,000 with four) are fed
    on either side.
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
