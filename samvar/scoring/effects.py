"""What is said of an allele: its status, and for each gene its deltas and their causes."""

from __future__ import annotations

from dataclasses import dataclass

from ..genomics.genes import Gene, Transcript
from ..genomics.hgvs import hgvs_c
from ..genomics.transcript import TranscriptMap
from ..genomics.variant import Status
from ..genomics.window import Window
from .attribution import Attribution
from .consequence import Consequence
from .deltas import Deltas


@dataclass(frozen=True, eq=False)
class GeneEffect:
    """What an allele does to the splice sites of one gene around it.

    window  what the models were shown: gene, compared positions
    deltas  gains and losses of acceptors and donors, probability
    causes  the deltas that were taken apart, in the order of `deltas.NAMES`
    consequences  what happens to each of the transcripts asked for; none where no site changes
    """

    window: Window
    deltas: Deltas
    causes: tuple[Attribution, ...] = ()
    consequences: tuple[Consequence, ...] = ()

    @property
    def gene(self) -> Gene:
        return self.window.gene

    def hgvs(self, transcript: Transcript) -> str:
        """What the variant is called on a transcript of the gene (`hgvs_c`)."""
        own = TranscriptMap.of(self.gene, transcript)
        return hgvs_c(own, self.window.variant, self.window.genome)

    @property
    def largest(self) -> float:
        """The largest of the four deltas, probability."""
        return float(self.deltas.values.max())


@dataclass(frozen=True, eq=False)
class ScoredAllele:
    """One ALT as written, why it has a score or none, and its effect on each gene that it lies in:
    empty where it has no score."""

    alt: str
    status: Status
    genes: tuple[GeneEffect, ...] = ()

    @property
    def max(self) -> float | None:
        """SAMVAR_MAX: the largest delta over all genes, probability; None without a score."""
        return max((g.largest for g in self.genes), default=None)
