"""samvar's output under the real bcftools and tabix."""

import gzip
import os
import subprocess
import sys

import pysam
import pytest
from click.testing import CliRunner

from samvar.cli import main
from samvar.info import FIELDS

from . import toy
from .tools import need

pytestmark = pytest.mark.slow

BASES = toy.random_bases(3000, seed=5)
CHANGE = {"A": "C", "C": "G", "G": "T", "T": "A"}
HEADER = (
    "##fileformat=VCFv4.2",
    "##contig=<ID=c,length=3000>",
    '##INFO=<ID=END,Number=1,Type=Integer,Description="x">',
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="x">',
    '##ALT=<ID=DEL,Description="x">',
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">',
)


def snv(pos, info="DP=3"):
    return f"c\t{pos}\t.\t{BASES[pos - 1]}\t{CHANGE[BASES[pos - 1]]}\t.\tPASS\t{info}\tGT\t0/1"


def deletion(pos, n):
    return f"c\t{pos}\t.\t{BASES[pos - 1 : pos + n]}\t{BASES[pos - 1]}\t.\tPASS\t.\tGT\t0/1"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    need("bcftools", "tabix", "bgzip")
    folder = tmp_path_factory.mktemp("interop")
    (folder / "m").mkdir()
    files = [
        "-f",
        toy.fasta(folder / "g.fa", c=BASES),
        "-a",
        toy.gtf(folder / "g.gtf", ("G1", "c", "+", [(301, 500), (701, 2400)])),
        "--model",
        toy.bundle(folder / "m"),
        "--no-version",
        "--threads",
        "1",
    ]
    two = ",".join(b for b in "ACGT" if b != BASES[699])
    records = [
        snv(10),
        snv(690),
        deletion(695, 12),
        f"c\t700\t.\t{BASES[699]}\t{two}\t.\tPASS\tDP=1\tGT\t1/2",
        f"c\t702\t.\t{BASES[701]}\t{BASES[701]}ACG\t.\tPASS\tDP=1\tGT\t0/1",
        f"c\t705\t.\t{BASES[704]}\t<DEL>\t.\tPASS\tEND=720\tGT\t0/1",
        snv(710),
        snv(716),
        deletion(718, 5),
        snv(719),
        snv(900, "."),
    ]
    path = toy.vcf(folder / "x.vcf", *records, header=HEADER, columns="\tFORMAT\tS")
    sh(
        f"bgzip -k {path} && tabix -p vcf {path}.gz && bcftools view -Ob -o {folder}/x.bcf {path} "
        "&& "
        f"bcftools index {folder}/x.bcf && cp {path}.gz {folder}/csi.vcf.gz && bcftools index -c "
        f"{folder}/csi.vcf.gz"
    )
    out = str(folder / "out.vcf")
    samvar(path, *files, "-o", out)
    return dict(folder=folder, files=files, vcf=path, out=out)


def sh(command, **options):
    return subprocess.run(
        command, shell=True, check=True, capture_output=True, text=True, **options
    )


def samvar(*args, fails=False):
    result = CliRunner().invoke(main, ["annotate", *map(str, args)])
    assert (result.exit_code != 0) == fails, result.stderr
    return result


def test_bcftools_reads_the_output_without_a_warning(world):
    for path in (world["vcf"], world["out"]):
        assert sh(f"bcftools view --no-version {path}").stderr == ""
    in_gene = "-i 'SAMVAR_STATUS!=\"NO_GENE\"'"
    values = sh(f"bcftools query {in_gene} -f '%POS %SAMVAR_MAX %SAMVAR_STATUS\\n' {world['out']}")
    assert values.stderr == "" and values.stdout.splitlines()[0].startswith("690 0.")
    assert "705 . SYMBOLIC" in values.stdout and "OK,OK,OK" in values.stdout


def test_norm_splits_the_per_allele_fields(world):
    split = sh(
        f"bcftools norm -m- {world['out']} | bcftools query -f '%POS %ALT %SAMVAR_MAX "
        "%SAMVAR_STATUS\\n'"
    ).stdout
    whole = (
        sh(f"bcftools query -f '%SAMVAR_MAX\\n' -i 'POS=700' {world['out']}")
        .stdout.strip()
        .split(",")
    )
    assert [line.split()[2] for line in split.splitlines() if line.startswith("700 ")] == [
        str(float(v)) for v in whole
    ]


def test_split_vep_takes_the_packed_fields_apart(world):
    rename = "sed '/ID=SAMVAR,/s/|STRAND|/|Consequence|/'"
    columns = "-d -f '%POS %ALLELE %SYMBOL %DS_AL\\n'"
    table = sh(f"{rename} {world['out']} | bcftools +split-vep - -a SAMVAR {columns}").stdout
    with open(world["out"]) as f:
        packed = [
            (line.split("\t")[1], row.split("|"))
            for line in f
            if "SAMVAR=" in line
            for row in line.split("SAMVAR=")[1].split(";")[0].split("\t")[0].split(",")
        ]
    assert table.splitlines() == [f"{pos} {row[0]} {row[1]} {row[6]}" for pos, row in packed]


def test_annotate_removes_the_fields(world):
    keys = ",".join(f"INFO/{field.key}" for field in FIELDS)
    bare = sh(f"bcftools annotate -x {keys} {world['out']} | bcftools view -H").stdout
    assert bare == sh(f"bcftools view -H {world['vcf']}").stdout


def test_one_pipe_through_stdin_and_stdout(world):
    command = " ".join([sys.executable, "-m", "samvar.cli", "annotate", "-", *world["files"]])
    piped = sh(
        f"bcftools view --no-version {world['vcf']} | {command} 2>/dev/null | bcftools view "
        "--no-version -H"
    )
    assert piped.stderr == "" and piped.stdout == sh(f"bcftools view -H {world['out']}").stdout


@pytest.mark.parametrize("form, flag", [("vcf.gz", "-W=tbi"), ("vcf.gz", "-W"), ("bcf", "-W")])
def test_outputs_are_indexed_and_the_same_in_every_form(world, form, flag):
    out = world["folder"] / f"indexed{flag}.{form}"
    samvar(world["folder"] / "x.bcf", *world["files"], "-o", out, flag)
    everything = sh(f"bcftools view -H {world['out']}").stdout
    assert sh(f"bcftools view -H {out}").stdout == everything
    assert sh(f"bcftools view -H -r c:1-3000 {out}").stdout == everything
    high = sh(f"bcftools query -i 'SAMVAR_MAX>=0' -f '%POS\\n' {out}").stdout
    assert high == sh(f"bcftools query -i 'SAMVAR_MAX>=0' -f '%POS\\n' {world['out']}").stdout != ""


@pytest.mark.parametrize("overlap, number", [("pos", 0), ("record", 1), ("variant", 2)])
@pytest.mark.parametrize(
    "regions",
    [
        "c:700-716",
        "c:707-708",
        "c:702",
        "c:703-705",
        "c:702-703",
        "c:719-730,c:700-706,c:704-709",
        "c",
    ],
)
def test_regions_select_what_bcftools_selects(world, overlap, number, regions):
    expected = sh(
        f"bcftools view -H -r {regions} --regions-overlap {number} {world['vcf']}.gz | cut -f 1-5"
    ).stdout
    for source in ("x.vcf", "x.vcf.gz", "csi.vcf.gz", "x.bcf"):
        got = samvar(
            world["folder"] / source,
            *world["files"],
            "-O",
            "v",
            "-r",
            regions,
            "--regions-overlap",
            overlap,
        )
        lines = [line for line in got.stdout.splitlines() if not line.startswith("#")]
        assert "".join("\t".join(line.split("\t")[:5]) + "\n" for line in lines) == expected, source


@pytest.mark.parametrize("source", ["x.bcf", "x.vcf", "x.vcf.gz"])
def test_files_that_are_pipes(world, source):
    """As `<(bcftools view ...)` of a shell gives them: no file to open twice."""
    command = " ".join(
        [
            sys.executable,
            "-m",
            "samvar.cli",
            "annotate",
            f"<(cat {world['folder'] / source})",
            "-O",
            "v",
            *world["files"],
        ]
    )
    got = sh(f"bash -c '{command}' | grep -v '^#'").stdout
    assert got == sh(f"grep -v '^#' {world['out']}").stdout


def test_a_new_index_takes_the_place_of_the_other_kind(world, tmp_path):
    out = tmp_path / "o.vcf.gz"
    for flag, there, gone in (("-W=tbi", "tbi", "csi"), ("-W", "csi", "tbi")):
        samvar(world["vcf"], *world["files"], "-o", out, flag)
        assert (tmp_path / f"o.vcf.gz.{there}").exists() and not (
            tmp_path / f"o.vcf.gz.{gone}"
        ).exists()
    again = samvar(out, *world["files"], "--overwrite", "-r", "c:690-700", "-o", tmp_path / "p.vcf")
    assert "older" not in again.stderr
    os.utime(tmp_path / "o.vcf.gz.csi", (0, 0))
    again = samvar(out, *world["files"], "--overwrite", "-r", "c:690-700", "-o", tmp_path / "p.vcf")
    assert "o.vcf.gz.csi is older than" in again.stderr


@pytest.mark.parametrize("version", ["VC\x02v4.2", "", "BCFv2.2"])
def test_a_first_line_by_which_htslib_knows_no_vcf_is_named(world, tmp_path, version):
    header = (f"##fileformat={version}", *HEADER[1:])
    path = toy.vcf(tmp_path / "x.vcf", snv(10) + "\t0/1", header=header, columns="\tFORMAT\tS")
    failed = samvar(path, *world["files"], "-o", tmp_path / "out.bcf", fails=True)
    told = ascii(header[0])
    assert f"line 1 of the header is {told}" in failed.stderr
    assert not (tmp_path / "out.bcf").exists()
    samvar(path, *world["files"], "-o", tmp_path / "out.vcf")


def test_a_header_that_htslib_refuses_is_named(world, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", snv(10) + "\t0/1", header=HEADER, columns="\tFORMAT\tS\tS")
    failed = samvar(path, *world["files"], "-o", tmp_path / "out.bcf", fails=True)
    assert "htslib refuses the header (two samples are called 'S')" in failed.stderr
    assert not (tmp_path / "out.bcf").exists()
    path = toy.vcf(tmp_path / "x.vcf", snv(10) + "\t", header=HEADER, columns="\tFORMAT")
    failed = samvar(path, *world["files"], "-o", tmp_path / "out.bcf", fails=True)
    assert "htslib refuses the header (it says above why)" in failed.stderr


def test_what_bcf_needs_declared_is_named(world, tmp_path):
    path = toy.vcf(tmp_path / "x.vcf", "c\t10\t.\tA\tC\t.\t.\tNEW=1", header=HEADER)
    failed = samvar(
        path, *world["files"], "-o", tmp_path / "out.bcf", "--allow-ref-mismatch", fails=True
    )
    assert "INFO NEW is not declared" in failed.stderr
    assert not (tmp_path / "out.bcf").exists()


def test_truncated_bcf_is_noticed(world, tmp_path):
    path = tmp_path / "x.bcf"
    path.write_bytes((world["folder"] / "x.bcf").read_bytes()[:-28])
    assert (
        "truncated" in samvar(path, *world["files"], "-o", tmp_path / "out.vcf", fails=True).stderr
    )
    command = [
        sys.executable,
        "-m",
        "samvar.cli",
        "annotate",
        "-",
        *world["files"],
        "-o",
        str(tmp_path / "out.vcf"),
    ]
    with open(path, "rb") as stdin:
        failed = subprocess.run(command, stdin=stdin, capture_output=True, text=True)
    assert (
        failed.returncode == 1
        and "truncated" in failed.stderr
        and not (tmp_path / "out.vcf").exists()
    )


def test_spliceai_layout_and_table(world, tmp_path):
    table, out = tmp_path / "t.tsv", tmp_path / "o.vcf"
    samvar(world["vcf"], *world["files"], "--spliceai-compat", "--tsv", table, "-o", out)
    header, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    assert header[:7] == ["CHROM", "POS", "ID", "REF", "ALT", "STATUS", "SYMBOL"]
    with pysam.VariantFile(str(out)) as f:
        records = list(f)
    assert len(rows) == sum(len(r.alts) for r in records)
    for record in records:
        ours, theirs = record.info.get("SAMVAR", ()), record.info.get("SpliceAI", ())
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            a, b = a.split("|"), b.split("|")
            assert a[:2] == b[:2] and [v.split("+")[0] for v in a[9:13]] == b[6:]
            assert all(
                abs(float(x) - float(y)) <= 0.0051 and len(y) == 4 for x, y in zip(a[5:9], b[2:6])
            )
            assert [str(record.pos), a[0], a[1]] in [[r[1], r[4], r[6]] for r in rows]
    zipped = tmp_path / "t.tsv.gz"
    samvar(world["vcf"], *world["files"], "-o", tmp_path / "other.vcf", "--tsv", zipped)
    assert gzip.decompress(zipped.read_bytes()) == table.read_bytes()
    for more in (["--tsv", out], ["--stats", out]):
        same = CliRunner().invoke(
            main, ["annotate", world["vcf"], *world["files"], "-o", str(out), *map(str, more)]
        )
        assert same.exit_code == 2 and "two outputs have the same name" in same.stderr
    for more in (
        ["--tsv", world["vcf"]],
        ["--stats", world["files"][1]],
        ["-o", world["files"][3]],
    ):
        lost = CliRunner().invoke(main, ["annotate", world["vcf"], *world["files"], *more])
        assert lost.exit_code == 2 and "is an input" in lost.stderr
    failed = samvar(out, *world["files"], "--spliceai-compat", fails=True)
    assert (
        "already has SAMVAR, SAMVAR_EVENT, SAMVAR_MAX, SAMVAR_RBP, SAMVAR_STATUS, SpliceAI"
        in failed.stderr
    )
    again = samvar(out, *world["files"], "--spliceai-compat", "--overwrite").stdout_bytes
    assert again == out.read_bytes()
    without = samvar(out, *world["files"], "--overwrite", "--mask").stdout_bytes
    assert b"SAMVAR=" in without and b"SpliceAI" not in without.replace(b"--spliceai-compat", b"")
    theirs = tmp_path / "theirs.vcf"
    theirs.write_bytes(
        out.read_bytes().replace(b"Splice deltas of samvar", b"SpliceAIv1.3.1 variant annotation")
    )
    kept = samvar(theirs, *world["files"], "--overwrite").stdout_bytes
    assert kept.count(b"SpliceAI=") == out.read_bytes().count(b"SpliceAI=") > 0
    refused = samvar(theirs, *world["files"], "--spliceai-compat", "--overwrite", fails=True)
    assert "already has SpliceAI; it is another program's" in refused.stderr
