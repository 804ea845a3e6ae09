"""Motif files in their two formats, the frame, panels, and the panel of the repository."""

import csv
import glob
import gzip
import os

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.cli import main
from samvar.errors import DatasetError
from samvar.model.bundle import MOTIF_SITES
from samvar.model.sam import FixedMotifs, one_hot
from samvar.training.bundle import site_densities
from samvar.training.card import card
from samvar.training.dataset import Dataset
from samvar.training.motifs import (
    as_arrays,
    in_frame,
    information,
    read_folders,
    read_matrices,
    read_panel,
)
from samvar.training.prepare import prepare

from . import toy
from .test_training import make_genome

pytestmark = pytest.mark.slow

ROOT = os.path.join(os.path.dirname(__file__), "..")


def affinities(*psams, header="# RBPamp\n"):
    """An RBPamp file of (A0, rows)."""
    text = header
    for i, (a0, rows) in enumerate(psams):
        text += f"# PSAM {i}\nPSAM  A0={a0} n={len(rows)}\n#\tA\tC\tG\tU\tconsensus\n"
        text += "".join("\t".join(map(str, row)) + "\ta\n" for row in rows) + "\n"
    return text


def probabilities(rows, header="Pos\tA\tC\tG\tU"):
    lines = [f"{i}\t" + "\t".join(map(str, row)) for i, row in enumerate(rows, 1)]
    return "\n".join([header, *lines, ""])


PSAM = [[1, 0.5, 0.25, 0.1]] * 11
SHARP = [[0.85, 0.05, 0.05, 0.05]] * 4
VAGUE = [[0.4, 0.2, 0.2, 0.2]] * 4


def put(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return str(folder)


# -------------------------------------------------------------------------------------------- files


def test_affinities_stay_as_they_are(tmp_path):
    path = put(tmp_path, X=affinities((0.5, PSAM), (0.25, PSAM[:10])))
    matrices = read_matrices(f"{path}/X.txt")
    assert matrices.psams.shape == (2, 11, 4) and matrices.a0.tolist() == [0.5, 0.25]
    assert (matrices.psams[0] == PSAM).all()
    assert (matrices.psams[1, 0] == 1).all()  # a PSAM of width 10 starts at p-4
    assert (matrices.psams[1, 1:] == PSAM[:10]).all()


def test_probabilities_become_affinities_relative_to_the_best_base(tmp_path):
    path = put(tmp_path, X=probabilities([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]]))
    psam = read_matrices(f"{path}/X.txt").psams[0]
    np.testing.assert_allclose(psam[5], [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(psam[6], [1, 1 / 7, 1 / 7, 1 / 7])
    assert (np.delete(psam, [5, 6], axis=0) == 1).all()


@pytest.mark.parametrize("header", ["Pos A C G T", "Pos\tU\tG\tC\tA", "\ufeffPos\tA\tC\tG\tU\r"])
def test_columns_are_told_by_the_header(header, tmp_path):
    row = [0.1, 0.2, 0.3, 0.4]
    order = header.strip("\ufeff\r").replace("T", "U").split()[1:]
    shuffled = [row["ACGU".index(base)] for base in order]
    path = put(tmp_path, X=probabilities([shuffled], header))
    np.testing.assert_allclose(read_matrices(f"{path}/X.txt").psams[0, 5], [0.25, 0.5, 0.75, 1])


def test_each_matrix_of_probabilities_has_the_same_mean_on_random_sequence(tmp_path):
    folder = put(tmp_path / "m", S=probabilities(SHARP), V=probabilities(VAGUE))
    panel = tmp_path / "panel.tsv"
    panel.write_text("name\tfamily\tsource\tfiles\nX\t\ttest\tS.txt,V.txt\n")
    arrays = as_arrays(read_panel(str(panel), [folder]))
    fixed = FixedMotifs.from_psams(*(torch.from_numpy(arrays[k]) for k in ("psam", "a0", "rbp")))
    sharp_only, vague_only = fixed.mix.clone(), fixed.mix.clone()
    sharp_only[0, 1] = vague_only[0, 0] = 0
    x = one_hot(torch.from_numpy(np.random.default_rng(0).integers(0, 4, (1, 400_000))))
    means = [float(FixedMotifs(fixed.log_psam, mix)(x).mean()) for mix in (sharp_only, vague_only)]
    assert means[0] == pytest.approx(means[1], rel=0.1)
    assert arrays["a0"][0] > arrays["a0"][1]  # the best site is one of the sharp matrix


def test_a_gzipped_file_is_read_as_its_text(tmp_path):
    (tmp_path / "X.txt").write_bytes(gzip.compress(probabilities(SHARP).encode()))
    assert read_matrices(str(tmp_path / "X.txt")).psams.shape == (1, 11, 4)


@pytest.mark.parametrize(
    "text, said",
    [
        ("PSAM A0=1\nhello world\n", "line 2.*hello world"),
        ("", "no motif file"),
        ("# only a remark\n", "no motif file"),
        (">X\nACGT\n", "no motif file"),
        ("PSAM n=11\n1 1 1 1\n", "line 1.*A0"),
        ("PSAM A0=0\n1 1 1 1\n", "line 1.*A0"),
        ("PSAM A0=nan\n1 1 1 1\n", "line 1.*A0"),
        ("PSAM A0=1\n", "no rows"),
        ("PSAM A0=1\nPSAM A0=1\n1 1 1 1\n", "line 2.*no rows"),
        ("PSAM A0=1\n1 -1 1 1\n", "line 2.*negative"),
        ("PSAM A0=1\n0 0 0 0\n", "line 2.*greater"),
        ("PSAM A0=1\n1 nan 1 1\n", "line 2"),
        ("PSAM A0=1\n1 inf 1 1\n", "line 2"),
        ("Pos A C G\n1 0.5 0.5 0\n", "line 1.*columns"),
        ("Pos A C G A\n1 .25 .25 .25 .25\n", "line 1.*columns"),
        ("Pos A C G U\n", "no matrix"),
        ("Pos A C G U\n1 1 1 1 1\n", "line 2.*add up to 4"),
        ("Pos A C G U\n1 .25 .25 .25 .25\n3 .25 .25 .25 .25\n", "line 3.*position 3"),
        ("Pos A C G U\n1 .25 .25 .25\n", "line 2.*four numbers"),
        ("Pos A C G U\n1 .2 .2 .2 .2 .2\n", "line 2.*four numbers"),
    ],
)
def test_what_is_no_motif_file_is_refused_with_its_line(text, said, tmp_path):
    put(tmp_path, X=text)
    with pytest.raises(DatasetError, match=f"(?s)X.txt.*{said}"):
        read_folders([str(tmp_path)])


# -------------------------------------------------------------------------------------------- frame


@pytest.mark.parametrize("width", range(1, 12))
def test_the_frame_is_centred(width):
    columns = np.full((width, 4), 0.5)
    filled = np.flatnonzero((in_frame(columns) == 0.5).all(1)) - 5
    assert filled[0] == -((width - 1) // 2) and filled[-1] == width // 2


def test_of_a_wide_matrix_the_most_informative_columns_stay():
    vague, sharp = [0.9, 1, 0.9, 0.9], [0.1, 1, 0.1, 0.1]
    columns = np.array([vague] * 3 + [sharp] * 11 + [vague])
    assert (in_frame(columns) == sharp).all()
    equal = np.array([[0.1, 1, 0.1, 0.1]] * 12 + [[1, 0.1, 0.1, 0.1]])
    assert (in_frame(equal) == equal[:11]).all()


def test_information():
    columns = np.array([[1.0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]])
    np.testing.assert_allclose(information(columns), [2, 0, 1])


# ------------------------------------------------------------------------------------------- panels


def test_several_folders_are_one_set_in_order_of_names(tmp_path):
    first = put(tmp_path / "a", BBB=affinities((1, PSAM)), README="not a motif")
    second = put(tmp_path / "b", AAA=probabilities(SHARP), CCC=affinities((1, PSAM), (2, PSAM)))
    motifs = read_folders([first, second])
    assert [(m.name, m.source, m.family) for m in motifs] == [
        ("AAA", "b", "AAA"),
        ("BBB", "a", "BBB"),
        ("CCC", "b", "CCC"),
    ]
    arrays = as_arrays(motifs)
    assert arrays["rbp"].tolist() == [0, 1, 2, 2] and arrays["psam"].dtype == np.float32
    assert arrays["names"].tolist() == ["AAA", "BBB", "CCC"]


@pytest.mark.parametrize("second", ["AAA", "aaa"])
def test_one_name_in_two_folders_is_an_error(second, tmp_path):
    folders = [
        put(tmp_path / "a", AAA=affinities((1, PSAM))),
        put(tmp_path / "b", **{second: affinities((1, PSAM))}),
    ]
    with pytest.raises(DatasetError, match="(?i)aaa .*--panel"):
        read_folders(folders)


def panel_of(tmp_path, *rows, header="name\tfamily\tsource\tfiles", end="\n"):
    path = tmp_path / "panel.tsv"
    path.write_text(end.join([header, *rows, ""]))
    return str(path)


@pytest.fixture
def folders(tmp_path):
    two, one = affinities((0.5, PSAM), (0.25, PSAM[:10])), affinities((1, PSAM))
    return [
        put(tmp_path / "rbns", AAA=two, AAB=one),
        put(tmp_path / "rnac", A_Homo_1=probabilities(SHARP), A_Homo_2=probabilities(VAGUE)),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_panel_names_files_and_families(folders, end, tmp_path):
    path = panel_of(
        tmp_path,
        "# a remark",
        "B2\t\tRNAcompete\tA_Homo_1.txt, A_Homo_2.txt\tgood",
        "",
        "AAA\tAAA/AAB\tRBNS\tAAA.txt#1\t",
        header="\ufeffname\tfamily\tsource\tfiles\tnote",
        end=end,
    )
    first, second = read_panel(path, folders)
    assert (first.name, first.family, first.files) == ("AAA", "AAA/AAB", ("AAA.txt#1",))
    assert first.a0.tolist() == [0.25] and (first.psams[0, 0] == 1).all()
    assert (second.name, second.family, second.source) == ("B2", "B2", "RNAcompete")
    assert second.psams.shape == (2, 11, 4)


@pytest.mark.parametrize(
    "rows, said",
    [
        ([], "names no RBP"),
        (["X\t\tS\tnone.txt"], "line 2.*no none.txt in"),
        (["X\t\tS\tAAA.txt#2"], "line 2.*no PSAM 2, only 0, 1"),
        (["X\t\tS\tAAA.txt#x"], "line 2.*no PSAM x"),
        (["X\t\tS\t"], "line 2.*no list of files"),
        (["X\t\tS\tAAA.txt,AAA.txt"], "line 2.*no list of files"),
        (["X\tS\tAAA.txt"], "line 2: 3 columns, the header has 4"),
        (["\t\tS\tAAA.txt"], "line 2.*no name"),
        (["A B\t\tS\tAAA.txt"], "line 2.*no name"),
        (["A|B\t\tS\tAAA.txt"], "line 2.*no name"),
        (["X\tX, Y\tS\tAAA.txt"], "line 2.*no family"),
        (["X\t\tS\tAAA.txt,A_Homo_1.txt"], "line 2.*no common scale"),
        (["X\t\tS\tAAA.txt", "x\t\tS\tAAB.txt"], "X .* x .*one name"),
    ],
)
def test_what_a_panel_gets_wrong_is_said_with_its_line(rows, said, folders, tmp_path):
    with pytest.raises(DatasetError, match=said):
        read_panel(panel_of(tmp_path, *rows), folders)


def test_a_panel_without_its_columns_is_refused(folders, tmp_path):
    with pytest.raises(DatasetError, match="line 1.*'family'"):
        read_panel(panel_of(tmp_path, header="name\tfiles"), folders)


def test_a_file_in_two_folders_is_refused(folders, tmp_path):
    folders.append(put(tmp_path / "more", AAB=affinities((1, PSAM))))
    with pytest.raises(DatasetError, match="both there"):
        read_panel(panel_of(tmp_path, "AAB\t\tS\tAAB.txt"), folders)


def test_prepare_with_a_panel_and_with_several_folders(folders, tmp_path):
    fasta, gtf = make_genome(tmp_path)
    panel = panel_of(tmp_path, "AAA\tAAA/AAB\tRBNS\tAAA.txt", "B2\t\tRNAcompete\tA_Homo_1.txt")
    output = str(tmp_path / "d.npz")
    given = [arg for folder in folders for arg in ("--motifs", folder)]

    def prepared(*arguments):
        split = ["--validation", "chr1", "--test", "chr5"]
        command = ["train", "prepare", "-f", fasta, "-a", gtf, "-o", output, *split, *arguments]
        return CliRunner().invoke(main, command)

    assert prepared(*given).exit_code == 0
    assert Dataset.load(output).motifs["names"].tolist() == ["AAA", "AAB", "A_Homo_1", "A_Homo_2"]
    assert prepared(*given, "--panel", panel).exit_code == 0
    data = Dataset.load(output)
    assert data.motifs["names"].tolist() == ["AAA", "B2"] and len(data.motifs["psam"]) == 3
    assert data.meta["motifs"][0] == dict(
        name="AAA", family="AAA/AAB", source="RBNS", files=["AAA.txt"]
    )
    alone = prepared("--panel", panel)
    assert alone.exit_code == 2 and "--motifs" in alone.stderr


def test_prepare_without_motifs_says_nothing_of_them(tmp_path):
    fasta, gtf = make_genome(tmp_path)
    output = str(tmp_path / "d.npz")
    split = ["--validation", "chr1", "--test", "chr5"]
    made = CliRunner().invoke(
        main, ["train", "prepare", "-f", fasta, "-a", gtf, "-o", output, *split]
    )
    assert made.exit_code == 0
    data = Dataset.load(output)
    assert not data.motifs and data.meta["motifs"] == []


# --------------------------------------------------------------------------------------- real files


def test_real_affinities(shared):
    arrays = as_arrays(read_folders([shared("motifs/rbns")]))
    assert arrays["psam"].shape == (318, 11, 4) and len(arrays["names"]) == 79
    np.testing.assert_allclose(arrays["psam"].max(2), 1, atol=1e-4)


def test_real_probabilities(shared):
    motifs = {m.name: m for m in read_folders([shared("motifs/rnacompete")])}
    assert len(motifs) == 242 and "README" not in motifs
    best = ["ACGU"[base] for base in motifs["QKI_Homo_sapiens"].psams[0].argmax(1)]
    assert "ACUAA" in "".join(best)


# ------------------------------------------------------------------------ the panel of the project


def rows_of(name):
    with open(os.path.join(ROOT, "train", "panel", name)) as handle:
        lines = [line for line in handle if not line.startswith("#")]
    return list(csv.DictReader(lines, delimiter="\t"))


def test_the_panel_holds_the_regulators_that_users_ask_for():
    wanted = "SRSF1 SRSF7 TRA2B PTBP1 QKI U2AF2 KHDRBS1 MATR3 ELAVL1 TIAL1 YBX1 RBM5 SNRNP70 "
    wanted += "CELF1 CELF4 MBNL1 RBFOX2"
    names = {row["name"] for row in rows_of("panel.tsv")}
    assert not set(wanted.split()) - names
    assert 95 <= len(names) <= 110


def test_no_file_is_both_in_the_panel_and_left_out():
    used = [f for row in rows_of("panel.tsv") for f in row["files"].split(",")]
    left_out = rows_of("left_out.tsv")
    assert len(set(used)) == len(used)
    assert not {file.split("#")[0] for file in used} & {row["file"] for row in left_out}
    assert all(row["reason"] for row in left_out)


def test_families_are_those_of_the_measure():
    """No two channels are alike, and what is alike and has no channel is named in the family."""
    panel = {row["name"]: row for row in rows_of("panel.tsv")}
    known_as = dict(BRUNOL5="CELF5", HuR="ELAVL1")
    measured = rows_of("families.tsv")
    assert [row["name"] for row in measured] == sorted(panel)
    for row in measured:
        assert row["family"] == (panel[row["name"]]["family"] or row["name"])
        assert float(row["r"]) < 0.7
        members = row["family"].split("/")
        assert row["name"] in members
        assert not set(members) - {row["name"]} & set(panel)
        for file in filter(None, row["left_out_alike"].split(", ")):
            protein = os.path.basename(file).split(".txt")[0].split("_Homo_")[0]
            protein = known_as.get(protein, protein)
            assert protein in panel or protein in members, file


def test_the_readme_counts_the_panel():
    panel = rows_of("panel.tsv")
    with open(os.path.join(ROOT, "train", "panel", "README.md")) as handle:
        text = handle.read()
    for source in ("RBNS", "RBNS more", "RNAcompete"):
        files = [row["files"].split(",") for row in panel if row["source"] == source]
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {source} |")]
        assert line.endswith(f"| {len(files)} | {sum(map(len, files))} |")
    assert f"{len(panel)} channels" in text
    assert f"each of {len(rows_of('left_out.tsv'))} files" in text


def test_every_file_has_its_place(shared):
    folder = shared("motifs")
    placed = {f.split("#")[0] for row in rows_of("panel.tsv") for f in row["files"].split(",")}
    placed |= {row["file"] for row in rows_of("left_out.tsv")}
    patterns = ("rbns/*.txt", "rbns_extra/*.txt", "rnacompete/*_Homo_sapiens*.txt")
    paths = [path for pattern in patterns for path in glob.glob(os.path.join(folder, pattern))]
    assert {os.path.relpath(path, folder) for path in paths} == placed


def test_the_panel_is_read(shared):
    arrays = as_arrays(read_panel(os.path.join(ROOT, "train/panel/panel.tsv"), [shared("motifs")]))
    assert len(arrays["names"]) == len(rows_of("panel.tsv"))
    assert arrays["psam"].shape[1:] == (11, 4) and np.isfinite(arrays["psam"]).all()


@pytest.mark.parametrize(
    "rbp, site",
    [
        ("SRSF1", "AGGACAG"),
        ("SRSF7", "GACGACG"),
        ("TRA2B", "AGAAGAA"),
        ("PTBP1", "UUUUCUU"),
        ("QKI", "ACUAACA"),
        ("U2AF2", "UUUUUUC"),
        ("KHDRBS1", "AUAAAAG"),
        ("MATR3", "AAUCUUG"),
        ("RBM5", "GAAGGAA"),
        ("YBX1", "AACAUCA"),
        ("RBFOX2", "UGCAUGU"),
        ("CELF4", "UGUGUGU"),
    ],
)
def test_known_sites_are_among_the_best(rbp, site, shared):
    """In a random background a site of the literature is bound better than 99.9 % of the bases."""
    motifs = read_panel(os.path.join(ROOT, "train/panel/panel.tsv"), [shared("motifs")])
    arrays = as_arrays([motif for motif in motifs if motif.name == rbp])
    fixed = FixedMotifs.from_psams(*(torch.from_numpy(arrays[k]) for k in ("psam", "a0", "rbp")))
    codes = np.random.default_rng(0).integers(0, 4, (200, 21))
    around = codes.copy()
    around[:, 7:14] = ["ACGU".index(base) for base in site]
    random = np.random.default_rng(1).integers(0, 4, (1, 50_000))
    background = fixed(one_hot(torch.from_numpy(random)))
    bound = fixed(one_hot(torch.from_numpy(around))).amax((1, 2))
    assert bound.median() > background.quantile(0.999)


# ------------------------------------------------------------------------------ nearly silent RBPs


def test_site_densities_are_those_of_the_validation_genes(tmp_path):
    fasta, gtf = make_genome(tmp_path)
    data = prepare([(fasta, gtf)], {"chr1"}, {"chr5"}, set(), report=lambda _: None)
    model = toy.model("am")
    counted = site_densities([model], toy.RBPS, data)
    bases, sites = 0, torch.zeros(len(toy.RBPS))
    for gene in data.genes("validation"):
        length = int(data.offsets[gene + 1] - data.offsets[gene])
        codes, _ = data.window(gene, 0, length, 10, 10)
        with torch.inference_mode():
            sites += (model.motifs(one_hot(torch.from_numpy(codes[None])))[0] > 0).sum(1)
        bases += length
    assert counted["bases"] == bases and sites.sum() > 0
    assert list(counted["density"].values()) == pytest.approx((sites / bases).tolist(), abs=1e-7)


def test_a_card_names_the_nearly_silent():
    density = dict(LOUD=0.002, LEAST=0.00005, QUIET=0.00004, NONE=0.0)
    config = dict(kinds=dict(am=[], fm=[]), name="x", flank=60)
    config["data"] = dict(train=dict(genes=1, bases=1, introns=1))
    metrics = dict(storage=dict(precision="fp16", windows=1, largest_error=0))
    assert "silent" not in card(config, metrics)
    metrics[MOTIF_SITES] = dict(am=dict(bases=9, density=density))
    (line,) = [line for line in card(config, metrics).splitlines() if "silent" in line]
    assert (
        line.startswith("- Nearly silent adjusted motifs (AM), with")
        and "0.005%" in line
        and ": QUIET, NONE." in line
    )
