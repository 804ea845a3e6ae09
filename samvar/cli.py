"""The command line: options in, one library call each, errors turned into messages and exit codes."""

from __future__ import annotations

import functools
import gzip
import json
import math
import os
import shlex
import signal
import sys
import time

import click

from . import __version__
from .errors import SamvarError
from .files import STDOUT_CLOSED

EXIT_ERROR, EXIT_STRICT, EXIT_INTERRUPT = 1, 3, 130


def _say(message: str) -> None:
    click.echo(message, err=True)


def _print(text: str) -> None:
    if sys.stdout is None:
        raise OSError(STDOUT_CLOSED)
    click.echo(text, nl=False)


def _names(path: str) -> set[str]:
    with open(path) as handle:
        try:
            return set(handle.read().split())
        except UnicodeDecodeError as e:
            raise SamvarError(f"{path} is no plain text: give names separated by blanks or line ends") from e


def user_errors(command):
    """Errors as one line on stderr and exit 1; Ctrl-C as exit 130; a closed pipe ends quietly."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def wrapped(*args, debug: bool, **kwargs):
        try:
            return command(*args, **kwargs)
        except click.exceptions.Exit:
            raise
        except (Exception, KeyboardInterrupt) as e:
            if debug or isinstance(e, click.ClickException):
                raise
            if isinstance(e, BrokenPipeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(128 + signal.SIGPIPE)
            if isinstance(e, KeyboardInterrupt):
                _say("samvar: interrupted")
                sys.exit(EXIT_INTERRUPT)
            known = isinstance(e, (SamvarError, OSError))
            _say(f"samvar: error: {e}" if known else f"samvar: internal error: {type(e).__name__}: {e}; see --debug")
            sys.exit(EXIT_ERROR)

    return wrapped


def file_only(ctx, param, value):
    """Refuse - for an output that needs a file of its own."""
    if value == "-":
        raise click.BadParameter("give the name of a file; this cannot go to stdout")
    return value


def different_files(*outputs: str | None, inputs: tuple[str | None, ...] = ()) -> None:
    """Refuse one file for two outputs, or for an input and an output."""
    files = [os.path.realpath(o) for o in outputs if o and o != "-" and (os.path.isfile(o) or not os.path.exists(o))]
    if lost := {os.path.realpath(i) for i in inputs if i} & set(files):
        raise click.UsageError(f"{min(lost)} is an input: give the output another name")
    if len(set(files)) < len(files):
        raise click.UsageError(f"two outputs have the same name: {max(files, key=files.count)}")


def _use_threads(ctx, param, value):
    if value:
        import torch

        torch.set_num_threads(value)


def _cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class NumberRange(click.FloatRange):
    """A range in which nan does not lie."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        return self.fail(f"{value!r} is not a number.", param, ctx) if math.isnan(number) else number


fasta_option = click.option("-f", "--fasta", required=True, help="Reference genome: FASTA, plain or bgzipped.")
annotation_option = click.option(
    "-a", "--annotation", required=True, help="Genes: GTF, GFF3, BED12 + gene, SpliceAI or canonical table, or gzipped."
)
threads_option = click.option("--threads", type=click.IntRange(1), callback=_use_threads, expose_value=False,
                              help="CPU threads.")
workers_option = click.option("--threads", default=_cpus, show_default="all", type=click.IntRange(1),
                              help="CPU threads.")
device_option = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
model_option = click.option(
    "--model", "model_name", default="default", show_default=True,
    help="Weight bundle: a bundled name or a folder; NAME:fm for its fixed-motif model.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="samvar")
def main() -> None:
    """What a variant does to splicing, and which RNA-binding-protein sites it does it through."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that half-written files go


# -------------------------------------------------------------------------------------------------------- train


@main.group()
def train() -> None:
    """Rebuild the weights: prepare, lssi, fm, am, evaluate, bundle, background."""


several_fastas = click.option(
    "-f", "--fasta", "fastas", multiple=True, required=True, help="Genome; repeat, each with its -a, for several."
)
several_annotations = click.option(
    "-a", "--annotation", "annotations", multiple=True, required=True, help="Genes of that genome."
)


def _pairs(fastas, annotations) -> list[tuple[str, str]]:
    if len(fastas) != len(annotations):
        raise click.UsageError("give one -a for every -f, in the same order")
    return list(zip(fastas, annotations))


@train.command()
@several_fastas
@several_annotations
@click.option("--motifs", help="Folder of RBP affinity files (RBPamp); needed for fm and am.")
@click.option("--validation", default="chr1,chr3", show_default=True, help="Chromosomes of validation genes.")
@click.option("--test", default="chr5,chr7", show_default=True, help="Chromosomes of test genes, which are not packed.")
@click.option("--leave-out", default="", help="Chromosomes of which no gene is used at all.")
@click.option("--held-out", type=click.Path(exists=True), help="File of gene names that must not be used.")
@click.option("-o", "--output", required=True, help="The packed dataset (.npz).")
@user_errors
def prepare(fastas, annotations, motifs, validation, test, leave_out, held_out, output) -> None:
    """Genomes and annotations to one packed dataset."""
    from .files import complete_file
    from .training.prepare import prepare as run

    names = _names(held_out) if held_out else set()
    split = lambda text: {c for c in text.split(",") if c}  # noqa: E731
    with complete_file(output) as part:
        run(_pairs(fastas, annotations), split(validation), split(test), names, motifs, _say,
            split(leave_out)).save(part)


def training_options(command):
    for option in reversed(
        [
            click.argument("recipe", type=click.Path(exists=True, dir_okay=False)),
            click.option("-d", "--data", required=True, help="Packed dataset of `samvar train prepare`."),
            click.option("-o", "--output", required=True, help="Folder of the run: checkpoint, weights, metrics.tsv."),
            click.option("--resume", is_flag=True, help="Go on from the checkpoint in the folder, if there is one."),
            click.option("--minutes", type=float, help="Stop, with a checkpoint, after so long."),
            threads_option,
            click.option("--deterministic", is_flag=True, help="Bit-identical on CUDA too (slower)."),
            device_option,
            user_errors,
        ]
    ):
        command = option(command)
    return command


def _train(kind: str, recipe, data, output, resume, minutes, deterministic, device, **more) -> None:
    import torch

    from .bundle import device_of
    from .training.dataset import Dataset
    from .training.loop import ranks
    from .training.loop import train as run
    from .training.lssi import LssiTask
    from .training.recipe import LssiRecipe, SamRecipe, load_recipe
    from .training.sam import SamTask

    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    settings = load_recipe(recipe, LssiRecipe if kind == "lssi" else SamRecipe)
    packed = Dataset.load(data)
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    where = device_of(device)
    with ranks(where) as (rank, _):
        fresh = not (resume and os.path.exists(os.path.join(output, "checkpoint.pt")))
        if kind == "lssi":
            task = LssiTask(packed, settings, where, rank=rank, **more)
        else:
            task = SamTask(kind, packed, settings, where, rank=rank, fresh=fresh, **more)
        run(task, settings, output, where, resume, minutes, _say)


@train.command()
@training_options
@click.option("--start-from", help="Folder of a run, or a bundle, whose core sites to start from.")
def lssi(**options) -> None:
    """Train the core acceptor and donor models by RECIPE (TOML)."""
    _train("lssi", **options)


@train.command()
@training_options
@click.option("--lssi", help="Folder of a finished `samvar train lssi` [default: the core sites of --start-from].")
@click.option("--start-from", help="Folder of an fm run, or a bundle (NAME:fm), of the same width to start from.")
def fm(**options) -> None:
    """Train the model of fixed motifs by RECIPE (TOML)."""
    _train("fm", **options)


@train.command()
@training_options
@click.option("--lssi", help="Folder of a finished `samvar train lssi` [default: the core sites of --start-from].")
@click.option("--start-from", help="Folder of an fm or am run, or a bundle, of the same width to start from.")
def am(**options) -> None:
    """Train the model of adjusted motifs by RECIPE (TOML)."""
    _train("am", **options)


@train.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("-d", "--data", required=True, help="The packed dataset that the runs were trained on.")
@click.option("-o", "--output", required=True, help="Folder of the averaged run.")
@click.option("--density", type=NumberRange(0, 1, min_open=True), help="Of sites [default: the first run's].")
@threads_option
@device_option
@user_errors
def average(runs, data, output, density, device) -> None:
    """One model with the mean weights of finished RUNS that went on from the same start."""
    from .bundle import device_of
    from .training.average import average as run
    from .training.dataset import Dataset

    run(list(runs), Dataset.load(data), output, device_of(device), density)


@train.command()
@several_fastas
@several_annotations
@click.option("--bundle", "name", default="default", show_default=True, help="Bundle, NAME:fm for its fixed motifs.")
@click.option("--run", help="Folder of an fm or am run to evaluate instead of a bundle.")
@click.option("--chroms", help="Only genes of these chromosomes, comma-separated.")
@click.option("--no-paralogs", is_flag=True, help="Only genes that the annotation marks as without paralogs.")
@click.option("--genes", type=click.Path(exists=True), help="File of gene names: only these.")
@click.option("--entropy/--no-entropy", default=True, help="Measure eta for the entropy bound (3 to 5 times longer).")
@threads_option
@click.option("--json", "output", required=True, help="Where the numbers go; - for stdout.")
@device_option
@user_errors
def evaluate(fastas, annotations, name, run, chroms, no_paralogs, genes, entropy, output, device) -> None:
    """Top-k accuracy, density and entropy bound on the genes of any genome and annotation."""
    from .bundle import device_of, load_bundle
    from .errors import DatasetError
    from .files import check_writable
    from .training.dataset import Dataset
    from .training.evaluate import evaluate as measure
    from .training.prepare import merge_genes, read_genes
    from .training.runs import load_run

    if output != "-":
        check_writable(output)
    where = device_of(device)
    if run:
        model, description = load_run(run, unfinished=True)
        if description["kind"] == "lssi":
            raise SamvarError(f"{run} is a run of core sites: evaluate takes fm and am runs")
        models, about = [model], dict(kind=description["kind"])
    else:
        bundle = load_bundle(name)
        models = bundle.models
        about = dict(kind=bundle.kind, bundle=bundle.name, seeds=bundle.seeds, sha256=bundle.sha256)
    found = merge_genes([read_genes(*pair, set(chroms.split(",")) if chroms else None)
                         for pair in _pairs(fastas, annotations)])
    if no_paralogs:
        if all(g["paralog"] is None for g in found):
            raise DatasetError("the annotation does not tell paralogs (no has_paralog column); use --genes with a list")
        found = [g for g in found if g["paralog"] is False]
    if genes:
        names = _names(genes)
        found = [g for g in found if g["name"] in names]
    if not found:
        raise DatasetError("no gene is left to evaluate")
    data = Dataset.from_genes([dict(g, split="test") for g in found])
    about |= dict(annotations=[os.path.basename(a) for a in annotations], chroms=chroms, no_paralogs=no_paralogs)
    result = about | measure([m.to(where) for m in models], data, data.genes(), where, entropy)
    _write_json(output, result)


@train.command()
@click.option("--name", required=True, help="Name of the bundle.")
@click.option("--am", "am_runs", multiple=True, help="Folder of a finished AM run; repeat for several seeds.")
@click.option("--fm", "fm_runs", multiple=True, help="Folder of a finished FM run; repeat for several seeds.")
@click.option("--temperature", default=1.0, show_default=True, type=NumberRange(0, min_open=True),
              help="Divides the outputs before the softmax.")
@click.option("--flank", default=512, show_default=True, help="F: bases the LSTM sees beyond the compared positions.")
@click.option("-d", "--data", required=True, help="The packed dataset that the runs were trained on.")
@click.option("--evaluation", "evaluations", multiple=True, metavar="[TITLE=]FILE",
              help="JSON for the card: of `samvar train evaluate`, or several under their titles; repeat.")
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@threads_option
@click.option("-o", "--output", required=True, help="Folder of the bundle.")
@user_errors
def bundle(name, am_runs, fm_runs, temperature, flank, data, evaluations, precision, output) -> None:
    """Finished runs to a weight bundle with manifest and card."""
    from .training.bundle import make_bundle
    from .training.dataset import Dataset

    runs = {kind: list(folders) for kind, folders in (("am", am_runs), ("fm", fm_runs)) if folders}
    if not runs:
        raise click.UsageError("give at least one --am or --fm run")
    results = {}
    for item in evaluations:
        title, _, path = item.rpartition("=")
        with open(path) as handle:
            try:
                content = json.load(handle)
                if not isinstance(content, dict):
                    raise SamvarError(f"--evaluation {path} holds no results of `samvar train evaluate` or of a script")
                if not title and not all(isinstance(e, dict) for e in content.values()):
                    raise click.UsageError(f"--evaluation {item}: give it a title, TITLE=FILE")
                results |= {title: content} if title else content
            except ValueError as e:
                raise SamvarError(f"--evaluation {path} is no JSON: {e}") from e
    make_bundle(output, name, runs, flank, Dataset.load(data), results, precision == "fp16", temperature)


@train.command()
@click.argument("vcfs", nargs=-1, required=True)
@several_fastas
@several_annotations
@click.option("--bundle", required=True, help="Bundle, NAME:fm for its fixed motifs; gets the result.")
@workers_option
@device_option
@user_errors
def background(vcfs, fastas, annotations, bundle, threads, device) -> None:
    """Effects of random real VARIANTS (a VCF for every -f and -a): the scale of `samvar explain`'s percentiles."""
    from .annotate import Options
    from .bundle import background_file, load_bundle
    from .files import check_writable
    from .predict import Predictor
    from .training.background import LEAST_DELTA, add_to_bundle, collect

    pairs = _pairs(fastas, annotations)
    if len(vcfs) != len(pairs):
        raise click.UsageError("give one -f and one -a for every VCF, in the same order")
    sources = [(vcf, *pair) for vcf, pair in zip(vcfs, pairs)]
    loaded = load_bundle(bundle)
    check_writable(background_file(loaded.folder, loaded.kind))
    with Predictor(loaded, device, threads) as predictor:
        add_to_bundle(loaded.folder, collect(sources, predictor, Options(rbp_min=LEAST_DELTA), _say))


# ------------------------------------------------------------------------------------------------------ annotate


class _OptionalValues(click.Command):
    """Lets -W and --strict stand alone or take a value after "=", as in bcftools, never the next argument."""

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
            click.option("-r", "--regions", help="Only these: CONTIG:FROM-TO,...; by index if there is one."),
            click.option("-R", "--regions-file", help="The same from a file: CONTIG FROM TO, 1-based, or .bed."),
            click.option("-t", "--targets", help="As -r, but reads the whole input."),
            click.option("-T", "--targets-file", help="As -R, but reads the whole input."),
            click.option("--regions-overlap", type=click.Choice(["pos", "record", "variant"]),
                         help="What must lie in a region: POS, REF, or REF without what ALT shares with it "
                              "[default: record, with -t/-T pos]."),
        ]
    ):
        command = option(command)
    return command


def _regions(regions, regions_file, targets, targets_file, regions_overlap, names):
    """(Regions or None, whether an index may be used)."""
    from .regions import Regions

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


def _tell_unknown(regions, names, where: str) -> None:
    """Warn of contigs that no record or gene can be on."""
    if regions and (unknown := regions.unknown(names)):
        _say(f"samvar: regions on contigs that are {where}: {', '.join(unknown[:3])}{', ...' * (len(unknown) > 3)}")


def _form(output: str, output_type: str | None, input_form: str) -> str:
    """Form of the output: -O, else the suffix of -o, else the input's; text on a pipe where that is compressed text."""
    if output_type:
        return output_type
    for suffixes, form in (((".bcf",), "b"), ((".gz", ".bgz"), "z"), ((".vcf",), "v")):
        if output.endswith(suffixes):
            return form
    return "v" if output == "-" and input_form == "z" else input_form


@main.command(cls=_OptionalValues)
@click.argument("vcf", default="-")
@fasta_option
@annotation_option
@click.option("-o", "--output", default="-", show_default=True, help="Output file; - is stdout.")
@click.option("-O", "--output-type", type=click.Choice(["v", "z", "b", "u"]),
              help="v VCF, z BGZF VCF, b BCF, u uncompressed BCF [default: by the suffix of -o, else as the input].")
@click.option("-W", "--write-index", type=click.Choice(["tbi", "csi"]), help="-W[=tbi|csi]: index the output file.")
@region_options
@model_option
@click.option("-D", "--distance", default=50, show_default=True, type=click.IntRange(1, 5000),
              help="Sites within so many bases of the variant are compared.")
@click.option("--mask", is_flag=True, help="Ignore gains at annotated sites and losses at unannotated ones.")
@click.option("--transcript-extent", is_flag=True,
              help="Show the model each gene's chosen transcript alone, not the union of its transcripts.")
@click.option("--rbp-min", default=0.1, show_default=True, type=NumberRange(0),
              help="List changed sites for deltas of at least this.")
@click.option("--rbp-max", default=10, show_default=True, type=click.IntRange(0), help="List so many sites at most.")
@click.option("--max-allele", default=1000, show_default=True, type=click.IntRange(1),
              help="Longest trimmed allele that is scored.")
@click.option("--spliceai-compat", is_flag=True, help="Write the deltas in SpliceAI's layout, too: INFO/SpliceAI.")
@click.option("--tsv", callback=file_only,
              help="Write the rows of SAMVAR to this file, too, tab-separated (.gz: gzipped).")
@click.option("--overwrite", is_flag=True, help="Replace samvar's INFO fields of an earlier run.")
@click.option("--allow-ref-mismatch", is_flag=True, help="Go on when most REF alleles differ from the FASTA.")
@click.option("--strict", type=NumberRange(0, 1), metavar="[=SHARE]",
              help="Exit 3 when more than this share of the REFs differ from the FASTA [alone: 0.01].")
@click.option("--no-version", is_flag=True, help="Leave version and command out of the header.")
@click.option("--md5", is_flag=True, help="Put the MD5 of each contig with genes into the header, for verify.")
@click.option("--stats", help="Write counts, timings, versions and checksums to this JSON file.")
@click.option("--no-cache", is_flag=True, help="Parse the annotation anew, and keep no parsed copy.")
@workers_option
@device_option
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
              help="Of the aggregator on a GPU.")
@user_errors
def annotate(vcf, fasta, annotation, output, output_type, write_index, regions, regions_file, targets, targets_file,
             regions_overlap, model_name, tsv, overwrite, strict, no_version, md5, stats, no_cache, threads, device,
             precision, **options) -> None:
    """Write VCF or BCF (- for stdin) with splice deltas and their causes in INFO."""
    started = time.monotonic()
    from contextlib import ExitStack

    from . import info
    from .annotate import Options
    from .annotate import annotate as run
    from .bundle import load_bundle
    from .files import check_writable, complete_file
    from .gene_files import load_annotation
    from .genome import Genome
    from .predict import Predictor
    from .vcf import VcfReader, open_output

    different_files(output, tsv, stats)
    others = fasta, annotation, regions_file, targets_file
    different_files(tsv, stats, inputs=(vcf, *others))
    different_files(output, inputs=others)
    if stats == output == "-":
        raise click.UsageError("--stats - needs -o FILE: stdout is taken by the records")
    if stats and stats != "-":
        check_writable(stats)
    if write_index and output == "-":
        raise click.UsageError("-W needs -o FILE: what goes to stdout cannot be indexed")
    if precision == "bf16" and device == "cpu":
        raise click.UsageError("--precision bf16 is for a GPU: give --device cuda, too")
    chosen = Options(**options, precision=precision)
    genome = Genome(fasta)
    selection, indexed = _regions(regions, regions_file, targets, targets_file, regions_overlap, genome.lengths)
    with ExitStack() as stack:
        reader = stack.enter_context(VcfReader(vcf, [f.key for f in chosen.fields], overwrite, selection, indexed,
                                               {info.SPLICEAI.key: info.OWN_SPLICEAI}))
        if reader.stale_index:
            _say(f"samvar: {reader.stale_index} is older than {vcf}; records may be missed if that has changed since")
        _tell_unknown(selection, [*reader.contigs, *genome.lengths], f"neither in the header of {vcf} nor in {fasta}")
        form = _form(output, output_type, reader.form)
        if write_index and (form in "vu" or (form == "b" and write_index == "tbi")):
            raise click.UsageError("-W needs -O z, or -O b with a csi index")
        genes = load_annotation(annotation, cache=not no_cache)
        if chosen.transcript_extent:
            genes = genes.of_chosen_transcripts()
        predictor = stack.enter_context(Predictor(load_bundle(model_name), device, threads, precision))
        table = None
        if tsv:
            part = stack.enter_context(complete_file(tsv))
            table = stack.enter_context(gzip.open(part, "wt") if tsv.endswith(".gz") else open(part, "w"))
            table.write("\t".join(info.TSV_COLUMNS) + "\n")
        writer = stack.enter_context(open_output(output, form, write_index))
        command = None if no_version else shlex.join(["samvar", *sys.argv[1:]])
        loaded = time.monotonic()
        counts = run(reader, writer, genome, genes, predictor, chosen, command, table, md5)
    if stats:
        _write_json(stats, _stats(counts, genome, genes, predictor, chosen,
                                  dict(start=loaded - started, run=time.monotonic() - loaded)))
    found = ", ".join(f"{name} {n}" for name, n in counts.statuses.most_common() if n)
    _say(f"samvar: {counts.records} records ({counts.without_alt} without ALT); ALT alleles: {found or 'none'}")
    if strict is not None and counts.mismatch_share > strict:
        _say(f"samvar: {100 * counts.mismatch_share:.2g} % of the REFs that could be compared differ from {fasta} "
             f"(--strict={strict:g})")
        sys.exit(EXIT_STRICT)


def _stats(counts, genome, genes, predictor, options, seconds: dict[str, float]) -> dict:
    import platform

    import numpy
    import pysam
    import torch

    b = predictor.bundle
    return dict(
        records=counts.records, without_alt=counts.without_alt, alleles=sum(counts.statuses.values()),
        statuses=dict(counts.statuses), attributed=counts.attributed, residual_above_0_001=counts.incomplete,
        seconds={k: round(v, 3) for k, v in seconds.items()},
        model=dict(name=b.name, kind=b.kind, seeds=b.seeds, sha256=b.sha256),
        reference=dict(file=genome.name, sha256=genome.digest()),
        annotation=dict(file=genes.name, sha256=genes.digest), params=vars(options),
        versions=dict(samvar=__version__, python=platform.python_version(), torch=torch.__version__,
                      numpy=numpy.__version__, pysam=pysam.__version__),
    )


def _write_json(path: str, content: dict | list) -> None:
    from . import files

    text = json.dumps(content, indent=1) + "\n"
    if path == "-":
        _print(text)
    else:
        files.write(path, text)


def _genome_and_genes(fasta: str, annotation: str):
    """Both files read; they must have a contig in common."""
    from .annotate import check_annotation
    from .gene_files import load_annotation
    from .genome import Genome

    genome, genes = Genome(fasta), load_annotation(annotation, cache=True)
    check_annotation(genome, genes)
    return genome, genes


@main.command()
@click.argument("what", metavar="CHR:POS:REF:ALT|CHR:START-END")
@fasta_option
@annotation_option
@click.option("--vcf", help="Look up WHAT, as CHR:POS or an ID, in this file.")
@model_option
@click.option("-D", "--distance", default=50, show_default=True, type=click.IntRange(1, 1000),
              help="Sites within so many bases of the variant are compared and shown.")
@click.option("--rbp-min", default=0.1, show_default=True, type=NumberRange(0),
              help="Take apart deltas of at least this, and the largest.")
@click.option("--explain-check", is_flag=True, help="Show beside each effect what knocking the site out does.")
@click.option("--json", "json_file", help="Write everything to this file (- for stdout).")
@click.option("--svg", callback=file_only, help="Draw the landscape: vector graphics.")
@click.option("--png", callback=file_only, help="Draw the landscape: pixels.")
@click.option("--html", callback=file_only, help="Write a self-contained page.")
@user_errors
def explain(what, fasta, annotation, vcf, model_name, distance, rbp_min, explain_check, json_file, svg, png,
            html) -> None:
    """Why one variant changes splicing; or the sites and motifs of a region."""
    import torch

    from . import explain as explaining
    from .annotate import Options
    from .bundle import load_bundle
    from .predict import Predictor

    different_files(json_file, svg, png, html, inputs=(fasta, annotation, vcf))
    region = explaining.region(what)
    asked = [] if region else explaining.variants(what, vcf)
    genome, genes = _genome_and_genes(fasta, annotation)
    options = Options(distance=distance, rbp_min=rbp_min)
    torch.set_num_threads(1)  # as each worker of `annotate`: the same digits
    with Predictor(load_bundle(model_name)) as predictor:
        if region:
            found = [explaining.explain_region(genome, genes, predictor, *region)]
        else:
            found = [explaining.explain(genome, genes, predictor, *variant, options) for variant in asked]
    if json_file != "-":
        _print("\n".join(explaining.to_text(e, explain_check) for e in found))
    if json_file:
        content = [explaining.to_dict(e) for e in found]
        _write_json(json_file, content[0] if len(content) == 1 else content)
    if svg or png or html:
        from . import figures

        figures.write(found, svg, png, html)


@main.command()
@click.option("--rbp", required=True, help="The RBP whose motif sites go.")
@fasta_option
@annotation_option
@model_option
@click.option("-r", "--regions", help="Only there: CONTIG:FROM-TO,...")
@click.option("--genes", type=click.Path(exists=True, dir_okay=False), help="Only genes (ids, symbols) of this file.")
@click.option("-o", "--output", help="Table of sites [default: - (stdout), or none with --map or --figure].")
@click.option("--map", "map_file", callback=file_only, help="Write an RNA map over internal exons to this table.")
@click.option("--figure", callback=file_only, help="Draw the RNA map: .svg or .png.")
@click.option("--exons", default=1000, show_default=True, type=click.IntRange(1), help="Exons of the RNA map, at most.")
@workers_option
@user_errors
def knockout(rbp, fasta, annotation, model_name, regions, genes, output, map_file, figure, exons,
             threads) -> None:
    """Splice sites without an RBP's motif, and its RNA map.

    The table has every site that is annotated, or predicted with or without the motif. With --map or --figure alone
    (no -o) the table of sites is left out.
    """
    from . import files
    from . import knockout as knocking
    from .bundle import load_bundle
    from .predict import Predictor
    from .regions import Regions

    different_files(output, map_file, figure, inputs=(fasta, annotation, genes))
    if figure:
        from . import figures

        if not figure.endswith((".svg", ".png")):
            raise click.UsageError(f"--figure {figure}: the name must end in .svg or .png")
        figures.style()  # what is missing for that shows before the work
    for path in (map_file, figure, output):
        if path and path != "-":
            files.check_writable(path)
    names = _names(genes) if genes else None
    genome, known = _genome_and_genes(fasta, annotation)
    chosen = Regions.parse(regions, names=genome.lengths) if regions else None
    _tell_unknown(chosen, genome.lengths, f"not in {fasta}")
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
                figures.draw_map(found, figure)
            if output is None:
                return
        rows = knocking.table(knocking.changes(genome, selected, predictor, rbp, chosen))
        if output in (None, "-"):
            for row in rows:
                _print(row + "\n")
            return
        with files.complete_file(output) as part, open(part, "w") as handle:
            handle.writelines(row + "\n" for row in rows)


@main.command()
@fasta_option
@annotation_option
@model_option
@click.option("--rbp", "rbps", multiple=True, metavar="NAME", help="Only this RBP; repeat for several.")
@click.option("--chroms", help="Only genes of these chromosomes, comma-separated.")
@click.option("--max-bases", default=2_000_000, show_default=True, type=click.IntRange(1),
              help="Look at so many bases of pre-mRNA, genes in the annotation's order.")
@click.option("--table", "table_file", help="Write the numbers to this file, tab-separated.")
@click.option("--svg", type=click.Path(file_okay=False), help="Folder for the logos: a picture for each RBP.")
@click.option("--html", callback=file_only, help="Write a self-contained page of all logos.")
@user_errors
def motifs(fasta, annotation, model_name, rbps, chroms, max_bases, table_file, svg, html) -> None:
    """Sequence logos of what each RBP's fixed and adjusted motif select, and the difference.

    Without --table, --svg and --html the table goes to stdout.
    """
    from . import logos
    from .bundle import load_bundle
    from .files import check_writable
    from .predict import Predictor

    different_files(table_file, html, inputs=(fasta, annotation))
    for path in (table_file, html):
        if path and path != "-":
            check_writable(path)
    if svg or html:
        logos.style()  # what is missing for that shows before the work
    wanted = [c for c in (chroms or "").split(",") if c]
    genome, genes = _genome_and_genes(fasta, annotation)
    with Predictor(load_bundle(model_name)) as predictor:
        found = logos.collect(genome, genes, predictor, rbps, wanted, max_bases)
    if table_file == "-" or not (table_file or svg or html):
        _print("\n".join([*logos.table(found), ""]))
        table_file = None
    logos.write(found, table_file, svg, html)


@main.command()
@click.argument("vcf")
@fasta_option
@annotation_option
@click.option("--model", "model_name", help="Bundle to score with [default: that of the header].")
@click.option("--records", default=100, show_default=True, type=click.IntRange(0), help="How many to score again.")
@device_option
@user_errors
def verify(vcf, fasta, annotation, model_name, records, device) -> None:
    """Check an annotated VCF: model, reference (names and lengths of its contigs; their bases, where the header tells
    an MD5) and annotation by checksum, and the scores of a random sample."""
    from .bundle import load_bundle
    from .gene_files import load_annotation
    from .genome import Genome
    from .predict import Predictor
    from .vcf import VcfReader
    from .verify import attribute, options_of, provenance
    from .verify import verify as check

    with VcfReader(vcf) as reader:
        header = provenance(reader)
        genes = load_annotation(annotation, cache=True)
        if options_of(header["params"]).transcript_extent:
            genes = genes.of_chosen_transcripts()
        model = model_name or ":".join(attribute(header["model"], k) for k in ("Name", "Kind"))
        with Predictor(load_bundle(model), device) as predictor:
            report = check(reader, Genome(fasta), genes, predictor, records)
    for problem in report.problems:
        _say(f"samvar: {problem}")
    if report.problems:
        _say(f"samvar: {vcf} is not what these files give ({len(report.problems)} differences)")
        sys.exit(EXIT_ERROR)
    _say(f"samvar: {vcf} verified: model, reference (names and lengths of contigs), annotation, and "
         f"{report.rescored} records scored again")


if __name__ == "__main__":
    main()
