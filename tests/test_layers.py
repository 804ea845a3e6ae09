"""Imports point downward: every module of the package imports from its own room or from a lower
one, in no circle."""

import ast
import os

import pytest

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), ".."))
LAYERS = (  # from the ground up
    # of samvar itself, the version
    ("samvar", "samvar.errors", "samvar.files", "samvar.workers"),
    ("samvar.model",),
    ("samvar.genomics",),
    ("samvar.formats",),
    ("samvar.scoring",),
    (
        "samvar.annotate",
        "samvar.haplotypes",
        "samvar.info",
        "samvar.lookup",
        "samvar.opinions",
        "samvar.verify",
    ),
    ("samvar.precompute",),
    ("samvar.views", "samvar.training", "samvar.research"),
    ("samvar.scorer",),
    ("samvar.arrow", "samvar.serve"),
    ("samvar.cli",),
)


def modules() -> dict[str, str]:
    """Name of every module of the package -> its file."""
    found = {}
    for folder, _, names in os.walk(os.path.join(ROOT, "samvar")):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                parts = os.path.relpath(path, ROOT).removesuffix(".py").split(os.sep)
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: str, among: set[str]) -> set[str]:
    """Modules of the package that a module imports anywhere in its text, also within a function."""
    with open(path) as handle:
        tree = ast.parse(handle.read())
    package = module.split(".") if path.endswith("__init__.py") else module.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= names & among
            if names - among:
                found.add(source)
    return found & among


def layer(module: str) -> int:
    """Index of the layer of a module, which is that of its room."""
    room = ".".join(module.split(".")[:2])
    (index,) = [i for i, rooms in enumerate(LAYERS) if room in rooms]
    return index


@pytest.fixture(scope="module")
def graph():
    files = modules()
    found = {module: imports(module, path, set(files)) for module, path in files.items()}
    return found | {"samvar": set()}  # the front door: what it hands out is imported when asked for


def test_the_imports_are_read(graph):
    assert {"samvar.model.sam", "samvar.files"} <= graph["samvar.model.bundle"]
    assert "samvar.annotate" in graph["samvar.cli.annotate"]  # within a function


def test_no_import_points_upward(graph):
    upward = [f"{a} -> {b}" for a, targets in graph.items() for b in targets if layer(b) > layer(a)]
    assert not upward


def test_no_import_goes_round_in_a_circle(graph):
    below = {module: set(targets) for module, targets in graph.items()}
    while leaves := {module for module, targets in below.items() if not targets}:
        below = {
            module: targets - leaves for module, targets in below.items() if module not in leaves
        }
    assert not below


def test_a_circle_and_an_upward_arrow_are_seen(tmp_path):
    path = tmp_path / "genome.py"
    path.write_text("from ..scoring.deltas import compute\n\ndef f():\n    from . import genes\n")
    found = imports(
        "samvar.genomics.genome", str(path), {"samvar.scoring.deltas", "samvar.genomics.genes"}
    )
    assert found == {"samvar.scoring.deltas", "samvar.genomics.genes"}
    assert layer("samvar.scoring.deltas") > layer("samvar.genomics.genome")
