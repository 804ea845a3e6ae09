"""`samvar motifs`."""

from __future__ import annotations

import click

from .options import (
    annotation_option,
    different_files,
    fasta_option,
    file_only,
    genome_and_genes,
    model_option,
    to_stdout,
    user_errors,
)


@click.command()
@fasta_option
@annotation_option
@model_option
@click.option(
    "--rbp", "rbps", multiple=True, metavar="NAME", help="Only this RBP; repeat for several."
)
@click.option("--chroms", help="Only genes of these chromosomes, comma-separated.")
@click.option(
    "--max-bases",
    default=2_000_000,
    show_default=True,
    type=click.IntRange(1),
    help="Look at so many bases of pre-mRNA, genes in the annotation's order.",
)
@click.option("--table", "table_file", help="Write the numbers to this file, tab-separated.")
@click.option(
    "--svg", type=click.Path(file_okay=False), help="Folder for the logos: a picture for each RBP."
)
@click.option("--html", callback=file_only, help="Write a self-contained page of all logos.")
@user_errors
def motifs(fasta, annotation, model_name, rbps, chroms, max_bases, table_file, svg, html) -> None:
    """Sequence logos of what each RBP's fixed and adjusted motif select, and the difference.

    Without --table, --svg and --html the table goes to stdout.
    """
    from ..files import check_writable
    from ..model.bundle import load_bundle
    from ..scoring.predictor import Predictor
    from ..views import logos

    different_files(table_file, html, inputs=(fasta, annotation))
    for path in (table_file, html):
        if path and path != "-":
            check_writable(path)
    if svg or html:
        logos.style()  # what is missing for that shows before the work
    wanted = [c for c in (chroms or "").split(",") if c]
    genome, genes = genome_and_genes(fasta, annotation)
    with Predictor(load_bundle(model_name)) as predictor:
        found = logos.collect(genome, genes, predictor, rbps, wanted, max_bases)
    if table_file == "-" or not (table_file or svg or html):
        to_stdout("\n".join([*logos.table(found), ""]))
        table_file = None
    logos.write(found, table_file, svg, html)
