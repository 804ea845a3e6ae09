"""Whatever the files hold: no traceback, no lost record, no half-written output."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from samvar.cli import main

from . import toy

pytestmark = pytest.mark.slow

BASES = toy.random_bases(900, seed=8)
BOUNDED = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS\n"
HEADER = b"##fileformat=VCFv4.2\n##contig=<ID=c,length=900>\n" + COLUMNS
FIELD = [
    st.sampled_from([b"c", b"chrc", b"MT", b"", b".", b"c\x00"]),
    st.sampled_from(
        [b"5", b"300", b"899", b"900", b"901", b"0", b"-1", b"1e3", b"", b"9" * 20, b"+3"]
    ),
    st.just(b"."),
    st.sampled_from(
        [BASES[299:300].encode(), BASES[299:330].encode(), b"N", b"ac", b"", b".", b"A,C", b"\xe9"]
    ),
    st.sampled_from(
        [b"A", b"C,G", b".", b"*", b"<DEL>", b"A[c:5[", b",", b"A,,C", b"ACGT" * 99, b"a", b"<*>"]
    ),
    st.sampled_from([b".", b"1e9", b"x"]),
    st.sampled_from([b".", b"PASS", b"q;r"]),
    st.sampled_from(
        [b".", b"", b"A=1;B", b";", b"=", b"END=5", b"END=x", b"A=1;;", b"SAMVAR=1", b"\xff\x00"]
    ),
    st.just(b"GT"),
    st.just(b"0/1"),
]
LINE = st.tuples(*FIELD).map(b"\t".join) | st.binary(max_size=60).map(
    lambda b: b.replace(b"\n", b" ")
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "m").mkdir()
    gtf = toy.gtf(folder / "g.gtf", ("G", "c", "+", [(101, 300), (401, 800)]))
    return [
        "-f",
        toy.fasta(folder / "g.fa", c=BASES),
        "-a",
        gtf,
        "--model",
        toy.bundle(folder / "m", flank=10),
        "--allow-annotation-mismatch",  # its intron lies in bases drawn by chance
    ]


def run(folder, *args):
    """(exit code, stderr, bytes written or None)."""
    out = folder / "out.vcf"
    if out.exists():
        out.unlink()
    result = CliRunner().invoke(main, ["annotate", *args, "-o", str(out), "--threads", "1"])
    assert result.exit_code in (0, 1), (result.exit_code, result.stderr)
    assert "internal error" not in result.stderr and "Traceback" not in result.stderr, result.stderr
    if result.exit_code == 1:
        assert result.stderr.startswith("samvar: error: ") and result.stderr.count("\n") == 1, (
            result.stderr
        )
        assert not out.exists()
        return result
    return out.read_bytes()


def columns(data):
    lines = [x.split(b"\t") for x in data.split(b"\n") if x.strip() and not x.startswith(b"#")]
    return [x[:7] + x[8:] for x in lines]


@BOUNDED
@given(st.lists(LINE, max_size=4), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
@example(
    [b"c\t300\t.\t" + BASES[299:300].encode() + b"\tACGT,<X>,*\t.\t.\t.\tGT\t0/1"], b"\n", True
)
def test_records(files, tmp_path, lines, end, last):
    data = HEADER.replace(b"\n", end) + end.join(lines) + (end if last else b"")
    path = tmp_path / "x.vcf"
    path.write_bytes(data)
    after = run(tmp_path, str(path), *files)
    if isinstance(after, bytes):
        assert columns(after) == columns(data)
        for line in after.split(b"\n"):
            f = line.split(b"\t")
            if len(f) > 7 and not line.startswith(b"#") and f[4] not in (b".", b""):
                assert f[7].count(b"SAMVAR_STATUS=") == 1


def damaged(data, seed):
    """Bytes changed, dropped, doubled or cut off."""
    rng = random.Random(seed)
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        how = rng.randrange(4)
        if how == 0:
            data[at] = rng.randrange(256)
        elif how == 1:
            del data[at : at + rng.randrange(1, 40)]
        elif how == 2:
            data[at:at] = data[at : at + rng.randrange(1, 40)]
        else:
            data[at : at + 1] = rng.choice(
                [b"\t", b"\n", b"\0", b"\xe9", b";", b'"', b"-1", b"99999999999"]
            )
        data = data or bytearray(b"x")
    return bytes(data)


@BOUNDED
@given(st.integers(0, 10**6))
def test_damaged_vcf(files, tmp_path, seed):
    path = tmp_path / "x.vcf"
    whole = HEADER + b"".join(
        b"c\t%d\tid\t%s\tT\t9\tPASS\tA=1;B\tGT\t0/1\n" % (p, BASES[p - 1 : p].encode())
        for p in (50, 299, 301, 640)
    )
    path.write_bytes(damaged(whole, seed))
    after = run(tmp_path, str(path), *files)
    if isinstance(after, bytes):
        assert columns(after) == columns(path.read_bytes())


ANNOTATIONS = dict(
    gtf=b'#!x\nc\tx\tgene\t101\t800\t.\t+\t.\tgene_id "G";\n'
    + b"".join(
        b"c\tx\texon\t%d\t%d\t.\t+\t.\t"
        b'gene_id "G"; transcript_id "T"; gene_name "N"; tag "basic";\n' % e
        for e in ((101, 300), (401, 800))
    ),
    gff3=b"##gff-version 3\nc\tx\tgene\t101\t800\t.\t+\t.\tID=gene:G;Name=N\n"
    b"c\tx\tmRNA\t101\t800\t.\t+\t.\tID=t;Parent=gene:G\n"
    b"c\tx\texon\t101\t300\t.\t+\t.\tParent=t\nc\tx\texon\t401\t800\t.\t+\t.\tParent=t\n",
    bed12=b"c\t100\t800\tT\t0\t+\t100\t800\t0\t2\t200,400,\t0,300,\tG\n",
    spliceai=b"#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\n"
    b"G\tc\t+\t100\t800\t100,400,\t300,800,\n",
    canonical=b"gene\thas_paralog\tchrom\tstrand\ttx_start1\ttx_end1\texon_ends1\texon_starts1\n"
    b"G\t0\tc\t+\t101\t800\t300,\t401,\n",
)


@pytest.mark.parametrize("kind", ANNOTATIONS)
@settings(BOUNDED, max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_damaged_annotation(files, tmp_path, kind, seed):
    vcf = toy.vcf(tmp_path / "x.vcf", ("c", 290, BASES[289], "A" if BASES[289] != "A" else "C"))
    path = tmp_path / "genes"
    path.write_bytes(damaged(ANNOTATIONS[kind], seed))
    run(tmp_path, vcf, *files[:3], str(path), *files[4:])


@BOUNDED
@given(st.integers(0, 10**6), st.booleans())
def test_damaged_fasta_and_index(files, tmp_path, seed, index):
    vcf = toy.vcf(tmp_path / "x.vcf", ("c", 290, BASES[289], "A" if BASES[289] != "A" else "C"))
    path = toy.fasta(tmp_path / "g.fa", c=BASES, d="ACGT")
    if index:
        run(tmp_path, vcf, "-f", path, *files[2:])
    victim = path + ".fai" if index else path
    with open(victim, "rb") as f:
        data = damaged(f.read(), seed)
    with open(victim, "wb") as f:
        f.write(data)
    run(tmp_path, vcf, "-f", path, *files[2:])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_no_file_or_a_whole_one(files, tmp_path, number):
    path = toy.vcf(
        tmp_path / "x.vcf", *[("c", 10, BASES[9], "A" if BASES[9] != "A" else "C")] * 20_000
    )
    out = tmp_path / "out.vcf"
    command = [sys.executable, "-m", "samvar.cli", "annotate", path, *files, "-o", str(out)]
    started = time.monotonic()
    assert subprocess.run(command, capture_output=True).returncode == 0
    whole, seconds = out.read_bytes(), time.monotonic() - started
    for share in (0.5, 0.8, 0.97):
        out.unlink(missing_ok=True)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            time.sleep(share * seconds)
            process.send_signal(number)
        assert process.returncode in (0, -number, 128 + number)
        assert not out.exists() or out.read_bytes() == whole
        left = [n for n in os.listdir(tmp_path) if ".part" in n]
        assert number == signal.SIGKILL or not left
        for name in left:
            (tmp_path / name).unlink()


@pytest.mark.parametrize("form, records", [("v", 3000), ("v", 1), ("z", 3000), ("b", 3000)])
def test_a_full_disk_is_an_error(files, tmp_path, form, records):
    path = toy.vcf(
        tmp_path / "x.vcf",
        *[("c", 10, BASES[9], "A" if BASES[9] != "A" else "C")] * records,
        header=("##fileformat=VCFv4.2", "##contig=<ID=c,length=900>"),
    )
    command = [sys.executable, "-m", "samvar.cli", "annotate", path, *files, "-O", form]
    with open("/dev/full", "wb") as full:
        to_stdout = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    to_file = subprocess.run([*command, "-o", "/dev/full"], capture_output=True, text=True)
    for result in (to_stdout, to_file):
        assert result.returncode == 1, result
        assert "samvar: error: " in result.stderr and "Traceback" not in result.stderr
    assert "cannot write /dev/full" in to_file.stderr
