"""The weights reach a wheel, and the wheel works in an environment of its own."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest

from samvar.model.bundle import FOLDER, bundled, identity, load_bundle
from samvar.model.device import exact_fp32

ROOT = os.path.join(os.path.dirname(__file__), "..")


@pytest.mark.parametrize("name", bundled())
def test_bundled_weights_are_what_their_manifest_says(name):
    bundle = load_bundle(name)
    assert bundle.name == name and len(bundle.rbps) == (79 if name == "paper" else 46)
    assert len(bundle.models) == len(bundle.seeds) and {m.config.kind for m in bundle.models} == {
        "am"
    } == {bundle.kind}


def test_the_promised_bundles_are_there():
    names = "default", "paper", "paper:fm", "large"
    default, paper, fixed, large = found = [load_bundle(name) for name in names]
    assert len(default.models) == 1 and fixed.kind == "fm" and len(large.models) == 2
    assert paper.background is not None  # the scale of percentiles fits these weights
    assert default.learnt and large.learnt and not paper.learnt
    assert len({b.sha256 for b in found}) == 4


def test_fp32_on_a_gpu_is_not_rounded_to_tf32():
    import torch

    cudnn = torch.backends.cudnn
    if not hasattr(cudnn, "conv"):
        pytest.skip("the setting has another name before torch 2.9")
    before = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
    try:
        exact_fp32()
        assert cudnn.conv.fp32_precision == cudnn.rnn.fp32_precision == "ieee"
    finally:
        cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = before


def test_models_are_told_by_what_their_scores_depend_on():
    with open(os.path.join(FOLDER, "paper", "config.json")) as f:
        config = json.load(f)
    before = [identity(config, kind) for kind in ("am", "fm")]
    config["kinds"]["am"][0]["recipe"] = {}
    config["data"] = {}
    assert [identity(config, kind) for kind in ("am", "fm")] == before
    config["kinds"]["am"][0]["config"]["temperature"] += 1
    after = [identity(config, kind) for kind in ("am", "fm")]
    assert after[0] != before[0] and after[1] == before[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(folder),
        ROOT,
    ]  # sdist, then wheel
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.mark.slow
def test_wheel_and_sdist_carry_the_weights(built):
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    assert wheel.stat().st_size < 60e6
    with zipfile.ZipFile(wheel) as z, tarfile.open(sdist) as t:
        for names in (z.namelist(), t.getnames()):
            for name in bundled():
                assert any(n.endswith(f"samvar/weights/{name}/manifest.json") for n in names)
                assert any(
                    f"samvar/weights/{name}/" in n and n.endswith(".safetensors") for n in names
                )
        inside = {n.partition("/")[2] for n in t.getnames()}
    assert {
        "examples/minigenes.vcf",
        "examples/snakemake/Snakefile",
        "tests/toy.py",
        "tests/__init__.py",
        "train/paper/commands.sh",
        "train/evaluate/suite.sh",
    } <= inside


@pytest.mark.slow
def test_wheel_annotates_in_a_clean_environment(built, tmp_path, examples):
    """Only the dependencies are shared with this environment: samvar itself comes from the
    wheel."""
    (wheel,) = built.glob("*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with zipfile.ZipFile(wheel) as z:
        z.extractall(site)
    with open(os.path.join(site, "dependencies.pth"), "w") as f:
        f.write(sysconfig.get_path("purelib") + "\n")
    where = subprocess.run(
        [python, "-c", "import samvar; print(samvar.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    ).stdout
    assert where.startswith(str(site))
    for name in ("minigenes.fa", "minigenes.gtf", "minigenes.vcf"):
        with open(examples(name)) as source, open(tmp_path / name, "w") as copy:
            copy.write(source.read())
    result = subprocess.run(
        [
            python,
            "-m",
            "samvar.cli",
            "annotate",
            "minigenes.vcf",
            "-f",
            "minigenes.fa",
            "-a",
            "minigenes.gtf",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "SAMVAR_STATUS=OK" in result.stdout
