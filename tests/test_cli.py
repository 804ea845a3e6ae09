"""What all commands have in common: help that says what each option does, and outputs that are
checked before any work."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from samvar.cli import main

from . import toy

FULL = "/dev/full"
CONTIG = "##contig=<ID=c,length=600>"


def commands(group=main, path=()):
    """(path, command) of every command, those of groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())
GROUPS = [(), *(path for path, command in COMMANDS.items() if isinstance(command, click.Group))]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_in_whole_sentences(path):
    command = COMMANDS[path]
    assert not command.get_short_help_str(limit=80).endswith("...")
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help[0].isupper() and option.help.endswith((".", "]")), option.name
            assert option.metavar or option.type is not click.STRING, option.name
            assert "--bundle" not in option.opts
    assert CliRunner().invoke(main, [*path, "-h"]).exit_code == 0


@pytest.mark.parametrize("path", GROUPS, ids=str)
def test_listed_commands_have_whole_lines(path):
    listing = CliRunner().invoke(main, [*path, "--help"]).stdout.split("Commands:\n")[1]
    assert listing and not [line for line in listing.splitlines() if line.endswith("...")]


@pytest.fixture
def inputs(tmp_path):
    bases = toy.random_bases(600)
    toy.vcf(tmp_path / "x.vcf", ("c", 100, bases[99], "T" if bases[99] != "T" else "A"))
    (tmp_path / "recipe.toml").write_text("steps = 1\n")
    return [
        "-f",
        toy.fasta(tmp_path / "g.fa", c=bases),
        "-a",
        toy.gtf(tmp_path / "g.gtf", ("G", "c", "+", [(50, 120), (200, 300)])),
    ]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy.bundle(tmp_path_factory.mktemp("bundle"))


OUTPUTS = {  # what is asked for, with the output last -> why it cannot be written into a file
    ("annotate", "x.vcf", "-o"): True,
    ("annotate", "x.vcf", "--tsv"): True,
    ("annotate", "x.vcf", "--parquet"): True,
    ("annotate", "x.vcf", "--stats"): True,
    ("report", "x.vcf", "-o"): True,
    ("precompute", "--bed"): True,
    ("precompute", "--bigwig"): True,
    ("scan", "c:1-2", "-o"): True,
    ("junctions", "x.vcf", "-o"): True,
    ("junctions", "x.vcf", "--clean"): True,
    ("predict", "g.fa", "--bed"): False,
    ("gia", "GAA", "--state"): True,
    ("eig", "c:50", "-o"): True,
    ("compare", "a.vcf", "b.vcf", "-o"): False,
    ("annotate", "x.vcf", "-O", "z", "-W", "-o"): True,
    ("motifs", "--table"): True,
    ("motifs", "--html"): True,
    ("motifs", "--svg"): True,
    ("train", "evaluate", "--json"): True,
    ("train", "prepare", "-o"): True,
    ("train", "average", "run", "-d", "data", "-o"): False,
    ("train", "narrow", "run", "-d", "data", "--inner", "8", "-o"): False,
    ("train", "bundle", "--name", "x", "--am", "run", "-d", "data", "-o"): False,
    ("train", "lssi", "recipe.toml", "-d", "data", "-o"): False,
    ("train", "fm", "recipe.toml", "-d", "data", "--lssi", "l", "-o"): False,
    ("train", "am", "recipe.toml", "-d", "data", "--lssi", "l", "-o"): False,
}


@pytest.mark.parametrize("command", OUTPUTS, ids=" ".join)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    command, inputs, tmp_path, monkeypatch
):
    """A file stands where the folder of the output would have to be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("samvar.genomics.genome.Genome", None)
    monkeypatch.setattr("samvar.model.bundle.load_bundle", None)
    monkeypatch.setattr("samvar.training.prepare.prepare", None)
    (tmp_path / "file").write_text("")
    files = inputs * OUTPUTS[command]
    result = CliRunner().invoke(main, [*command, "file/out", *files])
    assert result.exit_code == 1 and "samvar: error: cannot write" in result.stderr, result.stderr
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("file")) == ["file"]


@pytest.mark.parametrize("command", OUTPUTS, ids=" ".join)
def test_an_output_without_a_name_is_refused_before_the_work(
    command, inputs, tmp_path, monkeypatch
):
    """As where a variable of the shell is not set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("samvar.genomics.genome.Genome", None)
    monkeypatch.setattr("samvar.model.bundle.load_bundle", None)
    monkeypatch.setattr("samvar.training.prepare.prepare", None)
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(main, [*command, "", *inputs * OUTPUTS[command]])
    assert result.exit_code in (1, 2) and "is empty" in result.stderr, result.output
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("option", ["--svg", "--html"])
@pytest.mark.parametrize("missing", ["matplotlib", "logomaker"])
def test_logos_without_an_extra_are_refused_before_the_work(
    option, missing, inputs, tmp_path, monkeypatch
):
    monkeypatch.setattr("samvar.model.bundle.load_bundle", None)
    monkeypatch.setitem(sys.modules, missing, None)
    result = CliRunner().invoke(main, ["motifs", *inputs, option, str(tmp_path / "out")])
    assert result.exit_code == 1 and "pip install 'samvar[plot]'" in result.stderr
    assert not (tmp_path / "out").exists()


STDIN = {  # what reads stdin, with the output last -> the file
    ("annotate", "-", "-o"): "x.vcf",
    ("annotate", "--tsv"): "x.vcf",
    ("report", "-", "-o"): "x.vcf",
    ("junctions", "-", "-o"): "x.vcf",
    ("junctions", "-", "--clean"): "x.vcf",
    ("predict", "-", "-o"): "g.fa",
    ("compare", "-", "b.vcf", "-o"): "x.vcf",
}


@pytest.mark.parametrize("command", STDIN, ids=" ".join)
def test_a_file_read_through_stdin_is_no_output(command, inputs, tmp_path):
    file = tmp_path / STDIN[command]
    before = file.read_bytes()
    files = inputs if command[0] in ("annotate", "report", "junctions") else []
    line = [sys.executable, "-m", "samvar.cli", *command, str(file), *files]
    with open(file) as stdin:
        result = subprocess.run(line, stdin=stdin, capture_output=True, text=True)
    assert result.returncode == 2 and f"{file} is an input" in result.stderr
    assert file.read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists(FULL), reason="no device that is always full")
@pytest.mark.parametrize(
    "command",
    [
        "annotate x.vcf -o F",
        "annotate x.vcf -O z -o F",
        "annotate x.vcf -o y.vcf --tsv F",
        "annotate x.vcf -o y.vcf --stats F",
        "annotate x.vcf > F",
        "explain c:100 --vcf x.vcf --html F",
        "explain c:100 --vcf x.vcf > F",
        "scan c:100-101 -o F",
        "scan c:100-101 > F",
        "junctions x.bed -o F --clean y.bed",
        "junctions x.bed -o y.tsv --min-score 0 --clean F",
        "junctions x.bed -o y.tsv --min-score 0 --clean - > F",
        "knockout --rbp AAA1 -o F",
    ],
)
def test_a_full_disk_is_told_with_the_file(command, inputs, bundle, tmp_path):
    (tmp_path / "x.bed").write_text("c\t120\t199\n")
    command, full, _ = command.partition(" > F")
    line = [FULL if word == "F" else word for word in command.split()]
    line = [sys.executable, "-m", "samvar.cli", *line, *inputs, "--model", bundle]
    with open(FULL if full else os.devnull, "w") as out:
        result = subprocess.run(
            line, stdout=out, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            cwd=tmp_path,
        )  # fmt: skip
    where = "to stdout" if full else FULL
    *_, last = result.stderr.splitlines()
    assert last == f"samvar: error: cannot write {where}: No space left on device"
    assert result.returncode == 1


@pytest.mark.skipif(not os.path.exists(FULL), reason="no device that is always full")
@pytest.mark.parametrize("command", ["--help", "--version", "annotate --help"])
def test_help_for_a_full_disk_is_told_in_a_line(command):
    with open(FULL, "w") as out:
        result = subprocess.run(
            [sys.executable, "-m", "samvar.cli", *command.split()],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
    told = "samvar: error: cannot write to stdout: No space left on device\n"
    assert (result.returncode, result.stderr) == (1, told)


def annotated(record, inputs, bundle, tmp_path, *more):
    """What `annotate` says of a VCF of one record."""
    path = toy.vcf(tmp_path / "one.vcf", record, header=("##fileformat=VCFv4.2", CONTIG))
    return CliRunner().invoke(main, ["annotate", path, *inputs, "--model", bundle, *more])


def test_a_share_of_refs_is_a_plain_number(inputs, bundle, tmp_path):
    wrong = "A" if toy.random_bases(600)[99] != "A" else "C"
    result = annotated(("c", 100, wrong, "G"), inputs, bundle, tmp_path, "--strict")
    assert result.exit_code == 3 and "samvar: 100 % of the REFs" in result.stderr


def test_records_on_no_contig_of_the_fasta_are_told(inputs, bundle, tmp_path):
    result = annotated(("zz", 5, "A", "C"), inputs, bundle, tmp_path)
    assert result.exit_code == 0 and "NO_CONTIG 1" in result.stderr
    assert f"no record is on a contig of {inputs[1]} (c): they are on zz." in result.stderr
    base = toy.random_bases(600)[99]
    known = annotated(("c", 100, base, "G" if base != "G" else "A"), inputs, bundle, tmp_path)
    assert known.exit_code == 0 and "no record is on" not in known.stderr
    both = toy.vcf(
        tmp_path / "both.vcf",
        ("c", 100, base, "<DEL>"),
        ("zz", 5, "A", "C"),
        header=("##fileformat=VCFv4.2", CONTIG),
    )
    placed = CliRunner().invoke(main, ["annotate", both, *inputs, "--model", bundle])
    assert "NO_CONTIG 1" in placed.stderr and "no record is on" not in placed.stderr


def test_a_folder_that_can_be_made_is_no_error(tmp_path):
    from samvar.files import check_folder_writable

    check_folder_writable(str(tmp_path))
    check_folder_writable(str(tmp_path / "a" / "b"))
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(NotADirectoryError):
        (tmp_path / "gone").write_text("")
        check_folder_writable(str(tmp_path / "link"))
