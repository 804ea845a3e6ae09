"""What a page says of its origin: model, files, date, and how far the model can be trusted, by the
card of its bundle."""

from __future__ import annotations

import datetime
import os
from typing import NamedTuple

from .. import __version__
from ..genomics.genes import Annotation
from ..genomics.genome import Genome
from ..model.bundle import Bundle, metrics_of

LIMITS = "## Limits"  # heading in CARD.md


def today() -> str:
    """The date, as a page has it."""
    return datetime.date.today().isoformat()


class Trial(NamedTuple):
    """A set of variants that the model was tested on, none of which it was trained on: how many,
    how many with an effect, and the area under the ROC curve with its 95 % interval."""

    name: str
    n: int
    positive: int
    auroc: float
    interval: tuple[float, float]


class About(NamedTuple):
    """Origin of what a page shows.

    limits    of the model, sentences of its card
    accuracy  percent of the validation set's sites that it finds, with its motif sites and without;
              None where the card does not tell
    trials    the sets of variants that it was tested on
    names     all that it can name as a cause: core sites and motifs
    """

    model: str
    seeds: tuple[int, ...]
    sha256: str
    reference: str
    annotation: str
    version: str
    date: str
    limits: tuple[str, ...]
    accuracy: tuple[float, float] | None
    trials: tuple[Trial, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Bundle, genome: Genome, annotation: Annotation) -> About:
        metrics = metrics_of(bundle.folder)
        return cls(
            f"{bundle.name} {bundle.kind.upper()}",
            tuple(bundle.seeds),
            bundle.sha256,
            genome.name,
            annotation.name,
            __version__,
            today(),
            tuple(_limits(bundle.folder)),
            _accuracy(metrics, bundle.kind),
            tuple(_trials(metrics, bundle.kind)),
            bundle.layout.names,
        )


def _limits(folder: str) -> list[str]:
    """The points below `LIMITS` in the bundle's card; none without a card."""
    path = os.path.join(folder, "CARD.md")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as handle:
        section = handle.read().partition(LIMITS)[2].partition("\n## ")[0]
    return [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]


def _accuracy(metrics: dict, kind: str) -> tuple[float, float] | None:
    with_motifs = metrics.get(f"validation, {kind}", {}).get("topk_mean")
    without = metrics.get(f"validation, {kind} without motif sites", {}).get("topk_mean")
    return None if with_motifs is None or without is None else (with_motifs, without)


def _trials(metrics: dict, kind: str) -> list[Trial]:
    """Of every set whose scores are this kind's, but for those with other options."""
    return [
        Trial(name, row["n"], row["positive"], *_area(row["auroc"]))
        for name, row in metrics.items()
        if "auroc" in row and row["kind"] == kind and "--" not in name
    ]


def _area(value: list[float]) -> tuple[float, tuple[float, float]]:
    area, low, high = value
    return area, (low, high)
