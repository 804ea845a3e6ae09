"""Populations of sequences for global importance analysis: internal exons with the introns beside
them, as they are, shuffled, or drawn at random."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import SamvarError
from ..genomics.genes import Annotation
from ..genomics.genome import UNKNOWN, Genome, reverse_complement
from ..model.sam import ACCEPTOR, DONOR, LSSI_SPAN

EXON_LENGTHS = 50, 250  # bases of the exons that are drawn
POOL = 1000  # exons that a profile is counted from, at most
BACKGROUNDS = ("exons", "quartile", "shuffle", "dinucleotide", "profile")


@dataclass(frozen=True, eq=False)
class Background:
    """A sequence of a population: the codes of an exon, of `length` bases, and `edge` bases on
    either side, in transcript orientation."""

    codes: np.ndarray
    edge: int
    name: str

    @property
    def length(self) -> int:
        return len(self.codes) - 2 * self.edge

    @property
    def free(self) -> tuple[slice, slice, slice]:
        """Intron, exon and intron without the bases that the core splice-site models see."""
        (before, in_exon), (from_exon, after) = LSSI_SPAN[ACCEPTOR], LSSI_SPAN[DONOR]
        first, end = self.edge, self.edge + self.length
        return (
            slice(0, first - before),
            slice(first + in_exon + 1, end - 1 - from_exon),
            slice(end + after, len(self.codes)),
        )

    def replaced(self, made: Callable[[np.ndarray], np.ndarray]) -> Background:
        """The same with each free stretch made anew."""
        codes = self.codes.copy()
        for stretch in self.free:
            codes[stretch] = made(codes[stretch])
        return Background(codes, self.edge, self.name)


def exons(
    genome: Genome, annotation: Annotation, n: int, edge: int, least: int, rng: np.random.Generator
) -> list[Background]:
    """At most n internal exons of chosen transcripts, drawn at random, with `edge` known bases on
    either side, EXON_LENGTHS long and at least `least`. Raises SamvarError where there are none."""
    places = []
    for gene in annotation.genes:
        contig = genome.contig(gene.contig)
        for start, end in gene.chosen.exons[1:-1] if contig else ():
            if max(EXON_LENGTHS[0], least) <= end - start <= max(EXON_LENGTHS[1], least):
                places.append((contig, start, end, gene.strand))
    found: list[Background] = []
    for i in rng.permutation(len(places)):
        contig, start, end, strand = places[i]
        codes = genome.codes(contig, start - edge, end + edge)
        if not (codes == UNKNOWN).any():
            oriented = codes if strand == "+" else reverse_complement(codes)
            found.append(Background(oriented, edge, f"{contig}:{start + 1}-{end}"))
        if len(found) == n:
            break
    if not found:
        raise SamvarError(
            f"{annotation.path} has no internal exon of {max(EXON_LENGTHS[0], least)} to "
            f"{max(EXON_LENGTHS[1], least)} bases with {edge} known bases of {genome.path} on "
            "either side; a shorter --context needs fewer"
        )
    return found


def shuffled(background: Background, rng: np.random.Generator) -> Background:
    """The free bases of each stretch in another order."""
    return background.replaced(rng.permutation)


def dinucleotide_shuffled(background: Background, rng: np.random.Generator) -> Background:
    """The same with as many of each dinucleotide in each stretch."""
    return background.replaced(lambda codes: shuffle_dinucleotides(codes, rng))


def of_gc_content(background: Background, share: float, rng: np.random.Generator) -> Background:
    """Random free bases, a share of which are G or C."""
    weights = [(1 - share) / 2, share / 2, share / 2, (1 - share) / 2]
    return background.replaced(lambda codes: rng.choice(4, len(codes), p=weights).astype(np.uint8))


def shuffle_dinucleotides(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes in another order with the same counts of dinucleotides and the same ends: a random
    Eulerian path (Altschul & Erickson 1985)."""
    if len(codes) < 3:
        return codes.copy()
    last, follow = int(codes[-1]), [codes[1:][codes[:-1] == base] for base in range(UNKNOWN)]
    while True:  # the last step out of each base must lead to the last base in the end
        exits = {b: int(rng.choice(f)) for b, f in enumerate(follow) if len(f) and b != last}
        if all(_leads_to(b, last, exits) for b in exits):
            break
    order = []
    for base, following in enumerate(follow):
        following = list(rng.permutation(following))
        if base in exits:
            following.remove(exits[base])
            following.append(exits[base])
        order.append(iter(following))
    path = [int(codes[0])]
    while (step := next(order[path[-1]], None)) is not None:
        path.append(int(step))
    return np.array(path, np.uint8)


def _leads_to(base: int, last: int, exits: dict[int, int]) -> bool:
    for _ in range(len(exits) + 1):
        if base == last:
            return True
        base = exits[base]
    return base == last


def profile_of(
    pool: Sequence[Background],
) -> Callable[[Background, np.random.Generator], Background]:
    """A function that draws each base of a sequence from the frequencies of bases so far from the
    nearer end of the exon, in the pool of exons; splice sites among them."""
    edge, reach = pool[0].edge, EXON_LENGTHS[1]
    counts = np.ones((2, edge + reach, 4))  # from the intron into the exon: acceptor, donor
    for background in pool:
        half = edge + background.length // 2
        for side, codes in enumerate((background.codes, background.codes[::-1])):
            within = codes[: min(half, edge + reach)]
            counts[side, np.arange(len(within)), within] += 1
    cumulative = (counts / counts.sum(2, keepdims=True)).cumsum(2)

    def draw(background: Background, rng: np.random.Generator) -> Background:
        n = len(background.codes)
        halves = [n // 2, n - n // 2]
        sides = [_drawn(cumulative[side, :half], rng) for side, half in enumerate(halves)]
        return Background(np.concatenate((sides[0], sides[1][::-1])), edge, background.name)

    return draw


def _drawn(cumulative: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn = rng.random((len(cumulative), 1))
    return (drawn > cumulative).sum(1).clip(max=3).astype(np.uint8)


def population(
    genome: Genome,
    annotation: Annotation,
    kind: str,
    n: int,
    edge: int,
    least: int,
    seed: int,
    gc: float | None = None,
) -> list[Background]:
    """n sequences of a kind of BACKGROUNDS (fewer where there are fewer exons), or with `gc` random
    ones, such a share of whose bases are G or C."""
    rng = np.random.default_rng(seed)
    wanted = POOL if kind == "profile" else n
    pool = exons(genome, annotation, max(n, wanted), edge, least, rng)
    chosen = pool[:n]
    if gc is not None:
        return [of_gc_content(b, gc, rng) for b in chosen]
    if kind == "shuffle":
        return [shuffled(b, rng) for b in chosen]
    if kind == "dinucleotide":
        return [dinucleotide_shuffled(b, rng) for b in chosen]
    if kind == "profile":
        draw = profile_of(pool)
        return [draw(b, rng) for b in chosen]
    return chosen


def digest(backgrounds: Sequence[Background]) -> str:
    """sha256 of the bases of a population."""
    found = hashlib.sha256()
    for background in backgrounds:
        found.update(background.codes.tobytes())
    return found.hexdigest()
