"""Soft labels: teachers, edited windows, packing, and what is learnt from them."""

import json
import os
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from samvar.errors import DatasetError, RecipeError
from samvar.model.sam import ACCEPTOR, DONOR, one_hot
from samvar.training import edits
from samvar.training.cnn import GROUPS, DilatedResNet, Group, load_openspliceai
from samvar.training.dataset import IGNORE, TRAIN, UNKNOWN, Dataset, TrainingGene
from samvar.training.distil import change_error, core_excess, divergence
from samvar.training.edits import REGIONS, FamilySampler, Site, Version, region
from samvar.training.recipe import TeachRecipe
from samvar.training.soft_labels import (
    GONE,
    FollowedSites,
    SoftLabels,
    digest_of,
    lesson_of,
)
from samvar.training.teach import check_convention, load_teacher, teach
from samvar.training.yardstick import ranks, spearman, yardstick

from . import toy

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
CONTEXT = 300


def cut_teacher(x):
    """A teacher that sees acceptors after CAG and donors before GTA, the better the more purines
    among the 20 bases within the exon."""
    a, c, g, t = (x[:, i] for i in range(4))
    n = x.shape[-1] - 2 * CONTEXT

    def at(values, shift):
        return values[:, CONTEXT + shift : CONTEXT + shift + n]

    purines = F.avg_pool1d((a + g).unsqueeze(1), 20, 1)[:, 0]
    acceptor = at(c, -3) * at(a, -2) * at(g, -1)
    donor = at(g, 1) * at(t, 2) * at(a, 3)
    inside, before = purines[:, CONTEXT : CONTEXT + n], purines[:, CONTEXT - 19 : CONTEXT - 19 + n]
    logits = torch.stack(
        [torch.zeros_like(acceptor), 9 * acceptor - 8 + 4 * inside, 9 * donor - 8 + 4 * before], 1
    )
    return torch.log_softmax(logits, 1)


def shifted_teacher(x):
    return cut_teacher(torch.roll(x, 1, 2))


def probabilities_teacher(x):
    return cut_teacher(x).exp()


def unnormalised_teacher(x):
    return cut_teacher(x) + 0.3


def undefined_teacher(x):
    return cut_teacher(x) * torch.nan


def shorter_teacher(x):
    return cut_teacher(x)[..., :-1]


def cropping_teacher(x):
    return cut_teacher(x)[..., 4:-4]


def classless_teacher(x):
    return cut_teacher(x)[:, 1:]


def tuple_teacher(x):
    return cut_teacher(x), None


def failing_teacher(x):
    return x[:, 4]


def constant_teacher(x):
    return cut_teacher(torch.zeros_like(x))


TEACHER = f"{__name__}:cut_teacher"


def gene(rng, introns=5, lengths=(90,)):
    """Codes and sites of a gene whose introns are GTA ... CAG, exons of these lengths in turn."""
    codes, acceptors, donors = [], [], []
    for i in range(introns + 1):
        exon = rng.choice([0, 1, 2], lengths[i % len(lengths)])
        if i:
            acceptors.append(len(codes))
        codes += exon.tolist()
        if i < introns:
            donors.append(len(codes) - 1)
            codes += [2, 3, 0, *rng.integers(0, 4, 120).tolist(), 1, 0, 2]
    return np.array(codes, np.uint8), np.array(acceptors), np.array(donors)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    genes = []
    for i in range(6):
        codes, acceptors, donors = gene(rng)
        genes.append(
            TrainingGene(
                f"g{i}", "1", codes, acceptors, donors, split="validation" if i > 3 else "train"
            )
        )
    motifs = dict(
        psam=np.full((1, 11, 4), 0.5, np.float32), a0=np.ones(1), rbp=np.zeros(1, int), names=["A"]
    )
    motifs["psam"][0, :, 3] = 1
    return Dataset.from_genes(genes, motifs)


def recipe(**more):
    return TeachRecipe(**(dict(families=12, width=300, jitter=10, shard=5) | more))


@pytest.fixture(scope="module")
def teacher():
    return load_teacher([TEACHER], CPU, CONTEXT)


# ---------------------------------------------------------------------------------------- teachers


def test_convolutions_without_padding_are_those_with_padding_cropped():
    torch.manual_seed(0)
    groups = (Group(1, 3, 1), Group(1, 5, 2))
    net = DilatedResNet(4, groups).eval()
    x = toy.sequence(2, 80, 1)
    y = net.enter(x.unsqueeze(2))
    total = net.skips[0](y)
    for group, skip in zip(net.groups, net.skips[1:]):
        for unit in group:
            z = y
            for norm, conv in ((unit.norm1, unit.conv1), (unit.norm2, unit.conv2)):
                z = F.leaky_relu(norm(z), 0.1)
                pad = (0, (conv.kernel_size[1] - 1) * conv.dilation[1] // 2)
                z = F.conv2d(z, conv.weight, conv.bias, padding=pad, dilation=conv.dilation)
            y = y + z
        total = total + skip(y)
    expected = torch.log_softmax(net.classes(total).squeeze(2), 1)
    assert net.reach == 2 + 8
    torch.testing.assert_close(net(x), expected[..., net.reach : -net.reach])


def as_openspliceai(net):
    """The state dict that OpenSpliceAI would write of this network."""
    names = {"enter": "initial_conv", "classes": "final_conv", "skips.0": "initial_skip.conv"}
    place = 0
    for g, group in enumerate(net.groups):
        for u in range(len(group)):
            for ours, theirs in (("norm", "batchnorm"), ("conv", "conv")):
                for k in (1, 2):
                    names[f"groups.{g}.{u}.{ours}{k}"] = f"residual_units.{place}.{theirs}{k}"
            place += 1
        names[f"skips.{g + 1}"] = f"residual_units.{place}.conv"
        place += 1
    out = {}
    for name, theirs in names.items():
        for key, value in net.get_submodule(name).state_dict().items():
            out[f"{theirs}.{key}"] = value.squeeze(2) if value.dim() == 4 else value
    return out


@pytest.mark.parametrize("groups", [2, 3])
def test_openspliceai_state_dicts_are_read(tmp_path, groups):
    torch.manual_seed(groups)
    net = DilatedResNet(8, GROUPS[:groups]).eval()
    torch.save(as_openspliceai(net), tmp_path / "net.pt")
    again = load_openspliceai(str(tmp_path / "net.pt"))
    x = toy.sequence(1, 2 * net.reach + 50, 0)
    assert torch.equal(net(x), again(x)) and again.reach == net.reach


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_openspliceai_of_any_context_is_fed_what_its_students_need(tmp_path, groups):
    """80, 400 and 2,000 bases: labels do not depend on what it does not see."""
    torch.manual_seed(groups)
    net = DilatedResNet(4, GROUPS[:groups]).eval()
    torch.save(as_openspliceai(net), tmp_path / "net.pt")
    found = load_teacher([str(tmp_path / "net.pt")], CPU)
    assert found.context == max(net.reach, 268)
    codes = np.random.default_rng(0).integers(0, 4, (2, 2 * found.context + 50)).astype(np.uint8)
    spare = found.context - net.reach
    with torch.inference_mode():
        seen = one_hot(torch.from_numpy(codes[:, spare : codes.shape[1] - spare]))
        expected = net(seen).exp().numpy()
    np.testing.assert_allclose(found.probabilities(codes, CPU), expected, atol=1e-6)


def test_torchscript_modules_and_functions_are_teachers(tmp_path, teacher):
    x = np.random.default_rng(0).integers(0, 5, (2, 2 * CONTEXT + 40)).astype(np.uint8)
    expected = teacher.probabilities(x, CPU)
    net = DilatedResNet(4, (Group(1, 3, 1),)).eval()
    torch.jit.trace(net, toy.sequence(1, 100)).save(str(tmp_path / "net.ts"))
    scripted = load_teacher([str(tmp_path / "net.ts")], CPU, net.reach)
    with torch.inference_mode():
        own = net(one_hot(torch.from_numpy(x))).exp().numpy()
    np.testing.assert_allclose(scripted.probabilities(x, CPU), own, atol=1e-6)
    assert expected.shape == (2, 3, 40)
    np.testing.assert_allclose(expected.sum(1), 1, atol=1e-5)


def test_several_teachers_are_averaged(teacher, data):
    both = load_teacher([TEACHER, f"{__name__}:shifted_teacher"], CPU, CONTEXT)
    x = data.window(0, 100, 140, CONTEXT, CONTEXT)[0][None]
    other = load_teacher([f"{__name__}:shifted_teacher"], CPU, CONTEXT)
    mean = (teacher.probabilities(x, CPU) + other.probabilities(x, CPU)) / 2
    np.testing.assert_allclose(both.probabilities(x, CPU), mean, atol=1e-6)


@pytest.mark.parametrize(
    "place, message",
    [
        ("nowhere.pt", "nowhere.pt"),
        (f"{__name__}:nothing", "nothing"),
        ("no.module:f", "no.module"),
    ],
)
def test_what_is_no_teacher_is_named(place, message):
    with pytest.raises(RecipeError, match=message):
        load_teacher([place], CPU)


def test_a_file_that_is_no_network_is_named(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(RecipeError, match="x.pt is no OpenSpliceAI state dict"):
        load_teacher([str(tmp_path / "x.pt")], CPU)


def test_teachers_of_different_context_are_refused(tmp_path):
    net = DilatedResNet(4, GROUPS[:2]).eval()
    torch.save(as_openspliceai(net), tmp_path / "net.pt")
    with pytest.raises(RecipeError, match="different contexts"):
        load_teacher([str(tmp_path / "net.pt"), TEACHER], CPU, CONTEXT)


def test_a_teacher_that_is_off_by_one_is_refused(data, teacher):
    check_convention(teacher, data, CPU)
    off = load_teacher([f"{__name__}:shifted_teacher"], CPU, CONTEXT)
    with pytest.raises(RecipeError, match=r"\+1 bases from where samvar has them"):
        check_convention(off, data, CPU)


@pytest.mark.parametrize(
    "name, message",
    [
        ("probabilities", r"gives no log-probabilities .* adds up to 4\.\d+ .*torch.log_softmax"),
        ("unnormalised", r"gives no log-probabilities .* adds up to 1\.35 to 1\.35, not to 1"),
        ("undefined", r"gives no log-probabilities .* adds up to nan"),
        ("shorter", r"gives \(30, 3, 6\) .* --context 300, .* \(30, 3, 7\)"),
        ("cropping", r"gives \(30, 3, 0\) .* --context 300, .* \(30, 3, 7\)"),
        ("classless", r"gives \(30, 2, 7\) .* \(30, 3, 7\)"),
        ("tuple", r"gives tuple .* \(30, 3, 7\)"),
        ("failing", r"fails on one-hot sequence of shape \(30, 4, 607\)"),
        ("constant", r"says nearly the same of known acceptors and the bases beside them"),
    ],
)
def test_a_teacher_that_gives_no_log_probabilities_is_refused(data, name, message):
    place = f"{__name__}:{name}_teacher"
    with pytest.raises(RecipeError, match="the teacher " + message):
        check_convention(load_teacher([place], CPU, CONTEXT), data, CPU)
    if name != "constant":
        with pytest.raises(RecipeError, match="teacher 2 of 2 "):
            check_convention(load_teacher([TEACHER, place], CPU, CONTEXT), data, CPU)


def test_every_answer_of_a_teacher_is_checked(data):
    """One that passes the first check is refused while it labels, and its gradients, too."""
    wrong = load_teacher([f"{__name__}:unnormalised_teacher"], CPU, CONTEXT)
    codes = data.window(0, 0, 300, CONTEXT, CONTEXT)[0]
    with pytest.raises(RecipeError, match="adds up to"):
        wrong.probabilities(codes[None], CPU)
    with pytest.raises(RecipeError, match="adds up to"):
        wrong.effects(codes, [Site(ACCEPTOR, 100)], CPU)


# ------------------------------------------------------------------------------------------- edits


def test_sites_move_with_indels_and_go_with_what_is_deleted():
    plain = Version(np.arange(20, dtype=np.uint8) % 4, (Site(ACCEPTOR, 5), Site(DONOR, 12)))
    longer = plain.spliced(3, 3, np.array([0, 0], np.uint8))
    assert [s.at for s in longer.sites] == [7, 14] and len(longer.codes) == 22
    shorter = plain.spliced(4, 7, plain.codes[:0])
    assert [s.at for s in shorter.sites] == [None, 9] and len(shorter.codes) == 17
    beyond = plain.spliced(13, 15, plain.codes[:0])
    assert [s.at for s in beyond.sites] == [5, 12]
    assert beyond.codes.tolist() == np.delete(plain.codes, [13, 14]).tolist()


def test_regions_by_hand():
    plain = Version(np.zeros(400, np.uint8), (Site(ACCEPTOR, 150), Site(DONOR, 250)))
    cases = {
        100: "intronic",
        106: "branch_point",
        129: "branch_point",
        130: "ppt",
        146: "ppt",
        147: "core",
        152: "core",
        153: "exonic",
        247: "exonic",
        248: "core",
        256: "core",
        257: "intronic",
    }
    assert {at: region(plain, at) for at in cases} == cases


def families(data, n=40, **more):
    sampler = FamilySampler(data, recipe(**more), CONTEXT)
    return [sampler.family(i) for i in range(n)]


def test_families_depend_on_recipe_and_number_alone(data):
    once, again = families(data), families(data)
    for a, b in zip(once, again):
        assert all(np.array_equal(v.codes, w.codes) for v, w in zip(a.versions, b.versions))
    other = families(data, seed=2)
    assert any(a.start != b.start for a, b in zip(once, other))


def test_sites_are_followed_through_every_edit(data):
    """Where a site is said to be, the bases about it are those of the unedited window, unless an
    edit lies that near."""
    shares = dict(ALONE, knocked=0.0)
    for name in shares:
        moved = 0
        for family in families(data, 25, **(shares | {name: 1.0}), anywhere=0.0, antisense=0.0):
            plain = family.versions[0]
            assert plain.sites and len(family.versions) == 6
            for version in family.versions[1:]:
                assert len(version.codes) >= 2 * CONTEXT + 300
                kept = 0
                for before, after in zip(plain.sites, version.sites):
                    assert before.kind == after.kind
                    if after.at is None:
                        continue
                    moved += after.at != before.at
                    ours, theirs = (
                        v.codes[at - 3 : at + 4]
                        for v, at in ((plain, before.at), (version, after.at))
                    )
                    kept += np.array_equal(ours, theirs)
                assert kept or name != "recombined"
        assert (moved > 0) == (name == "indels")


def test_single_edits_change_one_base_in_every_region(data):
    found = set()
    for family in families(data, 20, single=True, versions=5, anywhere=0.0, antisense=0.0):
        plain = family.versions[0]
        for version in family.versions[1:]:
            (at,) = np.flatnonzero(version.codes != plain.codes)
            found.add(region(plain, int(at)))
    assert found == set(REGIONS)


def test_edits_stay_near_the_exon_and_off_unknown_bases(data):
    codes = data.codes.copy()
    codes[data.offsets[0] + 300 : data.offsets[0] + 330] = UNKNOWN
    holes = Dataset(codes, data.labels, *(getattr(data, k) for k in (
        "offsets", "names", "chroms", "splits", "paralogs", "motifs", "meta")))  # fmt: skip
    for family in families(holes, 60, indels=0.0, recombined=0.0):
        plain = family.versions[0]
        for version in family.versions[1:]:
            changed = np.flatnonzero(version.codes != plain.codes)
            assert not (plain.codes[changed] == UNKNOWN).any()
            for at in changed:
                near = min(abs(int(at) - s.at) for s in plain.sites)
                assert near <= edits.EXON_SIDE


ALONE = dict(
    substitutions=0.0, stretches=0.0, planted=0.0, indels=0.0, recombined=0.0, exchanged=0.0
)


def test_pieces_are_exchanged_by_those_beside_a_site_of_the_same_kind(data):
    """A dataset whose exonic bases all are A or C, intronic ones G or T: an exchanged piece changes
    bases, and none of one kind becomes one of the other, short as some exons are."""
    rng = np.random.default_rng(1)
    genes = []
    for name in "ab":
        codes, acceptors, donors = gene(rng, 9, (40, 130, 75))
        exonic = np.ones(len(codes), bool)
        for donor, acceptor in zip(donors, acceptors):
            exonic[donor + 1 : acceptor] = False
        own = rng.integers(0, 2, len(codes)) + np.where(exonic, 0, 2)
        genes.append(
            TrainingGene(name, "1", own.astype(np.uint8), acceptors, donors, split="train")
        )
    halves = Dataset.from_genes(genes, data.motifs)
    changed, at_sites = np.zeros(2, int), 0
    for family in families(
        halves, 60, **(ALONE | dict(exchanged=1.0)), anywhere=0.0, antisense=0.0
    ):
        plain = family.versions[0]
        for version in family.versions[1:]:
            places = np.flatnonzero(version.codes != plain.codes)
            assert np.array_equal(version.codes[places] // 2, plain.codes[places] // 2)
            changed += np.bincount(plain.codes[places] // 2, minlength=2)
            at_sites += sum(
                abs(int(p) - s.at) <= edits.OFF_CORE for p in places for s in plain.sites
            )
    assert (changed > 500).all() and not at_sites


def test_a_window_without_followed_sites_has_edited_versions(data):
    """The site about which a window lies may be too near its end to be followed."""
    alone = dict(ALONE, exchanged=1.0, anywhere=0.0, antisense=0.0, jitter=90)
    found = families(data, 60, width=130, **alone)
    assert any(len(f.versions) > 1 and not f.versions[0].sites for f in found)


def test_windows_without_sites_are_labelled_by_a_teacher_tried_on_others(data, teacher, tmp_path):
    unlabelled = replace(data, labels=np.where(data.labels == IGNORE, IGNORE, 0).astype(np.uint8))
    folder, of_all = str(tmp_path / "labels"), dict(anywhere=0.5, antisense=0.5)
    with pytest.raises(DatasetError, match="no splice site .* take anywhere"):
        teach(unlabelled, recipe(), teacher, folder, CPU, known=data)
    with pytest.raises(DatasetError, match="no acceptor to try the teacher on: .* --known"):
        teach(unlabelled, recipe(**of_all), teacher, folder, CPU)
    for more in (dict(effects=True, versions=0), dict(single=True)):
        with pytest.raises(DatasetError, match="no splice site, which effects and single edits"):
            teach(unlabelled, recipe(**of_all, **more), teacher, folder, CPU, known=data)
    assert not os.path.exists(folder)
    assert teach(
        unlabelled, recipe(**of_all), teacher, folder, CPU, known=data, report=lambda _: None
    )
    labels = SoftLabels.load_folder(folder)
    assert len(labels.codes) == 12 and not len(labels.site_at)


def test_several_folders_are_learnt_from_together(data, teacher, taught, tmp_path):
    other, wide = str(tmp_path / "other"), str(tmp_path / "wide")
    teach(data, recipe(seed=2), teacher, other, CPU, report=lambda _: None, teacher_name="T")
    teach(data, recipe(width=200), teacher, wide, CPU, report=lambda _: None)
    own, theirs, both = (
        SoftLabels.load_folder(*folders) for folders in ([taught], [other], [taught, other])
    )
    assert np.array_equal(both.codes, np.concatenate((own.codes, theirs.codes)))
    n = len(own.families) - 1
    versions = both.versions_of([n])
    np.testing.assert_array_equal(
        both.probabilities(versions), theirs.probabilities(theirs.versions_of([0]))
    )
    digests = [digest_of(*folders) for folders in ([taught], [other], [taught, other])]
    assert len({*digests}) == 3
    lesson = lesson_of(taught, other)
    assert lesson["digest"] == digests[2] and lesson["windows"] == len(both.codes)
    assert lesson["networks"] == 1 and lesson["teacher"] == "T"
    with pytest.raises(DatasetError, match="given twice"):
        SoftLabels.load_folder(taught, os.path.join(taught, "."))
    with pytest.raises(DatasetError, match="labels of 300 bases, .*wide of 200 bases"):
        SoftLabels.load_folder(taught, wide)


def test_the_sites_of_an_rbp_are_knocked_out(data):
    """Those of TGCATG in the zone go, with few bases, but for one that holds a splice site; another
    RBP has none."""
    psam = np.full((2, 11, 4), 0.05, np.float32)
    for matrix, word in zip(psam, ("TGCATG", "CCCCCCCC")):
        matrix[len(word) :] = 1
        for column, base in zip(matrix, word):
            column["ACGT".index(base)] = 1
    motifs = dict(psam=psam, a0=np.array([2.0, 1.0]), rbp=np.arange(2), names=["A", "B"])
    with_motifs = replace(data, motifs=motifs)
    sampler = FamilySampler(with_motifs, recipe(**ALONE, knocked=1.0), CONTEXT)
    word = ["ACGT".index(b) for b in "TGCATG"]
    codes = np.tile(np.array([0, 1], np.uint8), 200)
    for start in (100, 130, 148, 160, 300):
        codes[start : start + 6] = word
    plain = Version(codes, (Site(ACCEPTOR, 150),))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        (changed, *_) = sampler.edited(rng, plain, np.arange(90, 220))
        places = np.flatnonzero(changed.codes != codes)
        assert 3 <= len(places) <= 12 and changed.sites == plain.sites
        assert {start for start in (100, 130, 160) for at in places if 0 <= at - start < 11} == {
            100, 130, 160}  # fmt: skip
        affinity = sampler.affinities[0](changed.codes)
        assert (affinity[[100, 130, 160]] <= edits.NO_SITE).all()
        assert np.flatnonzero(affinity >= edits.SITE).tolist() == [148, 300]


def test_where_no_rbp_has_a_site_a_stretch_is_replaced(data):
    motifs = {**data.motifs, "psam": np.eye(4, dtype=np.float32)[None, [3] * 11]}
    sampler = FamilySampler(replace(data, motifs=motifs), recipe(**ALONE, knocked=1.0), CONTEXT)
    plain = Version(np.zeros(400, np.uint8), (Site(ACCEPTOR, 150),))
    for version in sampler.edited(np.random.default_rng(0), plain, np.arange(90, 220)):
        assert np.ptp(np.flatnonzero(version.codes != plain.codes)) < 10


def test_antisense_windows_are_reverse_complements(data):
    (family,) = families(data, 1, anywhere=0.0, antisense=1.0)
    codes = family.versions[0].codes
    gene, start = family.gene, family.start
    plain = data.window(gene, start - CONTEXT, start + 300 + CONTEXT + edits.SPARE)[0][::-1]
    known = plain != UNKNOWN
    assert np.array_equal(codes[known], 3 - plain[known]) and not family.versions[0].sites
    assert (codes[~known] == UNKNOWN).all()


# ------------------------------------------------------------------------------------- soft labels


@pytest.fixture(scope="module")
def taught(data, teacher, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("soft") / "labels")
    assert teach(data, recipe(), teacher, folder, CPU, report=lambda _: None)
    return folder


def test_labels_are_the_teachers(data, teacher, taught):
    labels = SoftLabels.load_folder(taught)
    sampler = FamilySampler(data, recipe(), CONTEXT)
    wanted = [sampler.family(i) for i in range(12)]
    assert len(labels.families) == 13
    for number, family in enumerate(wanted):
        versions = labels.versions_of([number])
        cut = np.stack([v.codes[: 2 * CONTEXT + 300] for v in family.versions])
        p = teacher.probabilities(cut, CPU)
        stored = labels.probabilities(versions)
        assert np.abs(stored - np.where(p > 1e-3, p, 0))[:, 1:].max() < 1e-3
        np.testing.assert_allclose(stored.sum(1), 1, atol=1e-6)
        inner = slice(CONTEXT - labels.left, CONTEXT + 300 + labels.right)
        assert np.array_equal(labels.codes[versions], cut[:, inner])
        sites = labels.sites(versions)
        for row, kind, at, _, log_odds in zip(*sites):
            q = p[row, kind, at]
            assert log_odds == pytest.approx(np.log(q / (1 - q)), abs=1e-2)
    assert (labels.site_at >= GONE).all() and len(np.unique(labels.site_kind)) == 2


def test_labelling_goes_on_where_it_stopped(data, teacher, taught, tmp_path):
    folder = str(tmp_path / "labels")
    told = []
    assert not teach(data, recipe(), teacher, folder, CPU, minutes=0, report=told.append)
    assert "--resume" in told[-1]
    with pytest.raises(RecipeError, match="--resume"):
        teach(data, recipe(), teacher, folder, CPU)
    with pytest.raises(RecipeError, match="holds soft labels of another recipe: repeat"):
        teach(data, recipe(seed=2), teacher, folder, CPU, resume=True)
    about = json.loads((tmp_path / "labels" / "teach.json").read_text())
    del about["identity"]["recipe"]["knocked"]  # as it was before there was this kind of edit
    (tmp_path / "labels" / "teach.json").write_text(json.dumps(about))
    part = replace(data, codes=data.codes[:-1], labels=data.labels[:-1])
    with pytest.raises(RecipeError, match="of another dataset and another recipe: repeat"):
        teach(part, recipe(seed=2), teacher, folder, CPU, resume=True)
    assert teach(data, recipe(), teacher, folder, CPU, resume=True, report=told.append)
    once, again = SoftLabels.load_folder(taught), SoftLabels.load_folder(folder)
    assert np.array_equal(once.codes, again.codes) and np.array_equal(once.label_p, again.label_p)


def test_labels_of_another_context_or_function_are_not_mixed(data, tmp_path, monkeypatch):
    source, folder = tmp_path / "own_teacher.py", str(tmp_path / "labels")
    written = "from tests.test_teach import cut_teacher\ndef own(x): return cut_teacher(x)\n"
    monkeypatch.syspath_prepend(tmp_path)
    others = "of another teacher, or one with another context: repeat"

    def go_on(context=CONTEXT):
        own = load_teacher(["own_teacher:own"], CPU, context)
        return teach(data, recipe(), own, folder, CPU, True, minutes=0, report=lambda _: None)

    source.write_text(written)
    go_on()
    with pytest.raises(RecipeError, match=others):
        go_on(CONTEXT + 100)
    source.write_text(written + "# mended\n")
    with pytest.raises(RecipeError, match=others):
        go_on()
    source.write_text(written)
    go_on()


def test_a_torchscript_module_is_identified_with_its_context(tmp_path):
    net = DilatedResNet(4, (Group(1, 3, 1),)).eval()
    place = str(tmp_path / "net.ts")
    torch.jit.trace(net, toy.sequence(1, 100)).save(place)
    once, again, other = (load_teacher([place], CPU, n).identities for n in (300, 300, 400))
    assert once == again != other


def test_a_teacher_without_a_file_is_identified_by_its_name(monkeypatch):
    made = types.ModuleType("made_in_memory")
    made.teacher = torch.nn.Identity()
    monkeypatch.setitem(sys.modules, "made_in_memory", made)
    found = load_teacher(["made_in_memory:teacher"], CPU, CONTEXT)
    assert found.identities == ["made_in_memory:teacher context 300"]


def test_a_teacher_is_checked_before_labelling_goes_on(data, teacher, tmp_path):
    """Of what it depends on beside its file nothing is known."""
    folder = str(tmp_path / "labels")
    assert not teach(data, recipe(), teacher, folder, CPU, minutes=0, report=lambda _: None)
    changed = replace(teacher, networks=[shifted_teacher])
    with pytest.raises(RecipeError, match="from where samvar has them"):
        teach(data, recipe(), changed, folder, CPU, resume=True)


@pytest.mark.parametrize(
    "place, context, more, message",
    [
        ("cut_teacher", 267, {}, "at least 268 bases of context on either side"),
        ("shifted_teacher", CONTEXT, {}, r"\+1 bases from where samvar has them"),
        ("cut_teacher", CONTEXT, dict(split="validation"), "no validation genes"),
    ],
)
def test_nothing_is_written_before_all_is_checked(data, tmp_path, place, context, more, message):
    folder = tmp_path / "labels"
    refused = load_teacher([f"{__name__}:{place}"], CPU, context)
    trained = replace(data, splits=np.full_like(data.splits, TRAIN))
    with pytest.raises((DatasetError, RecipeError), match=message):
        teach(trained, recipe(**more), refused, str(folder), CPU)
    assert not folder.exists()


def test_a_folder_without_labels_is_named(tmp_path):
    with pytest.raises(DatasetError, match="samvar train teach"):
        SoftLabels.load_folder(str(tmp_path))


def test_unknown_bases_survive_packing(taught, tmp_path):
    labels = SoftLabels.load_folder(taught)
    assert (labels.codes == UNKNOWN).any()
    labels.save(str(tmp_path / "shard-0.npz"))
    assert np.array_equal(SoftLabels.load(str(tmp_path / "shard-0.npz")).codes, labels.codes)


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(anywhere=0.8, antisense=0.3), "anywhere"),
        (dict(substitutions=0, stretches=0, planted=0, indels=0, recombined=0), "above 0"),
        (dict(split="test"), "train or validation"),
        (dict(families=0), "families"),
    ],
)
def test_teach_recipes_are_checked(values, message):
    with pytest.raises(RecipeError, match=message):
        recipe(**values)


# ------------------------------------------------------------------------------------------ losses


def test_divergence_by_hand():
    target = torch.tensor([[[0.5, 1.0], [0.5, 0.0], [0.0, 0.0]]])
    log_p = torch.tensor([[[0.25, 1.0], [0.5, 1.0], [0.25, 1.0]]]).log()
    known = torch.tensor([[1.0, 0.0]])
    assert float(divergence(log_p, target, known)) == pytest.approx(1000 * 0.5 * np.log(2))


def followed(*rows):
    row, kind, at, name, log_odds = np.array(rows).T
    whole = [v.astype(np.int64) for v in (row, kind, at, name)]
    return FollowedSites(*whole, log_odds.astype(np.float32))


def test_only_changes_within_a_family_cost():
    p = torch.full((3, 3, 4), 0.25)
    p[:, 0] = 0.5
    p[1, 1, 2] = 0.5
    log_p = p.log()
    offset = followed((0, 1, 2, 7, 0.0), (1, 1, 2, 7, np.log(3.0)))
    assert float(change_error(log_p, offset)) == pytest.approx(0, abs=1e-6)
    opposite = followed((0, 1, 2, 7, 0.0), (1, 1, 2, 7, -np.log(3.0)))
    error = np.log(3.0)  # of each from the mean: 2 log 3 apart
    assert float(change_error(log_p, opposite)) == pytest.approx(error - 0.5, abs=1e-5)
    alone = followed((0, 1, 2, 7, 3.0), (2, 2, 1, 8, 3.0))
    assert float(change_error(log_p, alone)) == 0


def test_core_scores_cost_above_their_share_only():
    scores = torch.full((1, 2, 100), -30.0)
    scores[0, 0, :10] = 0.0
    assert float(core_excess(scores, 0.02)) == pytest.approx(4.0, abs=1e-3)
    assert float(core_excess(scores, 0.11)) == 0


# --------------------------------------------------------------------------------------- yardstick


def test_ranks_share_ties():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0, 2.5, 1]
    assert spearman(np.arange(5), np.arange(5) ** 3) == pytest.approx(1)
    assert spearman(np.arange(5), -np.arange(5)) == pytest.approx(-1)


class Echo(torch.nn.Module):
    """A model that says what `cut_teacher` says, behind a bottleneck that says nothing."""

    def __init__(self, config):
        super().__init__()
        self.config, self.aggregator = config, toy.model().aggregator

    def detect(self, x):
        self.x = x
        return toy.model().detect(x[..., :60])

    def aggregate(self, found):
        before, after = self.config.reach
        wide = F.pad(self.x, (CONTEXT - before, CONTEXT - after))
        return cut_teacher(wide)


def test_the_yardstick_of_the_teacher_itself_is_one(data, teacher, tmp_path):
    folder = str(tmp_path / "pairs")
    single = recipe(families=8, single=True, split="validation", anywhere=0.0, antisense=0.0)
    teach(data, single, teacher, folder, CPU, report=lambda _: None)
    labels = SoftLabels.load_folder(folder)
    found = yardstick([Echo(toy.model().config)], labels, CPU)
    assert found["changes"]["all"]["spearman"] > 0.98
    assert found["divergence"] < 0.5
    assert found["changes"]["all"]["n"] > found["changes"]["exonic"]["n"] > 0
    other = yardstick([toy.model()], labels, CPU)
    assert other["changes"]["all"]["spearman"] < 0.8 and other["divergence"] > 5
    assert 0 < found["bits"] < 20
    json.dumps(found)


def test_the_yardstick_needs_single_edits(data, teacher, tmp_path):
    teach(data, recipe(versions=0), teacher, str(tmp_path / "plain"), CPU, report=lambda _: None)
    with pytest.raises(DatasetError, match="single = true"):
        yardstick([toy.model()], SoftLabels.load_folder(str(tmp_path / "plain")), CPU)
