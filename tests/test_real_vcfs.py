"""Real VCFs come back with all their bytes but INFO. Nothing is scored here: the only gene is far
from all of them."""

import gzip
import json
import re

import pytest
from click.testing import CliRunner

from samvar.cli import main

from . import toy

pytestmark = pytest.mark.slow

MOST = 3000  # records of a file


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    names = [f"{prefix}{n}" for prefix in ("", "chr") for n in (*range(1, 23), "X", "Y")]
    (folder / "m").mkdir()
    return [
        "-f",
        toy.fasta(folder / "g.fa", **{n: "ACGT" for n in names}, far="ACGT" * 50),
        "-a",
        toy.gtf(folder / "g.gtf", ("G", "far", "+", [(1, 50), (80, 150)])),
        "--model",
        toy.bundle(folder / "m"),
    ]


def annotated(folder, files, data):
    path, out, stats = folder / "in.vcf", folder / "out.vcf", folder / "stats.json"
    path.write_bytes(data)
    result = CliRunner().invoke(
        main, ["annotate", str(path), *files, "-o", str(out), "--stats", str(stats)]
    )
    assert result.exit_code == 0, result.stderr
    return out.read_bytes(), json.loads(stats.read_text())


def check(before, after, stats):
    old, new = (re.findall(rb"[^\n]*\n|[^\n]+", text) for text in (before, after))
    header = [line for line in new if line.startswith(b"#")]
    added = [h for h in header if h.startswith((b"##samvar_", b"##INFO=<ID=SAMVAR"))]
    assert [h for h in header if h not in added] == [line for line in old if line.startswith(b"#")]
    assert header[-1].startswith(b"#CHROM") and header[-1 - len(added) : -1] == added
    old, new = ([line for line in lines if not line.startswith(b"#")] for lines in (old, new))
    assert len(old) == len(new) == stats["records"]
    alleles = 0
    for a, b in zip(old, new):
        if a.split(b"\t")[4] == b".":
            assert a == b
            continue
        a, b = a.split(b"\t", 8), b.split(b"\t", 8)
        end = len(a[7]) - len(a[7].rstrip(b"\r\n")) if len(a) == 8 else 0
        own, ending = (a[7][: len(a[7]) - end], a[7][len(a[7]) - end :])
        assert a[:7] == b[:7] and a[8:] == b[8:] and b[7].endswith(ending)
        added = b[7][0 if own == b"." else len(own.removesuffix(b";")) :].removeprefix(b";")
        assert (b[7].startswith(own.removesuffix(b";")) or own == b".") and added.startswith(
            b"SAMVAR_MAX="
        )
        status = added.split(b"SAMVAR_STATUS=")[1].split(b";")[0].strip().split(b",")
        assert len(status) == len(a[4].split(b","))
        alleles += len(status)
    assert alleles == stats["alleles"] == sum(stats["statuses"].values())


@pytest.mark.parametrize(
    "name",
    [
        "1kgp3_chr20_1-2Mb.hg19.vcf.gz",
        "GM12878_ENCSR792OIJ_variants.vcf.gz",
        "bio2zarr_NA12878_chr20snippet.g.vcf.gz",
        "ensembl-rest_1kgp1_chr22.vcf.gz",
        "happy_PG_NA12878_hg38_chr21.vcf.gz",
        "happy_performance.vcf.gz",
    ],
)
def test_real_files_keep_their_bytes(shared, files, tmp_path, name):
    path = shared(f"vcf/{name}")
    with (gzip.open if name.endswith("gz") else open)(path, "rb") as f:
        lines, records = [], 0
        for line in f:
            lines.append(line)
            records += not line.startswith(b"#")
            if records == MOST:
                break
    data = b"".join(lines)
    check(data, *annotated(tmp_path, files, data))


def test_a_real_file_without_header_is_refused(shared, files):
    result = CliRunner().invoke(
        main, ["annotate", shared("vcf/ensembl-rest_wgs.phase1.subset.vcf"), *files]
    )
    assert result.exit_code == 1 and "before any #CHROM line" in result.stderr and not result.stdout


COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
RECORD = b"far\t5\tx;y\tA\tC,<DEL>\t1e-3\tq10\t"


@pytest.mark.parametrize(
    "data",
    [
        b"##fileformat=VCFv4.2\r\n" + COLUMNS + b"\r\n" + RECORD + b"A=1;B\r\n" + RECORD + b".\r\n",
        COLUMNS + b"\n" + RECORD + b"NEW=\xe9;;X",
        COLUMNS + b"\n" + RECORD + b".",
        COLUMNS
        + b"\tFORMAT\tS1\n"
        + RECORD
        + b"A=1;\tGT\t0/1\n"
        + b"nowhere\t5\t.\tA\t.\t.\t.\tDP=1\tGT\t./.",
        b'##INFO=<ID=SAMVAR_OTHER,Number=1,Type=Flag,Description="x">\n'
        + COLUMNS
        + b"\n"
        + RECORD
        + b"SAMVAR_OTHER\n",
        COLUMNS + b"\n",
    ],
    ids=["crlf", "no last newline", "no INFO", "samples", "a like key", "no record"],
)
def test_made_up_files_keep_their_bytes(files, tmp_path, data):
    after, stats = annotated(tmp_path, files, data)
    if b"SAMVAR_OTHER" in data:
        after, data = (
            x.replace(b"##INFO=<ID=SAMVAR_OTHER", b"##INFO=<ID=OTHER") for x in (after, data)
        )
    check(data, after, stats)


def test_overwrite_gives_the_first_run_again(files, tmp_path):
    data = b"##fileformat=VCFv4.2\n" + COLUMNS + b"\n" + RECORD + b"A=1\n" + RECORD + b".\n"
    once, _ = annotated(tmp_path, files, data)
    assert CliRunner().invoke(main, ["annotate", str(tmp_path / "out.vcf"), *files]).exit_code == 1
    again = (
        CliRunner()
        .invoke(main, ["annotate", str(tmp_path / "out.vcf"), *files, "--overwrite"])
        .stdout_bytes
    )
    drop = re.compile(rb"##samvar_command[^\n]*\n")
    assert drop.sub(b"", again) == drop.sub(b"", once)


@pytest.mark.parametrize("value, code", [("--strict", 3), ("--strict=0.5", 3), ("--strict=1", 0)])
def test_strict_exits_with_3_and_keeps_the_file(files, tmp_path, value, code):
    path = toy.vcf(
        tmp_path / "x.vcf", ("far", 5, "A", "C"), ("far", 6, "T", "C"), ("far", 7, "T", "C")
    )
    out = tmp_path / "out.vcf"
    assert (
        CliRunner().invoke(main, ["annotate", path, *files, "-o", str(out), value]).exit_code
        == code
    )
    assert out.read_text().count("SAMVAR_STATUS=REF_MISMATCH") == 2
