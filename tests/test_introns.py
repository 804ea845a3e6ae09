"""An annotation of another build than the FASTA is told by its introns."""

import os

import pytest
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import WrongBuildError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.genomics.introns import check_introns


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


def test_the_user_may_go_on(minigenes):
    fasta, annotation = minigenes(37)
    command = ["explain", "mini:1304:G:A", "-f", fasta, "-a", annotation]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1 and "--allow-annotation-mismatch" in refused.stderr
    assert CliRunner().invoke(main, [*command, "--allow-annotation-mismatch"]).exit_code == 0
