"""What all commands have in common: help that says what each option does, and outputs that are
checked before any work."""

import sys

import click
import pytest
from click.testing import CliRunner

from samvar.cli import main

from . import toy


def commands(group=main, path=()):
    """(path, command) of every command, those of groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())


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


def test_a_folder_that_can_be_made_is_no_error(tmp_path):
    from samvar.files import check_folder_writable

    check_folder_writable(str(tmp_path))
    check_folder_writable(str(tmp_path / "a" / "b"))
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(NotADirectoryError):
        (tmp_path / "gone").write_text("")
        check_folder_writable(str(tmp_path / "link"))
