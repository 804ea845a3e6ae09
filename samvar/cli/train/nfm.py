"""`samvar train nfm`."""

from __future__ import annotations

import os
import re

import click

from ..options import check_outputs, file_only, say
from .options import run_options, use_deterministic

TOP = 10  # k-mers that are told

bound_option = click.option(
    "--bound",
    metavar="FILE",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Reads that the protein bound: FASTA, FASTQ or a sequence on each line; gzipped or not.",
)
input_option = click.option(
    "--input",
    "inputs",
    metavar="FILE",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Reads of the pool that it was given, alike.",
)
name_option = click.option("--name", metavar="RBP", default="RBP", help="Name of the protein.")
motif_option = click.option(
    "--motifs",
    metavar="FILE",
    callback=file_only,
    help="Draw the consensus motif, as SVG or PNG, where there is one.",
)


@click.command()
@run_options([bound_option, input_option, name_option, motif_option])
def nfm(
    recipe, bound, inputs, name, motifs, output, resume, minutes, deterministic, device
) -> None:
    """Train a motif from bound reads (RNA Bind-n-Seq).

    A network that gives every 11 bases an affinity learns to tell the bound reads of one protein
    from the input; see train/reads/ for a recipe. At the end the folder gets results.tsv (AUROC on
    reads that were held out, the consensus motif), kmers.tsv (the k-mers of largest global
    importance) and, where there is something to find, motifs/RBP.txt, which `samvar train prepare
    --motifs` takes.
    """
    from ...files import check_folder_writable
    from ...formats.reads import read_reads
    from ...model.device import device_of
    from ...training.loop import ranks, train
    from ...training.motifs import NAME
    from ...training.nfm import NfmTask
    from ...training.recipe import NfmRecipe, load_recipe

    if not re.fullmatch(NAME, name):
        raise click.UsageError(f"--name {name}: letters, digits, '_', '.' and '-' only")
    if deterministic:
        use_deterministic()
    check_folder_writable(output)
    check_outputs(motifs)
    settings = load_recipe(recipe, NfmRecipe)
    of_bound, of_input = (read_reads(path, settings.most) for path in (bound, inputs))
    where = device_of(device)
    with ranks(where) as (rank, _):
        task = NfmTask(of_bound, of_input, settings, where)
        lengths = [(own.codes < 4).sum(1).mean() for own in (of_bound, of_input)]
        say(
            f"samvar: {len(of_bound)} bound reads of {lengths[0]:.1f} bases (mean) and "
            f"{len(of_input)} of the input of {lengths[1]:.1f}; {task.train.sum()} to train on, "
            f"{task.validation.sum()} to validate, {task.test.sum()} to test"
        )
        done = train(task, settings, output, where, resume, minutes, say)
        if done and rank == 0:
            _report(task, name, output, motifs)


def _report(task, name: str, folder: str, picture: str | None) -> None:
    """What came out: results.tsv, kmers.tsv, the PSAM and the picture of the motif."""
    import torch

    from ...files import write
    from ...genomics.genome import encode
    from ...research.probes import probe_motifs, shuffled_probes, top_kmers
    from ...training.nfm import affinities, kmer_shares, predict, tested

    k, seed = task.recipe.kmer, task.recipe.seed
    bound, inputs = (task.codes[task.train & (task.bound == kind)] for kind in (True, False))
    area = tested(task)
    found = area.low > 0.5
    backgrounds = shuffled_probes(inputs, task.recipe.backgrounds, seed)
    (best,) = top_kmers(task.model, backgrounds, k, TOP, task.device)
    enriched = kmer_shares(bound, k) / kmer_shares(inputs, k)
    place = 4 ** torch.arange(k - 1, -1, -1).numpy()
    rows = ["RANK\tKMER\tIMPORTANCE\tSE\tENRICHMENT"]
    rows += [
        f"{rank}\t{one.kmer}\t{one.mean:.4f}\t{one.error:.4f}\t"
        f"{enriched[encode(one.kmer.replace('U', 'T')) @ place]:.3f}"
        for rank, one in enumerate(best, 1)
    ]
    write(os.path.join(folder, "kmers.tsv"), "\n".join(rows) + "\n")
    cells = [".", ".", ".", "."]
    if found:
        psam = affinities(task.model, bound, task.device)
        lines = [f"# samvar train nfm: {name}", "PSAM A0=1"]
        lines += ["\t".join(f"{value:.5f}" for value in row) for row in psam]
        os.makedirs(os.path.join(folder, "motifs"), exist_ok=True)
        write(os.path.join(folder, "motifs", f"{name}.txt"), "\n".join(lines) + "\n")
        predicted = predict(task.model, bound, task.device)[:, None]
        (motif,) = probe_motifs(task.model.to(torch.device("cpu")), [name], bound, predicted)
        cells = [motif.consensus, str(motif.used), str(motif.windows), best[0].kmer]
        if picture:
            from ...views.binding import draw

            draw([motif], picture)
    rows = ["RBP\tBOUND\tINPUT\tAUROC\tLOW\tHIGH\tCONSENSUS\tREADS_WITH\tREADS\tTOP"]
    numbers = f"{area.auroc:.4f}\t{area.low:.4f}\t{area.high:.4f}"
    rows.append("\t".join([name, str(area.bound), str(area.input), numbers, *cells]))
    write(os.path.join(folder, "results.tsv"), "\n".join(rows) + "\n")
    say(
        f"samvar: AUROC {area.auroc:.4f} ({area.low:.4f} to {area.high:.4f}) on the test reads; "
        + (
            f"motifs/{name}.txt, results.tsv and kmers.tsv are in {folder}"
            if found
            else "bound reads are not told from the input: no motif"
        )
    )
