"""Genomes and annotations -> one packed dataset, with the split, the motifs and the checks that
keep it honest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from ..errors import DatasetError
from ..formats.annotation import load_annotation
from ..genomics.genome import UNKNOWN, ContigNames, Genome, reverse_complement
from ..model.bundle import sha256_file
from .dataset import TEST, TRAIN, VALIDATION, Dataset, TrainingGene
from .genes import gt_ag_share, merge_genes, read_genes
from .motifs import Motif, as_arrays, describe

MIN_GT_AG = 0.9  # share of introns that must start with GT and end with AG
K = 100  # length of the words by which shared sequence is found
NEAR = 200  # bases around a held-out splice site whose words must not be trained on
REPEAT_GENES = 3  # a word in this many genes is a repeat


def words(codes: np.ndarray) -> np.ndarray:
    """A 64-bit hash of every K-mer without unknown bases, distinct and sorted."""
    n = len(codes) - K + 1
    if n < 1:
        return np.zeros(0, np.uint64)
    base = np.uint64(0x9E3779B97F4A7C15)  # odd, so invertible modulo 2^64
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(len(codes), base))
        prefix = np.concatenate(
            ([np.uint64(0)], np.cumsum((codes.astype(np.uint64) + np.uint64(1)) * powers))
        )
        inverse = np.cumprod(np.full(len(codes), np.uint64(pow(int(base), -1, 1 << 64))))
        hashes = (prefix[K:] - prefix[:n]) * inverse[:n]
    unknown = np.concatenate(([0], np.cumsum(codes == UNKNOWN)))
    return np.unique(hashes[unknown[K:] == unknown[:n]])


def leaks(
    train: list[TrainingGene], held_out: list[TrainingGene]
) -> dict[TrainingGene, tuple[TrainingGene, int]]:
    """Train genes that share K-mers with a held-out gene, on either strand: gene -> (the held-out
    gene it shares most with, number of K-mers).

    Repeats need no mask: only words within NEAR bases of a held-out splice site count,
    and of those only the ones in fewer than REPEAT_GENES genes (interspersed repeats lie deep in
    introns, or in many genes).
    """
    if not held_out:
        return {}
    near_sites = [_near_sites(gene) for gene in held_out]
    held_words = [
        np.union1d(words(codes), words(reverse_complement(codes))) for codes in near_sites
    ]
    pool, holders = np.unique(np.concatenate(held_words), return_counts=True)
    shared = [_positions(words(gene.codes), pool) for gene in train]
    in_genes = holders + np.bincount(np.concatenate(shared), minlength=len(pool))
    leaking = {}
    for gene, at in zip(train, shared):
        telling = pool[at[in_genes[at] < REPEAT_GENES]]
        if len(telling):
            counts = [len(_positions(telling, own)) for own in held_words]
            most = max(range(len(counts)), key=lambda i: (counts[i], i))
            leaking[gene] = held_out[most], counts[most]
    return leaking


def _near_sites(gene: TrainingGene) -> np.ndarray:
    """The gene's codes, unknown where no splice site is within NEAR bases."""
    keep = np.zeros(len(gene.codes), bool)
    for site in (*gene.acceptors, *gene.donors):
        keep[max(site - NEAR, 0) : site + NEAR + 1] = True
    return np.where(keep, gene.codes, UNKNOWN)


def _positions(some: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where in the sorted `among` those of `some` stand that it contains."""
    at = np.searchsorted(among, some)
    at[at == len(among)] = 0
    return at[among[at] == some] if len(among) else at[:0]


def prepare(
    sources: list[tuple[str, str]],
    validation: set[str],
    test: set[str],
    held_out: set[str],
    motifs: Sequence[Motif] = (),
    report: Callable[[str], None] = print,
    leave_out: Set[str] = frozenset(),
) -> Dataset:
    """Train and validation genes of several (FASTA, annotation) pairs as one dataset; test genes
    are never packed.

    Validation: genes without paralogs on the `validation` chromosomes; test: the same on `test`;
    genes of which the annotation does not say so count as without. Left out: genes with paralogs on
    these chromosomes, genes named in `held_out`, genes on the `leave_out` chromosomes, and train
    genes that share a 100-mer with the neighbourhood of a splice site of a validation, test or
    held-out gene, repeats apart (`leaks`). A gene in two sources counts once.

    Raises DatasetError where the introns of a source are not mostly GT-AG, or no train gene is
    left.
    """
    merged, files = _read_sources(sources, report)
    rule = _Rule(ContigNames(validation), ContigNames(test), held_out, ContigNames(leave_out))
    genes = [replace(gene, split=split) for gene in merged if (split := rule.split_of(gene))]
    _check_chromosomes(rule, genes, merged, report)
    genes = _without_leaks(genes, report)
    packed = [gene for gene in genes if gene.split != TEST]
    for split in (TRAIN, VALIDATION):
        _report_split(split, [gene for gene in packed if gene.split == split], report)
    report(f"{TEST} and held out: {len(genes) - len(packed)} genes, not packed")
    if n := sum(bool(rule.left_out.find(gene.chrom)) for gene in merged):
        report(f"{', '.join(sorted(leave_out))}: {n} genes, left out")
    origin = dict(
        files=files,
        motifs=describe(motifs),
        validation=sorted(validation),
        test=sorted(test),
        held_out=sorted(held_out),
        left_out=sorted(leave_out),
    )
    return Dataset.from_genes(packed, as_arrays(motifs) if motifs else None, origin)


@dataclass(frozen=True)
class _Rule:
    """Which chromosomes and genes belong to which split."""

    validation: ContigNames
    test: ContigNames
    held_out: set[str]  # names of genes
    left_out: ContigNames

    def split_of(self, gene: TrainingGene) -> str | None:
        """None: the gene is not used. Held-out genes are among those of the test."""
        single = gene.paralog is not True
        in_test, in_validation = self.test.find(gene.chrom), self.validation.find(gene.chrom)
        if gene.name in self.held_out or (in_test and single):
            return TEST
        if in_validation and single:
            return VALIDATION
        if in_test or in_validation or self.left_out.find(gene.chrom):
            return None
        return TRAIN


def _read_sources(
    sources: list[tuple[str, str]], report: Callable[[str], None]
) -> tuple[list[TrainingGene], dict[str, str]]:
    """(the genes of all sources, sha256 of each file by its name)."""
    files, read = {}, []
    for fasta, annotation in sources:
        loaded = load_annotation(annotation)
        for note in loaded.notes:
            report(f"{annotation}: {note}")
        genes = read_genes(Genome(fasta), loaded)
        share, introns = gt_ag_share(genes)
        report(
            f"{os.path.basename(annotation)}: {len(genes)} genes, {introns} introns, GT-AG "
            f"{share:.2%}"
        )
        if introns and share < MIN_GT_AG:
            raise DatasetError(
                f"only {share:.1%} of the {introns} introns of {annotation} are GT-AG in {fasta}: "
                f"wrong genome build, or coordinates off by one? (at least {MIN_GT_AG:.0%} "
                "expected)"
            )
        for path in (fasta, annotation):
            files[os.path.basename(path)] = sha256_file(path)
        read.append(genes)
    return merge_genes(read), files


def _check_chromosomes(
    rule: _Rule,
    genes: list[TrainingGene],
    merged: list[TrainingGene],
    report: Callable[[str], None],
) -> None:
    """Raises DatasetError where a split has chromosomes, but no gene on them, or no gene is left to
    train on."""
    present = ContigNames({gene.chrom for gene in merged})
    for split, chroms in ((VALIDATION, rule.validation), (TEST, rule.test)):
        on_them = (chroms.find(gene.chrom) for gene in genes if gene.split == split)
        if chroms.names and not any(on_them):
            raise DatasetError(
                f"no {split} gene: no gene without paralogs lies on "
                f"{', '.join(sorted(chroms.names))}; choose other chromosomes with --{split} (or "
                "'' for none)"
            )
        if absent := [name for name in sorted(chroms.names) if not present.find(name)]:
            report(f"no gene of the annotation lies on {', '.join(absent)} (--{split})")
    if not any(gene.split == TRAIN for gene in genes):
        raise DatasetError(
            "no train gene is left: every gene is on a validation or test chromosome, or held out"
        )


def _without_leaks(genes: list[TrainingGene], report: Callable[[str], None]) -> list[TrainingGene]:
    """Without the train genes that share sequence with a gene of another split."""
    train = [gene for gene in genes if gene.split == TRAIN]
    test_first = sorted((g for g in genes if g.split != TRAIN), key=lambda g: g.split != TEST)
    leaking = leaks(train, test_first)
    for gene, (other, n) in leaking.items():
        report(f"{gene.name} ({gene.chrom}) shares {n} {K}-mers with {other.name}: left out")
    if len(leaking) == len(train):
        raise DatasetError(
            "no train gene is left: each shares sequence with a validation, test or held-out gene"
        )
    return [gene for gene in genes if gene not in leaking]


def _report_split(split: str, genes: list[TrainingGene], report: Callable[[str], None]) -> None:
    share, introns = gt_ag_share(genes)
    bases = sum(len(gene.codes) for gene in genes)
    report(f"{split}: {len(genes)} genes, {bases:,} bases, {introns} introns, GT-AG {share:.2%}")
