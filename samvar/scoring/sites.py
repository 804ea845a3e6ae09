"""Splice sites anywhere on a genome -> their probabilities, without an annotation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

import numpy as np

from ..genomics.genes import Gene
from ..genomics.genome import UNKNOWN, Genome
from ..genomics.junction import SpliceSite
from ..genomics.variant import Status, Variant
from ..genomics.window import Window, make_window
from ..model.sam import ACCEPTOR
from .calibrated import calibrated
from .predictor import Predictor, ScoredWindow

KEPT = 1 << 16  # sites whose scores are kept
MIN_KNOWN = 0.9  # share of the bases around a site; below it the score is one of LOW_CONTEXT


class SiteScore(NamedTuple):
    """Calibrated probability of a site (None where it has none), and why."""

    probability: float | None
    status: Status


class SiteScorer:
    """Scores splice sites, each in the middle of a frame of its own, so that no digit depends on
    what else is scored. The model sees the sequence on either side as it is: no gene's ends are
    known. Keeps the latest KEPT scores."""

    def __init__(self, genome: Genome, predictor: Predictor):
        self.genome, self.predictor = genome, predictor
        self._kept: OrderedDict[SpliceSite, SiteScore] = OrderedDict()
        self._strands: dict[tuple[str, str], Gene] = {}

    def score(self, sites: Iterable[SpliceSite]) -> dict[SpliceSite, SiteScore]:
        """Of every site, on all workers."""
        wanted = dict.fromkeys(sites)
        found = {site: self._kept[site] for site in wanted if site in self._kept}
        windows: dict[SpliceSite, Window] = {}
        for site in sorted(wanted.keys() - found.keys()):  # neighbours share what is computed
            shown = self._window(site)
            if isinstance(shown, Window):
                windows[site] = shown
            else:
                found[site] = SiteScore(None, shown)
        jobs = self.predictor.ahead([[window] for window in windows.values()])
        scored = chain.from_iterable(self.predictor.map(lambda job: job(), jobs))
        found |= {site: self._score(site, own) for site, (own,) in zip(windows, scored)}
        self._keep(found)
        return found

    def _keep(self, found: dict[SpliceSite, SiteScore]) -> None:
        for site, score in found.items():
            self._kept[site] = score
            self._kept.move_to_end(site)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _score(self, site: SpliceSite, scored: ScoredWindow) -> SiteScore:
        p = calibrated(scored.ref.mean(0), self.predictor.bundle.calibration)
        probability = float(p[0 if site.kind == ACCEPTOR else 1, 0])
        if not np.isfinite(probability):
            return SiteScore(None, Status.NONFINITE)
        low = scored.window.known < MIN_KNOWN
        return SiteScore(probability, Status.LOW_CONTEXT if low else Status.OK)

    def _window(self, site: SpliceSite) -> Window | Status:
        """What the model is shown of a site, or why it has no score."""
        contig = self.genome.contig(site.contig)
        if contig is None:
            return Status.NO_CONTIG
        length, at = self.genome.lengths[contig], site.position
        inward = 1 if (site.strand == "-") == (site.kind == ACCEPTOR) else -1
        first, last = sorted((at, at + 2 * inward))  # its base, and two of the intron
        if self.genome.is_circular(contig):
            at %= length
            first, last = first % length, first % length + 2
        elif first < 0 or last >= length:
            return Status.CONTIG_END
        if (self.genome.codes(contig, first, last + 1) == UNKNOWN).any():
            return Status.REF_N
        base = self.genome.codes(contig, at, at + 1)
        here = Variant(contig, at, base, base)
        bundle, reach = self.predictor.bundle, self.predictor.reach
        strand = self._strand(contig, site.strand)
        return make_window(self.genome, strand, here, 0, bundle.flank, reach)

    def _strand(self, contig: str, strand: str) -> Gene:
        """A strand of a contig, of a circle as many times round it as a frame can reach, as the
        gene that a window is cut from."""
        key = contig, strand
        if key not in self._strands:
            length, rounds = self.genome.lengths[contig], 0
            if self.genome.is_circular(contig):
                beyond = self.predictor.bundle.flank + max(self.predictor.reach)
                rounds = -(-beyond // length)
            start, end = -rounds * length, (rounds + 1) * length
            self._strands[key] = Gene(contig, contig, contig, strand, start, end, ())
        return self._strands[key]
