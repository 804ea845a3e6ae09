"""Second opinions on the proteins that are named as causes: what a model of in-vivo binding says of
the site in both alleles, and whether the protein was found there in cells (CLIP)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from . import info
from .formats.peaks import Peaks, read_peaks
from .genomics.genome import Genome
from .genomics.region_types import region_types
from .genomics.window import Place, Window
from .model.binding import BindingModel, load_binding
from .model.sam import one_hot
from .scoring.attribution import Part, PartKind


class Site(NamedTuple):
    """Where a protein binds."""

    protein: str
    place: Place


class Opinion(NamedTuple):
    """What is said of a site.

    binding  log-odds of binding in ALT less those in REF; None where the model does not know the
             protein, or none was asked for
    peak     cell lines with a peak of the protein there; None where the peaks do not know the
             protein, or none were asked for
    """

    binding: float | None = None
    peak: Sequence[str] | None = None


class Told(NamedTuple):
    """The opinions on the causes of an allele's deltas in one gene, and what columns of a table
    they fill."""

    columns: tuple[info.Column, ...]
    opinions: Mapping[Site, Opinion]

    def on(self, part: Part) -> Opinion:
        """On a cause; an empty one where that is no site of a protein."""
        site = site_of(part)
        return self.opinions.get(site, Opinion()) if site else Opinion()

    def cells(self, part: Part) -> list[str]:
        """What the columns say of a cause, as it is written."""
        opinion = self.on(part)
        written = {
            info.BIND: info.binding_value(opinion.binding),
            info.PEAK: info.peak_value(opinion.peak),
        }
        return [written[column] for column in self.columns]


class Source(NamedTuple):
    """Where opinions come from: key of its header line, name, sha256."""

    key: str
    name: str
    sha256: str


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "samvar-binding", torch.set_num_threads, (1,))


@dataclass(frozen=True, eq=False)
class Opinions:
    """Whom to ask. To be closed, or used as a context manager, so that its thread ends: one of one
    intra-op thread, as the workers that score, for the same digits."""

    model: BindingModel | None = None
    peaks: Peaks | None = None
    _thread: ThreadPoolExecutor = field(init=False, repr=False, default_factory=_one_thread)

    def __enter__(self) -> Opinions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    @property
    def columns(self) -> tuple[info.Column, ...]:
        """What a row of SAMVAR_RBP has more."""
        return (info.BIND,) * bool(self.model) + (info.PEAK,) * bool(self.peaks)

    @property
    def sources(self) -> list[Source]:
        """What is asked."""
        model, peaks = self.model, self.peaks
        of_model = [Source("binding", model.name, model.sha256)] if model else []
        of_peaks = [Source("peaks", peaks.name, peaks.digest)] if peaks else []
        return of_model + of_peaks

    def of(self, window: Window, parts: Sequence[Part]) -> Told:
        """On the sites of proteins among the causes of an allele's deltas in one gene."""
        return self._thread.submit(self._of, window, parts).result()

    def _of(self, window: Window, parts: Sequence[Part]) -> Told:
        sites = dict.fromkeys(site for part in parts if (site := site_of(part)))
        shown = Haplotypes(window, self.model.window) if self.model else None
        opinions = {
            site: Opinion(self._change(shown, site), self._cell_lines(window, site))
            for site in sites
        }
        return Told(self.columns, opinions)

    def _change(self, shown: Haplotypes | None, site: Site) -> float | None:
        if shown is None or self.model is None or site.protein not in self.model.proteins:
            return None
        sides = [shown.around(site.place, in_alt) for in_alt in (False, True)]
        codes, regions = (torch.from_numpy(np.stack(side)) for side in zip(*sides))
        with torch.no_grad():  # always two windows a call: no digit depends on other sites
            ref, alt = self.model.net(one_hot(codes), one_hot(regions))
        column = self.model.proteins.index(site.protein)
        return float(alt[column] - ref[column])

    def _cell_lines(self, window: Window, site: Site) -> list[str] | None:
        if self.peaks is None:
            return None
        contig, strand = window.variant.contig, window.gene.strand
        return self.peaks.cell_lines(
            site.protein, contig, strand, site.place.position, info.NEAR_PEAK
        )


def load_opinions(binding: str | None, peaks: str | None, genome: Genome) -> Opinions | None:
    """Those that are asked for; None where none are. `binding`: default or a folder, `peaks`: a
    file or a folder. Raises BundleError or PeakError where they cannot be read, or the peaks are
    not of this genome's build."""
    if not binding and not peaks:
        return None
    found = read_peaks(peaks) if peaks else None
    if found:
        found.check(genome)
    return Opinions(load_binding(binding) if binding else None, found)


def site_of(part: Part) -> Site | None:
    """The site of a protein that is a cause; None of other causes."""
    if part.kind is not PartKind.MOTIF or part.position is None:
        return None
    return Site(part.rbp, Place(part.position, part.offset))


class Haplotypes:
    """Codes and region types of both alleles, in transcript orientation, as far around the frame
    as a window of the model can reach."""

    def __init__(self, window: Window, width: int):
        self.window, self.half, self.width = window, width // 2, width
        gene, reach = window.gene, window.reach
        before = reach[0] if window.direction > 0 else reach[1]
        self.low = window.start - window.flank - before  # of the contig, where ref begins
        high = self.low + len(window.ref)
        kinds = region_types(gene.chosen, gene.strand, self.low - width, high + width)
        first = window.origin - reach[0]  # in bases of the gene
        last = first + len(window.ref)
        edges = window.gene_codes(first - width, first), window.gene_codes(last, last + width)
        self.codes = [np.concatenate((edges[0], own, edges[1])) for own in (window.ref, window.alt)]
        self.regions = [window.to_genome(own) for own in (kinds, self._of_alt(kinds))]

    def _of_alt(self, kinds: np.ndarray) -> np.ndarray:
        """Region types (genome order) of ref -> those of alt: of new bases what the base has whose
        place they take, or the last one before them."""
        parts, done = [], 0
        for piece in self.window.placed:
            at = piece.start - self.low + self.width
            gone, new = len(piece.ref), len(piece.alt)
            own = np.minimum(np.arange(new), gone - 1)
            parts += [kinds[done:at], kinds[at + own]]
            done = at + gone
        return np.concatenate((*parts, kinds[done:]))

    def around(self, place: Place, in_alt: bool) -> tuple[np.ndarray, np.ndarray]:
        """Codes and region types (width,) of one allele, the place in the middle; where it has no
        such base, the place in the middle where that would be."""
        column = self._column(place, in_alt) + self.width
        middle = self.window.flipped(column, len(self.codes[in_alt]))
        start = middle - self.half
        return tuple(  # type: ignore[return-value]
            np.ascontiguousarray(side[in_alt][start : start + self.width])
            for side in (self.codes, self.regions)
        )

    def _column(self, place: Place, in_alt: bool) -> int:
        """Index of a place in an allele, in genome order."""
        column = place.position - self.low
        if not in_alt:
            return column
        shift = place.offset
        for piece in self.window.placed:
            into = place.position - piece.start
            if into >= len(piece.ref):
                shift += len(piece.alt) - len(piece.ref)
            elif into >= 0:
                shift -= into - min(into, len(piece.alt))
        return column + shift
