"""Windows around exons and their edited versions: what a teacher is asked about.

A *family* is a stretch of a gene and edited versions of it. The same splice sites are followed
through all versions, so
that the change of their log-odds from one version to another can be taught. Edits lie near splice
sites and are small:
teachers go wrong far from real sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..errors import DatasetError
from .dataset import ACCEPTOR, DONOR, UNKNOWN, Dataset
from .recipe import TeachRecipe

SPARE = 64  # bases beyond the window, so that deletions have something to move up
INTRON_SIDE, EXON_SIDE = 60, 120  # bases on either side of a site that may be edited
LONGEST_EXON = 480  # of which a window shows both ends
LEAST_ZONE = (
    60  # known bases that may be edited, where there are fewer a family has no edited versions
)
OFF_CORE = 8  # bases from a followed site within which longer edits leave what is there
FAR = 1 << 40  # bases: beyond every gene
SITE, NO_SITE = 0.1, 0.01  # affinity, relative to the best sequence's, of a site, and of none
TRIES = 8  # replacements of as many bases
EDGE = 20  # sites nearer to the end of the scored stretch are not followed


class Site(NamedTuple):
    """A splice site of a version: its kind (ACCEPTOR or DONOR) and index in `Version.codes`, None
    where it is gone."""

    kind: int
    at: int | None


@dataclass(frozen=True)
class Version:
    """One sequence of a family, in transcript orientation.

    codes  (left + W + right + spare,) uint8: 0-3 A C G T, 4 unknown
    sites  the followed sites, the same ones in the same order in every version of a family
    """

    codes: np.ndarray
    sites: tuple[Site, ...]

    def substituted(self, at: np.ndarray, bases: np.ndarray) -> Version:
        """With other bases at these indices."""
        codes = self.codes.copy()
        codes[at] = bases
        return replace(self, codes=codes)

    def spliced(self, start: int, end: int, bases: np.ndarray) -> Version:
        """With codes[start:end] replaced by `bases`, of any length; sites within a replaced stretch
        are gone."""
        codes = np.concatenate((self.codes[:start], bases, self.codes[end:]))
        moved = tuple(
            site._replace(at=_moved(site.at, start, end, len(bases))) for site in self.sites
        )
        return replace(self, codes=codes, sites=moved)


def _moved(at: int | None, start: int, end: int, n: int) -> int | None:
    if at is None or at < start:
        return at
    return None if at < end else at + n - (end - start)


@dataclass(frozen=True)
class Family:
    """An unedited version, edited ones, and the indices of the unedited codes that edits may
    touch."""

    versions: tuple[Version, ...]
    gene: int
    start: int  # of the scored stretch, 0-based in the gene


class FamilySampler:
    """Families of the genes of a split; family i depends on (recipe, i) alone."""

    def __init__(self, data: Dataset, recipe: TeachRecipe, context: int):
        self.data, self.recipe, self.context = data, recipe, context
        self.genes = data.genes(recipe.split)
        if not len(self.genes):
            raise DatasetError(f"the dataset has no {recipe.split} genes")
        self.exons = list(_exons(data, self.genes))
        if not self.exons:
            lacking = f"the {recipe.split} genes of the dataset have no splice site"
            if recipe.effects or recipe.single:
                raise DatasetError(f"{lacking}, which effects and single edits are beside")
            if recipe.anywhere + recipe.antisense < 1:
                raise DatasetError(
                    f"{lacking} to lay windows around: take anywhere + antisense = 1.0"
                )
        self.sites = {kind: _sites(data, self.genes, kind) for kind in (ACCEPTOR, DONOR)}
        self.cumulative = np.cumsum(np.diff(data.offsets)[self.genes])
        self.consensus = [m.argmax(1).astype(np.uint8) for m in data.motifs.get("psam", ())]
        self.affinities = [
            Affinity.of(data.motifs, r) for r in np.unique(data.motifs.get("rbp", ()))
        ]

    def family(self, number: int) -> Family:
        """The unedited version first. Windows anywhere, and antisense ones, have no edited
        versions."""
        rng = np.random.default_rng([self.recipe.seed, number])
        r = self.recipe
        which = rng.random()
        if which < r.anywhere + r.antisense:
            return self._anywhere(rng, antisense=which >= r.anywhere)
        exon = self.exons[rng.integers(len(self.exons))]
        start = exon.middle - r.width // 2 + int(rng.integers(-r.jitter, r.jitter + 1))
        plain = self._version(exon.gene, start)
        zone = self._zone(plain, exon, start)
        if len(zone) < LEAST_ZONE:
            return Family((plain,), exon.gene, start)
        edit = self.single_edits if r.single else self.edited
        return Family((plain, *edit(rng, plain, zone)), exon.gene, start)

    def _version(self, gene: int, start: int) -> Version:
        width, context = self.recipe.width, self.context
        codes, labels = self.data.window(gene, start - context, start + width + context + SPARE)
        inside = np.flatnonzero((labels == ACCEPTOR) | (labels == DONOR))
        inside = inside[(inside >= context + EDGE) & (inside < context + width - EDGE)]
        return Version(codes, tuple(Site(int(labels[i]), int(i)) for i in inside))

    def _anywhere(self, rng: np.random.Generator, antisense: bool) -> Family:
        at = rng.integers(self.cumulative[-1])
        i = int(np.searchsorted(self.cumulative, at, "right"))
        start = int(at - (self.cumulative[i - 1] if i else 0)) - self.recipe.width // 2
        version = self._version(self.genes[i], start)
        if antisense:
            codes = version.codes[::-1]
            version = Version(np.where(codes == UNKNOWN, codes, 3 - codes), ())
        return Family((version,), int(self.genes[i]), start)

    def _zone(self, plain: Version, exon: Exon, start: int) -> np.ndarray:
        """Indices of the known codes near the exon's sites."""
        near = np.zeros(len(plain.codes), bool)
        shift = self.context - start
        if exon.acceptor is not None:
            at, end = exon.acceptor + shift, (exon.donor or exon.acceptor + EXON_SIDE) + shift
            near[at - INTRON_SIDE : min(at + EXON_SIDE, end + 1)] = True
        if exon.donor is not None:
            at, first = exon.donor + shift, (exon.acceptor or exon.donor - EXON_SIDE) + shift
            near[max(at - EXON_SIDE, first) : at + INTRON_SIDE + 1] = True
        near[: self.context] = near[self.context + self.recipe.width :] = False
        return np.flatnonzero(near & (plain.codes != UNKNOWN))

    # ----------------------------------------------------------------------------------------------

    def edited(self, rng: np.random.Generator, plain: Version, zone: np.ndarray) -> list[Version]:
        """`recipe.versions` edited versions, each by one kind of edit drawn by its share."""
        r = self.recipe
        kinds = {
            self._substitutions: r.substitutions,
            self._stretch: r.stretches,
            self._planted: r.planted,
            self._indel: r.indels,
            self._recombined: r.recombined,
            self._exchanged: r.exchanged,
            self._knocked: r.knocked,
        }
        shares = np.array(list(kinds.values()))
        chosen = rng.choice(len(kinds), r.versions, p=shares / shares.sum())
        return [list(kinds)[k](rng, plain, zone) for k in chosen]

    def single_edits(
        self, rng: np.random.Generator, plain: Version, zone: np.ndarray
    ) -> list[Version]:
        """Single substitutions, `recipe.versions` of them, spread evenly over the regions of the
        zone."""
        by_region: dict[str, list[int]] = {}
        for at in zone:
            by_region.setdefault(region(plain, int(at)), []).append(int(at))
        out = []
        for k in range(self.recipe.versions):
            places = by_region[sorted(by_region)[k % len(by_region)]]
            at = places[rng.integers(len(places))]
            out.append(plain.substituted(np.array([at]), _others(rng, plain.codes[[at]])))
        return out

    def _substitutions(self, rng, plain: Version, zone: np.ndarray) -> Version:
        """One to `most_substitutions` single bases, few more often than many."""
        n = int(2 ** rng.uniform(0, np.log2(self.recipe.most_substitutions + 1)))
        at = rng.choice(zone, n, replace=False)
        return plain.substituted(at, _others(rng, plain.codes[at]))

    def _stretch(self, rng, plain: Version, zone: np.ndarray) -> Version:
        """Four to ten neighbouring bases replaced at random: what stood there is knocked out."""
        at = int(rng.choice(zone)) + np.arange(int(rng.integers(4, 11)))
        at = at[np.isin(at, zone)]
        return plain.substituted(at, rng.integers(0, 4, len(at)).astype(np.uint8))

    def _planted(self, rng, plain: Version, zone: np.ndarray) -> Version:
        """The best sequence of a random motif, in the place of as many bases."""
        word = self.consensus[rng.integers(len(self.consensus))]
        at = int(rng.choice(zone)) + np.arange(len(word))
        inside = np.isin(at, zone)
        return plain.substituted(at[inside], word[inside])

    def _indel(self, rng, plain: Version, zone: np.ndarray) -> Version:
        """One to twelve bases deleted, or inserted."""
        at, n = int(rng.choice(zone)), int(2 ** rng.uniform(0, np.log2(13)))
        if rng.random() < 0.5:
            return plain.spliced(at, at + n, plain.codes[:0])
        return plain.spliced(at, at, rng.integers(0, 4, n).astype(np.uint8))

    def _recombined(self, rng, plain: Version, zone: np.ndarray) -> Version:
        """Twenty to sixty bases of the zone become those of another exon's zone, core sites
        apart."""
        other = self.exons[rng.integers(len(self.exons))]
        n = int(rng.integers(20, 61))
        theirs, labels = self.data.window(
            other.gene, other.middle - n // 2, other.middle - n // 2 + n
        )
        at = int(rng.choice(zone)) + np.arange(n)
        free = np.isin(at, zone) & (theirs != UNKNOWN) & (labels == 0) & _off_core(plain, at)
        return plain.substituted(at[free], theirs[free])

    def _exchanged(self, rng, plain: Version, zone: np.ndarray) -> Version:
        """Twenty to sixty bases of the zone become those that lie likewise beside a site of the
        same kind in another exon, up to the next site in either: exonic ones for exonic ones,
        intronic for intronic. Core sites stay. Without a followed site a piece is recombined."""
        if not plain.sites:
            return self._recombined(rng, plain, zone)
        n = int(rng.integers(20, 61))
        at = int(rng.choice(zone)) + np.arange(n)
        site = nearest(plain, int(at[n // 2]))
        assert site.at is not None  # in an unedited version
        others = self.sites[site.kind]
        gene, place = others[rng.integers(len(others))].tolist()
        start = place + int(at[0]) - site.at
        first = min(start, place) - OFF_CORE
        codes, labels = self.data.window(gene, first, max(start + n, place) + OFF_CORE + 1)
        theirs = codes[start - first : start - first + n]
        their_sites = first + np.flatnonzero((labels == ACCEPTOR) | (labels == DONOR))
        free = np.isin(at, zone) & (theirs != UNKNOWN) & _off_core(plain, at)
        free &= _before_others(at, site.at, np.array([s.at for s in plain.sites]))
        free &= _before_others(start + np.arange(n), place, their_sites)
        return plain.substituted(at[free], theirs[free])

    def _knocked(self, rng, plain: Version, zone: np.ndarray) -> Version:
        """The sites of an RBP in the zone get other bases, as few as do, so that its affinity there
        is gone; core sites stay. The RBP is drawn among those that lose a site; where none does,
        a stretch is replaced."""
        free = zone[_off_core(plain, zone)]
        for i in rng.permutation(len(self.affinities)):
            codes = self.affinities[i].knocked_out(rng, plain.codes, free)
            if codes is not None:
                return replace(plain, codes=codes)
        return self._stretch(rng, plain, zone)


@dataclass(frozen=True)
class Affinity:
    """What one RBP binds, by its matrices.

    psam    (K, 11, 5): affinities relative to the best base, 0 of an unknown one
    weight  (K,): of each matrix's best sequence, relative to the best of all
    """

    psam: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, motifs: dict[str, np.ndarray], rbp: int) -> Affinity:
        """Of an RBP of a dataset (`Dataset.motifs`)."""
        own = motifs["rbp"] == rbp
        psam = np.pad(motifs["psam"][own], ((0, 0), (0, 0), (0, 1)))
        return cls(psam, motifs["a0"][own] / motifs["a0"][own].max())

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """(L,) -> (L - 10,): affinity to the 11 bases from each index on, relative to the best
        sequence's."""
        width = self.psam.shape[1]
        words = np.lib.stride_tricks.sliding_window_view(codes, width)
        return self.weight @ self.psam[:, np.arange(width), words].prod(2)

    def knocked_out(
        self, rng: np.random.Generator, codes: np.ndarray, free: np.ndarray
    ) -> np.ndarray | None:
        """(L,) codes with other bases at some of the indices `free`, so that no site that has any
        of them is left, nor a new one is made; a site stays where that cannot be done. None where
        nothing is changed."""
        width, changed = self.psam.shape[1], codes
        first = max(int(free.min(initial=len(codes))) - width + 1, 0)
        near = codes[first : int(free.max(initial=0)) + width]
        if len(near) < width:
            return None
        for at in first + np.flatnonzero(self(near) >= SITE):
            places = free[(free >= at) & (free < at + width)]
            if self(changed[at : at + width])[0] >= SITE:
                changed = self._without_site(rng, changed, int(at), places)
        return None if changed is codes else changed

    def _without_site(
        self, rng: np.random.Generator, codes: np.ndarray, at: int, places: np.ndarray
    ) -> np.ndarray:
        """Codes with other bases at some of `places`, few before many, whose affinity at index `at`
        is gone and is nowhere raised to more than that; `codes` where none of the tries is so."""
        near = slice(max(at - self.psam.shape[1] + 1, 0), at + 2 * self.psam.shape[1] - 1)
        allowed = self(codes[near]).clip(NO_SITE)
        allowed[at - near.start] = NO_SITE
        for n in range(1, len(places) + 1):
            for _ in range(TRIES):
                changed = codes.copy()
                where = rng.choice(places, n, replace=False)
                changed[where] = _others(rng, codes[where])
                if (self(changed[near]) <= allowed).all():
                    return changed
        return codes


def _off_core(plain: Version, at: np.ndarray) -> np.ndarray:
    """Which of these indices are more than OFF_CORE bases from every followed site."""
    sites = np.array([site.at for site in plain.sites])
    return (np.abs(at[:, None] - sites) > OFF_CORE).all(1)


def _before_others(at: np.ndarray, site: int, sites: np.ndarray) -> np.ndarray:
    """Which of these indices lie about a site, more than OFF_CORE bases before the next of all
    `sites` on either side."""
    low = sites[sites < site].max(initial=-FAR) + OFF_CORE
    high = sites[sites > site].min(initial=FAR) - OFF_CORE
    return (at > low) & (at < high)


def _others(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """Another base in the place of each."""
    return ((codes + rng.integers(1, 4, len(codes))) % 4).astype(np.uint8)


# ----------------------------------------------------------------------------------------------- ex

REGIONS = ("core", "ppt", "branch_point", "exonic", "intronic")


def nearest(plain: Version, at: int) -> Site:
    """The followed site that is nearest to an index."""
    return min(plain.sites, key=lambda site: abs(site.at - at))


def region(plain: Version, at: int) -> str:
    """Region of index `at` by its nearest site: core (donor -3..+6, acceptor -3..+3), ppt
    (-20..-4), branch_point
    (-44..-21), exonic, intronic."""
    near = nearest(plain, at)
    if near.kind == DONOR:
        into = at - near.at  # 1: first intronic base
        if -3 < into <= 6:
            return "core"
        return "intronic" if into > 0 else "exonic"
    before = near.at - at  # 1: last intronic base
    if -3 < before <= 3:
        return "core"
    if before <= 0:
        return "exonic"
    return "ppt" if before <= 20 else "branch_point" if before <= 44 else "intronic"


@dataclass(frozen=True)
class Exon:
    """0-based positions in a gene of an exon's first and last base; None where that end is none of
    a splice site's, or
    the exon is too long to be shown whole."""

    gene: int
    acceptor: int | None
    donor: int | None

    @property
    def middle(self) -> int:
        ends = [end for end in (self.acceptor, self.donor) if end is not None]
        return sum(ends) // len(ends)


def _sites(data: Dataset, genes: np.ndarray, kind: int) -> np.ndarray:
    """(n, 2): gene, and 0-based position in it, of every site of a kind."""
    found = [np.empty((0, 2), np.int64)]
    for gene in genes:
        at = np.flatnonzero(data.labels[data.offsets[gene] : data.offsets[gene + 1]] == kind)
        found.append(np.stack((np.full(len(at), gene), at), 1))
    return np.concatenate(found)


def _exons(data: Dataset, genes: np.ndarray):
    for gene in genes:
        low, high = data.offsets[gene], data.offsets[gene + 1]
        labels = data.labels[low:high]
        sites = np.flatnonzero((labels == ACCEPTOR) | (labels == DONOR))
        kinds = labels[sites]
        for i, (at, kind) in enumerate(zip(sites.tolist(), kinds.tolist())):
            if kind == ACCEPTOR:
                whole = (
                    i + 1 < len(sites)
                    and kinds[i + 1] == DONOR
                    and sites[i + 1] - at <= LONGEST_EXON
                )
                yield Exon(int(gene), at, int(sites[i + 1]) if whole else None)
            elif i == 0 or kinds[i - 1] == DONOR or at - sites[i - 1] > LONGEST_EXON:
                yield Exon(int(gene), None, at)
