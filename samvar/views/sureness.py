"""How sure a score is, by the likelihood ratios that come with the bundle. No ACMG code is claimed,
and nothing is called harmless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..genomics.window import Window
from ..model.evidence import Evidence, Group, Measure, Range, Ranges
from ..scoring.consequence import Consequence
from ..scoring.deltas import Deltas
from ..scoring.groups import group_of


class Sureness(NamedTuple):
    """What was measured of variants of a `group` whose `measure` lies in the same `range` as
    `value`."""

    measure: Measure
    group: Group
    value: float
    range: Range
    ranges: Ranges

    @property
    def level(self) -> str:
        """Level of Tavtigian's scale that the interval reaches, "supporting for" and the like; ""
        for none."""
        return self.ranges.level(self.range)

    @property
    def text(self) -> str:
        """In words."""
        r = self.range
        none = "no level of evidence is reached" if self.ranges.enough else self.ranges.too_few
        return (
            f"{self.measure.value} {self.value:.2f}, {self.group.value}: values from {r.low:g} to "
            f"{r.high:g} have a likelihood ratio of {r.ratio:.2g} ({r.lower:.2g} to {r.upper:.2g})"
            f" for an effect on splicing (measured variants: {r.changing} with one, {r.others} "
            f"without): {self.level or none}."
        )


def sureness(
    evidence: Evidence | None,
    window: Window,
    deltas: Deltas,
    consequences: Sequence[Consequence],
) -> Iterator[Sureness]:
    """Of the largest delta in a gene, and of the strongest event of its first transcript."""
    if evidence is None:
        return
    group = group_of(window.variant, [window.gene])
    largest = float(deltas.values.max())
    strongest = next((c.strongest for c in consequences), 0.0)
    for measure, value in ((Measure.MAX, largest), (Measure.PROB, strongest)):
        ranges = evidence.ranges.get((measure, group))
        if ranges:
            yield Sureness(measure, group, value, ranges.of(value), ranges)


def to_dicts(found: Iterable[Sureness]) -> list[dict]:
    """For JSON."""
    return [
        dict(
            measure=s.measure.value,
            group=s.group.value,
            value=s.value,
            **s.range._asdict(),
            level=s.level or None,
        )
        for s in found
    ]
