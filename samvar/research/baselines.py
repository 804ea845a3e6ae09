"""What a splice site is held against: strong decoys of its gene, chosen or put together in several
ways, or nothing at all; and how to get from there to the site.

Jha et al., Genome Biology 21:149 (2020): baselines of a class of other points (here: decoys), close
to the point that is explained, close to the median of their class, means of clusters, or at random;
and paths through neighbours. The latent space of the paper's autoencoder is the bottleneck here.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..scoring.arrays import Floats, Ints

BASELINES = ("ref-decoys", "median", "k-means", "encoded-zero", "random")
NEIGHBOURS = 3  # of each point in the graph of neighbours, more where it has several parts
ROUNDS = 100  # of Lloyd's algorithm, at most


@dataclass(frozen=True, eq=False)
class Point:
    """A base with what lies around it, in transcript orientation.

    name        its place, or what it was made of
    sequence    (4, L): shares of A, C, G, T; 0000 where unknown
    bottleneck  (S, C, W): of each seed; W bases, the base itself in the middle
    """

    name: str
    sequence: torch.Tensor
    bottleneck: torch.Tensor

    @property
    def vector(self) -> Floats:
        """The bottleneck as a vector, whose distances are Euclidean."""
        return self.bottleneck.flatten().numpy()


def chosen(
    kind: str, decoys: Sequence[Point], point: Point, n: int, rng: np.random.Generator
) -> list[Point]:
    """At most n baselines of a kind of BASELINES (`encoded-zero` aside) for a point, from decoys,
    of which there is at least one."""
    vectors = np.stack([d.vector for d in decoys])
    n = min(n, len(decoys))
    if kind == "k-means":
        return [_mean(decoys, members) for members in clusters(vectors, n)]
    if kind == "random":
        return [decoys[i] for i in rng.choice(len(decoys), n, replace=False)]
    centre = np.median(vectors, 0) if kind == "median" else point.vector
    return [decoys[i] for i in _nearest_first(vectors, centre)[:n]]


def _nearest_first(vectors: Floats, centre: Floats) -> Ints:
    return np.argsort(np.linalg.norm(vectors - centre, axis=1), kind="stable")


def _mean(decoys: Sequence[Point], members: Ints) -> Point:
    own = [decoys[i] for i in members]
    return Point(
        f"mean of {len(own)}",
        torch.stack([p.sequence for p in own]).mean(0),
        torch.stack([p.bottleneck for p in own]).mean(0),
    )


def clusters(vectors: Floats, k: int) -> list[Ints]:
    """Indices of the vectors (N, D) of each of k clusters, fewer where fewer vectors differ.
    Lloyd's algorithm, begun with the vector nearest to the mean and then, one after the other, the
    one farthest from all before."""
    starts = [int(_nearest_first(vectors, vectors.mean(0))[0])]
    while len(starts) < k:
        starts.append(int(_distances(vectors, vectors[starts]).min(1).argmax()))
    nearest = _distances(vectors, vectors[starts]).argmin(1)
    members: list[Ints] = []
    for _ in range(ROUNDS):
        members = [np.flatnonzero(nearest == i) for i in np.unique(nearest)]
        centres = np.stack([vectors[own].mean(0) for own in members])
        moved = _distances(vectors, centres).argmin(1)
        if (moved == nearest).all():
            break
        nearest = moved
    return members


def _distances(vectors: Floats, others: Floats) -> Floats:
    """(N, D), (M, D) -> (N, M)."""
    return np.stack([np.linalg.norm(vectors - other, axis=1) for other in others], 1)


def way_of_neighbours(vectors: Floats) -> list[int]:
    """The shortest way from the first of the vectors (N, D) to the last one, over the graph in
    which each is joined to its NEIGHBOURS nearest ones, or to as many more as make a way."""
    distances = _distances(vectors, vectors)
    np.fill_diagonal(distances, np.inf)
    rank = distances.argsort(1, kind="stable").argsort(1)
    for k in range(NEIGHBOURS, len(vectors) + NEIGHBOURS):
        joined = (rank < k) | (rank < k).T
        way = _shortest(np.where(joined, distances, np.inf))
        if way:
            return way
    raise AssertionError("every two vectors are joined in the end")


def _shortest(lengths: Floats) -> list[int]:
    """Dijkstra's algorithm from node 0 to the last one; empty where there is no way. `lengths` (N,
    N) of the edges, infinite where there is none."""
    last = len(lengths) - 1
    queue, before = [(0.0, 0, 0)], {}
    while queue:
        length, node, origin = heapq.heappop(queue)
        if node in before:
            continue
        before[node] = origin
        if node == last:
            way = [last]
            while way[-1]:
                way.append(before[way[-1]])
            return way[::-1]
        for other in np.flatnonzero(np.isfinite(lengths[node])):
            heapq.heappush(queue, (length + float(lengths[node, other]), int(other), node))
    return []
