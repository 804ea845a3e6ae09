"""`samvar explain`."""

from __future__ import annotations

import click

from .options import (
    WELL_KNOWN,
    NumberRange,
    annotation_option,
    check_outputs,
    different_files,
    event_options,
    fasta_option,
    file_only,
    genome_and_genes,
    listed,
    model_option,
    say,
    to_stdout,
    user_errors,
    write_json,
)


@click.command()
@click.argument("what", metavar="VARIANT|HGVS|REGION|ID")
@fasta_option
@annotation_option
@click.option("--vcf", metavar="FILE", help="Look up an ID or CHR:POS in this VCF or BCF.")
@model_option
@click.option(
    "-D",
    "--distance",
    metavar="BASES",
    default=50,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Compare and show splice sites up to this far from the variant.",
)
@click.option(
    "--rbp-min",
    metavar="DELTA",
    default=0.1,
    show_default=True,
    type=NumberRange(0),
    help="List the causes of each delta of at least this size; those of the largest delta are "
    "always listed.",
)
@event_options
@click.option(
    "--explain-check",
    is_flag=True,
    help="Add a column to the text: what the delta loses when this site alone is put back to REF.",
)
@click.option(
    "--json", "json_file", metavar="FILE", help="Write all numbers as JSON (- for stdout)."
)
@click.option("--svg", metavar="FILE", callback=file_only, help="Draw the landscape as SVG.")
@click.option("--png", metavar="FILE", callback=file_only, help="Draw the landscape as PNG.")
@click.option(
    "--html",
    metavar="FILE",
    callback=file_only,
    help="Write one HTML page with tables and figures.",
)
@user_errors
def explain(
    what,
    fasta,
    annotation,
    vcf,
    model_name,
    distance,
    rbp_min,
    transcripts,
    event_min,
    explain_check,
    json_file,
    svg,
    png,
    html,
) -> None:
    """Explain one variant: which splice sites change, and why.

    \b
    What to explain is one of
      CHR:POS:REF:ALT  a variant; several ALTs are separated by commas
      NM_...:c....     a variant in HGVS nomenclature (c., n. or g.)
      CHR:START-END    a region of up to 2,000 bases: its splice sites and motif sites
      CHR:POS or ID    with --vcf: the records of that file at this place, or with this ID

    HGVS is mapped with the annotation's transcripts (pip install 'samvar[hgvs]'); a gene's symbol
    stands for its chosen transcript. The text goes to stdout. --svg, --png and --html need
    matplotlib: pip install 'samvar[plot]'.
    Where no allele can be scored (it lies in no gene, say), every output shows the status instead,
    and the exit code is 0.
    """
    import torch
    from tqdm import tqdm

    from .. import files
    from ..annotate import Options
    from ..formats.request import Description, Region, WrittenVariant, asked_for
    from ..genomics.hgvs import Locator
    from ..model.bundle import load_bundle
    from ..scoring.predictor import Predictor
    from ..views import explanation, figures, text
    from ..views.html import page

    named = None if transcripts in WELL_KNOWN else transcripts
    different_files(json_file, svg, png, html, inputs=(fasta, annotation, vcf, named))
    check_outputs("-", json_file, svg, png, html)
    if svg or png or html:
        figures.style()  # raises an error when matplotlib is missing
    genome, genes = genome_and_genes(fasta, annotation)
    asked = asked_for(what, genome.lengths, vcf)
    if isinstance(asked, Description):
        variant = Locator(genome, genes).locate(asked.text)
        for note in variant.notes:
            say(f"samvar: {note}")
        asked = [WrittenVariant(variant.contig, variant.pos, variant.ref, (variant.alt,))]
    chosen = listed(transcripts)
    options = Options(distance=distance, rbp_min=rbp_min, transcripts=chosen, event_min=event_min)
    torch.set_num_threads(1)  # as each worker of `annotate`: the same digits
    with Predictor(load_bundle(model_name)) as predictor:
        if isinstance(asked, Region):
            found = [explanation.explain_region(genome, genes, predictor, *asked)]
        else:
            alleles = [(v.contig, v.pos, v.ref, alt) for v in asked for alt in v.alts]
            shown = tqdm(
                alleles, "explained", disable=None if len(alleles) > 1 else True, unit="ALT"
            )
            found = [
                explanation.explain(genome, genes, predictor, contig, pos, ref, alt, options)
                for contig, pos, ref, alt in shown
            ]
    if json_file != "-":
        to_stdout("\n".join(text.to_text(e, explain_check) for e in found))
    if json_file:
        content = [text.to_dict(e) for e in found]
        write_json(json_file, content[0] if len(content) == 1 else content)
    figures.write(found, svg, png)
    if html:
        files.write(html, page(found))
