"""Two groups of annotated variants: which RBPs, families of RBPs and core sites have larger effects
in the first?

The test of significance of Enhanced Integrated Gradients (Jha et al., Genome Biology 21:149,
2020): for each feature Welch's t-test (unequal variances) of its attributions in one group against
those in the other, one-sided, corrected for the number of features. Here a feature's value in an
allele is the largest effect that SAMVAR_RBP has of it, 0 where it is not listed. Where the paper's
code draws as many of the other group at random as the first one has, all of it is used.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from .. import info
from ..errors import VcfError
from ..formats.vcf import VcfReader
from ..formats.vcf.record import Record, split_info
from ..genomics.variant import Status
from ..model.bottleneck import ACCEPTOR_CORE, BRANCH_POINT_CORE, DONOR_CORE
from ..scoring.arrays import Floats
from ..scoring.attribution import OTHER, RESIDUAL, SPACING
from ..verify import attribute, options_of, parse, provenance
from ..views.families import family

CORE = frozenset(c.name for c in (ACCEPTOR_CORE, DONOR_CORE, BRANCH_POINT_CORE))
REST = frozenset((SPACING, OTHER, RESIDUAL))
SCORED = frozenset(s.name for s in (Status.OK, Status.LOW_CONTEXT))
LEVELS = ("rbp", "family", "core")
PRECISION = 1e-15  # of the incomplete beta function
TERMS = 10_000  # of its continued fraction, at most


class Feature(NamedTuple):
    """What is compared: one of LEVELS, and a name."""

    level: str
    name: str


@dataclass
class Moments:
    """Number, mean and sum of squared distances from it of values, as they come (Welford 1962)."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.n += 1
        before = value - self.mean
        self.mean += before / self.n
        self.squares += before * (value - self.mean)

    def among(self, total: int) -> Moments:
        """Of the same values and zeros, `total` together."""
        share = self.n / total
        return Moments(total, self.mean * share, self.squares + self.mean**2 * self.n * (1 - share))

    @property
    def variance(self) -> float:
        """Of the mean."""
        return self.squares / (self.n - 1) / self.n

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return math.sqrt(self.variance)


@dataclass
class Group:
    """A file, read allele by allele: what became of each by its status, and the effects of each
    feature in the scored alleles that have any."""

    name: str
    statuses: Counter[str] = field(default_factory=Counter)
    without_status: int = 0
    effects: dict[Feature, Moments] = field(default_factory=lambda: defaultdict(Moments))

    @classmethod
    def of(cls, name: str, records: Iterable[Record]) -> Group:
        """Raises VcfError where there is a row that is none of samvar's."""
        group = cls(name)
        for record in records:
            if record.contig:
                group._add(record)
        return group

    @property
    def scored(self) -> int:
        """Alleles with a score."""
        return sum(self.statuses[s] for s in SCORED)

    @property
    def unscored(self) -> dict[str, int]:
        """How many alleles have none, by the reason."""
        found = {s: n for s, n in sorted(self.statuses.items()) if s not in SCORED}
        without = {f"without {info.STATUS.key}": self.without_status}
        return found | (without if self.without_status else {})

    def _add(self, record: Record) -> None:
        entries = parse(split_info(record.line)[1])
        statuses = entries.get(info.STATUS.key, ".").split(",")
        if len(statuses) != len(record.alts) or "." in statuses:
            self.without_status += len(record.alts)
            return
        self.statuses.update(statuses)
        rows = entries.get(info.RBP.key, "")
        try:
            listed = _effects(rows)
        except (ValueError, KeyError) as e:
            raise VcfError(
                f"{self.name}, {record.where}: {info.RBP.key}={rows} is not as samvar annotate "
                "writes it: annotate the file again"
            ) from e
        for alt, status in zip(record.alts, statuses):
            if status in SCORED:
                for feature, effect in listed.get(info.escape(alt), {}).items():
                    self.effects[feature].add(effect)


def _effects(rows: str) -> dict[str, dict[Feature, float]]:
    """SAMVAR_RBP of a record -> for each ALT, of each feature the largest size of its effect: the
    sum over its sites, on any delta of any gene."""
    columns = info.RBP.columns()
    sums: dict[tuple[str, Feature, str, str], float] = defaultdict(float)
    for row in rows.split(",") if rows not in ("", ".") else ():
        values = dict(zip(columns, row.split("|")))  # second opinions may follow
        allele, gene, delta = (values[key] for key in ("ALLELE", "SYMBOL", "DELTA"))
        for feature in _features(unquote(values["RBP"])):
            sums[allele, feature, gene, delta] += float(values["EFFECT"])
    found: dict[str, dict[Feature, float]] = defaultdict(dict)
    for (allele, feature, *_), effect in sums.items():
        of_allele = found[allele]
        of_allele[feature] = max(of_allele.get(feature, 0.0), abs(effect))
    return found


def _features(name: str) -> Sequence[Feature]:
    """What a cause counts for."""
    if name in REST:
        return ()
    if name in CORE:
        return (Feature("core", name),)
    return Feature("rbp", name), Feature("family", family(name))


# -------------------------------------------------------------------------------------------- input


def check_alike(one: VcfReader, other: VcfReader) -> list[str]:
    """Raises VcfError where two files cannot be compared: not annotated, not by the same model, not
    with the same options, or without causes. What else differs is returned, a line each."""
    headers = [provenance(reader) for reader in (one, other)]
    both = f"{one.path} and {other.path}"
    models = [[attribute(h["model"], key) for key in ("Name", "Kind", "Sha256")] for h in headers]
    if models[0][1:] != models[1][1:]:
        names = " and ".join(f"{name}:{kind} ({sha[:8]})" for name, kind, sha in models)
        raise VcfError(
            f"{both} were annotated with different models, {names}: annotate both with the same"
        )
    params = [dict(p.partition("=")[::2] for p in h["params"].split(",")) for h in headers]
    if params[0] != params[1]:
        differ = sorted(k for k in params[0] | params[1] if params[0].get(k) != params[1].get(k))
        raise VcfError(
            f"{both} were annotated with different options ({', '.join(differ)}): annotate both "
            "with the same"
        )
    options = options_of(headers[0]["params"])
    if options.rbp_min > 1 or not options.rbp_max:
        raise VcfError(
            f"{both} were annotated without causes: annotate them with --rbp-min 0.1 or less"
        )
    return [
        f"{both} were annotated with different files of the {what}"
        for what in ("reference", "annotation")
        if attribute(headers[0][what], "Sha256") != attribute(headers[1][what], "Sha256")
    ]


# --------------------------------------------------------------------------------------------- test


class Compared(NamedTuple):
    """A feature in both groups: alleles that list it, moments of its effects over all scored
    alleles; Welch's t and its degrees of freedom, the one-sided p that effects are larger in the
    first group, and p corrected for the features of its level (nan where neither group varies)."""

    feature: Feature
    listed: tuple[int, int]
    cases: Moments
    controls: Moments
    t: float
    freedom: float
    p: float
    bonferroni: float = math.nan
    benjamini_hochberg: float = math.nan


def compare(cases: Group, controls: Group) -> list[Compared]:
    """Every feature that either group lists, by level and p. Raises VcfError where a group has
    fewer than two scored alleles."""
    for group in (cases, controls):
        if group.scored < 2:
            raise VcfError(
                f"{group.name} has {group.scored} scored alleles: a comparison needs two or more"
            )
    found = []
    for level in LEVELS:
        features = sorted(f for f in {*cases.effects, *controls.effects} if f.level == level)
        tested = [_tested(f, cases, controls) for f in features]
        tested.sort(key=lambda c: (math.isnan(c.p), c.p, c.feature))
        found += _corrected(tested)
    return found


def _tested(feature: Feature, cases: Group, controls: Group) -> Compared:
    listed = [group.effects.get(feature, Moments()) for group in (cases, controls)]
    one, other = (m.among(g.scored) for m, g in zip(listed, (cases, controls)))
    t, freedom, p = welch(one, other)
    return Compared(feature, (listed[0].n, listed[1].n), one, other, t, freedom, p)


def _corrected(tested: list[Compared]) -> list[Compared]:
    p = np.array([c.p for c in tested if not math.isnan(c.p)])
    corrected = zip(bonferroni(p).tolist(), benjamini_hochberg(p).tolist())
    varying = [
        c._replace(bonferroni=one, benjamini_hochberg=other)
        for c, (one, other) in zip(tested, corrected)
    ]
    return varying + tested[len(p) :]


def welch(one: Moments, other: Moments) -> tuple[float, float, float]:
    """Welch's t of two samples of two or more values, degrees of freedom (Welch-Satterthwaite), and
    the probability of a t as large or larger; nan where neither varies."""
    a, b = one.variance, other.variance
    if a + b == 0:
        return math.nan, math.nan, math.nan
    t = (one.mean - other.mean) / math.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / (one.n - 1) + b**2 / (other.n - 1))
    return t, freedom, t_above(t, freedom)


def t_above(t: float, freedom: float) -> float:
    """Probability that Student's t with so many degrees of freedom is above t."""
    tail = incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2
    return tail if t > 0 else 1 - tail


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):  # where the fraction of the other tail converges faster
        return 1 - incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x)) / a
    # Lentz's algorithm: value = 1 + 1 / (1 + d1 / (1 + d2 / (1 + ...)))
    value, c, d = 1.0, 1.0, 0.0
    for i in range(TERMS):
        m = i // 2
        if i == 0:
            term = 1.0
        elif i % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d)
        c = 1 + term / c
        value *= c * d
        if i and abs(c * d - 1) < PRECISION:
            break
    return front * (value - 1)


def bonferroni(p: Floats) -> Floats:
    """p values times their number, at most 1."""
    return np.minimum(p * len(p), 1.0)


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p values: the lowest false discovery rate at which each is among the discoveries
    (Benjamini & Hochberg 1995)."""
    order = np.argsort(-p, kind="stable")
    rank = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum.accumulate(p[order] * len(p) / rank).clip(max=1.0)
    return adjusted


# -------------------------------------------------------------------------------------------- table

COLUMNS = (
    "LEVEL", "NAME", "CASES", "CONTROLS", "LISTED_IN_CASES", "LISTED_IN_CONTROLS", "MEAN_CASES",
    "MEAN_CONTROLS", "SE_CASES", "SE_CONTROLS", "T", "DF", "P", "BONFERRONI", "BH",
)  # fmt: skip


def rows(found: Iterable[Compared]) -> Iterator[tuple[str, ...]]:
    """Rows of the table."""
    for c in found:
        yield (
            *c.feature,
            str(c.cases.n),
            str(c.controls.n),
            *map(str, c.listed),
            *(f"{m.mean:.6f}" for m in (c.cases, c.controls)),
            *(f"{m.error:.6f}" for m in (c.cases, c.controls)),
            _number(c.t, ".3f"),
            _number(c.freedom, ".1f"),
            *(_number(p, ".3g") for p in (c.p, c.bonferroni, c.benjamini_hochberg)),
        )


def _number(value: float, form: str) -> str:
    return "." if math.isnan(value) else format(value, form)
