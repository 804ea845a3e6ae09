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
from itertools import islice, product
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ..errors import SamvarError
from ..files import new_file
from ..genomics.genome import UNKNOWN, encode
from ..model.bundle import Bundle
from ..model.sam import ACCEPTOR, DONOR, LSSI_SPAN, crop, one_hot
from ..scoring.arrays import Floats
from ..scoring.calibrated import calibrated
from ..scoring.predictor import Predictor
from ..scoring.sequences import models_on_device
from .populations import Background

BATCH = 16  # sequences that the model sees together
JOBS = 64  # batches handed to the workers together
SITES = {"acceptor": (ACCEPTOR,), "donor": (DONOR,), "both": (ACCEPTOR, DONOR)}
LEAST = 1e-7  # probability that log-odds are taken of
QUARTILES = 4

Score = Callable[[np.ndarray, int], Floats]  # codes (B, L) and the exon's length -> (B,)


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
        raise SamvarError(
            f"{rbp} was learnt from sequence and has no affinities: give a pattern"
            + _like(bundle, rbp)
        )
    fixed = bundle.models[0].motifs.fixed
    matrix = fixed.log_psam[int(fixed.mix[bundle.rbps.index(rbp)].argmax())].numpy()  # (4, 11)
    cares = np.ptp(matrix, 0) > 0
    best = np.where(cares, matrix.argmax(0), UNKNOWN)
    return "".join("ACGTN"[base] for base in best).strip("N")


def _like(bundle: Bundle, rbp: str) -> str:
    """A pattern that sites of a learnt motif look like, in words, where one is known."""
    if rbp not in bundle.learnt:
        return ""
    letters = bundle.learnt[rbp].consensus
    pattern = "".join(base if base in "ACGT" else "N" for base in letters)
    return f", such as {pattern.strip('N')}" if pattern.strip("N") else ""


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
    """A file that keeps what has been measured, sequence by sequence, for the run that `identity`
    describes."""

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
        with new_file(self.path, "wb") as handle:
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
