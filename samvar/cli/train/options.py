"""What the commands of `samvar train` share."""

from __future__ import annotations

import os

import click

from ..options import NumberRange, device_option, say, threads_option, user_errors

several_fastas = click.option(
    "-f",
    "--fasta",
    "fastas",
    metavar="FILE",
    multiple=True,
    required=True,
    help="Genome: FASTA, plain or compressed with bgzip. For several genomes repeat -f and -a.",
)


several_annotations = click.option(
    "-a",
    "--annotation",
    "annotations",
    metavar="FILE",
    multiple=True,
    required=True,
    help="Genes of that genome, in any format that `samvar annotate` reads.",
)


data_option = click.option(
    "-d",
    "--data",
    metavar="FILE",
    required=True,
    help="The packed dataset, made by `samvar train prepare`.",
)


def in_pairs(fastas, annotations) -> list[tuple[str, str]]:
    if len(fastas) != len(annotations):
        raise click.UsageError("give one -a for every -f, in the same order")
    return list(zip(fastas, annotations))


def training_options(command):
    return run_options([data_option])(command)


def run_options(inputs):
    """What every run of a recipe takes. `inputs`: the options that say what it is trained on."""

    def add(command):
        return _run_options(command, inputs)

    return add


def _run_options(command, inputs):
    for option in reversed(
        [
            click.argument("recipe", type=click.Path(exists=True, dir_okay=False)),
            *inputs,
            click.option(
                "-o",
                "--output",
                metavar="FOLDER",
                required=True,
                help="Folder for the run: it gets the checkpoint, the weights and metrics.tsv.",
            ),
            click.option(
                "--resume",
                is_flag=True,
                help="Continue from the checkpoint in the folder, if there is one.",
            ),
            click.option(
                "--minutes",
                metavar="MINUTES",
                type=NumberRange(0, min_open=True),
                help="Write a checkpoint and stop after this time [default: train to the end].",
            ),
            threads_option,
            click.option(
                "--deterministic",
                is_flag=True,
                help="Make runs on a GPU repeatable to the last bit; this is slower.",
            ),
            device_option,
            user_errors,
        ]
    ):
        command = option(command)
    return command


def use_deterministic() -> None:
    """Have runs on a GPU be repeatable to the last bit."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def run_training(
    kind: str, recipe, data, output, resume, minutes, deterministic, device, **more
) -> None:
    from ...files import check_folder_writable
    from ...model.device import device_of
    from ...training.checkpoint import Checkpoint
    from ...training.cnn import CnnTask
    from ...training.dataset import Dataset
    from ...training.learnt import BranchPointsTask, LearntMotifsTask
    from ...training.loop import Task, ranks, train
    from ...training.lssi import LssiTask
    from ...training.recipe import (
        BranchPointRecipe,
        CnnRecipe,
        LssiRecipe,
        MotifRecipe,
        SamRecipe,
        load_recipe,
    )
    from ...training.sam import SamTask

    if deterministic:
        use_deterministic()
    check_folder_writable(output)
    settings: LssiRecipe | CnnRecipe | MotifRecipe | BranchPointRecipe | SamRecipe
    if kind == "lssi":
        settings = load_recipe(recipe, LssiRecipe)
    elif kind == "cnn":
        settings = load_recipe(recipe, CnnRecipe)
    elif kind == "motifs":
        settings = load_recipe(recipe, MotifRecipe)
    elif kind == "branch_points":
        settings = load_recipe(recipe, BranchPointRecipe)
    else:
        settings = load_recipe(recipe, SamRecipe)
    packed = Dataset.load(data)
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    where = device_of(device)
    with ranks(where) as (rank, _):
        fresh = not (resume and Checkpoint.exists(output))
        task: Task
        if isinstance(settings, LssiRecipe):
            task = LssiTask(packed, settings, where, rank=rank, **more)
        elif isinstance(settings, CnnRecipe):
            task = CnnTask(packed, settings, where, rank=rank)
        elif isinstance(settings, MotifRecipe):
            task = LearntMotifsTask(packed, settings, where, rank=rank, **more)
        elif isinstance(settings, BranchPointRecipe):
            task = BranchPointsTask(packed, settings, where, rank=rank, **more)
        else:
            task = SamTask(kind, packed, settings, where, rank=rank, fresh=fresh, **more)
        train(task, settings, output, where, resume, minutes, say)
