"""`samvar annotate`."""

from __future__ import annotations

import gzip
import io
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from .. import __version__
from ..errors import SamvarError
from ..files import complete_file, new_file, write
from .options import (
    EXIT_STRICT,
    WELL_KNOWN,
    NumberRange,
    annotation_option,
    check_outputs,
    check_transcripts,
    device_option,
    different_files,
    fasta_option,
    file_only,
    first_few,
    listed,
    of_build,
    opinion_options,
    opinions_of,
    read_genes,
    say,
    score_options,
    tell_unknown,
    user_errors,
    workers_option,
    write_json,
)

if TYPE_CHECKING:
    from ..annotate import Options, Table
    from ..opinions import Opinions


class OptionalValues(click.Command):
    """Lets -W and --strict stand alone or take a value after "=", as in bcftools, never the next
    argument."""

    INDEX = "--write-index", "csi"
    ALONE = {"-W": INDEX, "--write-index": INDEX, "--strict": ("--strict", "0.01")}

    def parse_args(self, ctx, args):
        return super().parse_args(ctx, [self._completed(a) for a in args])

    def _completed(self, arg: str) -> str:
        name, equals, value = arg.partition("=")
        if name not in self.ALONE:
            return arg
        full, default = self.ALONE[name]
        return f"{full}={value if equals else default}"


def region_options(command):
    for option in reversed(
        [
            click.option(
                "-r",
                "--regions",
                metavar="CONTIG:FROM-TO,...",
                help="Only records in these regions; found by the index of the input, if it has "
                "one.",
            ),
            click.option(
                "-R",
                "--regions-file",
                metavar="FILE",
                help="As -r, with regions from a file: contig, first and last base on each line, "
                "counted from 1; BED where the name ends in .bed or .bed.gz.",
            ),
            click.option(
                "-t",
                "--targets",
                metavar="CONTIG:FROM-TO,...",
                help="As -r, but reads the whole input and needs no index.",
            ),
            click.option(
                "-T",
                "--targets-file",
                metavar="FILE",
                help="As -R, but reads the whole input and needs no index.",
            ),
            click.option(
                "--regions-overlap",
                type=click.Choice(["pos", "record", "variant"]),
                help="What of a record must lie in a region: its POS, any base of its REF "
                "(record), or any base that it changes (variant) [default: record; with -t or -T "
                "pos].",
            ),
        ]
    ):
        command = option(command)
    return command


def _regions(regions, regions_file, targets, targets_file, regions_overlap, names):
    """(Regions or None, whether an index may be used)."""
    from ..formats.regions import Regions

    given = [x for x in (regions, regions_file, targets, targets_file) if x is not None]
    if not given:
        if regions_overlap:
            raise click.UsageError("--regions-overlap needs -r, -R, -t or -T")
        return None, False
    if len(given) > 1:
        raise click.UsageError("give one of -r, -R, -t, -T")
    indexed = regions is not None or regions_file is not None
    overlap = regions_overlap or ("record" if indexed else "pos")
    text = regions if indexed else targets
    read = Regions.read if text is None else Regions.parse
    return read(given[0], overlap, names), indexed


@dataclass(frozen=True)
class Outputs:
    """Where a run writes: the records (- for stdout) in a form (None: as is usual), the kind of
    their index, the tables of scores (TSV, Parquet), the counts."""

    records: str
    form: str | None
    index: str | None
    tsv: str | None
    parquet: str | None
    stats: str | None

    def check(self, inputs: tuple[str | None, ...]) -> None:
        """Raises UsageError or OSError where one of them cannot be written, before any work."""
        files = self.records, self.tsv, self.parquet, self.stats
        different_files(*files)
        different_files(*files, inputs=inputs)
        if self.stats == self.records == "-":
            raise click.UsageError("--stats - needs -o FILE: stdout is taken by the records")
        if self.index and self.records == "-":
            raise click.UsageError("-W needs -o FILE: what goes to stdout cannot be indexed")
        check_outputs(*files, f"{self.records}.{self.index}" if self.index else None)

    def form_for(self, input_form: str) -> str:
        """Form of the records: -O, else the suffix of -o, else the input's; text on a pipe where
        that is compressed text. Raises UsageError where the index does not go with it."""
        form = self.form or _form_of_name(self.records)
        form = form or ("v" if self.records == "-" and input_form == "z" else input_form)
        if self.index and (form in "vu" or (form == "b" and self.index == "tbi")):
            raise click.UsageError("-W needs -O z, or -O b with a csi index")
        return form

    @contextmanager
    def open_tables(
        self, options: Options, opinions: Opinions | None = None
    ) -> Iterator[list[Table]]:
        """The tables that are asked for; `opinions`: those to be asked about causes. Raises
        SamvarError where pyarrow is missing."""
        from ..annotate import tsv_table

        with ExitStack() as stack:
            tables = []
            if self.tsv:
                handle = stack.enter_context(new_file(self.tsv, "wb"))
                packed = (
                    gzip.GzipFile(mode="wb", fileobj=handle) if self.tsv.endswith(".gz") else handle
                )
                text = stack.enter_context(io.TextIOWrapper(packed, "utf-8"))
                tables.append(tsv_table(text))
            if self.parquet:
                part = stack.enter_context(complete_file(self.parquet))
                tables.append(stack.enter_context(arrow().parquet_table(part, options, opinions)))
            yield tables


def arrow():
    """samvar.arrow. Raises SamvarError where pyarrow is missing."""
    try:
        from .. import arrow
    except ImportError as e:
        raise SamvarError("--parquet needs pyarrow: pip install 'samvar[arrow]'") from e
    return arrow


def _form_of_name(output: str) -> str | None:
    for suffixes, form in (((".bcf",), "b"), ((".gz", ".bgz"), "z"), ((".vcf",), "v")):
        if output.endswith(suffixes):
            return form
    return None


@click.command(cls=OptionalValues)
@click.argument("vcf", default="-")
@fasta_option
@annotation_option
@click.option(
    "--hgvs",
    metavar="FILE",
    help="Annotate the variants of this list in place of a VCF: HGVS descriptions (c., n., g.), "
    "one a line. They come out sorted by position.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="-",
    show_default="stdout",
    help="Write the annotated records to this file.",
)
@click.option(
    "-O",
    "--output-type",
    type=click.Choice(["v", "z", "b", "u"]),
    help="Write VCF (v), compressed VCF (z), BCF (b) or uncompressed BCF (u) [default: by the "
    "suffix of -o, else as the input].",
)
@click.option(
    "-W",
    "--write-index",
    type=click.Choice(["tbi", "csi"]),
    help="Index the output file; alone it means csi, -W=tbi writes the other kind.",
)
@region_options
@score_options
@opinion_options
@click.option(
    "--phased",
    is_flag=True,
    help="Also score together what lies on one haplotype of a sample within one frame (SAMVAR_HAP):"
    " phased calls (|) of a phase set (PS), and what all haplotypes of the sample have.",
)
@click.option(
    "--hap-min",
    metavar="DELTA",
    default=0.1,
    show_default=True,
    type=NumberRange(0),
    help="With --phased: report what a haplotype does where a delta or an event's strength differs "
    "by more than this from the largest that each of its alleles has alone.",
)
@click.option(
    "--max-allele",
    metavar="BASES",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Do not score alleles that are longer than this once REF and ALT are trimmed.",
)
@click.option(
    "--scores",
    metavar="FILE",
    help="Take alleles from this file of samvar precompute, made with the same model, files and "
    "options, and score the others. Not with --phased, --spliceai-compat, --parquet, --binding, "
    "--peaks or a GPU.",
)
@click.option(
    "--hgvs-out",
    is_flag=True,
    help="Also write the HGVS of each ALT on the transcripts of --transcripts (SAMVAR_HGVS).",
)
@click.option(
    "--spliceai-compat",
    is_flag=True,
    help="Also write the deltas as INFO/SpliceAI, in the format of SpliceAI.",
)
@click.option(
    "--tsv",
    metavar="FILE",
    callback=file_only,
    help="Also write the scores as a tab-separated table; gzipped where the name ends in .gz. It "
    "has each ALT alone, no haplotypes.",
)
@click.option(
    "--parquet",
    metavar="FILE",
    callback=file_only,
    help="Also write scores, events and causes of each ALT alone as a Parquet table. Needs "
    "pyarrow: pip install 'samvar[arrow]'.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace the INFO fields of an earlier run of samvar."
)
@click.option(
    "--allow-ref-mismatch",
    is_flag=True,
    help="Continue when most REF alleles differ from the FASTA, as they do with another genome "
    "build.",
)
@click.option(
    "--strict",
    type=NumberRange(0, 1),
    metavar="[=SHARE]",
    help="Exit with 3 when more than this share of the REF alleles differ from the FASTA; alone "
    "it means 0.01.",
)
@click.option(
    "--no-version",
    is_flag=True,
    help="Do not write samvar's version and the command line into the header.",
)
@click.option(
    "--md5",
    is_flag=True,
    help="Write the MD5 of each contig that has genes into the header; `samvar verify` then "
    "compares the bases, too. Reads the whole FASTA.",
)
@click.option(
    "--stats",
    metavar="FILE",
    help="Write counts, timings, versions and checksums as JSON (- for stdout).",
)
@click.option(
    "--no-cache",
    is_flag=True,
    help="Read the annotation itself, and keep no parsed copy for the next run.",
)
@workers_option
@device_option
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Number format on a GPU; bf16 is faster and less exact.",
)
@user_errors
def annotate(
    vcf,
    fasta,
    annotation,
    hgvs,
    output,
    output_type,
    write_index,
    regions,
    regions_file,
    targets,
    targets_file,
    regions_overlap,
    model_name,
    scores,
    tsv,
    parquet,
    overwrite,
    strict,
    no_version,
    md5,
    stats,
    no_cache,
    threads,
    device,
    precision,
    transcripts,
    binding,
    peaks,
    **options,
) -> None:
    """Annotate a VCF or BCF with splice changes and their causes.

    VCF is a VCF, plain or compressed, or a BCF; - or nothing is stdin. The same records come out in
    the same order, with these fields added to INFO: SAMVAR_MAX (the largest change of any splice
    site's probability, of each ALT), SAMVAR_STATUS, SAMVAR,
    SAMVAR_EVENT (what happens to the transcript) and SAMVAR_RBP.

    With --hgvs lines that cannot be mapped are reported with their number, and the exit code is 3.
    """
    started = time.monotonic()
    from ..annotate import Options, forked
    from ..annotate import annotate as run
    from ..formats.vcf import open_output
    from ..genomics.genome import Genome
    from ..lookup import Scores
    from ..model.bundle import load_bundle
    from ..scoring.predictor import Predictor

    if hgvs and vcf != "-":
        raise click.UsageError("give a VCF or --hgvs FILE, not both")
    if hgvs and options["phased"]:
        raise click.UsageError("--phased needs the genotypes of a VCF, which --hgvs FILE has not")
    outputs = Outputs(output, output_type, write_index, tsv, parquet, stats)
    named = None if transcripts in WELL_KNOWN else transcripts
    given = None if hgvs else vcf
    outputs.check(
        (given, fasta, annotation, hgvs, regions_file, targets_file, named, scores, peaks)
    )
    if scores:
        _check_combination(options, parquet, device, binding or peaks)
    if parquet:
        arrow()
    if precision == "bf16" and device == "cpu":
        raise click.UsageError("--precision bf16 is for a GPU: give --device cuda, too")
    chosen = Options(**options, precision=precision, transcripts=listed(transcripts))
    precomputed = Scores(scores) if scores else None
    genome = Genome(fasta)
    selection, indexed = _regions(
        regions, regions_file, targets, targets_file, regions_overlap, genome.lengths
    )
    faults: list[str] = []
    genes = None
    with ExitStack() as stack:
        if hgvs:
            genes = _genes(genome, annotation, no_cache)
            vcf, faults = stack.enter_context(_described(hgvs, genome, genes))
        reader = stack.enter_context(_reader(vcf, chosen, overwrite, selection, indexed))
        _tell_of_regions(reader, vcf, selection, genome)
        form = outputs.form_for(reader.form)
        genes = genes or _genes(genome, annotation, no_cache)
        check_transcripts(transcripts, chosen.transcripts, genes)
        predictor = stack.enter_context(Predictor(load_bundle(model_name), device, threads))
        if workers := forked(genome, genes, predictor, chosen, threads):
            stack.enter_context(workers)
        opinions = stack.enter_context(opinions_of(binding, peaks, genome))
        tables = stack.enter_context(outputs.open_tables(chosen, opinions))
        writer = stack.enter_context(open_output(output, form, write_index))
        command = None if no_version else shlex.join(["samvar", *sys.argv[1:]])
        loaded = time.monotonic()
        counts = run(
            reader,
            writer,
            genome,
            genes,
            predictor,
            chosen,
            command,
            tables,
            md5,
            precomputed,
            opinions,
            workers,
        )
    if stats:
        seconds = dict(start=loaded - started, run=time.monotonic() - loaded)
        content = _stats(counts, genome, genes, predictor, chosen, seconds)
        if scores:
            content["scores"] = dict(
                file=scores, looked_up=counts.looked_up, computed=counts.computed
            )
        write_json(stats, content)
    if scores:
        say(f"samvar: {counts.looked_up} alleles taken from {scores}, {counts.computed} computed")
    if _summarise(counts, genome, strict) or faults:
        sys.exit(EXIT_STRICT)


def _check_combination(
    options: dict, parquet: str | None, device: str, opinions: str | None
) -> None:
    """Raises UsageError where something is asked for that a file of scores does not have."""
    not_there = {
        "--phased": options["phased"],
        "--spliceai-compat": options["spliceai_compat"],
        "--parquet": parquet,
        "--binding or --peaks": opinions,
        f"--device {device}": device != "cpu",
    }
    if given := [option for option, value in not_there.items() if value]:
        raise click.UsageError(
            f"{', '.join(given)} needs more than is looked up: leave out --scores"
        )


def _reader(vcf: str, options, overwrite: bool, selection, indexed: bool):
    """The input, without an earlier run's fields where they are to be overwritten."""
    from .. import info
    from ..formats.vcf import VcfReader

    shared = {info.SPLICEAI.key: info.OWN_SPLICEAI}
    return VcfReader(vcf, [f.key for f in options.fields], overwrite, selection, indexed, shared)


def _tell_of_regions(reader, vcf: str, selection, genome) -> None:
    """Warn of what may keep records from being found."""
    if reader.stale_index:
        say(
            f"samvar: {reader.stale_index} is older than {vcf}; records may be missed if that "
            "has changed since"
        )
    names = [*reader.contigs, *genome.lengths]
    tell_unknown(selection, names, f"neither in the header of {vcf} nor in {genome.path}")


def _summarise(counts, genome, strict: float | None) -> bool:
    """Say what became of the alleles; whether more of their REFs differ than --strict allows."""
    found = ", ".join(f"{name} {n}" for name, n in counts.statuses.most_common() if n)
    say(
        f"samvar: {counts.records} records ({counts.without_alt} without ALT); ALT alleles: "
        f"{found or 'none'}"
    )
    if counts.all_strange(genome):
        strange = first_few([contig for contig, n in counts.strange.items() if n])
        say(
            f"samvar: no record is on a contig of {genome.path} ({first_few(list(genome.lengths))}"
            f"): they are on {strange}. Are the VCF and the FASTA of the same genome?"
        )
    if counts.haplotypes:
        _tell_haplotypes(counts.haplotypes)
    if strict is None or counts.mismatch_share <= strict:
        return False
    say(
        f"samvar: {100 * counts.mismatch_share:.3g} % of the REFs that could be compared differ "
        f"from {genome.path} (--strict={strict:g})"
    )
    return True


def _tell_haplotypes(counts) -> None:
    """How many haplotypes were scored, and what was left out."""
    from ..haplotypes import MOST_HAPLOTYPES, MOST_HELD

    say(f"samvar: {counts.scored} sets of alleles on one haplotype scored together")
    if counts.without_genotypes:
        say(
            f"samvar: {counts.without_genotypes} records with scores have not a genotype (GT) of "
            "their alleles for each sample of the header; a sample without one counts as without "
            f"the ALT ({counts.first_without_genotypes}, ...)"
        )
    if counts.overlapping:
        say(
            f"samvar: {counts.overlapping} sets are left out, since their alleles overlap: no "
            f"haplotype has them all ({counts.first_overlapping}, ...)"
        )
    if counts.beyond:
        say(
            f"samvar: {counts.beyond} sets are left out: of each allele the {MOST_HAPLOTYPES} that "
            "most samples have are scored"
        )
    if counts.crowded:
        say(
            f"samvar: {counts.crowded} alleles have more than {MOST_HELD} records within their "
            "frame, and were scored with the nearest"
        )


def _genes(genome, annotation: str, no_cache: bool):
    """The annotation, which must be of the FASTA's build."""
    return of_build(genome, read_genes(annotation, cache=not no_cache))


@contextmanager
def _described(hgvs: str, genome, genes) -> Iterator[tuple[str, list[str]]]:
    """The name of a VCF of the described variants, and the lines that could not be mapped, which
    are reported."""
    from ..formats.hgvs_list import as_vcf, read_list
    from ..genomics.hgvs import Locator, notes_of

    listed = read_list(hgvs, Locator(genome, genes))
    for message in (*notes_of(d.variant for d in listed.described), *listed.faults):
        say(f"samvar: {message}")
    if listed.faults:
        lines = len(listed.described) + len(listed.faults)
        say(f"samvar: {len(listed.faults)} of {lines} descriptions in {hgvs} are left out")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "described.vcf")
        write(path, as_vcf(listed.described, genome))
        yield path, listed.faults


def _stats(counts, genome, genes, predictor, options, seconds: dict[str, float]) -> dict:
    import platform

    import numpy
    import pysam
    import torch

    b = predictor.bundle
    return dict(
        records=counts.records,
        without_alt=counts.without_alt,
        alleles=sum(counts.statuses.values()),
        statuses=dict(counts.statuses),
        attributed=counts.attributed,
        residual_above_0_001=counts.incomplete,
        **({"haplotypes": vars(counts.haplotypes)} if counts.haplotypes else {}),
        seconds={k: round(v, 3) for k, v in seconds.items()},
        model=dict(name=b.name, kind=b.kind, seeds=b.seeds, sha256=b.sha256),
        reference=dict(file=genome.name, sha256=genome.digest()),
        annotation=dict(file=genes.name, sha256=genes.digest),
        params=vars(options),
        versions=dict(
            samvar=__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            numpy=numpy.__version__,
            pysam=pysam.__version__,
        ),
    )
