"""`samvar motifs`."""

from __future__ import annotations

import click

from .options import (
    annotation_option_of,
    check_outputs,
    different_files,
    fasta_option_of,
    file_only,
    genome_and_genes,
    model_option,
    to_stdout,
    user_errors,
)


@click.command()
@click.option(
    "--list",
    "list_only",
    is_flag=True,
    help="List the RBPs of the model and stop: name, number of PSAMs (its known binding "
    "preferences), sites per 100 bases of random sequence, the proteins it stands for, and whether "
    "it is nearly silent in genes. Needs no -f and no -a.",
)
@fasta_option_of(required=False)
@annotation_option_of(required=False)
@model_option
@click.option(
    "--rbp",
    "rbps",
    multiple=True,
    metavar="NAME",
    help="Only this RBP, in upper or lower case. May be repeated.",
)
@click.option(
    "--chroms", metavar="NAME,...", help="Only genes of these chromosomes [default: all]."
)
@click.option(
    "--max-bases",
    metavar="BASES",
    default=2_000_000,
    show_default=True,
    type=click.IntRange(1),
    help="Stop after this many bases of pre-mRNA; genes come in the order of the annotation.",
)
@click.option(
    "--table", "table_file", metavar="FILE", help="Write the numbers as a table (- for stdout)."
)
@click.option(
    "--svg",
    type=click.Path(file_okay=False),
    help="Write an SVG file for each RBP into this folder, which is made where it is missing.",
)
@click.option(
    "--html", metavar="FILE", callback=file_only, help="Write one HTML page with all logos."
)
@user_errors
def motifs(
    list_only, fasta, annotation, model_name, rbps, chroms, max_bases, table_file, svg, html
) -> None:
    """Draw what each RBP's motif selects.

    Finds the sites of the fixed and of the adjusted motif in the genes of a genome, and writes
    their densities, sequence logos, and the difference of the two. Motifs that were learnt without
    a protein (MOTIF_01, ...) have no fixed one. Without --table, --svg and
    --html the table goes to stdout. --svg and --html need matplotlib and logomaker:
    pip install 'samvar[plot]'.
    """
    from ..files import check_folder_writable
    from ..model.bundle import load_bundle
    from ..scoring.knockout import rbp_named
    from ..scoring.predictor import Predictor
    from ..views import logos

    if list_only:
        if fasta or annotation or rbps or chroms or table_file or svg or html:
            raise click.UsageError("--list goes with --model alone; it writes to stdout")
        with Predictor(load_bundle(model_name)) as predictor:
            to_stdout("\n".join([*logos.listing(predictor), ""]))
        return
    for value, name in ((fasta, "'-f' / '--fasta'"), (annotation, "'-a' / '--annotation'")):
        if value is None:
            raise click.UsageError(f"Missing option {name}.")
    different_files(table_file, html, inputs=(fasta, annotation))
    check_outputs(table_file, html)
    if svg is not None:
        check_folder_writable(svg)
    if svg or html:
        logos.style()  # raises an error when logomaker or matplotlib is missing
    wanted = [c for c in (chroms or "").split(",") if c]
    bundle = load_bundle(model_name)
    names = [rbp_named(name, bundle.layout.motifs, bundle.families) for name in rbps]
    genome, genes = genome_and_genes(fasta, annotation)
    with Predictor(bundle) as predictor:
        found = logos.collect(genome, genes, predictor, names, wanted, max_bases)
    if table_file == "-" or not (table_file or svg or html):
        to_stdout("\n".join([*logos.table(found), ""]))
        table_file = None
    logos.write(found, table_file, svg, html)
