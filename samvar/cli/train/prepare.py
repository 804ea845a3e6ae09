"""`samvar train prepare`."""

from __future__ import annotations

import click

from ..options import names_in, say, user_errors
from .options import in_pairs, several_annotations, several_fastas


@click.command()
@several_fastas
@several_annotations
@click.option("--motifs", help="Folder of RBP affinity files (RBPamp); needed for fm and am.")
@click.option(
    "--validation", default="chr1,chr3", show_default=True, help="Chromosomes of validation genes."
)
@click.option(
    "--test",
    default="chr5,chr7",
    show_default=True,
    help="Chromosomes of test genes, which are not packed.",
)
@click.option("--leave-out", default="", help="Chromosomes of which no gene is used at all.")
@click.option(
    "--held-out", type=click.Path(exists=True), help="File of gene names that must not be used."
)
@click.option("-o", "--output", required=True, help="The packed dataset (.npz).")
@user_errors
def prepare(fastas, annotations, motifs, validation, test, leave_out, held_out, output) -> None:
    """Genomes and annotations to one packed dataset."""
    from ...files import complete_file
    from ...training.prepare import prepare as run

    names = names_in(held_out) if held_out else set()
    split = lambda text: {c for c in text.split(",") if c}  # noqa: E731
    with complete_file(output) as part:
        run(
            in_pairs(fastas, annotations),
            split(validation),
            split(test),
            names,
            motifs,
            say,
            split(leave_out),
        ).save(part)
