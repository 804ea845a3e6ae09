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
    Areas,
    Binned,
    Examples,
    areas_of,
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


def rows_of_genes(found: Examples) -> list[np.ndarray]:
    """The examples of each gene that has some."""
    order = np.argsort(found.gene, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(found.gene[order])) + 1)


def mean_of(areas: dict[str, Areas], names: list[str]) -> list[float]:
    """Of each number over the proteins that are there, nan where none is."""
    known = [areas[name] for name in names if name in areas]
    columns = ([getattr(a, n) for a in known] for n in NUMBERS)
    return [float(np.nanmean(column)) if known else np.nan for column in columns]


def interval(value: float, drawn: list[float]) -> list[float]:
    """[value, lower, upper]."""
    return [float(value), *map(float, np.nanpercentile(drawn, [2.5, 97.5]))]


def measure(
    scores: dict[str, np.ndarray], found: Examples, names: list[str], first: str
) -> dict[str, dict]:
    """Of each run, whose log-odds (n, P) are of the same examples: the numbers of each protein, the
    means, and the differences of the means from the first run's."""
    whole = {run: areas_of(value, found.labels, names) for run, value in scores.items()}
    genes = rows_of_genes(found)
    rng = np.random.default_rng(0)
    drawn: dict[str, list[dict[str, Areas]]] = {run: [] for run in scores}
    for _ in tqdm(range(RESAMPLES), "resamples", disable=None, leave=False):
        rows = np.concatenate([genes[i] for i in rng.integers(len(genes), size=len(genes))])
        for run, value in scores.items():
            drawn[run].append(areas_of(value[rows], found.labels[rows], names))
    out = {}
    for run, areas in whole.items():
        shared = [n for n in names if n in areas and n in whole[first]]
        means, of_first = mean_of(areas, shared), mean_of(whole[first], shared)
        again = np.array([mean_of(d, shared) for d in drawn[run]])
        of_first_again = np.array([mean_of(d, shared) for d in drawn[first]])
        less = again - of_first_again
        out[run] = dict(
            proteins=len(shared),
            mean={n: interval(means[i], again[:, i]) for i, n in enumerate(NUMBERS)},
            less_first={
                n: interval(means[i] - of_first[i], less[:, i]) for i, n in enumerate(NUMBERS)
            },
            of_protein={
                name: dict(
                    bound=a.bound,
                    controls=a.controls,
                    **{
                        n: interval(
                            getattr(a, n),
                            [getattr(d[name], n) for d in drawn[run] if name in d],
                        )
                        for n in NUMBERS
                    },
                )
                for name, a in areas.items()
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
        genes=len(rows_of_genes(found)),
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
