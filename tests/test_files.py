"""Text inputs as lines: plain or gzipped, whatever their line ends and marks."""

import gzip
import os
import threading

import pysam
import pytest

from samvar.cli.options import listed, names_in
from samvar.errors import RecipeError, RegionError
from samvar.files import BGZF_EOF, CHUNK, text_lines
from samvar.formats.regions import Regions
from samvar.training.recipe import SamRecipe, load_recipe

MARK = "\ufeff".encode()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "content, lines",
    [
        (b"a\tb\nc\n", ["a\tb", "c"]),
        (MARK + b"a\r\nb", ["a", "b"]),
        (b"a\rb\r\rc\r", ["a", "b", "", "c"]),
        (MARK + MARK + b"#a\n" + MARK + b"b\n", ["#a", "b"]),  # as `cat` leaves it
        (b"a\x0bb\x0cc\xe2\x80\xa8d\n", ["a\x0bb\x0cc\u2028d"]),  # ends of lines to Python only
        (MARK, [""]),
        (b"", []),
        ("é\n".encode(), ["é"]),
    ],
)
def test_lines_without_their_ends_and_marks(tmp_path, content, lines, pack):
    path = tmp_path / "x"
    path.write_bytes(pack(content))
    assert list(text_lines(str(path))) == lines


def test_several_gzip_members_are_one_text(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"a\nb\n") + gzip.compress(MARK + b"c\n"))
    assert list(text_lines(str(path))) == ["a", "b", "c"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_may_begin_and_end_anywhere_in_a_block(tmp_path, pack):
    """Also between CR and LF, and in the midst of a letter."""
    path = tmp_path / "x"
    for shift in range(4):
        lines = ["x" * shift, *(f"é{i}" for i in range(2 * CHUNK // 8)), "", "end"]
        path.write_bytes(pack("\r\n".join(lines).encode()))
        assert list(text_lines(str(path))) == lines
    path.write_bytes(pack(b"x" * 3 * CHUNK + b"\ny"))
    assert list(map(len, text_lines(str(path)))) == [3 * CHUNK, 1]


def test_a_pipe_is_read_to_its_end(tmp_path):
    for content in (b"a\nb\n", gzip.compress(b"a\nb\n")):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        assert list(text_lines(str(pipe))) == ["a", "b"]
        writer.join()
        pipe.unlink()


@pytest.mark.parametrize(
    "content, why",
    [
        ("a\nb\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (gzip.compress("a\n".encode("utf-16"), mtime=0), "is UTF-16 text"),
        (b"good\n\xff\xfe\n", "x, line 2: this is not UTF-8"),
        (b"caf\xe9\n", "x, line 1: this is not UTF-8"),
        (gzip.compress(b"one\n" * 9, mtime=0)[:-5], "x, after line [0-9]+: "),
        (gzip.compress(b"one\n" * 9, mtime=0)[:-8] + bytes(8), "x, after line [0-9]+: CRC"),
        (b"\x1f\x8bzz" + bytes(20), "x, after line 0: "),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, content, why):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(OSError, match=why):
        list(text_lines(str(path)))


def test_lenient_reading_keeps_the_line(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"caf\xe9\tb\n")
    assert list(text_lines(str(path), lenient=True)) == ["caf\ufffd\tb"]


def test_truncated_bgzf_is_refused_also_at_the_end_of_a_block(tmp_path):
    """Lines of whole blocks come, then the error; the end marker alone is missing. Plain gzip has
    none."""
    lines = [f"chr1\t{i}\t{i + 1}" for i in range(20_000)]  # several blocks
    path = str(tmp_path / "x.bed.gz")
    with pysam.BGZFile(path, "w") as f:
        f.write("".join(f"{line}\n" for line in lines).encode())
    assert list(text_lines(path)) == lines
    with open(path, "rb") as f:
        whole = f.read()
    with open(path, "wb") as f:
        f.write(whole.removesuffix(BGZF_EOF))
    with pytest.raises(OSError, match="x.bed.gz is truncated: it ends after line 20000 without"):
        list(text_lines(path))
    with pytest.raises(RegionError, match="is truncated"):
        Regions.read(path)


@pytest.mark.parametrize("name", ["x.bed", "x.BED", "x.Bed.GZ"])
def test_bed_counts_from_0_whatever_the_case_of_its_name(tmp_path, name):
    path = tmp_path / name
    pack = gzip.compress if name.endswith("GZ") else bytes
    path.write_bytes(pack(b"chr1\t4\t9\n"))
    assert Regions.read(str(path)).on("chr1") == [(4, 9)]


def test_a_mark_is_no_part_of_a_name(tmp_path):
    """In lists of genes, recipes and files of regions alike."""
    path = tmp_path / "x.bed"
    path.write_bytes(MARK + b"BRCA1\r\nTP53 CFTR\n")
    assert names_in(str(path)) == {"BRCA1", "TP53", "CFTR"}
    path.write_bytes(MARK + b"T.1\r\n#no\r\nT.2\r\n")
    assert listed(str(path)) == {"T.1", "T.2"}
    path.write_bytes(MARK + b"chr1\t4\t9\n")
    regions = Regions.read(str(path))
    assert regions.contigs == ["chr1"] and regions.on("1") == [(4, 9)]
    path.write_bytes(MARK + b"track name=x\r\rchr1\t4\t9\r")
    assert Regions.read(str(path)).on("1") == [(4, 9)]
    path.write_bytes(MARK + b"steps = 7\r\nseed = 3\r\n")
    recipe = load_recipe(str(path), SamRecipe)
    assert (recipe.steps, recipe.seed) == (7, 3)
    path.write_bytes(b"steps = 7 # \xe9\n")
    with pytest.raises(RecipeError, match="line 1: this is not UTF-8"):
        load_recipe(str(path), SamRecipe)
