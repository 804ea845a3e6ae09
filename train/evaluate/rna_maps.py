#!/usr/bin/env python3
"""Do SR proteins help exons and hnRNPs hinder them? RNA maps of a bundle, binarised and scaled, and
the signs of the two classes.

    python train/evaluate/rna_maps.py DATA --model paper --json OUT [--exons 300] [--figure FILE]

Internal exons of genes without paralogs on chr1 and chr3 (no training saw them), drawn at random,
with 200 bases of intron on either side. All motif sites are binarised: each as strong as the mean
site of its protein there. Each exonic site of a protein is then taken out alone; its effect is the
log2 of the probability with it over that without, mean of the exon's acceptor and donor. Effects
are scaled by the 99th percentile of their size, by protein, and cut off there, so that no few sites
carry a mean.

Per protein: sites, mean scaled effect (95 %: bootstrap over exons), and in ten bins of the exon
from its acceptor to its donor. Expected: above 0 for SR proteins, below for hnRNPs; how many of
those with LEAST_SITES sites have that sign (95 %: the same resamples). The classes are those below;
the paper finds 16 of its 23 SR and hnRNP proteins as expected, and which those are is not known
here.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from common import save
from exon_classes import interval
from topk import SETS, mean_strength, read
from tqdm import tqdm

from samvar.errors import BundleError
from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, SAM, one_hot
from samvar.training.dataset import IGNORE, Dataset

SR = ("SRSF", "TRA2")
HNRNP = ("HNRNP", "PCBP", "PTBP", "RALY")
EDGE = 200  # bases of intron on either side that are scored
LONGEST = 500  # exons
LEAST_SITES = 20
RESAMPLES = 1000
BINS = 10  # of the exon
ROWS = 32  # sequences a call


class Exon(NamedTuple):
    """Of a dataset: its gene, and its first and last base, counted in the gene."""

    gene: int
    first: int
    last: int


class Effect(NamedTuple):
    """Of a site: its exon (index), its centre in bases after the exon's first, its place in the
    exon from 0 to 1, log2 of p over p without."""

    exon: int
    at: int
    place: float
    value: float


def class_sign(protein: str) -> int:
    """What is expected of its exonic sites: 1 SR, -1 hnRNP, 0 no expectation."""
    return int(protein.startswith(SR)) - int(protein.startswith(HNRNP))


def internal_exons(data: Dataset, edge: int = EDGE) -> Iterator[Exon]:
    """Acceptors with the donor that follows, at most LONGEST bases, known with `edge` around."""
    for gene in data.genes():
        labels = data.labels[data.offsets[gene] : data.offsets[gene + 1]]
        at = np.flatnonzero((labels == ACCEPTOR) | (labels == DONOR))
        for first, last in zip(at, at[1:]):
            around = labels[max(first - edge, 0) : last + edge + 1]
            if (
                (labels[first], labels[last]) == (ACCEPTOR, DONOR)
                and last - first < LONGEST
                and len(around) == last - first + 1 + 2 * edge
                and not (around == IGNORE).any()
            ):
                yield Exon(gene, int(first), int(last))


@torch.inference_mode()
def effects(
    model: SAM,
    data: Dataset,
    exons: list[Exon],
    strength: torch.Tensor,
    channels: list[int],
    edge: int = EDGE,
    intron: int = 0,
) -> dict[int, list[Effect]]:
    """Of each of these channels those of its sites in the exon and within `intron` bases of it;
    `edge` bases of intron are scored on either side."""
    reach = model.config.aggregate_reach
    found: dict[int, list[Effect]] = defaultdict(list)
    for number, exon in enumerate(tqdm(exons, disable=None, leave=False)):
        length = exon.last - exon.first + 1
        window = exon.first - edge, exon.last + 1 + edge
        codes, _ = data.window(exon.gene, *window, *model.config.reach)
        seen = model.detect(one_hot(torch.from_numpy(codes[None])))
        motifs = (seen.motifs > 0) * strength[None, :, None]
        start = reach + edge  # column of the exon's first base
        inside = motifs[0, channels, start - intron : start + length + intron]
        sites = [(channels[c], at - intron) for c, at in inside.nonzero().tolist()]
        if not sites:
            continue
        rows = [(None, None), *sites]
        p = []
        for first in range(0, len(rows), ROWS):
            some = rows[first : first + ROWS]
            without = motifs.repeat(len(some), 1, 1)
            for own, (channel, at) in zip(without, some):
                if channel is not None:
                    own[channel, start + at] = 0
            core = seen.core.expand(len(some), -1, -1)
            log_p = model.aggregate(seen._replace(core=core, motifs=without)).double()
            p.append(log_p[:, ACCEPTOR, edge] + log_p[:, DONOR, edge + length - 1])
        mean = torch.cat(p) / (2 * np.log(2))
        for (channel, at), value in zip(sites, (mean[0] - mean[1:]).tolist()):
            found[channel].append(Effect(number, at, at / max(length - 1, 1), value))
    return found


def scaled(values: np.ndarray) -> np.ndarray:
    """By the 99th percentile of their size, and cut off there."""
    top = np.percentile(np.abs(values), 99)
    cut: np.ndarray = np.clip(values / top, -1, 1) if top else np.zeros_like(values)
    return cut


def means(own: list[Effect], weights: np.ndarray) -> np.ndarray:
    """Mean scaled effect (1 + R,) with exons counted as `weights` (1 + R, exons) say."""
    value = scaled(np.array([e.value for e in own]))
    weight = weights[:, [e.exon for e in own]]
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (weight * value).sum(1) / weight.sum(1)
    return found


def by_bin(own: list[Effect]) -> list[float | None]:
    """Mean scaled effect in each of BINS parts of the exon."""
    value = scaled(np.array([e.value for e in own]))
    which = np.array([min(int(e.place * BINS), BINS - 1) for e in own])
    return [float(value[which == b].mean()) if (which == b).any() else None for b in range(BINS)]


def summary(found: dict[str, list[Effect]], n_exons: int, resamples: int = RESAMPLES) -> dict:
    """What the JSON says of each protein, and how many have the sign that is expected."""
    drawn = np.random.default_rng(0).multinomial(n_exons, np.ones(n_exons) / n_exons, resamples)
    weights = np.concatenate((np.ones((1, n_exons), int), drawn))
    proteins, agree = {}, []
    for name, own in sorted(found.items()):
        mean = means(own, weights)
        sign = class_sign(name)
        proteins[name] = dict(
            expected=sign, sites=len(own), mean=interval(mean), by_bin=by_bin(own)
        )
        if len(own) >= LEAST_SITES:
            agree.append(np.sign(mean) == sign)
    counts = np.sum(agree, 0) if agree else np.zeros(resamples + 1)
    return dict(exons=n_exons, tested=len(agree), as_expected=interval(counts), proteins=proteins)


def draw(result: dict, path: str) -> None:
    """The maps as a picture: a row for each protein, SR first, red where sites help the exon."""
    from matplotlib.figure import Figure

    rows = sorted(result["proteins"].items(), key=lambda pair: (-pair[1]["expected"], pair[0]))
    values = np.array([[np.nan if v is None else v for v in own["by_bin"]] for _, own in rows])
    figure = Figure((5, 0.24 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    top = np.nanmax(np.abs(values))
    picture = axes.imshow(values, cmap="RdBu_r", vmin=-top, vmax=top, aspect="auto")
    names = [
        f"{name} ({'SR' if own['expected'] > 0 else 'hnRNP'}, {own['sites']})" for name, own in rows
    ]
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.set_xticks([-0.5, BINS - 0.5], ["acceptor", "donor"], fontsize=7)
    bar = figure.colorbar(picture)
    bar.set_label("mean scaled effect of a site (above 0: helps)", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/ and annotation/")
    parser.add_argument("--model", default="paper")
    parser.add_argument("--exons", type=int, default=300, help="how many at most")
    parser.add_argument("--figure", help="draw the maps")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    data = Dataset.from_genes(read(args.data, SETS["validation"], paralog=False))
    every = list(internal_exons(data))
    chosen = np.sort(np.random.default_rng(0).permutation(len(every))[: args.exons])
    exons = [every[i] for i in chosen]
    result: dict = dict(classes=dict(SR=SR, hnRNP=HNRNP), of_exons=len(every))
    for kind in ("am", "fm"):
        try:
            bundle = load_bundle(f"{args.model}:{kind}")
        except BundleError:
            continue  # it has no models of this kind
        model = bundle.models[0]
        strength = mean_strength(model, data, data.genes()[::10])
        channels = [i for i, name in enumerate(bundle.rbps) if class_sign(name)]
        found = effects(model, data, exons, strength, channels)
        named = {bundle.rbps[channel]: own for channel, own in found.items()}
        result[kind] = dict(sha256=bundle.sha256, **summary(named, len(exons)))
        told = result[kind]
        print(kind, told["as_expected"], "of", told["tested"], flush=True)
        if args.figure and kind == "am":
            draw(told, args.figure)
    save(args.json, result)


if __name__ == "__main__":
    main()
