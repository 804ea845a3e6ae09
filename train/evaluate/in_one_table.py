#!/usr/bin/env python3
"""What was measured of the bundles and of others, in one table for the cards.

    python train/evaluate/in_one_table.py weights/default weights/large weights/paper

Reads the results in train/ (default/results, paper/results, teach/results) and measures nothing.
Results with a checksum (top-k, eCLIP, RNA maps, published cases, causes) count where they are of
the weights that a bundle has now; those without (single edits, hexamers, and the rows where other
programs stand beside it) are taken as they are. The table goes into the bundles' metrics.json, and
into their cards.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from common import save

from samvar.model.bundle import identity
from samvar.training.card import IN_ONE_TABLE, write_card

RESULTS = {  # of each bundle: what the paths of its files begin with, the first that is there
    "default": ["default/results/"],
    "large": ["default/results/large."],
    "paper": ["default/results/paper.", "paper/results/"],
}
SUITES = dict(
    default="default/results/suite", large="default/results/large", paper="paper/results/suite"
)
LEAST = 0.1  # delta whose causes are looked at
PEERS = ("OpenSpliceAI", "SpliceAI", "MMSplice", "7-mers", "MaxEnt")
METRICS = dict(auroc="AUROC", auprc="AUPRC", spearman="Spearman")
OF_REGIONS = ("beside", "beside.ci", "beside.clinvar")
REGIONS = dict(ppt="polypyrimidine tract", branch_point="branch-point region", core="core sites")
TOPK = {  # what the rows of `topk.py` are called: of one model, of several
    "top-k, validation genes": ("validation, am", "validation, am, mean of the seeds"),
    "top-k, test genes": ("test, am", "test, am, mean of the seeds"),
}
CORES = "validation, LSSI of the am alone", "validation, LSSI of the am, model 1, alone"


class Row(NamedTuple):
    """A measure: how many were looked at and how many of them are positive, where that is said;
    of each column its value, mostly with the 95 % interval, or words; and of each bundle the share
    of its teacher's lead over `paper` that it takes, where that lead is clear of zero."""

    measure: str
    n: int | None
    positive: int | None
    of: dict[str, list[float] | str]
    share: dict[str, list[float]] = {}


class Results:
    """The files of results, by bundle and name."""

    def __init__(self, train: str, weights: str):
        self.train = train
        self.known = {}
        for name in RESULTS:
            with open(os.path.join(weights, name, "config.json")) as handle:
                config = json.load(handle)
            self.known[name] = {identity(config, kind) for kind in config["kinds"]}

    def file(self, path: str) -> dict:
        """One of them, empty where it is not there."""
        path = os.path.join(self.train, f"{path}.json")
        if not os.path.exists(path):
            return {}
        with open(path) as handle:
            found: dict = json.load(handle)
        return found

    def of(self, bundle: str, name: str, part: str | None = None) -> dict:
        """A bundle's own file, or a part of it, empty where there is none of its weights."""
        found = next(filter(None, (self.file(start + name) for start in RESULTS[bundle])), {})
        return self.current(bundle, found.get(part, {}) if part else found)

    def current(self, bundle: str, found: dict) -> dict:
        return found if found.get("sha256") in self.known[bundle] else {}

    def suite(self, bundle: str) -> dict:
        return self.file(SUITES[bundle])


def splice_sites(results: Results) -> Iterator[Row]:
    for measure, titles in TOPK.items():
        found = {}
        for bundle in RESULTS:
            suite = results.suite(bundle)
            row = next(suite[title] for title in reversed(titles) if title in suite)
            if results.current(bundle, row):
                found[bundle] = row
        sites = [row["n_acceptor"] + row["n_donor"] for row in found.values()]
        values = {b: [row["topk_mean"], *row["topk_interval"]] for b, row in found.items()}
        yield Row(f"{measure}, %", next(iter(sites), None), None, values)
    cores = {}
    for bundle in RESULTS:
        suite = results.suite(bundle)
        row = next(suite[title] for title in CORES if title in suite)
        cores[bundle] = [row["topk_mean"], *row["topk_interval"]]
    maxent = results.file("paper/results/maxent")["maxent"]["topk"]
    yield Row(
        "top-k of core sites alone, validation genes, %", None, None, cores | dict(MaxEnt=maxent)
    )


def single_edits(results: Results) -> Iterator[Row]:
    found = {bundle: results.suite(bundle).get(bundle) for bundle in ("default", "large")}
    found["paper"] = results.file("teach/results/yardstick").get("paper:am")
    changes = {bundle: row["changes"] for bundle, row in found.items() if row}
    for region, first in changes["default"].items():
        values = {b: [of[region]["spearman"], *of[region]["interval"]] for b, of in changes.items()}
        where = REGIONS.get(region, region.replace("_", " "))
        yield Row(f"single edits against OpenSpliceAI, {where}: Spearman", first["n"], None, values)


def measured(results: Results) -> Iterator[Row]:
    """Variants and exons; AUROC, and AUPRC or Spearman where that says more."""
    for name in OF_REGIONS:
        rows = results.file(f"default/results/{name}")
        for title, row in rows.items():
            where, _, sample = title.partition(", ")
            if sample and not where.endswith("all"):
                continue  # few rows: SpliceAI takes seconds for each
            measure = f"{where}, rows that SpliceAI has scored" if sample else where
            for metric in METRICS:
                own = {who: of for who, of in row.items() if metric in of}
                if own and wanted(where, metric, own):
                    yield compared(f"{measure}: {METRICS[metric]}", metric, own)


def wanted(where: str, metric: str, own: dict) -> bool:
    """Whether a row says what the others do not."""
    if metric == "auroc":
        return True
    whole = where.endswith((": all", ": exonic"))
    if metric == "auprc":
        return whole and where.startswith(("MFASS", "MaPSy"))
    return whole and not any("auroc" in of for of in own.values())


def compared(measure: str, metric: str, own: dict) -> Row:
    first = next(iter(own.values()))
    shares = {who: of["share"][metric].get("share") for who, of in own.items() if "share" in of}
    return Row(
        measure,
        first["n"],
        first.get("positive"),
        {who: of[metric] for who, of in own.items()},
        {who: share for who, share in shares.items() if share},
    )


def binding(results: Results) -> Iterator[Row]:
    hexamers = results.file("default/results/hexamers")
    values = {bundle: hexamers[bundle]["spearman"] for bundle in RESULTS if bundle in hexamers}
    yield Row("200 hexamers in 20 exons against measured tables: Spearman", 200, None, values)
    found = {bundle: results.of(bundle, "eclip") for bundle in RESULTS}
    whole = {
        bundle: of["sets"]["chr1,chr3"]["whole"]
        for bundle, of in found.items()
        if of and of["extend5"] and "chr1,chr3" in of["sets"]
    }
    for part in ("exons", "introns"):
        values = {bundle: of[part]["pooled"] for bundle, of in whole.items()}
        yield Row(f"sites in eCLIP peaks, adjusted over fixed, {part}", None, None, values)
    maps = {bundle: results.of(bundle, "rna_maps", "am") for bundle in RESULTS}
    words = {
        bundle: f"{of['as_expected'][0]:.0f} of {of['tested']}" for bundle, of in maps.items() if of
    }
    yield Row("SR and hnRNP proteins whose RNA map has the expected sign", None, None, words)


def reasons(results: Results) -> Iterator[Row]:
    cases = {bundle: results.of(bundle, "cases") for bundle in RESULTS}
    for key, measure in (
        ("direction", "published cases whose direction is right"),
        ("right", "published cases with the factor, or a relative, among the causes"),
        ("alike_right", "the same, learnt motifs like it counted"),
        ("exon_right", "published cases whose exon is told"),
    ):
        n = "exon_n" if key == "exon_right" else "n"
        words = {bundle: f"{of[key]} of {of[n]}" for bundle, of in cases.items() if of}
        yield Row(measure, None, None, words)
    yield from attribution(results)


def attribution(results: Results) -> Iterator[Row]:
    """Of the deltas of 0.1 or more of measured variants; how many they are differs."""
    causes = {bundle: results.of(bundle, "attribution") for bundle in RESULTS}
    shown = {bundle: of for bundle, of in causes.items() if of and of["least"] == LEAST}
    told = f"deltas of {LEAST} or more"
    for measure, value in (
        (f"{told}: how many", lambda of: str(of["deltas"])),
        (
            f"{told} to which their causes sum within 0.001",
            lambda of: f"{1 - of['explain']['share_above_0_001']:.1%}",
        ),
        (
            f"{told} whose strongest cause is the strongest knock-out",
            lambda of: f"{of['knockouts']['strongest_is_strongest_knockout']:.1%}",
        ),
        (
            "effect of a site and what knocking it out does: Pearson",
            lambda of: f"{of['knockouts']['pearson']:.3f}",
        ),
    ):
        yield Row(measure, None, None, {bundle: value(of) for bundle, of in shown.items()})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", help="folders of bundles, whose cards get the table")
    parser.add_argument("--train", default="train")
    parser.add_argument("--weights", default="weights")
    args = parser.parse_args()
    results = Results(args.train, args.weights)
    rows = [
        row
        for part in (splice_sites, single_edits, measured, binding, reasons)
        for row in part(results)
        if row.of
    ]
    columns = [name for name in (*RESULTS, *PEERS) if any(name in row.of for row in rows)]
    table = dict(columns=columns, rows=[row._asdict() for row in rows])
    for folder in args.bundles:
        path = os.path.join(folder, "metrics.json")
        with open(path) as handle:
            metrics = json.load(handle)
        save(path, metrics | {IN_ONE_TABLE: table})
        write_card(folder)


if __name__ == "__main__":
    main()
