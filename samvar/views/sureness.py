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
        """In words, of the largest delta."""
        r = self.range
        like = (
            f"variants like this one ({self.group.value}, largest change {r.low:g} to {r.high:g})"
        )
        if not r.measured:
            return f"no {like} have been tested."
        return (
            f"of tested {like} {r.changing} changed splicing and {r.others} did not. Likelihood "
            f"ratio of an effect {r.ratio:.2g} (95 % interval {r.lower:.2g} to {r.upper:.2g}): "
            f"{self._evidence}."
        )

    @property
    def _evidence(self) -> str:
        if self.level:
            strength, way = self.level.split()
            return f"{strength} evidence {way} an effect"
        if self.ranges.enough:
            return "no level of evidence"
        return f"no level of evidence, since too few genes were tested ({self.ranges.genes})"


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


def in_words(found: Iterable[Sureness]) -> str:
    """Of the largest delta, "" where nothing is known. What the strongest event says is the same
    prediction once more, and is left to JSON and header."""
    return next((s.text for s in found if s.measure is Measure.MAX), "")


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
