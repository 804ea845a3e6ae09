#!/usr/bin/env python3
"""How well students rank a teacher's single edits, against what they were given: bits, windows,
labels, channels.

    python train/evaluate/curves.py train/teach -o train/teach/curves.svg

Of each run in TEACH/runs.tsv (what it started from, how many windows a teacher had labelled for it
and those before) Spearman's correlation over exonic edits and over all, with the intervals that
TEACH/results/*.json (`yardstick.py`) have. Windows seen are those of all steps, from the first run
that learnt from a teacher on; channels are those within the units of the aggregator. Runs that were
measured on 60 exons stand apart from those on 250, whose edits are others.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from glob import glob
from typing import Any, NamedTuple

import matplotlib.pyplot as plt

from samvar.training.recipe import SamRecipe, load_recipe

ALL_EDITS = 4740  # changes of a site by the single edits beside 250 exons
VERSIONS = 6  # of a window in a family
COLOURS = {"exonic": "#0072B2", "all": "#999999"}


class Point(NamedTuple):
    """A run as it is drawn: where on each axis, and (Spearman, low, high) of each region."""

    name: str
    exons: int
    at: dict[str, float]
    spearman: dict[str, tuple[float, float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("teach", help="folder of recipes, runs.tsv and results/")
    parser.add_argument("-o", "--output", required=True, help="figure, of the format it is named")
    args = parser.parse_args()
    points = read_points(args.teach)
    for p in points:
        print(p.name, p.exons, p.at, p.spearman, sep="\t")
    draw(points, args.output)


def read_points(folder: str) -> list[Point]:
    """Those of the runs that have a yardstick."""
    runs = read_runs(folder)
    found = read_yardsticks(os.path.join(folder, "results"))
    points = []
    for name in runs:
        for exons, said in found.get(name, {}).items():
            recipe = read_recipe(folder, name)
            at = {
                "bits a base": said["bits"],
                "windows seen": windows_seen(folder, runs, name),
                "windows labelled, thousands": float(runs[name]["labelled_windows"]) / 1000,
                "channels within a unit": recipe.inner_channels or recipe.channels,
            }
            spearman = {
                region: (of["spearman"], *of["interval"])
                for region, of in said["changes"].items()
                if region in COLOURS
            }
            points.append(Point(name, exons, at, spearman))
    return points


def read_runs(folder: str) -> dict[str, dict[str, str]]:
    """Of each run its row in runs.tsv."""
    with open(os.path.join(folder, "runs.tsv")) as f:
        return {row["run"]: row for row in csv.DictReader(f, delimiter="\t")}


def read_yardsticks(folder: str) -> dict[str, dict[int, dict[str, Any]]]:
    """What `yardstick.py` said of each run, by the number of exons."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for path in sorted(glob(os.path.join(folder, "*.json"))):
        with open(path) as f:
            content = json.load(f)
        for name, said in content.items():
            if isinstance(said, dict) and "bits" in said and "changes" in said:
                exons = {ALL_EDITS: 250, 1253: 60}.get(said["changes"]["all"]["n"])
                if exons:
                    found.setdefault(name, {})[exons] = said
    return found


def read_recipe(folder: str, run: str) -> SamRecipe:
    return load_recipe(os.path.join(folder, f"{run}.toml"), SamRecipe)


def windows_seen(folder: str, runs: dict[str, dict[str, str]], run: str) -> float:
    """Steps times windows of a run and of those that it goes on from."""
    if run not in runs:
        return 0.0
    recipe = read_recipe(folder, run)
    a_step = VERSIONS * recipe.soft_families + recipe.soft_windows
    return recipe.steps * a_step + windows_seen(folder, runs, runs[run]["start"])


def draw(points: list[Point], path: str) -> None:
    axes_of = list(points[0].at)
    figure, axes = plt.subplots(1, len(axes_of), figsize=(12, 3.6), sharey=True)
    for ax, axis in zip(axes, axes_of):
        for p in points:
            for region, (value, low, high) in p.spearman.items():
                ax.errorbar(
                    p.at[axis],
                    value,
                    [[value - low], [high - value]],
                    fmt="o" if p.exons == 250 else "s",
                    mfc=COLOURS[region] if p.exons == 250 else "none",
                    color=COLOURS[region],
                    ms=4,
                    lw=0.6,
                )
        ax.set_xlabel(axis)
    axes[axes_of.index("windows seen")].set_xscale("log")
    axes[0].axvline(1.91, color="black", lw=0.8, ls=":")
    axes[0].text(1.95, 0.22, "bound", fontsize=8)
    axes[0].set_ylabel("Spearman with the teacher")
    for region, colour in COLOURS.items():
        axes[0].plot([], [], "o", color=colour, label=f"{region} edits, 250 exons")
        axes[0].plot([], [], "s", mfc="none", color=colour, label=f"{region} edits, 60 exons")
    figure.legend(ncols=4, frameon=False, loc="upper center")
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    figure.savefig(path, facecolor="white")


if __name__ == "__main__":
    main()
