"""`samvar report`."""

from __future__ import annotations

import os

import click

from .options import (
    NumberRange,
    annotation_option,
    check_outputs,
    different_files,
    fasta_option,
    file_only,
    genome_and_genes,
    say,
    user_errors,
    workers_option,
)


@click.command()
@click.argument("vcf")
@fasta_option
@annotation_option
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    callback=file_only,
    help="Write the page to this file.",
)
@click.option(
    "--model",
    "model_name",
    metavar="NAME|FOLDER",
    help="Weights that the file was made with [default: those that its header names].",
)
@click.option(
    "--top",
    metavar="N",
    default=200,
    show_default=True,
    type=click.IntRange(0),
    help="Show this many alleles at most, the strongest, each with its landscape.",
)
@click.option(
    "--min",
    "least",
    metavar="DELTA",
    default=0.1,
    show_default=True,
    type=NumberRange(0),
    help="Show alleles whose largest change is at least this.",
)
@click.option(
    "--stats",
    metavar="FILE",
    callback=file_only,
    help="Write the counts of statuses as custom content for MultiQC; the name must end in "
    "_mqc.json.",
)
@click.option(
    "--allow-other-files",
    is_flag=True,
    help="Go on when model, FASTA or annotation are not those that the file was made with, which "
    "the page says.",
)
@workers_option
@user_errors
def report(
    vcf, fasta, annotation, output, model_name, top, least, stats, allow_other_files, threads
) -> None:
    """Write one page on an annotated VCF.

    VCF is an output of `samvar annotate`. The page shows what was scored and what not, how large
    the changes are, which regulators recur, and the strongest alleles in a table to be sorted,
    filtered and downloaded, each with its verdict and landscape; alleles without a score are listed
    when that is asked for. Give the FASTA and the annotation that the VCF was made with. The page
    is one file, which loads nothing from elsewhere. Needs jinja2: pip install 'samvar[report]'.
    """
    from .. import files
    from ..errors import SamvarError
    from ..formats.vcf import VcfReader
    from ..model.bundle import load_bundle
    from ..scoring.predictor import Predictor
    from ..verify import attribute, differing, provenance
    from ..views import report as reporting
    from ..views.about import About

    if stats and not stats.endswith("_mqc.json"):
        raise click.UsageError(f"--stats {stats}: MultiQC finds names that end in _mqc.json")
    different_files(output, stats, inputs=(vcf, fasta, annotation))
    check_outputs(output, stats)
    reporting.need_jinja()
    with VcfReader(vcf) as reader:
        header = provenance(reader)
        genome, genes = genome_and_genes(fasta, annotation)
        model = model_name or ":".join(attribute(header["model"], k) for k in ("Name", "Kind"))
        bundle = load_bundle(model)
        differ = [f"{d.what} ({d.text})" for d in differing(header, bundle, genome, genes)]
        if differ and not allow_other_files:
            raise SamvarError(
                f"{vcf} was made with another {', another '.join(differ)}: give what it was made "
                "with, annotate it again, or go on with --allow-other-files"
            )
        for what in differ:
            say(f"samvar: another {what}: verdicts and landscapes may not be those of {vcf}")
        summary = reporting.Summary.of(reader, bundle.layout.motifs, top, least)
    options = reporting.options_from(header["params"], summary.transcripts)
    with Predictor(bundle, threads=threads) as predictor:
        table = list(reporting.rows(genome, genes, predictor, summary.strongest, options))
    name = os.path.basename(vcf)
    page = reporting.page(name, summary, table, About.of(bundle, genome, genes), differ)
    files.write(output, page)
    if stats:
        files.write(stats, reporting.multiqc(name, summary))
