#!/usr/bin/env python3
"""How often is the event named right that was seen in RNA?

    python train/evaluate/events.py DATA --json OUT [--event-min 0.2]

Functionally tested clinical variants (CI-SpliceAI, dev half) with the consequence that was
observed; rows whose reference sequence is out of reach are left out. Of each kind of consequence:

first     the strongest event (`none` below --event-min) is the observed one
any       one of the events is
deltas    the same from the four deltas alone, by the published rules of SAI-10k-calc (Canson 2023):
          a lost acceptor and donor, the stronger at least 0.2, the other 0.02, are a skipped exon,
          or, the donor first, a retained intron; two gained ones 25 to 500 bases apart in an intron
          a pseudoexon; a gained one of 0.2 moves the end of an exon

Deltas and events come from the sites up to 500 bases from the variant, for the transcript of the
row. What was observed is read from the columns of the table: the kind, and for moved ends whether
the new site lies in the exon or the intron, where the table says so. Rows with several observed
events count as right with any of them. Half of the rows are of BRCA1 and BRCA2, most retained
introns of TP53.

Retained introns are hardly ever named. 33 of the 44 rows are of TP53, in RNA of tumours, where no
row is a skipped exon; the site across the intron hardly changes in any (0.17 at most), so that the
models hardly separate retention from skipping. Longer introns (to 3,000 bases) and a weaker
other end of the exon (half of the loss) would name 13 of the 44, 11 of them in TP53, and lose 23 of
105 skipped exons; outside of TP53 no such rule gains more than three rows. The rule stays.

The constants of `scoring/consequence.py` and --event-min were chosen on these rows: the numbers are
not those of an independent test.

`published`: 25 variants of the literature (events.tsv) with the event and its size in bases that
were seen in RNA, first event and any; some are among the rows above. Those that cannot be scored
would be listed with the reason. Nine were chosen, without looking at what samvar says of them, in
place of ones of HBB, CEP290, USH2A, MAPT, ELP1, NPC1 and SMN2, whose sequence is not in the data:
the sources of eight are in cases.tsv, that of MSH2 is Froggatt, J Med Genet, 1999.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
from collections import defaultdict

from common import allele_of, in_reach, save

from samvar.annotate import Allele, Options, score
from samvar.errors import SamvarError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genes import Annotation, Transcript, without_version
from samvar.genomics.genome import Genome
from samvar.genomics.hgvs import Locator
from samvar.genomics.transcript import TranscriptMap
from samvar.genomics.variant import Status
from samvar.model.bundle import load_bundle
from samvar.scoring.consequence import PSEUDOEXON, REACH, Kind
from samvar.scoring.effects import GeneEffect
from samvar.scoring.predictor import Predictor

TABLE = "variants/cispliceai_functional.hg38.tsv.gz"
STRONG, FAINT = 0.2, 0.02  # deltas, SAI-10k-calc
MOVED = {Kind.PARTIAL_EXON_DELETION, Kind.PARTIAL_INTRON_RETENTION}


def observed(row: dict[str, str]) -> set[Kind]:
    """The events that were seen."""
    said, kind = row["Observation"].lower(), row["effect_type"]
    if row["SpliceAffecting"] == "0" or kind == "normal":
        return {Kind.NONE}
    several = re.search(r"exons? \d+\s*(,|and|&|-)", said)
    if kind == "skip":
        return {Kind.MULTI_EXON_SKIPPING if several else Kind.EXON_SKIPPING}
    if kind == "retention":
        return {Kind.WHOLE_INTRON_RETENTION}
    if kind in ("alternative acceptor", "alternative donor"):
        return moved_end(row, kind)
    found = set()
    if "skip" in said:
        found |= {Kind.EXON_SKIPPING} | ({Kind.MULTI_EXON_SKIPPING} if several else set())
    if "pseudo" in said:
        found.add(Kind.PSEUDOEXON)
    elif re.search("cryptic|de novo|alternative", said):
        found |= MOVED
    if re.search("retention|retained|inclusion between", said):
        found.add(Kind.WHOLE_INTRON_RETENTION)
    return found


def moved_end(row: dict[str, str], kind: str) -> set[Kind]:
    """Whether a moved end makes the exon shorter or longer; either where the table does not say."""
    old, new = ("AL", "AG") if kind == "alternative acceptor" else ("DL", "DG")
    if not (row[old] and row[new]):
        return MOVED
    downstream = (float(row[new]) > float(row[old])) == (row["strand"] == "+")
    shorter = downstream == (kind == "alternative acceptor")
    return {Kind.PARTIAL_EXON_DELETION if shorter else Kind.PARTIAL_INTRON_RETENTION}


def by_events(effect: GeneEffect, transcript: Transcript) -> list[tuple[float, Kind]]:
    """Events with their strengths, strongest first."""
    own = next((c for c in effect.consequences if c.transcript is transcript), None)
    return [(o.event.strength, o.event.kind) for o in own.outcomes] if own else []


def by_deltas(effect: GeneEffect, transcript: Transcript) -> list[tuple[float, Kind]]:
    """What the four deltas say, the largest first."""
    place = TranscriptMap.of(effect.gene, transcript).place
    sign = 1 if effect.gene.strand == "+" else -1
    value = {d.name: d.value for d in effect.deltas.named}
    at = {d.name: sign * d.place.position for d in effect.deltas.named}
    inside = {d.name: place(d.place.position) for d in effect.deltas.named}
    exonic = {name: p is not None and not p.offset for name, p in inside.items()}

    def pair(a: str, b: str) -> bool:
        return min(value[a], value[b]) >= FAINT and max(value[a], value[b]) >= STRONG

    found = []
    if pair("AL", "DL"):
        skipped = at["AL"] < at["DL"]
        kind = Kind.EXON_SKIPPING if skipped else Kind.WHOLE_INTRON_RETENTION
        found.append((max(value["AL"], value["DL"]), kind))
    size = at["DG"] - at["AG"] + 1
    if pair("AG", "DG") and size in PSEUDOEXON and not (exonic["AG"] or exonic["DG"]):
        found.append((max(value["AG"], value["DG"]), Kind.PSEUDOEXON))
    for name in ("AG", "DG"):
        if value[name] >= STRONG:
            kind = Kind.PARTIAL_EXON_DELETION if exonic[name] else Kind.PARTIAL_INTRON_RETENTION
            found.append((value[name], kind))
    return sorted(found, key=lambda f: -f[0])


def own_transcript(effect: GeneEffect, row: dict[str, str]) -> Transcript:
    """The transcript that the row names, else the chosen one."""
    name = without_version(row["ID"].split(":")[0])
    same = (t for t in effect.gene.transcripts if without_version(t.id) == name)
    return next(same, effect.gene.chosen)


def published(
    genome: Genome, annotation: Annotation, predictor: Predictor, options: Options
) -> dict:
    """Which of the variants of the literature have the published event, of the published size."""
    with open(os.path.join(os.path.dirname(__file__), "events.tsv")) as f:
        rows = list(csv.DictReader(f, delimiter="\t"))
    locator, scored, out_of_reach = Locator(genome, annotation), {}, {}
    for row in rows:
        name = f"{row['gene']} {row['hgvs']}"
        try:
            found = locator.locate(row["hgvs"])
        except SamvarError as e:
            out_of_reach[name] = str(e).replace(genome.path, genome.name)
            continue
        allele = Allele(found.contig, found.pos, found.ref, found.alt)
        (said,) = score(genome, annotation, predictor, [allele], options)
        effect = next((e for e in said.genes if e.gene.symbol == row["gene"]), None)
        if effect is None or said.status is not Status.OK:
            out_of_reach[name] = said.status.name
            continue
        transcript = own_transcript(effect, dict(ID=row["hgvs"]))
        consequence = next((c for c in effect.consequences if c.transcript is transcript), None)
        outcomes = consequence.outcomes if consequence else ()
        told = [(o.event.kind.value, o.event.size) for o in outcomes]
        wanted = row["event"], int(row["size"])
        scored[name] = dict(
            published=list(wanted),
            delta=round(effect.largest, 4),
            said=[
                dict(
                    event=o.event.kind.value,
                    size=o.event.size,
                    frame=o.message.frame.value if o.message.frame else None,
                    strength=round(o.event.strength, 4),
                    rna=o.rna,
                )
                for o in outcomes
            ],
            first=told[:1] == [wanted],
            any=wanted in told,
        )
    count = {key: sum(s[key] for s in scored.values()) for key in ("first", "any")}
    return dict(n=len(scored), **count, scored=scored, out_of_reach=out_of_reach)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--model", default="default")
    parser.add_argument("--event-min", type=float, default=Options.event_min)
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    genome = Genome(os.path.join(args.data, "genome", "hg38.fa.gz"))
    annotation = load_annotation(
        os.path.join(args.data, "annotation", "refseq.hg38.bed12+gene.gz"), cache=True
    )
    bundle = load_bundle(args.model)
    options = Options(distance=REACH, rbp_min=2.0, transcripts="all", event_min=args.event_min)
    rows = in_reach(os.path.join(args.data, TABLE))
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with Predictor(bundle) as predictor:
        alleles = score(genome, annotation, predictor, map(allele_of, rows), options)
        for row, allele in zip(rows, alleles):
            effects = [e for e in allele.genes if e.gene.strand == row["strand"]]
            if not effects:
                counts[row["effect_type"]]["not scored"] += 1
                continue
            effect = max(effects, key=lambda e: e.largest)
            transcript, seen = own_transcript(effect, row), observed(row)
            count = counts[row["effect_type"]]
            count["n"] += 1
            for name, rule in (("", by_events), ("deltas, ", by_deltas)):
                kinds = [kind for _, kind in rule(effect, transcript)] or [Kind.NONE]
                count[f"{name}first"] += kinds[0] in seen
                count[f"{name}any"] += not seen.isdisjoint(kinds)
        literature = published(genome, annotation, predictor, options)
    result = dict(
        bundle=bundle.name,
        sha256=bundle.sha256,
        event_min=args.event_min,
        kinds={kind: dict(count) for kind, count in sorted(counts.items())},
        published=literature,
    )
    print(result)
    save(args.json, result)


if __name__ == "__main__":
    main()
