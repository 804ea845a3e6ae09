"""The spine, end to end, with tiny random models; and its command line."""

import gzip
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from urllib.parse import unquote

import click
import numpy as np
import pysam
import pytest
import torch
from click.testing import CliRunner

from samvar.annotate import CHUNK, CHUNK_BYTES, Options, annotate, chunks, one_ahead
from samvar.cli import main
from samvar.errors import ContigMismatchError, VcfError, WrongBuildError
from samvar.formats.annotation import load_annotation
from samvar.formats.vcf import VcfReader
from samvar.formats.vcf.bgzf import BGZF_EOF
from samvar.formats.vcf.record import Record
from samvar.formats.vcf.text import TextWriter
from samvar.genomics.genome import Genome
from samvar.genomics.variant import normalise
from samvar.genomics.window import make_window
from samvar.model.bundle import load_bundle
from samvar.scoring.batches import Batches
from samvar.scoring.predictor import Predictor

from . import toy

BASES = toy.random_bases(3000, seed=11)
GENES = (("G1", "c", "+", [(301, 500), (701, 1200)]), ("G2", "c", "-", [(901, 1500), (1801, 2400)]))
N_RUN = "N" * 100


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    bases = BASES[:2000] + N_RUN + BASES[2100:]
    (folder / "bundle").mkdir()
    return dict(
        bases=bases,
        fasta=toy.fasta(folder / "g.fa", c=bases, d="ACGT"),
        gtf=toy.gtf(folder / "g.gtf", *GENES),
        bundle=toy.bundle(folder / "bundle", seeds=(0, 1)),
    )


@pytest.fixture(scope="module")
def parts(world):
    return (
        Genome(world["fasta"]),
        load_annotation(world["gtf"]),
        Predictor(load_bundle(world["bundle"])),
    )


def run(parts, path, **options):
    out = io.BytesIO()
    chosen = Options(**({"rbp_min": 0.0} | options))
    with VcfReader(path, [f.key for f in chosen.fields]) as reader:
        writer = TextWriter(out)
        stats = annotate(reader, writer, *parts, chosen, command="test")
        writer.finish()
    return stats, out.getvalue().decode()


def rows(text):
    """Per data line: dict of INFO."""
    lines = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return [dict(e.partition("=")[::2] for e in f[7].split(";")) for f in lines]


def ref(world, pos, n=1):
    return world["bases"][pos - 1 : pos - 1 + n]


def snv(world, pos):
    base = ref(world, pos)
    return ("c", pos, base, {"A": "C", "C": "G", "G": "T", "T": "A"}[base])


@pytest.mark.slow
def test_every_allele_has_a_status_and_records_stay(world, parts, tmp_path):
    b = ref(world, 1000)
    records = [
        ("c", 1000, b, ",".join("ACGT".replace(b, ""))),
        ("c", 1000, b, "*"),
        ("c", 1000, b, "<DEL>"),
        ("c", 1000, b, f"{b}[c:5["),
        ("c", 1000, b, "R"),
        ("c", 1000, b, "."),
        ("x", 10, "A", "C"),
        ("c", 2999, ref(world, 2999), "A" if ref(world, 2999) != "A" else "C"),
        ("c", 3001, "A", "C"),
        ("c", 2050, "A", "C"),
        ("c", 1000, "ACGT".replace(b, "")[0], b),
        snv(world, 10),
        ("c", 1000, ref(world, 1000, 40), b),
        snv(world, 1000),
        snv(world, 1990),
    ]
    path = toy.vcf(tmp_path / "x.vcf", *records)
    stats, text = run(parts, path, max_allele=30)
    statuses = [r.get("SAMVAR_STATUS") for r in rows(text)]
    assert statuses == [
        "OK,OK,OK",
        "STAR",
        "SYMBOLIC",
        "BND",
        "NON_ACGT",
        None,
        "NO_CONTIG",
        "NO_GENE",
        "CONTIG_END",
        "REF_N",
        "REF_MISMATCH",
        "NO_GENE",
        "TOO_LONG",
        "OK",
        "LOW_CONTEXT",
    ]
    assert stats.records == len(records) and stats.without_alt == 1
    assert sum(stats.statuses.values()) == 3 + 13
    # every byte but INFO is the input's
    with open(path) as handle:
        before = [
            line.split("\t") for line in handle.read().splitlines() if not line.startswith("#")
        ]
    after = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    assert [f[:7] + f[8:] for f in before] == [f[:7] + f[8:] for f in after]
    assert after[5] == before[5]


@pytest.mark.slow
def test_fields_are_consistent(world, parts, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", *(snv(world, p) for p in range(905, 1195, 10)))
    _, text = run(parts, path)
    header = [line for line in text.splitlines() if line.startswith("##")]
    for key in ("SAMVAR", "SAMVAR_MAX", "SAMVAR_STATUS", "SAMVAR_RBP"):
        assert sum(line.startswith(f"##INFO=<ID={key},") for line in header) == 1
    model = re.compile(r'##samvar_model=<ID=toy,Name="toy",Kind=am,Seeds=0\+1,Sha256=[0-9a-f]{64}>')
    assert any(model.match(line) for line in header)
    seen_rbp = False
    for info in rows(text):
        scores = [r.split("|") for r in info["SAMVAR"].split(",")]
        assert [r[1] for r in scores] == ["G1", "G2"]  # overlapping genes, one row each
        assert all(len(r) == 14 for r in scores)
        assert max(float(v) for r in scores for v in r[5:9]) == float(info["SAMVAR_MAX"])
        assert all(abs(int(v)) <= 50 for r in scores for v in r[9:13])
        assert all(float(r[13]) >= 0 for r in scores)  # two seeds
        sites = [r.split("|") for r in info.get("SAMVAR_RBP", "").split(",") if r]
        for site in sites:
            seen_rbp = True
            assert site[8] in ("AG", "AL", "DG", "DL")
            if site[2] in ("OTHER", "RESIDUAL"):
                assert site[3:7] == ["."] * 4
                continue
            assert site[2] in [*toy.RBPS, "LSSI_A", "LSSI_D"]
            assert site[3] in ("gain", "loss", "stronger", "weaker")
            assert len(site[5]) == 11
        for row in scores:
            for name, value in zip(("AG", "AL", "DG", "DL"), row[5:9]):
                own = [s for s in sites if s[1] == row[1] and s[8] == name]
                assert sum(float(s[7]) for s in own) == pytest.approx(
                    float(value), abs=1e-3
                )  # rounding
                listed = [abs(float(s[7])) for s in own if s[2] not in ("OTHER", "RESIDUAL")]
                assert listed == sorted(listed, reverse=True) and len(listed) <= 10
    assert seen_rbp


@pytest.mark.slow
def test_equal_haplotypes_score_equal(world, parts, tmp_path):
    """One deletion and one insertion, each spelled several ways; DS and POS + DP agree."""
    bases = world["bases"]
    at = next(i for i in range(1000, 1190) if bases[i] == bases[i + 1] == bases[i + 2])
    deletions = [
        ("c", at, bases[at - 1 : at + 1], bases[at - 1]),
        ("c", at + 1, bases[at : at + 2], bases[at]),
        ("c", at + 2, bases[at + 1 : at + 3], bases[at + 1]),
        ("c", at - 1, bases[at - 2 : at + 4], bases[at - 2 : at] + bases[at + 1 : at + 4]),
    ]
    insertions = [
        ("c", at, bases[at - 1], bases[at - 1 : at + 1]),
        ("c", at + 3, bases[at + 2], bases[at + 2] * 2),
        ("c", at - 1, bases[at - 2 : at + 5], bases[at - 2 : at] + bases[at] + bases[at : at + 5]),
    ]
    mnv = [
        snv(world, 1100),
        ("c", 1098, bases[1097:1102], bases[1097:1099] + snv(world, 1100)[3] + bases[1100:1102]),
    ]
    for group in (deletions, insertions, mnv):
        found = []
        for record in group:
            _, text = run(parts, toy.vcf(tmp_path / "x.vcf", record))
            row = []
            for r in rows(text)[0]["SAMVAR"].split(","):
                f = r.split("|")
                places = [(int(p.split("+")[0]) + record[1], p.partition("+")[2]) for p in f[9:13]]
                row.append((f[1:9], places, f[13]))
            found.append(row)
        assert all(f == found[0] for f in found)


@pytest.mark.slow
def test_spellings_agree_at_the_edge_of_a_gene(tmp_path, parts):
    """A run of A across the start of a gene; outside it everything is unknown."""
    bases = BASES[:990] + "A" * 20 + "C" + BASES[1011:1400]
    for strand in "+-":
        genome = Genome(toy.fasta(tmp_path / f"e{ord(strand)}.fa", c=bases))
        genes = load_annotation(
            toy.gtf(tmp_path / "e.gtf", ("G", "c", strand, [(1001, 1100), (1200, 1300)]))
        )
        for records in (
            [("c", p, "AA", "A") for p in (992, 1000, 1005)],
            [("c", p, "A", "AA") for p in (992, 1000, 1005)],
        ):
            texts = [
                run((genome, genes, parts[2]), toy.vcf(tmp_path / "x.vcf", r))[1] for r in records
            ]
            assert len({tuple(rows(t)[0]["SAMVAR"].split("|")[5:9]) for t in texts}) == 1


def test_ref_equal_to_alt_scores_zero(world, parts, tmp_path):
    b = ref(world, 1000, 3)
    _, text = run(parts, toy.vcf(tmp_path / "x.vcf", ("c", 1000, b, b)))
    assert rows(text)[0]["SAMVAR_MAX"] == "0.0000"
    _, text = run(parts, toy.vcf(tmp_path / "x.vcf", ("c", 1000, b, b)), distance=0)
    assert rows(text)[0]["SAMVAR_MAX"] == "0.0000"


@pytest.mark.slow
def test_reverse_complement_of_everything_mirrors_the_scores(world, parts, tmp_path):
    bases = world["bases"]
    n = len(bases)
    mirrored = [
        (name, "c", "-" if s == "+" else "+", [(n + 1 - e, n + 1 - b) for b, e in reversed(exons)])
        for name, _, s, exons in GENES
    ]
    other = (
        Genome(toy.fasta(tmp_path / "m.fa", c=toy.revcomp(bases))),
        load_annotation(toy.gtf(tmp_path / "m.gtf", *mirrored)),
        parts[2],
    )
    for start, gone, new in ((1000, 1, "T"), (1010, 5, ""), (1020, 0, "GGATC"), (1030, 2, "ACCA")):
        new = new if new != bases[start : start + gone] else "A"
        record = ("c", start, bases[start - 1 : start + gone], bases[start - 1] + new)
        end = n - start - gone  # 0-based start of the change on the mirrored contig
        back = toy.revcomp(bases)
        mirror = ("c", end, back[end - 1 : end + gone], back[end - 1] + toy.revcomp(new))
        results = []
        for which, r in ((parts, record), (other, mirror)):
            _, text = run(which, toy.vcf(tmp_path / "x.vcf", r))
            results.append(
                {
                    f.split("|")[1]: [float(v) for v in f.split("|")[5:9]]
                    for f in rows(text)[0]["SAMVAR"].split(",")
                }
            )
        assert results[0].keys() == results[1].keys()
        for gene in results[0]:
            np.testing.assert_allclose(results[0][gene], results[1][gene], atol=2e-4)


@pytest.mark.slow
def test_order_and_neighbours_do_not_change_scores(world, parts, tmp_path):
    records = [snv(world, p) for p in (400, 905, 1000, 1100, 1190)]
    _, forward = run(parts, toy.vcf(tmp_path / "a.vcf", *records))
    _, backward = run(parts, toy.vcf(tmp_path / "b.vcf", *reversed(records)))
    alone = [rows(run(parts, toy.vcf(tmp_path / "c.vcf", r))[1])[0] for r in records]
    assert rows(forward) == rows(backward)[::-1] == alone


def test_empty_vcf_keeps_its_header(world, parts, tmp_path):
    stats, text = run(parts, toy.vcf(tmp_path / "x.vcf"))
    assert (
        stats.records == 0
        and text.splitlines()[-1].startswith("#CHROM")
        and "ID=SAMVAR_MAX" in text
    )


def test_wrong_build_is_named(world, parts, tmp_path):
    wrong = [
        ("c", p, {"A": "C", "C": "G", "G": "T", "T": "A"}[ref(world, p)], "A")
        for p in range(905, 925)
    ]
    path = toy.vcf(tmp_path / "x.vcf", *wrong)
    with pytest.raises(WrongBuildError, match="genome build.*--allow-ref-mismatch$"):
        run(parts, path)
    stats, _ = run(parts, path, allow_ref_mismatch=True)
    assert stats.statuses["REF_MISMATCH"] == 20


def test_a_wrong_build_is_noticed_behind_alleles_that_cannot_be_compared(world, parts, tmp_path):
    first = [("c", p, ref(world, p), "<NON_REF>") for p in range(300, 1400)]
    wrong = [
        ("c", p, {"A": "C", "C": "G", "G": "T", "T": "A"}[ref(world, p)], "*,A")
        for p in range(1400, 1420)
    ]
    with pytest.raises(WrongBuildError, match="20 of the first 20 REF"):
        run(parts, toy.vcf(tmp_path / "x.vcf", *first, *wrong))


@pytest.mark.parametrize("placeholder", ["N", "n", "NN", "R"])
def test_placeholders_in_ref_say_nothing_about_the_build(world, parts, tmp_path, placeholder):
    records = [("c", p, placeholder, "ACGTA") for p in range(905, 925)]
    stats, text = run(parts, toy.vcf(tmp_path / "x.vcf", *records, snv(world, 1000)))
    status = "NON_ACGT" if placeholder == "R" else "REF_N"
    assert stats.statuses[status] == 20 and stats.statuses["OK"] == 1


def test_records_count_where_the_headers_contigs_are_other_names(world, parts, tmp_path):
    def header(contig):
        return ("##fileformat=VCFv4.2", f"##contig=<ID={contig},length=3000>")

    stats, _ = run(
        parts, toy.vcf(tmp_path / "x.vcf", snv(world, 1000), header=header("NC_000001.11"))
    )
    assert stats.statuses["OK"] == 1
    renamed = [("zz", *snv(world, p)[1:]) for p in range(1000, 1020)]
    with pytest.raises(ContigMismatchError, match=r"\(zz\) and FASTA"):
        run(parts, toy.vcf(tmp_path / "x.vcf", *renamed, header=header("c")))
    on_decoy = toy.vcf(tmp_path / "x.vcf", *renamed, header=(*header("c"), "##contig=<ID=zz>"))
    assert run(parts, on_decoy)[0].statuses["NO_CONTIG"] == 20


def test_chrM_and_chrMT_of_one_fasta_are_two_contigs(world, parts, tmp_path):
    fasta = toy.fasta(tmp_path / "m.fa", chrM=world["bases"], chrMT=world["bases"])
    genes = [(name, "MT", strand, exons) for name, _, strand, exons in GENES]
    own = Genome(fasta), load_annotation(toy.gtf(tmp_path / "m.gtf", *genes)), parts[2]
    _, *change = snv(world, 1000)
    records = [(contig, *change) for contig in ("MT", "chrMT", "chrM")]
    found = rows(run(own, toy.vcf(tmp_path / "x.vcf", *records))[1])
    assert [r["SAMVAR_STATUS"] for r in found] == ["OK", "OK", "NO_GENE"]


def test_stats_count_attributed_alleles(world, parts, tmp_path):
    stats, text = run(parts, toy.vcf(tmp_path / "x.vcf", snv(world, 1000), snv(world, 50)))
    assert stats.attributed == 1 and "SAMVAR_RBP=" in text and stats.incomplete == 0
    assert run(parts, toy.vcf(tmp_path / "x.vcf", snv(world, 1000)), rbp_min=2.0)[0].attributed == 0


def test_contigs_without_overlap_are_named(world, parts, tmp_path):
    with pytest.raises(ContigMismatchError, match="share no contig"):
        run(parts, toy.vcf(tmp_path / "x.vcf", ("zz", 5, "A", "C")))
    strange = [("zz", i, "A", "C") for i in range(1, CHUNK + 10)]
    with pytest.raises(ContigMismatchError, match="share no contig"):
        run(parts, toy.vcf(tmp_path / "x.vcf", *strange))
    stats, _ = run(
        parts, toy.vcf(tmp_path / "x.vcf", *strange, snv(world, 1000))
    )  # one that is known, late
    assert stats.statuses["NO_CONTIG"] == len(strange) and stats.statuses["OK"] == 1
    with pytest.raises(ContigMismatchError, match="share no contig"):
        run(
            parts,
            toy.vcf(
                tmp_path / "x.vcf", header=("##fileformat=VCFv4.2", "##contig=<ID=zz,length=5>")
            ),
        )
    other = load_annotation(toy.gtf(tmp_path / "o.gtf", ("G", "zz", "+", [(1, 10)])))
    with pytest.raises(ContigMismatchError, match="annotation"):
        run((parts[0], other, parts[2]), toy.vcf(tmp_path / "y.vcf"))


def test_annotating_twice_is_refused(world, parts, tmp_path):
    _, text = run(parts, toy.vcf(tmp_path / "x.vcf", snv(world, 1000)))
    (tmp_path / "twice.vcf").write_text(text)
    with pytest.raises(VcfError, match="already"):
        run(parts, str(tmp_path / "twice.vcf"))


# ------------------------------------------------------------------------------------- command line


def samvar(*args, **more):
    return CliRunner().invoke(main, ["annotate", *map(str, args), "--threads", "1"], **more)


@pytest.fixture
def common(world):
    return ["-f", world["fasta"], "-a", world["gtf"], "--model", world["bundle"]]


def test_cli_writes_text_bgzf_and_stdout(world, common, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000))
    assert samvar(path, *common, "-o", tmp_path / "o.vcf").exit_code == 0
    assert samvar(path, *common, "-o", tmp_path / "o.vcf.gz").exit_code == 0
    result = samvar(path, *common)

    def strip(text):
        return [x for x in text.splitlines() if not x.startswith("##samvar_command")]

    text = (tmp_path / "o.vcf").read_text()
    assert strip(gzip.decompress((tmp_path / "o.vcf.gz").read_bytes()).decode()) == strip(text)
    assert strip(result.stdout) == strip(text)
    assert "1 records" in result.stderr
    assert (tmp_path / "o.vcf.gz").read_bytes()[12:14] == b"BC"


@pytest.mark.parametrize("broken", ["fasta", "gtf", "bundle", "vcf", "hash"])
def test_cli_errors_are_one_line_and_leave_nothing(world, tmp_path, broken):
    paths = {k: world[k] for k in ("fasta", "gtf", "bundle")} | {
        "vcf": toy.vcf(tmp_path / "x.vcf", snv(world, 1000))
    }
    if broken == "hash":
        shutil.copytree(world["bundle"], tmp_path / "b")
        with open(tmp_path / "b" / "am.0.safetensors", "r+b") as f:
            f.seek(-1, os.SEEK_END)
            f.write(b"\x07")
        paths["bundle"] = tmp_path / "b"
    else:
        paths[broken] = tmp_path / "missing"
    out = tmp_path / "o.vcf"
    result = samvar(
        paths["vcf"],
        "-f",
        paths["fasta"],
        "-a",
        paths["gtf"],
        "--model",
        paths["bundle"],
        "--allow-annotation-mismatch",  # the toy's introns lie in bases drawn by chance
        "-o",
        out,
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("samvar: error: ") and len(result.stderr.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("o.vcf")] == []


@pytest.mark.parametrize("option", ["-o", "--stats", "--tsv"])
@pytest.mark.parametrize("place", ["missing/x", "."])
def test_cli_outputs_that_cannot_be_written_are_named_before_the_work(
    world, common, tmp_path, option, place
):
    path, target = toy.vcf(tmp_path / "x.vcf", snv(world, 1000)), tmp_path / place
    result = samvar(path, *common, option, target)
    assert result.exit_code == 1 and not result.stdout
    assert result.stderr.startswith(f"samvar: error: cannot write {target}: ")


def test_cli_malformed_record_leaves_no_file(world, common, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000), "c\t1001\t.\tA")
    result = samvar(path, *common, "-o", tmp_path / "o.vcf")
    assert result.exit_code == 1 and "line 4" in result.stderr
    assert not list(tmp_path.glob("o.vcf*"))


def test_cli_writes_through_links_and_into_pipes(world, common, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 10))
    (tmp_path / "link.vcf").symlink_to(tmp_path / "target.vcf")
    assert samvar(path, *common, "-o", tmp_path / "link.vcf").exit_code == 0
    assert (tmp_path / "link.vcf").is_symlink() and "NO_GENE" in (
        tmp_path / "target.vcf"
    ).read_text()
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as cat:
        assert samvar(path, *common, "-o", tmp_path / "pipe").exit_code == 0
        assert b"NO_GENE" in cat.stdout.read()
    assert samvar(path, *common, "-o", tmp_path).exit_code == 1


@pytest.mark.slow
def test_failed_bgzf_on_stdout_has_no_end_marker(world, common, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", *[snv(world, 10)] * 1100, "c\t1001\t.\tA")
    command = [sys.executable, "-m", "samvar.cli", "annotate", path, *common, "-O", "z"]
    result = subprocess.run(command, capture_output=True)
    assert result.returncode == 1 and not result.stdout.endswith(BGZF_EOF)


def test_cli_usage_errors_are_exit_2(common):
    for wrong in (
        ["-W"],
        ["-W=xyz", "-o", "x.vcf.gz"],
        ["-O", "x"],
        ["-r", "c", "-R", "f"],
        ["--strict=2"],
    ):
        assert samvar("x.vcf", *common, *wrong).exit_code == 2
    assert samvar("x.vcf", "-f", "g.fa").exit_code == 2
    for more in (
        ["-D", "0"],
        ["--stats", "-"],
        ["--max-allele", "-3"],
        ["--rbp-min", "nan"],
        ["--rbp-min", "-1"],
        ["--strict=nan"],
    ):
        assert samvar("x.vcf", *common, *more).exit_code == 2


def test_the_default_threads_are_the_cpus_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 7}, raising=False)
    parent = click.Context(main, **main.context_settings)  # a command keeps its parent's -h
    for name in ("annotate", "knockout"):
        command = main.get_command(parent, name)
        made = command.make_context(name, [], parent, resilient_parsing=True)
        assert made.params["threads"] == 3


def test_a_chunk_is_scored_while_the_one_before_is_written():
    made = []
    ahead = one_ahead(made.append(i) or i for i in range(4))
    assert [(i, list(made)) for i in ahead] == [
        (0, [0, 1]),
        (1, [0, 1, 2]),
        (2, [0, 1, 2, 3]),
        (3, [0, 1, 2, 3]),
    ]
    assert list(one_ahead(iter([7]))) == [7] and list(one_ahead(iter([]))) == []


def test_a_run_that_is_broken_off_does_not_wait_for_what_is_queued(world):
    begun = []
    with Predictor(load_bundle(world["bundle"]), threads=2) as predictor:
        predictor.map(lambda i: (begun.append(i), time.sleep(0.05)), range(1000))
    assert len(begun) < 100


@pytest.mark.slow
def test_batches_annotate_as_the_workers_do(world, parts, tmp_path):
    path = toy.vcf(
        tmp_path / "x.vcf", *[snv(world, p) for p in (900, 1000, 1003, 1400)], ("c", 1200, "N", "*")
    )
    batched = Predictor(load_bundle(world["bundle"]))
    batched.batches = Batches(batched.models, torch.device("cpu"))
    (stats, text), (other, found) = run(parts, path), run((*parts[:2], batched), path)
    assert stats == other
    for a, b in zip(rows(text), rows(found)):
        assert (
            a["SAMVAR_MAX"] == b["SAMVAR_MAX"] == "."
            or abs(float(a["SAMVAR_MAX"]) - float(b["SAMVAR_MAX"])) < 2e-4
        )
        assert a.get("SAMVAR", "").count("|") == b.get("SAMVAR", "").count("|")


def test_batches_have_few_rows_of_rare_lengths_and_stay_small(world, parts, monkeypatch):
    shapes, run_batch = [], Batches._run
    monkeypatch.setattr(
        Batches,
        "_run",
        lambda self, haplotypes, flank, rows, precision: (
            shapes.append((len(haplotypes[0]), len(haplotypes), rows))
            or run_batch(self, haplotypes, flank, rows, precision)
        ),
    )
    monkeypatch.setattr("samvar.scoring.batches.ROWS", 6)
    monkeypatch.setattr("samvar.scoring.batches.RARE_ROWS", 2)
    genome, annotation, predictor = parts
    changes = [(p, "ACGT"["ACGT".index(world["bases"][p - 1]) - 1]) for p in range(1000, 1010)]
    changes += [(1020, world["bases"][1019] + "ACGTT")]
    windows = []
    for pos, alt in changes:
        variant = normalise(genome, "c", pos, world["bases"][pos - 1], alt)
        windows.append(
            make_window(
                genome,
                annotation.overlapping("c", *variant.span)[0],
                variant,
                50,
                30,
                predictor.reach,
            )
        )
    batches = Batches(predictor.models, torch.device("cpu"))
    whole = batches.score(windows)
    usual = len(windows[0].ref)
    assert {(rows, n) for length, n, rows in shapes if length == usual} == {(6, 6), (6, 2)}
    assert {rows for length, _, rows in shapes if length != usual} == {2}
    monkeypatch.setattr("samvar.scoring.batches.BASES", 3 * usual)
    shapes.clear()
    for a, b in zip(whole, batches.score(windows)):
        np.testing.assert_allclose(a[1], b[1], atol=1e-6)
    assert max(rows * length for length, _, rows in shapes) <= 3 * usual


def test_causes_are_taken_from_and_to_exact_scores(world, parts, tmp_path, monkeypatch):
    """A device's rounding is left in the residual, and does not keep the integral from settling."""
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000))
    rounded = Predictor(load_bundle(world["bundle"]))
    rounded.batches = Batches(rounded.models, torch.device("cpu"))
    monkeypatch.setattr(
        Batches,
        "score",
        lambda self, windows, precision: [
            (np.round(exact.ref, 2), np.round(exact.alt, 2))
            for exact in map(rounded.exact, windows)
        ],
    )
    causes = [
        [
            [
                c.split("|")[2:7]
                for c in row.get("SAMVAR_RBP", "").split(",")
                if c.split("|")[2:3] not in (["OTHER"], ["RESIDUAL"])
            ]
            for row in rows(run(p, path)[1])
        ]
        for p in (parts, (*parts[:2], rounded))
    ]
    assert causes[0] == causes[1] and any(causes[0])


def test_numbers_that_are_none_have_a_status(world, tmp_path):
    bundle = load_bundle(world["bundle"])
    bundle.models[0].aggregator.classes.bias.data[0] = float("nan")
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000), snv(world, 10))
    parts = Genome(world["fasta"]), load_annotation(world["gtf"]), Predictor(bundle)
    first, second = rows(run(parts, path)[1])
    assert (first["SAMVAR_STATUS"], first["SAMVAR_MAX"]) == (
        "NONFINITE",
        ".",
    ) and "SAMVAR" not in first
    assert second["SAMVAR_STATUS"] == "NO_GENE"


def test_names_are_percent_encoded(world, tmp_path):
    name = "A;B,C|D=E F%&:"
    bed = tmp_path / "g.bed"
    bed.write_text(
        "\t".join(
            [
                "c",
                "300",
                "1200",
                name,
                "0",
                "+",
                "1200",
                "1200",
                "0",
                "2",
                "200,500,",
                "0,400,",
                name,
            ]
        )
        + "\n"
    )
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000))
    result = CliRunner().invoke(
        main,
        [
            "annotate",
            path,
            "-f",
            world["fasta"],
            "-a",
            str(bed),
            "--model",
            world["bundle"],
            "--no-cache",
            "--rbp-min",
            "0",
        ],
    )
    assert result.exit_code == 0, result.stderr
    (row,) = rows(result.stdout)
    columns = row["SAMVAR"].split("|")
    assert len(columns) == 14 and [unquote(columns[i]) for i in (1, 2, 3)] == [name] * 3
    assert all(unquote(c.split("|")[1]) == name for c in row["SAMVAR_RBP"].split(","))


def test_an_unsorted_input_is_kept_in_order_but_not_indexed(world, common, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000), snv(world, 900))
    out = tmp_path / "out.vcf.gz"
    result = CliRunner().invoke(main, ["annotate", path, *common, "-o", str(out), "-W"])
    assert (
        result.exit_code == 1
        and "out of order" in result.stderr
        and "bcftools sort" in result.stderr
    )
    assert not list(tmp_path.glob("out*"))
    assert CliRunner().invoke(main, ["annotate", path, *common, "-o", str(out)]).exit_code == 0
    with gzip.open(out, "rt") as f:
        assert [line.split("\t")[1] for line in f if line[0] != "#"] == ["1000", "900"]


@pytest.mark.slow
def test_stdout_is_of_the_inputs_type_but_never_compressed_text(world, common, tmp_path):
    path = toy.vcf(
        tmp_path / "x.vcf",
        snv(world, 1000),
        header=("##fileformat=VCFv4.2", "##contig=<ID=c,length=3000>"),
    )
    pysam.tabix_compress(path, path + ".gz")
    bcf = str(tmp_path / "x.bcf")
    with (
        pysam.VariantFile(path) as source,
        pysam.VariantFile(bcf, "wb", header=source.header) as target,
    ):
        for record in source:
            target.write(record)
    text, binary = (
        subprocess.run(
            [sys.executable, "-m", "samvar.cli", "annotate", file, *common],
            check=True,
            capture_output=True,
        ).stdout
        for file in (path + ".gz", bcf)
    )
    assert text.startswith(b"##fileformat") and b"SAMVAR_MAX=" in text
    assert gzip.decompress(binary).startswith(b"BCF\x02")


def test_a_chunk_ends_at_a_number_of_records_or_of_bytes():
    small, large = (Record(line, 0, "c", 1, "A", ()) for line in (b"x", bytes(CHUNK_BYTES // 2)))
    assert [len(c) for c in chunks([small] * 7, 3)] == [3, 3, 1] and not list(chunks([], 3))
    assert [len(c) for c in chunks([small, large, large, small, large, large], 1000)] == [3, 3]


def test_a_contig_of_a_region_that_is_nowhere_is_told(world, common, tmp_path):
    header = "##fileformat=VCFv4.2", "##contig=<ID=c>", "##contig=<ID=e>"
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000), header=header)
    assert "regions on" not in samvar(path, *common, "-r", "chrc:1000,d,e").stderr
    result = samvar(path, *common, "-t", "chrZ:1-100,c:1000")
    assert (
        "x.vcf nor in " in result.stderr
        and ": chrZ; the contigs there: c, " in result.stderr
        and len(rows(result.stdout)) == 1
    )


def test_ctrl_c_is_exit_130(world, common, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("samvar.annotate.annotate", interrupted)
    out = tmp_path / "out.vcf"
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000))
    result = CliRunner().invoke(main, ["annotate", path, *common, "-o", str(out)])
    assert (
        result.exit_code == 130
        and "interrupted" in result.stderr
        and not list(tmp_path.glob("out*"))
    )


@pytest.mark.slow
@pytest.mark.parametrize("form", ["vcf", "bcf"])
def test_ctrl_c_in_a_terminal_ends_with_one_line(world, common, tmp_path, request, form):
    """All processes of a terminal's job get the signal; here, while the input waits."""
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a job in the background ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    records = [f"c\t10\t{random.Random(i).randbytes(60).hex()}\tA\tC\t.\t.\t." for i in range(3000)]
    path = toy.vcf(
        tmp_path / "x.vcf", *records, header=("##fileformat=VCFv4.2", "##contig=<ID=c,length=3000>")
    )
    with (
        pysam.VariantFile(path) as source,
        pysam.VariantFile(str(tmp_path / "x.bcf"), "wb", header=source.header) as target,
    ):
        for record in source:
            target.write(record)
    command = [
        sys.executable,
        "-m",
        "samvar.cli",
        "annotate",
        "-",
        *common,
        "--allow-ref-mismatch",
        "-o",
        tmp_path / "out.bcf",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        process.stdin.write((tmp_path / f"x.{form}").read_bytes())
        process.stdin.flush()
        while not list(tmp_path.glob("out*")) and process.poll() is None:
            time.sleep(0.1)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        stderr = process.communicate(timeout=120)[1].decode()  # to its end: no process is left
    assert "samvar: interrupted" in stderr.splitlines() and "Traceback" not in stderr
    assert process.returncode == 130 and not list(tmp_path.glob("out*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["annotate {vcf}", "explain c:1000-1100", "knockout --rbp BBB2"]
)
def test_a_closed_stdout_is_told(world, common, tmp_path, command):
    vcf = toy.vcf(tmp_path / "x.vcf", snv(world, 1000))
    command = " ".join(
        [sys.executable, "-m", "samvar.cli", command.format(vcf=vcf), *common, ">&-"]
    )
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.returncode == 1 and "samvar: error: stdout is closed" in result.stderr


def test_the_index_of_an_input_is_no_output(world, common, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000))
    assert samvar(path, *common, "-o", tmp_path / "o.vcf").exit_code == 0  # makes the index
    index = f"{world['fasta']}.fai"
    result = samvar(path, *common, "-o", index)
    assert result.exit_code == 2 and "g.fa.fai is an input" in result.stderr
    with open(index) as lines:
        assert next(lines).startswith("c\t")


def test_regions_are_no_output(world, common, tmp_path):
    regions = tmp_path / "r.txt"
    regions.write_text("c\t1\t900\n")
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000))
    for option in ("-R", "-T"):
        for output in ("-o", "--tsv", "--stats"):
            result = samvar(path, *common, option, regions, output, regions)
            assert result.exit_code == 2 and "r.txt is an input" in result.stderr
    assert regions.read_text() == "c\t1\t900\n"


def test_help_does_not_import_torch():
    code = (
        "import sys; sys.argv = ['samvar', 'annotate', '--help']\nfrom samvar.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.slow
def test_a_run_imports_no_more_than_it_needs(world, common, tmp_path):
    """Nor does the import of torch bring these, each of which costs a start."""
    path = toy.vcf(tmp_path / "x.vcf", snv(world, 1000))
    heavy = "torch._dynamo torch._inductor torch.onnx sympy networkx scipy pandas matplotlib "
    heavy += "logomaker pyarrow jinja2 fastapi uvicorn tqdm.notebook IPython"
    code = (
        "import sys\nfrom samvar.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        f"print(*set({heavy!r}.split()) & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, "annotate", path, *common, "-o", tmp_path / "o.vcf"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert "SAMVAR_STATUS=OK" in (tmp_path / "o.vcf").read_text(), result.stderr
    assert result.stdout.split() == []


@pytest.mark.slow
def test_closed_pipe_ends_quietly(world, common, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", *[snv(world, 10)] * 30_000)
    command = [sys.executable, "-m", "samvar.cli", "annotate", path, *common]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read().decode()
    process.stderr.close()
    assert "Traceback" not in stderr and "error" not in stderr
    assert process.wait() in (141, -13)
