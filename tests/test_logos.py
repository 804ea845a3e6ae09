"""`samvar motifs`: counts around planted sites worked out by hand, and around a model's own by its
whole tensors."""

import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from math import log2

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import ContigMismatchError, SamvarError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome, encode
from samvar.model.bundle import LEARNT_MOTIFS, MOTIF_SITES, Bundle, load_bundle, write_manifest
from samvar.model.sam import DETECT_REACH, SAM, Config, FixedMotifs, crop, one_hot
from samvar.scoring.predictor import Predictor
from samvar.views import logos
from samvar.views.logos import Motif

from . import toy

pytestmark = pytest.mark.slow

WORD = "GATTACAGATC"
PLANTED = {
    100: "T",
    200: "G",
    300: "T",
    400: "G",
    500: "G",
}  # 0-based centre of a site -> the base 8 further on
CENTRE = 10


class LikesG(torch.nn.Module):
    """An adjustment that keeps sites with G 8 bases further on, and no others."""

    def forward(self, x):  # (N, 4, L) -> (N, 2, L - 20)
        return (10 * crop(x, CENTRE + 8, CENTRE - 8)[:, 2:3] - 5).expand(-1, 2, -1)


@pytest.fixture(scope="module")
def planted():
    """A model whose FM sites are exactly those of WORD, and of an RBP that has no sites."""
    psam = np.full((2, 11, 4), 0.01)
    psam[0, range(11), encode(WORD)] = psam[1, range(11), encode("GGGGGGGGGGG")] = 1
    fixed = FixedMotifs.from_psams(torch.tensor(psam), torch.ones(2), torch.arange(2))
    model = SAM(
        Config(channels=4, lssi_channels=4, lstm_units=2, stack_widths=(3,), adjust_widths=(3,)),
        fixed,
    )
    model.motifs.pre.threshold.fill_(4.0)  # a perfect site has affinity 5, any other at most 0.05
    model.motifs.adjust, model.motifs.adjust_crop = LikesG(), 0
    return Predictor(Bundle("planted", "am", [model.eval()], [7], ["X/1", "Y"], 30, "", ""))


def world(folder, reverse=False, bases=None, exons=((1, 50), (391, 450), (601, 620))):
    """Genome and annotation of one gene, bases 11 to 620 of 650 by its chosen transcript; or their
    mirror image."""
    if bases is None:
        text = list("A" * 650)
        for at, base in PLANTED.items():
            text[at - 5 : at + 6], text[at + 8] = WORD, base
        bases = "".join(text)
    exons = [(11 if s == 1 else s, e) for s, e in exons]
    if reverse:
        bases, exons = (
            toy.revcomp(bases),
            [(len(bases) + 1 - e, len(bases) + 1 - s) for s, e in exons][::-1],
        )
    fasta = toy.fasta(folder / "g.fa", c=bases)
    return Genome(fasta), load_annotation(
        toy.gtf(folder / "g.gtf", ("G", "c", "-" if reverse else "+", exons))
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_counts_at_planted_sites(planted, tmp_path, reverse):
    found = logos.collect(*world(tmp_path, reverse), planted)
    own, other = found.motifs
    expected = np.zeros((21, 4), int)
    expected[:, 0] = 3
    expected[5:16] = 3 * np.eye(4, dtype=int)[encode(WORD)]
    fm, am = expected.copy(), expected.copy()
    fm[18], am[18] = (
        (0, 0, 1, 2),
        (0, 0, 3, 0),
    )  # three of equal affinity: the first three, T G T; AM: those with G
    assert own.rbp == "X/1" and own.fm.tolist() == fm.tolist() and own.am.tolist() == am.tolist()
    assert (own.sites, own.shared, own.exonic) == (3, 1, 1)
    assert (
        other.sites == other.shared == 0 and np.isnan(other.distance) and not other.difference.any()
    )
    assert (found.positions, found.exonic, found.genes) == (610 - 20, 30 + 60 + 10, 1)
    assert found.density(own) == pytest.approx((300 / 590, 100 / 100, 200 / 490))
    np.testing.assert_allclose(own.difference[18], (0, 0, 2 / 3, -2 / 3))
    assert not np.delete(own.difference, 18, 0).any()
    assert own.distance == pytest.approx((1 / 3 + log2(3 / 2)) / 2)
    header, first, second = (line.split("\t") for line in logos.table(found))
    assert (
        tuple(header) == logos.COLUMNS
        and first[:2] == ["X/1", "3"]
        and first[5] == "33.3"
        and first[8] == "0.4591"
    )
    assert second == ["Y", "0", "0.0000", "0.0000", "0.0000", ".", ".", ".", "."]


def test_only_known_bases_count(planted, tmp_path):
    genome, annotation = world(tmp_path)
    bases = genome._fasta.fetch("c")
    found = logos.collect(
        *world(tmp_path, bases=bases[:210] + "N" + bases[211:]), planted
    )  # 10 after the second site
    assert found.positions == 590 - 21 and found.motifs[0].sites == 2
    assert found.motifs[0].am[CENTRE].sum() == found.motifs[0].fm[CENTRE].sum() == 2
    few = logos.collect(
        genome, annotation, planted, max_bases=400
    )  # up to base 420, which leaves out the last site
    assert few.positions == 400 and few.motifs[0].sites == 2
    with pytest.raises(ContigMismatchError, match="no known sequence"):
        logos.collect(*world(tmp_path, bases="N" * 650), planted)


def test_letters_share_the_information_of_their_position():
    counts = np.tile([8, 0, 0, 0], (21, 1))
    counts[0] = 2, 2, 2, 2
    counts[1] = 4, 4, 0, 0
    motif = Motif("X", counts, np.full((21, 4), 2), 0, 0, np.full(4, 0.25))
    assert motif.letters("fm")[:3].tolist() == [[0, 0, 0, 0], [0.5, 0.5, 0, 0], [2, 0, 0, 0]]
    assert motif.information("fm") == 19 * 2 + 1 and motif.information("am") == 0
    skewed = Motif("X", counts, counts, 0, 0, np.array([0.5, 0.25, 0.125, 0.125]))
    assert skewed.letters("fm")[2].tolist() == [1, 0, 0, 0]


BASES = toy.random_bases(3000, seed=5)
GENES = (
    ("G1", "c", "+", [(101, 300), (801, 1400)]),
    ("G2", "c", "-", [(1601, 1700), (2501, 2900)]),
)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return Predictor(load_bundle(toy.bundle(tmp_path_factory.mktemp("logos"), seeds=(0, 3))))


@pytest.fixture
def random(tmp_path):
    return Genome(toy.fasta(tmp_path / "r.fa", c=BASES)), load_annotation(
        toy.gtf(tmp_path / "r.gtf", *GENES)
    )


def test_sites_are_those_that_the_whole_model_detects(random, predictor, monkeypatch):
    """The first seed's; each gene in one piece and alone, FM sites by sorting all affinities."""
    monkeypatch.setattr(logos, "TILE", 97)
    model, pieces = predictor.models[0], [BASES[100:1400], toy.revcomp(BASES[1600:2900])]
    active, affinity = [], []
    for piece in pieces:
        x = one_hot(
            torch.from_numpy(encode("N" * DETECT_REACH[0] + piece + "N" * DETECT_REACH[1])[None])
        )
        with torch.no_grad():
            active.append((model.detect(x).motifs[0] > 0).numpy()[:, CENTRE:-CENTRE])
            affinity.append(model.motifs.fixed(crop(x, 15, 5))[0].numpy()[:, CENTRE:-CENTRE])
    active, affinity = np.concatenate(active, 1), np.concatenate(affinity, 1)
    windows = np.concatenate(
        [np.lib.stride_tricks.sliding_window_view(encode(p), 21) for p in pieces]
    )
    found = logos.collect(*random, predictor)
    assert found.positions == 2 * 1280 and len(found.motifs) == 3
    for channel, motif in enumerate(found.motifs):
        am, n = np.flatnonzero(active[channel]), int(active[channel].sum())
        fm = np.argsort(-affinity[channel], kind="stable")[:n]
        assert n > 20 and motif.sites == n and motif.shared == len(set(am) & set(fm))
        for counts, sites in ((motif.am, am), (motif.fm, fm)):
            assert counts.tolist() == [
                [int((windows[sites, i] == b).sum()) for b in range(4)] for i in range(21)
            ]
        assert (motif.am.sum(1) == n).all() and (motif.fm.sum(1) == n).all()
        np.testing.assert_allclose(motif.difference.sum(1), 0, atol=1e-12)
        assert 0 < motif.distance < 21 and motif.exonic <= n


def test_the_mirror_image_gives_the_same_counts(random, predictor, tmp_path):
    mirrored = [
        (name, "c", dict(["+-", "-+"])[strand], [(3001 - e, 3001 - s) for s, e in exons][::-1])
        for name, _, strand, exons in GENES
    ]
    other = (
        Genome(toy.fasta(tmp_path / "m.fa", c=toy.revcomp(BASES))),
        load_annotation(toy.gtf(tmp_path / "m.gtf", *mirrored)),
    )
    for one, two in zip(
        logos.collect(*random, predictor).motifs, logos.collect(*other, predictor).motifs
    ):
        assert one.fm.tolist() == two.fm.tolist() and one.am.tolist() == two.am.tolist()
        assert (one.exonic, one.shared) == (two.exonic, two.shared)


def test_learnt_motifs_have_a_logo_of_their_own(random, tmp_path):
    """Of a model with branch points, whose motifs stand one channel further on."""
    pytest.importorskip("logomaker")
    folder = toy.bundle(tmp_path, learnt_motifs=2, branch_point=True)
    about = dict(sites=30, consensus="GAAG", nearest=[["TRA2A", 0.9]])
    edit(f"{folder}/metrics.json", **{LEARNT_MOTIFS: dict(am=dict(MOTIF_02=about))})
    write_manifest(folder)
    predictor = Predictor(load_bundle(folder))
    model = predictor.models[0]
    found = logos.collect(*random, predictor, ["MOTIF_02", "BBB2"])
    learnt, known = found.motifs
    assert [m.rbp for m in found.motifs] == ["MOTIF_02", "BBB2"]
    active = [
        (model.motifs(one_hot(torch.from_numpy(encode("N" * 20 + piece + "N" * 20)[None])))[0] > 0)
        for piece in (BASES[100:1400], toy.revcomp(BASES[1600:2900]))
    ]
    for motif, channel in ((learnt, 4), (known, 1)):
        inner = [a[channel, 10 + CENTRE :][: 1300 - 2 * CENTRE] for a in active]
        assert motif.sites == sum(int(a.sum()) for a in inner) > 0
    assert not learnt.fm.any() and known.fm.any()
    assert np.isnan(learnt.distance) and np.isnan(learnt.information("fm"))
    assert learnt.information("am") > 0
    row = dict(zip(logos.COLUMNS, logos.table(found)[1].split("\t")))
    assert row["shared_percent"] == row["information_fm_bits"] == row["distance_bits"] == "."
    text = logos.page(found)
    assert "learnt, no known protein; sites GAAG; most like TRA2A (0.90)" in text
    everything = logos.collect(*random, predictor)
    assert [m.rbp for m in everything.motifs] == [*toy.RBPS, "MOTIF_01", "MOTIF_02"]


def test_what_is_asked_for(random, predictor, tmp_path):
    found = logos.collect(*random, predictor, ["CCC3", "AAA1", "CCC3"], ["chrc"])
    assert [m.rbp for m in found.motifs] == ["CCC3", "AAA1"]
    with pytest.raises(SamvarError, match="no RBP 'PTBP1'"):
        logos.collect(*random, predictor, ["PTBP1"])
    with pytest.raises(SamvarError, match="no gene on chr7; it has contigs such as c"):
        logos.collect(*random, predictor, chroms=["chr7"])
    with pytest.raises(ContigMismatchError, match="belong together"):
        logos.collect(Genome(toy.fasta(tmp_path / "o.fa", other=BASES)), random[1], predictor)
    (tmp_path / "fm").mkdir()
    fixed = Predictor(load_bundle(toy.bundle(tmp_path / "fm", kind="fm")))
    with pytest.raises(SamvarError, match="--model"):
        logos.collect(*random, fixed)


def test_the_page_is_well_formed_and_self_contained(planted, tmp_path):
    pytest.importorskip("logomaker")
    found = logos.collect(*world(tmp_path), planted)
    logos.write(found, str(tmp_path / "t.tsv"), str(tmp_path / "svg"), str(tmp_path / "p.html"))
    assert (tmp_path / "t.tsv").read_text().splitlines() == logos.table(found)
    text = (tmp_path / "p.html").read_text()
    page = ElementTree.fromstring(text)  # as XML, which is stricter
    assert set(re.findall(r"https?://[^\"'\s<)]*", text)) == {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }
    assert not re.search(r"<(script|link|img|iframe|object)\b|@import|url\(", text)
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids)) and set(re.findall(r'href="#([^"]*)"', text)) <= set(ids)
    assert [s.find("h2").text for s in page.iter("section")] == ["X/1", "Y"]
    assert "prefers-color-scheme: dark" in text and "@media print" in text
    pictures = sorted(p.name for p in (tmp_path / "svg").iterdir())
    assert pictures == ["X%2F1.svg", "Y.svg"]
    letters = {name: ElementTree.parse(tmp_path / "svg" / name).getroot() for name in pictures}

    def drawn(root, colour):
        return sum(f"fill: {colour}" in e.get("style", "") for e in root.iter())

    n = {base: drawn(letters["X%2F1.svg"], colour) for base, colour in logos.COLOURS.items()}
    assert n == dict(
        A=2 * 13, C=2 * 2, G=2 * 2 + 2 + 1, T=2 * 3 + 1 + 1
    )  # FM, AM; at +8 both, and the difference
    assert not any(drawn(letters["Y.svg"], c) for c in logos.COLOURS.values())


def test_without_logomaker_it_says_how_to_get_it(planted, tmp_path, monkeypatch):
    found = logos.collect(*world(tmp_path), planted)
    monkeypatch.setitem(sys.modules, "logomaker", None)
    with pytest.raises(SamvarError, match="samvar\\[plot\\]"):
        logos.write(found, html=str(tmp_path / "p.html"))
    assert not (tmp_path / "p.html").exists()


def test_the_command_gives_what_the_library_gives(random, predictor, tmp_path):
    (tmp_path / "m").mkdir()
    args = [
        "motifs",
        "-f",
        str(tmp_path / "r.fa"),
        "-a",
        str(tmp_path / "r.gtf"),
        "--model",
        toy.bundle(tmp_path / "m", seeds=(0, 3)),
    ]
    expected = logos.table(logos.collect(*random, predictor, ["BBB2"], max_bases=900))
    result = CliRunner().invoke(main, [*args, "--rbp", "BBB2", "--max-bases", "900"])
    assert result.exit_code == 0 and result.stdout.splitlines() == expected
    result = CliRunner().invoke(
        main, [*args, "--rbp", "BBB2", "--max-bases", "900", "--table", str(tmp_path / "t")]
    )
    assert (
        result.exit_code == 0
        and not result.stdout
        and (tmp_path / "t").read_text().splitlines() == expected
    )
    result = CliRunner().invoke(main, [*args, "--chroms", "chr7"])
    assert result.exit_code == 1 and "no gene on chr7" in result.stderr


def test_the_list_names_families_and_silent_rbps(tmp_path):
    folder = toy.bundle(tmp_path)
    edit(f"{folder}/config.json", data=dict(motifs=[dict(name="BBB2", family="BBB1/BBB2")]))
    density = dict(AAA1=0.00005, BBB2=0.001, CCC3=0.0000499)
    edit(f"{folder}/metrics.json", **{MOTIF_SITES: dict(am=dict(bases=9, density=density))})
    write_manifest(folder)
    result = CliRunner().invoke(main, ["motifs", "--list", "--model", folder])
    assert result.exit_code == 0, result.stderr
    rows = [line.split("\t") for line in result.stdout.splitlines()[1:]]
    assert [row[3:] for row in rows] == [
        ["AAA1", ""],
        ["BBB1/BBB2", ""],
        ["CCC3", "nearly silent"],
    ]


def test_the_list_counts_sites_of_all_models(tmp_path):
    def shares(*seeds):
        folder = toy.bundle(tmp_path, seeds=seeds)
        result = CliRunner().invoke(main, ["motifs", "--list", "--model", folder])
        assert result.exit_code == 0, result.stderr
        return [float(line.split("\t")[2]) for line in result.stdout.splitlines()[1:]]

    one, other, both = shares(0), shares(3), shares(0, 3)
    assert one != other
    np.testing.assert_allclose(both, np.mean([one, other], 0), atol=1e-4)


def edit(path, **values):
    """Change top-level values of a JSON file, or make it."""
    content = {}
    if os.path.exists(path):
        with open(path) as handle:
            content = json.load(handle)
    with open(path, "w") as handle:
        json.dump(content | values, handle)


def test_the_list_of_rbps(tmp_path):
    """Densities counted again from the whole random sequence at once."""
    folder = toy.bundle(tmp_path)
    result = CliRunner().invoke(main, ["motifs", "--list", "--model", folder])
    assert result.exit_code == 0, result.stderr
    head, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == ["rbp", "psams", "percent_of_random_bases", "family", "remark"]
    assert [row[:2] for row in rows] == [["AAA1", "2"], ["BBB2", "1"], ["CCC3", "1"]]
    assert [row[3:] for row in rows] == [["AAA1", ""], ["BBB2", ""], ["CCC3", ""]]
    codes = np.random.default_rng(0).integers(0, 4, logos.RANDOM_BASES + 20).astype(np.uint8)
    with torch.no_grad():
        active = load_bundle(folder).models[0].motifs(one_hot(torch.from_numpy(codes[None]))) > 0
    found = [float(row[2]) for row in rows]
    assert found == pytest.approx((100 * active[0].float().mean(1)).tolist(), abs=2e-4)
    assert min(found) > 0
    for more in (["-f", "x"], ["--rbp", "AAA1"], ["--html", "x"]):
        assert (
            "--list goes with --model alone"
            in CliRunner().invoke(main, ["motifs", "--list", *more]).stderr
        )
    missing = CliRunner().invoke(main, ["motifs", "-f", "x"])
    assert missing.exit_code == 2 and "Missing option '-a' / '--annotation'" in missing.stderr
