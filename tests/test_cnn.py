"""`samvar train cnn`: a dilated network learns planted sites, resumes to the same, and teaches."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from samvar.cli import main
from samvar.errors import RecipeError
from samvar.model.sam import one_hot
from samvar.training.cnn import GROUPS, CnnTask, DilatedResNet, cnn_top_k, load_cnn
from samvar.training.dataset import Dataset, TrainingGene
from samvar.training.recipe import CONTEXTS, CnnRecipe, recipe_from
from samvar.training.soft_labels import SoftLabels
from samvar.training.teach import LEFT, load_teacher

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
INTRON = "GTAAGT", "TTTTTTTTCAG"  # the ends of every one; no exon has a T
TINY = dict(
    steps=60,
    context=80,
    channels=8,
    batch_bases=1200,
    windows=[150, 300],
    lr=0.01,
    warmup=5,
    validate_every=20,
    checkpoint_every=10,
)


def planted(rng, introns=5):
    """A gene of exons of 90 bases and introns of 107, with planted sites."""
    bases, acceptors, donors = "", [], []
    for _ in range(introns):
        bases += "".join(rng.choice(list("ACG"), 90))
        donors.append(len(bases) - 1)
        bases += INTRON[0] + "".join(rng.choice(list("ACGT"), 90)) + INTRON[1]
        acceptors.append(len(bases))
    bases += "".join(rng.choice(list("ACG"), 90))
    return np.array(["ACGT".index(b) for b in bases], np.uint8), acceptors, donors


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    genes = [planted(rng) for _ in range(12)]
    splits = ["train"] * 8 + ["validation"] * 4
    return Dataset.from_genes(
        [TrainingGene(f"g{i}", "1", *g, split=s) for i, (g, s) in enumerate(zip(genes, splits))]
    )


@pytest.fixture(scope="module")
def packed(data, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("cnn") / "data.npz")
    data.save(path)
    return path


def invoke(*args, code=0):
    result = CliRunner().invoke(main, ["train", *map(str, args), "--threads", "1"])
    assert result.exit_code == code, result.stderr
    return result.stderr


def toml(path, **values):
    path.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
    return path


@pytest.fixture(scope="module")
def run(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    invoke("cnn", toml(folder / "r.toml", **TINY), "-d", packed, "-o", folder / "cnn")
    return folder / "cnn"


@pytest.mark.parametrize("groups, context", list(enumerate(CONTEXTS, 1)))
def test_a_context_is_what_its_groups_reach(groups, context):
    assert 2 * DilatedResNet(2, GROUPS[:groups]).reach == context


@pytest.mark.parametrize("context", CONTEXTS[:2])
def test_a_probability_depends_on_its_context_alone(data, context):
    task = CnnTask(data, CnnRecipe(steps=1, context=context, channels=4), CPU)
    net, reach = task.model.eval().double(), context // 2
    x = one_hot(torch.from_numpy(data.codes[: context + 4][None].copy())).double()
    x.requires_grad_(True)
    log_p = net(x)
    assert log_p.shape == (1, 3, 4) and task.sampler.reach == (reach, reach)
    (slope,) = torch.autograd.grad(log_p[0, 1, 1], x)
    seen = slope[0].abs().sum(0).nonzero()[:, 0].tolist()
    assert seen == list(range(1, context + 2))


def test_the_loss_is_that_of_the_labels_by_hand(data):
    """A network that says a third of everything costs 1,000 log 3 nats per 1,000 bases."""
    task = CnnTask(data, CnnRecipe(steps=1, context=80, channels=4, batch_bases=300), CPU)
    with torch.no_grad():
        task.model.classes.weight.zero_()
        task.model.classes.bias.zero_()
    assert task.loss(0).item() == pytest.approx(1000 * np.log(3), rel=1e-5)


def test_planted_sites_are_learnt(data, run):
    header, *rows = (line.split("\t") for line in (run / "metrics.tsv").read_text().splitlines())
    found = cnn_top_k(load_cnn(run), data, data.genes("validation"), CPU, resamples=50)
    assert found.n_donor == found.n_acceptor == 4 * 5 and found.n_genes == 4
    assert found.mean > 90 and found.interval[0] <= found.mean <= found.interval[1]
    told = [float(row[header.index("topk_mean")]) for row in rows]
    assert told[-1] == pytest.approx(found.mean, abs=1e-3) and told[0] < told[-1]


def test_a_resumed_run_ends_with_the_same_digits(packed, run, tmp_path):
    recipe = toml(tmp_path / "r.toml", **TINY)
    parts = "cnn", recipe, "-d", packed, "-o", tmp_path / "parts"
    said = invoke(*parts, "--minutes", "1e-9")
    assert "stopped after" in said
    unfinished = tmp_path / "parts"
    with pytest.raises(RecipeError, match="at step 1 of 60"):
        load_cnn(str(unfinished))
    while "stopped after" in said:
        said = invoke(*parts, "--resume", "--minutes", "0.02")
    whole, again = (load_file(folder / "model.safetensors") for folder in (run, unfinished))
    assert whole.keys() == again.keys()
    assert all(torch.equal(value, again[key]) for key, value in whole.items())
    assert "holds a checkpoint" in invoke(*parts, code=1)


def test_a_run_is_a_teacher(data, packed, run, tmp_path):
    """Its labels are its probabilities, whose context is less than a student's. The dataset needs
    no motifs, unless they are to be planted."""
    values = dict(families=6, width=300, jitter=10, versions=2)
    recipe = toml(tmp_path / "t.toml", **values)
    args = "teach", recipe, "-d", packed, "--teacher", run, "-o", tmp_path / "labels"
    assert "no motifs to plant" in invoke(*args, code=1)
    toml(recipe, **values, planted=0.0)
    invoke(*args)
    about = json.loads((tmp_path / "labels" / "teach.json").read_text())
    assert about["teacher"] == "cnn" and len(about["identity"]["teachers"][0]) == 64
    labels, net = SoftLabels.load_folder(str(tmp_path / "labels")), load_cnn(run)
    assert labels.left == LEFT and len(labels.codes) > 6
    own = labels.codes[
        :, labels.left - net.reach : labels.codes.shape[1] - labels.right + net.reach
    ]
    with torch.inference_mode():
        expected = net(one_hot(torch.from_numpy(own))).exp().numpy()[:, 1:]
    told = labels.probabilities(np.arange(len(own)))[:, 1:]
    np.testing.assert_allclose(told, expected, atol=2e-3)
    assert told.max() > 0.5


def test_a_run_is_evaluated_but_starts_nothing(run, packed, tmp_path):
    rng = np.random.default_rng(3)
    codes, acceptors, donors = planted(rng)
    (tmp_path / "g.fa").write_text(">c\n" + "".join("ACGT"[c] for c in codes) + "\n")
    starts, ends = [0, *acceptors], [d + 1 for d in donors] + [len(codes)]
    rows = [
        f'c\tx\texon\t{s + 1}\t{e}\t.\t+\t.\tgene_id "G"; transcript_id "T";\n'
        for s, e in zip(starts, ends)
    ]
    (tmp_path / "g.gtf").write_text("".join(rows))
    files = "-f", tmp_path / "g.fa", "-a", tmp_path / "g.gtf"
    invoke("evaluate", *files, "--run", run, "--json", tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["kind"] == "cnn" and told["n_donor"] == 5 and told["topk_mean"] > 90
    recipe = toml(tmp_path / "r.toml", steps=1, channels=8)
    start = "lssi", recipe, "-d", packed, "--start-from", run, "-o", tmp_path / "lssi"
    assert "is a run of a cnn" in invoke(*start, code=1)


def test_what_is_no_run_of_a_cnn_is_no_teacher(tmp_path):
    with pytest.raises(RecipeError, match="cannot read teacher .*model.safetensors"):
        load_teacher([str(tmp_path)], CPU)


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(context=100), "one of 80, 400, 2000, 10000"),
        (dict(windows=[]), "windows must be one or more lengths"),
        (dict(windows=[0]), "windows must be one or more lengths"),
        (dict(site_share=1.5), "site_share must lie between 0 and 1"),
        (dict(channels=0), "channels must be at least 1"),
        (dict(lstm_units=4), "unknown key lstm_units"),
    ],
)
def test_recipes_are_checked(values, message):
    with pytest.raises(RecipeError, match=message):
        recipe_from(dict(steps=1) | values, CnnRecipe)
