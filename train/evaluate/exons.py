#!/usr/bin/env python3
"""Measured effects of single substitutions in and beside exons, by region: models, their teacher,
other programs and a table of 7-mers on the same rows.

    python train/evaluate/exons.py DATA default paper runs/am ... --json OUT
        [--teacher SEED.pt ...] [--programs spliceai mmsplice --peers FOLDER] [--scores FOLDER]

Sets (dev halves; SNVs whose exon is in reach, and 1,000 bases around it):

    MFASS         inclusion falls by 0.5 or more
    MaPSy         half of the spliced molecules or more are lost in cells
    FAS exon 6    inclusion, every SNV
    CI-SpliceAI   affects splicing, functionally tested
    ClinVar       (likely) pathogenic against (likely) benign

Regions, in bases from the exon's ends: acceptor (-3..+3), tract (-20..-4), branch point (-40..-21),
exonic (more than 3 from either end), donor (-3..+6), deep (further into introns, to 50). Of each
row the probabilities of its exon's two sites are compared, without and with the substitution:
`loss` is the larger fall, `change` the mean change of the log-odds.

AUROC and AUPRC of the loss, and, where values were measured, Spearman of the change with them; 95 %
bootstrap over exons (FAS: variants, CI-SpliceAI: transcripts, ClinVar: genes). The 7-mers (Ke 2018:
saturation mutagenesis of one exon) have a value for exonic rows alone: the sum over the seven
windows. SpliceAI 1.3.1 sees 5,000 bases on either side, of which some may be unknown; of MMSplice
2.4.0 both values are the change in the logit of inclusion (`outside.py`). What the teacher and the
programs say of each row stays in --scores, and is read from there the next time.

With a teacher and `paper` among the models: `share`, the part of the teacher's lead over `paper`
that each other model takes, where the lead is clear of zero, and the lead itself. --most: of each
label in each region at most so many rows, drawn once. --most-of-spliceai, which takes a second for
each: the same for SpliceAI alone; then "sample" has all predictors on those rows.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import torch
from common import (
    MIN_OF_EACH,
    auprc,
    auroc,
    bootstrap,
    clinical_significance,
    in_reach,
    in_words,
    save,
)
from common import SETS as VARIANTS
from tqdm import tqdm
from yardstick import models_of

from samvar.formats.annotation import load_annotation
from samvar.genomics.genes import Annotation
from samvar.genomics.genome import Genome, decode, encode, reverse_complement
from samvar.model.sam import ACCEPTOR, DONOR, crop, one_hot
from samvar.training.cnn import load_openspliceai
from samvar.training.yardstick import spearman

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "..", "tests", "benchmarks"))
from speed import install  # noqa: E402

CONTEXT = 1000  # bases beyond the exon that must be known
FLANK = 30  # bases around the exon that are scored, as in `annotate`
FURTHEST = 50  # intronic bases from the exon
REGIONS = ("acceptor", "tract", "branch point", "exonic", "donor", "deep")
TEACHER, BASE = "OpenSpliceAI", "paper"
OTHERS = {TEACHER, BASE, "SpliceAI", "MMSplice", "7-mers"}  # than students
TOGETHER = 7  # substitutions that a network is shown at once
PROGRAMS = dict(spliceai=("SpliceAI", 5000), mmsplice=("MMSplice", 100))  # title, bases around

# one-hot (N, 4, CONTEXT + L + CONTEXT) -> probabilities (N, 3, L)
Network = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, order=True)
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
        """Of REGIONS, None further than FURTHEST from the exon."""
        after = self.at - (self.exon.end - self.exon.start)  # 0: first base of the intron
        if -3 <= self.at < 3:
            return "acceptor"
        if -3 <= after < 6:
            return "donor"
        if self.at >= 3 and after < -3:
            return "exonic"
        if -20 <= self.at < -3:
            return "tract"
        if -40 <= self.at < -20:
            return "branch point"
        return "deep" if self.at >= -FURTHEST and after < FURTHEST else None

    @property
    def key(self) -> str:
        """Its name in files of scores."""
        e = self.exon
        return f"{e.contig}:{e.start}-{e.end}:{e.strand}:{self.at}{self.alt}"


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


def beside_one(row: dict[str, str], annotation: Annotation, label: bool | None, cluster):
    """A row of a set that knows no exon: the only one that is near."""
    near = exons_near(annotation, row, FURTHEST)
    if label is None or len(near) != 1:
        return None
    return row_of(row, near[0], -float(label), label, cluster)


def cispliceai(row: dict[str, str], annotation: Annotation) -> Row | None:
    chosen = next(s for s in VARIANTS if s.title == "CI-SpliceAI functional")
    return beside_one(row, annotation, chosen.label(row), chosen.cluster(row, []))


def clinvar(row: dict[str, str], annotation: Annotation) -> Row | None:
    genes = annotation.overlapping(row["chrom"], int(row["pos"]) - 1, int(row["pos"]))
    symbols = "+".join(sorted(g.symbol for g in genes))
    return beside_one(row, annotation, clinical_significance(row), symbols)


SETS = {
    "MFASS": ("mfass.hg19.tsv.gz", mfass),
    "MaPSy": ("mapsy.hg19.tsv.gz", mapsy),
    "FAS exon 6": ("fas_exon6.hg19.tsv.gz", fas),
    "CI-SpliceAI": ("cispliceai_functional.hg38.tsv.gz", cispliceai),
    "ClinVar": ("clinvar_201609.hg19.tsv.gz", clinvar),
}
BUILDS = {
    "hg19": ("hg19.fa.gz", "canonical.hg19.tsv.gz"),
    "hg38": ("hg38.fa.gz", "refseq.hg38.bed12+gene.gz"),
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


def sample(rows: list[Row], most: int) -> np.ndarray:
    """Which rows are among at most so many of each label in each region, drawn once."""
    drawn: dict[tuple, int] = defaultdict(int)
    chosen = np.zeros(len(rows), bool)
    for i in np.random.default_rng(0).permutation(len(rows)):
        drawn[rows[i].region, rows[i].label] += 1
        chosen[i] = drawn[rows[i].region, rows[i].label] <= most
    return chosen


# ----------------------------------------------------------------------------------- what they say


def sequence(genome: Genome, exon: Exon, context: int = CONTEXT) -> np.ndarray | None:
    """Codes of the exon, FLANK and `context`, transcript orientation; None where one of them within
    CONTEXT is unknown."""
    edge, beyond = FLANK + context, context - CONTEXT
    codes = genome.codes(exon.contig, exon.start - edge, exon.end + edge)
    if (codes[beyond : len(codes) - beyond] > 3).any():
        return None
    return codes if exon.strand == "+" else reverse_complement(codes)


def base(letter: str, strand: str) -> int:
    code = encode(letter)
    return int((code if strand == "+" else reverse_complement(code))[0])


def changed(row: Row, codes: np.ndarray) -> np.ndarray:
    """Codes with the substitution. `codes` (edge + exon + edge,): transcript orientation."""
    edge = (len(codes) - (row.exon.end - row.exon.start)) // 2
    found = codes.copy()
    found[edge + row.at] = base(row.alt, row.exon.strand)
    return found


def of_network(network: Network, rows: list[Row], codes: dict[Exon, np.ndarray]) -> Iterator:
    """Probabilities of acceptor and donor of each row's exon, without and with the substitution."""

    @torch.inference_mode()
    def sites(exon: Exon, some: list[np.ndarray]) -> np.ndarray:
        p = network(one_hot(torch.from_numpy(np.stack(some)))).double().numpy()
        return p[:, [ACCEPTOR, DONOR], [FLANK, FLANK + exon.end - exon.start - 1]]

    for exon, group in groupby(tqdm(rows, disable=None, leave=False), lambda row: row.exon):
        plain, own = codes[exon], list(group)
        for first in range(0, len(own), TOGETHER):
            some = [changed(row, plain) for row in own[first : first + TOGETHER]]
            ref, *alts = sites(exon, [plain, *some])  # in one call: what is the same stays the same
            yield from ((*ref, *alt) for alt in alts)


def of_program(name: str, peers: str, rows: list[Row], genome: Genome) -> Iterator:
    """What a program says (`outside.py`) of each row."""
    program = [installed(peers, name), os.path.join(os.path.dirname(__file__), "outside.py"), name]
    _, edge = PROGRAMS[name]
    with tempfile.TemporaryFile("w+") as asked:
        for row in rows:
            codes = sequence(genome, row.exon, max(edge, CONTEXT))
            assert codes is not None
            cut = max(edge, CONTEXT) + FLANK - edge
            pair = (decode(c[cut : len(c) - cut]) for c in (codes, changed(row, codes)))
            print(row.key, *pair, sep="\t", file=asked)
        asked.seek(0)
        with subprocess.Popen(program, stdin=asked, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for row, line in zip(rows, process.stdout):
                key, *numbers = line.split("\t")
                assert key == row.key
                yield tuple(map(float, numbers))
    if process.returncode:
        raise SystemExit(f"{name} failed")


def installed(peers: str, name: str) -> str:
    """The python of a program's environment, made where it is missing."""
    return os.path.join(os.path.dirname(install(peers, name)), "python")


def remembered(path: str, rows: list[Row], say: Callable[[list[Row]], Iterator]) -> list[tuple]:
    """What is said of each row: as the file has it, else asked for and written to it."""
    known: dict[str, tuple] = {}
    if os.path.exists(path):
        with open(path) as f:
            lines = (line.rstrip("\n").split("\t") for line in f if line.endswith("\n"))
            known = {key: tuple(map(float, numbers)) for key, *numbers in lines}
    missing = [row for row in rows if row.key not in known]
    if missing:
        with open(path, "a") as f:
            for row, numbers in zip(missing, say(missing)):
                known[row.key] = numbers
                print(row.key, *(f"{v:.7g}" for v in numbers), sep="\t", file=f, flush=True)
    return [known[row.key] for row in rows]


def effects(said: Iterable[tuple]) -> np.ndarray:
    """(rows, 2): loss and change of each row, of the probabilities of its exon's sites without and
    with the substitution, or of the change in the logit of inclusion."""
    found = []
    for numbers in said:
        if len(numbers) == 1:
            found.append((-numbers[0], numbers[0]))
            continue
        ref, alt = np.array(numbers[:2]), np.array(numbers[2:])
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
            found.append(model(crop(x, CONTEXT - left, CONTEXT - right)).exp())
        return torch.stack(found).mean(0)

    return network


def teacher_network(paths: list[str]) -> Network:
    """Mean probability of OpenSpliceAI's seeds."""
    models = [load_openspliceai(path) for path in paths]
    return lambda x: torch.stack([m(x).exp() for m in models]).mean(0)


def seven_mers(path: str, rows: list[Row], codes: dict[Exon, np.ndarray]) -> np.ndarray:
    """(rows, 2), nan where a row is not exonic."""
    with open(path) as f:
        table = {line[0]: float(line[1]) for line in csv.reader(f)}
    found = []
    for row in rows:
        change = np.nan
        if row.region == "exonic":
            middle = CONTEXT + FLANK + row.at
            plain = codes[row.exon]
            score = [
                sum(table[decode(c[i : i + 7])] for i in range(middle - 6, middle + 1))
                for c in (plain, changed(row, plain))
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
    return spread(spearman, measured, change, cluster)


def spread(measure, measured: np.ndarray, change: np.ndarray, cluster: list) -> list[float]:
    """`bootstrap` for values instead of labels."""
    numbers = {c: i for i, c in enumerate(dict.fromkeys(cluster))}
    members: list[list[int]] = [[] for _ in numbers]
    for i, c in enumerate(cluster):
        members[numbers[c]].append(i)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(1000):
        i = np.concatenate([members[j] for j in rng.integers(len(members), size=len(members))])
        drawn.append(measure(measured[i], change[i]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return [measure(measured, change), float(low), float(high)]


def share(rows: list[Row], base: np.ndarray, student: np.ndarray, teacher: np.ndarray) -> dict:
    """The teacher's lead over `base`, and the part of it that the student takes, where the lead is
    clear of zero; each predictor (rows, 2). Intervals as in `agreement`, of the three together."""
    cluster = [row.cluster for row in rows]
    loss, change = np.stack([base, student, teacher], 2).transpose(1, 0, 2)
    label = np.array([bool(row.label) for row in rows])
    measured = np.array([row.measured for row in rows])
    kinds: list[tuple] = []  # measure, its interval, truth, what is said of it
    if rows[0].label is not None and min(label.sum(), (~label).sum()) >= MIN_OF_EACH:
        kinds += [(measure, bootstrap, label, loss) for measure in (auroc, auprc)]
    if len(np.unique(measured)) > 2:
        kinds.append((spearman, spread, measured, change))
    found = {}
    for measure, interval, truth, said in kinds:

        def lead(truth, value, of=2, measure=measure):
            return measure(truth, value[:, of]) - measure(truth, value[:, 0])

        def part(truth, value, lead=lead):
            whole = lead(truth, value)
            return lead(truth, value, of=1) / whole if whole else 0.0

        own = found[measure.__name__] = dict(lead=interval(lead, truth, said, cluster))
        if own["lead"][1] > 0:
            own["share"] = interval(part, truth, said, cluster)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/, variants/ and tables/")
    parser.add_argument("places", nargs="+", help="bundles, or folders of runs")
    parser.add_argument("--teacher", nargs="+", default=[], help="OpenSpliceAI state dicts")
    parser.add_argument("--programs", nargs="+", default=[], choices=list(PROGRAMS))
    parser.add_argument("--peers", default="peers", help="folder of the programs' environments")
    parser.add_argument("--scores", help="folder of what teacher and programs have said")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--most", type=int, help="rows of each label in each region")
    parser.add_argument("--most-of-spliceai", type=int, help="the same, for SpliceAI alone")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    networks = {os.path.basename(os.path.normpath(p)): sam_network(p) for p in args.places}
    result: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        scores = args.scores or folder
        os.makedirs(scores, exist_ok=True)
        for title in args.sets:
            table, read = SETS[title]
            fasta, known = BUILDS[table.split(".")[1]]
            genome = Genome(os.path.join(args.data, "genome", fasta))
            annotation = load_annotation(os.path.join(args.data, "annotation", known))
            rows = rows_of(args.data, annotation, table, read)
            around = {exon: sequence(genome, exon) for exon in {row.exon for row in rows}}
            codes = {exon: found for exon, found in around.items() if found is not None}
            rows = sorted((r for r in rows if r.exon in codes), key=lambda r: r.exon)
            if args.most:
                rows = [row for row, drawn in zip(rows, sample(rows, args.most)) if drawn]
            others = {
                PROGRAMS[name][0]: partial(of_program, name, args.peers, genome=genome)
                for name in args.programs
            }
            if args.teacher:
                others[TEACHER] = partial(of_network, teacher_network(args.teacher), codes=codes)
            value = {n: effects(of_network(model, rows, codes)) for n, model in networks.items()}
            for name, say in others.items():
                path = os.path.join(scores, f"{table.split('.')[0]}.{name}.tsv")
                few = args.most_of_spliceai if name == "SpliceAI" else None
                drawn = sample(rows, few or len(rows))
                value[name] = np.full((len(rows), 2), np.nan)
                some = [row for row, d in zip(rows, drawn) if d]
                value[name][drawn] = effects(remembered(path, some, say))
            value["7-mers"] = seven_mers(
                os.path.join(args.data, "tables", "sms_7mers.csv"), rows, codes
            )
            result |= told(title, rows, value)
    save(args.json, result)


def told(title: str, rows: list[Row], value: dict[str, np.ndarray]) -> dict[str, dict]:
    """Region -> predictor -> agreement, and what students take of the teacher's lead."""
    result: dict[str, dict] = {}
    theirs = value.get("SpliceAI")
    few = None if theirs is None else ~np.isnan(theirs).any(1)
    for region in ("all", *REGIONS):
        those = np.array([region in ("all", row.region) for row in rows])
        parts = {f"{title}: {region}": (those, value)}
        if few is not None and not few.all():
            parts[f"{title}: {region}"] = those, {n: v for n, v in value.items() if n != "SpliceAI"}
            parts[f"{title}: {region}, sample"] = those & few, value
        for part, (which, of) in parts.items():
            some = [row for row, w in zip(rows, which) if w]
            own = {n: agreement(some, v[which]) for n, v in of.items()}
            if region == "all":
                own.pop("7-mers")
            own = {n: v for n, v in own.items() if v.keys() - {"n", "clusters", "positive"}}
            if {TEACHER, BASE} <= own.keys():
                for name in own.keys() - OTHERS:
                    three = (value[n][which] for n in (BASE, name, TEACHER))
                    own[name]["share"] = share(some, *three)
            if own:
                result[part] = own
            for name, found in own.items():
                print(part, name, found, flush=True)
    return result


if __name__ == "__main__":
    in_words(main)
