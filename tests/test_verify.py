import pysam
import pytest
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import VcfError
from samvar.verify import attribute, options_of

from . import toy


@pytest.fixture
def made(tmp_path):
    bases = toy.random_bases(1500, seed=3)
    (tmp_path / "m").mkdir()
    files = ["-f", toy.fasta(tmp_path / "g.fa", c=bases), "-a",
             toy.gtf(tmp_path / "g.gtf", ("G", "c", "+", [(101, 300), (501, 1400)])),
             "--model", toy.bundle(tmp_path / "m")]
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


def test_a_bcf_whose_scores_are_whole_numbers_is_verified(made):
    folder, files, _ = made
    bases, out = "".join((folder / "g.fa").read_text().split()[1:]), str(folder / "out.bcf")
    same = [("c", p, bases[p - 1], bases[p - 1]) for p in (320, 340)]  # every delta is 0
    vcf = toy.vcf(folder / "same.vcf", *same, header=("##fileformat=VCFv4.2", "##contig=<ID=c,length=1500>"))
    assert run("annotate", vcf, *files, "-o", out).exit_code == 0
    with pysam.VariantFile(out) as f:
        assert [r.info["SAMVAR_MAX"] for r in f] == [(0.0,), (0.0,)]
    result = run("verify", out, *files)
    assert result.exit_code == 0, result.stderr


def test_an_edited_score_is_found(made):
    _, files, out = made
    text = out.read_text()
    value = next(e for e in text.splitlines()[-5].split("\t")[7].split(";") if e.startswith("SAMVAR_MAX="))
    out.write_text(text.replace(value, "SAMVAR_MAX=0.9876"))
    result = run("verify", str(out), *files)
    assert result.exit_code == 1 and "SAMVAR_MAX is 0.9876, scored again" in result.stderr


@pytest.mark.parametrize("what, old, new", [("annotation", "G", "H"), ("reference", ">c", ">d")])
def test_other_files_are_found(made, what, old, new):
    folder, files, out = made
    path = files[3 if what == "annotation" else 1]
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace(old, new, 1) if what == "annotation" else text + ">other\nACGT\n")
    if what == "reference":
        (folder / "g.fa.fai").unlink()
    result = run("verify", str(out), *files)
    assert result.exit_code == 1 and f"{what}: the file was made with" in result.stderr


def test_another_kind_of_the_same_bundle_is_found(made):
    _, files, out = made
    out.write_text(out.read_text().replace("Kind=am", "Kind=fm"))
    result = run("verify", str(out), *files, "--records", "0")
    assert result.exit_code == 1 and "model: the file was made with fm, this one is am" in result.stderr


def test_a_vcf_without_provenance_is_refused(made):
    folder, files, _ = made
    result = run("verify", str(folder / "x.vcf"), *files)
    assert result.exit_code == 1 and "no ##samvar_model" in result.stderr


def test_header_lines_are_read():
    line = '<Name="a,\\"b",Kind=am,Seeds=1+2,Sha256=0f>'
    assert attribute(line, "Name") == 'a,\\"b' and attribute(line, "Sha256") == "0f" and attribute(line, "X") == ""
    assert options_of("distance=7,mask=True,rbp_min=0.1").distance == 7
    with pytest.raises(VcfError, match="not understood"):
        options_of("new_option=1")
