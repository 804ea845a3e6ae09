"""What the commands share: options, errors as messages and exit codes, output."""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

import click

from ..errors import SamvarError
from ..files import (
    NO_ROOM,
    STDOUT_CLOSED,
    cannot_write,
    check_writable,
    new_file,
    text_lines,
    write,
    writing,
)

if TYPE_CHECKING:
    from ..genomics.genes import Annotation, Choice
    from ..genomics.genome import Genome

EXIT_ERROR, EXIT_STRICT, EXIT_INTERRUPT = 1, 3, 130
INDEXES = ".fai", ".gzi", ".tbi", ".csi"
ALLOW_MISMATCH = "samvar.allow_annotation_mismatch"  # in the context's meta


def say(message: str) -> None:
    click.echo(message, err=True)


def to_stdout(text: str) -> None:
    if sys.stdout is None:
        raise OSError(STDOUT_CLOSED)
    with writing("-"):
        click.echo(text, nl=False)


def write_json(path: str, content: dict | list) -> None:
    text = json.dumps(content, indent=1) + "\n"
    if path == "-":
        to_stdout(text)
    else:
        write(path, text)


def names_in(path: str) -> set[str]:
    """The names of a text file, separated by blanks or line ends."""
    return {name for line in text_lines(path) for name in line.split()}


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
                say("samvar: interrupted")
                sys.exit(EXIT_INTERRUPT)
            known = isinstance(e, (SamvarError, OSError))
            say(
                f"samvar: error: {e}"
                if known
                else f"samvar: internal error: {type(e).__name__}: {e}; see --debug"
            )
            sys.exit(EXIT_ERROR)

    return wrapped


def file_only(ctx, param, value):
    """Refuse - for an output that needs a file of its own."""
    if value == "-":
        raise click.BadParameter("give the name of a file; this cannot go to stdout")
    return value


def different_files(*outputs: str | None, inputs: tuple[str | None, ...] = ()) -> None:
    """Refuse one file for two outputs, or for an input (or the index beside it) and an output."""
    of_inputs = {_identity(path + end) for path in inputs if path for end in ("", *INDEXES)}
    if "-" in inputs:
        of_inputs |= _stdin_file()
    taken = set(of_inputs)
    for output in outputs:
        if not output or output == "-" or (os.path.exists(output) and not os.path.isfile(output)):
            continue
        if _identity(output) in taken:
            if _identity(output) in of_inputs:
                raise click.UsageError(f"{output} is an input: give the output another name")
            raise click.UsageError(f"two outputs have the same name: {output}")
        taken.add(_identity(output))


def _identity(path: str) -> object:
    """The same for all names of a file, links of either kind among them."""
    try:
        about = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return about.st_dev, about.st_ino


def _stdin_file() -> set[object]:
    """The `_identity` of the file that stdin comes from, where it is one."""
    try:
        about = os.fstat(0)
    except OSError:  # stdin is closed
        return set()
    return {(about.st_dev, about.st_ino)} if stat.S_ISREG(about.st_mode) else set()


def check_named(*outputs: str | None) -> None:
    """Raise UsageError where the name of an output is empty, as of a shell's variable that is not
    set."""
    if "" in outputs:
        raise click.UsageError("the name of an output is empty")


def check_outputs(*paths: str | None) -> None:
    """Raise OSError where an output (- for stdout) cannot be written, before any work is done, and
    UsageError where it has no name."""
    check_named(*paths)
    for path in paths:
        if path == "-" and sys.stdout is None:
            raise OSError(STDOUT_CLOSED)
        if path and path != "-":
            check_writable(path)


def _use_threads(ctx, param, value):
    if value:
        import torch

        torch.set_num_threads(value)


def _cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for. `modules`: name of each ->
    module that has it, in the order in which help lists them."""

    def __init__(self, *args, modules: dict[str, str], **kwargs):
        super().__init__(*args, **kwargs)
        self._modules = modules

    def main(self, *args, **kwargs):
        """As a group's, but that help and version, too, say in a line when stdout is full."""
        try:
            return super().main(*args, **kwargs)
        except OSError as e:
            if e.filename is not None or e.errno not in NO_ROOM:
                raise
            say(f"samvar: error: {cannot_write('-', e.errno)}")
            sys.exit(EXIT_ERROR)

    def list_commands(self, ctx) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx, name: str) -> click.Command | None:
        if name not in self._modules:
            return None
        return getattr(import_module(self._modules[name]), name.replace("-", "_"))


class NumberRange(click.FloatRange):
    """A range in which nan does not lie."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        return (
            self.fail(f"{value!r} is not a number.", param, ctx) if math.isnan(number) else number
        )


def fasta_option_of(required: bool):
    return click.option(
        "-f",
        "--fasta",
        metavar="FILE",
        required=required,
        help="Reference genome: FASTA, plain or compressed with bgzip.",
    )


def _allow_mismatch(ctx, param, value):
    ctx.meta[ALLOW_MISMATCH] = value


allow_mismatch_option = click.option(
    "--allow-annotation-mismatch",
    is_flag=True,
    callback=_allow_mismatch,
    expose_value=False,
    help="Go on when most introns of the annotation do not look like introns in the FASTA.",
)


def annotation_option_of(required: bool):
    """-a, and leave for one that does not fit the FASTA."""
    option = click.option(
        "-a",
        "--annotation",
        metavar="FILE",
        required=required,
        help="Genes: GTF, GFF3, BED12 with a gene column, SpliceAI's table, or a table of "
        "canonical transcripts; plain or gzipped.",
    )
    return lambda command: option(allow_mismatch_option(command))


fasta_option = fasta_option_of(required=True)
annotation_option = annotation_option_of(required=True)


def table_option(what: str):
    """-o, of a table."""
    return click.option(
        "-o",
        "--output",
        metavar="FILE",
        default="-",
        show_default="stdout",
        help=f"Write the table of {what} to this file.",
    )


threads_option = click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1),
    callback=_use_threads,
    expose_value=False,
    help="Number of CPU threads [default: as many as PyTorch takes].",
)


workers_option = click.option(
    "--threads",
    metavar="N",
    default=_cpus,
    show_default="all CPUs",
    type=click.IntRange(1),
    help="Number of CPU threads, or of processes where they do the work.",
)

device_option = click.option(
    "--device",
    metavar="cpu|cuda|cuda:N",
    default="cpu",
    show_default=True,
    help="Where the model runs: on the CPU, or on a GPU.",
)


model_option = click.option(
    "--model",
    "model_name",
    metavar="NAME|FOLDER",
    default="default",
    show_default=True,
    help="Weights: a bundle that comes with samvar (default, large, paper), or the folder of one. "
    "Append :fm for its model of fixed motifs, where it has one.",
)


def read_genes(annotation: str, cache: bool = True):
    """The annotation; what its reader left out or split is reported on stderr."""
    from ..formats.annotation import load_annotation

    genes = load_annotation(annotation, cache)
    for note in genes.notes:
        say(f"samvar: {annotation}: {note}")
    return genes


def of_build(genome, genes) -> Annotation:
    """The annotation, whose introns must be introns in the FASTA, unless the user allows otherwise
    (where they are too few to tell, or genes do not lie on their contigs, stderr has a warning);
    with the stop codons it leaves out."""
    from ..genomics.introns import check_introns
    from ..genomics.stop_codons import with_stop_codons

    allowed = click.get_current_context().meta.get(ALLOW_MISMATCH)
    if not allowed and (doubt := check_introns(genome, genes)):
        say(f"samvar: {doubt}")
    return with_stop_codons(genome, genes)


def genome_and_genes(fasta: str, annotation: str) -> tuple[Genome, Annotation]:
    """Both files read; they must have a contig in common."""
    from ..annotate import check_annotation
    from ..genomics.genome import Genome

    genome, genes = Genome(fasta), read_genes(annotation)
    check_annotation(genome, genes)
    return genome, of_build(genome, genes)


def tell_unknown(regions, names, where: str) -> None:
    """Warn about contigs that no record or gene can be on, and name those that there are."""
    if not regions or not (unknown := regions.unknown(names)):
        return
    names = list(dict.fromkeys(names))
    near = list(dict.fromkeys(n for name in unknown for n in get_close_matches(name, names, 1)))
    say(
        f"samvar: regions on contigs that are {where}: {first_few(unknown)}; the contigs there: "
        f"{first_few(near + [n for n in names if n not in near])}"
    )


def first_few(names: list[str]) -> str:
    """Names, the first five of them, for a message."""
    return ", ".join(names[:5]) + ", ..." * (len(names) > 5)


WELL_KNOWN = "chosen", "mane", "all"


def listed(transcripts: str):
    """A choice of transcripts, or the ids that a file lists."""
    if transcripts in WELL_KNOWN:
        return transcripts
    try:
        ids = [line.strip() for line in text_lines(transcripts)]
    except OSError as e:
        raise SamvarError(
            f"--transcripts {transcripts} is none of {', '.join(WELL_KNOWN)}, and no file that can "
            f"be read: {e}"
        ) from e
    return frozenset(i for i in ids if i and not i.startswith("#"))


def check_transcripts(transcripts: str, choice: Choice, genes: Annotation) -> None:
    """Tell how many of the ids that the file `transcripts` lists (`choice`) the annotation lacks.
    Raises SamvarError where it has none of them."""
    if isinstance(choice, str):
        return
    if not choice:
        raise SamvarError(f"--transcripts {transcripts} lists no transcript")
    unknown = genes.unknown(choice)
    if len(unknown) == len(choice):
        raise SamvarError(
            f"--transcripts {transcripts}: {genes.path} has none of its {len(choice)} transcripts "
            f"({first_few(unknown)}); give ids of that annotation, one on each line, with or "
            "without their version"
        )
    if unknown:
        say(
            f"samvar: --transcripts {transcripts}: {genes.path} lacks {len(unknown)} of its "
            f"{len(choice)} transcripts: {first_few(unknown)}"
        )


def event_options(command):
    """Which transcripts' events are written, and from which strength."""
    transcripts = click.option(
        "--transcripts",
        metavar="chosen|mane|all|FILE",
        default="chosen",
        show_default=True,
        help="Report what happens (SAMVAR_EVENT) to the chosen transcript of each gene, those of "
        "MANE, to all, or to those whose ids this file lists, one on each line.",
    )
    least = click.option(
        "--event-min",
        metavar="STRENGTH",
        default=0.2,
        show_default=True,
        type=NumberRange(0),
        help="List events of at least this strength (PROB of SAMVAR_EVENT, from 0 to 1).",
    )
    return transcripts(least(command))


def distance_option(most: int, help: str):
    """-D, of at most so many bases."""
    return click.option(
        "-D",
        "--distance",
        metavar="BASES",
        default=50,
        show_default=True,
        type=click.IntRange(1, most),
        help=help,
    )


def rbp_min_option(help: str):
    """--rbp-min: the smallest delta whose causes are wanted."""
    return click.option(
        "--rbp-min",
        metavar="DELTA",
        default=0.1,
        show_default=True,
        type=NumberRange(0),
        help=help,
    )


@contextmanager
def open_table(path: str) -> Iterator[Callable[[Iterable[str]], None]]:
    """A function that writes a row of a table, to stdout (-) or to a file that appears when it is
    complete."""
    if path == "-":
        yield lambda row: to_stdout("\t".join(row) + "\n")
        return
    with new_file(path) as handle:
        yield lambda row: print(*row, sep="\t", file=handle)


def score_options(command):
    """What a score is: model, compared sites, causes, events."""
    mask = click.option(
        "--mask",
        is_flag=True,
        help="Ignore gains at splice sites that are annotated, and losses at those that are not.",
    )
    extent = click.option(
        "--transcript-extent",
        is_flag=True,
        help="Show the model one chosen transcript of each gene, instead of all that the gene's "
        "transcripts cover.",
    )
    most = click.option(
        "--rbp-max",
        metavar="N",
        default=10,
        show_default=True,
        type=click.IntRange(0),
        help="List at most this many causes of a delta, the strongest.",
    )
    least = rbp_min_option(
        "List the causes (SAMVAR_RBP) of each delta of at least this size; above 1 lists none and "
        "is faster."
    )
    distance = distance_option(5000, "Compare splice sites up to this far from the variant.")
    for option in (event_options, most, least, extent, mask, distance, model_option):
        command = option(command)
    return command


def opinion_options(command):
    """Second opinions on causes."""
    binding = click.option(
        "--binding",
        metavar="default|FOLDER",
        help="Also tell, of each RBP that it knows, how far a model of in-vivo binding sees the "
        "site change (BIND): the one that comes with samvar, or that of samvar train binding.",
    )
    peaks = click.option(
        "--peaks",
        metavar="FOLDER|FILE",
        type=click.Path(exists=True),
        help="Also tell in which cell lines a peak of the RBP lies at the site (PEAK): CLIP peaks "
        "as narrowPeak or BED, named PROTEIN_CELL, or ENCODE's with their metadata.tsv. They must "
        "be of the FASTA's genome build.",
    )
    return binding(peaks(command))


@contextmanager
def opinions_of(binding: str | None, peaks: str | None, genome: Genome) -> Iterator:
    """The second opinions that are asked for; None where none are."""
    if not binding and not peaks:
        yield None
        return
    from ..opinions import load_opinions

    with ExitStack() as stack:
        opinions = load_opinions(binding, peaks, genome)
        yield stack.enter_context(opinions) if opinions else None


def check_plot(figure: str, needed: bool = True) -> None:
    """Raises UsageError where the name of a figure has no suffix to go by, SamvarError without
    matplotlib where that is `needed`."""
    from ..views.scene import need_matplotlib

    if not figure.endswith((".svg", ".png")):
        raise click.UsageError(f"--figure {figure}: the name must end in .svg or .png")
    if needed:
        need_matplotlib()
