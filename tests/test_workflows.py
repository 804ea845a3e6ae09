"""The scatter-gather workflows of examples/ give what a single run gives; that of nextflow is run
where there is one."""

import configparser
import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pysam
import pytest
from click.testing import CliRunner

from samvar.cli import main

from . import toy
from .tools import need

pytestmark = pytest.mark.slow

BASES = toy.random_bases(2400, seed=9)
HEADER = ("##fileformat=VCFv4.2", "##contig=<ID=c,length=2400>", "##contig=<ID=other,length=99>")


class World(NamedTuple):
    """Files of a run, all indexed, and what a single run gives."""

    vcf: str
    fasta: str
    annotation: str
    model: str
    single: bytes


@pytest.fixture
def world(tmp_path):
    change = {"A": "C", "C": "G", "G": "T", "T": "A"}
    records = [("c", p, BASES[p - 1], change[BASES[p - 1]]) for p in (50, 690, 999)]
    records += [
        (
            "c",
            1000,
            BASES[999:1012],
            BASES[999],
        ),  # a deletion from the last base of a region into the next
        ("c", 1000, BASES[999], BASES[999] + "ACG"),
        ("c", 1001, BASES[1000:1003], BASES[1000]),
        ("c", 2001, BASES[2000], change[BASES[2000]]),
        ("other", 7, "A", "C"),
    ]
    vcf = toy.vcf(tmp_path / "in.vcf", *records, header=HEADER)
    pysam.tabix_compress(vcf, vcf + ".gz")
    pysam.tabix_index(vcf + ".gz", preset="vcf")
    (tmp_path / "m").mkdir()
    fasta = toy.fasta(tmp_path / "g.fa", c=BASES)
    pysam.faidx(fasta)
    gtf = toy.gtf(tmp_path / "g.gtf", ("G", "c", "+", [(601, 1200), (1501, 2300)]))
    model = toy.bundle(tmp_path / "m")
    files = [vcf + ".gz", "-f", fasta, "-a", gtf, "--model", model]
    single = CliRunner().invoke(main, ["annotate", *files, "--no-version"]).stdout_bytes
    assert single.count(b"SAMVAR_STATUS=OK") == 6
    return World(vcf + ".gz", fasta, gtf, model, single)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="snakemake needs Python 3.11")
def test_snakemake_gives_the_bytes_of_a_single_run(world, tmp_path, examples):
    need("bcftools", "tabix", "snakemake")
    settings = dict(
        vcf=world.vcf,
        fasta=world.fasta,
        annotation=world.annotation,
        window=1000,
        output="out.vcf.gz",
        samvar=f"{sys.executable} -m samvar.cli",
        options=f"--model {world.model}",
    )
    done = subprocess.run(
        [
            "snakemake",
            "-s",
            examples("snakemake/Snakefile"),
            "--cores",
            "2",
            "-d",
            str(tmp_path),
            "--config",
            *(f"{k}={v}" for k, v in settings.items()),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert gzip.decompress((tmp_path / "out.vcf.gz").read_bytes()) == world.single


@pytest.mark.skipif(not shutil.which("nextflow"), reason="nextflow is not installed")
def test_nextflow_gives_the_bytes_of_a_single_run(world, tmp_path, examples):
    need("bcftools", "tabix")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "samvar").write_text(f'#!/bin/sh\nexec {sys.executable} -m samvar.cli "$@"\n')
    (programs / "samvar").chmod(0o755)
    settings = tmp_path / "nextflow.config"
    settings.write_text(
        f"process {{ withName: SAMVAR_ANNOTATE {{ ext.args = '--model {world.model}' }} }}\n"
    )
    files = ["--vcf", world.vcf, "--fasta", world.fasta, "--annotation", world.annotation]
    done = subprocess.run(
        [
            *("nextflow", "-C", settings, "run", examples("nextflow/main.nf"), *files),
            *("--window", "1000", "--outdir", tmp_path / "results"),
        ],
        cwd=tmp_path,
        env=os.environ | dict(PATH=f"{programs}{os.pathsep}{os.environ['PATH']}"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (tmp_path / "results").glob("*.samvar.vcf.gz")
    assert gzip.decompress(made.read_bytes()) == world.single


def test_what_is_installed_elsewhere_is_what_setup_cfg_names(examples):
    """The recipe has every dependency, the container the extras of every command but ray's, the
    module its environment; its test finds its files."""
    root = Path(examples("..")).resolve()
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    names = [
        re.match(r"[\w-]+", x)[0] for x in setup["options"]["install_requires"].split("\n") if x
    ]
    recipe = (root / "conda" / "meta.yaml").read_text().partition("  run:\n")[2]
    of_recipe = re.findall(r"^    - ([\w-]+)", recipe.partition("\ntest:")[0], re.M)
    assert set(of_recipe) == {"pytorch" if n == "torch" else n for n in names} | {"python"}
    extras = set(setup["options.extras_require"]) - {"ray", "dev"}
    (built,) = re.findall(r"/src\[([\w,]+)\]", (root / "Dockerfile").read_text())
    assert set(built.split(",")) == extras
    module = root / "examples" / "nextflow" / "modules" / "samvar" / "annotate"
    script = (module / "main.nf").read_text()
    assert "ENTRYPOINT" not in (root / "Dockerfile").read_text()  # nextflow starts bash
    (environment,) = re.findall(r'conda "\$\{moduleDir\}/(.*)"', script)
    assert (module / environment).is_file() and "    container " in script
    test = (module / "tests" / "main.nf.test").read_text()
    (data,) = set(re.findall(r'data = "\$\{moduleDir\}/(.*)"', test))
    files = re.findall(r"data \+ '(.*?)'", test)
    assert len(files) == 6 and all((module / data / name).is_file() for name in files)


def test_the_nextflow_module_follows_the_guidelines_of_nf_core(examples):
    """Whoever includes it can switch it off, name its outputs and try it without work; what is not
    published yet is said to be so."""
    module = Path(examples("nextflow/modules/samvar/annotate"))
    script = (module / "main.nf").read_text()
    blocks = re.split(r"^    (\w+):\n", script, flags=re.M)
    head, parts = blocks[0], dict(zip(blocks[1::2], blocks[2::2]))
    assert list(parts) == ["input", "output", "when", "script", "stub"]
    assert parts["when"].strip() == "task.ext.when == null || task.ext.when"
    for name in ("script", "stub"):
        assert 'def prefix = task.ext.prefix ?: "${meta.id}"' in parts[name]
        assert "${prefix}.${order}.part.vcf.gz" in parts[name] and "versions.yml" in parts[name]
    assert "def args = task.ext.args ?: ''" in parts["script"]
    assert re.search(r'// A placeholder: .*\n(    // .*\n)*    container "samvar"\n', head)
    test = (module / "tests" / "main.nf.test").read_text()
    assert test.count("test(") == 2 and 'options "-stub"' in test
    recipe = Path(examples("../conda/meta.yaml"))
    for path in (module / "environment.yml", module / "meta.yml", recipe):
        assert re.search("not on PyPI yet", path.read_text(), re.IGNORECASE)
