"""Soft labels: windows of sequence with what a teacher says of them, packed. Imports numpy only."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..errors import DatasetError
from .dataset import load_windows, save_windows

ABOUT = "teach.json"  # in a folder of shards: what they were made from
LEAST = 1e-3  # probabilities below this are stored as 0
GONE = -1  # position of a site that a version does not have
MOST_LOG_ODDS = 12.0
MOST_SITES = 256  # that a window may have


class FollowedSites(NamedTuple):
    """Splice sites of a batch of versions; all (S,).

    row       which row of the batch
    kind      ACCEPTOR or DONOR
    at        0-based position in the scored bases
    name      a number that the same site has in every version of its family
    log_odds  of the teacher
    """

    row: np.ndarray
    kind: np.ndarray
    at: np.ndarray
    name: np.ndarray
    log_odds: np.ndarray


@dataclass(frozen=True)
class SoftLabels:
    """V windows (versions) of F families, in transcript orientation.

    codes           (V, left + W + right) uint8: 0-3 A C G T, 4 unknown
    family          (V,): number of the family; versions of one family stand together, the unedited
    one first
    label_version, label_at, label_kind, label_p   (P,): a probability above LEAST: which version,
                    0-based position in its W scored bases, ACCEPTOR or DONOR, the teacher's
                    probability
    site_version, site_key, site_kind, site_at, site_log_odds   (S,): a followed site: which
                    version, which of its family's sites, its kind, 0-based position in the scored
                    bases (GONE: none) and the teacher's
                    log-odds there
    edit_region     (V,): index into `edits.REGIONS` of a single edit, -1 else
    left, right     bases of context before and after the scored ones
    """

    codes: np.ndarray
    family: np.ndarray
    label_version: np.ndarray
    label_at: np.ndarray
    label_kind: np.ndarray
    label_p: np.ndarray
    site_version: np.ndarray
    site_key: np.ndarray
    site_kind: np.ndarray
    site_at: np.ndarray
    site_log_odds: np.ndarray
    edit_region: np.ndarray
    left: int
    right: int

    @property
    def width(self) -> int:
        """W: scored bases of a window."""
        return self.codes.shape[1] - self.left - self.right

    @cached_property
    def families(self) -> np.ndarray:
        """(F + 1,): versions of family f are [families[f], families[f + 1])."""
        return np.concatenate((np.flatnonzero(np.diff(self.family, prepend=-1)), [len(self.codes)]))

    def versions_of(self, families: np.ndarray) -> np.ndarray:
        """Indices of all versions of these families, one family after the other."""
        return np.concatenate([np.arange(*self.families[f : f + 2]) for f in families])

    def probabilities(self, versions: np.ndarray) -> np.ndarray:
        """(n, 3, W) float32 of none, acceptor, donor."""
        p = np.zeros((len(versions), 3, self.width), np.float32)
        for row, version in enumerate(versions):
            mine = slice(*np.searchsorted(self.label_version, (version, version + 1)))
            p[row, self.label_kind[mine], self.label_at[mine]] = self.label_p[mine]
        p[:, 0] = 1 - p[:, 1:].sum(1)
        return p

    def sites(self, versions: np.ndarray) -> FollowedSites:
        """The followed sites of these versions that are there."""
        found = [np.arange(*np.searchsorted(self.site_version, (v, v + 1))) for v in versions]
        row = np.repeat(np.arange(len(versions)), [len(f) for f in found])
        mine = np.concatenate(found)
        there = self.site_at[mine] != GONE
        row, mine = row[there], mine[there]
        name = self.family[self.site_version[mine]].astype(np.int64) * MOST_SITES
        return FollowedSites(
            row,
            self.site_kind[mine].astype(np.int64),
            self.site_at[mine].astype(np.int64),
            name + self.site_key[mine],
            self.site_log_odds[mine],
        )

    def save(self, path: str) -> None:
        """Write a shard: 2 bits a base."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "codes"}
        save_windows(path, self.codes, arrays)

    @classmethod
    def load(cls, path: str) -> SoftLabels:
        """One shard. Raises DatasetError where the file holds something else."""
        with np.load(path) as file:
            if "effect" in file:
                raise DatasetError(f"{path} holds effects, no soft labels: effects = false")
            codes = load_windows(file)
            arrays: dict[str, Any] = {
                f.name: file[f.name] for f in fields(cls) if f.name != "codes"
            }
        for name in ("left", "right"):
            arrays[name] = int(arrays[name])
        return cls(codes, **arrays)

    @classmethod
    def load_folder(cls, *folders: str) -> SoftLabels:
        """All shards of folders that `samvar train teach` has written, finished or not. Raises
        DatasetError where one has none, or they hold windows of other widths."""
        if len({os.path.realpath(folder) for folder in folders}) < len(folders):
            raise DatasetError(f"soft labels are given twice among {', '.join(folders)}")
        shards, widths = [], {}
        for folder in folders:
            paths = sorted(glob.glob(os.path.join(folder, "shard-*.npz")))
            if not paths:
                raise DatasetError(
                    f"{folder} holds no soft labels; make them with: samvar train teach"
                )
            shards += [cls.load(path) for path in paths]
            widths[folder] = shards[-1].width
        if len({*widths.values()}) > 1:
            told = ", ".join(f"{folder} of {width} bases" for folder, width in widths.items())
            raise DatasetError(f"the soft labels are of windows of unlike width: {told}")
        return cls.joined(shards)

    @classmethod
    def joined(cls, shards: list[SoftLabels]) -> SoftLabels:
        """Shards end to end."""
        versions = np.cumsum([0, *(len(s.codes) for s in shards)])
        families = np.cumsum([0, *(int(s.family.max()) + 1 for s in shards)])
        columns = {}
        for f in fields(cls):
            if f.name in ("left", "right"):
                columns[f.name] = getattr(shards[0], f.name)
                continue
            shift = {"family": families, "label_version": versions, "site_version": versions}.get(
                f.name
            )
            columns[f.name] = np.concatenate(
                [
                    getattr(s, f.name) + (0 if shift is None else shift[i])
                    for i, s in enumerate(shards)
                ]
            )
        return cls(**columns)


class SoftBatch(NamedTuple):
    """What a step learns from.

    codes          (N, before + W + after) uint8: all versions of some families, then windows
                   without edited versions
    probabilities  (N, 3, W) float32
    sites          the followed sites in the W scored bases
    """

    codes: np.ndarray
    probabilities: np.ndarray
    sites: FollowedSites


class SoftLabelSampler:
    """Batches of the soft labels in some folders: so many families with edited versions and windows
    without a step, the middle `width` bases of each. A batch depends on (seed, rank, step)
    alone."""

    def __init__(
        self,
        folders: Sequence[str],
        families: int,
        windows: int,
        width: int,
        seed: int,
        rank: int,
        reach: tuple[int, int],
    ):
        self.labels, self.digest = SoftLabels.load_folder(*folders), digest_of(*folders)
        self.sizes, self.seed, self.rank = (families, windows), seed, rank
        self.cut = max(self.labels.width - width, 0) // 2
        self.beyond = tuple(
            have - need for have, need in zip((self.labels.left, self.labels.right), reach)
        )
        if min(self.beyond) < 0:
            raise DatasetError(
                f"{', '.join(folders)}: too little context for a model that reaches {reach}"
            )
        members = np.diff(self.labels.families)
        self.pools = np.flatnonzero(members > 1), np.flatnonzero(members == 1)

    def batch(self, step: int) -> SoftBatch:
        rng = np.random.default_rng([self.seed, self.rank, step, 2])
        drawn = [rng.choice(pool, n) for pool, n in zip(self.pools, self.sizes) if len(pool)]
        versions = self.labels.versions_of(np.concatenate(drawn))
        cut, (before, after) = self.cut, self.beyond
        codes = self.labels.codes[versions]
        sites = self.labels.sites(versions)
        inside = (sites.at >= cut) & (sites.at < self.labels.width - cut)
        sites = FollowedSites(*(column[inside] for column in sites))
        return SoftBatch(
            codes[:, before + cut : codes.shape[1] - after - cut],
            self.labels.probabilities(versions)[..., cut : self.labels.width - cut],
            sites._replace(at=sites.at - cut),
        )


def digest_of(*folders: str) -> str:
    """Checksum of what the soft labels in these folders, in this order, were made from."""
    parts = [json.dumps(about_of(folder)["identity"], sort_keys=True) for folder in folders]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def lesson_of(*folders: str) -> dict:
    """What a card says of the soft labels in these folders: their digest, who the teachers were and
    the mean of how many networks they are, how many windows were labelled, and how many of these
    are edited versions of another. Raises DatasetError."""
    labels = SoftLabels.load_folder(*folders)
    windows, families = len(labels.codes), len(labels.families) - 1
    abouts = [about_of(folder) for folder in folders]
    counts = sorted({len(about["identity"]["teachers"]) for about in abouts})
    return dict(
        digest=digest_of(*folders),
        teacher="; ".join(dict.fromkeys(a["teacher"] for a in abouts if a.get("teacher"))),
        networks=counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
        windows=windows,
        edited=windows - families,
    )


def about_of(folder: str) -> dict:
    """What `samvar train teach` wrote of the labels in `folder`: `identity`, what they were made
    from, and who the teacher was. Raises DatasetError."""
    try:
        with open(os.path.join(folder, ABOUT)) as handle:
            return json.load(handle)
    except (OSError, ValueError) as e:
        raise DatasetError(f"{folder} is no folder of samvar train teach ({e})") from e
