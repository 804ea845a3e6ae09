"""The command line: options in, one library call each, errors turned into messages and exit codes."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys

import click

from . import __version__
from .errors import SamvarError

EXIT_ERROR, EXIT_INTERRUPT = 1, 130


def _say(message: str) -> None:
    click.echo(message, err=True)


def user_errors(command):
    """Errors as one line on stderr and exit 1; Ctrl-C as exit 130; a closed pipe ends quietly."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def wrapped(*args, debug: bool, **kwargs):
        try:
            return command(*args, **kwargs)
        except (SamvarError, OSError, KeyboardInterrupt) as e:
            if debug:
                raise
            if isinstance(e, BrokenPipeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(128 + signal.SIGPIPE)
            if isinstance(e, KeyboardInterrupt):
                _say("samvar: interrupted")
                sys.exit(EXIT_INTERRUPT)
            _say(f"samvar: error: {e}")
            sys.exit(EXIT_ERROR)

    return wrapped


fasta_option = click.option("-f", "--fasta", required=True, help="Reference genome: FASTA, plain or bgzipped.")
annotation_option = click.option(
    "-a", "--annotation", required=True, help="Genes: GTF, GFF3, BED12 + gene, SpliceAI or canonical table; gzip or not."
)
device_option = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
model_option = click.option(
    "--model", "model_name", default="default", show_default=True,
    help="Weight bundle: a bundled name or a folder; NAME:fm for its fixed-motif model.",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="samvar")
def main() -> None:
    """What a variant does to splicing, and which RNA-binding-protein sites it does it through."""


# -------------------------------------------------------------------------------------------------------- train


@main.group()
def train() -> None:
    """Rebuild the weights: prepare, lssi, fm, am, evaluate, bundle."""


@train.command()
@click.option("-f", "--fasta", "fastas", multiple=True, required=True, help="Genome; repeat with its -a for several.")
@click.option("-a", "--annotation", "annotations", multiple=True, required=True, help="Genes of the genome given with it.")
@click.option("--motifs", help="Folder of RBP affinity files (RBPamp); needed for fm and am.")
@click.option("--validation", default="chr1,chr3", show_default=True, help="Chromosomes of validation genes.")
@click.option("--test", default="chr5,chr7", show_default=True, help="Chromosomes of test genes, which are not packed.")
@click.option("--held-out", type=click.Path(exists=True), help="File of gene names that must not be used.")
@click.option("-o", "--output", required=True, help="The packed dataset (.npz).")
@user_errors
def prepare(fastas, annotations, motifs, validation, test, held_out, output) -> None:
    """Genomes and annotations to one packed dataset."""
    from .training.prepare import prepare as run

    if len(fastas) != len(annotations):
        raise click.UsageError("give one -a for every -f, in the same order")
    names = set(open(held_out).read().split()) if held_out else set()
    split = lambda text: {c for c in text.split(",") if c}  # noqa: E731
    data = run(list(zip(fastas, annotations)), split(validation), split(test), names, motifs, _say)
    data.save(output + ".part")
    os.replace(output + ".part", output)


def training_options(command):
    for option in reversed(
        [
            click.argument("recipe", type=click.Path(exists=True, dir_okay=False)),
            click.option("-d", "--data", required=True, help="Packed dataset of `samvar train prepare`."),
            click.option("-o", "--output", required=True, help="Folder of the run: checkpoint, weights, metrics.tsv."),
            click.option("--resume", is_flag=True, help="Go on from the checkpoint in the folder, if there is one."),
            click.option("--minutes", type=float, help="Stop, with a checkpoint, after so long."),
            click.option("--threads", type=int, help="CPU threads."),
            click.option("--deterministic", is_flag=True, help="Bit-identical on CUDA too (slower)."),
            device_option,
            user_errors,
        ]
    ):
        command = option(command)
    return command


def _train(kind: str, recipe, data, output, resume, minutes, threads, deterministic, device, **more) -> None:
    import torch

    from .training.dataset import Dataset
    from .training.loop import ranks, train as run
    from .training.lssi import LssiTask
    from .training.recipe import LssiRecipe, SamRecipe, load_recipe
    from .training.sam import SamTask

    if threads:
        torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    settings = load_recipe(recipe, LssiRecipe if kind == "lssi" else SamRecipe)
    packed = Dataset.load(data)
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    where = torch.device(device)
    with ranks(where) as (rank, _):
        fresh = not (resume and os.path.exists(os.path.join(output, "checkpoint.pt")))
        if kind == "lssi":
            task = LssiTask(packed, settings, where, rank)
        else:
            task = SamTask(kind, packed, settings, where, rank=rank, fresh=fresh, **more)
        run(task, settings, output, where, resume, minutes, _say)


@train.command()
@training_options
def lssi(**options) -> None:
    """Train the core acceptor and donor models by RECIPE (TOML)."""
    _train("lssi", **options)


@train.command()
@training_options
@click.option("--lssi", required=True, help="Folder of a finished `samvar train lssi`.")
def fm(**options) -> None:
    """Train the model of fixed motifs by RECIPE (TOML)."""
    _train("fm", **options)


@train.command()
@training_options
@click.option("--lssi", required=True, help="Folder of a finished `samvar train lssi`.")
@click.option("--start-from", help="Folder of an FM run of the same width to start from.")
def am(**options) -> None:
    """Train the model of adjusted motifs by RECIPE (TOML)."""
    _train("am", **options)


if __name__ == "__main__":
    main()
