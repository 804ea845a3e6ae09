"""`samvar precompute`: all short alleles of genes; and `annotate --scores`, which looks them up."""

import gzip
import os
import re
import subprocess
from pathlib import Path

import pysam
import pytest
from click.testing import CliRunner

from samvar import precompute as module
from samvar.annotate import Options
from samvar.cli import main
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.genomics.variant import normalise
from samvar.lookup import spelled
from samvar.precompute import Place, alleles_at, places
from samvar.scoring.predictor import Predictor

from . import toy
from .tools import need

pytestmark = pytest.mark.slow

BASES = toy.random_bases(700, seed=3)
BASES = BASES[:300] + "ACACACACTTTTTTGA" + BASES[316:350] + "NN" + BASES[352:]
FORWARD, BACKWARD = [(201, 290), (341, 420), (461, 520)], [(281, 330), (381, 560)]
WHERE = "chr2:306-309,chr2:352-353,chr2:392,chr2:400"
FEW = "chr2:308-309"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precompute")
    genes = toy.gtf(
        folder / "g.gtf",
        ("F;1", "2", "+", FORWARD),
        ("B", "2", "-", BACKWARD),
        ("E", "3", "+", [(1, 40)]),
    )
    return (
        toy.fasta(folder / "g.fa", chr2=BASES, chr3=BASES[:60]),
        genes,
        toy.bundle(folder, seeds=(0, 1)),
    )


def others(base):
    """The three other bases."""
    return "ACGT".replace(base, "")


OPTIONS = ["--rbp-min", "0.1", "--event-min", "0.02", "--transcripts", "all"]


def run(command, files, *args, options=OPTIONS):
    fasta, genes, bundle = files
    inputs = ["-f", fasta, "-a", genes, "--model", bundle, "--allow-annotation-mismatch"]
    return CliRunner().invoke(main, [command, *map(str, args), *inputs, *options])


def done(result):
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def scores(files, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("scores") / "scores.vcf.gz")
    result = done(run("precompute", files, "-r", WHERE, "-o", path, "--threads", "2"))
    assert "8 bases of genes to score, up to 56 alleles" in result.stderr
    return path


def records(path):
    with gzip.open(path, "rt") if path.endswith("gz") else open(path) as lines:
        return [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]


def body(path):
    with gzip.open(path, "rb") if str(path).endswith("gz") else open(path, "rb") as lines:
        return [line for line in lines if not line.startswith(b"##samvar_command")]


# --------------------------------------------------------------------------------- what is scored


def test_every_change_of_one_base_is_there_once_and_left_most(files, scores):
    genome, found = Genome(files[0]), records(scores)
    assert found == sorted(found, key=lambda r: (int(r[1]), r[3], r[4]))
    for contig, pos, _, ref, alt, *_ in found:
        own = spelled(genome, normalise(genome, contig, int(pos), ref, alt))
        assert own == ("chr2", int(pos), ref, alt)
    made = [BASES[: int(r[1]) - 1] + r[4] + BASES[int(r[1]) - 1 + len(r[3]) :] for r in found]
    assert len(set(made)) == len(made)
    inner = range(307, 309)  # what changes there cannot be moved out of the region
    expected = {BASES[:i] + x + BASES[i + 1 :] for i in inner for x in others(BASES[i])}
    expected |= {BASES[:i] + BASES[i + 1 :] for i in inner}
    expected |= {BASES[:i] + x + BASES[i:] for i in inner for x in "ACGT"}
    assert expected <= set(made)


def test_alleles_of_a_base_have_their_left_most_spelling(files):
    (found,) = alleles_at(Genome(files[0]), Place("chr2", 308, 309))  # the first of six T
    assert [a[1:] for a in found] == [(309, "T", x) for x in ("A", "C", "G", "TA", "TC", "TG")]
    (before,) = alleles_at(Genome(files[0]), Place("chr2", 307, 308))
    assert (308, "CT", "C") in [a[1:] for a in before] and (308, "C", "CT") in [
        a[1:] for a in before
    ]


def test_places_are_genes_within_regions_with_the_base_before_them(files):
    genome, genes = Genome(files[0]), load_annotation(files[1])
    assert places(genome, genes, Options()) == [Place("chr2", 199, 560), Place("chr3", 0, 40)]
    (own,) = places(genome, genes, Options(), names={"B"})
    assert own == Place("chr2", 279, 560)


def test_records_are_those_that_annotate_writes(files, scores, tmp_path):
    alleles = [(r[0], r[1], r[3], r[4]) for r in records(scores)]
    bare = toy.vcf(tmp_path / "bare.vcf", *alleles)
    out = str(tmp_path / "out.vcf")
    done(run("annotate", files, bare, "-o", out))
    assert records(out) == records(scores)
    info = "\n".join(r[7] for r in records(out))
    assert all(key in info for key in ("SAMVAR_RBP=", "SAMVAR_EVENT=", "|F%3B1|", "|B|", "+1|"))


# -------------------------------------------------------------------------------------- looked up


def other_spellings():
    """Records of a file as callers write them: unsorted, several ALTs, alleles spelled with more
    bases or further right than need be, and such as no file of scores has."""
    base = BASES[399]
    x, y = others(base)[:2]
    wide = BASES[389:395]
    return [
        ("2", 400, base, f"{x},{y}"),
        ("chr2", 400, base, f"{base}{x},<DEL>,*,{x}"),
        ("chr2", 390, wide, wide[:2] + others(wide[2])[0] + wide[3:]),
        ("2", 313, "TT", "T"),  # further left: 308 CT C
        ("chr2", 312, "T", "TT"),
        ("chr2", 308, BASES[307:312], BASES[307:309] + BASES[310:312]),  # the same deletion
        ("chr2", 308, BASES[307:310], BASES[307]),  # of two bases
        ("chr2", 330, BASES[329], BASES[329]),
        ("chr2", 351, "N", "A"),
        ("chr2", 353, BASES[352], others(BASES[352])[0]),
        ("chr2", 500, BASES[499], others(BASES[499])[0]),  # beyond the regions
        ("chr2", 10, BASES[9], others(BASES[9])[0]),
        ("chr9", 10, "A", "C"),
        ("chr2", 350, BASES[349], "."),
    ]


@pytest.mark.parametrize("more", [[], ["--hgvs-out"]])
def test_what_is_looked_up_is_what_is_computed(files, scores, tmp_path, more):
    vcf = toy.vcf(tmp_path / "in.vcf", *other_spellings())
    out = {}
    for name, given in (("computed", []), ("looked_up", ["--scores", scores])):
        path, table = (str(tmp_path / f"{name}.{end}") for end in ("vcf", "tsv"))
        result = done(run("annotate", files, vcf, "-o", path, "--tsv", table, *given, *more))
        out[name] = body(path), body(table), result
    assert out["computed"][:2] == out["looked_up"][:2]
    assert "alleles taken from" not in out["computed"][2].stderr
    assert f"9 alleles taken from {scores}, 3 computed" in out["looked_up"][2].stderr


def test_a_file_of_all_short_alleles_needs_no_model(files, scores, tmp_path, monkeypatch):
    monkeypatch.setattr(Predictor, "exact", None)
    out = str(tmp_path / "out.vcf")
    done(run("annotate", files, scores, "--scores", scores, "--overwrite", "-o", out))
    assert records(out) == records(scores)


@pytest.mark.parametrize(
    "options, differs",
    [
        ([*OPTIONS, "-D", "40"], "another distance (50, here 40)"),
        ([*OPTIONS, "--mask", "--rbp-max", "3"], "mask (False, here True), another rbp_max (10"),
        (["--rbp-min", "0.1", "--event-min", "0.02"], "another transcripts (all, here chosen)"),
    ],
)
def test_scores_of_other_options_are_refused(files, scores, tmp_path, options, differs):
    vcf = toy.vcf(tmp_path / "in.vcf", *other_spellings())
    result = run("annotate", files, vcf, "--scores", scores, options=options)
    assert result.exit_code == 1 and differs in result.stderr and not result.stdout


@pytest.mark.parametrize("choice", ["mane", ["F;1.1"], ["B.1"]])
def test_scores_are_of_the_transcripts_that_were_chosen(files, tmp_path, choice):
    """The same ids in another order and another file will do, others will not."""
    names, path = tmp_path / "ids.txt", str(tmp_path / "scores.vcf.gz")

    def options(ids):
        if isinstance(ids, list):
            names.write_text("# wanted\n" + "".join(f"{i}\n" for i in ids))
        return [*OPTIONS[:-1], ids if isinstance(ids, str) else str(names)]

    more = [*choice, "X.1"] if isinstance(choice, list) else choice
    made = run("precompute", files, "-r", "chr2:404-405", "-o", path, options=options(more))
    told = "lacks 1 of its 2 transcripts: X.1\n" in done(made).stderr
    assert told == isinstance(choice, list)
    vcf = toy.vcf(tmp_path / "in.vcf", ("chr2", 405, BASES[404], others(BASES[404])[0]))
    same = options(more[::-1] if isinstance(more, list) else more)
    out = [str(tmp_path / f"{i}.vcf") for i in range(2)]
    looked_up = run("annotate", files, vcf, "--scores", path, "-o", out[0], options=same)
    assert "1 alleles taken from" in done(looked_up).stderr
    done(run("annotate", files, vcf, "-o", out[1], options=same))
    assert records(out[0]) == records(out[1])
    other = options(["F;1.1", "B.1"])
    refused = run("annotate", files, vcf, "--scores", path, options=other)
    assert refused.exit_code == 1 and "another transcripts (" in refused.stderr
    info = ";".join(record[7] for record in records(path))
    events = re.findall("SAMVAR_EVENT=([^;]+)", info)
    told = {row.split("|")[2] for rows in events for row in rows.split(",")}
    assert told == ({i.replace(";", "%3B") for i in choice} if isinstance(choice, list) else set())


def test_scores_of_other_files_are_refused(files, scores, tmp_path):
    fasta, genes, bundle = files
    os.makedirs(tmp_path / "model")
    model = toy.bundle(tmp_path / "model", seeds=(2, 3))
    fewer = toy.gtf(tmp_path / "g.gtf", ("F", "2", "+", FORWARD))
    longer = toy.fasta(tmp_path / "a.fa", chr2=BASES + "A")
    changed = others(BASES[0])[0] + BASES[1:]
    edited = toy.fasta(tmp_path / "b.fa", chr2=changed, chr3=BASES[:60])
    for name, given, differs in (
        ("model", (fasta, genes, model), "another model ("),
        ("genes", (fasta, fewer, bundle), "another annotation ("),
        ("length", (longer, genes, bundle), "another reference ("),
        ("bases", (edited, genes, bundle), "with other bases of chr2"),
    ):
        vcf = toy.vcf(tmp_path / f"{name}.vcf", ("chr2", 400, BASES[399], others(BASES[399])[0]))
        result = run("annotate", given, vcf, "--scores", scores)
        assert result.exit_code == 1 and differs in result.stderr, name


def test_what_is_not_looked_up_cannot_be_asked_for(files, scores, tmp_path):
    vcf = toy.vcf(tmp_path / "in.vcf", *other_spellings())
    parquet, gpu = ["--parquet", tmp_path / "t"], ["--device", "cuda"]
    for option in (["--phased"], ["--spliceai-compat"], parquet, gpu):
        result = run("annotate", files, vcf, "--scores", scores, *option)
        assert result.exit_code == 2 and option[0] in result.stderr
    result = run("annotate", files, vcf, "--scores", scores, "-o", scores)
    assert result.exit_code == 2 and "is an input" in result.stderr


def test_a_file_that_is_none_of_scores_is_refused(files, scores, tmp_path):
    vcf = toy.vcf(tmp_path / "in.vcf", *other_spellings())
    content, index = (Path(scores + end).read_bytes() for end in ("", ".csi"))

    def refused(name, content, message, index=index):
        path = tmp_path / name
        path.write_bytes(content)
        if index:
            (tmp_path / f"{name}.csi").write_bytes(index)
        result = run("annotate", files, vcf, "--scores", path)
        assert result.exit_code == 1 and message in result.stderr, result.stderr
        assert "internal error" not in result.stderr

    refused("a.vcf.gz", content, "has no index", index=None)
    refused("b.vcf.gz", content[:-40], "is truncated")
    refused("c.vcf.gz", b"", "is truncated")
    refused("d.vcf.gz", content, "cannot read scores", index=b"no index")
    refused("f.vcf.gz", b"no VCF" + content[-28:], "cannot read scores")
    plain = str(tmp_path / "e.vcf.gz")
    done(run("annotate", files, vcf, "-r", "chr2:400-400", "-o", plain, "-W", options=[]))
    result = run("annotate", files, vcf, "--scores", plain)
    assert result.exit_code == 1 and "is no file of samvar precompute" in result.stderr
    missing = run("annotate", files, vcf, "--scores", tmp_path / "missing.vcf.gz")
    assert missing.exit_code == 1 and "there is no such file" in missing.stderr


# ------------------------------------------------------------------------------- chunks and resume


def interrupted_after(n, monkeypatch):
    """Have the run get Ctrl-C when its chunk number n is to be written."""
    write = module.Chunks.write

    def until(self, index, lines):
        if index == n:
            raise KeyboardInterrupt
        write(self, index, lines)

    monkeypatch.setattr(module.Chunks, "write", until)


def test_a_run_that_was_interrupted_goes_on_where_it_ended(files, scores, tmp_path, monkeypatch):
    path = str(tmp_path / "scores.vcf.gz")
    command = ["-r", FEW, "-o", path, "--threads", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "CHUNK", 1)
        interrupted_after(1, patch)
        result = run("precompute", files, *command)
        assert result.exit_code == 130 and "go on with --resume" in result.stderr
        assert not os.path.exists(path) and len(os.listdir(f"{path}.chunks")) == 2
    monkeypatch.setattr(module, "CHUNK", 1)
    result = run("precompute", files, *command)
    assert result.exit_code == 1 and "go on with --resume, or remove it" in result.stderr
    for other, name in ((["-D", "40"], "distance"), (["-r", "chr2:308-310"], "regions")):
        result = run("precompute", files, *command, "--resume", *other)
        assert result.exit_code == 1 and f"another {name}" in result.stderr
    result = done(run("precompute", files, *command, "--resume"))
    assert "1 of them by an earlier run" in result.stderr
    assert records(path) == few(scores) and not os.path.exists(f"{path}.chunks")
    result = run("precompute", files, *command, "--resume", "-D", "40")
    assert result.exit_code == 1 and "nothing to resume: without --resume" in result.stderr
    assert records(path) == few(scores)
    assert sorted(os.listdir(tmp_path)) == [f"scores.vcf.gz{end}" for end in ("", ".csi", ".tbi")]


def few(path):
    return [r for r in records(path) if int(r[1]) in (308, 309)]


def test_damaged_chunks_are_refused(files, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1)
    path = str(tmp_path / "scores.vcf.gz")
    command = ["-r", "chr3:39-40", "-o", path, "--resume"]
    with monkeypatch.context() as patch:
        interrupted_after(1, patch)
        assert run("precompute", files, *command).exit_code == 130
    (tmp_path / "scores.vcf.gz.chunks" / "0000000.vcf.gz").write_bytes(b"half")
    result = run("precompute", files, *command)
    assert result.exit_code == 1 and "0000000.vcf.gz is damaged" in result.stderr
    (tmp_path / "scores.vcf.gz.chunks" / "settings.json").write_text("{")
    result = run("precompute", files, *command)
    assert result.exit_code == 1 and "settings.json is damaged" in result.stderr
    os.unlink(tmp_path / "scores.vcf.gz.chunks" / "settings.json")
    result = run("precompute", files, *command)
    assert result.exit_code == 1 and "settings.json is missing" in result.stderr


def test_threads_and_chunks_change_nothing(files, scores, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    path = str(tmp_path / "other.vcf.gz")
    done(run("precompute", files, "-r", FEW, "-o", path, "--threads", "3"))
    assert records(path) == few(scores)


def test_regions_and_genes_select(files, tmp_path):
    path = str(tmp_path / "out.vcf.gz")
    bed, names = tmp_path / "r.bed", tmp_path / "genes.txt"
    bed.write_text("2\t404\t405\n3\t38\t1000\n")
    done(run("precompute", files, "-R", bed, "-o", path))
    assert {(r[0], int(r[1])) for r in records(path)} == {
        ("chr2", 405),
        ("chr3", 39),
        ("chr3", 40),
    }
    names.write_text("E\n")
    done(run("precompute", files, "-R", bed, "--genes", names, "-o", path))
    assert {r[0] for r in records(path)} == {"chr3"}
    for given, code, message in (
        (["-r", "chr9:1-10"], 1, "no gene lies in the regions"),
        (["-r", "chr2:1-10"], 1, "no gene lies in the regions"),
        (["-r", "chr2", "-R", bed], 2, "give one of -r, -R"),
        (["--genes", bed], 1, "the annotation has no gene"),
        (["--genes", tmp_path / "none.txt"], 1, "none.txt"),
        (["--transcripts", tmp_path / "none.txt"], 1, "none of chosen, mane, all, and no file"),
        (["--transcripts", bed], 1, "has none of its"),
        (["-o", tmp_path / "out.vcf"], 2, "must end in .vcf.gz"),
        (["-o", tmp_path / "no" / "out.vcf.gz"], 1, "there is no folder"),
        (["-o", "-"], 2, "give the name of a file"),
    ):
        result = run("precompute", files, "-o", path, *given, options=[])
        assert result.exit_code == code and message in result.stderr, (given, result.stderr)


def test_bases_that_are_all_unknown_make_an_empty_file(files, tmp_path):
    path = str(tmp_path / "out.vcf.gz")
    result = done(run("precompute", files, "-r", "chr2:351-352", "-o", path))
    assert "0 alleles of 2 bases" in result.stderr and not records(path)
    vcf = toy.vcf(tmp_path / "in.vcf", ("chr2", 400, BASES[399], others(BASES[399])[0]))
    result = done(run("annotate", files, vcf, "--scores", path))
    assert "0 alleles taken from" in result.stderr and "1 computed" in result.stderr


def test_the_header_says_what_it_was_made_with(files, scores):
    with pysam.VariantFile(scores) as file:
        header = str(file.header)
    made_with = ("model", "reference", "contig", "annotation", "params")
    for key in ("version", "command", "scores", *made_with):
        assert f"##samvar_{key}=" in header


def test_the_indexes_find_records_with_bcftools(scores):
    need("bcftools")
    for index in (".csi", ".tbi"):
        query = ["bcftools", "view", "-H", "-r", "chr2:400", f"{scores}##idx##{scores}{index}"]
        lines = subprocess.run(query, check=True, capture_output=True, text=True).stdout
        assert len(lines.splitlines()) >= 6


def test_the_recipe_for_bcftools_gives_each_allele_its_scores(files, scores, tmp_path, examples):
    need("bcftools")
    base, wide = BASES[399], BASES[306:311]
    x, y = others(base)[:2]
    several = ("chr2", 400, base, f"{x},{y}")
    not_left_most = ("chr2", 307, wide, wide[:3] + wide[4:])
    contig = f"##contig=<ID=chr2,length={len(BASES)}>"
    toy.vcf(
        tmp_path / "in.vcf",
        several,
        not_left_most,
        header=("##fileformat=VCFv4.2", contig),
    )
    with open(examples("precompute.md")) as page:
        blocks = page.read().split("```sh\n")[1:]
    (recipe,) = [b.split("```")[0] for b in blocks if "bcftools annotate" in b]
    for name, path in (("in.vcf.gz", "in.vcf"), ("GRCh38.fa", files[0]), ("scores.vcf.gz", scores)):
        recipe = recipe.replace(name, path)
    subprocess.run(recipe, shell=True, check=True, cwd=tmp_path, capture_output=True)
    found = {tuple(r[i] for i in (1, 3, 4)): r[7] for r in records(str(tmp_path / "out.vcf.gz"))}
    stored = {tuple(r[i] for i in (1, 3, 4)): r[7] for r in records(scores)}
    assert set(found) == {("400", base, x), ("400", base, y), ("308", "CT", "C")}
    for allele, info in found.items():
        assert sorted(info.split(";")) == sorted(stored[allele].split(";"))
