"""`samvar explain`."""

from __future__ import annotations

import shlex

import click

from .options import (
    WELL_KNOWN,
    annotation_option,
    check_outputs,
    check_transcripts,
    different_files,
    distance_option,
    event_options,
    fasta_option,
    file_only,
    genome_and_genes,
    listed,
    model_option,
    opinion_options,
    opinions_of,
    rbp_min_option,
    say,
    to_stdout,
    user_errors,
    write_json,
)


def _inches(ctx, param, value) -> tuple[float, float | None] | None:
    """WIDTH or WIDTHxHEIGHT."""
    if value is None:
        return None
    try:
        sides = [float(side) for side in value.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or not all(2 <= side <= 100 for side in sides):
        raise click.BadParameter(f"{value!r} is no WIDTH or WIDTHxHEIGHT of 2 to 100 inches")
    return sides[0], sides[1] if len(sides) == 2 else None


def _pictures(svg, png, figure, form) -> list[tuple[str, str]]:
    """(path, form) of every picture that is asked for."""
    from ..views.scene import FORMS

    pictures = [(path, kind) for path, kind in ((svg, "svg"), (png, "png")) if path]
    if form and not figure:
        raise click.UsageError("--format needs --figure FILE")
    if figure:
        kind = form or figure.rpartition(".")[2].lower()
        if kind not in FORMS:
            raise click.UsageError(
                f"--figure {figure}: the name must end in .svg, .png or .pdf, or give --format"
            )
        pictures.append((figure, kind))
    return pictures


def _second(model: str, compare: str) -> str:
    """The model to compare with."""
    if compare not in ("am", "fm"):
        return compare
    name = model.removesuffix(":am").removesuffix(":fm")
    return f"{name}:{compare}"


def _of_haplotype(haplotype: str, fasta: str, annotation: str) -> str:
    """How to explain a haplotype that a record names."""
    command = shlex.join(["samvar", "explain", haplotype, "-f", fasta, "-a", annotation])
    return f"on one haplotype with others it does something else (SAMVAR_HAP): {command}"


@click.command()
@click.argument("what", metavar="VARIANT|HGVS|REGION|ID")
@fasta_option
@annotation_option
@click.option("--vcf", metavar="FILE", help="Look up an ID or CHR:POS in this VCF or BCF.")
@model_option
@distance_option(1000, "Compare and show splice sites up to this far from the variant.")
@rbp_min_option(
    "List the causes of each delta of at least this size; those of the largest delta are "
    "always listed."
)
@event_options
@opinion_options
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
    "--figure",
    metavar="FILE",
    callback=file_only,
    help="Draw the landscape in the form of --format, else that of the suffix: svg, png or pdf.",
)
@click.option("--format", "form", type=click.Choice(["svg", "png", "pdf"]), help="Of --figure.")
@click.option(
    "--size",
    metavar="WIDTH[xHEIGHT]",
    callback=_inches,
    help="Inches of the figure [default: 10.4, and the height that the content needs]. What needs "
    "more height than that is drawn smaller, as long as its text can be read; less is left empty.",
)
@click.option(
    "--dpi",
    metavar="N",
    default=160,
    show_default=True,
    type=click.IntRange(30, 1200),
    help="Dots per inch of a PNG.",
)
@click.option(
    "--html",
    metavar="FILE",
    callback=file_only,
    help="Write one HTML page with tables and figures.",
)
@click.option(
    "--compare",
    metavar="fm|am|NAME|FOLDER",
    help="Explain by a second model, too, and show it beside the first: fm or am of the same "
    "bundle, or another bundle. Of the bundles that come along `paper` alone has both: "
    "--model paper --compare fm.",
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
    binding,
    peaks,
    explain_check,
    json_file,
    svg,
    png,
    figure,
    form,
    size,
    dpi,
    html,
    compare,
) -> None:
    """Explain one variant: which splice sites change, and why.

    \b
    What to explain is one of
      CHR:POS:REF:ALT  a variant; several ALTs are separated by commas
      NM_...:c....     a variant in HGVS nomenclature (c., n. or g.)
      CHR:START-END    a region of up to 2,000 bases: its splice sites and motif sites
      CHR:POS or ID    with --vcf: the records of that file at this place, or with this ID
      A+B              variants of one haplotype, each in one of these forms

    HGVS is mapped with the annotation's transcripts (pip install 'samvar[hgvs]'); a gene's symbol
    stands for its chosen transcript. The text goes to stdout. PNG and PDF need matplotlib: pip
    install 'samvar[plot]'.
    Where no allele can be scored (it lies in no gene, say), every output shows the status instead,
    and the exit code is 0.
    """
    import torch
    from tqdm import tqdm

    from .. import files
    from ..annotate import Allele, Options
    from ..formats.request import Description, Haplotype, Region, WrittenVariant, asked_for
    from ..genomics.hgvs import Locator
    from ..model.bundle import load_bundle
    from ..scoring.predictor import Predictor
    from ..views import explanation, figures, text
    from ..views.about import About
    from ..views.html import page
    from ..views.scene import PER_INCH, need_matplotlib

    named = None if transcripts in WELL_KNOWN else transcripts
    pictures = _pictures(svg, png, figure, form)
    outputs = [path for path, _ in pictures]
    different_files(json_file, *outputs, html, inputs=(fasta, annotation, vcf, named, peaks))
    check_outputs("-", json_file, *outputs, html)
    if any(kind != "svg" for _, kind in pictures):
        need_matplotlib()
    chosen = listed(transcripts)
    genome, genes = genome_and_genes(fasta, annotation)
    check_transcripts(transcripts, chosen, genes)
    asked = asked_for(what, genome.lengths, vcf)
    notes: list[str] = []

    def written(variant: WrittenVariant | Description) -> WrittenVariant:
        """With its description mapped."""
        if isinstance(variant, WrittenVariant):
            return variant
        found = Locator(genome, genes).locate(variant.text)
        notes.extend(found.notes)
        return WrittenVariant(found.contig, found.pos, found.ref, (found.alt,))

    together: list[WrittenVariant] = []  # on one haplotype
    if isinstance(asked, Haplotype):
        together = list(map(written, asked.variants))
    elif not isinstance(asked, Region):
        asked = list(map(written, [asked] if isinstance(asked, Description) else asked))
        notes += [_of_haplotype(h, fasta, annotation) for v in asked for h in v.haplotypes]
    for note in notes:
        say(f"samvar: {note}")
    options = Options(distance=distance, rbp_min=rbp_min, transcripts=chosen, event_min=event_min)
    torch.set_num_threads(1)  # as each worker of `annotate`: the same digits
    names = [model_name] + ([_second(model_name, compare)] if compare else [])
    bundles = [load_bundle(name) for name in names]
    by_model = []
    for bundle in bundles:
        with Predictor(bundle) as predictor, opinions_of(binding, peaks, genome) as opinions:
            if isinstance(asked, Region):
                own = [explanation.explain_region(genome, genes, predictor, *asked)]
            elif isinstance(asked, Haplotype):
                parts = [Allele(v.contig, v.pos, v.ref, v.alts[0]) for v in together]
                own = [
                    explanation.explain_haplotype(
                        genome, genes, predictor, parts, options, opinions
                    )
                ]
            else:
                alleles = [(v.contig, v.pos, v.ref, alt) for v in asked for alt in v.alts]
                shown = tqdm(
                    alleles, "explained", disable=None if len(alleles) > 1 else True, unit="ALT"
                )
                own = [
                    explanation.explain(
                        genome, genes, predictor, contig, pos, ref, alt, options, opinions=opinions
                    )
                    for contig, pos, ref, alt in shown
                ]
        by_model.append(own)
    found = [e for same in zip(*by_model) for e in same]
    if json_file != "-":
        to_stdout("\n".join(text.to_text(e, explain_check, named=bool(compare)) for e in found))
    if json_file:
        content = [text.to_dict(e) for e in found]
        write_json(json_file, content[0] if len(content) == 1 else content)
    width, height = size or (None, None)
    for path, kind in pictures:
        scale = figures.write(
            found,
            path,
            kind,
            width and width * PER_INCH,
            height and height * PER_INCH,
            dpi,
        )
        if scale < 1:
            say(f"samvar: {path}: drawn at {scale:.0%} of its size to fit into --size")
    if html:
        abouts = [About.of(bundle, genome, genes) for bundle in bundles]
        files.write(html, page(found, abouts, tuple(notes)))
