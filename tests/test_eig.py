"""`samvar eig`: attributions whose answers are known, baselines and ways that can be worked out,
and the command."""

import csv
import io
import threading
import time

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.model.bundle import load_bundle
from samvar.research import baselines, eig
from samvar.scoring.knockout import KINDS, region_window
from samvar.scoring.predictor import Predictor

from . import toy

pytestmark = pytest.mark.slow

EXONS = [(601, 700), (1001, 1080), (1401, 1530), (1901, 2000)]
BASES = toy.random_bases(2600, seed=7)
for _start, _end in EXONS:
    BASES = BASES[: _start - 3] + "AG" + BASES[_start - 1 : _end] + "GT" + BASES[_end + 2 :]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eig")
    mirrored = sorted((2601 - e, 2601 - s) for s, e in EXONS)
    return dict(
        fasta=toy.fasta(folder / "g.fa", c=BASES, d=toy.revcomp(BASES)),
        gtf=toy.gtf(
            folder / "g.gtf",
            ("G", "c", "+", EXONS),
            ("H", "d", "-", mirrored),
            ("ONE", "c", "+", [(2301, 2400)]),
        ),
        bundle=toy.bundle(folder, seeds=(0, 1)),
    )


@pytest.fixture(scope="module")
def genome(files):
    return Genome(files["fasta"])


@pytest.fixture(scope="module")
def genes(files):
    return load_annotation(files["gtf"])


@pytest.fixture(scope="module")
def predictor(files):
    with Predictor(load_bundle(files["bundle"])) as predictor:
        yield predictor


@pytest.fixture(scope="module")
def acceptor(genes):
    (gene,) = [g for g in genes.genes if g.symbol == "G"]
    return eig.Target(gene, "c", EXONS[1][0] - 1, 0)


@pytest.fixture
def any_decoy(monkeypatch):
    """Decoys whatever the model, which nobody has trained, says of them."""
    monkeypatch.setattr(eig, "SEEN", 2.0)


def run(files, *args):
    command = ["eig", *map(str, args), "-f", files["fasta"], "-a", files["gtf"]]
    return CliRunner().invoke(main, [*command, "--model", files["bundle"]])


def table(result):
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))


def random_bottleneck(seed):
    return torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------ toy models, known answers


def test_a_linear_output_is_taken_apart_exactly():
    """The attribution is the weight times the change, whatever the way."""
    weights = random_bottleneck(0)
    start, between, end = (random_bottleneck(i) for i in (1, 2, 3))
    for way in ([start, end], [start, between, end]):
        found = eig.integrated(lambda u: (u * weights).sum((1, 2, 3)) + 5, way)
        torch.testing.assert_close(found, weights * (end - start))


def test_a_product_is_shared_by_the_way_that_is_taken():
    """f = a b: straight ahead each factor has half; along a, then along b, the last has all."""

    def product(u):
        return u[:, 0, 0, 0] * u[:, 0, 1, 0]

    corners = {ab: torch.tensor(ab).view(1, 2, 1) for ab in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))}
    none, one, both = corners.values()
    assert eig.integrated(product, [none, both]).flatten().tolist() == pytest.approx([0.5, 0.5])
    assert eig.integrated(product, [none, one, both]).flatten().tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("steepness, more", [(1.0, False), (60.0, True)])
def test_legs_are_halved_until_the_parts_sum_to_the_whole(steepness, more):
    points = []

    def sigmoid(u):
        points.append(u)
        return torch.sigmoid(steepness * (u.sum((1, 2, 3)) - 0.3))

    start, end = torch.zeros(1, 2, 1), torch.tensor([0.25, 0.75]).view(1, 2, 1)
    found = eig.integrated(sigmoid, [start, end])
    whole = float(sigmoid(end[None]) - sigmoid(start[None]))
    assert float(found.sum()) == pytest.approx(whole, abs=eig.ROUGHLY * whole)
    assert float(found[0, 1, 0] / found[0, 0, 0]) == pytest.approx(3)  # as the changes are
    assert (len(points) > 5) == more


def test_a_step_ends_after_so_many_halvings():
    points = []

    def step(u):
        points.append(u)
        return (u.sum((1, 2, 3)) > 0.3).float() + 0 * u.sum((1, 2, 3))

    found = eig.integrated(step, [torch.zeros(1, 1, 1), torch.ones(1, 1, 1)])
    assert float(found.sum()) == 0 and len(points) == 3 + 2 * eig.HALVINGS


# ------------------------------------------------------------------------------- baselines and ways


def plain_point(*values):
    vector = torch.tensor(values, dtype=torch.float32)
    return baselines.Point(str(values), torch.zeros(4, 1), vector.view(1, 1, -1))


def test_baselines_are_close_in_the_middle_or_means():
    decoys = [plain_point(x, 0) for x in (0, 1, 2, 10, 11, 30)]
    rng = np.random.default_rng(0)

    def names(kind, n):
        return [p.name for p in baselines.chosen(kind, decoys, plain_point(12, 0), n, rng)]

    assert names("ref-decoys", 2) == ["(11, 0)", "(10, 0)"]
    assert names("median", 2) == ["(2, 0)", "(10, 0)"]  # of 6: 4 from either
    drawn = names("random", 3)
    assert len(set(drawn)) == 3 and set(drawn) <= {d.name for d in decoys}
    means = baselines.chosen("k-means", decoys, plain_point(12, 0), 3, rng)
    assert sorted(m.bottleneck[0, 0, 0].item() for m in means) == [1.0, 10.5, 30.0]
    assert sorted(m.name for m in means) == ["mean of 1", "mean of 2", "mean of 3"]
    assert len(names("ref-decoys", 50)) == 6


def test_clusters_of_equal_vectors_are_one():
    assert [c.tolist() for c in baselines.clusters(np.ones((4, 3)), 2)] == [[0, 1, 2, 3]]


def test_the_way_of_neighbours_goes_round():
    """Points on half a circle: the way stays on it, and leaves none of the ends out."""
    angles = np.linspace(0, np.pi, 25)
    vectors = np.stack((np.cos(angles), np.sin(angles)), 1)
    way = baselines.way_of_neighbours(vectors)
    assert way == sorted(way) and (way[0], way[-1]) == (0, 24)
    assert max(np.diff(way)) <= baselines.NEIGHBOURS + 1 and len(way) > 6


def test_groups_far_apart_are_joined():
    near = np.arange(6.0)[:, None]
    way = baselines.way_of_neighbours(np.concatenate((near, 1000 + near)))
    assert (way[0], way[-1]) == (0, 11) and way == sorted(way)
    assert baselines.way_of_neighbours(np.zeros((2, 1))) == [0, 1]


# ------------------------------------------------------------------------------------- on the model


@pytest.mark.parametrize("kind", [0, 1])
def test_the_output_is_what_annotate_says(genome, predictor, acceptor, kind):
    window = region_window(
        genome, acceptor.gene, "c", acceptor.position, acceptor.position + 1, predictor
    )
    p = predictor.exact(window).ref[:, kind, 0].astype(float)
    u = eig.point_of(predictor, window, acceptor.position).bottleneck
    for scale, expected in (("probability", p), ("log-odds", np.log(p / (1 - p)))):
        found = eig.output_of(predictor, kind, scale)(u[None])
        assert float(found[0]) == pytest.approx(expected.mean(), abs=1e-5)


def test_gradients_reach_entries_that_hold_nothing(genome, genes, tmp_path):
    """They are those of the model as it was trained, direct effects included."""
    place = toy.bundle(tmp_path, effect_bumps=4)
    with Predictor(load_bundle(place)) as predictor:
        model, (gene, *_) = predictor.models[0], genes.genes
        with torch.no_grad():
            model.aggregator.effects.weight.normal_()
        at = EXONS[1][0] - 1
        window = region_window(genome, gene, "c", at, at + 1, predictor)
        u = eig.point_of(predictor, window, at).bottleneck[None].requires_grad_()
        (found,) = torch.autograd.grad(eig.output_of(predictor, 0, "probability")(u).sum(), u)
        plain = u.detach()[:, 0].clone().requires_grad_()
        log_p = model.aggregate(predictor.bundle.layout.split(plain))
        (expected,) = torch.autograd.grad(log_p[0, 1, log_p.shape[-1] // 2].exp(), plain)
    motifs = predictor.bundle.layout.motif_channels
    empty = (plain == 0)[:, motifs]
    assert expected[:, motifs][empty].abs().max() > 1e-5
    torch.testing.assert_close(found[:, 0], expected, atol=1e-6, rtol=1e-4)


def test_no_known_base_is_the_empty_bottleneck(predictor):
    empty = eig.empty_point(predictor)
    models = zip(predictor.models, empty.bottleneck)
    for model, u in models:
        found = predictor.bundle.layout.join(model.detect(empty.sequence[None]))[0]
        torch.testing.assert_close(found, u)


def test_decoys_are_the_best_core_sites_that_are_none(
    genome, predictor, acceptor, any_decoy, monkeypatch
):
    window = region_window(
        genome, acceptor.gene, "c", acceptor.position, acceptor.position + 1, predictor
    )
    found = eig.decoys(predictor, window, acceptor)
    places = [int(p.name.partition(":")[2]) - 1 for p in found]
    sites = acceptor.gene.sites()[0]
    assert len(places) == eig.MOST_DECOYS and not set(places) & sites
    middle = found[0].bottleneck.shape[-1] // 2
    core = [float(p.bottleneck[:, 0, middle].mean()) for p in found]
    assert core == sorted(core, reverse=True)
    every = [
        eig.point_of(predictor, window, at).bottleneck[:, 0, middle].mean()
        for at in range(acceptor.gene.start, acceptor.gene.end)
        if at not in sites and at not in places
    ]
    assert core[-1] >= max(every)
    p = eig.output_of(predictor, 0, "probability")
    values = [float(p(x.bottleneck[None])[0]) for x in found]
    monkeypatch.setattr(eig, "SEEN", sorted(values)[4])
    assert len(eig.decoys(predictor, window, acceptor)) == 4


@pytest.mark.parametrize("kind", baselines.BASELINES)
@pytest.mark.parametrize("path", eig.PATHS)
def test_attributions_sum_to_the_difference(genome, predictor, acceptor, any_decoy, kind, path):
    found = eig.explain(genome, predictor, acceptor, kind, path, "log-odds", 2, 5, 1)
    assert found.complete and found.attribution.any()
    assert found.output == pytest.approx(
        found.baseline + found.attribution.sum() + found.residual, abs=1e-6
    )
    assert len(found.baselines) == (1 if kind == "encoded-zero" else 2)


def test_what_sites_are_given_is_divided_among_their_bases(genome, predictor, acceptor):
    """A core donor alone: all of it lies on the nine bases that the model of donors sees."""
    window = region_window(
        genome, acceptor.gene, "c", acceptor.position, acceptor.position + 1, predictor
    )
    donor = EXONS[1][1] - 1
    point = eig.point_of(predictor, window, donor)
    attribution = torch.zeros_like(point.bottleneck)
    middle = attribution.shape[-1] // 2
    attribution[:, 1, middle] = torch.tensor([0.5, -2.0])
    found = eig.of_bases(predictor, point, attribution, 8)
    assert len(found) == 17 and found.sum() == pytest.approx(-1.5, abs=1e-5)
    assert (np.abs(found[6:15]) > 1e-4).all()
    assert np.abs(np.delete(found, range(6, 15))).max() < 1e-6
    attribution[:, 1, middle] = 0
    attribution[:, 2:, middle] = (point.bottleneck[:, 2:, middle] == 0).float()
    assert not eig.of_bases(predictor, point, attribution, 8).any()  # no site, nothing to divide


# ------------------------------------------------------------------------------------------ command


def test_the_table_adds_up(files, any_decoy):
    rows = table(
        run(files, "G:exon 2", "-n", 2, "--most", 8, "--around", 6, "--baseline", "median")
    )
    assert tuple(rows[0]) == eig.COLUMNS
    for kind, position in zip(KINDS, EXONS[1]):
        own = [r for r in rows if r["SITE"] == kind]
        assert {r["SITE_POS"] for r in own} == {str(position)}
        of = {
            k: [float(r["ATTRIBUTION"]) for r in own if r["ROW"] == k]
            for k in ("output", "baseline", "core", "motif", "other", "residual", "base")
        }
        assert 1 <= len(of["core"] + of["motif"]) <= 8 and len(of["base"]) == 13
        parts = sum(sum(of[k]) for k in ("baseline", "core", "motif", "other", "residual"))
        assert of["output"][0] == pytest.approx(parts, abs=2e-3)
        bases = "".join(r["NAME"] for r in own if r["ROW"] == "base")
        assert bases == BASES[position - 7 : position + 6]
        for r in own:
            if r["ROW"] in ("core", "motif"):
                assert int(r["POS"]) == position + int(r["OFFSET"])
                assert r["SEQUENCE"] == BASES[int(r["POS"]) - 6 : int(r["POS"]) + 5]


def test_the_other_strand_is_the_mirror_image(files, any_decoy):
    one, other = (
        table(run(files, f"{gene}:exon 2", "--site", "donor", "-n", 1, "--path", "neighbours"))
        for gene in "GH"
    )
    assert len(one) == len(other)
    for a, b in zip(one, other):
        assert (a["STRAND"], b["STRAND"]) == ("+", "-")
        if a["POS"] != ".":
            assert int(a["POS"]) + int(b["POS"]) == len(BASES) + 1
        for column in ("ROW", "OFFSET", "SEQUENCE", "ATTRIBUTION"):
            assert a[column] == b[column]


def test_a_base_is_what_it_is_annotated_as(files):
    for position, kind in ((EXONS[1][0], "acceptor"), (EXONS[1][1], "donor")):
        rows = table(run(files, f"c:{position:,}", "--baseline", "encoded-zero", "--most", 1))
        assert {r["SITE"] for r in rows} == {kind}
    rows = table(run(files, "chrc:650", "--site", "donor", "--baseline", "encoded-zero"))
    assert {(r["SITE"], r["SITE_POS"]) for r in rows} == {("donor", "650")}
    rows = table(run(files, "G:exon 1", "--baseline", "encoded-zero"))
    assert {r["SITE"] for r in rows} == {"donor"}


def test_threads_change_no_digit(files, any_decoy):
    one, two = (run(files, "G:exon 2", "-n", 3, "--threads", t).stdout for t in (1, 2))
    assert one == two


def test_an_interrupted_run_does_not_wait_for_its_workers(files, monkeypatch):
    """The first way is interrupted while the second is integrated: that looks at no more points."""
    begun, looked = threading.Event(), []

    def integrated(output, way):
        if not way[0].any():
            begun.wait(60)
            raise KeyboardInterrupt
        for _ in range(60_000):
            looked.append(output(way[0]))
            begun.set()

    monkeypatch.setattr(eig, "integrated", integrated)
    with Predictor(load_bundle(files["bundle"]), threads=2) as predictor:
        with pytest.raises(KeyboardInterrupt):
            eig._integrals(
                predictor, lambda u: time.sleep(0.001), [[torch.zeros(1)], [torch.ones(1)]]
            )
    assert 1 <= len(looked) < 60_000


def test_the_command_offers_every_baseline_and_path():
    options = {o.name: o for o in main.get_command(None, "eig").params}
    assert tuple(options["baseline"].type.choices) == baselines.BASELINES
    assert tuple(options["path"].type.choices) == eig.PATHS
    assert tuple(options["scale"].type.choices) == eig.SCALES


@pytest.mark.parametrize("form", ["svg", "png"])
def test_figures_are_drawn(files, tmp_path, form):
    out = tmp_path / f"x.{form}"
    result = run(files, "G:exon 2", "--baseline", "encoded-zero", "--figure", out)
    assert result.exit_code == 0, result.output
    if form == "svg":
        text = out.read_text()
        assert (
            "of bases" in text and "prefers-color-scheme: dark" in text and "#123456;" not in text
        )
    else:
        assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "where, code, message",
    [
        ("nonsense", 1, "is neither CHR:POS nor GENE:exon N"),
        ("zz:100", 1, "has no contig zz"),
        ("c:0", 1, "count from 1 to 2,600"),
        ("c:2601", 1, "count from 1 to 2,600"),
        ("c:10", 1, "there is no gene at c:10"),
        ("NOPE:exon 1", 1, "no gene NOPE"),
        ("G:exon 9", 1, "has exons 1 to 4, not 9"),
        ("ONE:exon 1", 1, "has no splice site"),
        ("c:2350", 1, "give --baseline encoded-zero"),
    ],
)
def test_what_cannot_be_explained_says_why(files, monkeypatch, where, code, message):
    monkeypatch.setattr(eig, "SEEN", 0.0)  # no decoys
    result = run(files, where)
    assert result.exit_code == code and message in result.stderr, result.output
    assert result.stderr.count("\n") == 1 and not result.stdout


def test_the_page_shows_what_the_example_gives(examples):
    """The numbers may move as far as on another build of torch."""
    with open(examples("eig.md")) as f:
        shown = [[c.strip() for c in row.strip("| \n").split("|")] for row in f if row[:2] == "| "]
    shown = [cells for cells in shown if len(cells) == 8 and cells[0] in ("core", "motif")]
    assert len(shown) == 3
    command = ["eig", "WEAK:exon 2", "--site", "acceptor", "--most", "12", "--model", "paper"]
    genes = ["-f", examples("minigenes.fa"), "-a", examples("minigenes.gtf")]
    columns = ("ROW", "NAME", "POS", "OFFSET", "VALUE", "BASELINE", "ATTRIBUTION", "AGREE")
    found = {
        tuple(r[c] for c in columns[:4]): r
        for r in table(CliRunner().invoke(main, [*command, *genes]))
    }
    for cells in shown:
        row = found[tuple(cells[:4])]
        expected = [float(cell) for cell in cells[4:]]
        assert [float(row[c]) for c in columns[4:]] == pytest.approx(expected, abs=2e-3)
