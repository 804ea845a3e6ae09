import hashlib
import io
import re

import pysam
import pytest
from click.testing import CliRunner

from samvar.annotate import Options
from samvar.cli import main
from samvar.errors import VcfError
from samvar.formats.annotation import load_annotation
from samvar.formats.vcf import VcfReader
from samvar.genomics.genome import Genome
from samvar.model.bundle import load_bundle
from samvar.scoring.predictor import Predictor
from samvar.verify import agree, attribute, options_of, verify

from . import toy

pytestmark = pytest.mark.slow


@pytest.fixture
def made(tmp_path):
    bases = toy.random_bases(1500, seed=3)
    (tmp_path / "m").mkdir()
    files = [
        "-f",
        toy.fasta(tmp_path / "g.fa", c=bases),
        "-a",
        toy.gtf(tmp_path / "g.gtf", ("G", "c", "+", [(101, 300), (501, 1400)])),
        "--model",
        toy.bundle(tmp_path / "m"),
    ]
    change = {"A": "C", "C": "G", "G": "T", "T": "A"}
    records = [("c", p, bases[p - 1], change[bases[p - 1]]) for p in range(300, 520, 20)]
    path = toy.vcf(tmp_path / "x.vcf", *records, ("c", 5, bases[4], change[bases[4]]))
    out = tmp_path / "out.vcf"
    assert run("annotate", path, *files, "-o", str(out), "--rbp-min", "0", "--mask").exit_code == 0
    return tmp_path, files, out


def run(*args):
    return CliRunner().invoke(main, list(args))


def test_an_output_is_verified(made):
    _, files, out = made
    result = run("verify", str(out), *files)
    assert result.exit_code == 0 and "12 records scored again" in result.stderr
    assert "3 records" in run("verify", str(out), *files, "--records", "3").stderr


def test_progress_shows_on_a_terminal_alone(made, monkeypatch):
    _, files, out = made
    genome, genes = Genome(files[1]), load_annotation(files[3])
    for terminal in (True, False):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda shown=terminal: shown)
        monkeypatch.setattr("sys.stderr", stream)
        with VcfReader(str(out)) as reader, Predictor(load_bundle(files[5])) as predictor:
            assert verify(reader, genome, genes, predictor, 4).problems == []
        lines = stream.getvalue()
        assert ("4/4" in lines and "12record" in lines) if terminal else lines == ""


def test_a_bcf_whose_scores_are_whole_numbers_is_verified(made):
    folder, files, _ = made
    bases, out = "".join((folder / "g.fa").read_text().split()[1:]), str(folder / "out.bcf")
    same = [("c", p, bases[p - 1], bases[p - 1]) for p in (320, 340)]  # every delta is 0
    vcf = toy.vcf(
        folder / "same.vcf", *same, header=("##fileformat=VCFv4.2", "##contig=<ID=c,length=1500>")
    )
    assert run("annotate", vcf, *files, "-o", out).exit_code == 0
    with pysam.VariantFile(out) as f:
        assert [r.info["SAMVAR_MAX"] for r in f] == [(0.0,), (0.0,)]
    result = run("verify", out, *files)
    assert result.exit_code == 0, result.stderr


def test_structured_header_lines_have_an_id_and_are_read_without_too(made):
    folder, files, out = made
    hashed = str(folder / "hashed.vcf")
    assert run("annotate", str(folder / "x.vcf"), *files, "-o", hashed, "--md5").exit_code == 0
    with pysam.VariantFile(hashed) as f:
        ids = {
            r.key: r["ID"]
            for r in f.header.records
            if r.type == "STRUCTURED" and r.key.startswith("samvar")
        }
    assert ids == dict(
        samvar_model="toy", samvar_reference="g.fa", samvar_contig="c", samvar_annotation="g.gtf"
    )
    change(
        hashed,
        lambda text: re.sub("(samvar_(?:model|reference|annotation)=<)ID=[^,]*,", r"\1", text),
    )
    assert run("verify", hashed, *files).exit_code == 0


def test_an_edited_score_is_found(made):
    _, files, out = made
    text = out.read_text()
    value = next(
        e for e in text.splitlines()[-5].split("\t")[7].split(";") if e.startswith("SAMVAR_MAX=")
    )
    out.write_text(text.replace(value, "SAMVAR_MAX=0.9876"))
    result = run("verify", str(out), *files)
    assert result.exit_code == 1 and "SAMVAR_MAX is 0.9876, scored again" in result.stderr


def change(path, edit):
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(edit(text))


def test_listed_transcripts_are_compared_with_their_list_alone(made):
    folder, files, _ = made
    ids, others, out = (folder / name for name in ("ids", "others", "listed.vcf"))
    ids.write_text("G.1\n")
    others.write_text("G.1\nG.2\n")
    args = ["annotate", str(folder / "x.vcf"), *files, "-o", str(out), "--rbp-min", "2"]
    assert run(*args, "--transcripts", str(ids), "--event-min", "0").exit_code == 0
    without = run("verify", str(out), *files)
    assert without.exit_code == 0
    assert "not compared: SAMVAR_EVENT, which are of the transcripts" in without.stderr
    given = run("verify", str(out), *files, "--transcripts", str(ids))
    assert given.exit_code == 0 and "not compared" not in given.stderr
    wrong = run("verify", str(out), *files, "--transcripts", str(others))
    assert wrong.exit_code == 1 and "transcripts: the file was made with listed:" in wrong.stderr
    change(out, lambda text: re.sub(r"SAMVAR_EVENT=[^;\t\n]+", "X=1", text))
    assert run("verify", str(out), *files).exit_code == 0
    altered = run("verify", str(out), *files, "--transcripts", str(ids))
    assert altered.exit_code == 1 and "SAMVAR_EVENT" in altered.stderr


def test_another_annotation_is_found(made):
    _, files, out = made
    change(files[3], lambda text: text.replace("G", "H", 1))
    result = run("verify", str(out), *files)
    assert result.exit_code == 1
    assert "annotation: the file was made with g.gtf (sha256 " in result.stderr


def test_another_genome_is_found(made):
    folder, files, out = made
    change(files[1], lambda text: text + ">other\nACGT\n")
    (folder / "g.fa.fai").unlink()
    result = run("verify", str(out), *files)
    assert result.exit_code == 1 and "reference: the file was made with" in result.stderr


def test_another_base_is_found_where_the_header_tells_the_md5(made):
    folder, files, out = made
    hashed = str(folder / "hashed.vcf")
    assert run("annotate", str(folder / "x.vcf"), *files, "-o", hashed, "--md5").exit_code == 0
    bases = "".join((folder / "g.fa").read_text().split()[1:])
    with open(hashed) as f:
        assert f"##samvar_contig=<ID=c,Md5={hashlib.md5(bases.encode()).hexdigest()}>\n" in f
    assert run("verify", hashed, *files).exit_code == 0
    change(files[1], lambda text: text.lower())
    assert run("verify", hashed, *files).exit_code == 0  # the same bases
    change(files[1], lambda text: text[:-2] + "acgt"["acgt".index(text[-2]) - 1] + text[-1])
    assert (
        run("verify", str(out), *files).exit_code == 0
    )  # 100 bases from any variant: no score shows it
    result = run("verify", hashed, *files)
    assert (
        result.exit_code == 1
        and "reference: c is not the sequence that the file was made with" in result.stderr
    )


def test_a_file_made_with_bf16_is_verified_as_such(made):
    _, files, out = made
    result = run("verify", str(out), *files)
    assert result.exit_code == 0
    value = re.search(r"SAMVAR_MAX=(0\.\d+)", out.read_text())
    moved = f"SAMVAR_MAX={float(value[1]) + 0.004:.4f}"
    out.write_text(out.read_text().replace(value[0], moved, 1))
    assert run("verify", str(out), *files).exit_code == 1
    out.write_text(out.read_text().replace("precision=fp32", "precision=bf16"))
    assert run("verify", str(out), *files).exit_code == 0


def test_another_kind_of_the_same_bundle_is_found(made):
    _, files, out = made
    out.write_text(out.read_text().replace("Kind=am", "Kind=fm"))
    result = run("verify", str(out), *files, "--records", "0")
    assert (
        result.exit_code == 1
        and "model: the file was made with fm, this one is am" in result.stderr
    )


def test_a_vcf_without_provenance_is_refused(made):
    folder, files, _ = made
    result = run("verify", str(folder / "x.vcf"), *files)
    assert result.exit_code == 1 and "no ##samvar_model" in result.stderr


def test_header_lines_are_read():
    line = '<Name="a,\\"b",Kind=am,Seeds=1+2,Sha256=0f>'
    assert (
        attribute(line, "Name") == 'a,\\"b'
        and attribute(line, "Sha256") == "0f"
        and attribute(line, "X") == ""
    )
    assert options_of("distance=7,mask=True,rbp_min=0.1").distance == 7
    with pytest.raises(VcfError, match="not understood"):
        options_of("new_option=1")


@pytest.mark.parametrize(
    "told, again, same",
    [
        (["1 0.8000", "2 0.4000"], ["1 0.8001", "2 0.4000"], True),
        (["1 0.4000", "2 0.4001"], ["2 0.4000", "1 0.4001"], True),  # as strong: any order
        (["1 0.8000", "2 0.4000"], ["1 0.8000", "2 0.4010"], False),
        (["1 0.8000", "2 0.4000"], ["1 0.8000"], False),
        (["1 0.8000", "2 0.2001"], ["1 0.8000"], True),  # hardly strong enough
        (["1 0.8000"], ["1 0.8000", "2 0.4000"], False),
        (["1 0.8000", "2 0.4000"], ["1 0.8000", "3 0.4000"], False),
        ([], [], True),
    ],
)
def test_all_events_are_compared(told, again, same):
    entries = []
    for rows in (told, again):
        cells = (row.split() for row in rows)
        packed = (f"A|G|T|exon_skipping|{n}|5|9|5|.|.|.|{prob}|r.(?)" for n, prob in cells)
        entries.append(",".join(packed))
    assert agree("SAMVAR_EVENT", *entries, Options(event_min=0.2)) is same


def test_an_event_that_was_added_is_found(made):
    _, files, out = made
    record = next(line for line in out.read_text().splitlines() if line[0] != "#")
    row = f"{record.split(chr(9))[4]}|G|G.1|exon_skipping|1|5|9|5|.|.|.|0.9000|r.(?)"
    entry = re.search("SAMVAR_EVENT=[^;]*", record)
    added = (
        record.replace(entry[0], f"{entry[0]},{row}") if entry else f"{record};SAMVAR_EVENT={row}"
    )
    out.write_text(out.read_text().replace(record, added))
    result = run("verify", str(out), *files)
    assert result.exit_code == 1 and "SAMVAR_EVENT is" in result.stderr
