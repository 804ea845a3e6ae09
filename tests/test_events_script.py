"""What train/evaluate/events.py takes for the observed event, and what four deltas say."""

import csv
import importlib
import os
from types import SimpleNamespace

import pytest

from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.window import Place
from samvar.scoring.consequence import Kind
from samvar.scoring.deltas import Delta

FOLDER = os.path.join(os.path.dirname(__file__), "..", "train", "evaluate")
EXONS = ((100, 200), (400, 500), (1200, 1300))


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("events")


def row(kind, said="", strand="+", affects="1", **places):
    return dict(
        dict.fromkeys(("AG", "AL", "DG", "DL"), ""),
        effect_type=kind,
        Observation=said,
        strand=strand,
        SpliceAffecting=affects,
        **places,
    )


def test_what_was_observed(script):
    moved = {Kind.PARTIAL_EXON_DELETION, Kind.PARTIAL_INTRON_RETENTION}
    assert script.observed(row("skip", affects="0")) == {Kind.NONE}
    assert script.observed(row("skip", "exon 16 skipped")) == {Kind.EXON_SKIPPING}
    assert script.observed(row("skip", "exons 12, 13 skipped")) == {Kind.MULTI_EXON_SKIPPING}
    assert script.observed(row("retention")) == {Kind.WHOLE_INTRON_RETENTION}
    assert script.observed(row("alternative donor")) == moved
    both = row("multiple", "Use of a cryptic site and exon 9 skipped")
    assert script.observed(both) == moved | {Kind.EXON_SKIPPING}


@pytest.mark.parametrize(
    "kind, old, new, strand, seen",
    [
        ("donor", "10.0", "14.0", "+", Kind.PARTIAL_INTRON_RETENTION),
        ("donor", "10.0", "14.0", "-", Kind.PARTIAL_EXON_DELETION),
        ("acceptor", "10.0", "14.0", "+", Kind.PARTIAL_EXON_DELETION),
        ("acceptor", "10.0", "14.0", "-", Kind.PARTIAL_INTRON_RETENTION),
    ],
)
def test_where_an_end_has_moved(script, kind, old, new, strand, seen):
    letter = kind[0].upper()
    places = {f"{letter}L": old, f"{letter}G": new}
    assert script.observed(row(f"alternative {kind}", strand=strand, **places)) == {seen}


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize(
    "deltas, kinds",
    [
        (dict(AL=(0.3, 400), DL=(0.02, 499)), [Kind.EXON_SKIPPING]),
        (dict(DL=(0.3, 199), AL=(0.1, 400)), [Kind.WHOLE_INTRON_RETENTION]),
        (dict(DL=(0.3, 199), AL=(0.01, 400)), []),
        (dict(AG=(0.1, 700), DG=(0.3, 790)), [Kind.PSEUDOEXON, Kind.PARTIAL_INTRON_RETENTION]),
        (dict(AG=(0.1, 700), DG=(0.19, 790)), []),
        (dict(DG=(0.25, 490)), [Kind.PARTIAL_EXON_DELETION]),
    ],
)
def test_four_deltas(script, strand, deltas, kinds):
    place = (lambda p: p) if strand == "+" else (lambda p: 1399 - p)
    exons = sorted(tuple(sorted((place(s), place(e - 1)))) for s, e in EXONS)
    transcript = Transcript("T", tuple((s, e + 1) for s, e in exons))
    gene = Gene("G", "G", "c", strand, exons[0][0], exons[-1][1] + 1, (transcript,))
    named = [
        Delta(name, *((deltas[name][0], Place(place(deltas[name][1]))) if name in deltas
                      else (0.0, Place(place(600)))))
        for name in ("AG", "AL", "DG", "DL")
    ]  # fmt: skip
    effect = SimpleNamespace(gene=gene, deltas=SimpleNamespace(named=named))
    assert [kind for _, kind in script.by_deltas(effect, transcript)] == kinds


def test_the_table_of_the_literature(script):
    with open(os.path.join(FOLDER, "events.tsv")) as f:
        rows = list(csv.DictReader(f, delimiter="\t"))
    assert len(rows) == len({r["hgvs"] for r in rows}) == 25
    assert {r["event"] for r in rows} <= {k.value for k in Kind}
    assert all(int(r["size"]) > 0 for r in rows)
