"""Top-k accuracy, density and entropy bound of a model on genes, with bootstrap intervals over
genes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from ..model.bottleneck import LSSI_FLOOR, Detection
from ..model.sam import ACCEPTOR, DONOR, SAM, crop, one_hot
from .dataset import IGNORE, UNKNOWN, Dataset

TILE = 5000  # scored bases of a tile, as in the paper
NOMINAL_ETA = 2.8  # bits per non-zero activation that the paper allows
MAX_FINER = 256  # roundings are tried down to this fraction of the first
MAX_LOSS = 0.5  # points of top-k that rounding the activations may cost


@dataclass
class TopK:
    """Top-k accuracy in percent: of the k best-scored bases, k the number of true sites, the share
    that are sites.

    `mean` is that of acceptor and donor; `interval` the 95 % bootstrap interval of the mean over
    genes.
    """

    acceptor: float
    donor: float
    n_acceptor: int
    n_donor: int
    n_genes: int
    interval: tuple[float, float]

    @property
    def mean(self) -> float:
        return (self.acceptor + self.donor) / 2


class _Ranking:
    """Best-scored bases of one site type, with the gene of each."""

    def __init__(self, scores: np.ndarray, hits: np.ndarray, gene: np.ndarray, n_genes: int):
        n = int(hits.sum())
        self.per_gene = np.bincount(gene[hits], minlength=n_genes)
        kept = min(max(8 * n, 1000), len(scores))
        best = np.argpartition(-scores, kept - 1)[:kept] if kept else np.zeros(0, int)
        best = best[np.argsort(-scores[best], kind="stable")]
        self.hit, self.gene = hits[best].astype(float), gene[best]

    def accuracy(self, weights: np.ndarray) -> float:
        """Top-k with every gene counted `weights[g]` times."""
        k = float(weights @ self.per_gene)
        w = weights[self.gene].astype(float)
        counted = np.clip(k - (np.cumsum(w) - w), 0, w)
        return 100 * float(counted @ self.hit) / k if k else math.nan


def top_k(
    scores: np.ndarray, labels: np.ndarray, gene: np.ndarray, n_genes: int, resamples: int = 1000
) -> TopK:
    """scores (2, B) of acceptor and donor, labels (B,), gene (B,) index of each base's gene."""
    rankings = [
        _Ranking(scores[i], labels == kind, gene, n_genes)
        for i, kind in enumerate((ACCEPTOR, DONOR))
    ]
    ones = np.ones(n_genes, int)
    rng = np.random.default_rng(0)
    means = [
        np.mean([r.accuracy(w) for r in rankings])
        for w in rng.multinomial(n_genes, ones / n_genes, resamples if n_genes else 0)
    ]
    low, high = np.nanpercentile(means, [2.5, 97.5]) if means else (math.nan, math.nan)
    acceptor, donor = rankings
    return TopK(
        acceptor.accuracy(ones),
        donor.accuracy(ones),
        int(acceptor.per_gene.sum()),
        int(donor.per_gene.sum()),
        n_genes,
        (float(low), float(high)),
    )


def tiles(
    data: Dataset, genes: Iterable[int], reach: tuple[int, int]
) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """(position of the gene in `genes`, start, end, codes with `reach`) of every tile, lengths
    equal but for the last of a gene."""
    for i, gene in enumerate(genes):
        length = int(data.offsets[gene + 1] - data.offsets[gene])
        for start in range(0, length, TILE):
            end = min(start + TILE, length)
            yield i, start, end, data.window(gene, start, end, *reach)[0]


def _batches(stream, size: int):
    group: list = []
    for item in stream:
        if group and (len(group) == size or len(item[3]) != len(group[0][3])):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


@dataclass
class Scores:
    """Per base of the evaluated genes: log p (2, B) of acceptor and donor, labels, gene index; and
    per motif the number of non-zero positions, with the number of known bases and a histogram of
    rounded activations."""

    model: np.ndarray
    lssi: np.ndarray
    labels: np.ndarray
    gene: np.ndarray
    n_genes: int
    nonzero: np.ndarray
    activation: float
    known: int
    eta: float

    @property
    def density(self) -> float:
        return float(self.nonzero.sum() / max(len(self.nonzero) * self.known, 1))

    @property
    def core_share(self) -> tuple[float, float]:
        """Share of bases whose core score of an acceptor, and of a donor, is above the floor (of
        several models' mean, but for rounding), so that it reaches the aggregator."""
        acceptor, donor = (self.lssi > LSSI_FLOOR + 1e-3).mean(1)
        return float(acceptor), float(donor)

    def top_k(self, which: str = "model", resamples: int = 1000) -> TopK:
        return top_k(getattr(self, which), self.labels, self.gene, self.n_genes, resamples)

    def entropy_bound(self, eta: float) -> float:
        return entropy_bound(len(self.nonzero), self.density, eta)


def entropy_bound(channels: int, density: float, eta: float) -> float:
    """Bits per base that sites can tell: H/L <= M [H_b(density) + density * eta]."""
    d = density
    binary = -(d * math.log2(d) + (1 - d) * math.log2(1 - d)) if 0 < d < 1 else 0.0
    return channels * (binary + d * eta)


@torch.inference_mode()
def score(
    models: list[SAM],
    data: Dataset,
    genes: np.ndarray,
    device: torch.device,
    batch: int = 4,
    rounding: float | None = None,
    precision: str = "fp32",
) -> Scores:
    """Score every base of the genes in tiles of 5,000 with the mean probability of the models
    (seeds), and of their core sites.

    `rounding`: motif activations become multiples of it.
    """
    was_training = [m.training for m in models]
    for m in models:
        m.eval()
    config = models[0].config
    reach = config.aggregate_reach
    lengths = data.offsets[genes + 1] - data.offsets[genes]
    starts = np.concatenate(([0], np.cumsum(lengths)))
    out, core = (np.full((2, starts[-1]), -np.inf, np.float32) for _ in range(2))
    nonzero, total, known = np.zeros(1, int), 0.0, 0  # of each motif, once the first tile is seen
    levels: dict[int, np.ndarray] = {}
    n_tiles = int(np.ceil(lengths / TILE).sum())
    with tqdm(total=n_tiles, disable=None, unit="tile", leave=False) as bar:
        for group in _batches(tiles(data, genes, config.reach), batch):
            x = one_hot(torch.from_numpy(np.stack([item[3] for item in group])).to(device))
            p, own_core = [], []
            for m in models:
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    found = m.detect(x)
                    if rounding:
                        level = torch.where(
                            found.motifs > 0, (found.motifs / rounding).round().clamp(min=1), 0
                        )
                        found = Detection(found.core, level * rounding)
                    p.append(m.aggregate(found).float().exp())
                own_core.append(crop(found.core, reach, reach).float())
                own = crop(found.motifs, reach, reach)
                here = own > 0
                nonzero = nonzero + here.sum((0, 2)).cpu().numpy()
                total += float(own.sum())
                if rounding:
                    _count_levels(levels, here, (own / rounding).round())
            log_p = torch.stack(p).mean(0).log()[:, 1:].cpu().numpy()
            lssi = (torch.logsumexp(torch.stack(own_core), 0) - math.log(len(models))).cpu().numpy()
            for row, (i, start, end, codes) in enumerate(group):
                at = slice(starts[i] + start, starts[i] + end)
                out[:, at], core[:, at] = log_p[row], lssi[row, :2]
                left, right = config.reach
                known += len(models) * int((codes[left : len(codes) - right] != UNKNOWN).sum())
            bar.update(len(group))
    for m, training in zip(models, was_training):
        m.train(training)
    labels = np.concatenate([data.labels[data.offsets[g] : data.offsets[g + 1]] for g in genes])
    gene = np.repeat(np.arange(len(genes), dtype=np.int32), lengths)
    keep = labels != IGNORE
    return Scores(
        out[:, keep],
        core[:, keep],
        labels[keep],
        gene[keep],
        len(genes),
        nonzero,
        total / max(nonzero.sum(), 1),
        known,
        _entropy(levels),
    )


def _count_levels(levels: dict[int, np.ndarray], here: torch.Tensor, level: torch.Tensor) -> None:
    for channel in range(here.shape[1]):
        values = level[:, channel][here[:, channel]].long().cpu().numpy()
        if len(values):
            counts = np.bincount(values)
            before = levels.get(channel, np.zeros(0, int))
            merged = np.zeros(max(len(before), len(counts)), int)
            merged[: len(before)] += before
            merged[: len(counts)] += counts
            levels[channel] = merged


def _entropy(levels: dict[int, np.ndarray]) -> float:
    """Bits per non-zero activation: the entropy of each channel's levels, weighted by its number of
    activations."""
    bits = total = 0.0
    for counts in levels.values():
        p = counts[counts > 0] / counts.sum()
        bits -= counts.sum() * float(p @ np.log2(p))
        total += counts.sum()
    return bits / total if total else math.nan


def evaluate(
    models: list[SAM], data: Dataset, genes: np.ndarray, device: torch.device, entropy: bool = True
) -> dict:
    """`summary` of the genes, of several models (seeds) that of their mean probability; with
    `measured_entropy`."""
    scores = score(models, data, genes, device)
    return summary(scores) | (
        measured_entropy(models, data, genes, device, scores) if entropy else {}
    )


def summary(scores: Scores) -> dict:
    """The numbers of an evaluation, ready for JSON: percent for top-k, bits per base for the
    nominal entropy bound."""
    full, core = scores.top_k(), scores.top_k("lssi")
    return dict(
        topk_acceptor=full.acceptor,
        topk_donor=full.donor,
        topk_mean=full.mean,
        topk_interval=full.interval,
        n_acceptor=full.n_acceptor,
        n_donor=full.n_donor,
        n_genes=full.n_genes,
        density=scores.density,
        core_share=scores.core_share,
        lssi=dict(
            topk_acceptor=core.acceptor,
            topk_donor=core.donor,
            topk_mean=core.mean,
            topk_interval=core.interval,
        ),
        entropy_bits_per_base_nominal=scores.entropy_bound(NOMINAL_ETA),
    )


def measured_entropy(
    models: list[SAM], data: Dataset, genes: np.ndarray, device: torch.device, scores: Scores
) -> dict:
    """Entropy bound by the measured strength of sites: activations are rounded to multiples of r,
    the coarsest r (from a quarter of their mean, in factors of 2) that costs less than 0.5 points
    of top-k; eta is the entropy of the rounded activations. `scores` are those without rounding."""
    eta, r = 0.0, 0.0
    if scores.activation > 0:
        rounded = lambda step: score(models, data, genes, device, rounding=step)  # noqa: E731
        eta, r = coarsest_rounding(rounded, scores.top_k(resamples=0).mean, scores.activation / 4)
    return dict(entropy_bits_per_base=scores.entropy_bound(eta), eta=eta, rounding=r)


def coarsest_rounding(
    rounded: Callable[[float], Scores], accuracy: float, start: float
) -> tuple[float, float]:
    """(eta, r) of the coarsest r = start * 2^k that costs less than MAX_LOSS; `rounded(r)` scores
    with rounding r."""
    good: tuple[float, float] | None = None
    step = start
    while step > start / MAX_FINER:
        found = rounded(step)
        if accuracy - found.top_k(resamples=0).mean < MAX_LOSS:
            good = found.eta, step
            if found.eta == 0:
                break
            step *= 2
        elif good is not None:
            break
        else:
            step /= 2
    return good or (math.nan, math.nan)
