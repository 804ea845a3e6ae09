"""`samvar train probes`."""

from __future__ import annotations

import os

import click

from ..options import check_outputs, file_only, say
from .options import run_options, use_deterministic

TOP = 10  # k-mers of each experiment that are told

table_option = click.option(
    "--table",
    metavar="FILE",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Probe intensities as RNAcompete has them: tab-separated, with columns Probe_Set (A or "
    "B), RNA_Seq and one for each experiment; gzipped or not.",
)
motifs_option = click.option(
    "--motifs",
    metavar="FILE",
    callback=file_only,
    help="Draw the consensus motif of each experiment, as SVG or PNG.",
)


@click.command()
@run_options([table_option, motifs_option])
def probes(recipe, table, motifs, output, resume, minutes, deterministic, device) -> None:
    """Train a model of probe intensities (RNAcompete).

    The network is ResidualBind's; see train/probes/ for a recipe. Set A is trained on, set B
    tested. At the end the folder gets results.tsv (of each experiment Pearson's correlation on set
    B, and the consensus motif) and kmers.tsv (the k-mers of largest global importance).
    """
    from ...files import check_folder_writable
    from ...formats.probes import read_probes
    from ...model.device import device_of
    from ...training.loop import ranks, train
    from ...training.probes import ProbesTask
    from ...training.recipe import ProbesRecipe, load_recipe

    if deterministic:
        use_deterministic()
    check_folder_writable(output)
    check_outputs(motifs)
    settings = load_recipe(recipe, ProbesRecipe)
    found = read_probes(table)
    where = device_of(device)
    with ranks(where) as (rank, _):
        task = ProbesTask(found, settings, where)
        counts = [int(part.sum()) for part in task.parts]
        say(
            f"samvar: {len(task.experiments)} of {len(found.experiments)} experiments; "
            f"{counts[0]} probes to train on, {counts[1]} to validate, {counts[2]} to test"
        )
        done = train(task, settings, output, where, resume, minutes, say)
        if done and rank == 0:
            _report(task, output, motifs)


def _report(task, folder: str, picture: str | None) -> None:
    """What came out: results.tsv, kmers.tsv and the picture of the motifs."""
    import torch

    from ...files import write
    from ...research.probes import probe_motifs, shuffled_probes, top_kmers
    from ...training.probes import mean_pearson, predict, tested

    of_a = task.codes[task.parts.train]
    backgrounds = shuffled_probes(of_a, task.recipe.backgrounds, task.recipe.seed)
    best = top_kmers(task.model, backgrounds, task.recipe.kmer, TOP, task.device)
    correlations = tested(task)
    predicted = predict(task.model, of_a, task.device)
    motifs = probe_motifs(task.model.to(torch.device("cpu")), task.experiments, of_a, predicted)
    rows = ["EXPERIMENT\tTRAINED\tTESTED\tPEARSON\tLOW\tHIGH\tCONSENSUS\tPROBES_WITH\tPROBES\tTOP"]
    rows += [
        f"{c.experiment}\t{c.trained}\t{c.tested}\t{c.pearson:.4f}\t{c.low:.4f}\t{c.high:.4f}\t"
        f"{motif.consensus}\t{motif.used}\t{motif.windows}\t{top[0].kmer}"
        for c, motif, top in zip(correlations, motifs, best)
    ]
    write(os.path.join(folder, "results.tsv"), "\n".join(rows) + "\n")
    rows = ["EXPERIMENT\tRANK\tKMER\tIMPORTANCE\tSE"]
    rows += [
        f"{name}\t{rank}\t{one.kmer}\t{one.mean:.4f}\t{one.error:.4f}"
        for name, top in zip(task.experiments, best)
        for rank, one in enumerate(top, 1)
    ]
    write(os.path.join(folder, "kmers.tsv"), "\n".join(rows) + "\n")
    if picture:
        from ...views.binding import draw

        draw(motifs, picture)
    say(
        f"samvar: Pearson {mean_pearson(correlations):.4f} on set B, mean of "
        f"{len(correlations)} experiments; see results.tsv and kmers.tsv in {folder}"
    )
