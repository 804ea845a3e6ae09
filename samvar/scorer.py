"""samvar as a library: an object that scores and explains alleles."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import index
from os import PathLike, fspath
from typing import SupportsIndex, cast

from . import annotate as spine
from .annotate import Allele, Options
from .errors import AlleleError, SamvarError
from .formats.annotation import load_annotation
from .genomics.genes import Annotation
from .genomics.genome import Genome
from .genomics.introns import check_introns
from .genomics.stop_codons import with_stop_codons
from .model.bundle import load_bundle
from .opinions import Opinions, Told, load_opinions
from .scoring.effects import GeneEffect, ScoredAllele
from .scoring.predictor import Predictor
from .views.explanation import Explanation, explain


def load(
    fasta: str | PathLike[str],
    annotation: str | PathLike[str],
    model: str | PathLike[str] = "default",
    options: Options | None = None,
    device: str = "cpu",
    threads: int = 1,
    allow_annotation_mismatch: bool = False,
    binding: str | PathLike[str] | None = None,
    peaks: str | PathLike[str] | None = None,
) -> Scorer:
    """What `samvar annotate -f FASTA -a ANNOTATION --model MODEL` reads, ready to score.

    `annotation`: GTF, GFF3, BED12 + gene, or one of the tables of genes, gzipped or not. `model`: a
    bundled name or a folder, NAME:fm for its fixed-motif model. `device`: cpu, cuda or cuda:N.
    `threads`: workers, of one CPU thread each. `allow_annotation_mismatch`: go on when most introns
    of the annotation do not look like introns in the FASTA; where they are too few to tell, or
    genes have exons beyond the end of their contig, there is a warning. `binding` (default or a
    folder) and `peaks` (a file or a folder, of the FASTA's build): second opinions on causes, as
    those options of `samvar annotate`. Raises SamvarError when a file cannot be read or they do not
    belong together, and where `options` or `threads` cannot be.
    """
    if not isinstance(options, Options | None):
        raise SamvarError(f"options must be samvar.Options(...), not {options!r}")
    if threads < 1:
        raise SamvarError(f"threads is {threads}: it must be 1 or more")
    genome, genes = Genome(fspath(fasta)), load_annotation(fspath(annotation), cache=True)
    spine.check_annotation(genome, genes)
    if not allow_annotation_mismatch and (doubt := check_introns(genome, genes)):
        warnings.warn(doubt, stacklevel=2)
    genes = with_stop_codons(genome, genes)
    of_binding, of_peaks = (None if x is None else fspath(x) for x in (binding, peaks))
    opinions = load_opinions(of_binding, of_peaks, genome)
    predictor = Predictor(load_bundle(fspath(model)), device, threads)
    return Scorer(genome, genes, predictor, options, opinions)


class Scorer:
    """Scores alleles with one genome, one annotation and one bundle of models; to be made with
    `load`, once: it keeps what it has computed of the reference for nearby variants.

    Every method may be called from several threads; the digits are those of `samvar annotate`,
    whatever is scored before or beside. A process needs a Scorer of its own (also after a fork).
    Results can be pickled. To be closed, or used as a context manager, so that its workers end.
    """

    def __init__(
        self,
        genome: Genome,
        annotation: Annotation,
        predictor: Predictor,
        options: Options | None = None,
        opinions: Opinions | None = None,
    ):
        self.genome, self.annotation, self.predictor = genome, annotation, predictor
        self.options, self.opinions = options or Options(), opinions

    def score(self, contig: str, pos: int, ref: str, alt: str) -> ScoredAllele:
        """Status, deltas (probability) and their causes of one allele, as in a VCF: `pos` is
        1-based, the contig has any of its usual names. An allele that cannot be scored has a
        status that says why, and no genes. Raises AlleleError, a SamvarError, where `pos` is no
        whole number from 1 on, or one of the others no text."""
        return next(self.score_all([(contig, pos, ref, alt)]))

    def score_all(self, alleles: Iterable[tuple[str, int, str, str]]) -> Iterator[ScoredAllele]:
        """`score` of each (contig, pos, ref, alt), in order, on all workers. Reads a thousand or
        two ahead, and raises AlleleError when it comes to what is none."""
        waiting = map(_allele, alleles)
        chunks = iter(lambda: list(islice(waiting, spine.CHUNK)), [])
        started = (
            spine.score(self.genome, self.annotation, self.predictor, chunk, self.options)
            for chunk in chunks
        )
        for scored in spine.one_ahead(started):
            yield from scored

    def explain(self, contig: str, pos: int, ref: str, alt: str) -> Explanation:
        """Everything about one allele: the landscape of sites around it in REF and ALT, and the
        causes of each delta of at least `options.rbp_min`, and always of the largest, with their
        knock-outs, and the second opinions on them (`told` of each gene) that were asked for in
        `load`. Coordinates and errors as in `score`."""
        allele = _allele((contig, pos, ref, alt))
        return self.predictor.run(
            lambda: explain(
                self.genome,
                self.annotation,
                self.predictor,
                *allele,
                self.options,
                opinions=self.opinions,
            )
        )

    def told(self, effect: GeneEffect) -> Told:
        """Second opinions on the causes of an effect on a gene, one of what `score` gives:
        `told(effect).on(part)` has the change of the log-odds of binding, and the cell lines with a
        peak. Empty where none were asked for in `load`."""
        if not self.opinions:
            return Told((), {})
        return self.opinions.of(effect.window, [p for cause in effect.causes for p in cause.parts])

    def close(self) -> None:
        """End the workers; what none of them has begun is dropped."""
        self.predictor.close()
        if self.opinions:
            self.opinions.close()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _allele(values: Iterable[object]) -> Allele:
    """(contig, pos, ref, alt), checked; `pos` may be any integer, numpy's among them."""
    parts = tuple(values)
    if len(parts) != 4:
        raise AlleleError(f"{parts!r} is no allele: give contig, pos, ref and alt")
    contig, pos, ref, alt = parts
    for name, text in (("contig", contig), ("ref", ref), ("alt", alt)):
        if not isinstance(text, str):
            raise AlleleError(f"allele {parts!r}: {name} must be a str, not {text!r}")
    try:
        number = 0 if isinstance(pos, bool) else index(cast(SupportsIndex, pos))
    except TypeError:
        number = 0
    if number < 1:
        raise AlleleError(f"allele {parts!r}: pos must be a whole number from 1 on, not {pos!r}")
    return Allele(str(contig), number, str(ref), str(alt))
