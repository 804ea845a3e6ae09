"""The weights reach a wheel, and the wheel works in an environment of its own."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest

from samvar.bundle import bundled, load_bundle

ROOT = os.path.join(os.path.dirname(__file__), "..")


def test_bundled_weights_are_what_their_manifest_says():
    assert "default" in bundled()
    bundle = load_bundle("default")
    assert len(bundle.rbps) == 79 and bundle.models[0].config.kind == bundle.kind


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), ROOT]  # an sdist, and the wheel made from it
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_wheel_and_sdist_carry_the_weights(built):
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    assert wheel.stat().st_size < 60e6
    with zipfile.ZipFile(wheel) as z, tarfile.open(sdist) as t:
        for names in (z.namelist(), t.getnames()):
            for name in bundled():
                assert any(n.endswith(f"samvar/weights/{name}/manifest.json") for n in names)
                assert any(f"samvar/weights/{name}/" in n and n.endswith(".safetensors") for n in names)


def test_wheel_annotates_in_a_clean_environment(built, tmp_path, examples):
    """Only the dependencies are shared with this environment: samvar itself comes from the wheel."""
    (wheel,) = built.glob("*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    site = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True,
                          capture_output=True, text=True).stdout.strip()
    with zipfile.ZipFile(wheel) as z:
        z.extractall(site)
    with open(os.path.join(site, "dependencies.pth"), "w") as f:
        f.write(sysconfig.get_path("purelib") + "\n")
    where = subprocess.run([python, "-c", "import samvar; print(samvar.__file__)"], check=True, capture_output=True,
                           text=True, cwd=tmp_path).stdout
    assert where.startswith(str(site))
    for name in ("minigenes.fa", "minigenes.gtf", "minigenes.vcf"):
        with open(examples(name)) as source, open(tmp_path / name, "w") as copy:
            copy.write(source.read())
    result = subprocess.run([python, "-m", "samvar.cli", "annotate", "minigenes.vcf", "-f", "minigenes.fa", "-a",
                             "minigenes.gtf"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "SAMVAR_STATUS=OK" in result.stdout
