"""How sure a score is, by the likelihood ratios that come with the bundle. No ACMG code is claimed,
and nothing is called harmless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..genomics.window import Window
from ..model.evidence import Evidence, Group, Measure, Range, Ranges
from ..scoring.consequence import Consequence, lost_elsewhere
from ..scoring.deltas import Deltas
from ..scoring.groups import group_of

UNMEASURED = dict(ratio=None, lower=None, upper=None)


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
        about = f"{self.measure.value} {self.value:.2f}, {self.group.value}: "
        values = f"values from {r.low:g} to {r.high:g}"
        if not r.measured:
            return f"{about}no variants with {values} were measured."
        none = "no level of evidence is reached" if self.ranges.enough else self.ranges.too_few
        same = " It is the same prediction once more: the level of SAMVAR_MAX counts, not this one."
        return (
            f"{about}{values} have a likelihood ratio of {r.ratio:.2g} ({r.lower:.2g} to "
            f"{r.upper:.2g}) for an effect on splicing (measured variants: {r.changing} with one, "
            f"{r.others} without): {self.level or none}.{same * (self.measure is Measure.PROB)}"
        )


def sureness(
    evidence: Evidence | None,
    window: Window,
    deltas: Deltas,
    consequences: Sequence[Consequence],
) -> Iterator[Sureness]:
    """Of the largest delta in a gene, and of the strongest event of its first transcript, unless
    the site that changes is one of other transcripts alone."""
    if evidence is None:
        return
    group = group_of(window.variant, [window.gene])
    largest = float(deltas.values.max())
    values = {Measure.MAX: largest}
    if not lost_elsewhere(deltas, window.gene, consequences):
        values[Measure.PROB] = next((c.strongest for c in consequences), 0.0)
    for measure, value in values.items():
        ranges = evidence.ranges.get((measure, group))
        if ranges:
            yield Sureness(measure, group, value, ranges.of(value), ranges)


def to_dicts(found: Iterable[Sureness]) -> list[dict]:
    """For JSON; ratio and interval None where no variants were measured."""
    return [
        dict(
            measure=s.measure.value,
            group=s.group.value,
            value=s.value,
            **s.range._asdict() | ({} if s.range.measured else UNMEASURED),
            level=s.level or None,
        )
        for s in found
    ]
