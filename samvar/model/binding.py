"""A model of in-vivo binding: which proteins bind a stretch of RNA, by its bases and by the part of
the transcript that each of them lies in.

After DeepRiPe (Ghanbari & Ohler, Genome Research 30:214, 2020): one network for all proteins, with
a branch for the sequence and one for the region types. `residual`: the dilated block of
ResidualBind (Koo et al., PLOS Computational Biology 17:e1008925, 2021) behind them.

    bases    one-hot (N, 4, W), order A C G T, transcript orientation; unknown: 0000
    regions  one-hot (N, 4, W): 5' UTR, coding sequence, 3' UTR, intron; of a non-coding exon: 0000
    logits   (N, P): log-odds that the middle of the window is bound by each protein
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import BundleError
from ..files import complete_file, write
from .bundle import BINDING, FOLDER, MANIFEST, sha256_file, verify

CONFIG, TENSORS = "model.json", "model.safetensors"
FORMAT = 1
DILATIONS = (1, 2, 4)
PARTS = 8  # of the window, that the last layers tell apart


@dataclass(frozen=True)
class BindingShape:
    """What a network is built from.

    window    bases that it sees; the middle `bin` of them are what is bound or not
    channels  of the sequence's branch; `region_channels` of that of the region types, 0: none
    hidden    width of the last layer but one, which all proteins share
    """

    window: int = 150
    bin: int = 50
    channels: int = 64
    region_channels: int = 16
    hidden: int = 128
    width: int = 11  # bases that a filter of the first layer sees
    pool: int = 4
    residual: bool = False
    dropout: float = 0.3


class ResidualBlock(nn.Module):
    """Dilated convolutions one after the other, added to what comes in (N, C, L); same length."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        layers: list[nn.Module] = []
        for dilation in DILATIONS:
            layers += [
                nn.Conv1d(channels, channels, 3, dilation=dilation, padding=dilation, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
                nn.Dropout(dropout / 3),
            ]
        self.layers = nn.Sequential(*layers[:-2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.layers(x))


def filters(channels: int, width: int) -> nn.Sequential:
    """The first layer of a branch: one-hot (N, 4, L) -> (N, C, L - width + 1)."""
    return nn.Sequential(nn.Conv1d(4, channels, width), nn.BatchNorm1d(channels), nn.ReLU())


class BindingNet(nn.Module):
    """One-hot bases and region types of a window -> log-odds of each protein."""

    def __init__(self, proteins: int, shape: BindingShape = BindingShape()):
        super().__init__()
        s = self.shape = shape
        both = s.channels + s.region_channels
        self.of_bases = filters(s.channels, s.width)
        self.of_regions = filters(s.region_channels, s.width) if s.region_channels else None
        self.residual = ResidualBlock(both, s.dropout) if s.residual else None
        self.together = nn.Sequential(
            nn.MaxPool1d(s.pool),
            nn.Conv1d(both, s.channels, 7, padding=3),
            nn.BatchNorm1d(s.channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(PARTS),
            nn.Flatten(),
            nn.Dropout(s.dropout),
            nn.Linear(s.channels * PARTS, s.hidden),
            nn.ReLU(),
            nn.Dropout(s.dropout),
            nn.Linear(s.hidden, proteins),
        )

    def forward(self, bases: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        x = self.of_bases(bases)  # (N, C, W - width + 1)
        if self.of_regions is not None:
            x = torch.cat((x, self.of_regions(regions)), 1)
        if self.residual is not None:
            x = self.residual(x)
        return self.together(x)


@dataclass(frozen=True)
class BindingModel:
    """A trained network in evaluation mode, fp32, with the names of its proteins, in the order of
    its log-odds; `sha256` of its tensors, `name` of its folder."""

    name: str
    net: BindingNet
    proteins: tuple[str, ...]
    sha256: str

    @property
    def window(self) -> int:
        """Bases that it sees."""
        return self.net.shape.window


def save_binding(folder: str, net: BindingNet, proteins: tuple[str, ...], about: dict) -> None:
    """Tensors in half precision and model.json; `about`: what else that says, `step` of `steps`
    among it."""
    tensors = {
        name: tensor.detach().cpu().half() if tensor.is_floating_point() else tensor
        for name, tensor in net.state_dict().items()
    }
    with complete_file(os.path.join(folder, TENSORS)) as part:
        save_file(tensors, part)
    config = dict(format=FORMAT, proteins=proteins, shape=asdict(net.shape), **about)
    write(os.path.join(folder, CONFIG), json.dumps(config, indent=1) + "\n")


def load_binding(place: str = "default") -> BindingModel:
    """`place`: default, which comes with samvar, or the folder of a finished `samvar train
    binding`. Raises BundleError where there is none, or it differs from its manifest."""
    folder = os.path.join(FOLDER, BINDING) if place == "default" else place
    if not os.path.isfile(os.path.join(folder, CONFIG)):
        raise BundleError(
            f"no model of binding in {folder}: give default, or the folder of a finished samvar "
            "train binding"
        )
    if os.path.exists(os.path.join(folder, MANIFEST)):
        verify(folder)
    try:
        with open(os.path.join(folder, CONFIG)) as handle:
            config = json.load(handle)
        if config["format"] != FORMAT:
            raise BundleError(f"{folder} has format {config['format']}, this samvar reads {FORMAT}")
        if config["step"] < config["steps"]:
            raise BundleError(
                f"{folder} is at step {config['step']} of {config['steps']}: go on with samvar "
                "train binding --resume"
            )
        tensors = os.path.join(folder, TENSORS)
        net = BindingNet(len(config["proteins"]), BindingShape(**config["shape"]))
        net.load_state_dict(load_file(tensors))
        net.eval().requires_grad_(False)
        name = os.path.basename(os.path.abspath(folder))
        return BindingModel(name, net, tuple(config["proteins"]), sha256_file(tensors))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as e:
        raise BundleError(f"cannot load the model of binding in {folder}: {e}") from e
