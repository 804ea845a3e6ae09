"""The README's first run: designed minigenes, the directions they were designed for, and the bytes
of the output."""

import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from samvar.cli import main
from samvar.scoring.attribution import ROUGHLY

pytestmark = pytest.mark.slow

TOLERANCE = 2e-3  # a golden number may move so far on another build of torch


FOLDER = os.path.join(os.path.dirname(__file__), "..", "examples")


def path(ending):
    return os.path.join(FOLDER, f"minigenes.{ending}")


def annotate(out, threads):
    args = [
        "annotate",
        path("vcf"),
        "-f",
        path("fa"),
        "-a",
        path("gtf"),
        "-o",
        str(out),
        "--threads",
        threads,
    ]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.stderr
    return open_lines(out)


@pytest.fixture(scope="module", params=["1", "2"])
def annotated(tmp_path_factory, request):
    """(our lines, expected lines), by one worker and by two."""
    return annotate(tmp_path_factory.mktemp("out") / "out.vcf", request.param), open_lines(
        path("expected.vcf")
    )


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    return without_command(annotate(tmp_path_factory.mktemp("one") / "out.vcf", "1"))


def open_lines(path):
    with open(path) as handle:
        return handle.read().splitlines()


def by_id(lines):
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {r[2]: dict(e.partition("=")[::2] for e in r[7].split(";")) for r in rows}


def deltas(info, row=0):
    f = info["SAMVAR"].split(",")[row].split("|")
    return dict(zip(("AG", "AL", "DG", "DL"), map(float, f[5:9])))


def top_cause(info, delta):
    rows = [r.split("|") for r in info["SAMVAR_RBP"].split(",")]
    return next((r[2], r[3], float(r[7])) for r in rows if r[8] == delta)


def test_generator_makes_the_committed_files(tmp_path, examples):
    subprocess.run([sys.executable, examples("make.py"), str(tmp_path)], check=True)
    for name in ("minigenes.fa", "minigenes.gtf", "minigenes.vcf"):
        assert (tmp_path / name).read_text().splitlines() == open_lines(examples(name))


def test_designed_effects_have_their_direction(annotated):
    info = by_id(annotated[0])
    for name, delta in (
        ("donor_destroyed", "DL"),
        ("donor_deleted", "DL"),
        ("weak_donor_destroyed", "DL"),
        ("acceptor_destroyed", "AL"),
        ("new_acceptor", "AG"),
        ("pseudo_exon", "DG"),
        ("enhancer_lost", "AL"),
    ):
        d = deltas(info[name])
        assert max(d, key=d.get) == delta and d[delta] > 0.1, (name, d)
    assert float(info["intron_neutral"]["SAMVAR_MAX"]) < 0.02
    for name, cause in (
        ("donor_destroyed", "LSSI_D"),
        ("acceptor_destroyed", "LSSI_A"),
        ("new_acceptor", "LSSI_A"),
        ("pseudo_exon", "LSSI_D"),
    ):
        delta = {
            "donor_destroyed": "DL",
            "acceptor_destroyed": "AL",
            "new_acceptor": "AG",
            "pseudo_exon": "DG",
        }[name]
        assert top_cause(info[name], delta)[0] == cause
    name, event, effect = top_cause(info["enhancer_lost"], "AL")
    assert not name.startswith("LSSI")


def test_alleles_without_a_score_say_why(annotated):
    status = {name: info["SAMVAR_STATUS"] for name, info in by_id(annotated[0]).items()}
    assert status["outside_genes"] == "NO_GENE"
    assert status["deletion_symbol"] == "SYMBOLIC"
    assert status["wrong_ref"] == "REF_MISMATCH"
    assert status["two_alts"] == "OK,OK"


def without_command(lines):
    return [line for line in lines if not line.startswith("##samvar_command")]


def test_two_workers_write_what_one_writes(annotated, one_worker):
    assert without_command(annotated[0]) == one_worker


def test_output_is_the_expected_one(annotated):
    """Byte for byte, but that a number may differ by rounding on another build of torch, and an
    attribution by what its integral is allowed to leave."""
    lines = [without_command(side) for side in annotated]
    assert len(lines[0]) == len(lines[1])
    for a, b in zip(*lines):
        if a == b:
            continue
        (a, causes), (b, expected) = (line.partition(";SAMVAR_RBP=")[::2] for line in (a, b))
        parts = [re.split(r"[,;=|]", line) for line in (a, b)]
        assert len(parts[0]) == len(parts[1])
        for x, y in zip(*parts):
            assert x == y or abs(float(x) - float(y)) <= TOLERANCE, (a, b)
        found, wanted = (
            {
                tuple(row[:6] + row[8:]): float(row[7])
                for row in (r.split("|") for r in text.split(","))
            }
            for text in (causes, expected)
        )
        for row in found.keys() | wanted.keys():
            assert abs(found.get(row, 0) - wanted.get(row, 0)) <= ROUGHLY, (row, causes, expected)


def test_causes_sum_to_their_delta(annotated):
    for info in by_id(annotated[0]).values():
        rows = [r.split("|") for r in info.get("SAMVAR_RBP", "").split(",") if r]
        for allele, symbol, delta in {(r[0], r[1], r[8]) for r in rows}:
            (score,) = [
                s
                for s in (row.split("|") for row in info["SAMVAR"].split(","))
                if s[:2] == [allele, symbol]
            ]
            value = dict(zip(("AG", "AL", "DG", "DL"), map(float, score[5:9])))[delta]
            parts = [float(r[7]) for r in rows if (r[0], r[1], r[8]) == (allele, symbol, delta)]
            assert sum(parts) == pytest.approx(value, abs=1e-4 * (len(parts) + 1))
