import gzip
import hashlib
import io
import re
import subprocess
import sys

import pysam
import pysam.bcftools
import pytest

from samvar.errors import VcfError
from samvar.formats.regions import Regions
from samvar.formats.vcf import VcfReader, open_output
from samvar.formats.vcf.bgzf import BGZF_EOF
from samvar.formats.vcf.record import Record, declared, insert_header

from . import toy

HEADER = (
    b"##fileformat=VCFv4.2\n##contig=<ID=1,length=9>\n"
    b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)
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
@pytest.mark.parametrize(
    "info, expected", [(b".", b"A=1;B"), (b"DP=3;X", b"DP=3;X;A=1;B"), (b"", b"A=1;B")]
)
def test_only_info_changes(tmp_path, end, rest, info, expected):
    line = b"1\t5\t.\tA\t.\t.\t.\t"
    _, (record,) = read(tmp_path, HEADER + line + info + rest + end)
    assert record.with_info(["A=1", "B"]) == line + expected + rest + end
    assert record.with_info([]) == line + info + rest + end
    assert record.alts == ()


def test_header_lines_stand_before_chrom_with_its_line_end():
    assert insert_header([b"##a\r\n", b"#CHROM\r\n"], ["##b"]) == [
        b"##a\r\n",
        b"##b\r\n",
        b"#CHROM\r\n",
    ]


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "it is empty"),
        (b"##fileformat=VCFv4.2\n", "no #CHROM"),
        (b"\xef\xbb\xbf" + HEADER + RECORD, "line 1 starts with a byte order mark"),
        (HEADER.decode().encode("utf-16"), "line 1: the file is UTF-16"),
        (b"\n" + HEADER + RECORD, "line 1 is blank"),
        (b'##fileformat=VCFv4.2\n"##source=""x"""\n', "line 2 does not begin with #.*quotes"),
        (b"CHROM,POS\n", "line 1 does not begin with #, and is no record"),
        (HEADER.replace(b"\n", b"\r"), "line 1: lines end in CR alone.* tr "),
        (HEADER[:-1] + b"\r" + RECORD, "line 3: lines end in CR alone"),
        (HEADER + RECORD[:-1] + b"\r" + RECORD, "line 4: lines end in CR alone"),
        (b"#CHROM\tPOS\n", "line 1"),
        (HEADER + b"1\t5\t.\tA\n", "line 4: 4 columns"),
        (
            HEADER.replace(b"REF\tALT", b"ALT\tREF"),
            "line 3: column 4 .* is 'ALT', where .* has REF",
        ),
        (HEADER.replace(b"INFO", b"info"), "line 3: column 8 .* is 'info', where a VCF has INFO"),
        (HEADER + b"\t5\t.\tA\tC\t.\t.\t.\n", "line 4: CHROM is empty"),
        (HEADER + b'"1\t5\t.\tA\tC\t.\t.\t."\n', "line 4: .* in quotation marks"),
        (HEADER + b"1\tfive\t.\tA\tC\t.\t.\t.\n", "line 4"),
        (HEADER + b"1\t1_0\t.\tA\tC\t.\t.\t.\n", "POS"),
        (HEADER + b"1\t10\t.\tA\tC\t.\t.\tSAMVAR_MAX=0.5\n", "already"),
        (gzip.compress(HEADER + RECORD * 2000, mtime=0)[:60] + b"xxxx" * 50, "damaged"),
        (gzip.compress(HEADER + RECORD * 2000, mtime=0)[:-30], "truncated"),
        (b"BCF\2\2" + b"x" * 50, "BCF"),
    ],
)
def test_malformed_input_is_named(tmp_path, data, message):
    with pytest.raises(VcfError, match=message):
        read(tmp_path, data)


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \t\n"])
def test_a_blank_line_in_the_header_is_passed_over_and_kept(tmp_path, blank):
    first, rest = HEADER.split(b"\n", 1)
    reader, records = read(tmp_path, first + b"\n" + blank + rest + RECORD)
    assert reader.contigs == ["1"] and [r.line for r in records] == [RECORD]
    assert b"".join(reader.header) == first + b"\n" + blank + rest


def test_a_carriage_return_within_info_is_no_line_end(tmp_path):
    line = RECORD.replace(b"X\n", b"X=a\rb\tGT\t0/1\r\n")
    assert [r.line for r in read(tmp_path, HEADER + line)[1]] == [line]


@pytest.mark.parametrize("begun", [b"", b"##fileformat=VCFv4.2\n##source=x\n"])
@pytest.mark.parametrize("samples", [b"", b"\tGT\t0/1\t1/1"])
def test_the_advice_for_a_vcf_without_header_works(tmp_path, begun, samples):
    record = RECORD[:-1] + samples + b"\n"
    for data in (begun + record, gzip.compress(begun + record)):
        with pytest.raises(VcfError, match="before any #CHROM line") as error:
            read(tmp_path, data, "my file.vcf")
        command = str(error.value).split("there: ")[1]
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
        with VcfReader(str(tmp_path / "with_header.vcf")) as reader:
            assert [r.line for r in reader] == [record]
        assert len(pysam.VariantFile(str(tmp_path / "with_header.vcf")).header.samples) == (
            2 if samples else 0
        )


@pytest.mark.parametrize(
    "line, name",
    [
        (b"##contig=<ID=1,length=9>", b"1"),
        (b"##contig=<ID=BCAT1,_pyridoxal,length=7>", b"BCAT1,_pyridoxal"),
        (b"##contig=<length=7,ID=x>", b"x"),
        (b"##contig=<ID=HLA-A*01:01:01:01>", b"HLA-A*01:01:01:01"),
        (b'##contig=<assembly="a, ID=no",ID=yes,md5=3>', b"yes"),
        (b'##contig=<assembly="a\\", ID=no",ID=yes>', b"yes"),
        (b'##contig=<species="Homo > sapiens",ID=c>', b"c"),
        (b'##contig=<ID="q",length=3>', b"q"),
    ],
)
def test_ids_of_header_lines(line, name):
    assert declared([line, b"##contig=<length=7>", b"##INFO=<ID=no>"], b"contig") == [name]


def test_header_lines_of_a_run_whose_fields_were_removed_go(tmp_path):
    own = b"##samvar_contig=<ID=1,Md5=0>\n"
    reader, _ = read(tmp_path, own + HEADER + RECORD)
    assert b"".join(reader.header) == HEADER
    with VcfReader(str(tmp_path / "x.vcf")) as reader:
        assert own in reader.header


def test_bgzf_cut_between_blocks_is_noticed(tmp_path):
    path = tmp_path / "x.vcf.gz"
    with pysam.BGZFile(str(path), "wb") as f:
        f.write(HEADER + RECORD)
    with pytest.raises(VcfError, match="end marker"):
        read(tmp_path, path.read_bytes()[:-28])


@pytest.fixture(scope="module", params=["vcf.gz", "bcf"])
def indexed(request, tmp_path_factory):
    """A file of several blocks and its index: path, number of records."""
    path, n = tmp_path_factory.mktemp("indexed") / f"x.{request.param}", 900
    names = [hashlib.sha512(bytes([i % 256, i // 256])).hexdigest() for i in range(n)]
    lines = [
        f"1\t{i + 1}\t{name}\tA\tC,<DEL>\t{i / 8}\tPASS\tDP={i};AF=0.5,.;X\tGT:DP\t0/1:3\t1|2:.\n"
        for i, name in enumerate(names)
    ]
    with open_output(str(path), "b" if request.param == "bcf" else "z", "csi") as out:
        out.start(
            [
                b"##fileformat=VCFv4.2\n",
                b"##contig=<ID=1,length=9000>\n",
                *(
                    b'##INFO=<ID=%b,Number=%b,Type=%b,Description="x">\n' % d
                    for d in (
                        (b"DP", b"1", b"Integer"),
                        (b"AF", b"A", b"Float"),
                        (b"X", b"0", b"Flag"),
                    )
                ),
                *(
                    b'##FORMAT=<ID=%b,Number=1,Type=%b,Description="x">\n' % d
                    for d in ((b"GT", b"String"), (b"DP", b"Integer"))
                ),
                b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS\tT\n",
            ]
        )
        for i, line in enumerate(lines):
            out.write(Record(line.encode(), 0, "1", i + 1, "A", ("C", "<DEL>")), [])
    return path, n


def by_index(path, text="1:1-9000"):
    with VcfReader(str(path), regions=Regions.parse(text)) as reader:
        return [r.line for r in reader]


def test_records_through_an_index_are_those_of_the_whole_file(indexed):
    path, n = indexed
    with VcfReader(str(path)) as reader:
        lines = [r.line for r in reader]
    assert by_index(path) == by_index(path, "1") == lines and len(lines) == n
    assert by_index(path, "1:300-4000000000") == lines[299:]


@pytest.mark.parametrize("damage", ["byte", "cut"])
def test_damage_is_noticed_through_an_index(indexed, tmp_path, damage):
    path, _ = indexed
    data = path.read_bytes()
    blocks = [m.start() for m in re.finditer(re.escape(BGZF_EOF[:12]), data)]
    assert len(blocks) > 2
    middle = blocks[len(blocks) // 2]
    broken = tmp_path / path.name
    broken.write_bytes(
        data[:middle] if damage == "cut" else data[: middle + 99] + b"XXX" + data[middle + 102 :]
    )
    (tmp_path / (path.name + ".csi")).write_bytes((path.parent / (path.name + ".csi")).read_bytes())
    with pytest.raises(
        VcfError,
        match="truncated.*(end|EOF) marker|EOF marker.*truncated"
        if damage == "cut"
        else "or its index .*damaged",
    ):
        by_index(broken)


def bcf(path, lines, header=HEADER):
    with open_output(str(path), "b", "csi") as out:
        out.start(header.splitlines(True))
        for line in lines:
            out.write(Record(line, 0, "1", 5, "A", ("C",)), [])


COLUMNS = HEADER.replace(
    b"#CHROM",
    b'##INFO=<ID=S,Number=1,Type=String,Description="caf\xe9 \xc2\x85">\n'
    b'##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n#CHROM',
)
SAMPLES = COLUMNS.replace(b"INFO\n", b"INFO\tFORMAT\tS\n")


@pytest.mark.parametrize(
    "line, header, reason",
    [
        (b"1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1\n", SAMPLES, "has 11 columns, the header 10"),
        (b"1\t5\t.\tA\tC\t.\t.\t.\n", SAMPLES, "has 8 columns, the header 10"),
        (b"1\t5\t.\tA\tC\t.\t.\tS=caf\xe9\n", COLUMNS, "is no UTF-8"),
        (b"1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/x\n", SAMPLES, "htslib refuses it"),
        (b"1\t5\t.\t\tC\t.\t.\t.\n", HEADER, "its REF is empty"),
        (b"1\t5\t.\tA\t\t.\t.\t.\n", HEADER, "its ALT is empty"),
        (b"1\t5\t.\tA\tC\t.\t\t.\n", HEADER, "its FILTER is empty"),
        (b"1\t5\t.\tA\tC\tabc\t.\t.\n", HEADER, "QUAL is 'abc', no number"),
        (b"1\t5\t.\tA\tC\t\t.\t.\n", HEADER, "QUAL is '', no number"),
    ],
)
def test_what_would_be_lost_in_bcf_is_refused(tmp_path, line, header, reason):
    with pytest.raises(
        VcfError, match=f"^(the record at 1:5|a record) cannot be written as BCF: .*{reason}[^\t]*$"
    ):
        bcf(tmp_path / "x.bcf", [line], header)


@pytest.mark.parametrize(
    "quality", [b".", b"0", b"12.5", b"1e-3", b".5", b"7.", b"-1", b"inf", b"nan"]
)
def test_qualities_that_are_numbers_are_written(tmp_path, quality):
    bcf(tmp_path / "x.bcf", [b"1\t5\t.\tA\tC\t" + quality + b"\t.\t.\n"])


def test_a_second_header_is_told(tmp_path):
    """As `cat` leaves it."""
    path = tmp_path / "x.vcf"
    path.write_bytes(2 * (HEADER + b"1\t5\t.\tA\tC\t.\t.\t.\n"))
    with (
        VcfReader(str(path)) as reader,
        pytest.raises(VcfError, match="a header line after records.*bcftools concat"),
    ):
        list(reader)


@pytest.mark.parametrize("length", [b'"9"', b".", b"nine"])
def test_what_htslib_drops_of_a_header_is_not_declared(tmp_path, length):
    header = HEADER.replace(b"length=9", b"length=" + length)
    with pytest.raises(VcfError, match="contig 1 is not declared so that htslib understands it"):
        bcf(tmp_path / "x.bcf", [RECORD.replace(b"DP=3;X", b".")], header)
    assert not (tmp_path / "x.bcf").exists()


@pytest.mark.parametrize("numbers", [(3, 7), (0, 5), (1, 0)])
def test_numbers_of_contigs_in_another_bcf_do_not_count(tmp_path, numbers):
    one, other = (b"##contig=<ID=%b,length=9,IDX=%d>\n" % c for c in zip((b"0", b"1"), numbers))
    header = COLUMNS.replace(b"##INFO", one + other + b"##INFO")
    header = re.sub(rb"##contig=<ID=1,length=9>\n", b"", header)
    bcf(tmp_path / "x.bcf", [b"1\t5\t.\tA\tC\t.\t.\t.\n"], header)
    with VcfReader(str(tmp_path / "x.bcf")) as reader:
        assert [(r.contig, r.pos) for r in reader] == [("1", 5)]


def test_genotypes_with_a_mark_before_the_first_allele_stay(tmp_path):
    header = SAMPLES.replace(b"v4.2", b"v4.4")
    lines = [b"1\t5\t.\tA\tC\t.\t.\t.\tGT\t%b\n" % gt for gt in (b"|0/1", b"/0|1|0", b"0/1", b"1")]
    bcf(tmp_path / "x.bcf", lines, header)
    with VcfReader(str(tmp_path / "x.bcf")) as reader:
        assert [r.line for r in reader] == lines
    assert by_index(tmp_path / "x.bcf") == lines


def test_a_bcf_that_cannot_be_read_back_does_not_appear(tmp_path, monkeypatch):
    monkeypatch.setattr("samvar.formats.vcf.bcf._WRITE", "import sys; sys.stdin.read(); print('x')")
    with pytest.raises(VcfError, match="read back"):
        bcf(tmp_path / "x.bcf", [RECORD.replace(b"DP=3;X", b".")])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_the_file(tmp_path):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from samvar.formats.vcf import open_output\n"
        "from samvar.formats.vcf.record import Record\n"
        "with open_output(sys.argv[1], sys.argv[2]) as out:\n"
        "    out.start([l.encode() + b'\\n' for l in sys.argv[3].splitlines()])\n"
        "    for i in range(1, 9000):\n"
        "        line = f'1\\t{i}\\t{i * 7919 % 10007}\\tA\\tC\\t.\\t.\\t.\\n'.encode()\n"
        "        out.write(Record(line, 0, '1', i, 'A', ('C',)), [])\n"
    )
    for form in "vzbu":
        path = tmp_path / f"x.{form}"
        command = [sys.executable, "-c", code, str(path), form, HEADER.decode()]
        done = subprocess.run(command, capture_output=True, text=True)
        assert f"OSError: cannot write {path}: File too large" in done.stderr, done.stderr
        assert list(tmp_path.iterdir()) == []


def test_bcf_that_is_no_utf8_is_read_byte_for_byte(tmp_path):
    path = tmp_path / "x.bcf"
    bcf(path, [b"1\t5\t.\tA\tC\t.\t.\tS=cafe\n"], COLUMNS)
    data = gzip.decompress(path.read_bytes())
    assert b"caf\xe9 \xc2\x85" in data
    with pysam.BGZFile(str(path), "wb") as f:
        f.write(data.replace(b"cafe", b"caf\xe9"))
    with VcfReader(str(path)) as reader:
        assert reader.contigs == ["1"] and [r.line for r in reader] == [
            b"1\t5\t.\tA\tC\t.\t.\tS=caf\xe9\n"
        ]
    pysam.bcftools.index("-f", str(path))
    assert by_index(path) == [b"1\t5\t.\tA\tC\t.\t.\tS=caf\xe9\n"]


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


@pytest.mark.parametrize("index", ["tbi", "csi", None])
def test_how_many_records_will_come_where_an_index_tells(tmp_path, index):
    path = str(tmp_path / "x.vcf.gz")
    plain = toy.vcf(tmp_path / "x.vcf", *(("c", p, "A", "C") for p in range(5, 12)))
    with VcfReader(plain) as reader, open_output(path, "z", index) as writer:
        assert reader.expected_records is None
        writer.start(reader.header)
        for record in reader:
            writer.write(record, [])
    with VcfReader(path) as reader:
        assert reader.expected_records == (7 if index else None)
    with VcfReader(path, regions=Regions.parse("c:6-7")) as reader:
        assert reader.expected_records is None
    if index:
        with open(f"{path}.{index}", "wb") as damaged:
            damaged.write(b"no index")
        with VcfReader(path) as reader:
            assert reader.expected_records is None


def one_record(path, form, index, pos, length, number=0):
    """A file of one record at `pos` of a contig that the header says is so long."""
    says = b"##contig=<ID=1%b>" % (b",length=%d" % length if length else b"")
    header = HEADER.replace(b"##contig=<ID=1,length=9>", says)
    with open_output(str(path), form, index) as out:
        out.start(header.splitlines(True))
        line = b"1\t%d\t.\tA\tC\t.\t.\t.\n" % pos
        out.write(Record(line, number, "1", pos, "A", ("C",)), [])


@pytest.mark.parametrize("pos", [-1, 1 << 31])
def test_a_position_that_bcf_cannot_have_is_refused_by_its_line(tmp_path, pos):
    with pytest.raises(VcfError, match=rf"record at 1:{pos} \(line 7\) .*0 to 2,147,483,647.*-O v"):
        one_record(tmp_path / "x.bcf", "b", None, pos, None, number=7)
    for last in (0, (1 << 31) - 1):
        one_record(tmp_path / "x.bcf", "b", None, last, None)
        with VcfReader(str(tmp_path / "x.bcf")) as reader:
            assert [r.pos for r in reader] == [last]


@pytest.mark.parametrize(
    "form, index, length, last",
    [
        ("z", "tbi", 9, 1 << 29),
        ("z", "csi", 9, 1 << 32),
        ("z", "csi", 5_000_000_000, 1 << 35),
        ("b", "csi", None, (1 << 31) - 1),
        ("b", "csi", 9, 1 << 14),
        ("b", "csi", 16_300, 1 << 17),
    ],
)
def test_a_position_that_an_index_cannot_have_is_refused(tmp_path, form, index, length, last):
    path = tmp_path / "x"
    one_record(path, form, index, last, length)
    assert {p.name for p in tmp_path.iterdir()} == {"x", f"x.{index}"}
    with pytest.raises(VcfError, match=rf"1:{last + 1} .*(hold positions beyond|POS must be)"):
        one_record(path, form, index, last + 1, length, number=4)


def test_a_region_that_no_index_reaches_is_told(indexed):
    with pytest.raises(VcfError, match="1:3000000000: an index is read up to .*-t"):
        by_index(indexed[0], "1:3000000000-4000000000")


@pytest.mark.parametrize("form", ["z", "b", "u"])
def test_no_bytes_but_text_go_to_a_terminal(monkeypatch, form):
    terminal = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(OSError, match="stdout is a terminal"):
        with open_output("-", form):
            pass
    with open_output("-", "v") as writer:
        writer.finish()
