"""Probe intensities: the table's format, what is made of it by hand, and a planted rule that
training has to find."""

import gzip
import importlib.util
import json
import math
import os

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import DatasetError, RecipeError
from samvar.formats.probes import ProbeTable, read_probes
from samvar.genomics.genome import decode, encode
from samvar.model.probes import ProbeNet, ProbeShape
from samvar.research.probes import global_importance, shuffled_probes
from samvar.training.checkpoint import load_run, read_run
from samvar.training.probes import chosen_experiments, normalised, parts_of, pearson, predict
from samvar.training.recipe import ProbesRecipe, load_recipe, recipe_from

CPU = torch.device("cpu")
PAGE = os.path.join(os.path.dirname(__file__), "..", "train", "probes")

# ------------------------------------------------------------------------------------------- table


def table(path, *rows):
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


HEAD = "Probe_Set", "Probe_ID", "RNA_Seq", "RNCMPT00001", "RNCMPT00002"


@pytest.mark.parametrize(
    "name, head",
    [("t.txt", HEAD), ("t.txt.gz", ("probe set", "Bait", "Sequence", HEAD[3], HEAD[4]))],
)
def test_a_table_is_read(tmp_path, name, head):
    path = table(
        tmp_path / name,
        head,
        ("SetA", "p1", "AGGUC", 1.5, "NaN"),
        ("set_b", "p2", "acgun", "", -2),
        ("B", "p3", "ACR", "NA", 3e2),
    )
    found = read_probes(path)
    assert found.experiments == ("RNCMPT00001", "RNCMPT00002") and len(found) == 3
    assert [decode(codes) for codes in found.codes] == ["AGGTC", "ACGTN", "ACNNN"]
    assert found.in_b.tolist() == [False, True, True]
    nan = math.nan
    expected = [[1.5, nan], [nan, -2], [nan, 300]]
    np.testing.assert_array_equal(found.intensities, np.array(expected, np.float32))


@pytest.mark.parametrize(
    "rows, message",
    [
        ([("SetA", "p", "ACGU", 1)], "line 3: 4 columns, where the header has 5"),
        ([("SetA", "p", "ACXU", 1, 2)], "line 3: 'ACXU' is no sequence"),
        ([("SetA", "p", "", 1, 2)], "line 3: '' is no sequence"),
        ([("SetC", "p", "ACGU", 1, 2)], "line 3: the set must be A or B, not 'SetC'"),
        ([("SetA", "p", "ACGU", 1, "high")], "line 3: RNCMPT00002 is 'high'"),
        ([("SetA", "p", "ACGU", "inf", 2)], "line 3: RNCMPT00001 is 'inf'"),
        ([], "no probe of set B"),
    ],
)
def test_faults_have_file_and_line(tmp_path, rows, message):
    path = table(tmp_path / "t.txt", HEAD, ("A", "p", "ACGU", 1, 2), *rows)
    with pytest.raises(DatasetError, match=f"t.txt.*{message}"):
        read_probes(path)


@pytest.mark.parametrize(
    "head, message",
    [
        (("Probe_Set", "x"), "line 1: no column of sequences .*begins with Probe_Set, x"),
        (("RNA_Seq", "x"), "line 1: no column of sets"),
        (("RNA_Seq,Probe_Set,x",), "tab-separated, begins with RNA_Seq,Probe_Set,x"),
        (("RNA_Seq", "Probe_Set", "Seq", "x"), "line 1: RNA_Seq and Seq say the same"),
        (("RNA_Seq", "Probe_Set", "Bait"), "line 1: no column of intensities"),
        (("RNA_Seq", "Probe_Set", "x", "x"), "line 1: column 'x' is there twice"),
    ],
)
def test_faults_of_the_header(tmp_path, head, message):
    with pytest.raises(DatasetError, match=message):
        read_probes(table(tmp_path / "t.txt", head))


def test_no_table_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="cannot read probes"):
        read_probes(str(tmp_path / "none.txt"))
    with pytest.raises(DatasetError, match="has a header and no probe"):
        read_probes(table(tmp_path / "t.txt", HEAD))


# ------------------------------------------------------------------------------ what is made of it


def test_normalised_by_hand():
    """Trained on are 0 .. 1000, of which the 99.9th percentile is 999; two are of set B."""
    values = np.append(np.arange(1001.0), [5000, np.nan])[:, None]
    train = np.arange(1003) < 1001
    clipped = np.append(np.arange(1000.0), 999)
    found = normalised(values, train, "clip")[:, 0]
    assert found[:1001] == pytest.approx((clipped - clipped.mean()) / clipped.std(), abs=1e-5)
    assert found[1001] == found[999] and np.isnan(found[1002])
    logs = np.log(values[:1001, 0] + 1)
    found = normalised(values - 7, train, "log")[:, 0]  # the smallest becomes 0, whatever it was
    assert found[:1001] == pytest.approx((logs - logs.mean()) / logs.std(), abs=1e-5)
    same = normalised(np.full((4, 1), 3.0), np.ones(4, bool), "clip")
    assert not same.any()


def made(sequences, in_b, intensities, names=("x", "y")):
    codes = np.stack([encode(s) for s in sequences])
    return ProbeTable("t", "", names, codes, np.array(in_b), np.array(intensities, np.float32))


def test_a_probe_of_both_sets_is_only_tested():
    sequences = ["ACGT", "ACGA", "CCCC", "ACGT"]
    found = made(sequences, [False, False, False, True], np.zeros((4, 2)))
    recipe = ProbesRecipe(steps=1, held_out=0.5)
    train, validation, test = parts_of(found, recipe)
    assert test.tolist() == [False, False, False, True]
    assert (train | validation).tolist() == [False, True, True, False]
    assert not (train & validation).any()


def test_experiments_need_intensities_in_both_sets():
    nan = math.nan
    rows = [[1, nan, 5], [2, 2, 5], [3, nan, 5], [1, 1, 5], [2, 2, 5], [nan, 3, 6]]
    sequences = ["AAAA", "AAAC", "AAAG", "AAAT", "AACA", "AACC"]
    found = made(sequences, [False] * 3 + [True] * 3, rows, ("x", "y", "z"))

    def chosen(**settings):
        recipe = ProbesRecipe(steps=1, held_out=1e-9, **settings)
        return chosen_experiments(found, parts_of(found, recipe), recipe)

    assert chosen(least=2) == [0]  # y has one in set A, z the same for all
    assert chosen(least=2, experiments=["x"]) == [0]
    with pytest.raises(DatasetError, match="y has fewer than 2 intensities"):
        chosen(least=2, experiments=["y"])
    with pytest.raises(DatasetError, match="no experiment of t has 3 intensities in both"):
        chosen(least=3)
    with pytest.raises(DatasetError, match="t has no experiment w"):
        chosen(experiments=["w", "x"])


def test_correlation_passes_over_what_is_missing():
    nan = math.nan
    assert pearson(np.array([1.0, 9, 2, 3]), np.array([2.0, nan, 4, 6])) == pytest.approx(1)
    assert math.isnan(pearson(np.array([1.0, 1]), np.array([2.0, 3])))
    assert math.isnan(pearson(np.array([1.0, 2]), np.array([nan, 3])))


def counting():
    """A network whose first experiment is 5 for each G, but for its norms' small terms, by the
    places of a pool; its second the negative of that. Probes of 8 bases, in two pools."""
    net = ProbeNet(2, ProbeShape(length=8, channels=4, width=1, pool=4, hidden=1, dropout=0.0))
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.dim() > 1 or name.endswith("bias"):
                p.zero_()
        net.of_bases[0][0].weight[:, :, 0] = torch.eye(4)
        net.residual.layers[-1].weight.zero_()  # the block adds nothing
        net.together[3].weight[0, 4:6] = 4.0  # channel 2 (G) in both pools, times their places
        net.together[-1].weight[:, 0] = torch.tensor([5.0, -5.0])
    return net.eval()


def test_the_counting_network_counts():
    codes = np.stack([encode(s) for s in ("AGGATTGA", "CCCCCCCC", "GGNNNNNN")])
    found = predict(counting(), codes, CPU)
    assert found == pytest.approx(np.array([[15, -15], [0, 0], [10, -10]]), rel=1e-4)


def test_global_importance_of_a_sum_is_what_the_pattern_adds():
    """Patterns of two bases stand in places 3 and 4 of 8: GG adds 10 less what stood there."""
    backgrounds = np.stack([encode("AAAGAAAA"), encode("AAAAAAAA")])
    patterns = np.stack([encode("GG"), encode("CA")])
    mean, error = global_importance(counting(), backgrounds, patterns, CPU)
    first = [(5 + 10) / 2, (-5 + 0) / 2]
    assert mean[:, 0] == pytest.approx(first, rel=1e-4)
    assert mean[:, 1] == pytest.approx([-v for v in first], rel=1e-4)
    spread = 5 / 2  # of 5 and 10: sd 5 / sqrt(2), by sqrt(2)
    assert error[:, 0] == pytest.approx([spread, spread], rel=1e-4)


def test_shuffled_probes_keep_bases_and_end():
    codes = np.stack([encode("AACCGGTTNN"), encode("AAAAAAAAAN")])
    found = [decode(own) for own in shuffled_probes(codes, 20, 1)]
    kinds = {"".join(sorted(text.rstrip("N"))) for text in found}
    assert kinds == {"AACCGGTT", "AAAAAAAAA"} and all(len(text) == 10 for text in found)
    assert any("AACCGGTT" not in text for text in found if "C" in text)


def test_a_recipe_is_checked():
    with pytest.raises(RecipeError, match="normalise must be clip or log"):
        recipe_from(dict(steps=1, normalise="rank"), ProbesRecipe)
    with pytest.raises(RecipeError, match="experiments must be a list of names"):
        recipe_from(dict(steps=1, experiments=[1]), ProbesRecipe)
    with pytest.raises(RecipeError, match="held_out must lie"):
        recipe_from(dict(steps=1, held_out=1.0), ProbesRecipe)


def test_the_recipe_of_the_page_is_one():
    recipe = load_recipe(os.path.join(PAGE, "rnacompete.toml"), ProbesRecipe)
    assert recipe.normalise == "clip" and not recipe.experiments


# ---------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def rnacompete(tmp_path_factory):
    """The made-up table of the page."""
    path = tmp_path_factory.mktemp("rnacompete") / "probes.txt.gz"
    spec = importlib.util.spec_from_file_location("made_up", os.path.join(PAGE, "made_up.py"))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.write(str(path))
    return path


def train(path, out, *more, code=0, **settings):
    """With the recipe of the page, but for these settings."""
    made = load_recipe(os.path.join(PAGE, "made_up.toml"), ProbesRecipe)
    recipe = out.parent / f"{out.name}.toml"
    values = vars(made) | settings
    recipe.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
    args = ["train", "probes", recipe, "--table", path, "-o", out, "--threads", 1, *more]
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == code, result.stderr
    return result.stderr


def tsv(path):
    head, *rows = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(head, row)) for row in rows]


@pytest.mark.slow
def test_the_planted_rules_are_found_and_a_resumed_run_is_the_same(rnacompete, tmp_path):
    out = tmp_path / "whole"
    said = train(rnacompete, out, "--motifs", tmp_path / "motifs.svg")
    assert "3 of 3 experiments" in said and "1000 to test" in said
    found = {row["EXPERIMENT"]: row for row in tsv(out / "results.tsv")}
    assert list(found) == ["FOX", "PUM", "NONE"]
    for name, motif in (("FOX", "UGCAUG"), ("PUM", "UGUAAAUA")):
        row = found[name]
        assert float(row["LOW"]) < float(row["PEARSON"]) < float(row["HIGH"])
        assert float(row["LOW"]) > 0.8
        assert motif in row["CONSENSUS"].upper() and row["TOP"] in motif
    assert abs(float(found["NONE"]["PEARSON"])) < 0.15
    assert int(found["FOX"]["TESTED"]) == pytest.approx(800, abs=60)
    kmers = [row for row in tsv(out / "kmers.tsv") if row["EXPERIMENT"] == "FOX"]
    assert kmers[0]["KMER"] == "UGCAUG" and len(kmers) == 10
    first, second = (float(row["IMPORTANCE"]) for row in kmers[:2])
    assert first - 3 * float(kmers[0]["SE"]) > second > 0
    assert "FOX (" in (tmp_path / "motifs.svg").read_text()

    parts = tmp_path / "parts"
    said = train(rnacompete, parts, "--minutes", 1e-9)
    assert "go on with --resume" in said and not (parts / "results.tsv").exists()
    train(rnacompete, parts, "--resume")
    for name in ("model.safetensors", "results.tsv", "kmers.tsv"):
        assert (parts / name).read_bytes() == (out / name).read_bytes()

    description, _ = read_run(str(out), "probes")
    assert description["experiments"] == ["FOX", "PUM", "NONE"]
    with pytest.raises(RecipeError, match="run of a model of probes"):
        load_run(str(out))
    assert "holds a checkpoint" in train(rnacompete, out, code=1)


def test_one_experiment_alone(rnacompete, tmp_path):
    settings = dict(experiments=["PUM"], steps=2, kmer=2, normalise="log")
    assert "1 of 3 experiments" in train(rnacompete, tmp_path / "one", **settings)
    assert [row["EXPERIMENT"] for row in tsv(tmp_path / "one" / "results.tsv")] == ["PUM"]


def test_probes_that_are_too_short_are_refused(tmp_path):
    rows = [("A" if i % 2 else "B", "ACGUACGUAC", i) for i in range(20)]
    path = table(tmp_path / "t.txt", ("Set", "Seq", "x"), *rows)
    assert "in both sets" in train(path, tmp_path / "a", code=1, least=2)  # A's probes are B's
    rows = [(s, f + "ACGUACGUAC", i) for i in range(20) for s, f in (("A", "A"), ("B", "C"))]
    path = table(tmp_path / "t.txt", ("Set", "Seq", "x"), *rows)
    assert "has 11 bases: make width" in train(path, tmp_path / "b", code=1, least=2)


def test_the_page_says_what_the_results_say():
    with open(os.path.join(PAGE, "README.md")) as handle:
        page = handle.read()
    with open(os.path.join(PAGE, "results", "made_up.results.tsv")) as handle:
        head, *rows = (line.rstrip("\n").split("\t") for line in handle)
    for row in (dict(zip(head, cells)) for cells in rows):
        numbers = "{:.2f} ({:.2f} to {:.2f})".format(
            *(float(row[key]) for key in ("PEARSON", "LOW", "HIGH"))
        )
        motif = f"`{row['CONSENSUS']}` ({row['PROBES_WITH']}/{row['PROBES']})"
        assert f"| {numbers} | `{row['TOP']}` | {motif} |" in page
