"""The training loop: optimizer, schedule, checkpoints, resume, metrics, data-parallel ranks. Knows
no biology."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict
from typing import Protocol

import torch
import torch.distributed as dist
import torch.nn as nn
from tqdm import tqdm

from ..errors import RecipeError
from ..files import write
from .checkpoint import Checkpoint, plain, refuse_finished
from .recipe import Recipe


class Task(Protocol):
    """What is trained: `loss` is that of this rank's share of a step, `status` goes into the
    metrics, `state` and the weights into the checkpoint."""

    @property
    def model(self) -> nn.Module: ...

    # kind, checksums of data and of what it starts from: a checkpoint of others is refused
    identity: dict

    def start_step(self, step: int) -> None: ...
    def loss(self, step: int) -> torch.Tensor: ...
    def validate(self, step: int) -> dict[str, float]: ...
    def status(self) -> dict[str, float]: ...
    def state(self) -> dict: ...
    def load_state(self, state: dict) -> None: ...
    def finish(self) -> None: ...  # after the last step
    def save_weights(self, folder: str, step: int) -> None: ...


@contextmanager
def ranks(device: torch.device):
    """(rank, world size) of a `torchrun` job, or (0, 1)."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * done))


def from_first_rank(value: float, device: torch.device) -> float:
    """Rank 0's value on every rank."""
    if not dist.is_initialized():
        return float(value)
    shared = torch.tensor(float(value), device=device)
    dist.broadcast(shared, 0)
    return shared.item()


def average_gradients(params: list[nn.Parameter]) -> None:
    """Mean of the gradients over all ranks."""
    if dist.is_initialized():
        flat = torch.cat([p.grad.flatten() for p in params])
        dist.all_reduce(flat)
        for p, mean in zip(
            params, (flat / dist.get_world_size()).split([p.numel() for p in params])
        ):
            p.grad.copy_(mean.view_as(p.grad))


def train(
    task: Task,
    recipe: Recipe,
    folder: str,
    device: torch.device,
    resume: bool = False,
    minutes: float | None = None,
    report: Callable[[str], None] = print,
) -> bool:
    """Train until `recipe.steps`, or for `minutes`; True when all steps are done.

    `folder` receives checkpoint.pt (everything needed to go on), the weights, recipe.json and
    metrics.tsv. Raises RecipeError when `folder` holds another run, a bundle, or a checkpoint and
    `resume` was not asked for.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    report = report if rank == 0 else (lambda _: None)
    params = [p for p in task.model.parameters() if p.requires_grad]
    optimizer = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimizer](
        params, lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    identity = task.identity | dict(ranks=world)
    metrics = Metrics(os.path.join(folder, "metrics.tsv"), rank)
    os.makedirs(folder, exist_ok=True)
    progress = Progress()
    if Checkpoint.exists(folder):
        if not resume:
            raise RecipeError(
                f"{folder} holds a checkpoint: go on with --resume, or choose another folder"
            )
        saved = Checkpoint.load(folder)
        saved.check(folder, recipe, identity)
        task.model.load_state_dict(saved.model)
        optimizer.load_state_dict(saved.optimizer)
        task.load_state(saved.task)
        progress = Progress(saved.step, saved.seconds, saved.total, saved.count)
        report(f"resuming {folder} at step {progress.step}")
    else:
        refuse_finished(folder)
        if rank == 0:
            write(os.path.join(folder, "recipe.json"), json.dumps(asdict(recipe), indent=1))
    metrics.rewind(progress.step)

    def save() -> None:
        if rank == 0:
            task.save_weights(folder, progress.step)
            Checkpoint(
                step=progress.step,
                seconds=progress.seconds,
                total=progress.total,
                count=progress.count,
                recipe=plain(recipe),
                identity=identity,
                model=task.model.state_dict(),
                optimizer=optimizer.state_dict(),
                task=task.state(),
            ).save(folder)

    def validate(grad_norm: float) -> None:
        row = dict(
            step=progress.step,
            seconds=round(progress.seconds, 1),
            loss=progress.mean_loss(),
            grad_norm=grad_norm,
            lr=learning_rate(recipe, progress.step - 1),
            **task.status(),
            **task.validate(progress.step),
        )
        metrics.add(row)
        report("  ".join(f"{k} {v:.6g}" for k, v in row.items()))

    try:
        with tqdm(
            total=recipe.steps,
            initial=progress.step,
            disable=None if rank == 0 else True,
            unit="step",
        ) as bar:
            while progress.step < recipe.steps:
                loss, grad_norm = _step(task, recipe, optimizer, params, device, progress.step)
                progress.add(loss)
                bar.update()
                last = progress.step == recipe.steps
                if last:
                    task.finish()
                if last or progress.step % recipe.validate_every == 0:
                    validate(grad_norm)
                out_of_time = minutes is not None and bool(
                    from_first_rank(progress.running > 60 * minutes, device)
                )
                if last or out_of_time or progress.step % recipe.checkpoint_every == 0:
                    save()
                if out_of_time and not last:
                    report(
                        f"stopped after {minutes:g} minutes at step {progress.step} of "
                        f"{recipe.steps}; go on with --resume"
                    )
                    return False
    except KeyboardInterrupt:
        report(f"interrupted; the last checkpoint of {folder} is complete, go on with --resume")
        raise
    return True


def _step(
    task: Task,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    params: list[nn.Parameter],
    device: torch.device,
    step: int,
) -> tuple[float, float]:
    """One step of all ranks: (this rank's loss, norm of the mean gradient). Raises RecipeError
    where one of them is not finite."""
    task.start_step(step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, step)
    task.model.train()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
        loss = task.loss(step)
    loss.backward()
    average_gradients(params)
    norm = nn.utils.clip_grad_norm_(params, recipe.clip or math.inf)
    values = loss.item(), norm.item()
    if not all(map(math.isfinite, values)):
        raise RecipeError(
            f"the loss is not finite at step {step}: lower lr, or use precision = 'fp32'"
        )
    optimizer.step()
    return values


class Progress:
    """Steps done, the seconds they took, and the losses since the last validation."""

    def __init__(self, step: int = 0, seconds: float = 0.0, total: float = 0.0, count: int = 0):
        self.step, self.total, self.count = step, total, count
        self._before, self._started = seconds, time.monotonic()

    @property
    def running(self) -> float:
        """Seconds since the run was started or resumed."""
        return time.monotonic() - self._started

    @property
    def seconds(self) -> float:
        """Of all steps, earlier starts of the run included."""
        return self._before + self.running

    def add(self, loss: float) -> None:
        self.step, self.total, self.count = self.step + 1, self.total + loss, self.count + 1

    def mean_loss(self) -> float:
        """Since it was last asked for."""
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        return mean


class Metrics:
    """metrics.tsv: one row a validation, written by rank 0."""

    def __init__(self, path: str, rank: int):
        self.path, self.rank = path, rank

    def add(self, row: dict[str, float]) -> None:
        if self.rank:
            return
        new = not os.path.exists(self.path)
        with open(self.path, "a") as handle:
            if new:
                handle.write("\t".join(row) + "\n")
            handle.write(
                "\t".join(str(v) if isinstance(v, int) else f"{v:.6g}" for v in row.values()) + "\n"
            )

    def rewind(self, step: int) -> None:
        """Drop rows after `step`, which a resumed run writes again."""
        if self.rank or not os.path.exists(self.path):
            return
        with open(self.path) as handle:
            header, *rows = handle.readlines()
        kept = [r for r in rows if int(r.split("\t")[0]) <= step]
        with open(self.path, "w") as handle:
            handle.writelines([header, *kept])
