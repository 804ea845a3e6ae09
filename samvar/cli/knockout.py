"""`samvar knockout`."""

from __future__ import annotations

import click

from ..errors import SamvarError
from .options import (
    annotation_option,
    different_files,
    fasta_option,
    file_only,
    genome_and_genes,
    model_option,
    names_in,
    tell_unknown,
    to_stdout,
    user_errors,
    workers_option,
)


@click.command()
@click.option("--rbp", required=True, help="The RBP whose motif sites go.")
@fasta_option
@annotation_option
@model_option
@click.option("-r", "--regions", help="Only there: CONTIG:FROM-TO,...")
@click.option(
    "--genes",
    type=click.Path(exists=True, dir_okay=False),
    help="Only genes (ids, symbols) of this file.",
)
@click.option(
    "-o", "--output", help="Table of sites [default: - (stdout), or none with --map or --figure]."
)
@click.option(
    "--map",
    "map_file",
    callback=file_only,
    help="Write an RNA map over internal exons to this table.",
)
@click.option("--figure", callback=file_only, help="Draw the RNA map: .svg or .png.")
@click.option(
    "--exons",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Exons of the RNA map, at most.",
)
@workers_option
@user_errors
def knockout(
    rbp, fasta, annotation, model_name, regions, genes, output, map_file, figure, exons, threads
) -> None:
    """Splice sites without an RBP's motif, and its RNA map.

    The table has every site that is annotated, or predicted with or without the motif. With --map
    or --figure alone (no -o) the table of sites is left out.
    """
    from .. import files
    from ..formats.regions import Regions
    from ..model.bundle import load_bundle
    from ..scoring import knockout as knocking
    from ..scoring.predictor import Predictor

    different_files(output, map_file, figure, inputs=(fasta, annotation, genes))
    if figure:
        from ..views import figures, rna_map

        if not figure.endswith((".svg", ".png")):
            raise click.UsageError(f"--figure {figure}: the name must end in .svg or .png")
        figures.style()  # what is missing for that shows before the work
    for path in (map_file, figure, output):
        if path and path != "-":
            files.check_writable(path)
    names = names_in(genes) if genes else None
    genome, known = genome_and_genes(fasta, annotation)
    chosen = Regions.parse(regions, names=genome.lengths) if regions else None
    tell_unknown(chosen, genome.lengths, f"not in {fasta}")
    selected = [g for g in known.genes if names is None or {g.id, g.symbol} & names]
    if not selected:
        raise SamvarError(f"{annotation} has none of the genes of {genes}")
    with Predictor(load_bundle(model_name), threads=threads) as predictor:
        if map_file or figure:
            found = knocking.rna_map(genome, selected, predictor, rbp, exons, chosen)
            if map_file:
                rows = (knocking.MAP_COLUMNS, *knocking.map_rows(found))
                files.write(map_file, "".join("\t".join(map(str, row)) + "\n" for row in rows))
            if figure:
                rna_map.draw(found, figure)
            if output is None:
                return
        rows = knocking.table(knocking.changes(genome, selected, predictor, rbp, chosen))
        if output in (None, "-"):
            for row in rows:
                to_stdout(row + "\n")
            return
        with files.complete_file(output) as part, open(part, "w") as handle:
            handle.writelines(row + "\n" for row in rows)
