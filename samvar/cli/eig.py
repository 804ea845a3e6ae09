"""`samvar eig`."""

from __future__ import annotations

import re

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
    open_table,
    say,
    table_option,
    user_errors,
    workers_option,
)

SITES = ("acceptor", "donor")


@click.command()
@click.argument("where", metavar="CHR:POS|'GENE:exon N'")
@fasta_option
@annotation_option
@model_option
@click.option(
    "--site",
    type=click.Choice(SITES),
    help="Explain this site alone [default: of an exon both, of a base the annotated or else the "
    "more likely one].",
)
@click.option(
    "--baseline",
    type=click.Choice(["ref-decoys", "median", "k-means", "encoded-zero", "random"]),
    default="ref-decoys",
    show_default=True,
    help="Hold the site against strong decoys of its gene: those most like it, those nearest to "
    "the median of all, the means of clusters, or at random; or against no site at all.",
)
@click.option(
    "--path",
    type=click.Choice(["bottleneck", "neighbours", "sequence"]),
    default="bottleneck",
    show_default=True,
    help="Go from baseline to site straight through the bottleneck, from decoy to decoy, or "
    "through mixtures of both sequences.",
)
@click.option(
    "-n",
    "--number",
    metavar="N",
    default=5,
    show_default=True,
    type=click.IntRange(1, 50),
    help="Number of baselines; attributions are their means.",
)
@click.option(
    "--scale",
    type=click.Choice(["log-odds", "probability"]),
    default="log-odds",
    show_default=True,
    help="Explain the (natural) log-odds or the probability of the site.",
)
@click.option(
    "--most",
    metavar="N",
    default=30,
    show_default=True,
    type=click.IntRange(0),
    help="List at most this many core and motif sites, the strongest.",
)
@click.option(
    "--around",
    metavar="BASES",
    default=50,
    show_default=True,
    type=click.IntRange(0, 200),
    help="List the bases up to so far from the site.",
)
@click.option(
    "--seed",
    metavar="N",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="Of the random numbers that --baseline random draws by.",
)
@table_option("attributions")
@click.option(
    "--figure",
    metavar="FILE",
    callback=file_only,
    help="Draw the attributions; the name must end in .svg or .png. Needs matplotlib: pip install "
    "'samvar[plot]'.",
)
@workers_option
@user_errors
def eig(
    where,
    fasta,
    annotation,
    model_name,
    site,
    baseline,
    path,
    number,
    scale,
    most,
    around,
    seed,
    output,
    figure,
    threads,
) -> None:
    """Explain why a base is a splice site.

    Enhanced integrated gradients: the difference between what the model says of the site and of
    strong decoys of the same gene is divided among the core and motif sites nearby, and among the
    bases that these consist of. Output, baseline and attributions of the table add up, but for the
    residual.
    """
    import torch

    from ..model.bundle import load_bundle
    from ..research import eig as analysis
    from ..scoring.predictor import Predictor

    different_files(output, figure, inputs=(fasta, annotation))
    if figure:
        from ..views import attributions

        check_plot(figure)
    check_outputs(output, figure)
    genome, genes = genome_and_genes(fasta, annotation)
    kind = None if site is None else SITES.index(site)
    torch.set_num_threads(1)  # as each worker: the same digits
    bundle = load_bundle(model_name)
    with Predictor(bundle, threads=threads) as predictor:
        targets = _targets(where, genome, genes, predictor, kind)
        found = [
            analysis.explain(genome, predictor, target, baseline, path, scale, number, around, seed)
            for target in targets
        ]
    for one in found:
        if not one.complete:
            say(
                f"samvar: {one.target.contig}:{one.target.position + 1}: the attributions leave a "
                f"residual of {one.residual:.4f}: the prediction jumps on the way"
            )
    with open_table(output) as write_row:
        write_row(analysis.COLUMNS)
        for one in found:
            for row in analysis.rows(one, most):
                write_row(row)
    if figure:
        attributions.draw(found, figure, scale)


def _targets(where, genome, genes, predictor, kind) -> list:
    """What is asked for by CHR:POS (1-based) or GENE:exon N."""
    from ..research import eig as analysis
    from ..views.scan import exon_place

    written = re.fullmatch(r"(.+):([0-9][0-9,]*)", where)
    if written:
        contig, position = genome.contig(written[1]), int(written[2].replace(",", "")) - 1
        if contig is None:
            raise SamvarError(f"{genome.path} has no contig {written[1]}")
        if not 0 <= position < genome.lengths[contig]:
            raise SamvarError(
                f"{where}: positions of {contig} count from 1 to {genome.lengths[contig]:,}"
            )
        return analysis.base_targets(genome, genes, predictor, contig, position, kind)
    exon = exon_place(where, genome, genes, 0)
    if exon is None:
        raise SamvarError(f"{where!r} is neither CHR:POS nor GENE:exon N, as in BRCA1:exon 5")
    return analysis.exon_targets(genome, genes, exon.contig, (exon.start, exon.end), where, kind)
