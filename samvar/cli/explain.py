"""`samvar explain`."""

from __future__ import annotations

import click

from .options import (
    NumberRange,
    annotation_option,
    different_files,
    fasta_option,
    file_only,
    genome_and_genes,
    model_option,
    to_stdout,
    user_errors,
    write_json,
)


@click.command()
@click.argument("what", metavar="CHR:POS:REF:ALT|CHR:START-END")
@fasta_option
@annotation_option
@click.option("--vcf", help="Look up WHAT, as CHR:POS or an ID, in this file.")
@model_option
@click.option(
    "-D",
    "--distance",
    default=50,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Sites within so many bases of the variant are compared and shown.",
)
@click.option(
    "--rbp-min",
    default=0.1,
    show_default=True,
    type=NumberRange(0),
    help="Take apart deltas of at least this, and the largest.",
)
@click.option(
    "--explain-check", is_flag=True, help="Show beside each effect what knocking the site out does."
)
@click.option("--json", "json_file", help="Write everything to this file (- for stdout).")
@click.option("--svg", callback=file_only, help="Draw the landscape: vector graphics.")
@click.option("--png", callback=file_only, help="Draw the landscape: pixels.")
@click.option("--html", callback=file_only, help="Write a self-contained page.")
@user_errors
def explain(
    what,
    fasta,
    annotation,
    vcf,
    model_name,
    distance,
    rbp_min,
    explain_check,
    json_file,
    svg,
    png,
    html,
) -> None:
    """Why one variant changes splicing; or the sites and motifs of a region."""
    import torch

    from ..annotate import Options
    from ..model.bundle import load_bundle
    from ..scoring.predictor import Predictor
    from ..views import explanation, text

    different_files(json_file, svg, png, html, inputs=(fasta, annotation, vcf))
    region = explanation.region(what)
    asked = [] if region else explanation.variants(what, vcf)
    genome, genes = genome_and_genes(fasta, annotation)
    options = Options(distance=distance, rbp_min=rbp_min)
    torch.set_num_threads(1)  # as each worker of `annotate`: the same digits
    with Predictor(load_bundle(model_name)) as predictor:
        if region:
            found = [explanation.explain_region(genome, genes, predictor, *region)]
        else:
            found = [
                explanation.explain(genome, genes, predictor, *variant, options)
                for variant in asked
            ]
    if json_file != "-":
        to_stdout("\n".join(text.to_text(e, explain_check) for e in found))
    if json_file:
        content = [text.to_dict(e) for e in found]
        write_json(json_file, content[0] if len(content) == 1 else content)
    if svg or png:
        from ..views import figures

        figures.write(found, svg, png)
    if html:
        from .. import files
        from ..views.html import page

        files.write(html, page(found))
