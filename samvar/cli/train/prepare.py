"""`samvar train prepare`."""

from __future__ import annotations

import click

from ..options import names_in, say, user_errors
from .options import in_pairs, several_annotations, several_fastas


@click.command()
@several_fastas
@several_annotations
@click.option(
    "--motifs",
    "motif_folders",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="Motifs of RBPs: affinities (RBPamp) or probabilities (RNAcompete), a file for each. "
    "Repeat it for several folders. Training of fm and am needs them, lssi does not.",
)
@click.option(
    "--panel",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Table that says which files of the --motifs folders count, and under which names. "
    "Without it all files count, each under its own name.",
)
@click.option(
    "--validation",
    metavar="NAME,...",
    default="chr1,chr3",
    show_default=True,
    help="Chromosomes whose genes are for validation.",
)
@click.option(
    "--test",
    metavar="NAME,...",
    default="chr5,chr7",
    show_default=True,
    help="Chromosomes whose genes are for testing. They are not packed, and genes like them are "
    "left out of training.",
)
@click.option(
    "--leave-out",
    metavar="NAME,...",
    default="",
    help="Chromosomes whose genes are not used at all.",
)
@click.option(
    "--held-out",
    type=click.Path(exists=True, dir_okay=False),
    help="File of gene names that must not be trained on, nor genes like them.",
)
@click.option(
    "-o", "--output", metavar="FILE", required=True, help="Write the packed dataset here (.npz)."
)
@user_errors
def prepare(
    fastas, annotations, motif_folders, panel, validation, test, leave_out, held_out, output
) -> None:
    """Pack genomes and annotations into one dataset for training.

    Every chromosome that is not named below is for training.
    """
    from ...files import complete_file
    from ...training.motifs import read_folders, read_panel
    from ...training.prepare import prepare as prepare_dataset

    if panel and not motif_folders:
        raise click.UsageError("--panel names files in folders: give these with --motifs")
    motifs = read_panel(panel, motif_folders) if panel else read_folders(motif_folders)
    names = names_in(held_out) if held_out else set()
    split = lambda text: {c for c in text.split(",") if c}  # noqa: E731
    with complete_file(output) as part:
        prepare_dataset(
            in_pairs(fastas, annotations),
            split(validation),
            split(test),
            names,
            motifs,
            say,
            split(leave_out),
        ).save(part)
