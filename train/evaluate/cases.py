#!/usr/bin/env python3
"""Published variants that act through a splicing regulator: does samvar see the change, and name
the protein?

    python train/evaluate/cases.py DATA --json OUT

DATA is the folder with genome/ and annotation/; the variants stand in cases.tsv. Of each case:

direction   the largest delta is the loss of an annotated site (skipping), or the gain of one
            (inclusion), or the gain of another (pseudo-exon)
exon        the site that changes most of the exon in or next to which the variant lies, alt less
            ref; not of pseudo-exons
factor      the strongest part of the largest delta, of those that show in four decimals, whose
            protein is a published one or of its family, gained or lost as published; `right` where
            its effect adds to the delta
shown       annotate's defaults would list that part
chance      the share of the other cases' factors that would have been right here
alike       as `factor`, but a learnt motif counts as each of the proteins that it is most like, too
            (the bundle's card names them); with a chance of its own
in_cells    as `factor`, but a learnt motif counts as each of the proteins that bind its sites in
            cells, by CLIP (the card names them, too); with a chance of its own
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Mapping
from types import MappingProxyType

from common import save

from samvar.annotate import Options
from samvar.formats.annotation import load_annotation
from samvar.genomics.align import ABSENT
from samvar.genomics.genes import Annotation, Gene
from samvar.genomics.genome import Genome
from samvar.genomics.variant import Variant, normalise
from samvar.genomics.window import make_window
from samvar.model.bundle import Bundle, load_bundle
from samvar.scoring import attribution, deltas
from samvar.scoring.predictor import Predictor

SR = ("SRSF1", "SRSF2", "SRSF4", "SRSF5", "SRSF7", "SRSF8", "SRSF9", "SRSF10", "SRSF11")
A1 = ("HNRNPA0", "HNRNPA1", "HNRNPA2B1", "HNRNPD", "HNRNPDL")
# the members among the proteins of the bundles; a protein that is not here stands for itself
FAMILY = {
    "ELAVL1": ("ELAVL1", "ELAVL4"),
    "HNRNPA1": A1,
    "HNRNPA2B1": A1,
    "HNRNPF": ("HNRNPF", "HNRNPH2"),
    "HNRNPH1": ("HNRNPF", "HNRNPH2"),
    "KHDRBS1": ("KHDRBS1", "KHDRBS2", "KHDRBS3"),
    "SRSF1": SR,
    "SRSF2": ("SRSF2", "SRSF8"),
    "TRA2B": ("TRA2A", "TRA2B"),
    "U2AF2": ("PUF60", "U2AF2"),
    "SNRNP70": ("LSSI_D", "SNRNP70"),  # of U1 snRNP, which binds donors
}
EVENTS = {"gain": ("gain", "stronger", "site_inserted"), "loss": ("loss", "weaker", "site_deleted")}


def reported(row: dict) -> set[tuple[str, str]]:
    """(name of a part, event) that agree with what was published."""
    factors, events = row["published_factor"].split(";"), row["factor_event"].split(";")
    pairs = zip(factors, events * len(factors) if len(events) == 1 else events)
    return {
        (name, e)
        for factor, event in pairs
        for name in FAMILY.get(factor, (factor,))
        for e in EVENTS[event]
    }


def match(
    parts: list[attribution.Part],
    wanted: set[tuple[str, str]],
    count_as: Mapping[str, list[str]] = MappingProxyType({}),
) -> dict | None:
    """The strongest wanted part that adds to the delta, or the strongest that does not; None where
    none shows. `count_as`: motif -> proteins that it counts as, too."""

    def is_wanted(part: attribution.Part) -> bool:
        names = part.rbp, *count_as.get(part.rbp, [])
        return any((name, part.event) in wanted for name in names)

    found = [(i, p) for i, p in enumerate(parts, 1) if is_wanted(p) and round(p.effect, 4)]
    if not found:
        return None
    rank, part = min(found, key=lambda f: (f[1].effect < 0, f[0]))
    return dict(rank=rank, **show(part))


def meanings(bundle: Bundle) -> dict[str, dict[str, list[str]]]:
    """What learnt motifs count as, by name: those that they are like, and those that bind them."""
    return dict(
        alike_chance={k: [protein for protein, _ in m.nearest] for k, m in bundle.learnt.items()},
        in_cells_chance={k: [b.protein for b in m.bound] for k, m in bundle.learnt.items()},
    )


def adds(factor: dict | None) -> bool:
    return factor is not None and factor["effect"] > 0


def show(part: attribution.Part) -> dict:
    return dict(
        rbp=part.rbp,
        event=part.event,
        position=None if part.position is None else part.position + 1,
        site=part.site,
        effect=round(part.effect, 5),
        knockout=None if part.knockout is None else round(part.knockout, 5),
    )


def exon_change(gene: Gene, variant: Variant, found: deltas.Deltas, p_ref, p_alt) -> dict | None:
    """What the site of the variant's exon does that changes most, of those compared."""
    start, end = variant.span
    exons = {(s, e) for t in gene.transcripts for s, e in t.exons[1:-1]}
    s, e = min(exons, key=lambda x: (max(x[0] - end, start - x[1], 0), x))
    a, changes = found.alignment, []
    for row, site in enumerate((s, e - 1) if gene.strand == "+" else (e - 1, s)):
        for i in (
            (a.position == site) & (a.offset == 0) & (a.ref != ABSENT) & (a.alt != ABSENT)
        ).nonzero()[0]:
            ref, alt = (float(p.mean(0)[row, k[i]]) for p, k in ((p_ref, a.ref), (p_alt, a.alt)))
            changes.append(
                dict(
                    site=("acceptor", "donor")[row],
                    position=site + 1,
                    ref=round(ref, 4),
                    change=round(alt - ref, 5),
                )
            )
    return max(changes, key=lambda c: abs(c["change"]), default=None)


def score(
    row: dict, genome: Genome, annotation: Annotation, predictor: Predictor, distance: int
) -> tuple[dict, list[attribution.Part]]:
    """What samvar says of a case, and all parts of its largest delta, strongest first."""
    variant = normalise(
        genome, genome.contig(row["chrom"]), int(row["pos"]), row["ref"], row["alt"]
    )
    gene = next(
        g for g in annotation.overlapping(variant.contig, *variant.span) if g.symbol == row["gene"]
    )
    window = make_window(genome, gene, variant, distance, predictor.bundle.flank, predictor.reach)
    scores = predictor.score(window)
    found = deltas.compute(window, scores.ref, scores.alt)
    top = int(found.values.argmax())
    value, position = float(found.values[top]), int(found.alignment.position[found.columns[top]])
    causes = attribution.attribute(predictor, scores, found, minimum=0.0, knockouts=True)
    parts = next((c.parts for c in causes if c.delta == top), [])
    gained, known = deltas.SIGN[top] > 0, position in gene.sites()[deltas.SITE_OF[top]]
    direction = {
        "skipping": not gained and known,
        "inclusion": gained and known,
        "pseudo-exon": gained and not known,
    }
    factor = match(parts, reported(row))
    alike, in_cells = (match(parts, reported(row), m) for m in meanings(predictor.bundle).values())
    effect = row["published_effect"]
    return dict(
        name=row["name"],
        published=dict(effect=effect, factor=row["published_factor"], event=row["factor_event"]),
        delta=deltas.NAMES[top] if value > 0 else None,
        value=round(value, 5),
        position=position + 1,
        annotated_site=known,
        direction=bool(value > 0 and direction[effect]),
        exon=None
        if effect == "pseudo-exon"
        else exon_change(gene, variant, found, scores.ref, scores.alt),
        parts=len(parts),
        strongest=[show(p) for p in parts[:5]],
        factor=factor,
        right=adds(factor),
        alike=alike,
        alike_right=adds(alike),
        in_cells=in_cells,
        in_cells_right=adds(in_cells),
        shown=adds(factor) and value >= Options.rbp_min and factor["rank"] <= Options.rbp_max,
    ), parts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--model", default="default")
    parser.add_argument(
        "-D",
        "--distance",
        type=int,
        default=200,
        help="bases compared on either side of the variant: 200 reach a site of each exon",
    )
    parser.add_argument("--json")
    args = parser.parse_args()
    with open(os.path.join(os.path.dirname(__file__), "cases.tsv")) as f:
        rows = list(csv.DictReader(f, delimiter="\t"))
    bundle = load_bundle(args.model)
    predictor = Predictor(bundle)
    files = {
        g: (
            Genome(os.path.join(args.data, "genome", f"{g}.fa.gz")),
            load_annotation(os.path.join(args.data, "annotation", f"refseq.{g}.bed12+gene.gz")),
        )
        for g in sorted({r["genome"] for r in rows})
    }
    cases = []
    for row in rows:
        case, parts = score(row, *files[row["genome"]], predictor, args.distance)
        others = [r for r in rows if r["published_factor"] != row["published_factor"]]
        for key, count_as in ({"chance": {}} | meanings(bundle)).items():
            found = [adds(match(parts, reported(r), count_as)) for r in others]
            case[key] = round(sum(found) / len(found), 3)
        cases.append(case)
        print(
            case["name"],
            row["published_factor"],
            row["factor_event"],
            case["delta"],
            f"{case['value']:.4f}",
            case["position"],
            "direction right" if case["direction"] else "direction wrong",
            case["factor"],
            sep="\t",
        )
    counted = "direction", "right", "shown", "alike_right", "in_cells_right"
    count = {k: sum(c[k] for c in cases) for k in counted}
    count["direction_and_right"] = sum(c["direction"] and c["right"] for c in cases)
    wanted = {"skipping": -1, "inclusion": 1}
    count["exon_right"] = sum(
        c["exon"]["change"] * wanted[c["published"]["effect"]] > 0 for c in cases if c["exon"]
    )
    result = dict(
        bundle=bundle.name,
        sha256=bundle.sha256,
        distance=args.distance,
        n=len(cases),
        **count,
        exon_n=sum(c["exon"] is not None for c in cases),
        right_by_chance=round(sum(c["chance"] for c in cases), 2),
        alike_by_chance=round(sum(c["alike_chance"] for c in cases), 2),
        in_cells_by_chance=round(sum(c["in_cells_chance"] for c in cases), 2),
        cases=cases,
    )
    print({k: v for k, v in result.items() if k != "cases"})
    if args.json:
        save(args.json, result)


if __name__ == "__main__":
    main()
