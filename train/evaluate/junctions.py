#!/usr/bin/env python3
"""True junctions of held-out genes against decoys of like length: `samvar junctions` beside its
splice-site model alone and its teacher.

    python train/evaluate/junctions.py DATA --model default --teacher SEED.pt ... --json OUT

Genes of --chroms without paralogs, their chosen transcripts. Each true intron has DECOYS decoys of
either kind, GT-AG, in the same gene, as long as the true one within a tenth:

    both    donor and acceptor are no site of any RefSeq transcript
    half    one of the two is a site of the true intron, the other is no site

A junction's score is the lesser of its two sites' probabilities (LSSI: log-probabilities). AUROC
and average precision, 95 % bootstrap over genes; and the shares of true junctions and decoys that
score --min-score or more.
"""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

import numpy as np
import torch
from common import auprc, auroc, bootstrap, save

from samvar.formats.annotation import load_annotation
from samvar.genomics.genes import Annotation, Gene
from samvar.genomics.genome import UNKNOWN, Genome, encode
from samvar.genomics.junction import Junction, sites
from samvar.genomics.window import Window
from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DETECT_REACH, DONOR, one_hot
from samvar.research.junctions import Judge
from samvar.scoring.knockout import region_window
from samvar.scoring.predictor import Predictor
from samvar.training.cnn import load_openspliceai

DECOYS = 2  # of either kind, for each true intron
LIKE = 0.1  # share by which a decoy's length may differ
MIN_KNOWN = 0.9
KINDS = ("both", "half")
VALIDATION = "chr1,chr3"
PIECE = 5000  # bases that the teacher scores together


class Case(NamedTuple):
    """A junction, what it is ("true" or one of KINDS), and its gene."""

    junction: Junction
    kind: str
    gene: str


def genes_of(genome: Genome, annotation: Annotation, chroms: list[str]) -> list[Gene]:
    """Genes without paralogs, with introns, in known sequence."""
    found = []
    for gene in annotation.genes:
        if gene.origin in chroms and gene.paralog is False and len(gene.chosen.exons) > 1:
            codes = genome.codes(gene.contig, gene.start, gene.end)
            if (codes != UNKNOWN).mean() >= MIN_KNOWN:
                found.append(gene)
    return found


def whole(genome: Genome, gene: Gene, predictor: Predictor) -> Window:
    """All of a gene, as the model sees it."""
    return region_window(genome, gene, gene.contig, gene.start, gene.end, predictor)


class Strand:
    """A gene in transcript orientation: its bases, and places on it and on the genome."""

    def __init__(self, genome: Genome, gene: Gene, predictor: Predictor, known: Annotation):
        self.gene = gene
        self.window = whole(genome, gene, predictor)
        self.length = gene.end - gene.start
        self.codes = self.window.gene_codes(0, self.length)
        acceptors, donors = set(), set()
        for other in (gene, *known.overlapping(gene.contig, gene.start, gene.end)):
            if other.strand == gene.strand:
                acceptors |= other.sites()[0]
                donors |= other.sites()[1]
        self.acceptors = self._places("AG", -2, acceptors)
        self.donors = self._places("GT", 1, donors)

    def offset(self, position: int) -> int:
        """Of a position of the genome, in bases from the gene's first one; its own inverse with
        `position`."""
        gene = self.gene
        return position - gene.start if gene.strand == "+" else gene.end - 1 - position

    def junction(self, donor: int, acceptor: int) -> Junction:
        """From offsets of the last base before the intron and of the first one after it."""
        gene = self.gene
        if gene.strand == "+":
            start, end = gene.start + donor + 1, gene.start + acceptor
        else:
            start, end = gene.end - acceptor, gene.end - 1 - donor
        return Junction(gene.contig, start, end, gene.strand)

    def _places(self, bases: str, shift: int, known: set[int]) -> np.ndarray:
        """Offsets of bases that stand beside such a dinucleotide and are no known site."""
        first, second = encode(bases)
        at = np.flatnonzero((self.codes[:-1] == first) & (self.codes[1:] == second)) - shift
        taken = {self.offset(p) for p in known}
        return np.array([a for a in at if 0 <= a < self.length and a not in taken], int)


def cases_of(strand: Strand, rng: np.random.Generator) -> list[Case]:
    """The true introns of a gene's chosen transcript, and their decoys."""
    found = []
    name = strand.gene.symbol
    for (_, start), (end, _) in zip(strand.gene.chosen.exons, strand.gene.chosen.exons[1:]):
        true = Junction(strand.gene.contig, start, end, strand.gene.strand)
        found.append(Case(true, "true", name))
        donor, acceptor = (strand.offset(site.position) for site in sites(true))
        length = acceptor - donor
        near = range(int(length * (1 - LIKE)), int(length * (1 + LIKE)) + 1)
        pairs = {
            "both": _both(strand, near, rng),
            "half": _half(strand, donor, acceptor, near, rng),
        }
        for kind, chosen in pairs.items():
            found += [Case(strand.junction(d, a), kind, name) for d, a in chosen]
    return found


def _both(strand: Strand, near: range, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs of false sites so far from each other, at most DECOYS."""
    found: list[tuple[int, int]] = []
    for donor in rng.permutation(strand.donors)[: 20 * DECOYS]:
        acceptors = _within(strand.acceptors, donor + near.start, donor + near.stop)
        if len(found) < DECOYS and len(acceptors):
            found.append((int(donor), int(rng.choice(acceptors))))
    return found


def _half(
    strand: Strand, donor: int, acceptor: int, near: range, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """The true donor with false acceptors, and the other way round, at most DECOYS."""
    acceptors = _within(strand.acceptors, donor + near.start, donor + near.stop)
    donors = _within(strand.donors, acceptor - near.stop + 1, acceptor - near.start + 1)
    pairs = [(donor, int(a)) for a in acceptors] + [(int(d), acceptor) for d in donors]
    return [pairs[i] for i in rng.permutation(len(pairs))[:DECOYS]]


def _within(places: np.ndarray, low: int, high: int) -> np.ndarray:
    """Of ascending places those in [low, high)."""
    return places[np.searchsorted(places, low) : np.searchsorted(places, high)]


# -------------------------------------------------------------------------------------- predictors


def least(strand: Strand, values: np.ndarray, junction: Junction) -> float:
    """The lesser of a junction's two values; `values` (3, bases) by class."""
    donor, acceptor = (strand.offset(site.position) for site in sites(junction))
    return float(min(values[DONOR, donor], values[ACCEPTOR, acceptor]))


@torch.inference_mode()
def core(strand: Strand, predictor: Predictor) -> np.ndarray:
    """(3, bases): log-probabilities of the splice-site models, floored; mean of the seeds."""
    before, after = DETECT_REACH
    codes = strand.window.gene_codes(-before, strand.length + after)
    x = one_hot(torch.from_numpy(codes[None]))
    found = np.zeros((3, strand.length))
    for model in predictor.models:
        pair = model.lssi.floored(model.lssi.scores(x))[0, :2].numpy()
        found[[ACCEPTOR, DONOR]] += pair[:, : strand.length] / len(predictor.models)
    return found


@torch.inference_mode()
def teacher(strand: Strand, networks: list) -> np.ndarray:
    """(3, bases): mean probability of the teacher's seeds, unknown bases outside the gene."""
    reach = networks[0].reach
    parts = []
    for start in range(0, strand.length, PIECE):
        end = min(start + PIECE, strand.length)
        x = one_hot(torch.from_numpy(strand.window.gene_codes(start - reach, end + reach)[None]))
        parts.append(np.mean([network(x)[0].exp().numpy() for network in networks], 0))
    return np.concatenate(parts, 1)


def areas(cases: list[Case], value: np.ndarray, least_score: float | None) -> dict:
    """Of each kind of decoys, and of all of them, against the true junctions."""
    result = {}
    for title, kinds in (("all decoys", KINDS), *((f"decoys: {k}", (k,)) for k in KINDS)):
        some = [i for i, c in enumerate(cases) if c.kind in ("true", *kinds)]
        label = np.array([cases[i].kind == "true" for i in some])
        genes, values = [cases[i].gene for i in some], value[some]
        result[title] = dict(
            n=len(some),
            true=int(label.sum()),
            genes=len(set(genes)),
            auroc=bootstrap(auroc, label, values, genes),
            average_precision=bootstrap(auprc, label, values, genes),
        )
        if least_score is not None:
            passed = values >= least_score
            result[title] |= dict(
                min_score=least_score,
                true_kept=float(passed[label].mean()),
                decoys_kept=float(passed[~label].mean()),
            )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/ and annotation/")
    parser.add_argument("--model", default="default")
    parser.add_argument("--teacher", nargs="+", default=[], help="OpenSpliceAI state dicts")
    parser.add_argument("--chroms", default=VALIDATION)
    parser.add_argument("--genes", type=int, help="so many genes only, drawn once [default: all]")
    parser.add_argument("--longest", type=int, default=10**9, help="bases of a gene at most")
    parser.add_argument("--min-score", type=float, default=0.1)
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    genome = Genome(os.path.join(args.data, "genome", "hg19.fa.gz"))
    folder = os.path.join(args.data, "annotation")
    annotation = load_annotation(os.path.join(folder, "canonical.hg19.tsv.gz"))
    refseq = load_annotation(os.path.join(folder, "refseq.hg19.bed12+gene.gz"))
    genes = genes_of(genome, annotation, args.chroms.split(","))
    genes = [g for g in genes if g.end - g.start <= args.longest]
    rng = np.random.default_rng(1)
    if args.genes is not None and args.genes < len(genes):
        genes = [genes[i] for i in sorted(rng.choice(len(genes), args.genes, replace=False))]
    networks = [load_openspliceai(path) for path in args.teacher]
    bundle = load_bundle(args.model)
    with Predictor(bundle) as predictor:
        judge = Judge(genome, predictor)
        cases: list[Case] = []
        values: dict[str, list[float]] = {}
        for gene in genes:
            strand = Strand(genome, gene, predictor, refseq)
            found = [c for c in cases_of(strand, rng) if _known(genome, c.junction)]
            judged = judge.judge(c.junction for c in found)
            by_core = core(strand, predictor)
            by_teacher = teacher(strand, networks) if networks else None
            some = [c for c in found if judged[c.junction].score is not None]
            cases += some
            for case in some:
                junction = case.junction
                values.setdefault(bundle.name, []).append(judged[junction].score)
                values.setdefault("LSSI alone", []).append(least(strand, by_core, junction))
                if by_teacher is not None:
                    score = least(strand, by_teacher, junction)
                    values.setdefault("OpenSpliceAI", []).append(score)
            print(f"{gene.symbol}: {len(some)} junctions", flush=True)
    result: dict = dict(
        bundle=bundle.name, sha256=bundle.sha256, chroms=args.chroms, teachers=len(networks)
    )
    for name, value in values.items():
        threshold = None if name == "LSSI alone" else args.min_score
        result[name] = areas(cases, np.array(value), threshold)
        print(name, result[name], flush=True)
    save(args.json, result)


def _known(genome: Genome, junction: Junction) -> bool:
    """Whether the bases of its two sites are known."""
    around = (genome.codes(s.contig, s.position - 2, s.position + 3) for s in sites(junction))
    return all((codes != UNKNOWN).all() for codes in around)


if __name__ == "__main__":
    main()
