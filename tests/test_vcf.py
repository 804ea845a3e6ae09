import gzip
import io

import pysam
import pytest

from samvar.errors import VcfError
from samvar.vcf import VcfReader, insert_header, open_output

HEADER = b"##fileformat=VCFv4.2\n##contig=<ID=1,length=9>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
RECORD = b"1\t5\t.\tA\tC,<DEL>\t.\t.\tDP=3;X\n"


def read(tmp_path, data, name="x.vcf"):
    path = tmp_path / name
    path.write_bytes(data)
    with VcfReader(str(path), ["SAMVAR_MAX"]) as reader:
        return reader, list(reader)


@pytest.mark.parametrize("form", ["text", "gzip", "bgzf"])
def test_forms_are_told_by_content(tmp_path, form):
    data = HEADER + RECORD
    path = tmp_path / "misnamed.txt"
    if form == "bgzf":
        with pysam.BGZFile(str(path), "wb") as f:
            f.write(data)
    else:
        path.write_bytes(gzip.compress(data) if form == "gzip" else data)
    with VcfReader(str(path)) as reader:
        (record,) = reader
    assert b"".join(reader.header) == HEADER and reader.contigs == ["1"]
    assert (record.contig, record.pos, record.ref, record.alts) == ("1", 5, "A", ("C", "<DEL>"))
    assert record.line == RECORD


def test_stdin(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(HEADER + RECORD)))
    assert len(list(VcfReader("-"))) == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("rest", [b"", b"\tGT\t0/1"])
@pytest.mark.parametrize("info, expected", [(b".", b"A=1;B"), (b"DP=3;X", b"DP=3;X;A=1;B"), (b"", b"A=1;B")])
def test_only_info_changes(tmp_path, end, rest, info, expected):
    line = b"1\t5\t.\tA\t.\t.\t.\t"
    _, (record,) = read(tmp_path, HEADER + line + info + rest + end)
    assert record.with_info(["A=1", "B"]) == line + expected + rest + end
    assert record.with_info([]) == line + info + rest + end
    assert record.alts == ()


def test_header_lines_stand_before_chrom_with_its_line_end():
    assert insert_header([b"##a\r\n", b"#CHROM\r\n"], ["##b"]) == [b"##a\r\n", b"##b\r\n", b"#CHROM\r\n"]


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "no #CHROM"),
        (RECORD, "no #CHROM"),
        (b"##fileformat=VCFv4.2\n", "no #CHROM"),
        (b"#CHROM\tPOS\n", "line 1"),
        (HEADER + b"1\t5\t.\tA\n", "line 4: 4 columns"),
        (HEADER + b"\t5\t.\tA\tC\t.\t.\t.\n", "line 4: CHROM is empty"),
        (HEADER + b"1\tfive\t.\tA\tC\t.\t.\t.\n", "line 4"),
        (HEADER + b"1\t1_0\t.\tA\tC\t.\t.\t.\n", "POS"),
        (HEADER + b"1\t10\t.\tA\tC\t.\t.\tSAMVAR_MAX=0.5\n", "already"),
        (gzip.compress(HEADER + RECORD * 2000)[:60] + b"xxxx" * 50, "damaged"),
        (gzip.compress(HEADER + RECORD * 2000)[:-30], "truncated"),
        (b"BCF\2\2" + b"x" * 50, "BCF"),
    ],
)
def test_malformed_input_is_named(tmp_path, data, message):
    with pytest.raises(VcfError, match=message):
        read(tmp_path, data)


def test_bgzf_cut_between_blocks_is_noticed(tmp_path):
    path = tmp_path / "x.vcf.gz"
    with pysam.BGZFile(str(path), "wb") as f:
        f.write(HEADER + RECORD)
    with pytest.raises(VcfError, match="end marker"):
        read(tmp_path, path.read_bytes()[:-28])


def test_missing_file(tmp_path):
    with pytest.raises(VcfError, match="cannot open"):
        VcfReader(str(tmp_path / "none.vcf"))


def test_output_appears_only_when_complete(tmp_path):
    path = tmp_path / "out.vcf.gz"
    with pytest.raises(RuntimeError), open_output(str(path), "z") as out:
        out.start([HEADER])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with open_output(str(path), "z") as out:
        out.start([HEADER])
    assert [p.name for p in tmp_path.iterdir()] == ["out.vcf.gz"]
    assert gzip.decompress(path.read_bytes()) == HEADER
