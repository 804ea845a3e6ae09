"""Finished runs -> a weight bundle with its card."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from safetensors.torch import save_file

from .. import __version__
from ..errors import RecipeError
from ..model.bottleneck import Layout
from ..model.bundle import (
    FORMAT,
    LEARNT_MOTIFS,
    MANIFEST,
    MOTIF_SITES,
    background_file,
    background_of,
    build,
    identity,
    sha256_file,
)
from ..model.growth import with_silent_motifs
from ..model.sam import MOTIF_REACH, SAM, one_hot
from .card import write_card
from .checkpoint import load_run, settings_of
from .dataset import TRAIN, UNKNOWN, VALIDATION, Dataset
from .likeness import learnt_motifs
from .sampling import Mixture, WindowSampler
from .soft_labels import lesson_of

CHECKED_WINDOWS = 64  # validation windows on which the stored precision is compared with fp32
COUNTED_TILES = 128  # of validation genes, in which the sites of each motif are counted
TILE = 8192  # bases


def halve(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of convolutions and linear layers, and thresholds of each RBP, in half precision;
    norms, biases, other thresholds and motifs stay fp32."""
    return {
        k: v.half() if v.dim() > 1 and not k.startswith("motifs.fixed.") else v
        for k, v in state.items()
    }


def files_of(folder: str) -> list[str]:
    """Names of the files of a bundle in the folder, none where it is empty or not there.

    Raises RecipeError where it holds anything else: a bundle is written into a folder of its own.
    """
    found = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    listed: set[str] = set()
    if MANIFEST in found:
        with open(os.path.join(folder, MANIFEST)) as handle:
            listed = set(json.load(handle)) | {MANIFEST}
    if found - listed:
        raise RecipeError(
            f"{folder} holds {sorted(found - listed)[0]}, which is of no bundle; choose another "
            "folder"
        )
    return sorted(listed)


@torch.inference_mode()
def storage_error(model: SAM, stored: SAM, data: Dataset) -> float:
    """Largest difference of a site probability over random windows of validation genes (train
    genes, if none)."""
    split = VALIDATION if len(data.genes(VALIDATION)) else TRAIN
    mixture = Mixture(CHECKED_WINDOWS * 1125, lengths=(1125,), site_share=0.8)
    sampler = WindowSampler(data, split, model.config.reach, mixture, seed=0)
    codes, _ = sampler.batch(0)
    parts = (one_hot(torch.from_numpy(codes[i : i + 8])) for i in range(0, len(codes), 8))
    return max(float((model(x).exp() - stored(x).exp())[:, 1:].abs().max()) for x in parts)


def counted_tiles(data: Dataset) -> tuple[list[np.ndarray], int]:
    """Base codes of tiles spread evenly over the validation genes (train genes, if none),
    `MOTIF_REACH` more on either side, and how many bases of the tiles are known."""
    split = VALIDATION if len(data.genes(VALIDATION)) else TRAIN
    places = []
    for gene in data.genes(split):
        length = int(data.offsets[gene + 1] - data.offsets[gene])
        places += [(gene, start, min(start + TILE, length)) for start in range(0, length, TILE)]
    chosen = places[:: -(-len(places) // COUNTED_TILES)]
    tiles = [data.window(*place, MOTIF_REACH, MOTIF_REACH)[0] for place in chosen]
    known = sum(int((t[MOTIF_REACH:-MOTIF_REACH] != UNKNOWN).sum()) for t in tiles)
    return tiles, known


@torch.inference_mode()
def site_densities(models: Sequence[SAM], names: Sequence[str], data: Dataset) -> dict:
    """Sites of each motif channel per base of `counted_tiles`, the mean of the models: dict(bases,
    density: name -> share of the bases)."""
    tiles, bases = counted_tiles(data)
    sites = torch.zeros(len(names))
    for codes in tiles:
        for model in models:
            sites += (model.motifs(one_hot(torch.from_numpy(codes[None]))) > 0)[0].sum(1)
    shares = (sites / max(bases, 1) / len(models)).tolist()
    return dict(bases=bases, density={name: round(x, 7) for name, x in zip(names, shares)})


def _alike(folders: list[str], kind: str) -> dict[str, tuple[SAM, dict]]:
    """Finished runs, with their descriptions. Where some have learnt motifs, the others get as many
    that have no sites: the models of a bundle share their channels. Raises RecipeError where they
    cannot."""
    runs: dict[str, tuple[SAM, dict]] = {}
    for run in folders:
        model, description = load_run(run, kind)
        if isinstance(model, SAM):  # as runs of fm and am are
            runs[run] = model, description
    learnt = {model.config.learnt_motifs for model, _ in runs.values()}
    if len(learnt - {0}) > 1 or len({len(model.core) for model, _ in runs.values()}) > 1:
        raise RecipeError(
            f"{', '.join(folders)} have different channels: learnt_motifs must be one number, or "
            "0, and branch_point the same"
        )
    for run, (model, description) in runs.items():
        if model.config.learnt_motifs < max(learnt):
            runs[run] = with_silent_motifs(model, max(learnt)), description
    return runs


def make_bundle(
    folder: str,
    name: str,
    runs: dict[str, list[str]],
    flank: int,
    data: Dataset,
    evaluations: dict[str, dict],
    half: bool = True,
    temperature: float = 1.0,
    soft_labels: Sequence[str] = (),
) -> None:
    """`runs`: kind (am, fm) -> folders of finished runs, of which the mean counts. `evaluations`:
    title -> numbers of `samvar train evaluate` or of a script in train/, printed in the card and
    kept in metrics.json. `temperature`: what the models' outputs are divided by before the
    softmax. `soft_labels`: the folders that the runs learnt from, told in the card."""
    earlier = files_of(folder)
    config: dict = dict(format=FORMAT, name=name, flank=flank, samvar_version=__version__, kinds={})
    metrics: dict = dict(evaluations)
    tensors, errors = {}, []
    if soft_labels:
        config["lesson"] = lesson_of(*soft_labels)
    for kind, folders in runs.items():
        members = []
        if len(set(folders)) < len(folders):
            raise RecipeError(f"a run is given twice among {', '.join(folders)}")
        for i, (run, (model, description)) in enumerate(_alike(folders, kind).items(), 1):
            if model.config.cnn_channels:
                raise RecipeError(f"{run} has a cnn as aggregator, for comparison alone")
            if description["data"] != data.digest():
                raise RecipeError(f"{run} was not trained on the dataset given with -d")
            if soft_labels and description.get("soft_labels") != config["lesson"]["digest"]:
                raise RecipeError(
                    f"{run} has not learnt from the soft labels in {', '.join(soft_labels)}"
                    f"{', in this order' * (len(soft_labels) > 1)}"
                )
            recipe = settings_of(run)
            state = model.state_dict()
            if config.setdefault("rbps", description["rbps"]) != description["rbps"]:
                raise RecipeError(f"{run} was trained with other RBPs than the first run")
            shape = model.config.to_dict() | dict(temperature=temperature)
            file = f"{kind}.{i}.safetensors"
            tensors[file] = halve(state) if half else state
            errors.append(storage_error(build(shape, state), build(shape, tensors[file]), data))
            members.append(
                dict(seed=recipe["seed"], file=file, sha256="", config=shape, recipe=recipe)
                | {
                    k: description[k]
                    for k in (
                        "averaged",
                        "density",
                        "started_from",
                        "narrowed",
                        "soft_labels",
                        "bound",
                    )
                    if description.get(k)
                }
            )
        config["kinds"][kind] = members
        models = [build(member["config"], tensors[member["file"]]) for member in members]
        layout = Layout.of(models[0].core, config["rbps"], models[0].motifs.channels)
        metrics.setdefault(MOTIF_SITES, {})[kind] = site_densities(models, layout.motifs, data)
        # Those of the first that has some: others have silent ones in their place
        have = [m for m, member in zip(models, members) if member["recipe"].get("learnt_motifs")]
        if have:
            found = learnt_motifs(have[0], layout.motifs, counted_tiles(data)[0])
            metrics.setdefault(LEARNT_MOTIFS, {})[kind] = found
    os.makedirs(folder, exist_ok=True)
    scales = {background_file(folder, kind): kind for kind in ("am", "fm")}
    for old in (os.path.join(folder, name) for name in earlier):
        if old not in scales:
            with suppress(FileNotFoundError):
                os.unlink(old)
    for member in sum(config["kinds"].values(), []):
        path = os.path.join(folder, member["file"])
        save_file(tensors[member["file"]], path)
        os.chmod(path, 0o644)  # safetensors makes files that only their owner can read
        member["sha256"] = sha256_file(path)
    config["data"] = data.meta | dict(train=data.extent(TRAIN))
    for path, kind in scales.items():  # of other models
        fits = kind in config["kinds"] and background_of(folder, kind, identity(config, kind))
        if os.path.exists(path) and not fits:
            os.unlink(path)
    metrics["storage"] = dict(
        precision="fp16" if half else "fp32", largest_error=max(errors), windows=CHECKED_WINDOWS
    )
    for file, content in (("config.json", config), ("metrics.json", metrics)):
        with open(os.path.join(folder, file), "w") as handle:
            json.dump(content, handle, indent=1)
            handle.write("\n")
    write_card(folder)
