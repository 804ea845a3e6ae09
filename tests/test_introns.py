"""An annotation of another build than the FASTA is recognised by its introns, and by where contigs
end."""

import os
import warnings
from contextlib import nullcontext

import pytest
from click.testing import CliRunner

import samvar
from samvar.cli import main
from samvar.errors import WrongBuildError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import CircularGenome, Genome
from samvar.genomics.introns import check_introns

from . import toy


@pytest.fixture
def minigenes(tmp_path, examples):
    """FASTA, and its annotation moved by so many bases."""

    def files(shift):
        path = tmp_path / f"{shift}.gtf"
        with open(examples("minigenes.gtf")) as f:
            rows = [line.split("\t") for line in f if not line.startswith("#")]
        for row in rows:
            row[3:5] = str(int(row[3]) + shift), str(int(row[4]) + shift)
        path.write_text("".join("\t".join(row) for row in rows))
        fasta = tmp_path / "g.fa"
        if not os.path.exists(fasta):
            with open(examples("minigenes.fa")) as f:
                fasta.write_text(f.read())
        return str(fasta), str(path)

    return files


@pytest.mark.parametrize("shift", [-1, 1, 37, 250])
def test_shifted_introns_are_refused_and_true_ones_are_not(minigenes, shift):
    fasta, annotation = minigenes(shift)
    with pytest.raises(WrongBuildError) as e:
        check_introns(Genome(fasta), load_annotation(annotation))
    assert fasta in str(e.value) and annotation in str(e.value) and "build" in str(e.value)
    check_introns(Genome(fasta), load_annotation(minigenes(0)[1]))


def few(annotation, *genes):
    """The annotation with these genes alone."""
    with open(annotation) as f:
        rows = [line for line in f if any(f'gene_id "{gene}"' in line for gene in genes)]
    with open(annotation, "w") as f:
        f.writelines(rows)


@pytest.mark.parametrize("genes, introns", [(["STRONG"], 2), (["STRONG", "WEAK"], 4)])
def test_of_few_shifted_introns_the_user_is_warned(minigenes, genes, introns):
    fasta, annotation = minigenes(7)
    few(annotation, *genes)
    doubt = check_introns(Genome(fasta), load_annotation(annotation))
    assert doubt.startswith(f"only 0 of {introns} introns of annotation {annotation} ")
    assert fasta in doubt and "build?" in doubt
    true = minigenes(0)[1]
    few(true, *genes)
    assert check_introns(Genome(fasta), load_annotation(true)) == ""


@pytest.mark.parametrize("genes", [(), ("STRONG",)])
def test_genes_that_most_lie_beyond_their_contig_are_told(minigenes, genes):
    """The FASTA may be a part of the right genome: no error."""
    fasta, annotation = minigenes(7400)
    few(annotation, *genes or ("STRONG", "WEAK", "CRYPTIC"))
    n = len(genes or "SWC")
    doubt = check_introns(Genome(fasta), load_annotation(annotation))
    assert doubt.startswith(
        f"{n} of {n} genes of annotation {annotation} have exons beyond the end"
    )
    assert doubt.endswith("the FASTA is a part of the genome, or the annotation of another build")
    told = CliRunner().invoke(main, ["explain", "mini:1304:G:A", "-f", fasta, "-a", annotation])
    assert told.exit_code == 0 and f"samvar: {doubt}" in told.stderr


def test_of_few_genes_beyond_their_contig_the_user_is_warned(minigenes):
    """The last base counts: a gene may end with its contig, but on a circle go on."""
    fasta, annotation = minigenes(0)
    end = Genome(fasta).lengths["mini"]
    with open(annotation) as f:
        text = f.read()

    def doubt(last, genome=None):
        with open(annotation, "w") as f:
            f.write(text.replace("\t7093\t", f"\t{last}\t"))
        return check_introns(genome or Genome(fasta), load_annotation(annotation))

    assert doubt(end) == ""
    assert doubt(end + 1, CircularGenome(fasta, ["mini"])) == ""
    assert doubt(end + 1) == (
        f"1 of 3 genes of annotation {annotation} have exons beyond the end of their contig in "
        f"FASTA {fasta} (CRYPTIC): is the annotation of the FASTA's genome build?"
    )


def test_no_intron_is_no_doubt(tmp_path, minigenes):
    fasta, _ = minigenes(0)
    annotation = toy.gtf(tmp_path / "one.gtf", ("G", "mini", "+", [(401, 540)]))
    assert check_introns(Genome(fasta), load_annotation(annotation)) == ""


@pytest.mark.parametrize("option", [[], ["--allow-annotation-mismatch"]])
def test_the_warning_is_on_stderr_unless_the_user_allows(minigenes, tmp_path, option):
    fasta, annotation = minigenes(7)
    few(annotation, "STRONG")
    command = ["explain", "mini:1304:G:A", "-f", fasta, "-a", annotation]
    result = CliRunner().invoke(main, [*command, "--model", toy.bundle(tmp_path), *option])
    assert result.exit_code == 0
    assert ("samvar: only 0 of 2 introns" in result.stderr) == (not option)


@pytest.mark.parametrize("allowed", [False, True])
def test_the_library_warns_unless_the_user_allows(minigenes, tmp_path, allowed):
    fasta, annotation = minigenes(7)
    few(annotation, "STRONG")
    expected = nullcontext() if allowed else pytest.warns(UserWarning, match="only 0 of 2 introns")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with expected:
            files = fasta, annotation, toy.bundle(tmp_path)
            samvar.load(*files, allow_annotation_mismatch=allowed).close()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["background", "evaluate"])
def test_training_commands_check_and_tell_notes(minigenes, tmp_path, command):
    fasta, annotation = minigenes(37)
    with open(annotation, "a") as f:
        f.write('mini\tx\texon\t1\t9\t.\t.\t.\tgene_id "bare"; transcript_id "bare.1";\n')
    args = ["-f", fasta, "-a", annotation]
    if command == "background":
        vcf = toy.vcf(tmp_path / "none.vcf")
        args = [vcf, *args, "--model", toy.bundle(tmp_path)]
    else:
        args += ["--model", toy.bundle(tmp_path), "--no-paralogs", "--json", "-"]
    result = CliRunner().invoke(main, ["train", command, *args])
    assert result.exit_code == 1 and "--allow-annotation-mismatch" in result.stderr
    assert "without a strand" in result.stderr
    allowed = CliRunner().invoke(main, ["train", command, *args, "--allow-annotation-mismatch"])
    assert "--allow-annotation-mismatch" not in allowed.stderr
    assert (
        "no allele" in allowed.stderr or "does not say which genes have paralogs" in allowed.stderr
    )


def test_the_library_checks(minigenes, tmp_path):
    files, model = minigenes(37), toy.bundle(tmp_path)
    with pytest.raises(WrongBuildError, match="in Python: allow_annotation_mismatch=True"):
        samvar.load(*files, model=model)
    samvar.load(*files, model=model, allow_annotation_mismatch=True).close()


@pytest.mark.slow
def test_the_user_may_go_on(minigenes):
    fasta, annotation = minigenes(37)
    command = ["explain", "mini:1304:G:A", "-f", fasta, "-a", annotation]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1 and "--allow-annotation-mismatch" in refused.stderr
    assert CliRunner().invoke(main, [*command, "--allow-annotation-mismatch"]).exit_code == 0
