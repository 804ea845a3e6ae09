"""Global importance analysis: what an embedded pattern does on average to the splice sites of an
exon, over a population of sequences without it.

Koo et al., PLoS Comput. Biol. 17:e1008925 (2021), equations 1 and 2: the importance of a pattern is
the mean over a population of f(sequence with the pattern) - f(sequence), each sequence held against
itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ..errors import SamvarError
from ..files import complete_file
from ..genomics.genes import Annotation
from ..genomics.genome import UNKNOWN, Genome, encode, reverse_complement
from ..model.bundle import Bundle
from ..model.sam import ACCEPTOR, DONOR, LSSI_SPAN, crop, one_hot
from ..scoring.arrays import Floats
from ..scoring.calibrated import calibrated
from ..scoring.predictor import Predictor
from ..scoring.sequences import models_on_device

BATCH = 16  # sequences that the model sees together
JOBS = 64  # batches handed to the workers together
EXON_LENGTHS = 50, 250  # bases of the exons that are drawn
POOL = 1000  # exons that a profile is counted from, at most
BACKGROUNDS = ("exons", "quartile", "shuffle", "dinucleotide", "profile")
SITES = {"acceptor": (ACCEPTOR,), "donor": (DONOR,), "both": (ACCEPTOR, DONOR)}
LEAST = 1e-7  # probability that log-odds are taken of
QUARTILES = 4

Score = Callable[[np.ndarray, int], Floats]  # codes (B, L) and the exon's length -> (B,)


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


class Part(NamedTuple):
    """A pattern to be embedded: its codes (unknown bases stay as they are) and where its first base
    goes: `at` bases from the exon's first base ("acceptor"), from its last one ("donor"), or from
    where the first of a design's parts has to begin for all of them to be in the middle of the
    exon ("middle")."""

    codes: tuple[int, ...]
    at: int
    anchor: str = "middle"


class Design(NamedTuple):
    """Parts embedded together, and what the table says of them."""

    pattern: str
    parts: tuple[Part, ...]
    copies: int = 1
    spacing: int | None = None

    @property
    def extent(self) -> int:
        """Bases from the first part's start to the last one's end."""
        return max(p.at + len(p.codes) for p in self.parts) - min(p.at for p in self.parts)


# --------------------------------------------------------------------------------------- population


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


# ------------------------------------------------------------------------------------------ designs


def pattern_codes(text: str) -> tuple[int, ...]:
    """Codes of a pattern of A, C, G, T or U, and N for a base that stays as it is. Raises
    SamvarError where it is none."""
    upper = text.upper().replace("U", "T")
    if not upper.strip("N") or set(upper) - set("ACGTN"):
        raise SamvarError(f"{text!r} is no pattern: give A, C, G, T, and N for any base")
    return tuple(encode(upper).tolist())


def kmers(k: int) -> list[str]:
    """All patterns of k bases."""
    return ["".join(bases) for bases in product("ACGT", repeat=k)]


def consensus(bundle: Bundle, rbp: str) -> str:
    """The strongest site of an RBP's strongest affinity matrix, N where it does not care. Raises
    SamvarError for a motif without one."""
    if rbp not in bundle.rbps:
        raise SamvarError(f"{rbp} was learnt from sequence and has no affinities: give a pattern")
    fixed = bundle.models[0].motifs.fixed
    matrix = fixed.log_psam[int(fixed.mix[bundle.rbps.index(rbp)].argmax())].numpy()  # (4, 11)
    cares = np.ptp(matrix, 0) > 0
    best = np.where(cares, matrix.argmax(0), UNKNOWN)
    return "".join("ACGTN"[base] for base in best).strip("N")


def plain_designs(patterns: dict[str, str], anchor: str, places: Sequence[int]) -> list[Design]:
    """Each pattern (name -> bases) at each place."""
    return [
        Design(name, (Part(pattern_codes(bases), at, anchor),))
        for name, bases in patterns.items()
        for at in places
    ]


def copies_designs(
    name: str, bases: str, anchor: str, at: int, most: int, gap: int
) -> list[Design]:
    """One copy of a pattern, two, and so on, with `gap` bases between them."""
    codes = pattern_codes(bases)
    step = len(codes) + gap
    return [
        Design(name, tuple(Part(codes, at + i * step, anchor) for i in range(n)), n)
        for n in range(1, most + 1)
    ]


def spacing_designs(
    patterns: dict[str, str], anchor: str, at: int, spacings: Sequence[int]
) -> list[Design]:
    """Two patterns with so many bases between them: for each spacing the first alone, the second
    alone, each where it stands in the pair, and the pair."""
    (one, first), (two, second) = ((name, pattern_codes(b)) for name, b in patterns.items())
    found = []
    for spacing in spacings:
        pair = (Part(first, at, anchor), Part(second, at + len(first) + spacing, anchor))
        keep = tuple(UNKNOWN for _ in first), tuple(UNKNOWN for _ in second)
        found += [
            Design(one, (pair[0], pair[1]._replace(codes=keep[1])), 1, spacing),
            Design(two, (pair[0]._replace(codes=keep[0]), pair[1]), 1, spacing),
            Design(f"{one}+{two}", pair, 1, spacing),
        ]
    return found


def least_exon(designs: Sequence[Design]) -> int:
    """Bases that an exon needs to hold each of the designs that stand in its middle, beside the
    bases of its splice sites."""
    own = LSSI_SPAN[ACCEPTOR][1] + 1 + 1 + LSSI_SPAN[DONOR][0]
    middle = [d for d in designs if d.parts[0].anchor == "middle"]
    return max((d.extent + 2 * abs(d.parts[0].at) + own for d in middle), default=0)


def embedded(background: Background, design: Design) -> np.ndarray | None:
    """Codes with a design embedded; None where a part begins in the exon and ends outside of it, or
    the other way round, or does not fit into the sequence."""
    n, edge = background.length, background.edge
    codes = background.codes.copy()
    for pattern, at, anchor in design.parts:
        if anchor == "acceptor":
            start = edge + at
        elif anchor == "donor":
            start = edge + n - 1 + at
        else:
            start = edge + (n - design.extent) // 2 + at
        end = start + len(pattern)
        inside = sum(edge <= i < edge + n for i in (start, end - 1))
        in_exon = anchor == "middle" or (at >= 0 if anchor == "acceptor" else at <= 0)
        if start < 0 or end > len(codes) or inside != (2 if in_exon else 0):
            return None
        stretch = codes[start:end]
        new = np.array(pattern, np.uint8)
        stretch[new != UNKNOWN] = new[new != UNKNOWN]
    return codes


# ---------------------------------------------------------------------------------------- measuring


class Measured(NamedTuple):
    """f(sequence with a design) - f(sequence).

    plain   (N,): f of each sequence without
    change  (N, D): of each sequence and design; nan where it does not fit
    """

    plain: Floats
    change: Floats


def edge_of(predictor: Predictor, context: int) -> int:
    """Bases around the exon that the model is shown, with `context` bases for its LSTM."""
    return context + max(predictor.reach)


def site_score(predictor: Predictor, context: int, site: str, scale: str) -> Score:
    """f: the exon's own acceptor, donor, or the mean of both; calibrated probability or its
    log-odds, mean of the seeds."""
    before, after = predictor.reach
    edge = edge_of(predictor, context)
    models = models_on_device(predictor)

    @torch.no_grad()
    def score(codes: np.ndarray, length: int) -> Floats:
        shown = codes[:, edge - context - before : codes.shape[1] - (edge - context - after)]
        x = one_hot(torch.from_numpy(np.ascontiguousarray(shown)))
        p = np.mean([_sites(model, x, context) for model in models], 0)
        p = calibrated(p.transpose(1, 0, 2), predictor.bundle.calibration)
        own = np.stack([p[0, :, 0], p[1, :, length - 1]])  # acceptor, donor
        if scale == "log-odds":
            own = own.clip(LEAST, 1 - LEAST)
            own = np.log(own) - np.log1p(-own)
        chosen: Floats = own[[kind - ACCEPTOR for kind in SITES[site]]].mean(0)
        return chosen

    return score


def _sites(model, x: torch.Tensor, context: int) -> np.ndarray:
    device = next(model.parameters()).device
    log_p = model(x.to(device))[:, 1:]
    return crop(log_p, context, context).exp().double().cpu().numpy()


class _Job(NamedTuple):
    """Designs [first, last) of one sequence; -1 stands for the sequence as it is."""

    sequence: int
    first: int
    last: int


def measure(
    score: Score,
    backgrounds: Sequence[Background],
    designs: Sequence[Design],
    run: Callable[[Callable, list], Iterator] = map,
    state: State | None = None,
) -> Measured:
    """Every design in every sequence. `run`: a `map`, such as that of a predictor's workers;
    `state` keeps what has been measured."""
    n, d = len(backgrounds), len(designs)
    done = state.load(n, d + 1) if state else np.full((n, d + 1), np.nan)
    whole = {i for i in range(n) if np.isfinite(done[i, d])}

    def one(job: _Job) -> Floats:
        background = backgrounds[job.sequence]
        chosen = range(job.first, job.last)
        codes = [background.codes if i == d else embedded(background, designs[i]) for i in chosen]
        values = np.full(len(codes), np.nan)
        fits = {i: c for i, c in enumerate(codes) if c is not None}
        if fits:
            values[list(fits)] = score(np.stack(list(fits.values())), background.length)
        return values

    jobs = (
        _Job(i, first, min(first + BATCH, d + 1))
        for i in range(n)
        if i not in whole
        for first in range(0, d + 1, BATCH)
    )
    with tqdm(total=(n - len(whole)) * (d + 1), disable=None, unit="sequence") as progress:
        while chunk := list(islice(jobs, JOBS)):
            for job, values in zip(chunk, run(one, chunk)):
                done[job.sequence, job.first : job.last] = values
                progress.update(job.last - job.first)
                if state and job.last == d + 1:
                    state.save(done)
    plain = done[:, d]
    return Measured(plain, done[:, :d] - plain[:, None])


class State:
    """A file that keeps what has been measured, sequence by sequence, for a run that is told apart
    by `identity`."""

    def __init__(self, path: str, identity: dict):
        self.path = path
        text = json.dumps(identity, sort_keys=True)
        self._identity = hashlib.sha256(text.encode()).hexdigest()

    def load(self, n: int, d: int) -> np.ndarray:
        """(n, d) of an earlier run, nan where nothing was measured yet. Raises SamvarError where
        the file is of another run."""
        if not os.path.exists(self.path):
            return np.full((n, d), np.nan)
        try:
            with np.load(self.path, allow_pickle=False) as kept:
                identity, values = str(kept["identity"]), kept["values"]
        except (OSError, ValueError, KeyError, EOFError) as e:
            raise SamvarError(f"{self.path} is no state of samvar gia: {e}") from e
        if identity != self._identity or values.shape != (n, d):
            raise SamvarError(
                f"{self.path} is the state of another run: give --state another name, or the same "
                "options as before"
            )
        return values

    def save(self, values: np.ndarray) -> None:
        with complete_file(self.path) as part, open(part, "wb") as handle:
            np.savez(handle, identity=self._identity, values=values)


# -------------------------------------------------------------------------------------------- table


class Importance(NamedTuple):
    """Of a design in a group of sequences ("all", or a quartile of f without it): the number of
    sequences, mean change and its standard error (nan of one alone); of a pair the same of what it
    does beyond its two parts."""

    design: Design
    group: str
    n: int
    mean: float
    error: float
    synergy: float | None = None
    synergy_error: float | None = None


def importances(
    measured: Measured, designs: Sequence[Design], by_quartile: bool = False
) -> list[Importance]:
    """The importance of every design, in each group of sequences."""
    groups = {"all": np.ones(len(measured.plain), bool)}
    if by_quartile:
        rank = np.argsort(np.argsort(measured.plain, kind="stable"))
        quartile = rank * QUARTILES // len(rank)
        groups = {f"Q{i + 1}": quartile == i for i in range(QUARTILES)}
    found = []
    for i, design in enumerate(designs):
        for group, members in groups.items():
            change = measured.change[members]
            n, mean, error = _mean(change[:, i])
            one = Importance(design, group, n, mean, error)
            if _is_pair(design):
                beyond = _mean(change[:, i] - change[:, i - 1] - change[:, i - 2])
                one = one._replace(synergy=beyond[1], synergy_error=beyond[2])
            found.append(one)
    return found


def _is_pair(design: Design) -> bool:
    """Whether it is a pair of `spacing_designs`, whose two parts alone stand before it."""
    return design.spacing is not None and all(set(p.codes) != {UNKNOWN} for p in design.parts)


def _mean(values: np.ndarray) -> tuple[int, float, float]:
    """(n, mean, standard error) of what is known of the values."""
    known = values[np.isfinite(values)]
    n = len(known)
    error = float(known.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return n, float(known.mean()) if n else float("nan"), error


COLUMNS = (
    "PATTERN", "BACKGROUND", "GROUP", "ANCHOR", "AT", "COPIES", "SPACING", "N", "IMPORTANCE", "SE",
    "SYNERGY", "SYNERGY_SE",
)  # fmt: skip


def table_row(found: Importance, background: str) -> tuple[str, ...]:
    """A row of the table."""
    design = found.design
    first = design.parts[0]
    return (
        design.pattern,
        background,
        found.group,
        first.anchor,
        "." if first.anchor == "middle" and not first.at else str(first.at),
        str(design.copies),
        "." if design.spacing is None else str(design.spacing),
        str(found.n),
        *map(_number, (found.mean, found.error, found.synergy, found.synergy_error)),
    )


def _number(value: float | None) -> str:
    return "." if value is None or np.isnan(value) else f"{value:.4f}"
