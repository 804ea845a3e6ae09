"""Soft labels of a teacher for the windows of a dataset."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ..errors import DatasetError, RecipeError
from ..files import complete_file, write
from ..model.sam import ACCEPTOR, DONOR, crop, one_hot
from .cnn import load_cnn, load_openspliceai
from .dataset import Dataset
from .edits import EDGE, REGIONS, Family, FamilySampler, Site, region
from .effects import SubstitutionEffects
from .recipe import TeachRecipe, recipe_from
from .soft_labels import ABOUT, GONE, LEAST, MOST_LOG_ODDS, SoftLabels, about_of

LEFT, RIGHT = 268, 258  # bases of context kept for the student: the reach of a SAM
CHECKED, SHIFTS = (
    40,
    range(-3, 4),
)  # known sites, and shifts of them, that the convention is checked on
BATCH, BATCH_ON_GPU = 8, 64  # windows a call
LEAST_CERTAIN = 1e-6  # probability below which log-odds no longer move
MOST_OFF = 0.01  # of a teacher's three probabilities from 1 together: half precision rounds
LEAST_SPREAD = 0.01  # of its mean probability among SHIFTS; with less it says nothing of sites
MADE_FROM = dict(  # parts of the identity of a folder of soft labels
    data="another dataset",
    teachers="another teacher, or one with another context",
    recipe="another recipe",
)


@dataclass(frozen=True)
class Teacher:
    """The mean probability of several networks. Whoever asks it gets a RecipeError where one of
    them gives anything else than log-probabilities of the right shape.

    networks    each maps one-hot (N, 4, L) to log-probabilities (N, 3, L - 2 context)
    context     bases that are fed on either side
    identities  sha256 of each network's file; of a function its name, and the sha256 of the file
                that it is written in; and the context, where the network does not determine it
    """

    networks: list[Callable[[torch.Tensor], torch.Tensor]]
    context: int
    identities: list[str]

    @torch.inference_mode()
    def probabilities(self, codes: np.ndarray, device: torch.device) -> np.ndarray:
        """codes (N, context + W + context) -> (N, 3, W) float32: none, acceptor, donor."""
        return self._mean(one_hot(torch.from_numpy(codes).to(device))).cpu().numpy()

    def effects(self, codes: np.ndarray, sites: list[Site], device: torch.device) -> np.ndarray:
        """First-order changes of the log-odds of each site where one base becomes another.

        codes    (context + W + context,): 4 where unknown
        sites    `at` counted from the first of the W bases
        returns  (S, 4, W) float32: 0 for the base that is there, and where it is unknown
        """
        x = one_hot(torch.from_numpy(codes[None]).to(device)).requires_grad_(True)
        log_odds = self._mean(x)[0].clamp(LEAST_CERTAIN, 1 - LEAST_CERTAIN).logit()
        inner = crop(x.detach()[0], self.context, self.context)
        out = []
        for site in sites:
            slope = torch.autograd.grad(log_odds[site.kind, site.at], x, retain_graph=True)[0][0]
            slope = crop(slope, self.context, self.context)
            out.append((slope - (slope * inner).sum(0)) * inner.sum(0))
        return torch.stack(out).cpu().numpy()

    def _mean(self, x: torch.Tensor) -> torch.Tensor:
        n = len(self.networks)
        said = [
            _said(network, x, self.context, f"teacher {i} of {n}" if n > 1 else "the teacher")
            for i, network in enumerate(self.networks, 1)
        ]
        return torch.stack(said).mean(0)


def _said(
    network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, context: int, who: str
) -> torch.Tensor:
    """Probabilities (N, 3, L - 2 context) float32 of a network for one-hot x (N, 4, L). Raises
    RecipeError, which names it `who`, where it fails or gives anything else."""
    asked, expected = tuple(x.shape), (len(x), 3, x.shape[-1] - 2 * context)
    try:
        log_p = network(x)
    except (IndexError, RuntimeError, TypeError, ValueError) as e:
        raise RecipeError(
            f"{who} fails on one-hot sequence of shape {asked} with --context {context}: {e}"
        ) from e
    shape = tuple(log_p.shape) if isinstance(log_p, torch.Tensor) else type(log_p).__name__
    if shape != expected:
        raise RecipeError(
            f"{who} gives {shape} for one-hot sequence of shape {asked} with --context {context}, "
            f"where samvar needs a tensor of {expected}: none, acceptor, donor for each base but "
            "the context on either side; mend it, or give the context that it takes"
        )
    p = log_p.float().exp()
    total = p.detach().sum(1)
    if not ((total - 1).abs() <= MOST_OFF).all():
        raise RecipeError(
            f"{who} gives no log-probabilities of none, acceptor, donor: their exp adds up to "
            f"{float(total.min()):.2f} to {float(total.max()):.2f}, not to 1; end it with "
            "torch.log_softmax(scores, 1)"
        )
    return p


def load_teacher(places: list[str], device: torch.device, context: int = 1000) -> Teacher:
    """Folders of `samvar train cnn`, OpenSpliceAI state dicts (*.pt, *.pth), TorchScript modules,
    or functions `package.module:function`; the last two take one-hot (N, 4, L) and give
    log-probabilities (N, 3, L - 2 context). Raises RecipeError."""
    loaded = [_load(place, context) for place in places]
    contexts = sorted({one.context for one in loaded})
    if len(contexts) != 1:
        raise RecipeError(f"the teachers need different contexts: {contexts}")
    networks = [
        one.network.to(device) if isinstance(one.network, torch.nn.Module) else one.network
        for one in loaded
    ]
    return Teacher(networks, contexts[0], [one.identity for one in loaded])


class _Loaded(NamedTuple):
    """A network, the bases of context that it is fed on either side, and what tells it from any
    other (`Teacher.identities`)."""

    network: Callable[[torch.Tensor], torch.Tensor]
    context: int
    identity: str


def _load(place: str, context: int) -> _Loaded:
    """What `load_teacher` finds at one place. A dilated network, whose reach is known, is fed at
    least as many bases as its student needs."""
    if ":" in place and not os.path.exists(place):
        function, path = _function(place)
        name = f"{place} {_digest(path)}" if path else place
        return _Loaded(function, context, f"{name} context {context}")
    digest = _digest(place)
    if os.path.isdir(place):
        network = load_cnn(place)
    else:
        try:
            scripted = torch.jit.load(place, map_location="cpu").eval()
            return _Loaded(scripted, context, f"{digest} context {context}")
        except RuntimeError:  # no TorchScript
            network = load_openspliceai(place)
    fed = max(network.reach, LEFT, RIGHT)
    return _Loaded(_Cropped(network, fed - network.reach), fed, digest)


def _function(place: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], str | None]:
    """A function `package.module:function`, and the file that it is written in, None where there is
    no such file. Raises RecipeError."""
    module, name = place.split(":", 1)
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as e:
        raise RecipeError(f"teacher {place}: {e}") from e
    home = function.__module__ if inspect.isfunction(function) else module
    path = getattr(sys.modules.get(home), "__file__", None)
    return function, path if path and os.path.isfile(path) else None


def _digest(place: str) -> str:
    """sha256 of a network's file. Raises RecipeError where it cannot be read."""
    path = os.path.join(place, "model.safetensors") if os.path.isdir(place) else place
    try:
        with open(path, "rb") as handle:
            return hashlib.sha256(handle.read()).hexdigest()
    except OSError as e:
        raise RecipeError(f"cannot read teacher {path}: {e.strerror}") from e


class _Cropped(torch.nn.Module):
    """A network that is fed `spare` bases on either side that it does not see."""

    def __init__(self, network: torch.nn.Module, spare: int):
        super().__init__()
        self.network, self.spare = network, spare

    def forward(self, x):
        return self.network(crop(x, self.spare, self.spare))


class Convention(NamedTuple):
    """Mean probability of a teacher at known sites, shifted by SHIFTS bases."""

    means: list[float]

    @property
    def best(self) -> int:
        return SHIFTS[int(np.argmax(self.means))]

    @property
    def spread(self) -> float:
        return max(self.means) - min(self.means)

    def __str__(self) -> str:
        means = ", ".join(f"{m:.2f}" for m in self.means)
        return f"mean probability {means} at {SHIFTS[0]}..{SHIFTS[-1]}"


def check_convention(teacher: Teacher, data: Dataset, device: torch.device) -> None:
    """A teacher's sites must stand on the first and last base of exons, as ours do. Raises
    RecipeError where they stand elsewhere, or it does not tell sites from other bases."""
    rng = np.random.default_rng(0)
    for kind, name in ((ACCEPTOR, "acceptor"), (DONOR, "donor")):
        sites = np.flatnonzero(data.labels == kind)
        if not len(sites):
            raise DatasetError(
                f"the dataset has no {name} to try the teacher on: give one that has, with --known"
            )
        windows = []
        for at in rng.choice(sites, min(CHECKED, len(sites)), replace=False):
            gene = int(np.searchsorted(data.offsets, at, "right")) - 1
            start = int(at - data.offsets[gene]) + SHIFTS[0]
            windows.append(
                data.window(gene, start, start + len(SHIFTS), teacher.context, teacher.context)[0]
            )
        p = teacher.probabilities(np.stack(windows), device)[:, kind]
        found = Convention(p.mean(0).tolist())
        if found.spread < LEAST_SPREAD:
            raise RecipeError(
                f"the teacher says nearly the same of known {name}s and the bases beside them: "
                f"{found}; it must be trained, and read A C G T in this order"
            )
        if found.best != 0:
            raise RecipeError(
                f"the teacher puts {name}s {found.best:+d} bases from where samvar has them (the "
                f"first and last base of an exon): {found}"
            )


def label(families: list[Family], teacher: Teacher, width: int, device: torch.device) -> SoftLabels:
    """What the teacher says of these families, as one shard."""
    context = teacher.context
    versions = [(f, v) for f, family in enumerate(families) for v in family.versions]
    cut = np.stack([v.codes[: 2 * context + width] for _, v in versions])
    n = BATCH if device.type == "cpu" else BATCH_ON_GPU
    p = np.concatenate(
        [teacher.probabilities(cut[i : i + n], device) for i in range(0, len(cut), n)]
    )
    version, kind, at = np.nonzero(p[:, 1:] > LEAST)
    sites = [
        (i, key, site.kind, GONE if site.at is None else site.at - context)
        for i, (_, v) in enumerate(versions)
        for key, site in enumerate(v.sites)
    ]
    row, key, site_kind, site_at = np.array(sites, np.int64).reshape(-1, 4).T
    site_at = np.where((site_at < 0) | (site_at >= width), GONE, site_at)
    there = p[row, site_kind, site_at].astype(np.float64)
    log_odds = np.log(there.clip(1e-9)) - np.log((1 - there).clip(1e-9))
    regions = []
    for family in families:
        plain = family.versions[0]
        for v in family.versions:
            same_length = len(v.codes) == len(plain.codes)
            changed = np.flatnonzero(v.codes != plain.codes) if same_length else np.zeros(0, int)
            single = len(changed) == 1 and plain.sites
            regions.append(REGIONS.index(region(plain, int(changed[0]))) if single else -1)
    return SoftLabels(
        codes=cut[:, context - LEFT : context + width + RIGHT],
        family=np.array([f for f, _ in versions], np.int32),
        label_version=version.astype(np.int32),
        label_at=at.astype(np.int16),
        label_kind=(kind + 1).astype(np.uint8),
        label_p=p[version, kind + 1, at].astype(np.float16),
        site_version=row.astype(np.int32),
        site_key=key.astype(np.uint8),
        site_kind=site_kind.astype(np.uint8),
        site_at=site_at.astype(np.int16),
        site_log_odds=log_odds.clip(-MOST_LOG_ODDS, MOST_LOG_ODDS).astype(np.float32),
        edit_region=np.array(regions, np.int8),
        left=LEFT,
        right=RIGHT,
    )


def label_effects(
    families: list[Family], teacher: Teacher, width: int, device: torch.device
) -> SubstitutionEffects:
    """What the teacher says of all substitutions in the unedited versions of these families, as one
    shard; windows without a site are left out."""
    context = teacher.context
    codes: list[np.ndarray] = []
    window: list[int] = []
    followed: list[Site] = []
    effect: list[np.ndarray] = []
    for family in families:
        plain = family.versions[0]
        inside = range(context + EDGE, context + width - EDGE)
        sites = [Site(s.kind, s.at - context) for s in plain.sites if s.at in inside]
        if not sites:
            continue
        cut = plain.codes[: 2 * context + width]
        effect.append(teacher.effects(cut, sites, device).astype(np.float16))
        window += [len(codes)] * len(sites)
        followed += sites
        codes.append(cut[context - LEFT : context + width + RIGHT])
    return SubstitutionEffects(
        codes=np.array(codes, np.uint8).reshape(-1, LEFT + width + RIGHT),
        site_window=np.array(window, np.int32),
        site_kind=np.array([s.kind for s in followed], np.uint8),
        site_at=np.array([s.at for s in followed], np.int16),
        effect=np.concatenate([np.empty((0, 4, width), np.float16), *effect]),
        left=LEFT,
        right=RIGHT,
    )


def teach(
    data: Dataset,
    recipe: TeachRecipe,
    teacher: Teacher,
    folder: str,
    device: torch.device,
    resume: bool = False,
    minutes: float | None = None,
    report: Callable[[str], None] = print,
    teacher_name: str = "",
    known: Dataset | None = None,
) -> bool:
    """Label `recipe.families` families into shards in `folder`, of `SoftLabels` or, where the
    recipe asks for effects, of `SubstitutionEffects`; True when all are done. `teacher_name`: for
    the cards of models that learn from it. `known`: whose sites the teacher is tried on before,
    where these are not those of `data`.

    Before anything is written it raises RecipeError where the folder holds labels and `resume` was
    not asked for, or labels of something else, or the teacher cannot be one (`check_convention`),
    and DatasetError where the dataset has no genes for the recipe, or no motifs to plant or knock
    out, or the teacher takes less context than its students.
    """
    of_motifs = recipe.planted or recipe.knocked
    if recipe.versions and not recipe.single and of_motifs and not data.motifs:
        raise DatasetError(
            "the dataset holds no motifs to plant or knock out: make it with samvar train prepare "
            "--motifs FOLDER, or set planted = 0.0 and knocked = 0.0 in the recipe"
        )
    if teacher.context < max(LEFT, RIGHT):
        raise DatasetError(
            f"a teacher must take at least {max(LEFT, RIGHT)} bases of context on either side, as "
            f"its students do, not {teacher.context}: give a larger --context, and let the teacher "
            "cut off what it does not need"
        )
    sampler = FamilySampler(data, recipe, teacher.context)
    identity = dict(data=data.digest(), teachers=teacher.identities, recipe=asdict(recipe))
    begun = _is_begun(folder, identity, resume)
    check_convention(teacher, known or data, device)
    if not begun:
        os.makedirs(folder, exist_ok=True)
        about = dict(identity=identity, teacher=teacher_name)
        write(os.path.join(folder, ABOUT), json.dumps(about, indent=1))
    make = label_effects if recipe.effects else label
    started, windows = time.monotonic(), 0
    with tqdm(total=recipe.families, disable=None, unit="family") as bar:
        for first in range(0, recipe.families, recipe.shard):
            numbers = range(first, min(first + recipe.shard, recipe.families))
            path = os.path.join(folder, f"shard-{first // recipe.shard:05d}.npz")
            if not os.path.exists(path):
                shard = make([sampler.family(i) for i in numbers], teacher, recipe.width, device)
                with complete_file(path) as part:
                    shard.save(part)
                windows += len(shard.codes)
            bar.update(len(numbers))
            seconds = time.monotonic() - started
            if minutes is not None and seconds > 60 * minutes and numbers[-1] + 1 < recipe.families:
                report(
                    f"stopped after {minutes:g} minutes at family {numbers[-1] + 1} of "
                    f"{recipe.families}; go on with --resume"
                )
                return False
    rate = windows / max(time.monotonic() - started, 1e-9)
    report(f"{windows} windows labelled, {rate:.1f} a second")
    return True


def _is_begun(folder: str, identity: dict, resume: bool) -> bool:
    """Whether `folder` holds labels of this identity. Raises RecipeError where it holds others, or
    `resume` was not asked for."""
    path = os.path.join(folder, ABOUT)
    if not os.path.exists(path):
        return False
    if not resume:
        raise RecipeError(
            f"{folder} holds soft labels: go on with --resume, or choose another folder"
        )
    held = about_of(folder)["identity"]
    held["recipe"] = asdict(recipe_from(held["recipe"], TeachRecipe, path))  # and what is new
    if others := [words for part, words in MADE_FROM.items() if held[part] != identity[part]]:
        raise RecipeError(
            f"{folder} holds soft labels of {' and '.join(others)}: repeat the command that began "
            "it, or choose another folder"
        )
    return True
