"""`samvar scan`: every SNV and deletion of a place, and windows hidden from all binding."""

import csv
import io
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import samvar
from samvar.annotate import Allele
from samvar.cli import main
from samvar.genomics.genes import Annotation
from samvar.genomics.variant import Status
from samvar.genomics.window import Place as Base
from samvar.scoring.deltas import NAMES, Delta
from samvar.scoring.effects import ScoredAllele
from samvar.views.heat_map import draw, draw_walk, write_walk
from samvar.views.scan import Place, Scored, changes, place_of, walk
from samvar.views.scene import Text, text_width

from . import toy

BASES = toy.random_bases(1500, seed=11)
EXONS = [(501, 700), (801, 900), (1001, 1400)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    bases = BASES[:810] + "N" + BASES[811:]
    return (
        toy.fasta(folder / "g.fa", c=bases, d=BASES),
        toy.gtf(folder / "g.gtf", ("G", "c", "-", EXONS), ("H", "d", "+", EXONS)),
        toy.bundle(folder),
    )


@pytest.fixture(scope="module")
def scorer(files):
    with samvar.load(*files, samvar.Options(rbp_min=0.0)) as scorer:
        yield scorer


def run(files, *args):
    fasta, genes, bundle = files
    command = ["scan", *map(str, args), "-f", fasta, "-a", genes, "--model", bundle]
    return CliRunner().invoke(main, command)


def rows(result):
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("c:1,001-1,010", Place("c", 1000, 1010)),
        ("chrc:5-5", Place("c", 4, 5)),
        ("H:exon 1", Place("d", 490, 710)),
        ("G:exon 1", Place("c", 990, 1410)),
        ("G: Exon3", Place("c", 490, 710)),
    ],
)
def test_places_are_regions_or_numbered_exons(scorer, text, expected):
    assert place_of(text, scorer.genome, scorer.annotation, 10) == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("c:10-9", "END is before START"),
        ("c:0-9", "positions count from 1"),
        ("c:1-1501", "END is beyond c, which has 1,500 bases"),
        ("c:1502-1501", "END is before START"),
        ("g:exon 1", "no gene g on contigs of the FASTA: is G meant?"),
        ("x:1-2", "has no contig x"),
        ("G:exon 4", "exons 1 to 3, not 4"),
        ("K:exon 1", "no gene K"),
        ("G", "neither CHR:START-END nor GENE:exon N"),
        (f"c:{'9' * 5000}-1", "neither CHR:START-END nor GENE:exon N"),
        (f"G:exon {'9' * 5000}", "neither CHR:START-END nor GENE:exon N"),
    ],
)
def test_what_is_no_place_is_refused_with_the_cause(files, text, message):
    result = run(files, text)
    assert result.exit_code == 1 and message in result.stderr


def test_changes_are_all_snvs_and_deletions_of_known_bases(scorer):
    place = Place("c", 808, 813)  # its third base is N
    found = list(changes(scorer.genome, place, [1, 2]))
    snvs = [a for a in found if len(a.ref) == 1]
    assert len(snvs) == 12 and {a.pos for a in snvs} == {809, 810, 812, 813}
    deletions = [a for a in found if len(a.ref) > 1]
    assert deletions == [
        Allele("c", 808, BASES[807:809], BASES[807]),
        Allele("c", 808, BASES[807:810], BASES[807]),
        Allele("c", 809, BASES[808:810], BASES[808]),
        Allele("c", 812, BASES[811:813], BASES[811]),
    ]


@pytest.mark.slow
def test_the_table_has_what_annotate_says(files, scorer):
    table = rows(run(files, "d:700-703", "--deletions", "1-2", "--rbp-min", "0"))
    assert len(table) == 4 * 3 + 4 + 3
    for row in table:
        allele = row["CHROM"], int(row["POS"]), row["REF"], row["ALT"]
        (effect,) = scorer.score(*allele).genes
        for delta in effect.deltas.named:
            assert row[f"DS_{delta.name}"] == f"{delta.value:.4f}"
            assert int(row[f"DP_{delta.name}"]) == delta.place.pos - allele[1]
        largest = max(effect.causes, key=lambda c: c.value)
        named = [p.rbp for p in largest.parts if p.position is not None]
        assert row["CAUSE"] == (named[0] if named else ".")


def test_the_row_of_the_largest_delta_is_that_of_its_gene():
    """Though a gene before it has the same digits."""

    def effect(symbol, gain):
        named = [Delta(n, gain * (n == "DG"), Base(39)) for n in NAMES]
        deltas = SimpleNamespace(named=named)
        return SimpleNamespace(gene=SimpleNamespace(symbol=symbol), deltas=deltas, causes=())

    genes = effect("A", 0.12341), effect("B", 0.12344), effect("C", 0.12339)
    scored = Scored.of(Allele("c", 41, "A", "G"), ScoredAllele("G", Status.OK, genes))
    assert [row["DS_DG"] for row in scored.rows] == [0.1234] * 3
    assert scored.largest.delta == ("DG", 0.12344, Base(39))
    assert scored.largest.row is scored.rows[1] and scored.rows[1]["SYMBOL"] == "B"
    outside = Scored.of(Allele("c", 41, "A", "G"), ScoredAllele("G", Status.NO_GENE))
    assert outside.largest is None and len(outside.rows) == 1


def test_bases_outside_genes_have_their_status(files):
    table = rows(run(files, "c:20-20"))
    assert len(table) == 3 and {row["STATUS"] for row in table} == {"NO_GENE"}
    assert {row["DS_AG"] for row in table} == {"."}


@pytest.mark.parametrize("gene", "GH")
def test_a_hidden_window_has_no_entries_on_either_strand(scorer, gene):
    from samvar.scoring.knockout import EditableAllele, region_window

    (own,) = [g for g in scorer.annotation.genes if g.symbol == gene]
    window = region_window(scorer.genome, own, own.contig, 780, 920, scorer.predictor)
    allele = EditableAllele.make(scorer.predictor, window)
    (detected,) = allele.detected
    haplotype, bottleneck = detected.haplotype, detected.bottleneck
    first = window.flank - haplotype.first
    for start, end in ((15, 35), (100, 140)):
        u = bottleneck.clone()
        low, high = (start, end) if own.strand == "+" else (140 - end, 140 - start)
        u[:, :2, first + low : first + high] = -10.0
        u[:, 2:, first + low : first + high] = 0.0
        with torch.no_grad():
            expected = haplotype.probabilities(u).numpy()[0]
        expected = expected if own.strand == "+" else expected[:, ::-1]
        found = allele.hidden([(0, 1), (start, end)])[1]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert np.abs(found - allele.probability).max() > 1e-3


def test_the_walk_covers_the_place_and_tells_each_site(files, scorer):
    place = Place("c", 790, 910)
    (hidden,) = walk(scorer.genome, scorer.annotation, scorer.predictor, place, [20])
    assert hidden.starts == tuple(range(790, 891)) and hidden.probability.shape[0] == 101
    annotated = {(kind, at) for kind, at, known in hidden.sites if known}
    assert annotated == {("acceptor", 899), ("donor", 800)}
    table = rows(run(files, "c:791-910", "--mask", "20"))
    assert len(table) == 101 * len(hidden.sites)
    for row, (start, site) in zip(table, np.ndindex(hidden.probability.shape)):
        assert int(row["START"]) == 791 + start and int(row["END"]) == 810 + start
        assert float(row["CHANGE"]) == pytest.approx(
            hidden.probability[start, site] - hidden.plain[site], abs=1e-4
        )


def test_nothing_to_hide_is_refused(files):
    assert "no gene at c:1-100" in run(files, "c:1-100", "--mask", "20").stderr
    both = run(files, "c:600-700", "--mask", "20", "--deletions", "1")
    assert both.exit_code == 2 and "--mask changes no bases" in both.stderr
    assert run(files, "c:600-700", "--mask", "3-2").exit_code == 2
    beside = run(files, "c:400-510", "--mask", "25")
    assert beside.exit_code == 1 and "in c:400-510 and a gene there" in beside.stderr
    wider = run(files, "c:600-700", "--mask", "20-102")
    assert wider.exit_code == 1 and "no window of 102 bases lies in c:600-700" in wider.stderr


@pytest.mark.slow
def test_a_heat_map_is_drawn_without_matplotlib_and_as_png_with_it(files, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    png, svg = tmp_path / "f.png", tmp_path / "f.svg"
    assert run(files, "c:890-896", "--figure", png).exit_code == 0
    assert png.read_bytes().startswith(b"\x89PNG")
    assert run(files, "c:890-896", "--deletions", "1-2", "--figure", svg).exit_code == 0
    drawn = svg.read_text()
    assert "every SNV and deletion of 1 to 2 bases" in drawn
    assert ">del 1</text>" in drawn and ">del 2</text>" in drawn and ">del 3<" not in drawn
    assert re.search("<title>[0-9]+ [ACGT]{2,3}&gt;[ACGT]: (acceptor|donor)", drawn)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    table = rows(run(files, "c:890-896", "--figure", svg))
    refused = run(files, "c:890-896", "--figure", png)
    assert refused.exit_code == 1 and "samvar[plot]" in refused.stderr
    largest = [max(float(row[f"DS_{n}"]) for n in ("AG", "AL", "DG", "DL")) for row in table]
    assert svg.read_text().count('class="cell"') == sum(d >= 0.005 for d in largest) > 0


def test_a_usual_symbol_of_a_gene_is_whole(scorer):
    gene = replace(scorer.annotation.genes[0], symbol="HNRNPA2B1")
    place = Place(gene.contig, 790, 910)
    scene = draw(scorer.genome, Annotation([gene]), place, [])
    (name,) = [item for item in scene.items if item.name == "gene"]
    assert name.text.startswith("HNRNPA2B1 ") and name.anchor == "end"
    assert name.x - text_width(name.text, name.size) >= 0


def test_a_figure_of_hidden_windows_says_what_each_site_does_at_most(scorer, tmp_path, monkeypatch):
    """Its lines are told apart by their style: colours say what is raised and what is lowered."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    place = Place("c", 790, 910)
    (hidden,) = walk(scorer.genome, scorer.annotation, scorer.predictor, place, [20])
    scene = draw_walk(place, [hidden])
    told = [item.text for item in scene.items if item.name == "legend"][5:]
    for number, site in enumerate(hidden.sites):
        change = hidden.probability[:, number] - hidden.plain[number]
        name, known, before, rise, fall = told[5 * number : 5 * number + 5]
        assert name == f"{number + 1}  {site.kind} {site.position + 1}"
        assert known == ("annotated" if site.annotated else "not annotated")
        assert before == f"{hidden.plain[number]:.4f}"
        for text, window in ((rise, change.argmax()), (fall, change.argmin())):
            start = hidden.starts[window] + 1
            where = f"{change[window]:+.4f} to {hidden.probability[window, number]:.4f}, {start}-"
            assert where in text if abs(change[window]) >= 0.0001 else text == "none"
        assert rise[0] in "▲n" and fall[0] in "▼n"
    lines = [item for item in scene.items if item.name == "site"]
    assert [line.dashed for line in lines] == [s.kind == "acceptor" for s in hidden.sites]
    assert {line.stroke for line in lines} <= {"ink", "faint"}
    write_walk(place, [hidden], str(tmp_path / "f.svg"))
    assert "20 bases hidden at a time" in (tmp_path / "f.svg").read_text()
    right = [i for i in scene.items if isinstance(i, Text) and i.anchor == "start"]
    assert all(i.x + text_width(i.text, i.size, i.bold) <= scene.width for i in right)


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--mask", "18-19"]])
def test_the_figure_has_axes_with_units_and_numbered_exons(files, tmp_path, more):
    out = tmp_path / "f.svg"
    assert run(files, "c:791-910", *more, "--figure", out, "-o", tmp_path / "t.tsv").exit_code == 0
    words = out.read_text()
    assert "exon 2" in words and "position on c" in words and ">G ←</text>" in words
    assert ("18 bases hidden at a time" in words) if more else ("every SNV" in words)
