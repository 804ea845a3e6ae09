#!/usr/bin/env python3
"""How well models rank the effects of single edits, held against their teacher's.

    python train/evaluate/yardstick.py SOFT_LABELS default runs/am:am ... --json OUT

SOFT_LABELS is a folder of `samvar train teach` made by train/teach/yardstick.toml: validation genes
only. Of each bundle (NAME, NAME:fm) or run (its folder): Spearman's correlation and R2 of the
change in log-odds of splice sites, by region of the edit, with 95 % intervals over exons; the
divergence from the teacher; bases with a core score; density of motif sites.
"""

from __future__ import annotations

import argparse
import os

import torch
from common import save

from samvar.model.bundle import load_bundle
from samvar.model.sam import SAM
from samvar.training.checkpoint import load_run
from samvar.training.soft_labels import SoftLabels
from samvar.training.yardstick import yardstick


def models_of(place: str) -> list[SAM]:
    """The models of a run's folder, finished or not, or of a bundle."""
    if os.path.exists(os.path.join(place, "model.json")):
        return [load_run(place, unfinished=True)[0]]
    return load_bundle(place).models


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", help="folder of soft labels with single edits")
    parser.add_argument("places", nargs="+", help="bundles, or folders of runs")
    parser.add_argument("--families", type=int, help="so many exons only [default: all]")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    labels = SoftLabels.load_folder(args.labels)
    found = {}
    for place in args.places:
        result = yardstick(models_of(place), labels, torch.device("cpu"), args.families)
        found[os.path.basename(os.path.normpath(place))] = result
        changes = result["changes"]
        row = [f"{name} {changes[name].get('spearman', float('nan')):.3f}" for name in changes]
        print(f"{place}: {', '.join(row)}; divergence {result['divergence']:.2f}", flush=True)
    save(args.json, found)


if __name__ == "__main__":
    main()
