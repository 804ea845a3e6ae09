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
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ..errors import RecipeError
from ..files import write
from ..model.device import rounded_fp32
from .checkpoint import Checkpoint, plain, refuse_finished
from .recipe import Recipe

NORM_BATCHES = 30  # from which norms are measured once more, where weights are averaged


class Task(Protocol):
    """What is trained: `loss` is that of this rank's share of a step, `status` goes into the
    metrics, `state` and the weights into the checkpoint."""

    @property
    def model(self) -> nn.Module: ...

    # kind, checksums of data and of what it starts from: a checkpoint of others is refused
    identity: dict

    def pace(self, name: str) -> float: ...  # of a parameter: its learning rate, over the recipe's
    def start_step(self, step: int) -> None: ...
    def loss(self, step: int) -> torch.Tensor: ...
    def validate(self, step: int) -> dict[str, float]: ...
    def status(self) -> dict[str, float]: ...
    def state(self) -> dict: ...
    def load_state(self, state: dict) -> None: ...
    def finish(self) -> None: ...  # after the last step
    def save_weights(self, folder: str, step: int) -> None: ...


class Stateless:
    """Of a task that has nothing to keep but its model, and nothing to do at the end."""

    def pace(self, name: str) -> float:
        return 1.0

    def status(self) -> dict[str, float]:
        return {}

    def state(self) -> dict:
        return {}

    def load_state(self, state: dict) -> None:
        pass

    def finish(self) -> None:
        pass


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
    """Linear warm-up, then a cosine to `recipe.lr_end`."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    fall = 0.5 * (1 + math.cos(math.pi * done))
    return recipe.lr_end + (recipe.lr - recipe.lr_end) * fall


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
    run = _Run(task, recipe, folder, device, report)
    run.begin(resume)
    try:
        return run.go_on(minutes)
    except KeyboardInterrupt:
        run.report(f"interrupted; the last checkpoint of {folder} is complete, go on with --resume")
        raise


def _groups(task: Task) -> list[dict]:
    """The trained parameters, those of one pace together, as an optimizer takes them, but for
    `pace`."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, weight in task.model.named_parameters():
        if weight.requires_grad:
            groups.setdefault(task.pace(name), []).append(weight)
    return [dict(params=params, pace=pace) for pace, params in groups.items()]


class _Run:
    """This rank's part in training a task: optimizer, progress, and on rank 0 what `folder`
    receives."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        folder: str,
        device: torch.device,
        report: Callable[[str], None],
    ) -> None:
        together = dist.is_initialized()
        rank, world = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)
        self.task, self.recipe, self.folder, self.device = task, recipe, folder, device
        self.first = rank == 0
        if recipe.precision == "tf32":
            rounded_fp32()
        self.report = report if self.first else (lambda _: None)
        self.params = [p for p in task.model.parameters() if p.requires_grad]
        groups = _groups(task)
        self.paces = [group.pop("pace") for group in groups]
        self.optimizer = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimizer](
            groups, lr=recipe.lr, weight_decay=recipe.weight_decay
        )
        self.mean = AveragedModel(task.model) if recipe.mean_from < 1 else None
        self.identity = task.identity | dict(ranks=world)
        self.metrics = Metrics(os.path.join(folder, "metrics.tsv"), rank)
        self.progress = Progress()

    def begin(self, resume: bool) -> None:
        """Where the folder's checkpoint is, if it has one, else at the first step."""
        os.makedirs(self.folder, exist_ok=True)
        if Checkpoint.exists(self.folder):
            if not resume:
                raise RecipeError(
                    f"{self.folder} holds a checkpoint: go on with --resume, or choose another "
                    "folder"
                )
            self._restore()
        else:
            refuse_finished(self.folder)
            if self.first:
                settings = json.dumps(asdict(self.recipe), indent=1)
                write(os.path.join(self.folder, "recipe.json"), settings)
        self.metrics.rewind(self.progress.step)

    def _restore(self) -> None:
        saved = Checkpoint.load(self.folder)
        saved.check(self.folder, self.recipe, self.identity)
        self.task.model.load_state_dict(saved.model)
        self.optimizer.load_state_dict(saved.optimizer)
        self.task.load_state(saved.task)
        if self.mean:
            self.mean.load_state_dict(saved.mean)
        self.progress = Progress(saved.step, saved.seconds, saved.total, saved.count)
        self.report(f"resuming {self.folder} at step {self.progress.step}")

    def go_on(self, minutes: float | None) -> bool:
        """Step by step until the last (True), or until the time is over."""
        recipe, progress = self.recipe, self.progress
        bar = tqdm(
            total=recipe.steps,
            initial=progress.step,
            disable=None if self.first else True,
            unit="step",
        )
        with bar:
            while progress.step < recipe.steps:
                loss, grad_norm = self.step()
                progress.add(loss)
                bar.update()
                if self.mean and progress.step > recipe.mean_from * recipe.steps:
                    self.mean.update_parameters(self.task.model)
                last = progress.step == recipe.steps
                if last:
                    self.finish()
                if last or progress.step % recipe.validate_every == 0:
                    self.validate(grad_norm)
                out_of_time = self._is_over(minutes)
                if last or out_of_time or progress.step % recipe.checkpoint_every == 0:
                    self.save()
                if out_of_time and not last:
                    self.report(
                        f"stopped after {minutes:g} minutes at step {progress.step} of "
                        f"{recipe.steps}; go on with --resume"
                    )
                    return False
        return True

    def _is_over(self, minutes: float | None) -> bool:
        """Whether the time is over, by the clock of rank 0."""
        return minutes is not None and bool(
            from_first_rank(self.progress.running > 60 * minutes, self.device)
        )

    def step(self) -> tuple[float, float]:
        """One step of all ranks: (this rank's loss, norm of the mean gradient). Raises RecipeError
        where one of them is not finite."""
        task, recipe, step = self.task, self.recipe, self.progress.step
        task.start_step(step)
        for group, pace in zip(self.optimizer.param_groups, self.paces):
            group["lr"] = pace * learning_rate(recipe, step)
        task.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = task.loss(step)
        loss.backward()
        average_gradients(self.params)
        norm = nn.utils.clip_grad_norm_(self.params, recipe.clip or math.inf)
        values = loss.item(), norm.item()
        if not all(map(math.isfinite, values)):
            raise RecipeError(
                f"the loss is not finite at step {step}: lower lr, or use precision = 'fp32'"
            )
        self.optimizer.step()
        return values

    def finish(self) -> None:
        """After the last step: the mean of the weights, where it is asked for, and what the task
        does."""
        if self.mean:
            self.task.model.load_state_dict(self.mean.module.state_dict())
            self._measure_norms()
        self.task.finish()

    @torch.no_grad()
    def _measure_norms(self) -> None:
        """Give the norms that are trained the statistics of the mean model: their means over
        NORM_BATCHES further steps."""
        model = self.task.model
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        momentum = [norm.momentum for norm in norms]
        model.train()
        for i in range(NORM_BATCHES if norms else 0):
            for norm in norms:
                norm.momentum = 1 / (i + 1)
            self.task.loss(self.recipe.steps + i)
        for norm, own in zip(norms, momentum):
            norm.momentum = own

    def validate(self, grad_norm: float) -> None:
        """A row of metrics."""
        progress = self.progress
        row = dict(
            step=progress.step,
            seconds=round(progress.seconds, 1),
            loss=progress.mean_loss(),
            grad_norm=grad_norm,
            lr=learning_rate(self.recipe, progress.step - 1),
            **self.task.status(),
            **self.task.validate(progress.step),
        )
        self.metrics.add(row)
        self.report("  ".join(f"{k} {v:.6g}" for k, v in row.items()))

    def save(self) -> None:
        """Weights and checkpoint, by rank 0."""
        if not self.first:
            return
        progress = self.progress
        self.task.save_weights(self.folder, progress.step)
        Checkpoint(
            step=progress.step,
            seconds=progress.seconds,
            total=progress.total,
            count=progress.count,
            recipe=plain(self.recipe),
            identity=self.identity,
            model=self.task.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            task=self.task.state(),
            mean=self.mean.state_dict() if self.mean else {},
        ).save(self.folder)


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
