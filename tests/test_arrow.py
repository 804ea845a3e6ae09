"""`samvar.arrow`: record batches in, record batches out, the digits of `annotate`."""

import os
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner

import samvar
from samvar import info
from samvar.cli import main

from . import toy

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

BASES = toy.random_bases(1500, seed=11)
OTHER = dict(zip("ACGT", "CGTA"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrow")
    genes = (
        ("G", "c", "-", [(501, 700), (801, 900), (1001, 1400)]),
        ("H", "c", "+", [(601, 700), (1001, 1100), (1201, 1300)]),
    )
    fasta = toy.fasta(folder / "g.fa", c=BASES)
    return fasta, toy.gtf(folder / "g.gtf", *genes), toy.bundle(folder)


ALLELES = [
    ("c", pos, BASES[pos - 1], alt)
    for pos, alt in [(700, OTHER[BASES[699]]), (850, "<DEL>"), (1005, "ACGT"), (20, "N")]
]


def batch(alleles=ALLELES, **more):
    columns = dict(zip(("CHROM", "POS", "REF", "ALT"), map(list, zip(*alleles))))
    return pa.RecordBatch.from_pydict(columns | more)


def test_rows_are_those_of_the_flat_table(files, tmp_path):
    from samvar.arrow import SCHEMA, score_batch

    options = samvar.Options(rbp_min=0.0)
    found = score_batch(batch(ID=["a", "b", "c", "d"]), *files, options)
    assert found.schema == SCHEMA
    vcf = toy.vcf(tmp_path / "x.vcf", *ALLELES)
    common = ["-f", files[0], "-a", files[1], "--model", files[2], "--rbp-min", "0"]
    table, parquet = tmp_path / "x.tsv", tmp_path / "x.parquet"
    more = ["--tsv", str(table), "--parquet", str(parquet)]
    output = CliRunner().invoke(main, ["annotate", vcf, *common, *more]).stdout
    columns, *lines = (line.split("\t") for line in table.read_text().splitlines())
    kept = [i for i, name in enumerate(columns) if name in SCHEMA.names]  # no line for each event
    lines = list(dict.fromkeys(tuple(line[i] for i in kept) for line in lines))
    columns = [columns[i] for i in kept]
    assert {"STATUS", "SYMBOL", "DS_AG", "DP_DL", "SD"} <= set(columns)
    rows = found.to_pylist()
    assert len(rows) == len(lines) > len(ALLELES)
    for row, line in zip(rows, lines):
        row = row | dict(ID=".")
        for name, text in zip(columns, line):
            value = row[name]
            if text == ".":
                assert value is None or name == "ID"
            elif name.startswith("DP_"):
                assert value == int(text.partition("+")[0])
            else:
                assert text == (f"{value:.4f}" if isinstance(value, float) else str(value))
    assert [row["ID"] for row in rows] == sorted(row["ID"] for row in rows)
    written = pq.read_table(parquet)
    assert written.drop_columns("ID").equals(pa.Table.from_batches([found]).drop_columns("ID"))
    causes = [c for row in rows for c in row["CAUSES"] or ()]
    assert causes and all(f"|{c['EFFECT']:.4f}|{c['DELTA']}" in output for c in causes)
    events = [e for row in rows for e in row["EVENTS"] or ()]
    assert events and all(e in output for e in events)


@pytest.mark.parametrize(
    "peak, expected",
    [
        (("c", 500, 1400, "AAA1_K562", 0, "-"), ["K562"]),
        (("c", 500, 1400, "AAA1_K562", 0, "+"), []),  # on the other strand
        (("c", 500, 1400, "BBB2_K562", 0, "-"), None),
    ],
)
def test_second_opinions_are_columns_of_the_causes_where_they_are_asked_for(
    files, tmp_path, peak, expected
):
    from samvar.arrow import SCHEMA, schema_with, score_batch

    peaks = tmp_path / "peaks.bed"
    peaks.write_text("\t".join(map(str, peak)) + "\n")
    allele = ("c", 1010, BASES[1009], OTHER[BASES[1009]])
    options = samvar.Options(rbp_min=0.0)
    plain = score_batch(batch([allele]), *files, options)
    asked = score_batch(batch([allele]), *files, options, peaks=str(peaks))
    assert asked.schema == schema_with([info.PEAK]) != SCHEMA == plain.schema
    before, after = (
        [c for row in found.to_pylist() for c in row["CAUSES"]] for found in (plain, asked)
    )
    assert before == [{k: v for k, v in c.items() if k != "PEAK"} for c in after]
    told = {c["RBP"]: c["PEAK"] for c in after}
    assert told["AAA1"] == expected and told["LSSI_A"] is None
    vcf, parquet = toy.vcf(tmp_path / "x.vcf", allele), tmp_path / "x.parquet"
    common = ["-f", files[0], "-a", files[1], "--model", files[2], "--rbp-min", "0"]
    more = ["--parquet", str(parquet), "--peaks", str(peaks)]
    assert CliRunner().invoke(main, ["annotate", vcf, *common, *more]).exit_code == 0
    written = pq.read_table(parquet).drop_columns("ID")
    assert written.equals(pa.Table.from_batches([asked]).drop_columns("ID"))


def test_pieces_give_what_the_whole_gives(files):
    from samvar.arrow import score_batch

    whole = batch()
    pieces = [score_batch(whole.slice(i, 1), *files) for i in range(len(whole))]
    assert pa.Table.from_batches(pieces).equals(pa.Table.from_batches([score_batch(whole, *files)]))
    assert score_batch(whole.slice(0, 0), *files).num_rows == 0


def test_a_process_keeps_one_scorer_for_its_arguments(files):
    from samvar import arrow

    arrow._scorer.cache_clear()
    arrow.score_batch(batch(), *files)
    arrow.score_batch(batch(), *files)
    assert arrow._scorer.cache_info().misses == 1
    pickle.loads(pickle.dumps(arrow.score_batch))  # as engines send it to their workers


@pytest.mark.parametrize(
    "broken, message",
    [
        (dict(ALT=["A", None, "A", "A"]), "row 1 of the batch .* has no ALT"),
        (dict(POS=["x", "2", "3", "4"]), "column POS"),
        (dict(POS=[5, 2, -1, 4]), "row 2 of the batch .* POS must be 1 or more, not -1"),
    ],
)
def test_a_batch_that_holds_no_alleles_is_refused(files, broken, message):
    from samvar.arrow import score_batch

    with pytest.raises(samvar.SamvarError, match=message):
        score_batch(pa.RecordBatch.from_pydict(batch().to_pydict() | broken), *files)
    with pytest.raises(samvar.SamvarError, match="no column REF, ALT: it needs CHROM"):
        score_batch(batch().select(["CHROM", "POS"]), *files)


@pytest.mark.slow
def test_the_package_works_without_pyarrow(files):
    """Only `samvar.arrow` imports it."""
    import subprocess
    import sys

    code = "import sys, samvar; samvar.load; assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


@pytest.mark.slow
def test_ray_with_two_actors_gives_what_one_process_gives(files, tmp_path):
    pytest.importorskip("ray")
    import subprocess
    import sys

    from samvar.arrow import score_batch

    alleles = [("c", pos, BASES[pos - 1], OTHER[BASES[pos - 1]]) for pos in range(680, 760, 4)]
    vcf = toy.vcf(
        tmp_path / "x.vcf", *alleles, header=("##fileformat=VCFv4.2", "##contig=<ID=c,length=1500>")
    )
    script = os.path.join(os.path.dirname(__file__), "..", "examples", "ray", "annotate.py")
    small = tmp_path / "annotate.py"
    small.write_text(Path(script).read_text().replace("BLOCK = 2000", "BLOCK = 5"))
    command = [sys.executable, small, vcf, files[0], files[1], tmp_path / "out.parquet"]
    quiet = dict(os.environ, RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_UV_RUN_RUNTIME_ENV="0")
    subprocess.run([*command, "--model", files[2]], check=True, env=quiet, cwd=tmp_path)
    ids = pa.array([None] * len(alleles), pa.string())
    expected = score_batch(batch(alleles, ID=ids), *files)
    assert pq.read_table(tmp_path / "out.parquet").equals(pa.Table.from_batches([expected]))
