"""The notebook of examples/ runs, and prints what the golden file says."""

import os

import pytest

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), ".."))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs(examples, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", ROOT)
    notebook = nbformat.read(examples("notebook.ipynb"), as_version=4)
    client.NotebookClient(
        notebook, timeout=200, resources={"metadata": {"path": examples("")}}
    ).execute()
    printed = "".join(o.text for c in notebook.cells for o in c.get("outputs", ()) if "text" in o)
    with open(examples("minigenes.expected.vcf")) as f:
        lost = next(line for line in f if "\tenhancer_lost\t" in line)
    golden = lost.partition(";SAMVAR=")[2].split("|")[5:9]
    assert [line.split()[1] for line in printed.splitlines()[:4]] == golden
    assert "MOTIF_11 loss" in printed and "REF_MISMATCH" in printed and "NO_GENE" in printed
