"""What the commands of `samvar train` share."""

from __future__ import annotations

import os

import click

from ..options import device_option, say, threads_option, user_errors

several_fastas = click.option(
    "-f",
    "--fasta",
    "fastas",
    multiple=True,
    required=True,
    help="Genome; repeat, each with its -a, for several.",
)


several_annotations = click.option(
    "-a", "--annotation", "annotations", multiple=True, required=True, help="Genes of that genome."
)


def in_pairs(fastas, annotations) -> list[tuple[str, str]]:
    if len(fastas) != len(annotations):
        raise click.UsageError("give one -a for every -f, in the same order")
    return list(zip(fastas, annotations))


def training_options(command):
    for option in reversed(
        [
            click.argument("recipe", type=click.Path(exists=True, dir_okay=False)),
            click.option(
                "-d", "--data", required=True, help="Packed dataset of `samvar train prepare`."
            ),
            click.option(
                "-o",
                "--output",
                required=True,
                help="Folder of the run: checkpoint, weights, metrics.tsv.",
            ),
            click.option(
                "--resume",
                is_flag=True,
                help="Go on from the checkpoint in the folder, if there is one.",
            ),
            click.option("--minutes", type=float, help="Stop, with a checkpoint, after so long."),
            threads_option,
            click.option(
                "--deterministic", is_flag=True, help="Bit-identical on CUDA too (slower)."
            ),
            device_option,
            user_errors,
        ]
    ):
        command = option(command)
    return command


def run_training(
    kind: str, recipe, data, output, resume, minutes, deterministic, device, **more
) -> None:
    import torch

    from ...model.device import device_of
    from ...training.dataset import Dataset
    from ...training.loop import ranks
    from ...training.loop import train as run
    from ...training.lssi import LssiTask
    from ...training.recipe import LssiRecipe, SamRecipe, load_recipe
    from ...training.sam import SamTask

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
        run(task, settings, output, where, resume, minutes, say)
