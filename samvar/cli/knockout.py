"""`samvar knockout`."""

from __future__ import annotations

import click

from ..errors import SamvarError
from .options import (
    annotation_option,
    check_outputs,
    check_plot,
    different_files,
    fasta_option,
    file_only,
    genome_and_genes,
    model_option,
    names_in,
    say,
    tell_unknown,
    to_stdout,
    user_errors,
    workers_option,
)


@click.command()
@click.option(
    "--rbp",
    metavar="NAME",
    required=True,
    help="RBP whose sites are removed, in upper or lower case; `samvar motifs --list` lists all.",
)
@fasta_option
@annotation_option
@model_option
@click.option(
    "-r",
    "--regions",
    metavar="CONTIG:FROM-TO,...",
    help="Only splice sites (and exons of the map) in these regions [default: all].",
)
@click.option(
    "--genes",
    type=click.Path(exists=True, dir_okay=False),
    help="Only genes whose id or symbol is in this file, separated by blanks or line ends.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write the table of splice sites to this file [default: to stdout; with --map or "
    "--figure no such table].",
)
@click.option(
    "--map",
    "map_file",
    metavar="FILE",
    callback=file_only,
    help="Write the RNA map as a table: sites of the RBP around internal exons, and what they do.",
)
@click.option(
    "--figure",
    metavar="FILE",
    callback=file_only,
    help="Draw the RNA map; the name must end in .svg or .png. Needs matplotlib: pip install "
    "'samvar[plot]'.",
)
@click.option(
    "--exons",
    metavar="N",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Largest number of exons in the RNA map.",
)
@workers_option
@user_errors
def knockout(
    rbp, fasta, annotation, model_name, regions, genes, output, map_file, figure, exons, threads
) -> None:
    """Predict splice sites without the sites of one RBP.

    The table has every splice site that is annotated, or predicted with or without the RBP: its
    probability in both cases, and the logarithm of their ratio.
    """
    from .. import files
    from ..formats.regions import Regions
    from ..model.bundle import load_bundle
    from ..scoring import knockout as knocking
    from ..scoring.predictor import Predictor

    different_files(output, map_file, figure, inputs=(fasta, annotation, genes))
    if figure:
        from ..views import rna_map

        check_plot(figure)
    if output is None and not (map_file or figure):
        output = "-"
    check_outputs(map_file, figure, output)
    names = names_in(genes) if genes else None
    bundle = load_bundle(model_name)
    rbp = knocking.rbp_named(rbp, bundle.layout.motifs, bundle.families)
    if rbp in bundle.silent:
        say(
            f"samvar: {rbp} has hardly any sites in genes, if one at all: its knock-out says little"
        )
    genome, known = genome_and_genes(fasta, annotation)
    chosen = Regions.parse(regions, names=genome.lengths) if regions else None
    tell_unknown(chosen, genome.lengths, f"not in {fasta}")
    selected = [g for g in known.genes if names is None or {g.id, g.symbol} & names]
    if not selected:
        raise SamvarError(f"{annotation} has none of the genes of {genes}")
    with Predictor(bundle, threads=threads) as predictor:
        if map_file or figure:
            found = knocking.rna_map(genome, selected, predictor, rbp, exons, chosen)
            if map_file:
                lines = (knocking.MAP_COLUMNS, *knocking.map_rows(found))
                files.write(map_file, "".join("\t".join(map(str, x)) + "\n" for x in lines))
            if figure:
                rna_map.draw(found, figure)
        if output is None:
            return
        rows = knocking.table(knocking.changes(genome, selected, predictor, rbp, chosen))
        if output == "-":
            for row in rows:
                to_stdout(row + "\n")
            return
        with files.new_file(output) as handle:
            handle.writelines(row + "\n" for row in rows)
