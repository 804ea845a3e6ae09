#!/usr/bin/env python3
"""How well models rank the effects of single edits, held against their teacher's.

    python train/evaluate/yardstick.py SOFT_LABELS default runs/am ... [--effects FOLDER] --json OUT

SOFT_LABELS is a folder of `samvar train teach` made by train/teach/yardstick.toml: validation genes
only. Of each bundle (NAME, NAME:fm) or run (its folder): Spearman's correlation and R2 of the
change in log-odds of splice sites, by region of the edit, with 95 % intervals over exons; the
divergence from the teacher; bases with a core score; density of motif sites; bits a base. Of a run
of `samvar train motifs` or `branch-points` the changes alone, which are those of its sites and RNA
maps. --effects,
made by train/teach/yardstick-effects.toml: the teacher's own gradients, as if they were a model.
"""

from __future__ import annotations

import argparse
import os

import torch
from common import in_words, save

from samvar.model.bundle import load_bundle
from samvar.model.sam import SAM
from samvar.training.checkpoint import load_run, read_run
from samvar.training.effects import SubstitutionEffects
from samvar.training.learnt import LOCAL_MODELS, LocalModel, load_local_model
from samvar.training.soft_labels import SoftLabels
from samvar.training.yardstick import SingleEdit, changes_said, yardstick

CPU = torch.device("cpu")


def is_local(place: str) -> bool:
    """Whether a folder is a run of `samvar train motifs` or `branch-points`."""
    is_run = os.path.exists(os.path.join(place, "model.json"))
    return is_run and read_run(place, unfinished=True)[0]["kind"] in LOCAL_MODELS


def sites_alone(local: LocalModel, labels: SoftLabels, families: int | None) -> dict:
    """What learnt motifs, or branch points, say by themselves."""

    @torch.no_grad()
    def say(plain: int, edit: SingleEdit) -> float:
        at = labels.left + edit.at
        window = labels.codes[plain][None, at - local.side : at + local.side + 1]
        where = torch.tensor([edit.at - edit.site]), torch.tensor([edit.kind])
        return float(local(torch.from_numpy(window), *where)[0, edit.base])

    return dict(changes=changes_said(labels, say, families).by_region())


def first_order(effects: SubstitutionEffects, labels: SoftLabels, families: int | None) -> dict:
    """What the teacher's gradients say of its own single edits."""
    places = {codes.tobytes(): window for window, codes in enumerate(effects.codes)}

    def say(plain: int, edit: SingleEdit) -> float | None:
        window = places.get(labels.codes[plain].tobytes())
        if window is None:
            return None
        for site in range(*effects.first_site[window : window + 2]):
            if (effects.site_kind[site], effects.site_at[site]) == (edit.kind, edit.site):
                return float(effects.effect[site, edit.base, edit.at])
        return None

    return dict(changes=changes_said(labels, say, families).by_region())


def models_of(place: str) -> list[SAM]:
    """The models of a run's folder, finished or not, or of a bundle."""
    if os.path.exists(os.path.join(place, "model.json")):
        return [load_run(place, unfinished=True)[0]]
    return load_bundle(place).models


def load(place: str) -> LocalModel | list[SAM]:
    """What stands at one of the `places` of the command line."""
    return load_local_model(place)[0].eval() if is_local(place) else models_of(place)


def tell(place: str, result: dict) -> None:
    changes = result["changes"]
    row = [f"{name} {changes[name].get('spearman', float('nan')):.3f}" for name in changes]
    if "divergence" in result:
        row.append(f"divergence {result['divergence']:.2f}, {result['bits']:.2f} bits")
    print(f"{place}: {', '.join(row)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", help="folder of soft labels with single edits")
    parser.add_argument("places", nargs="+", help="bundles, or folders of runs")
    parser.add_argument("--effects", help="folder of the teacher's effects on the same exons")
    parser.add_argument("--families", type=int, help="so many exons only [default: all]")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    labels = SoftLabels.load_folder(args.labels)
    loaded = {place: load(place) for place in args.places}  # a wrong name is told at once
    found = {}
    for place, models in loaded.items():
        if isinstance(models, LocalModel):
            result = sites_alone(models, labels, args.families)
        else:
            result = yardstick(models, labels, CPU, args.families)
        tell(place, result)
        found[os.path.basename(os.path.normpath(place))] = result
    if args.effects:
        effects = SubstitutionEffects.load_folder(args.effects)
        found["gradients"] = first_order(effects, labels, args.families)
        tell("gradients", found["gradients"])
    save(args.json, found)


if __name__ == "__main__":
    in_words(main)
