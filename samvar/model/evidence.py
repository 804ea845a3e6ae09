"""What a score says of whether a variant changes splicing: likelihood ratios that were measured on
functionally tested variants, for one bundle's models alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from .. import files

FILE = "evidence.json"  # of a bundle: by kind of its models
LEVELS = {"strong": 18.7, "moderate": 4.33, "supporting": 2.08}  # odds, Tavtigian 2018
LEAST_GENES = 5  # with variants of either outcome, for a level to be named


class Measure(Enum):
    """The numbers that have evidence."""

    MAX = "SAMVAR_MAX"
    PROB = "PROB"  # of the strongest event


class Group(Enum):
    """Where a variant lies; each group has ranges of its own."""

    CORE_SITE = "core site"  # an SNV or MNV in what the core score of a site is made of
    EXONIC = "exonic"
    INTRONIC = "intronic"  # outside of the core sites
    INDEL = "indel"


class Range(NamedTuple):
    """Values in [low, high), the last range with its end.

    ratio     how much likelier a value there is of a variant that changes splicing; `lower` and
              `upper`, 95 % interval by drawing genes
    changing  variants in the range that were seen to change splicing, `others` that were not
    """

    low: float
    high: float
    ratio: float
    lower: float
    upper: float
    changing: int
    others: int

    @property
    def measured(self) -> bool:
        """Whether there are variants in it at all; without them the ratio says nothing."""
        return self.changing + self.others > 0


class Ranges(NamedTuple):
    """All ranges of a measure in a group, and how many genes have variants of either outcome."""

    ranges: tuple[Range, ...]
    genes_changing: int
    genes_others: int

    @property
    def enough(self) -> bool:
        """Whether there are genes enough for a level to be named."""
        return min(self.genes_changing, self.genes_others) >= LEAST_GENES

    @property
    def genes(self) -> str:
        """How many there are of the rarer outcome, and how many it takes."""
        return f"{min(self.genes_changing, self.genes_others)}; {LEAST_GENES} are needed"

    @property
    def too_few(self) -> str:
        """Why no level is named, where there are not enough."""
        return f"from too few genes for a level of evidence ({self.genes})"

    def of(self, value: float) -> Range:
        """The range of a value."""
        return next((r for r in self.ranges if value < r.high), self.ranges[-1])

    def level(self, r: Range) -> str:
        """The level that the whole interval reaches, "supporting for" or "moderate against" and so
        on; "" where it reaches none, or nothing was measured."""
        if self.enough and r.measured:
            for name, odds in LEVELS.items():
                if r.lower >= odds:
                    return f"{name} for"
                if r.upper <= 1 / odds:
                    return f"{name} against"
        return ""


@dataclass(frozen=True)
class Evidence:
    """`n` variants; the ranges of each measure and group."""

    n: int
    ranges: dict[tuple[Measure, Group], Ranges]


def evidence_of(folder: str, kind: str, sha256: str) -> Evidence | None:
    """The evidence of the models with this `identity`, None where the folder has none of them.
    Raises ValueError or KeyError where the file is not understood."""
    content = files.read_json(os.path.join(folder, FILE)).get(kind)
    if content is None or content["sha256"] != sha256:
        return None
    ranges = {
        (Measure(measure), Group(group)): Ranges(
            tuple(Range(**r) for r in own["ranges"]), own["genes_changing"], own["genes_others"]
        )
        for measure, groups in content["measures"].items()
        for group, own in groups.items()
    }
    return Evidence(content["n"], ranges)


def to_dict(evidence: Evidence, sha256: str) -> dict[str, Any]:
    """What the file has of models with this identity."""
    measures: dict[str, dict[str, Any]] = {m.value: {} for m in Measure}
    for (measure, group), own in evidence.ranges.items():
        ranges = [r._asdict() for r in own.ranges]
        measures[measure.value][group.value] = own._asdict() | dict(ranges=ranges)
    return dict(sha256=sha256, n=evidence.n, measures=measures)
