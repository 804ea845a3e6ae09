"""Training a model of in-vivo binding (`model.binding`): examples from peaks, and the task.

Genes are cut into bins of 50 bases from their 5' end on. A bin is bound by a protein where its
peaks, of all cell lines together, hold half of the bin or more. An example is a bin with 50 bases
on either side, unknown outside the gene. Examples are all bins that some protein binds, and the
controls: of each bound bin and protein others of the same gene, drawn at random, which no peak of
the protein touches. A control may be bound by another protein. A protein has no say on a bin that
its peaks touch but do not bind, nor in genes where it has no peak: these may not be transcribed in
its cell lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import DatasetError
from ..formats.peaks import Peaks
from ..genomics.genes import Annotation, Gene
from ..genomics.genome import UNKNOWN, ContigNames, Genome, reverse_complement
from ..genomics.region_types import NONE, region_types
from ..model.binding import BindingNet, BindingShape, save_binding
from ..model.sam import one_hot
from .areas import auprc, auroc
from .loop import Stateless
from .recipe import BindingRecipe

UNSAID, OTHER, BOUND, CONTROL = -1, 0, 1, 2  # labels; a control is not bound, as OTHER is not
MIN_OF_EACH = 10  # bound bins, and controls, that a protein needs to be validated on
BATCH = 1024  # examples that are evaluated together


class Binned(NamedTuple):
    """Cutting of genes into bins, and which of them count as bound."""

    window: int
    bin: int
    extend5: int
    controls: int
    seed: int

    @classmethod
    def of(cls, recipe: BindingRecipe) -> Binned:
        return cls(recipe.window, recipe.bin, recipe.extend5, recipe.controls, recipe.seed)


@dataclass(frozen=True, eq=False)
class Examples:
    """Bins of genes.

    codes    (n, window): 0-3 A C G T, 4 unknown; transcript orientation
    regions  (n, window): as `region_types`
    labels   (n, P): BOUND, CONTROL, OTHER or UNSAID, by protein
    gene     (n,): index into `genes`
    genes    symbol and contig of each gene
    """

    codes: np.ndarray
    regions: np.ndarray
    labels: np.ndarray
    gene: np.ndarray
    genes: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.codes)

    def of(self, columns: Sequence[int]) -> Examples:
        """Those on which one of these proteins has a say, with their labels alone."""
        own = replace(self, labels=self.labels[:, list(columns)])
        return own.rows((own.labels != UNSAID).any(1))

    def rows(self, kept: np.ndarray) -> Examples:
        """Those of which `kept` (n,) is true."""
        return Examples(
            self.codes[kept], self.regions[kept], self.labels[kept], self.gene[kept], self.genes
        )


def separate_genes(genome: Genome, genes: Iterable[Gene]) -> list[Gene]:
    """Those on contigs of the FASTA, none of them over another one of its strand: of those that
    overlap the one counts that `Transcript.preference` puts first."""
    kept: dict[tuple[str, str], list[Gene]] = defaultdict(list)
    for gene in sorted(genes, key=lambda g: g.chosen.preference()):
        others = kept[gene.contig, gene.strand]
        overlapping = any(g.start < gene.end and gene.start < g.end for g in others)
        if genome.contig(gene.contig) is not None and not overlapping:
            others.append(gene)
    return sorted(
        (gene for own in kept.values() for gene in own),
        key=lambda g: (g.contig, g.start, g.strand),
    )


def without(genes: Iterable[Gene], symbols: Iterable[str]) -> list[Gene]:
    """Those that lie over no gene of these symbols, on either strand."""
    genes, names = list(genes), set(symbols)
    hidden = [g for g in genes if g.symbol in names]
    return [
        g
        for g in genes
        if not any(g.contig == h.contig and g.start < h.end and h.start < g.end for h in hidden)
    ]


def on_contigs(genes: Iterable[Gene], contigs: Iterable[str], those: bool = True) -> list[Gene]:
    """The genes whose chromosome of origin is among these, or not `those`: is not."""
    names = ContigNames(contigs)
    return [g for g in genes if (names.find(g.origin) is not None) == those]


def bound_bases(peaks: Peaks, gene: Gene, extend5: int) -> dict[str, np.ndarray]:
    """Of each protein with a peak in a gene which of its bases (boolean, transcript orientation)
    the peaks hold, all cell lines together."""
    found: dict[str, np.ndarray] = {}
    low, high = gene.start - extend5, gene.end + extend5
    for peak in peaks.overlapping(gene.contig, gene.strand, low, high):
        start, end = (max(bound - gene.start, 0) for bound in peak.reaching(extend5))
        if start < gene.end - gene.start and end > 0:
            own = found.setdefault(peak.protein, np.zeros(gene.end - gene.start, bool))
            own[start:end] = True
    forward = gene.strand == "+"
    return {protein: held if forward else held[::-1] for protein, held in found.items()}


def examples(
    genome: Genome, peaks: Peaks, genes: Sequence[Gene], proteins: Sequence[str], how: Binned
) -> Examples:
    """All examples of some genes. Raises DatasetError where no bin is bound."""
    parts = [_of_gene(genome, peaks, gene, proteins, how) for gene in genes]
    filled = [(i, part) for i, part in enumerate(parts) if part is not None]
    if not filled:
        raise DatasetError(f"no peak of {peaks.path} lies in a gene in known sequence")
    codes, regions, labels = (np.concatenate(part) for part in zip(*(part for _, part in filled)))
    gene = np.concatenate([np.full(len(part[0]), i) for i, part in filled])
    return Examples(codes, regions, labels, gene, tuple((g.symbol, g.contig) for g in genes))


def _of_gene(
    genome: Genome, peaks: Peaks, gene: Gene, proteins: Sequence[str], how: Binned
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """(codes, regions, labels) of the bins of a gene that are examples; None where none is."""
    size = how.bin
    bins = (gene.end - gene.start) // size
    held = bound_bases(peaks, gene, how.extend5)
    if not bins or not held.keys() & set(proteins):
        return None
    contig = genome.contig(gene.contig)
    assert contig
    codes = genome.codes(contig, gene.start, gene.end)
    regions = region_types(gene.chosen, gene.strand, gene.start, gene.end)
    if gene.strand == "-":
        codes, regions = reverse_complement(codes), regions[::-1]
    known = (codes[: bins * size] != UNKNOWN).reshape(bins, size).all(1)
    labels = np.full((bins, len(proteins)), UNSAID, np.int8)
    rng = np.random.default_rng([how.seed, gene.start, gene.strand == "-"])
    for column, protein in enumerate(proteins):
        if protein in held:
            of_bin = held[protein][: bins * size].reshape(bins, size).sum(1)
            labels[:, column] = _labels(of_bin, size, known, how.controls, rng)
    chosen = np.flatnonzero(((labels == BOUND) | (labels == CONTROL)).any(1))
    if not len(chosen):
        return None
    edge = (how.window - size) // 2
    around = chosen[:, None] * size + np.arange(how.window)
    padded = np.pad(codes, (edge, edge + size), constant_values=UNKNOWN)
    of_regions = np.pad(regions, (edge, edge + size), constant_values=NONE)
    return padded[around], of_regions[around], labels[chosen]


def _labels(
    held: np.ndarray, size: int, known: np.ndarray, controls: int, rng: np.random.Generator
) -> np.ndarray:
    """Of each bin of a gene by one protein. `held`: how many of its `size` bases are in peaks;
    bins that are not `known` are neither bound nor controls."""
    labels = np.where(held > 0, UNSAID, OTHER).astype(np.int8)
    labels[known & (2 * held >= size)] = BOUND
    free = np.flatnonzero(known & (held == 0))
    wanted = min(controls * int((labels == BOUND).sum()), len(free))
    labels[rng.choice(free, wanted, replace=False)] = CONTROL
    return labels


def frequent(peaks: Peaks, found: Examples, proteins: Sequence[str], least: int) -> list[str]:
    """The proteins that bind at least so many of the examples. Raises DatasetError where there is
    none."""
    counts = (found.labels == BOUND).sum(0)
    kept = [protein for protein, n in zip(proteins, counts) if n >= least]
    if not kept:
        raise DatasetError(
            f"no protein of {peaks.path} binds {least} bins in the train genes; lower `least`"
        )
    return kept


class BindingTask(Stateless):
    """Fits a `BindingNet` to the examples of the train genes."""

    def __init__(
        self,
        genome: Genome,
        annotation: Annotation,
        peaks: Peaks,
        recipe: BindingRecipe,
        device: torch.device,
    ):
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        self.train, self.held_out, self.proteins = split(genome, annotation, peaks, recipe)
        r = recipe
        shape = BindingShape(
            window=r.window,
            bin=r.bin,
            channels=r.channels,
            region_channels=r.region_channels,
            hidden=r.hidden,
            residual=r.residual,
            dropout=r.dropout,
        )
        self.model = BindingNet(len(self.proteins), shape).to(device)
        self.identity = dict(
            kind="binding",
            reference=genome.digest(),
            annotation=annotation.digest,
            peaks=peaks.digest,
        )
        bound = (self.train.labels == BOUND).any(1)
        self.bound, self.others = np.flatnonzero(bound), np.flatnonzero(~bound)

    def start_step(self, step: int) -> None:
        torch.manual_seed(self.recipe.seed * 1_000_003 + step)  # for the dropout of this step

    def loss(self, step: int) -> torch.Tensor:
        """Cross-entropy in nats, mean over the proteins and bins where they have a say."""
        rng = np.random.default_rng([self.recipe.seed, step])
        half = self.recipe.batch // 2
        rows = np.concatenate((rng.choice(self.bound, half), rng.choice(self.others, half)))
        labels = torch.from_numpy(self.train.labels[rows]).to(self.device)
        logits = self.model(*inputs(self.train, rows, self.device))
        said = labels != UNSAID
        loss = F.binary_cross_entropy_with_logits(
            logits, (labels == BOUND).float(), reduction="none"
        )
        return (loss * said).sum() / said.sum().clamp(min=1)

    def validate(self, step: int) -> dict[str, float]:
        """Mean over the proteins of the areas on validation genes."""
        areas = list(measure(self.model, self.held_out, self.proteins, self.device).values())
        if not areas:
            return {}
        return {name: mean_area(areas, name) for name in ("auprc", "auroc", "auroc_bound")}

    def save_weights(self, folder: str, step: int) -> None:
        about = dict(self.identity, step=step, steps=self.recipe.steps, recipe=asdict(self.recipe))
        save_binding(folder, self.model, self.proteins, about)


def split(
    genome: Genome, annotation: Annotation, peaks: Peaks, recipe: BindingRecipe
) -> tuple[Examples, Examples, tuple[str, ...]]:
    """Examples of train and of validation genes, and the proteins. Genes on contigs that are held
    out, and those over held-out genes, are not looked at."""
    genes = without(annotation.genes, recipe.held_out_genes)
    open_genes = separate_genes(genome, on_contigs(genes, recipe.held_out, those=False))
    names, how = sorted(peaks.proteins), Binned.of(recipe)
    if unknown := sorted(set(recipe.proteins) - set(names)):
        raise DatasetError(f"{peaks.path} has no peak of {', '.join(unknown)}")
    of_train = on_contigs(open_genes, recipe.validation, those=False)
    train = examples(genome, peaks, of_train, names, how)
    proteins = frequent(peaks, train, names, recipe.least)
    proteins = [p for p in proteins if not recipe.proteins or p in recipe.proteins]
    if missing := sorted(set(recipe.proteins) - set(proteins)):
        raise DatasetError(f"{', '.join(missing)}: fewer than {recipe.least} bound bins; see least")
    columns = [names.index(protein) for protein in proteins]
    of_validation = on_contigs(open_genes, recipe.validation)
    held_out = examples(genome, peaks, of_validation, names, how)
    return train.of(columns), held_out.of(columns), tuple(proteins)


def inputs(
    found: Examples, rows: np.ndarray | slice, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """One-hot bases and region types of some examples, as the network takes them."""
    codes, regions = (torch.from_numpy(v[rows]).to(device) for v in (found.codes, found.regions))
    return one_hot(codes), one_hot(regions)


@torch.inference_mode()
def predict(model: BindingNet, found: Examples, device: torch.device) -> np.ndarray:
    """Log-odds (n, P) of all examples."""
    model.eval()
    parts = [slice(start, start + BATCH) for start in range(0, len(found), BATCH)]
    return np.concatenate([model(*inputs(found, p, device)).cpu().numpy() for p in parts])


class Areas(NamedTuple):
    """How well the bins that a protein binds are separated from others: from its own controls
    (average precision and area under the ROC curve), and from bins of the same genes that others
    bind (area under the ROC curve; nan where there are too few)."""

    bound: int
    controls: int
    auprc: float
    auroc: float
    auroc_bound: float


def mean_area(areas: Iterable[Areas], name: str) -> float:
    """Mean of a column over the proteins that have it; nan where none has."""
    known = [value for a in areas if not np.isnan(value := getattr(a, name))]
    return float(np.mean(known)) if known else float("nan")


def measure(
    model: BindingNet, found: Examples, proteins: Sequence[str], device: torch.device
) -> dict[str, Areas]:
    """Of each protein with enough bound bins and controls."""
    return areas_of(predict(model, found, device), found.labels, proteins)


def areas_of(log_odds: np.ndarray, labels: np.ndarray, proteins: Sequence[str]) -> dict[str, Areas]:
    """`measure` of predictions (n, P) that are there; a protein without any (nan) is left out."""
    by_any = (labels == BOUND).any(1)
    areas = {}
    for column, protein in enumerate(proteins):
        said = np.flatnonzero(labels[:, column] != UNSAID)
        own, value = labels[said, column], log_odds[said, column]
        bound, control = own == BOUND, own == CONTROL
        if min(bound.sum(), control.sum()) < MIN_OF_EACH or np.isnan(value).any():
            continue
        elsewhere = by_any[said] & ~bound
        shown, against = bound | control, bound | elsewhere
        enough = elsewhere.sum() >= MIN_OF_EACH
        areas[protein] = Areas(
            int(bound.sum()),
            int(control.sum()),
            auprc(bound[shown], value[shown]),
            auroc(bound[shown], value[shown]),
            auroc(bound[against], value[against]) if enough else float("nan"),
        )
    return areas
