"""`samvar gia`: importances whose answers are known, populations that keep what they should keep,
and the command."""

import csv
import io
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import SamvarError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome, decode, encode
from samvar.model.bundle import load_bundle
from samvar.model.sam import ACCEPTOR, DONOR, LSSI_SPAN, one_hot
from samvar.research import gia, populations
from samvar.scoring.predictor import Predictor

from . import toy

pytestmark = pytest.mark.slow

STARTS = range(600, 3300, 300)  # of exons of 60, 70, ... bases
EXONS = [(s + 1, s + 60 + 10 * i) for i, s in enumerate(STARTS)]
BASES = toy.random_bases(4000, seed=31)
for _start, _end in EXONS:
    BASES = BASES[: _start - 3] + "AG" + BASES[_start - 1 : _end] + "GT" + BASES[_end + 2 :]
EDGE = 40


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gia")
    return dict(
        fasta=toy.fasta(folder / "g.fa", c=BASES, d=toy.revcomp(BASES)),
        gtf=toy.gtf(
            folder / "g.gtf",
            ("G", "c", "+", EXONS),
            ("H", "d", "-", sorted((4001 - e, 4001 - s) for s, e in EXONS)),
        ),
        bundle=toy.bundle(folder, seeds=(0, 1)),
    )


@pytest.fixture(scope="module")
def predictor(files):
    with Predictor(load_bundle(files["bundle"])) as predictor:
        yield predictor


@pytest.fixture(scope="module")
def pool(files):
    genome, genes = Genome(files["fasta"]), load_annotation(files["gtf"])
    return populations.exons(genome, genes, 100, EDGE, 0, np.random.default_rng(0))


def run(files, *args):
    command = ["gia", *map(str, args), "-f", files["fasta"], "-a", files["gtf"]]
    return CliRunner().invoke(main, [*command, "--model", files["bundle"]])


def table(result):
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))


# ------------------------------------------------------------------------ toy models, known answers


def counts(codes, word):
    """How often a word stands in each sequence (B, L)."""
    word = encode(word)
    windows = np.lib.stride_tricks.sliding_window_view(codes, len(word), axis=1)
    return (windows == word).all(2).sum(1)


def without(pool, *words):
    """Sequences that hold none of the words, whatever is embedded: all C, but for their length."""
    plain = [
        populations.Background(np.full(len(b.codes), encode("C")[0], np.uint8), b.edge, b.name)
        for b in pool
    ]
    assert not any(counts(b.codes[None], w).any() for b in plain for w in words)
    return plain


def test_the_importance_of_a_pattern_in_an_additive_model_is_its_weight(pool):
    """f is a sum of weights of words: one copy has the weight, n have n times that, and a pair the
    sum of both."""
    weights = {"GAAGAA": 0.75, "TTTGT": -0.5}

    def score(codes, length):
        return sum(w * counts(codes, word) for word, w in weights.items()) + 3.0

    designs = [
        *gia.plain_designs({w: w for w in (*weights, "ACACA")}, "middle", [0, 5]),
        *gia.copies_designs("GAAGAA", "GAAGAA", "middle", 0, 3, 2),
        *gia.spacing_designs({w: w for w in weights}, "middle", 0, [0, 7]),
    ]
    measured = gia.measure(score, without(pool, *weights), designs)
    found = gia.importances(measured, designs)
    by_pattern = {w: [r.mean for r in found if r.design.pattern == w] for w in (*weights, "ACACA")}
    assert by_pattern["GAAGAA"] == pytest.approx([0.75, 0.75, 0.75, 1.5, 2.25, 0.75, 0.75])
    assert by_pattern["TTTGT"] == pytest.approx([-0.5] * 4)
    assert by_pattern["ACACA"] == pytest.approx([0.0, 0.0])
    together = [r for r in found if r.design.pattern == "GAAGAA+TTTGT"]
    assert [r.mean for r in together] == pytest.approx([0.25, 0.25])
    assert [r.synergy for r in together] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert all(r.error == pytest.approx(0.0, abs=1e-12) and r.n == len(pool) for r in found)


def test_what_a_pair_does_beyond_its_sum_is_the_synergy(pool):
    """f = a + 2 b + 4 a b, but the words only act together 3 bases apart."""

    def score(codes, length):
        a, b, both = (counts(codes, w) for w in ("GAGA", "TTT", "GAGACCCTTT"))
        return 1.0 * a + 2.0 * b + 4.0 * both

    designs = gia.spacing_designs({"x": "GAGA", "y": "TTT"}, "middle", 0, [2, 3, 4])
    measured = gia.measure(score, without(pool, "GAGA", "TTT"), designs)
    found = gia.importances(measured, designs)
    pairs = [(r.mean, r.synergy) for r in found if r.design.pattern == "x+y"]
    np.testing.assert_allclose(pairs, [(3, 0), (7, 4), (3, 0)], atol=1e-12)
    assert all(r.synergy is None for r in found if r.design.pattern != "x+y")


def test_mean_and_error_are_those_of_paired_differences(pool):
    """f is linear in the bases of the exon's first ten: the change is that of the bases replaced,
    and its spread that of the population."""
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(10, 4))

    def score(codes, length):
        return weight[np.arange(10), codes[:, EDGE : EDGE + 10]].sum(1)

    pattern = "GANTTC"
    designs = gia.plain_designs({"p": pattern}, "acceptor", [0, 4])
    measured = gia.measure(score, pool, designs)
    for result, at in zip(gia.importances(measured, designs), (0, 4)):
        change = [
            sum(
                weight[at + i, "ACGT".index(c)] - weight[at + i, b.codes[EDGE + at + i]]
                for i, c in enumerate(pattern)
                if c != "N"
            )
            for b in pool
        ]
        assert result.mean == pytest.approx(np.mean(change))
        assert result.error == pytest.approx(np.std(change, ddof=1) / np.sqrt(len(pool)))


def test_quartiles_are_those_of_the_prediction_without_the_pattern(pool):
    """The pattern adds as much as the sequence has without it: each quartile has its own mean."""

    def score(codes, length):
        own = np.full(len(codes), float(length))
        return own * (1 + counts(codes, "GAGAGAGA"))

    designs = gia.plain_designs({"p": "GAGAGAGA"}, "middle", [0])
    plain = without(pool, "GAGAGAGA")
    found = gia.importances(gia.measure(score, plain, designs), designs, by_quartile=True)
    assert [r.group for r in found] == ["Q1", "Q2", "Q3", "Q4"]
    lengths = sorted(b.length for b in plain)
    assert sum(r.n for r in found) == len(lengths) and found[0].mean < found[3].mean
    first = 0
    for r in found:
        assert r.mean == pytest.approx(np.mean(lengths[first : first + r.n]))
        first += r.n


@pytest.mark.parametrize("site", ["acceptor", "donor", "both"])
@pytest.mark.parametrize("scale", ["log-odds", "probability"])
def test_f_is_what_the_model_says_of_the_exons_own_sites(predictor, files, site, scale):
    context = 25
    edge = gia.edge_of(predictor, context)
    genome, genes = Genome(files["fasta"]), load_annotation(files["gtf"])
    chosen = populations.exons(genome, genes, 4, edge, 0, np.random.default_rng(0))
    score = gia.site_score(predictor, context, site, scale)
    before, after = predictor.reach
    for b in chosen:
        shown = b.codes[edge - context - before : len(b.codes) - (edge - context - after)]
        with torch.no_grad():
            x = one_hot(torch.from_numpy(shown[None].copy()))
            p = np.mean([m(x)[0].exp().double().numpy() for m in predictor.models], 0)
        own = np.array([p[ACCEPTOR, context], p[DONOR, context + b.length - 1]])
        own = np.log(own / (1 - own)) if scale == "log-odds" else own
        expected = dict(acceptor=own[0], donor=own[1], both=own.mean())[site]
        assert score(b.codes[None], b.length)[0] == pytest.approx(expected, abs=1e-5)


# -------------------------------------------------------------------------------------- population


def test_exons_are_drawn_in_transcript_orientation(pool):
    """The genes are each other's mirror image: every exon comes twice."""
    assert len(pool) == 2 * (len(EXONS) - 2)
    by_length = {}
    for b in pool:
        by_length.setdefault(b.length, set()).add(decode(b.codes))
    assert all(len(sequences) == 1 for sequences in by_length.values())
    for start, end in EXONS[1:-1]:
        assert by_length[end - start + 1] == {BASES[start - 1 - EDGE : end + EDGE]}


def protected(b):
    """Indices of bases that the core splice-site models see."""
    (before, in_exon), (from_exon, after) = LSSI_SPAN[ACCEPTOR], LSSI_SPAN[DONOR]
    first, last = b.edge, b.edge + b.length - 1
    return [
        *range(first - before, first + in_exon + 1),
        *range(last - from_exon, last + after + 1),
    ]


@pytest.mark.parametrize("made", [populations.shuffled, populations.dinucleotide_shuffled])
def test_shuffles_keep_splice_sites_and_counts(pool, made):
    rng = np.random.default_rng(2)
    for b in pool:
        other = made(b, rng)
        assert other.length == b.length and (other.codes != b.codes).any()
        assert (other.codes[protected(b)] == b.codes[protected(b)]).all()
        for stretch in b.free:
            one, two = decode(b.codes[stretch]), decode(other.codes[stretch])
            assert Counter(one) == Counter(two)
            if made is populations.dinucleotide_shuffled:
                assert Counter(zip(one, one[1:])) == Counter(zip(two, two[1:]))


@pytest.mark.parametrize("bases", ["", "A", "AC", "AAAAAA", "ACACAC", "AACCGGTTACGT", "TTTGA"])
def test_dinucleotides_are_kept_in_short_sequences(bases):
    for seed in range(20):
        found = decode(
            populations.shuffle_dinucleotides(encode(bases), np.random.default_rng(seed))
        )
        assert Counter(zip(found, found[1:])) == Counter(zip(bases, bases[1:]))
        assert len(found) == len(bases) and found[:1] == bases[:1] and found[-1:] == bases[-1:]


def test_all_orders_with_the_same_dinucleotides_come_up():
    """ACAGA: the two ways round its A are equally likely."""
    rng = np.random.default_rng(0)
    found = Counter(
        decode(populations.shuffle_dinucleotides(encode("ACAGA"), rng)) for _ in range(400)
    )
    assert set(found) == {"ACAGA", "AGACA"} and 140 < found["ACAGA"] < 260


def test_gc_content_is_as_asked_for(pool):
    rng = np.random.default_rng(2)
    for share in (0.0, 0.3, 1.0):
        made = [populations.of_gc_content(b, share, rng) for b in pool]
        free = np.concatenate([b.codes[s] for b in made for s in b.free])
        assert np.isin(free, (1, 2)).mean() == pytest.approx(share, abs=0.05)
        assert all((m.codes == b.codes)[protected(b)].all() for m, b in zip(made, pool))


def test_a_profile_has_the_frequencies_of_its_pool():
    """Exons with AG before them and GT after them; the rest is A or T, by where it lies."""
    rng = np.random.default_rng(4)
    made = []
    for _ in range(300):
        n = int(rng.integers(50, 90))
        intron, exon = rng.choice([0, 3], EDGE, p=[0.8, 0.2]), rng.choice([0, 3], n, p=[0.1, 0.9])
        codes = np.concatenate((intron, exon, intron)).astype(np.uint8)
        codes[EDGE - 2 : EDGE], codes[EDGE + n : EDGE + n + 2] = encode("AG"), encode("GT")
        made.append(populations.Background(codes, EDGE, ""))
    draw = populations.profile_of(made)
    drawn = [draw(b, rng) for b in made]
    assert all(len(d.codes) == len(b.codes) for d, b in zip(drawn, made))
    whole = [d.codes for d in drawn]
    ag = np.mean([decode(c[EDGE - 2 : EDGE]) == "AG" for c in whole])
    gt = np.mean([decode(c[len(c) - EDGE : len(c) - EDGE + 2]) == "GT" for c in whole])
    assert ag > 0.9 and gt > 0.9
    exon = np.concatenate([c[EDGE:-EDGE] for c in whole])
    intron = np.concatenate([c[: EDGE - 2] for c in whole])
    assert (exon == 3).mean() == pytest.approx(0.9, abs=0.03)
    assert (intron == 3).mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("kind", populations.BACKGROUNDS)
def test_a_population_is_the_same_again(files, kind):
    genome, genes = Genome(files["fasta"]), load_annotation(files["gtf"])
    one, two, other = (
        populations.digest(populations.population(genome, genes, kind, 5, EDGE, 0, seed))
        for seed in (1, 1, 2)
    )
    assert one == two != other


# ----------------------------------------------------------------------------------------- designs


@pytest.mark.parametrize(
    "anchor, at, expected",
    [
        ("acceptor", 0, EDGE),
        ("acceptor", 5, EDGE + 5),
        ("acceptor", -30, EDGE - 30),
        ("acceptor", -6, EDGE - 6),
        ("donor", -5, EDGE + 70 - 6),
        ("donor", 1, EDGE + 70),
        ("middle", 0, EDGE + 32),
        ("middle", -3, EDGE + 29),
        ("acceptor", -3, None),  # over the end of the exon
        ("donor", -3, None),
        ("acceptor", 68, None),
        ("acceptor", -41, None),  # beyond the sequence
        ("donor", 36, None),
    ],
)
def test_patterns_stand_where_they_are_put(anchor, at, expected):
    plain = populations.Background(np.zeros(70 + 2 * EDGE, np.uint8), EDGE, "")
    (design,) = gia.plain_designs({"x": "CCNCCC"}, anchor, [at])
    found = gia.embedded(plain, design)
    if expected is None:
        assert found is None
    else:
        assert found.nonzero()[0].tolist() == [expected + i for i in (0, 1, 3, 4, 5)]
    assert not plain.codes.any()


def test_copies_and_pairs_are_centred_together():
    plain = populations.Background(np.zeros(70 + 2 * EDGE, np.uint8), EDGE, "")
    three = gia.copies_designs("x", "CC", "middle", 0, 3, 4)[2]
    at = gia.embedded(plain, three).nonzero()[0] - EDGE
    assert at.tolist() == [28, 29, 34, 35, 40, 41]
    first, second, pair = gia.spacing_designs({"x": "CC", "y": "GGG"}, "middle", 0, [5])
    codes = [gia.embedded(plain, d) for d in (first, second, pair)]
    assert (codes[0] + codes[1] == codes[2]).all() and pair.extent == 10


@pytest.mark.parametrize("text", ["", "N", "NNN", "GAX", "G-A", "é"])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(SamvarError, match="is no pattern"):
        gia.pattern_codes(text)


def test_the_consensus_is_the_strongest_site(predictor):
    fixed = predictor.models[0].motifs.fixed
    for i, rbp in enumerate(toy.RBPS):
        codes = encode(gia.consensus(predictor.bundle, rbp))
        own = fixed.log_psam[fixed.mix[i] > 0].numpy()
        strongest = own[int(fixed.mix[i][fixed.mix[i] > 0].argmax())]
        assert len(codes) == 11 and strongest[codes, range(11)] == pytest.approx([0.0] * 11)


# ----------------------------------------------------------------------------------------- command


def test_the_table_is_what_the_library_says(files, predictor):
    rows = table(run(files, "gaagaa", "TUTTT", "-n", 5, "--background", "exons"))
    assert [r["PATTERN"] for r in rows] == ["GAAGAA", "TUTTT"]
    designs = gia.plain_designs({"a": "GAAGAA", "b": "TTTTT"}, "middle", [0])
    flank = predictor.bundle.flank
    genome, genes = Genome(files["fasta"]), load_annotation(files["gtf"])
    edge = gia.edge_of(predictor, flank)
    chosen = populations.population(genome, genes, "exons", 5, edge, gia.least_exon(designs), 1)
    score = gia.site_score(predictor, flank, "both", "log-odds")
    for row, found in zip(rows, gia.importances(gia.measure(score, chosen, designs), designs)):
        assert float(row["IMPORTANCE"]) == pytest.approx(found.mean, abs=6e-5)
        assert float(row["SE"]) == pytest.approx(found.error, abs=6e-5) and row["N"] == "5"


def test_the_command_offers_every_background():
    (option,) = [o for o in main.get_command(None, "gia").params if o.name == "background"]
    assert sorted(option.type.choices) == sorted(populations.BACKGROUNDS)


def test_kmers_are_all_there(files):
    rows = table(run(files, "--kmers", 2, "-n", 2))
    assert [r["PATTERN"] for r in rows] == gia.kmers(2) and len(rows) == 16


def test_two_rbps_are_held_against_their_sum(files):
    rows = table(run(files, "--rbp", "aaa1", "--rbp", "CCC3", "-n", 3))
    assert [r["PATTERN"] for r in rows] == ["AAA1", "CCC3", "AAA1+CCC3"]
    assert [r["SYNERGY"] == "." for r in rows] == [True, True, False]
    a, b, pair = (float(r["IMPORTANCE"]) for r in rows)
    assert float(rows[2]["SYNERGY"]) == pytest.approx(pair - a - b, abs=2e-4)
    assert rows[2]["SPACING"] == "4"


def test_groups_and_places_have_rows_of_their_own(files):
    rows = table(run(files, "GAAGAA", "-n", 8, "--background", "quartile"))
    assert [(r["GROUP"], r["N"]) for r in rows] == [(f"Q{i}", "2") for i in range(1, 5)]
    rows = table(run(files, "GAAGAA", "-n", 3, "--gc", "20,80"))
    assert [r["BACKGROUND"] for r in rows] == ["gc20", "gc80"]
    rows = table(run(files, "GAAGAA", "-n", 3, "--anchor", "acceptor", "--at", "-30..-10:10,5"))
    assert [r["AT"] for r in rows] == ["-30", "-20", "-10", "5"]
    rows = table(run(files, "GAAGAA", "-n", 3, "--copies", 3, "--anchor", "donor", "--at", 5))
    assert [r["COPIES"] for r in rows] == ["1", "2", "3"]
    rows = table(run(files, "GAAGAA", "-n", 3, "--anchor", "acceptor", "--at", "-3"))
    assert [(r["N"], r["IMPORTANCE"], r["SE"]) for r in rows] == [("0", ".", ".")]


def test_a_run_goes_on_where_it_was_stopped(files, tmp_path, monkeypatch):
    args = ("--kmers", 2, "-n", 4, "--state", tmp_path / "s.npz", "--threads", 1)
    whole = run(files, *args).stdout
    (tmp_path / "s.npz").unlink()
    measured = []
    plain = gia.embedded

    def fails_later(background, design):
        measured.append(design)
        if len(measured) > 40:
            raise OSError("stopped")
        return plain(background, design)

    monkeypatch.setattr(gia, "embedded", fails_later)
    monkeypatch.setattr(gia, "JOBS", 1)
    assert "stopped" in run(files, *args).stderr
    monkeypatch.setattr(gia, "embedded", lambda *a: measured.append(a) or plain(*a))
    before = len(measured)
    assert run(files, *args).stdout == whole
    assert len(measured) - before == 2 * 16  # two of the four sequences were done
    other = run(files, *args, "--site", "donor")
    assert other.exit_code == 1 and "state of another run" in other.stderr
    (tmp_path / "s.npz").write_bytes(b"nonsense")
    assert "is no state of samvar gia" in run(files, *args).stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--kmers", 3],
        ["GAAGAA", "TTTTT", "--at", "-5..5:5"],
        ["GAAGAA", "--copies", 3],
        ["GAAGAA", "TTTTT", "--spacing", "0,5"],
        ["GAAGAA", "--background", "quartile"],
    ],
)
@pytest.mark.parametrize("form", ["svg", "png"])
def test_figures_are_drawn(files, tmp_path, args, form):
    out = tmp_path / f"x.{form}"
    result = run(files, *args, "-n", 4, "--figure", out)
    assert result.exit_code == 0, result.output
    if form == "svg":
        assert "global importance" in out.read_text() and "log-odds" in out.read_text()
    else:
        assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "args, code, message",
    [
        ([], 2, "what is to be embedded"),
        (["GAX"], 1, "'GAX' is no pattern"),
        (["GAA", "--at", "1..x"], 2, "is no number or range"),
        (["GAA", "--at", "5..1"], 2, "has no number"),
        (["GAA", "--spacing", "5"], 2, "for two patterns, not 1"),
        (["GAA", "CCC", "--spacing", "-5"], 2, "0 or more"),
        (["GAA", "--copies", "2", "--at", "1,2"], 2, "one place"),
        (["GAA", "--copies", "2", "--spacing", "1"], 2, "either --copies or --spacing"),
        (["GAA", "--gc", "120"], 2, "from 0 to 100"),
        (["--kmers", "7", "-n", "100000"], 2, "ask for fewer"),
        (["--rbp", "zzz"], 1, "no RBP 'zzz'"),
        (["GAA" * 300], 1, "no internal exon of"),
        (["GAA", "--context", "5000"], 1, "a shorter --context"),
        (["GAA", "--figure", "x.pdf"], 2, "must end in .svg or .png"),
        (["--patterns-file", "none"], 1, "No such file"),
    ],
)
def test_what_cannot_be_is_refused(files, tmp_path, monkeypatch, args, code, message):
    monkeypatch.chdir(tmp_path)
    result = run(files, *args)
    assert result.exit_code == code and message in result.stderr, result.stderr
    assert not list(tmp_path.iterdir())


def test_patterns_of_a_file(files, tmp_path):
    (tmp_path / "p.txt").write_text("GAA CCC\n\nTTT\n")
    rows = table(run(files, "--patterns-file", tmp_path / "p.txt", "-n", 2))
    assert [r["PATTERN"] for r in rows] == ["GAA", "CCC", "TTT"]
    (tmp_path / "p.txt").write_text("\n")
    assert "lists no pattern" in run(files, "--patterns-file", tmp_path / "p.txt").stderr


def test_a_figure_without_matplotlib_is_refused_before_the_work(files, tmp_path, monkeypatch):
    monkeypatch.setattr("samvar.model.bundle.load_bundle", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(files, "GAA", "--figure", tmp_path / "x.svg")
    assert result.exit_code == 1 and "pip install 'samvar[plot]'" in result.stderr
