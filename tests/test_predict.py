"""`samvar predict`: sites and motifs of sequences as they are, in pieces, on either strand, and in
pairs."""

import csv
import gzip
import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import SequenceError
from samvar.formats.sequences import lengths, read_pieces
from samvar.genomics.genome import Genome, decode, encode
from samvar.model.bundle import load_bundle
from samvar.model.sam import one_hot
from samvar.research import predict as predicting
from samvar.scoring.predictor import Predictor
from samvar.scoring.sequences import margin, predict

from . import toy

pytestmark = pytest.mark.slow

BASES = toy.random_bases(500, seed=21)
LAYOUT = ("LSSI_A", "LSSI_D", *toy.RBPS)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy.bundle(tmp_path_factory.mktemp("predict"), seeds=(0, 1))


@pytest.fixture(scope="module")
def predictor(bundle):
    with Predictor(load_bundle(bundle)) as predictor:
        yield predictor


def run(bundle, *args, **kwargs):
    return CliRunner().invoke(main, ["predict", *map(str, args), "--model", bundle], **kwargs)


def table(result):
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))


def by_hand(predictor, bases):
    """(2, n) probabilities and (C, n) bottleneck of all bases by one call of each model, unknown
    bases around them."""
    flank, (before, after) = predictor.bundle.flank, predictor.reach
    codes = encode("N" * (flank + before) + bases + "N" * (flank + after))
    n, found = len(bases), []
    for model in predictor.models:
        with torch.no_grad():
            detected = model.detect(one_hot(torch.from_numpy(codes[None].copy())))
            p = model.aggregate(detected)[0, 1:].exp()[:, flank : flank + n]
            u = torch.cat([*detected], 1)[0]
            edge = (u.shape[1] - n) // 2
            found.append((p.numpy(), u[:, edge : edge + n].numpy()))
    return tuple(np.mean(parts, 0) for parts in zip(*found))


# ----------------------------------------------------------------------------------------- reading


def pieces(text, size=10, margin=3):
    return list(read_pieces(io.BufferedReader(io.BytesIO(text)), "x.fa", size, margin))


def test_pieces_put_together_are_the_sequences():
    text = b">a first\nACGTACGTACG\nTNNacgtu\r\n\n>b\n>c\nGGGG\n>a\n" + b"ACGTT" * 6
    found = pieces(text)
    bases = {1: "ACGTACGTACGTNNACGTT", 2: "", 3: "GGGG", 4: "ACGTT" * 6}
    for record, name in ((1, "a"), (2, "b"), (3, "c"), (4, "a")):
        own = [p for p in found if p.record == record]
        assert {p.name for p in own} == {name}
        assert [p.start for p in own] == list(range(0, max(len(bases[record]), 1), 10))
        padded = "NNN" + bases[record] + "NNN"
        for p in own:
            if p.n:
                assert decode(p.codes) == padded[p.start : p.start + p.n + 6]
        assert sum(p.n for p in own) == len(bases[record])
    assert lengths(io.BufferedReader(io.BytesIO(text)), "x") == [
        ("a", 19),
        ("b", 0),
        ("c", 4),
        ("a", 30),
    ]


def test_a_long_line_is_read_in_blocks(monkeypatch):
    monkeypatch.setattr("samvar.formats.sequences.BLOCK", 16)
    text = b">name with a long description\n" + BASES.encode() + b"\n>b\nACGT"
    found = pieces(text, size=64, margin=5)
    padded = "N" * 5 + BASES + "N" * 5
    assert [p.name for p in found] == ["name"] * 8 + ["b"]
    for p in found[:-1]:
        assert decode(p.codes) == padded[p.start : p.start + p.n + 10]
        assert p.codes.base is None or len(p.codes.base) < 250  # no more is held


def test_a_byte_order_mark_is_no_part_of_a_sequence():
    (piece,) = pieces("\ufeff".encode() + b">a\r\nACGT\r\n", margin=0)
    assert (piece.name, decode(piece.codes)) == ("a", "ACGT")


@pytest.mark.parametrize(
    "text, message",
    [
        (b"", "x.fa holds no sequence"),
        (b"ACGT\n", "line 1: a FASTA begins with >"),
        (b"@r1\nACGT\n+\nIIII\n", "line 1: a FASTA begins with >"),
        (b">a\nACGT\nMEFP\n", "line 3: 'E' is no letter"),
        (b">a\nAC-GT\n", "line 2: '-' is no letter"),
        (b"> \nACGT\n", "line 1: a sequence needs a name"),
        (b">a\rACGT\r", "x.fa, line 1: lines end in CR alone"),
        (b">a\nAC\rGT\r", "x.fa, line 2: lines end in CR alone"),
    ],
)
def test_what_is_no_fasta_is_refused_with_its_line(text, message):
    with pytest.raises(SequenceError, match=message):
        pieces(text)


# --------------------------------------------------------------------------------------- predicting


@pytest.mark.parametrize("n", [1, 7, 300])
@pytest.mark.parametrize("strand", "+-")
def test_predictions_are_those_of_the_model(predictor, n, strand):
    bases, edge = BASES[:n], "N" * margin(predictor)
    found = predict(predictor, encode(edge + bases + edge), strand)
    if strand == "+":
        p, u = by_hand(predictor, bases)
    else:
        p, u = (values[:, ::-1] for values in by_hand(predictor, toy.revcomp(bases)))
    np.testing.assert_allclose(found.probability, p, atol=1e-6)
    np.testing.assert_allclose(found.bottleneck, u, atol=1e-5)


def test_a_calibrated_probability_is_sharper(bundle, predictor):
    import dataclasses

    edge = "N" * margin(predictor)
    codes = encode(edge + BASES + edge)
    plain = predict(predictor, codes, "+")
    with Predictor(dataclasses.replace(predictor.bundle, calibration=0.5)) as other:
        sharp, own = predict(other, codes, "+"), predict(other, codes, "+", own=True)
    p = np.concatenate((1 - plain.probability.sum(0, keepdims=True), plain.probability))
    expected = (p**2 / (p**2).sum(0))[1:]
    np.testing.assert_allclose(sharp.probability, expected, atol=1e-6)
    np.testing.assert_allclose(own.probability, plain.probability, atol=1e-9)


def test_sequences_in_pieces_are_those_of_one_frame_each(bundle, tmp_path, monkeypatch, predictor):
    """A base has at least the model's context on either side, wherever the pieces end."""
    monkeypatch.setattr(predicting, "SIZE", 100)
    fasta = toy.fasta(tmp_path / "s.fa", a=BASES, b=BASES[:30])
    rows = table(run(bundle, fasta, "--min-prob", 0))
    assert len(rows) == 2 * (500 + 30)
    padded = "N" * 1000 + BASES + "N" * 1000
    for start in range(0, 500, 100):
        edge = margin(predictor)
        codes = encode(padded[1000 + start - edge : 1100 + start + edge])
        expected = predict(predictor, codes, "+").probability
        own = [r for r in rows[:1000] if start < int(r["POSITION"]) <= start + 100]
        found = np.array([float(r["PROBABILITY"]) for r in own]).reshape(100, 2).T
        np.testing.assert_allclose(found, expected, atol=6e-5)


def test_case_and_compression_and_u_change_nothing(bundle, tmp_path):
    plain = toy.fasta(tmp_path / "s.fa", a=BASES)
    text = (tmp_path / "s.fa").read_text()
    (tmp_path / "low.fa").write_text(text.lower().replace(">A", ">a").replace("t", "u"))
    with gzip.open(tmp_path / "s.fa.gz", "wt") as f:
        f.write(text)
    expected = run(bundle, plain, "--min-prob", 0.25).stdout
    assert len(expected.splitlines()) > 10
    for other in ("low.fa", "s.fa.gz"):
        assert run(bundle, tmp_path / other, "--min-prob", 0.25).stdout == expected


def test_unknown_bases_are_no_sites(bundle, tmp_path):
    fasta = toy.fasta(tmp_path / "s.fa", a=BASES[:50] + "NNRY" + BASES[54:80], b="N" * 20)
    rows = table(run(bundle, fasta, "--min-prob", 0))
    assert {int(r["POSITION"]) for r in rows} == {*range(1, 51), *range(55, 81)}
    assert {r["NAME"] for r in rows} == {"a"}


def test_strands_have_the_positions_as_given(bundle, tmp_path):
    fasta = toy.fasta(tmp_path / "s.fa", a=BASES, b=toy.revcomp(BASES))
    both = table(run(bundle, fasta, "--min-prob", 0, "--strand", "both"))
    plus = {
        (r["SITE"], int(r["POSITION"])): r["PROBABILITY"]
        for r in both
        if (r["NAME"], r["STRAND"]) == ("a", "+")
    }
    minus = {
        (r["SITE"], 501 - int(r["POSITION"])): r["PROBABILITY"]
        for r in both
        if (r["NAME"], r["STRAND"]) == ("b", "-")
    }
    assert len(plus) == 1000 and plus == minus
    assert table(run(bundle, fasta, "--min-prob", 0)) == [r for r in both if r["STRAND"] == "+"]


def test_regions_have_the_context_of_the_genome(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(predicting, "SIZE", 128)
    fasta = toy.fasta(tmp_path / "g.fa", c=BASES, d=BASES[::-1])
    whole = table(run(bundle, fasta, "--min-prob", 0, "--strand", "both"))
    some = table(run(bundle, "-f", fasta, "-r", "chrc:100-300,d:499-", "--min-prob", 0))

    def values(rows):
        return {
            (r["NAME"], r["POSITION"], r["STRAND"], r["SITE"]): (r["PROBABILITY"], r["CORE"])
            for r in rows
        }

    wanted = {
        k: v
        for k, v in values(whole).items()
        if (k[0] == "c" and 100 <= int(k[1]) <= 300) or (k[0] == "d" and int(k[1]) >= 499)
    }
    assert values(some) == wanted and len(some) == 4 * 203
    (tmp_path / "r.bed").write_text("c\t99\t300\nd\t498\t500\n")
    assert table(run(bundle, "-f", fasta, "-R", tmp_path / "r.bed", "--min-prob", 0)) == some
    for region in ("zz:1-10", "c:501-"):
        none = run(bundle, "-f", fasta, "-r", region)
        assert none.exit_code == 1 and "none of the regions" in none.stderr


def test_motif_sites_are_the_entries_of_the_bottleneck(bundle, tmp_path, predictor):
    fasta = toy.fasta(tmp_path / "s.fa", a=BASES)
    for strand in "+-":
        out = tmp_path / "m.tsv"
        result = run(bundle, fasta, "--motifs", out, "--strand", strand, "--min-prob", 0)
        with open(out) as f:
            rows = list(csv.DictReader(f, delimiter="\t"))
        bases = BASES if strand == "+" else toy.revcomp(BASES)
        _, u = by_hand(predictor, bases)
        u = u if strand == "+" else u[:, ::-1]
        expected = {(int(i), toy.RBPS[c]): u[2 + c, i] for c, i in zip(*np.nonzero(u[2:]))}
        assert len(rows) == len(expected) > 20
        for row in rows:
            at = int(row["POSITION"]) - 1
            assert float(row["ACTIVATION"]) == pytest.approx(expected[at, row["RBP"]], abs=6e-4)
            padded = "N" * 5 + BASES + "N" * 5
            around = padded[at : at + 11]
            assert row["SEQUENCE"] == (around if strand == "+" else toy.revcomp(around))
        cores = {(r["SITE"], int(r["POSITION"]) - 1): float(r["CORE"]) for r in table(result)}
        for i in range(0, 500, 50):
            assert cores["acceptor", i] == pytest.approx(u[0, i], abs=6e-4)
            assert cores["donor", i] == pytest.approx(u[1, i], abs=6e-4)


def test_bed_has_the_sites_of_the_table(bundle, tmp_path):
    fasta = toy.fasta(tmp_path / "s.fa", a=BASES)
    rows = table(run(bundle, fasta, "--bed", tmp_path / "s.bed", "--min-prob", 0.25))
    lines = [line.split("\t") for line in (tmp_path / "s.bed").read_text().splitlines()]
    assert len(lines) == len(rows) > 5
    for row, (name, start, end, kind, score, strand) in zip(rows, lines):
        assert (name, int(start), int(end)) == ("a", int(row["POSITION"]) - 1, int(row["POSITION"]))
        assert (kind, strand) == (row["SITE"], "+")
        assert int(score) == pytest.approx(1000 * float(row["PROBABILITY"]), abs=0.6)


def test_bigwig_has_all_known_bases(bundle, tmp_path):
    pyBigWig = pytest.importorskip("pyBigWig")
    fasta = toy.fasta(tmp_path / "s.fa", a=BASES[:60] + "NN" + BASES[62:], b="", c=BASES[:9])
    result = run(bundle, fasta, "--bigwig", tmp_path / "x", "--min-prob", 0, "--strand", "both")
    rows = table(result)
    assert "1 of 3 sequences have no bases" in result.stderr
    for kind in ("acceptor", "donor"):
        for strand, side in (("+", "plus"), ("-", "minus")):
            with pyBigWig.open(str(tmp_path / f"x.{kind}.{side}.bw")) as track:
                assert track.chroms() == {"a": 500, "c": 9}
                values = {n: track.values(n, 0, size) for n, size in track.chroms().items()}
            own = [r for r in rows if (r["SITE"], r["STRAND"]) == (kind, strand)]
            assert len(own) == 507 and np.isnan(values["a"][60:62]).all()
            for row in own:
                at = int(row["POSITION"]) - 1
                expected = float(row["PROBABILITY"])
                assert values[row["NAME"]][at] == pytest.approx(expected, abs=6e-5)


def test_bigwig_without_pybigwig_or_with_repeated_names_is_refused(bundle, tmp_path, monkeypatch):
    (tmp_path / "s.fa").write_text(">a\nACGT\n>a\nACGT\n")
    args = (bundle, tmp_path / "s.fa", "--bigwig", tmp_path / "x")
    pytest.importorskip("pyBigWig")
    result = run(*args)
    assert result.exit_code == 1 and "2 are a" in result.stderr
    monkeypatch.setitem(sys.modules, "pyBigWig", None)
    monkeypatch.setattr("samvar.model.bundle.load_bundle", None)
    result = run(*args)
    assert result.exit_code == 1 and "pip install 'samvar[bigwig]'" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.fa"]


def test_repeated_names_are_told_apart(bundle, tmp_path):
    (tmp_path / "s.fa").write_text(f">a\n{BASES[:40]}\n>a\n{BASES[:50]}\n>b\n")
    result = run(bundle, tmp_path / "s.fa", "--min-prob", 0)
    counts = [sum(r["RECORD"] == str(i) for r in table(result)) for i in (1, 2, 3)]
    assert counts == [80, 100, 0]
    assert "1 sequences have the name of an earlier one" in result.stderr


# ------------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ("ACGT", "AGGT", [(0, 0), (1, 1), (2, 2), (3, 3)]),
        ("ACGT", "AGT", [(0, 0), (1, None), (2, 1), (3, 2)]),
        ("AGT", "ACGT", [(0, 0), (None, 1), (1, 2), (2, 3)]),
        ("AAA", "AA", [(0, 0), (1, 1), (2, None)]),
        ("ACCT", "AGT", [(0, 0), (1, None), (2, None), (None, 1), (3, 2)]),
        ("", "AC", [(None, 0), (None, 1)]),
        ("", "", []),
    ],
)
def test_versions_are_aligned_by_their_ends(first, second, expected):
    assert predicting.aligned(encode(first), encode(second)) == expected


def test_pairs_are_compared_base_by_base(bundle, tmp_path, predictor):
    deleted = BASES[:200] + BASES[210:]
    fasta = toy.fasta(tmp_path / "s.fa", ref=BASES, alt=deleted, one=BASES[:40], two="")
    rows = table(run(bundle, fasta, "--pairs", "--min-prob", 0))
    p, q = (by_hand(predictor, bases)[0] for bases in (BASES, deleted))
    own = [r for r in rows if r["PAIR"] == "1"]
    assert {r["NAME_1"] for r in own} == {"ref"} and len(own) == 1000
    for row in own:
        kind = ("acceptor", "donor").index(row["SITE"])
        i = int(row["POSITION_1"]) - 1
        j = None if row["POSITION_2"] == "." else int(row["POSITION_2"]) - 1
        assert j == (i if i < 200 else None if i < 210 else i - 10)
        after = 0.0 if j is None else q[kind, j]
        assert float(row["PROBABILITY_1"]) == pytest.approx(p[kind, i], abs=6e-5)
        assert float(row["PROBABILITY_2"]) == pytest.approx(after, abs=6e-5)
        assert float(row["CHANGE"]) == pytest.approx(after - p[kind, i], abs=1.1e-4)
    assert {r["POSITION_2"] for r in rows if r["PAIR"] == "2"} == {"."}


def test_pairs_that_do_not_add_up_are_refused(bundle, tmp_path, monkeypatch):
    fasta = toy.fasta(tmp_path / "s.fa", a="ACGT", b="ACGT", c="ACGT")
    result = run(bundle, fasta, "--pairs", "-o", tmp_path / "t")
    assert result.exit_code == 1 and "odd number of sequences, 3" in result.stderr
    assert not (tmp_path / "t").exists()
    monkeypatch.setattr(predicting, "LONGEST_OF_PAIR", 3)
    result = run(bundle, fasta, "--pairs")
    assert result.exit_code == 1 and "more than 3 bases" in result.stderr


# ----------------------------------------------------------------------------------------- command


@pytest.mark.parametrize(
    "args, message",
    [
        ([], "give either sequences, or regions"),
        (["s.fa", "-f", "s.fa"], "regions need their reference"),
        (["-r", "a:1-2"], "regions need their reference"),
        (["s.fa", "-f", "s.fa", "-r", "a:1-2"], "give either sequences"),
        (["-f", "s.fa", "-r", "a:1-2", "-R", "x.bed"], "one of -r and -R"),
        (["s.fa", "--pairs", "--bed", "x.bed"], "writes one table alone"),
        (["-", "--bigwig", "x"], "stdin can be read only once"),
        (["s.fa", "--bed", "s.fa"], "is an input"),
        (["s.fa", "--min-prob", "nan"], "is not a number"),
    ],
)
def test_options_that_do_not_go_together_are_refused(bundle, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    toy.fasta(tmp_path / "s.fa", a=BASES)
    result = run(bundle, *args)
    assert result.exit_code == 2 and message in result.stderr


@pytest.mark.parametrize(
    "content, message",
    [(b"", "holds no sequence"), (b"\x1f\x8b\x08\x00bad", "damaged"), (None, "cannot read")],
)
def test_what_cannot_be_read_is_an_error(bundle, tmp_path, content, message):
    if content is not None:
        (tmp_path / "s.fa").write_bytes(content)
    result = run(bundle, tmp_path / "s.fa", "-o", tmp_path / "t")
    assert result.exit_code == 1 and message in result.stderr
    assert "internal" not in result.stderr and not (tmp_path / "t").exists()


def test_stdin_is_read(bundle, tmp_path):
    fasta = toy.fasta(tmp_path / "s.fa", a=BASES, b=BASES[:77])
    command = [sys.executable, "-m", "samvar.cli", "predict", "-", "--model", bundle]
    with open(fasta, "rb") as given:
        result = subprocess.run(command, stdin=given, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == run(bundle, fasta).stdout


def test_the_default_bundle_finds_the_exons_of_the_example(examples):
    result = CliRunner().invoke(
        main, ["predict", "-f", examples("minigenes.fa"), "-r", "mini:1000-1400"]
    )
    rows = table(result)
    found = {(r["SITE"], r["POSITION"]): float(r["PROBABILITY"]) for r in rows}
    assert found["acceptor", "1182"] > 0.9 and found["donor", "1303"] > 0.9
    assert all(float(r["PROBABILITY"]) < 0.5 for r in rows if r["STRAND"] == "-")
    assert Genome(examples("minigenes.fa")).lengths["mini"] > 1400
