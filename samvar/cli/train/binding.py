"""`samvar train binding`."""

from __future__ import annotations

import click

from ..options import annotation_option, fasta_option, genome_and_genes, say
from .options import run_options, use_deterministic

peaks_option = click.option(
    "--peaks",
    metavar="FOLDER|FILE",
    required=True,
    type=click.Path(exists=True),
    help="Peaks of CLIP on that genome: narrowPeak or BED, one file or a folder of them, with "
    "ENCODE's metadata.tsv or names like PROTEIN_CELL.",
)


@click.command()
@run_options([fasta_option, annotation_option, peaks_option])
def binding(
    recipe, fasta, annotation, peaks, output, resume, minutes, deterministic, device
) -> None:
    """Train a model of in-vivo binding, a second opinion on causes.

    One network learns from the peaks of all proteins with enough of them; see train/binding/ for
    recipes. `samvar annotate --binding FOLDER` and `samvar explain --binding FOLDER` ask it.
    """
    from ...files import check_folder_writable
    from ...formats.peaks import read_peaks
    from ...model.device import device_of
    from ...training.binding import BindingTask
    from ...training.loop import ranks, train
    from ...training.recipe import BindingRecipe, load_recipe

    if deterministic:
        use_deterministic()
    check_folder_writable(output)
    settings = load_recipe(recipe, BindingRecipe)
    genome, genes = genome_and_genes(fasta, annotation)
    found = read_peaks(peaks)
    found.check(genome)
    where = device_of(device)
    with ranks(where):
        task = BindingTask(genome, genes, found, settings, where)
        say(
            f"samvar: {len(task.proteins)} proteins; {len(task.bound)} bound bins and "
            f"{len(task.others)} others to train on"
        )
        train(task, settings, output, where, resume, minutes, say)
