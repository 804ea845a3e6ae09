"""Finished runs -> a weight bundle with its card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress

import torch
from safetensors.torch import load_file, save_file

from .. import __version__
from ..bundle import (
    FORMAT,
    MANIFEST,
    background_file,
    background_of,
    build,
    identity,
    sha256_file,
    write_manifest,
)
from ..errors import RecipeError
from ..model import SAM, one_hot
from .dataset import TRAIN, VALIDATION, Dataset
from .runs import load_run
from .sampling import WindowSampler

AUGMENTATIONS = ("decoy_share", "mutate", "indels", "moved", "motif_dropout")
CHECKED_WINDOWS = 64  # validation windows on which the stored precision is compared with fp32


def halve(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of convolutions and linear layers in half precision; norms, biases, thresholds and motifs stay fp32."""
    return {k: v.half() if v.dim() > 1 and not k.startswith("motifs.fixed.") else v for k, v in state.items()}


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
        raise RecipeError(f"{folder} holds {sorted(found - listed)[0]}, which is of no bundle; choose another folder")
    return sorted(listed)


@torch.inference_mode()
def storage_error(model: SAM, stored: SAM, data: Dataset) -> float:
    """Largest difference of a site probability over random windows of validation genes (train genes, if none)."""
    split = VALIDATION if len(data.genes(VALIDATION)) else TRAIN
    sampler = WindowSampler(data, split, model.config.reach, CHECKED_WINDOWS * 1125, (1125,), 0.8, seed=0)
    codes, _ = sampler.batch(0)
    parts = (one_hot(torch.from_numpy(codes[i : i + 8])) for i in range(0, len(codes), 8))
    return max(float((model(x).exp() - stored(x).exp())[:, 1:].abs().max()) for x in parts)


def make_bundle(folder: str, name: str, runs: dict[str, list[str]], flank: int, data: Dataset,
                evaluations: dict[str, dict], half: bool = True, temperature: float = 1.0) -> None:
    """`runs`: kind (am, fm) -> folders of finished runs, of which the mean counts. `evaluations`: title -> numbers of
    `samvar train evaluate` or of a script in train/, printed in the card and kept in metrics.json.
    `temperature`: what the models' outputs are divided by before the softmax."""
    earlier = files_of(folder)
    config: dict = dict(format=FORMAT, name=name, flank=flank, samvar_version=__version__, kinds={})
    metrics: dict = dict(evaluations)
    tensors, errors = {}, []
    for kind, folders in runs.items():
        members = []
        if len(set(folders)) < len(folders):
            raise RecipeError(f"a run is given twice among {', '.join(folders)}")
        for i, run in enumerate(folders, 1):
            _, description = load_run(run, kind)
            if description["data"] != data.digest():
                raise RecipeError(f"{run} was not trained on the dataset given with -d")
            with open(os.path.join(run, "recipe.json")) as handle:
                recipe = json.load(handle)
            state = load_file(os.path.join(run, "model.safetensors"))
            if config.setdefault("rbps", description["rbps"]) != description["rbps"]:
                raise RecipeError(f"{run} was trained with other RBPs than the first run")
            shape = description["config"] | dict(temperature=temperature)
            file = f"{kind}.{i}.safetensors"
            tensors[file] = halve(state) if half else state
            errors.append(storage_error(build(shape, state), build(shape, tensors[file]), data))
            members.append(dict(seed=recipe["seed"], file=file, sha256="", config=shape, recipe=recipe)
                           | {k: description[k] for k in ("averaged", "density", "started_from") if description.get(k)})
        config["kinds"][kind] = members
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
    config["data"] = data.meta
    for path, kind in scales.items():  # of other models
        fits = kind in config["kinds"] and background_of(folder, kind, identity(config, kind))
        if os.path.exists(path) and not fits:
            os.unlink(path)
    metrics["storage"] = dict(precision="fp16" if half else "fp32", largest_error=max(errors),
                              windows=CHECKED_WINDOWS)
    for file, content in (("config.json", config), ("metrics.json", metrics)):
        with open(os.path.join(folder, file), "w") as handle:
            json.dump(content, handle, indent=1)
            handle.write("\n")
    with open(os.path.join(folder, "CARD.md"), "w") as handle:
        handle.write(card(config, metrics, data))
    write_manifest(folder)


def _percent(result: dict) -> str:
    low, high = result["topk_interval"]
    acceptor, donor, mean = (result[f"topk_{k}"] for k in ("acceptor", "donor", "mean"))
    return f"{acceptor:.1f} | {donor:.1f} | {mean:.1f} ({low:.1f}-{high:.1f})"


def _interval(values: list[float]) -> str:
    value, low, high = values
    return f"{value:.3f} ({low:.3f}-{high:.3f})"


def _table(metrics: dict, key: str, heading: str, columns: str, cells: Callable[[dict], str]) -> list[str]:
    """The lines of a table with a row for each entry of `metrics` that has `key`."""
    rows = [f"| {title} | {cells(e)} |" for title, e in metrics.items() if key in e]
    return ["", f"## {heading}", f"| {columns} |", "|---" * (columns.count("|") + 1) + "|", *rows] if rows else []


def card(config: dict, metrics: dict, data: Dataset) -> str:
    """CARD.md: what the bundle was trained on, its numbers, what it is for and not for."""
    train = data.genes("train")
    introns = sum(int((data.labels[data.offsets[g] : data.offsets[g + 1]] == 2).sum()) for g in train)
    bases = int((data.offsets[train + 1] - data.offsets[train]).sum())
    lines = [
        f"# {config['name']}",
        "",
        "SAM (Sparse Adjusted Motifs) models of RNA splicing, written by `samvar train bundle`.",
        "",
        "| kind | seed | C | temperature | parameters of training |",
        "|---|---|---|---|---|",
    ]
    for kind, members in config["kinds"].items():
        for m in members:
            for a in m.get("averaged", [m]):
                r, title = a["recipe"], kind
                if "averaged" in m:
                    at = f" at {m['density']:g}" if "density" in m else ""
                    title += f", one of {len(m['averaged'])} averaged{at}"
                changes = "".join(f", {k} {r[k]:g}" for k in AUGMENTATIONS if r.get(k))
                changes += ", core sites trained along" if r.get("train_core") else ""
                if start := a.get("started_from"):
                    changes += f", from {start['name']} ({start['sha256'][:8]})"
                lines.append(f"| {title} | {r['seed']} | {m['config']['channels']} | {m['config']['temperature']:g} | "
                             f"{r['steps']} steps of {r['batch_bases']} bases, {r['optimizer']} {r['lr']:g}, density "
                             f"{r['density_start']:g} to {r['density_end']:g}, {r['precision']}{changes} |")
    lines += [
        "",
        "## Training data",
        f"{len(train)} genes, {bases:,} bases, {introns} introns; no gene of "
        f"{', '.join(sum((data.meta.get(k, []) for k in ('validation', 'test', 'left_out')), []))}, none of "
        f"{', '.join(data.meta.get('held_out', [])) or '(no gene held out)'}. The dataset holds no test gene.",
        "",
        *(f"- `{name}` sha256 {digest}" for name, digest in data.meta.get("files", {}).items()),
        "",
        "## Top-k accuracy (percent; 95 % bootstrap interval over genes)",
        "| set | model | genes | acceptors | donors | acceptor | donor | mean | density of motif sites | their bits "
        "per base (at eta 2.8) | bases with a core score (acceptor, donor) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for title, e in metrics.items():
        if "topk_mean" not in e:
            continue
        counts = f"{e['n_genes']} | {e['n_acceptor']} | {e['n_donor']}"
        density = f"{e['density']:.4%}" if "density" in e else ""
        measured = f"{e['entropy_bits_per_base']:.2f}" if "entropy_bits_per_base" in e else "not measured"
        bits = f"{measured} ({e['entropy_bits_per_base_nominal']:.2f})" if "entropy_bits_per_base_nominal" in e else ""
        core = ", ".join(f"{share:.1%}" for share in e.get("core_share", []))
        lines.append(f"| {title} | {e['kind']} | {counts} | {_percent(e)} | {density} | {bits} | {core} |")
        if "lssi" in e:
            lines.append(f"| {title} | LSSI alone | {counts} | {_percent(e['lssi'])} | | | |")
    lines += _table(metrics, "donors", "Alternative and new exons (sites among the best k; counts, no claim)",
                    "set | exons | acceptors found | donors found",
                    lambda e: f"{e['n']} | {e['acceptors']} | {e['donors']}")
    lines += _table(metrics, "auroc", "Variants (none was trained on; most lie in genes that were)",
                    "set | score | n | positive | not scored | AUROC | AUPRC",
                    lambda e: f"{e['score']} | {e['n']} | {e['positive']} | {e.get('not_scored', '')} | "
                              f"{_interval(e['auroc'])} | {_interval(e['auprc'])}")
    lines += _table(metrics, "reconstructed", "Bases that a decoder reads back from the motif sites (validation genes)",
                    "set | bases | read back | always the commonest base | at most, by the entropy bound",
                    lambda e: f"{e['n']} | {e['reconstructed']:.1%} | {e['commonest_base']:.1%} | "
                              f"{e['most_by_fano']:.1%}")
    for title, e in metrics.items():
        if "reliability" in e:
            lines += ["", f"## Reliability: {title}", "Smallest negative log-likelihood on the validation genes at "
                      f"{e['temperature']:.2f} times the bundle's temperature: {e['nats_per_base_at_temperature']:.5f} "
                      f"nats per base, {e['nats_per_base']:.5f} as it is.", "",
                      "| probability | bases | mean probability | share of true sites |", "|---|---|---|---|"]
            lines += [f"| {b['low']:g}-{b['high']:g} | {b['n']} | {b['predicted']:.4f} | {b['observed']:.4f} |"
                      for b in e["reliability"]]
    s = metrics["storage"]
    lines += [
        "",
        "## Stored precision",
        f"Tensors in {s['precision']}; against fp32 the largest difference of a site probability over {s['windows']} "
        f"random validation windows is {s['largest_error']:.1e}.",
        "",
        "## Intended use",
        "Ranking and explaining variants by their effect on splice sites in pre-mRNA of the species it was trained on, "
        "for research. Not a medical device; a low score is no proof that a variant leaves splicing alone.",
        "",
        "## Limits",
        f"- Trained on one transcript of each of {len(train)} genes: sites used in few tissues, U12 introns and sites "
        "without GT-AG are hardly known to it.",
        "- Training windows are rich in sites, so probabilities run above the rate of sites in whole genes: compare "
        "alleles, do not count sites. Top-k is measured on tiles of 5,000 bases, variants are scored in frames of "
        f"about {2 * (config['flank'] + 50)}.",
        f"- It sees {config['flank']} bases beyond the compared positions, and motifs and core sites a few hundred "
        "bases further; nothing of tissue, expression or RNA structure.",
        "- A motif bears the name of the protein whose in-vitro affinities it was fitted to; related proteins share "
        "motifs.",
        "",
    ]
    return "\n".join(lines)

