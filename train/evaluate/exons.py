#!/usr/bin/env python3
"""Measured effects of single substitutions in and beside exons, by region: models, their teacher
and a table of 7-mers on the same rows.

    python train/evaluate/exons.py DATA default runs/am ... --teacher SEED.pt ... --json OUT

Sets (dev halves; SNVs whose exon is in reach, and 1,000 bases around it):

    MFASS       inclusion falls by 0.5 or more
    MaPSy       half of the spliced molecules or more are lost in cells
    FAS exon 6  inclusion, every SNV
    ClinVar     (likely) pathogenic against (likely) benign

Regions, in bases from the exon's ends: acceptor (-3..+3), tract (-20..-4), branch point (-40..-21),
exonic (more than 3 from either end), donor (-3..+6). Of each row the probabilities of its exon's
two sites are compared, without and with the substitution: `loss` is the larger fall, `change` the
mean change of the log-odds.

AUROC and AUPRC of the loss, and, where values were measured, Spearman of the change with them; 95 %
bootstrap over exons (FAS: variants, ClinVar: genes). The 7-mers (Ke 2018: saturation mutagenesis of
one exon) have a value for exonic rows alone: the sum over the seven windows.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from common import MIN_OF_EACH, auprc, auroc, bootstrap, clinical_significance, in_reach, save
from tqdm import tqdm
from yardstick import models_of

from samvar.formats.annotation import load_annotation
from samvar.genomics.genes import Annotation
from samvar.genomics.genome import Genome, encode, reverse_complement
from samvar.model.sam import ACCEPTOR, DONOR, crop, one_hot
from samvar.training.cnn import load_openspliceai
from samvar.training.yardstick import spearman

CONTEXT = 1000  # bases beyond the exon that must be known
FLANK = 30  # bases around the exon that are scored, as in `annotate`
FURTHEST = 50  # intronic bases from the exon
REGIONS = ("acceptor", "tract", "branch point", "exonic", "donor")

Network = Callable[[torch.Tensor], torch.Tensor]  # one-hot (1, 4, CONTEXT + L + CONTEXT) -> (3, L)


@dataclass(frozen=True)
class Exon:
    """0-based, half-open, on the genome."""

    contig: str
    start: int
    end: int
    strand: str


@dataclass(frozen=True)
class Row:
    """An SNV beside its exon. `at` counts along the transcript from the exon's first base;
    `measured` is what the set holds, greater for more inclusion; `label`: whether it is a loss,
    None where the set makes no call."""

    exon: Exon
    at: int
    ref: str
    alt: str
    measured: float
    label: bool | None
    cluster: object

    @property
    def region(self) -> str | None:
        """Of REGIONS, None elsewhere."""
        after = self.at - (self.exon.end - self.exon.start)  # 0: first base of the intron
        if -3 <= self.at < 3:
            return "acceptor"
        if -3 <= after < 6:
            return "donor"
        if self.at >= 3 and after < -3:
            return "exonic"
        if -20 <= self.at < -3:
            return "tract"
        return "branch point" if -40 <= self.at < -20 else None


# ---------------------------------------------------------------------------------------- the sets


def row_of(row: dict[str, str], exon: Exon | None, measured: float, label, cluster) -> Row | None:
    """None where there is no exon, or no SNV."""
    if exon is None or len(row["ref"]) != 1 or len(row["alt"]) != 1:
        return None
    pos = int(row["pos"]) - 1
    at = pos - exon.start if exon.strand == "+" else exon.end - 1 - pos
    return Row(exon, at, row["ref"], row["alt"], measured, label, cluster)


def exons_near(annotation: Annotation, row: dict[str, str], distance: int) -> list[Exon]:
    """Internal exons of chosen transcripts that lie within `distance` of an SNV."""
    pos, found = int(row["pos"]) - 1, []
    for gene in annotation.overlapping(row["chrom"], pos, pos + 1):
        for start, end in list(gene.chosen.exons)[1:-1]:
            if start - distance <= pos < end + distance:
                found.append(Exon(row["chrom"], start, end, gene.strand))
    return found


def mfass(row: dict[str, str], _: Annotation) -> Row | None:
    exon = Exon(row["chrom"], int(row["exon_start1"]) - 1, int(row["exon_end1"]), row["strand"])
    change = float(row["col10_delta"])
    return row_of(row, exon, change, change <= -0.5, exon)


def mapsy(row: dict[str, str], annotation: Annotation) -> Row | None:
    """Its exon's ends may be off by one: the annotation's count."""
    bounds = int(row["exon_start"]), int(row["exon_end"])
    near = exons_near(annotation, row, 0)
    same = [e for e in near if abs(e.start - bounds[0]) < 2 and abs(e.end - bounds[1]) < 2]
    if not same or row["vivo"] in ("", "NA"):
        return None
    change = float(row["vivo"])
    return row_of(row, same[0], change, change <= -1, same[0])


def fas(row: dict[str, str], annotation: Annotation) -> Row | None:
    exon = next(iter(exons_near(annotation, row, 0)), None)
    return row_of(row, exon, float(row["psi"]), None, (row["pos"], row["alt"]))


def clinvar(row: dict[str, str], annotation: Annotation) -> Row | None:
    said = clinical_significance(row)
    near = exons_near(annotation, row, FURTHEST)
    if said is None or len(near) != 1:
        return None
    genes = annotation.overlapping(row["chrom"], int(row["pos"]) - 1, int(row["pos"]))
    return row_of(row, near[0], -float(said), said, "+".join(sorted(g.symbol for g in genes)))


SETS = {
    "MFASS": ("mfass.hg19.tsv.gz", mfass),
    "MaPSy": ("mapsy.hg19.tsv.gz", mapsy),
    "FAS exon 6": ("fas_exon6.hg19.tsv.gz", fas),
    "ClinVar": ("clinvar_201609.hg19.tsv.gz", clinvar),
}


def rows_of(data: str, annotation: Annotation, table: str, read) -> list[Row]:
    """Rows of a set in one of REGIONS."""
    path = os.path.join(data, "variants", table)
    with gzip.open(path, "rt") as f:
        known = "ref_status" in next(csv.reader(f, delimiter="\t"))
    lines = in_reach(path) if known else every(path)
    rows = (read(line, annotation) for line in lines)
    return [row for row in rows if row is not None and row.region]


def every(path: str) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as f:
        return list(csv.DictReader(f, delimiter="\t"))


# ----------------------------------------------------------------------------------- what they say


def sequence(genome: Genome, exon: Exon) -> np.ndarray | None:
    """Codes of the exon, FLANK and CONTEXT, transcript orientation; None where one is unknown."""
    edge = FLANK + CONTEXT
    codes = genome.codes(exon.contig, exon.start - edge, exon.end + edge)
    if (codes > 3).any():
        return None
    return codes if exon.strand == "+" else reverse_complement(codes)


def base(letter: str, strand: str) -> int:
    code = encode(letter)
    return int((code if strand == "+" else reverse_complement(code))[0])


@torch.inference_mode()
def effects(network: Network, rows: list[Row], codes: dict[Exon, np.ndarray]) -> np.ndarray:
    """(rows, 2): loss and change."""
    before: dict[Exon, np.ndarray] = {}

    def sites(exon: Exon, sequence: np.ndarray) -> np.ndarray:
        p = network(one_hot(torch.from_numpy(sequence)[None])).double().numpy()
        return np.array([p[ACCEPTOR, FLANK], p[DONOR, FLANK + exon.end - exon.start - 1]])

    found = []
    for row in tqdm(rows, disable=None, leave=False):
        plain = codes[row.exon]
        if row.exon not in before:
            before[row.exon] = sites(row.exon, plain)
        changed = plain.copy()
        changed[CONTEXT + FLANK + row.at] = base(row.alt, row.exon.strand)
        ref, alt = before[row.exon], sites(row.exon, changed)
        odds = [np.log(p) - np.log1p(-p) for p in np.clip((ref, alt), 1e-7, 1 - 1e-7)]
        found.append(((ref - alt).max(), (odds[1] - odds[0]).mean()))
    return np.array(found)


def sam_network(place: str) -> Network:
    """Mean probability of a bundle's models, or of a run's."""
    models = [m.eval() for m in models_of(place)]

    def network(x: torch.Tensor) -> torch.Tensor:
        found = []
        for model in models:
            left, right = model.config.reach
            found.append(model(crop(x, CONTEXT - left, CONTEXT - right)).exp()[0])
        return torch.stack(found).mean(0)

    return network


def teacher_network(paths: list[str]) -> Network:
    """Mean probability of OpenSpliceAI's seeds."""
    models = [load_openspliceai(path) for path in paths]
    return lambda x: torch.stack([m(x).exp()[0] for m in models]).mean(0)


def seven_mers(path: str, rows: list[Row], codes: dict[Exon, np.ndarray]) -> np.ndarray:
    """(rows, 2), nan where a row is not exonic."""
    with open(path) as f:
        table = {line[0]: float(line[1]) for line in csv.reader(f)}
    found = []
    for row in rows:
        change = np.nan
        if row.region == "exonic":
            middle = CONTEXT + FLANK + row.at
            ref, alt = (codes[row.exon][middle - 6 : middle + 7].copy() for _ in range(2))
            alt[6] = base(row.alt, row.exon.strand)
            score = [
                sum(table["".join("ACGT"[b] for b in c[i : i + 7])] for i in range(7))
                for c in (ref, alt)
            ]
            change = score[1] - score[0]
        found.append((-change, change))
    return np.array(found)


# -------------------------------------------------------------------------------------- agreement


def agreement(rows: list[Row], value: np.ndarray) -> dict:
    """Of a predictor's (rows, 2) with what was measured, on rows that it has a value for."""
    known = ~np.isnan(value).any(1)
    some = [row for row, k in zip(rows, known) if k]
    loss, change = value[known].T
    found: dict = dict(n=len(some), clusters=len({r.cluster for r in some}))
    cluster = [r.cluster for r in some]
    if some and some[0].label is not None:
        label = np.array([r.label for r in some])
        found["positive"] = int(label.sum())
        if min(label.sum(), (~label).sum()) >= MIN_OF_EACH:
            found["auroc"] = bootstrap(auroc, label, loss, cluster)
            found["auprc"] = bootstrap(auprc, label, loss, cluster)
    measured = np.array([r.measured for r in some])
    if len(np.unique(measured)) > 2:
        found["spearman"] = correlation(measured, change, cluster)
    return found


def correlation(measured: np.ndarray, change: np.ndarray, cluster: list) -> list[float]:
    """Spearman with its interval."""
    numbers = {c: i for i, c in enumerate(dict.fromkeys(cluster))}
    members: list[list[int]] = [[] for _ in numbers]
    for i, c in enumerate(cluster):
        members[numbers[c]].append(i)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(1000):
        i = np.concatenate([members[j] for j in rng.integers(len(members), size=len(members))])
        drawn.append(spearman(measured[i], change[i]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return [spearman(measured, change), float(low), float(high)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/, variants/ and tables/")
    parser.add_argument("places", nargs="+", help="bundles, or folders of runs")
    parser.add_argument("--teacher", nargs="+", default=[], help="OpenSpliceAI state dicts")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    genome = Genome(os.path.join(args.data, "genome", "hg19.fa.gz"))
    annotation = load_annotation(os.path.join(args.data, "annotation", "canonical.hg19.tsv.gz"))
    networks = {os.path.basename(os.path.normpath(p)): sam_network(p) for p in args.places}
    if args.teacher:
        networks["OpenSpliceAI"] = teacher_network(args.teacher)
    result: dict = {}
    for title in args.sets:
        rows = rows_of(args.data, annotation, *SETS[title])
        around = {exon: sequence(genome, exon) for exon in {row.exon for row in rows}}
        codes = {exon: found for exon, found in around.items() if found is not None}
        rows = [row for row in rows if row.exon in codes]
        value = {name: effects(network, rows, codes) for name, network in networks.items()}
        value["7-mers"] = seven_mers(
            os.path.join(args.data, "tables", "sms_7mers.csv"), rows, codes
        )
        for region in ("all", *REGIONS):
            those = [i for i, row in enumerate(rows) if region in ("all", row.region)]
            for name, values in value.items():
                found = agreement([rows[i] for i in those], values[those])
                if (
                    region == "all"
                    and name == "7-mers"
                    or not found.keys()
                    - {
                        "n",
                        "clusters",
                        "positive",
                    }
                ):
                    continue
                result.setdefault(f"{title}: {region}", {})[name] = found
                print(title, region, name, found, flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
