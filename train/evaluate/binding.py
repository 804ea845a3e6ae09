#!/usr/bin/env python3
"""How well models of in-vivo binding tell the bins that a protein binds from others.

    python train/evaluate/binding.py DATA --run NAME=FOLDER ... --json OUT [--contigs chr5,chr7]
    [--motifs FILE.svg]

DATA holds genome/hg38.fa.gz, annotation/refseq.hg38.bed12+gene.gz and eclip/hg38/. FOLDER: a
finished run of `samvar train binding`, NAME what it is called. The runs must have been made with
the same bins and held-out genes; the first is what the others are compared with.

Per protein and run, on the genes of the contigs, which no training looked at: average precision and
area under the ROC curve of bound bins against controls (two for each, other bins of the same gene
that no peak of the protein touches: a share of about 1/3 is bound), and the area against those bins
that other proteins bind in the same genes. Proteins need MIN_OF_EACH bound bins and controls.
Intervals: 95 %, bootstrap over genes; of a difference between runs on the same resamples. Means are
over the proteins that both runs know. `intron`: the same with introns' bins alone, where no region
type helps.

--motifs: the first run's consensus motif of each protein, from its `SURE` highest log-odds among
bound bins of the train genes, as a figure, and as text in the JSON.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import torch
from common import save
from tqdm import tqdm

from samvar.formats.annotation import load_annotation
from samvar.formats.peaks import read_peaks
from samvar.genomics.genome import Genome
from samvar.genomics.region_types import INTRON
from samvar.model.binding import CONFIG, BindingModel, load_binding
from samvar.research.binding import consensus_motif
from samvar.training.binding import (
    BOUND,
    CONTROL,
    MIN_OF_EACH,
    OTHER,
    Binned,
    Examples,
    examples,
    on_contigs,
    predict,
    separate_genes,
    without,
)
from samvar.training.recipe import BindingRecipe, load_json_recipe
from samvar.views.binding import draw

RESAMPLES = 200
SURE = 300  # bound bins that a motif is made of
NUMBERS = ("auprc", "auroc", "auroc_bound")
CPU = torch.device("cpu")


def interval(values: np.ndarray) -> list[float]:
    """[value, lower, upper] of the value itself and its resamples."""
    return [float(values[0]), *map(float, np.nanpercentile(values[1:], [2.5, 97.5]))]


def resampled(label: np.ndarray, value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(2, R) average precision and area under the ROC curve of rows that count `weight` (R, n)
    times."""
    order = np.argsort(value, kind="stable")
    positive = weight[:, order] * label[order]
    negative = weight[:, order] - positive
    below = np.cumsum(negative, 1)
    above = np.cumsum((positive + negative)[:, ::-1], 1)[:, ::-1]
    hits = np.cumsum(positive[:, ::-1], 1)[:, ::-1]
    n, m = positive.sum(1), negative.sum(1)
    with np.errstate(invalid="ignore"):
        precision = (positive * hits / np.maximum(above, 1)).sum(1) / n
        area = (positive * below).sum(1) / (n * m)
    return np.stack((precision, area))


def numbers_of(
    value: np.ndarray, labels: np.ndarray, column: int, weight: np.ndarray
) -> np.ndarray | None:
    """(3, R) NUMBERS of a protein; None where it has too few examples or no log-odds."""
    own = labels[:, column]
    bound, control = own == BOUND, own == CONTROL
    elsewhere = (labels == BOUND).any(1) & ((own == OTHER) | control)
    if min(bound.sum(), control.sum()) < MIN_OF_EACH or np.isnan(value[0, column]):
        return None
    found = []
    for against in (control, elsewhere):
        rows = np.flatnonzero(bound | against)
        found.append(resampled(bound[rows], value[rows, column], weight[:, rows]))
    return np.stack((*found[0], found[1][1]))


def measure(
    scores: dict[str, np.ndarray], found: Examples, names: list[str], first: str
) -> dict[str, dict]:
    """Of each run, whose log-odds (n, P) are of the same examples: the numbers of each protein, the
    means, and the differences of the means from the first run's."""
    present, gene = np.unique(found.gene, return_inverse=True)
    genes = len(present)
    drawn = np.random.default_rng(0).multinomial(genes, np.ones(genes) / genes, RESAMPLES)
    weight = np.concatenate((np.ones((1, genes), int), drawn))[:, gene].astype(np.float32)
    numbers: dict[str, dict[str, np.ndarray]] = {}
    for run, value in scores.items():
        of_all = {n: numbers_of(value, found.labels, i, weight) for i, n in enumerate(names)}
        numbers[run] = {name: own for name, own in of_all.items() if own is not None}
    out = {}
    for run, own in numbers.items():
        shared = [name for name in own if name in numbers[first]]
        mean, of_first = (
            np.nanmean([numbers[r][name] for name in shared], 0) for r in (run, first)
        )
        out[run] = dict(
            proteins=len(shared),
            mean={n: interval(mean[i]) for i, n in enumerate(NUMBERS)},
            first={n: interval(of_first[i]) for i, n in enumerate(NUMBERS)},
            less_first={n: interval((mean - of_first)[i]) for i, n in enumerate(NUMBERS)},
            of_protein={
                name: dict(
                    bound=int((found.labels[:, names.index(name)] == BOUND).sum()),
                    **{n: interval(values[i]) for i, n in enumerate(NUMBERS)},
                )
                for name, values in own.items()
            },
        )
    return out


def scored(model: BindingModel, found: Examples, names: list[str]) -> np.ndarray:
    """Log-odds (n, P) in the order of `names`; nan for those the model does not know."""
    own = predict(model.net, found, CPU)
    out = np.full((len(found), len(names)), np.nan)
    for i, name in enumerate(model.proteins):
        if name in names:
            out[:, names.index(name)] = own[:, i]
    return out


def show(title: str, result: dict[str, dict]) -> None:
    print(f"\n{title}")
    text = lambda v: f"{v[0]:.3f} ({v[1]:.3f} to {v[2]:.3f})"  # noqa: E731
    for run, own in result.items():
        told = "  ".join(f"{n} {text(own['mean'][n])}" for n in NUMBERS)
        less = "  ".join(f"{n} {text(own['less_first'][n])}" for n in NUMBERS)
        print(f"{run:16} {own['proteins']} proteins  {told}\n{'':16} less the first: {less}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder that holds genome/, annotation/ and eclip/")
    parser.add_argument("--run", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--json", required=True)
    parser.add_argument("--contigs", default="chr5,chr7", help="whose genes are evaluated")
    parser.add_argument("--motifs", metavar="FILE", help="draw the first run's motifs")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    folders = dict(run.split("=", 1) for run in args.run)
    models = {name: load_binding(folder) for name, folder in folders.items()}
    first = next(iter(models))
    recipe = load_json_recipe(os.path.join(folders[first], CONFIG), BindingRecipe)
    genome = Genome(os.path.join(args.data, "genome", "hg38.fa.gz"))
    annotation = load_annotation(
        os.path.join(args.data, "annotation", "refseq.hg38.bed12+gene.gz"), cache=True
    )
    peaks = read_peaks(os.path.join(args.data, "eclip", "hg38"))
    names, how = sorted(peaks.proteins), Binned.of(recipe)
    open_genes = without(annotation.genes, recipe.held_out_genes)

    def of_contigs(contigs, those: bool = True) -> Examples:
        genes = separate_genes(genome, on_contigs(open_genes, contigs, those))
        return examples(genome, peaks, genes, names, how)

    found = of_contigs(args.contigs.split(","))
    known = list(models[first].proteins)
    found = found.of([names.index(name) for name in known])
    scores = {}
    for name, model in models.items():
        scores[name] = scored(model, found, known)
    middle = found.regions[:, recipe.window // 2] == INTRON
    in_introns = found.rows(middle)
    sets = {
        "all bins": measure(scores, found, known, first),
        "bins of introns": measure(
            {name: value[middle] for name, value in scores.items()}, in_introns, known, first
        ),
    }
    for title, result in sets.items():
        show(f"{args.contigs}, {title}", result)
    content = dict(
        contigs=args.contigs,
        genes=len(np.unique(found.gene)),
        examples=len(found),
        resamples=RESAMPLES,
        runs={name: dict(sha256=m.sha256, proteins=len(m.proteins)) for name, m in models.items()},
        sets=sets,
    )
    if args.motifs:
        content["motifs"] = motifs(models[first], of_contigs, names, recipe, args.motifs)
    save(args.json, content)


def motifs(model: BindingModel, of_contigs, names: list[str], recipe, path: str) -> dict:
    """The consensus motif of each protein, drawn; in words."""
    found = of_contigs((*recipe.validation, *recipe.held_out), those=False)
    found = found.of([names.index(name) for name in model.proteins])
    log_odds = predict(model.net, found, CPU)
    made = []
    for column, protein in enumerate(tqdm(model.proteins, "motifs", disable=None, leave=False)):
        bound = np.flatnonzero(found.labels[:, column] == BOUND)
        sure = bound[np.argsort(-log_odds[bound, column], kind="stable")[:SURE]]
        made.append(
            consensus_motif(model.net, protein, column, found.codes[sure], found.regions[sure])
        )
    draw(made, path)
    return {m.protein: dict(consensus=m.consensus, windows=m.windows, used=m.used) for m in made}


if __name__ == "__main__":
    main()
