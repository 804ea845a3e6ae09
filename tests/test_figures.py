"""The landscape as a picture: what it shows, where, and that nothing lies over anything else."""

import dataclasses
import functools
import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from samvar.annotate import Options
from samvar.cli import main
from samvar.errors import SamvarError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.genomics.transcript import TranscriptMap
from samvar.genomics.variant import Status
from samvar.genomics.window import Place
from samvar.model.bundle import load_bundle, sha256_file, write_manifest
from samvar.scoring.deltas import SIGN
from samvar.scoring.predictor import Predictor
from samvar.views import explanation, figures, scene
from samvar.views.about import About
from samvar.views.html import STYLE, gene_section, page
from samvar.views.verdict import sites_told

from . import toy

MINI = os.path.join(os.path.dirname(__file__), "..", "examples", "minigenes")
FILES = ["-f", f"{MINI}.fa", "-a", f"{MINI}.gtf"]
SVG = "{http://www.w3.org/2000/svg}"
BASES = toy.random_bases(2000, seed=21)
GENES = (("G1", "c", "+", [(301, 500), (701, 1200)]), ("G2", "c", "-", [(901, 1500), (1801, 1950)]))
NEW_DONOR = ("mini", 1290, "G", "GGAAGAAGAAGAAGGTAAGT")
ENHANCER = ("mini", 3527, "TCTTCTTCTCTTCTTC", "ACAACAACACAACAAC")


@pytest.fixture(scope="module")
def shipped():
    with Predictor(load_bundle("paper")) as predictor:
        yield Genome(FILES[1]), load_annotation(FILES[3]), predictor


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    genome = Genome(toy.fasta(folder / "g.fa", c=BASES))
    return genome, load_annotation(toy.gtf(folder / "g.gtf", *GENES)), folder


@pytest.fixture(scope="module")
def explained(shipped):
    """Explains an allele by the model that is shipped, once."""
    return functools.cache(lambda *allele: explanation.explain(*shipped, *allele, Options()))


def drawn(e, view, **how):
    """The picture, read again."""
    return ElementTree.fromstring(scene.svg(figures.draw(e, view, **how)))


def named(picture, name):
    return [x for x in picture.iter() if name in x.get("class", "").split()]


def words(picture, name):
    return ["".join(x.itertext()) for x in named(picture, name)]


# ------------------------------------------------------------------------------------------- labels


@given(st.lists(st.tuples(st.floats(0, 900), st.integers(1, 30)), max_size=25))
def test_no_label_lies_over_another_one_or_over_its_line(given_labels):
    labels = [figures.Label(x, "x" * n) for x, n in given_labels]
    placed = figures.rows_of(labels)
    assert Counter(label for label, _ in placed) == Counter(labels)
    for i, (a, row) in enumerate(placed):
        for b, other in placed[i + 1 :]:
            if row == other:
                first, second = sorted((a, b), key=lambda each: each.x)
                assert first.x + first.width <= second.x
            above, below = (a, b) if row < other else (b, a)
            covered = above.x < below.x < above.x + above.width
            assert not covered  # the line of the lower one passes beside the text of the upper one


@given(st.text(alphabet="ACGT ", max_size=3000), st.integers(60, 900))
def test_no_line_of_a_paragraph_is_too_long(text, width):
    lines = scene.wrapped(text, 14, width, bold=True)
    assert all(scene.text_width(line, 14, bold=True) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


# ----------------------------------------------------------------------------- what the arrows say


@pytest.mark.slow
def test_an_arrow_is_an_effect_on_its_site(explained):
    """Form and colour by its sign on the site, width by its size; the core site is a cause like
    others."""
    e = explained(*NEW_DONOR)
    (view,) = e.genes
    expected = set()
    for cause in view.causes:
        for part in cause.parts:
            if part.position is not None and abs(part.effect) >= max(0.04 * cause.value, 0.005):
                place = Place(part.position, part.offset)
                sign = float(SIGN[cause.delta])
                expected.add((part.rbp, place, cause.delta // 2, part.effect * sign))
    arrows = {(c.name, c.place, c.kind, c.effect) for c in view.arrows}
    assert arrows == expected and any(c.core for c in view.arrows)
    picture = drawn(e, view)
    lines = named(picture, "arrow")
    for way, sign in (("raises", 1), ("lowers", -1)):
        count = sum(c.effect * sign > 0 for c in view.arrows)
        assert len(named(picture, f"{way}")) == count > 0
    widths = [float(x.get("stroke-width")) for x in lines]
    assert len(lines) == len(arrows)
    assert widths == sorted(widths) and widths[0] < widths[-1]  # the strongest lies on top
    strokes = {x.get("class").split()[1]: x.get("stroke") for x in lines}
    assert strokes["raises"] != strokes["lowers"]


@pytest.mark.slow
def test_a_site_that_goes_or_comes_has_a_ghost_in_the_other_allele(explained):
    e = explained(*NEW_DONOR)
    (view,) = e.genes
    new, own = (s for s in view.splice_sites if s.kind == 1)
    assert (new.status, own.status, own.exon) == ("new", "annotated", 2)
    assert new.place.offset and new.ref == 0 and new.alt > 0.5 and own.change < -0.1
    labels = words(drawn(e, view), "label")
    assert f"new donor 0.00 → {new.alt:.2f}" in labels
    assert f"donor of exon 2 {own.ref:.2f} → {own.alt:.2f}" in labels
    picture = drawn(e, view)
    assert len(named(picture, "ghost")) == 2  # the new one in REF, the weaker one in ALT
    assert len(named(picture, "site")) == 3  # the new one has no base in REF


@pytest.mark.slow
def test_causes_of_one_family_are_one_label_with_their_number(explained):
    e = explained(*ENHANCER)
    (view,) = e.genes
    lost = [c for c in view.arrows if (c.name, c.event) == ("TRA2A", "loss")]
    acceptor = {c.place: c.effect for c in lost if c.kind == 0}
    assert len(acceptor) == 3 and all(effect < 0 for effect in acceptor.values())
    (label,) = (x for x in words(drawn(e, view), "label") if "TRA2A" in x)
    assert label == f"3 TRA2A lost {sum(acceptor.values()):+.2f}"
    column = {Place(i): i for i in range(100)}
    near, far = (
        explanation.Cause("SRSF2", "gain", Place(at), 0, Place(50), 0.1) for at in (10, 90)
    )
    kin = near._replace(name="TRA2A", place=Place(12))
    opposite = near._replace(effect=-0.1)
    groups = figures.clusters([near, far, kin, opposite], column)
    assert sorted(map(len, groups)) == [1, 1, 2] and [near, kin] in groups


def test_a_core_site_that_moves_another_site_names_it(explained):
    """Labels of one place stand beside each other, so that each line is seen."""
    e = explained(*NEW_DONOR)
    (view,) = e.genes
    core = [c for c in view.arrows if c.core and c.place != c.target]
    picture = drawn(e, view)
    told = [w for w in words(picture, "label") if " → " in w and w.startswith("splice site")]
    assert core and sorted(told) == sorted(
        f"splice site gained → {site.name} {c.effect:+.2f}"
        for c in core
        for site in view.splice_sites
        if (site.kind, site.place) == (c.kind, c.target)
    )
    starts = [line.get("d").split("L")[0] for line in named(picture, "leader")]
    assert len(set(starts)) == len(starts)
    text = gene_section(e, view, figures.draw(e, view, headline=False))
    assert "<td>splice site (LSSI_D)</td><td>gained</td>" in text


@pytest.mark.parametrize("value, text", [(-0.00004, "0"), (0.0, "0"), (-0.0006, "-0.0006")])
def test_what_rounds_to_nothing_has_no_sign(value, text):
    assert explanation.signed(value, 4) == text


# ------------------------------------------------------------------------------- bases and track


@pytest.mark.slow
def test_the_bases_of_both_alleles_stand_below_each_other(explained):
    e = explained(*NEW_DONOR)
    ref, alt = words(drawn(e, e.genes[0]), "bases")
    assert len(ref) == len(alt) and ref.count("-") == 19 and alt.count("-") == 0
    assert all(a == b for a, b in zip(ref, alt) if a != "-")
    deletion = explained("mini", 1303, "GGTAA", "G")
    ref, alt = words(drawn(deletion, deletion.genes[0]), "bases")
    assert (
        len(ref) == len(alt) == deletion.genes[0].window.compared
        and alt.count("-") == 4
        and "-" not in ref
    )
    assert all(a == b for a, b in zip(ref, alt) if b != "-")


@pytest.mark.slow
def test_exons_and_introns_are_numbered_as_they_are_read(explained):
    e = explained(*ENHANCER)  # on the - strand
    picture = drawn(e, e.genes[0])
    assert words(picture, "track") == ["intron 1", "exon 2"]
    ticks = [int(x) for x in words(picture, "tick")]
    assert ticks == sorted(ticks, reverse=True) and len(ticks) > 3
    assert "5' to the 3' end of WEAK.1" in words(picture, "axis-title")[0]


def test_a_long_deletion_is_a_gap(explained, shipped):
    genome, _, _ = shipped
    bases = genome._fetch("mini", 1099, 2100)
    e = explained("mini", 1100, bases, bases[0])
    (view,) = e.genes
    picture = drawn(e, view)
    assert len(named(picture, "gap")) == 1 and len(named(picture, "bases")) == 3
    assert len(named(picture, "site")) == len(named(picture, "ghost")) == 4  # of REF, in ALT
    (title,) = words(picture, "title")
    assert "(1001 bases)" in title and len(title) < 120


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1000, 1600])
@pytest.mark.parametrize("allele", [NEW_DONOR, ENHANCER, ("mini", 5547, "A", "T")])
def test_everything_lies_within_the_picture(explained, allele, width):
    e = explained(*allele)
    drawing = figures.draw(e, e.genes[0], width)
    for item in drawing.items:
        if isinstance(item, scene.Text):
            size = scene.text_width(item.text, item.size, item.bold)
            left = {"start": 0, "middle": size / 2, "end": size}[item.anchor]
            assert 0 <= item.x - left and item.x - left + size <= width, item
            assert 0 < item.y <= drawing.height
    labels = [x for x in drawing.items if isinstance(x, scene.Text) and x.name == "label"]
    for i, a in enumerate(labels):
        for b in labels[i + 1 :]:
            beside = a.x + scene.text_width(a.text, a.size, a.bold) <= b.x or (
                b.x + scene.text_width(b.text, b.size, b.bold) <= a.x
            )
            assert beside or abs(a.y - b.y) >= a.size, (a, b)


@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1000])
@pytest.mark.parametrize("allele", [NEW_DONOR, ("mini", 3565, "T", "G"), ("mini", 3473, "C", "A")])
def test_sites_of_the_verdict_are_drawn_wherever_they_are(shipped, allele, width):
    """Those beyond the compared positions behind a break of the axis, in their order."""
    e = explanation.explain(*shipped, *allele, Options(distance=5))
    (view,) = e.genes
    sites = sites_told(view.consequences[0])
    assert {*view.consequences[0].outcomes[0].event.sites} <= {*sites}
    compared = {p for p, o in zip(view.columns.position, view.columns.offset) if not o}
    far = [s for s in sites if s.place.position not in compared]
    assert len(far) <= explanation.MOST_FAR
    assert far and {s.place for s in far} == {s.place for s in view.far_sites}
    picture = drawn(e, view, width=width)
    labels = words(picture, "label")
    for site in (s for s in sites if s.place.position in compared or s in far):
        text = f"{site.ref:.2f} → {site.alt:.2f}"
        assert any(label.endswith(text) for label in labels)
    assert len(named(picture, "break")) == 2 * len(far)  # above and below the causes' names
    ticks = [int(x) for x in words(picture, "tick")]
    direction = view.window.direction
    assert ticks == sorted(ticks, reverse=direction < 0)
    assert width < 1000 or {s.place.position + 1 for s in far} <= set(ticks)


def new_donor(shipped, distance):
    """The view of an allele, its consequence, and the first outcome of that."""
    (view,) = explanation.explain(*shipped, *NEW_DONOR, Options(distance=distance)).genes
    (consequence,) = view.consequences
    return view, consequence, consequence.outcomes[0]


@pytest.mark.slow
def test_of_weaker_events_few_sites_are_drawn_beyond(shipped):
    """All of the verdict's event are."""
    view, consequence, first = new_donor(shipped, 5)

    def many(n, since):
        (site, *_) = first.event.sites
        sites = (site._replace(place=Place(since + i), column=since + i) for i in range(n))
        return first._replace(event=first.event._replace(sites=tuple(sites)))

    for of_event, of_other, drawn in ((6, 3, 6), (2, 9, explanation.MOST_FAR), (1, 1, 2)):
        outcomes = many(of_event, 5000), many(of_other, 6000)
        told = consequence._replace(outcomes=outcomes, cryptic=())
        other = dataclasses.replace(view, consequences=(told,))
        first_ones = [s.place.position for s in other.far_sites][:of_event]
        assert len(other.far_sites) == drawn and first_ones == [*range(5000, 5000 + of_event)]


@pytest.mark.slow
def test_faint_sites_that_the_verdict_tells_of_are_drawn(shipped):
    view, consequence, first = new_donor(shipped, 200)
    shown = {(s.kind, s.place) for s in view.splice_sites}
    place = next(p for p, o in zip(view.columns.position, view.columns.offset) if not o)
    faint = first.event.sites[0]._replace(kind=0, place=Place(int(place)), ref=0.02, alt=0.07)
    assert (0, faint.place) not in shown
    told = first._replace(event=first.event._replace(sites=(*first.event.sites, faint)))
    other = dataclasses.replace(view, consequences=(consequence._replace(outcomes=(told,)),))
    assert {(s.kind, s.place) for s in other.splice_sites} == shown | {(0, faint.place)}


@pytest.mark.slow
@pytest.mark.parametrize("counts", [(12, 6), (6, 12), (3, 2)])
def test_arrows_to_one_site_have_the_room_of_a_fan(explained, counts):
    e = explained(*NEW_DONOR)
    (view,) = e.genes
    places = [p for p, _ in figures._Drawing(e, view, 1000, [view])._drawn()]
    targets = places[10], places[40]
    arrows = [
        explanation.Cause("A", "loss", place, 1, target, -0.1, False)
        for target, n in zip(targets, counts)
        for place in places[50 : 50 + n]
    ]
    own = dataclasses.replace(view)
    vars(own)["arrows"] = arrows
    drawing = figures._Drawing(e, own, 1000, [own])
    fans = [sum(w for _, w in drawing._fan(target)) for target in targets]
    assert max(fans) == pytest.approx(min(figures.WIDEST_FAN, 10 * max(counts)))
    assert fans[0] / fans[1] == pytest.approx(counts[0] / counts[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("place", ["exon", "intron", "its end"])
def test_beyond_a_break_the_transcript_is_as_annotated(shipped, kind, place):
    """Exons and introns on either side of a far site, not what the site would make of them."""
    e = explanation.explain(*shipped, *NEW_DONOR, Options(distance=5))
    (view,) = e.genes
    (site,) = view.far_sites
    assert site.kind == 1 and view.window.direction == 1
    further = {"exon": -3, "intron": 3, "its end": kind == 0}[place]
    site = site._replace(kind=kind, place=Place(site.place.position + further))
    vars(view)["far_sites"] = [site]
    drawing = figures.draw(e, view)
    transcript = TranscriptMap.of(view.gene)
    breaks = [x for x in drawing.items if x.name == "break"]
    right_of_all = max(x.points[0][0] for x in breaks)
    stubs = [
        x.name
        for x in drawing.items
        if x.name in ("exon", "intron") and x.points[0][0] > right_of_all
    ]
    left = site.place.position - (kind == 0)
    inside = [any(a <= p < b for a, b in transcript.exons) for p in (left, left + 1)]
    assert stubs == ["exon" if there else "intron" for there in inside]
    assert len({*stubs}) == (2 if place == "its end" else 1)
    order = [x.name for x in drawing.items]
    assert max(i for i, n in enumerate(order) if n == "break") < min(
        i for i, n in enumerate(order) if n in ("site", "head", "ghost")
    )


@pytest.mark.slow
def test_a_legend_tells_the_shapes(explained):
    e = explained(*NEW_DONOR)
    told = words(drawn(e, e.genes[0]), "legend")
    assert {"acceptor", "donor", "not annotated", "new in ALT", "raises the site"} <= set(told)
    assert any(re.fullmatch(r"this thick: an effect of 0\.\d\d", t) for t in told)
    assert {"lowers the site", "core score (LSSI_A, LSSI_D)", "changed bases"} <= set(told)


def test_channels_are_named_as_the_layout_names_them(toys):
    """A model with branch points and learnt motifs."""
    genome, annotation, folder = toys
    m = toy.model(branch_point=True, learnt_motifs=2, learnt_channels=8)
    (folder / "b").mkdir()
    file = folder / "b" / "am.0.safetensors"
    save_file({k: v.contiguous() for k, v in m.state_dict().items()}, file)
    entry = dict(seed=0, file=file.name, sha256=sha256_file(str(file)), config=m.config.to_dict())
    config = dict(format=1, name="toy", flank=30, rbps=toy.RBPS, kinds=dict(am=[entry]))
    (folder / "b" / "config.json").write_text(json.dumps(config))
    write_manifest(str(folder / "b"))
    bundle = load_bundle(str(folder / "b"))
    with Predictor(bundle) as predictor:
        other = "ACGT"[("ACGT".index(BASES[999]) + 1) % 4]
        parts = genome, annotation, predictor
        e = explanation.explain(*parts, "c", 1000, BASES[999], other, Options())
    picture = drawn(e, e.genes[0])
    assert "core score (LSSI_A, LSSI_D, BP)" in words(picture, "legend")
    tips = {"".join(t.itertext()).split(" at ")[0] for t in picture.iter(f"{SVG}title")}
    assert {"BP", "MOTIF_01", "MOTIF_02"} <= tips
    assert "BP, AAA1, BBB2, CCC3, MOTIF_01, MOTIF_02" in page(
        [e], [About.of(bundle, genome, annotation)]
    )


# -------------------------------------------------------------------------------------- the command


def run(*args, code=0):
    result = CliRunner().invoke(main, ["explain", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.slow
def test_a_figure_in_the_form_and_size_that_are_asked_for(tmp_path):
    variant = ":".join(map(str, NEW_DONOR))
    files = [tmp_path / name for name in ("a.svg", "b.pdf", "c")]
    run(variant, *FILES, "--figure", files[0], "--size", "8x12")
    run(variant, *FILES, "--figure", files[1])
    png = tmp_path / "d.png"
    run(variant, *FILES, "--figure", files[2], "--format", "png", "--dpi", 50, "--size", 6)
    run(variant, *FILES, "--png", png, "--dpi", 100, "--size", 6)
    picture = ElementTree.parse(files[0]).getroot()
    assert (picture.get("width"), picture.get("height")) == ("768", "1152")
    assert words(picture, "verdict") and picture.find(f"{SVG}rect").get("fill") == "#ffffff"
    assert files[1].read_bytes().startswith(b"%PDF")
    wide = [int.from_bytes(x.read_bytes()[16:20], "big") for x in (files[2], png)]
    assert wide == [300, 600]


@pytest.mark.slow
def test_a_figure_that_needs_more_height_is_made_smaller(tmp_path):
    variant, out = ":".join(map(str, NEW_DONOR)), tmp_path / "a.png"
    told = run(variant, *FILES, "--figure", out, "--size", "7x5", "--dpi", 100).stderr
    content = out.read_bytes()
    assert [int.from_bytes(content[i : i + 4], "big") for i in (16, 20)] == [700, 500]
    assert re.search(r"a.png: drawn at \d\d% of its size", told)
    picture = tmp_path / "a.svg"
    assert "% of its size" not in run(variant, *FILES, "--svg", picture, "--size", "8x12").stderr
    run(variant, *FILES, "--svg", picture, "--size", "7x5")
    for text in ElementTree.parse(picture).getroot().iter(f"{SVG}text"):
        assert 0 < float(text.get("y")) < 5 * 96
        assert all(0 < float(x) < 7 * 96 for x in text.get("x").split())


@pytest.mark.slow
def test_a_figure_whose_text_cannot_be_read_is_refused(tmp_path):
    """The size that is named is enough, and little more than enough."""
    variant, picture = ":".join(map(str, NEW_DONOR)), tmp_path / "a.svg"
    refused = run(variant, *FILES, "--svg", picture, "--size", "4x3", code=1).stderr
    least = re.search(r"give --size (4x([\d.]+)) or higher", refused)
    assert not picture.exists()
    run(variant, *FILES, "--svg", picture, "--size", least[1])
    sizes = [
        float(text.get("font-size"))
        for text in ElementTree.parse(picture).getroot().iter(f"{SVG}text")
        if text.get("class") != "bases"
    ]
    assert min(sizes) >= 6.6
    run(variant, *FILES, "--svg", picture, "--size", f"4x{float(least[2]) - 0.2:.1f}", code=1)


@pytest.mark.parametrize(
    "options, told",
    [
        (["--figure", "x.bmp"], "must end in .svg, .png or .pdf"),
        (["--format", "svg"], "--format needs --figure"),
        (["--figure", "x.svg", "--size", "wide"], "no WIDTH or WIDTHxHEIGHT"),
        (["--figure", "x.svg", "--size", "1x1"], "no WIDTH or WIDTHxHEIGHT"),
        (["--figure", "x.svg", "--svg", "x.svg"], "two outputs"),
    ],
)
def test_a_figure_that_cannot_be_is_refused(options, told):
    assert told in run("mini:10:A:C", *FILES, *options, code=2).output


@pytest.mark.slow
def test_a_picture_needs_matplotlib_and_an_svg_does_not(explained, monkeypatch):
    e = explained(*NEW_DONOR)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert drawn(e, e.genes[0]) is not None
    with pytest.raises(SamvarError, match="samvar\\[plot\\]"):
        scene.picture(figures.draw(e, e.genes[0]), "png", 100)


@pytest.mark.slow
def test_two_models_stand_beside_each_other(tmp_path):
    out, picture = tmp_path / "e.html", tmp_path / "e.svg"
    variant = ":".join(map(str, ENHANCER))
    options = ["--model", "paper", "--compare", "fm", "--html", out, "--svg", picture]
    text = run(variant, *FILES, *options).stdout
    assert text.index("by paper AM") < text.index("by paper FM")
    titles = words(ElementTree.parse(picture).getroot(), "title")
    assert [t.rpartition(", ")[2] for t in titles] == ["paper AM", "paper FM"]
    content = out.read_text()
    assert content.count("<svg") == 2 and content.count("<h1>") == 1
    beside = content[content.index('class="beside"') :]
    assert beside.index("<h3>paper AM") < beside.index("<h3>paper FM")
    assert len(re.findall(r"<tr><td>paper [AF]M</td>", content)) == 2


@pytest.mark.slow
def test_several_models_share_an_axis(explained):
    """Also where one of them has a site beyond it that the other has not, and wide labels."""
    e = explained(*NEW_DONOR)
    (view,) = e.genes
    (last, *_) = sorted(view.window.direction * view.columns.position)[::-1]
    far = explanation.SpliceSite(1, Place(abs(last) + 400 * view.window.direction), 0.1, 0.9)
    other = dataclasses.replace(view)
    vars(other)["far_sites"] = [*view.far_sites, far]

    def places(drawing, *names):
        found = [x for x in drawing.items if x.name in names]
        return [x.points[0][0] if isinstance(x, scene.Shape) else x.x for x in found]

    alone = [figures.draw(e, v) for v in (view, other)]
    together = figures.draw_together([(e, view), (e, other)])
    for name in ("tick", "exon", "intron", "break", "changed", "track"):
        assert places(together[0], name) == places(together[1], name)
    assert places(alone[0], "tick") != places(alone[1], "tick")
    labels = [words(ElementTree.fromstring(scene.svg(d)), "label") for d in together]
    own = f"{far.name} 0.10 → 0.90"
    assert own in labels[1] and own not in labels[0]


@pytest.mark.slow
def test_models_that_compare_other_bases_share_no_axis(explained, shipped):
    wide = explained(*NEW_DONOR)
    narrow = explanation.explain(*shipped, *NEW_DONOR, Options(distance=20))
    shown = [(e, e.genes[0]) for e in (wide, narrow)]
    assert figures.draw_together(shown) == [figures.draw(*each) for each in shown]


def test_the_page_tells_its_origin_and_how_far_to_trust_it(explained, shipped, monkeypatch):
    genome, annotation, predictor = shipped
    e = explained(*NEW_DONOR)
    bundle = predictor.bundle
    text = page([e], [About.of(bundle, genome, annotation)])
    with open(os.path.join(bundle.folder, "metrics.json")) as handle:
        metrics = json.load(handle)
    whole = metrics["validation, am"]["topk_mean"]
    assert f"finds {whole:.0f} % of the splice sites" in text
    for told in ("paper AM", bundle.sha256[:12], "minigenes.fa", "minigenes.gtf"):
        assert told in text
    assert re.search(r"<dd>[\d.]+\w*, \d{4}-\d\d-\d\d</dd>", text)
    row = metrics["MFASS <= -0.5: exonic"]
    assert f"{row['auroc'][0]:.2f} ({row['auroc'][1]:.2f}-{row['auroc'][2]:.2f})" in text
    assert "Nearly silent adjusted motifs (AM)" in text and "TRA2A" in text
    assert "paper AM (motifs adjusted in training), one training run" in text
    assert text.index(e.genes[0].verdict) < text.index("<svg") < text.index("<table")
    doubtful = dataclasses.replace(e, status=Status.LOW_CONTEXT)
    trust = page([doubtful], [About.of(bundle, genome, annotation)]).partition("How far")[2]
    assert "LOW_CONTEXT" in trust


def test_a_figure_that_is_scrolled_shows_the_site_of_the_verdict_and_its_rows(explained):
    """From 900 pixels on, with 32 of margins, it is not scrolled."""
    e = explained(*NEW_DONOR)
    (view,) = e.genes
    text = gene_section(e, view, figures.draw(e, view, headline=False))
    drawing = figures._Drawing(e, view, figures.WIDTH, [view])
    x = drawing.x(view.sites_told[0].place)
    assert f'<span class="here" style="left:{x / 10:.1f}%"></span>' in text
    rows = re.search('<div class="titles" aria-hidden="true".*?</div>', text)[0]
    titles = re.findall(">([^<]+)</span>", rows)
    assert titles.count("splice site") == 2 and {"REF", "ALT", "transcript"} <= set(titles)
    assert "changed bases" not in titles
    least = float(re.search(r"\.frame {[^}]*min-width: ([\d.]+)rem", STYLE)[1])
    assert least * 16 <= 900 - 32


@pytest.mark.slow
def test_a_region_has_its_motif_table(tmp_path):
    out, numbers = tmp_path / "r.html", tmp_path / "r.json"
    # No site of the example does so much by itself in `default`
    options = ["--model", "paper", "--html", out, "--json", numbers]
    told = run("mini:3440-3600", *FILES, *options).stdout
    (gene,) = json.loads(numbers.read_text())["genes"]
    side = gene["landscape"]["ref"]
    text = out.read_text()
    rows = re.findall(r"<tr><td>([\w.]+)</td><td>(\d+)</td><td>([\d.]+)</td><td>", text)
    assert Counter((r, int(p)) for r, p, _ in rows) == Counter(
        (m["rbp"], m["pos"]) for m in side["motifs"]
    )
    strong = [i for i in side["influences"] if abs(i["effect"]) >= 0.02]
    assert len(
        named(ElementTree.fromstring(re.search("<svg.*</svg>", text, re.S)[0]), "arrow")
    ) == (min(len(strong), 24))
    assert strong and f"{strong[0]['effect']:+.3f}" in text
    most = max(side["influences"], key=lambda i: abs(i["effect"]))
    effect = f"{most['effect']:+.3f}"
    assert f"{most['rbp']} at {most['motif']} {effect}" in told and " x0." not in told
    (summary,) = re.findall(r'<p class="verdict">(.*?)</p>', text)
    assert f"  {summary}\n" in told and summary.endswith(
        f"most of all {most['rbp']} at {most['motif']:,} the {most['kind']} at {most['pos']:,} by "
        f"{effect}."
    )
    heads = re.findall(r"<h3>Motif sites</h3>.*?<tr>(.*?)</tr>", text)[0]
    explained = re.findall("<dt>(.*?)</dt>", text.partition("Columns")[2].partition("<h2>")[0])
    assert explained == re.findall("<th>(.*?)</th>", heads)
    read = text.partition("How to read this")[2].partition("<h2>")[0]
    assert not re.search("REF|ALT|verdict|ghost", read)
    assert "bases" in re.findall(r"<text[^>]*>([^<]*)</text>", text)
