#!/usr/bin/env python3
"""Models and their teacher on the same rows of measured variants, by SAMVAR_MAX; the
share of the teacher's lead that a model takes.

    python train/evaluate/leads.py default=T.tsv.gz paper=T.tsv.gz teacher=T.tsv.gz --json OUT

Each T is what `variants.py --table` has written. Of each set, and of each class of its variants:
both areas of each model on the rows that all score; the teacher's lead over `paper`, and where that
is clear of zero the share of it that each other model takes. Intervals as in `variants.py`. `--of
NEW --over OLD`: the lead of one model over another, instead.
"""

from __future__ import annotations

import argparse
import csv
import gzip

import numpy as np
from common import MIN_OF_EACH, auprc, auroc, bootstrap, save
from peers import PARTS


def read(path: str) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows of a table by set and variant."""
    with gzip.open(path, "rt") as f:
        rows = csv.DictReader(f, delimiter="\t")
        return {tuple(r[k] for k in ("set", "chrom", "pos", "ref", "alt")): r for r in rows}


def compared(
    rows: list[dict[str, str]], value: dict[str, np.ndarray], ahead: str, behind: str
) -> dict:
    """Areas of each model, the lead of `ahead` over `behind`, and shares of it."""
    label, cluster = np.array([r["label"] == "1" for r in rows]), [r["cluster"] for r in rows]
    found: dict = dict(n=len(rows), positive=int(label.sum()), clusters=len(set(cluster)))
    for area in (auroc, auprc):
        own = {name: bootstrap(area, label, v, cluster) for name, v in value.items()}
        found[area.__name__] = own
        if not {ahead, behind} <= value.keys():
            continue

        def lead(y, v, of=1, area=area):
            return area(y, v[:, of]) - area(y, v[:, 0])

        def part(y, v, lead=lead):
            whole = lead(y, v)
            return lead(y, v, of=2) / whole if whole else 0.0

        both = [value[behind], value[ahead]]
        found[f"{area.__name__}: lead"] = bootstrap(lead, label, np.stack(both, 1), cluster)
        if found[f"{area.__name__}: lead"][1] > 0:
            found[f"{area.__name__}: share"] = {
                name: bootstrap(part, label, np.stack([*both, own], 1), cluster)
                for name, own in value.items()
                if name not in (ahead, behind)
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="+", metavar="NAME=TABLE")
    parser.add_argument("--of", default="teacher")
    parser.add_argument("--over", default="paper")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    tables = {name: read(path) for name, path in (t.split("=", 1) for t in args.tables)}
    first = next(iter(tables.values()))
    scored = [
        key
        for key in first
        if all(key in t and t[key]["SAMVAR_MAX"] != "." for t in tables.values())
    ]
    result = {}
    for title in dict.fromkeys(key[0] for key in first):
        for part, belongs in PARTS.items():
            keys = [key for key in scored if key[0] == title and belongs(first[key])]
            positive = sum(first[key]["label"] == "1" for key in keys)
            if min(positive, len(keys) - positive) >= MIN_OF_EACH:
                value = {
                    name: np.array([float(t[key]["SAMVAR_MAX"]) for key in keys])
                    for name, t in tables.items()
                }
                found = compared([first[key] for key in keys], value, args.of, args.over)
                result[f"{title}: {part}"] = found
                print(title, part, found, flush=True)
    save(args.json, result)


if __name__ == "__main__":
    main()
