"""Models of in-vivo binding: peaks, examples and training on toys whose answers are worked out by
hand, and second opinions in `annotate` and `explain`."""

import gzip
import importlib.util
import json
import os

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar import info
from samvar.cli import main
from samvar.errors import BundleError, DatasetError, PeakError, RecipeError
from samvar.formats.peaks import UNSAID, Peak, Peaks, read_peaks
from samvar.formats.vcf import VcfReader
from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.genome import Genome, decode, encode, reverse_complement
from samvar.genomics.region_types import CODING, INTRON, NONE, UTR3, UTR5, region_types
from samvar.genomics.variant import normalise
from samvar.genomics.window import Place, make_window
from samvar.model.binding import BindingNet, BindingShape, load_binding, save_binding
from samvar.model.bundle import BINDING, FOLDER, bundled, load_bundle
from samvar.model.sam import one_hot
from samvar.opinions import Haplotypes, Opinions
from samvar.research.binding import consensus_motif, integrated_gradients
from samvar.research.compare import Group
from samvar.scoring.attribution import Part, PartKind
from samvar.training.areas import auprc, auroc
from samvar.training.binding import (
    BOUND,
    CONTROL,
    OTHER,
    Binned,
    areas_of,
    bound_bases,
    examples,
    on_contigs,
    separate_genes,
    without,
)
from samvar.training.binding import UNSAID as NO_SAY
from samvar.training.recipe import BindingRecipe, load_json_recipe, load_recipe, recipe_from
from samvar.views.binding import draw
from samvar.views.report import Summary

# ------------------------------------------------------------------------------------------- peaks


def bed(path, *rows):
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    packed = gzip.compress(text.encode()) if str(path).endswith(".gz") else text.encode()
    with open(path, "wb") as handle:
        handle.write(packed)
    return str(path)


def test_peaks_are_named_by_their_column_of_names(tmp_path):
    path = bed(
        tmp_path / "a.bed",
        ("track name=x",),
        ("chr1", 100, 110, "PTBP1_K562_IDR", 0, "+"),
        ("chr1", 105, 130, "PTBP1_HepG2_rep02", 0, "+", 1.5, 2.5, -1, -1),
        ("chr1", 105, 130, "PTBP1_HepG2", 0, "-"),
        ("chr1", 100, 400, "QKI", 0, "+"),
    )
    peaks = read_peaks(path)
    assert peaks.proteins == {"PTBP1", "QKI"} and peaks.name == "a.bed"
    assert peaks.overlapping("1", "+", 109, 110) == [
        Peak("chr1", 100, 110, "+", "PTBP1", "K562"),
        Peak("chr1", 100, 400, "+", "QKI", UNSAID),
        Peak("chr1", 105, 130, "+", "PTBP1", "HepG2"),
    ]
    assert [p.protein for p in peaks.overlapping("chr1", "+", 399, 400)] == ["QKI"]
    assert not peaks.overlapping("chr1", "+", 400, 500) and not peaks.overlapping("2", "+", 0, 999)


def test_cell_lines_near_a_base(tmp_path):
    peaks = Peaks(
        [Peak("1", 100, 110, "+", "A", "x"), Peak("1", 112, 115, "+", "A", "w")]
        + [Peak("1", 100, 110, "-", "B", "x")]
    )
    found = [peaks.cell_lines("A", "chr1", "+", at, 5) for at in (94, 95, 107, 114, 119, 120)]
    assert found == [[], ["x"], ["w", "x"], ["w", "x"], ["w"], []]
    assert peaks.cell_lines("B", "1", "+", 105, 5) == []
    assert peaks.cell_lines("C", "1", "+", 105, 5) is None


def test_a_folder_takes_protein_and_cell_line_from_its_metadata(tmp_path):
    bed(tmp_path / "ENC1.bed.gz", ("1", 5, 9, ".", 0, "+"))
    bed(tmp_path / "other.bed", ("1", 5, 9, "FUS_HeLa", 0, "-"))
    columns = "File accession", "Experiment target", "Biosample term name"
    bed(tmp_path / "metadata.tsv", columns, ("ENC1", "TIA1-human", "K 562"), ("ENC2", "?", "?"))
    peaks = read_peaks(str(tmp_path))
    assert peaks.cell_lines("TIA1", "1", "+", 5, 0) == ["K_562"]
    assert peaks.cell_lines("FUS", "1", "-", 5, 0) == ["HeLa"]
    before = peaks.digest
    bed(tmp_path / "metadata.tsv", columns, ("ENC1", "TIA1-human", "K562"))
    assert read_peaks(str(tmp_path)).digest != before
    bed(tmp_path / "metadata.tsv", ("File accession",))
    with pytest.raises(PeakError, match="metadata.tsv has no column Biosample term name"):
        read_peaks(str(tmp_path))


@pytest.mark.parametrize(
    "row, message",
    [
        (("1", 5, 9, "A_x"), "six columns"),
        (("1", 9, 5, "A_x", 0, "+"), "9-5 is no interval"),
        (("1", "x", 5, "A_x", 0, "+"), "x-5 is no interval"),
        (("1", 5, 9, "A_x", 0, "."), "strand must be"),
        (("1", 5, 9, ".", 0, "+"), "not PROTEIN_CELL"),
    ],
)
def test_faults_have_file_and_line(tmp_path, row, message):
    path = bed(tmp_path / "bad.bed", ("1", 1, 2, "A_x", 0, "+"), row)
    with pytest.raises(PeakError, match=f"bad.bed, line 2: .*{message}"):
        read_peaks(path)


def test_no_peaks_are_an_error(tmp_path):
    with pytest.raises(PeakError, match="no peaks in"):
        read_peaks(str(tmp_path))
    with pytest.raises(PeakError, match="holds no peak"):
        read_peaks(bed(tmp_path / "a.bed", ("#",)))
    with pytest.raises(PeakError, match="cannot read peaks"):
        read_peaks(str(tmp_path / "none.bed"))


def test_peaks_of_another_build_are_refused(tmp_path, examples):
    genome = Genome(examples("minigenes.fa"))
    Peaks([Peak("chrmini", 0, genome.lengths["mini"], "+", "A", "x")]).check(genome)
    with pytest.raises(PeakError, match="another genome build"):
        Peaks([Peak("mini", 0, genome.lengths["mini"] + 1, "+", "A", "x")]).check(genome)
    with pytest.raises(PeakError, match="share no contig"):
        Peaks([Peak("chr1", 0, 1, "+", "A", "x")]).check(genome)


# ------------------------------------------------------------------------------------ region types


def test_region_types_of_both_strands():
    coding = Transcript("t", ((2, 6), (9, 12), (14, 16)), cds_start=4, cds_end=11)
    forward = [NONE] * 2 + [UTR5] * 2 + [CODING] * 2 + [INTRON] * 3 + [CODING] * 2
    forward += [UTR3] + [INTRON] * 2 + [UTR3] * 2 + [NONE] * 2
    assert region_types(coding, "+", 0, 18).tolist() == forward
    swapped = {UTR5: UTR3, UTR3: UTR5}
    assert region_types(coding, "-", 0, 18).tolist() == [swapped.get(k, k) for k in forward]
    assert region_types(coding, "+", 5, 10).tolist() == forward[5:10]
    assert region_types(coding, "+", 18, 20).tolist() == [NONE] * 2


def test_exons_of_a_non_coding_transcript_have_no_type():
    silent = Transcript("t", ((2, 4), (6, 8)))
    assert region_types(silent, "+", 1, 9).tolist() == [NONE] * 3 + [INTRON] * 2 + [NONE] * 3


# ---------------------------------------------------------------------------------------- examples

HOW = Binned(window=30, bin=10, extend5=5, controls=2, seed=1)


def gene(start, end, strand="+", symbol="G", contig="c"):
    exons = ((start, start + 20), (end - 20, end))
    transcript = Transcript(symbol, exons, start + 5, end - 5)
    return Gene(symbol, symbol, contig, strand, start, end, (transcript,), contig)


@pytest.fixture
def genome(tmp_path):
    rng = np.random.default_rng(3)
    with open(tmp_path / "g.fa", "w") as handle:
        for name in "cd":
            handle.write(f">{name}\n{''.join(rng.choice(list('ACGT'), 3000))}\n")
    return Genome(str(tmp_path / "g.fa"))


def test_peaks_are_longer_at_their_5_end():
    peaks = Peaks([Peak("c", 130, 140, "+", "A", "x"), Peak("c", 130, 140, "-", "B", "x")])
    (forward,) = bound_bases(peaks, gene(100, 200), 5).values()
    assert np.flatnonzero(forward).tolist() == list(range(25, 40))
    (backward,) = bound_bases(peaks, gene(100, 200, "-"), 5).values()
    # Transcript orientation: base 0 is 199 of the contig; the peak with 5 more is 130 .. 144
    assert np.flatnonzero(backward).tolist() == list(range(55, 70))


@pytest.mark.parametrize("strand", "+-")
def test_bins_are_bound_from_half_on_and_controls_are_untouched(genome, strand):
    own = gene(1000, 2000, strand)
    # In transcript orientation, with 5 bases more at the 5' end: A holds 40 .. 59 and 204 .. 215;
    # B holds 40 .. 49, and 300 .. 304, half of its bin
    places = [("A", 45, 60), ("A", 209, 216), ("B", 45, 50), ("B", 304, 305)]
    peaks = Peaks(
        Peak(
            "c", *((1000 + s, 1000 + e) if strand == "+" else (2000 - e, 2000 - s)), strand, p, "x"
        )
        for p, s, e in places
    )
    found = examples(genome, peaks, [own], ["A", "B", "C"], HOW)
    codes = genome.codes("c", 1000, 2000)
    codes = codes if strand == "+" else reverse_complement(codes)
    text = decode(codes)
    bins = [text.index(decode(window[10:20])) // 10 for window in found.codes]
    of = {b: labels.tolist() for b, labels in zip(bins, found.labels)}
    assert [b for b in bins if of[b][0] == BOUND] == [4, 5, 20, 21]
    assert [b for b in bins if of[b][1] == BOUND] == [4, 30]
    assert sum(labels[0] == CONTROL for labels in of.values()) == 8
    assert sum(labels[1] == CONTROL for labels in of.values()) == 4
    touched = {"A": {4, 5, 20, 21}, "B": {4, 30}}
    for column, protein in enumerate("AB"):
        assert not touched[protein] & {b for b in bins if of[b][column] in (CONTROL, OTHER)}
    assert {labels[2] for labels in of.values()} == {NO_SAY}  # no peak of C in the gene
    for b, window, kinds in zip(bins, found.codes, found.regions):
        start, end = max(10 * b - 10, 0), min(10 * b + 20, 1000)
        assert decode(window).strip("N") == text[start:end]
        assert set(kinds[10:20]) <= ({UTR5, CODING} if b < 2 else {INTRON, CODING, UTR3})


def test_a_bin_that_is_touched_but_not_bound_has_no_say(genome):
    # A holds 40 .. 59 and of the bin 60 .. 69 four bases; B binds that one
    peaks = Peaks([Peak("c", 1045, 1064, "+", "A", "x"), Peak("c", 1060, 1070, "+", "B", "x")])
    found = examples(genome, peaks, [gene(1000, 2000)], ["A", "B"], HOW)
    (both,) = [labels.tolist() for labels in found.labels if labels[1] == BOUND and labels[0] < 0]
    assert both == [NO_SAY, BOUND]


def test_unknown_bins_are_neither_bound_nor_controls(tmp_path):
    (tmp_path / "g.fa").write_text(">c\n" + "A" * 50 + "N" * 10 + "A" * 20 + "N" * 20 + "\n")
    own = Gene("G", "G", "c", "+", 0, 100, (Transcript("t", ((0, 100),)),), "c")
    peaks = Peaks([Peak("c", 40, 60, "+", "A", "x")])
    found = examples(Genome(str(tmp_path / "g.fa")), peaks, [own], ["A"], HOW._replace(controls=9))
    # Bins 3 (5 of 10 bases) and 4 are bound; 0, 1, 2, 6 and 7 are free; 5, 8 and 9 are unknown
    assert sorted(found.labels[:, 0].tolist()) == [BOUND] * 2 + [CONTROL] * 5


def test_genes_are_separate_and_held_out_ones_hide_what_they_overlap(genome):
    long, short, other = gene(0, 900), gene(100, 600, symbol="S"), gene(100, 600, "-", "R")
    away = gene(0, 500, symbol="D", contig="d")
    strange = gene(0, 500, symbol="E", contig="e")

    # Of the two that overlap on a strand "G" comes first: as long a coding sequence, smaller id
    kept = separate_genes(genome, [short, long, other, away, strange])
    assert kept == [long, other, away]
    assert without(kept, ["R"]) == [away]
    assert on_contigs(kept, ["chrd"]) == [away] == on_contigs(kept, ["c"], those=False)


def test_no_peak_in_a_gene_is_an_error(genome):
    with pytest.raises(DatasetError, match="no peak of .* lies in a gene"):
        examples(genome, Peaks([Peak("d", 1, 9, "+", "A", "x")]), [gene(0, 900)], ["A"], HOW)


def test_areas_by_hand():
    label, value = np.array([1, 0, 1, 0], bool), np.array([4.0, 3.0, 2.0, 1.0])
    assert auroc(label, value) == 0.75 and auprc(label, value) == pytest.approx((1 + 2 / 3) / 2)
    labels = np.array([[BOUND, OTHER]] * 10 + [[CONTROL, NO_SAY]] * 10 + [[OTHER, BOUND]] * 10)
    value = np.repeat([[2.0, 0.0], [1.0, 0.0], [3.0, 0.0]], 10, 0)
    (only,) = areas_of(value, labels, ["A", "B"]).items()  # B has no controls
    assert only == ("A", (10, 10, 1.0, 1.0, 0.0))


def test_the_script_counts_resampled_rows_as_often_as_they_are_drawn(monkeypatch):
    folder = os.path.join(os.path.dirname(__file__), "..", "train", "evaluate")
    monkeypatch.syspath_prepend(folder)
    spec = importlib.util.spec_from_file_location("binding", os.path.join(folder, "binding.py"))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    rng = np.random.default_rng(0)
    label, value = rng.random(40) < 0.4, rng.random(40)
    weight = np.stack((np.ones(40), rng.integers(0, 3, 40))).astype(np.float32)
    found = script.resampled(label, value, weight)
    for i in range(2):
        rows = np.repeat(np.arange(40), weight[i].astype(int))
        areas = auprc(label[rows], value[rows]), auroc(label[rows], value[rows])
        assert found[:, i].tolist() == pytest.approx(areas, abs=1e-5)


# ----------------------------------------------------------------------------------------- network

COUNTS = BindingShape(
    window=48, bin=16, channels=4, region_channels=0, hidden=1, width=1, pool=1, dropout=0.0
)
WEIGHTS = dict(A=0.0, C=1.0, G=2.0, T=4.0)
SCALE = 6 * (1 + 1e-5)  # bases of each part of the window; two norms that have seen nothing


def counting(region=False):
    """A network whose log-odds are the sum of WEIGHTS over the bases, by SCALE, and 3 more; of its
    second protein twice as much. With a region branch each base of an intron counts 8 more."""
    shape = COUNTS if not region else BindingShape(**(vars(COUNTS) | dict(region_channels=4)))
    net = BindingNet(2, shape)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.dim() > 1 or name.endswith("bias"):
                p.zero_()
        net.of_bases[0].weight[:, :, 0] = torch.eye(4)
        convolution = net.together[1]
        for base, weight in enumerate(WEIGHTS.values()):
            convolution.weight[0, base, 3] = weight
        if region:
            net.of_regions[0].weight[:, :, 0] = torch.eye(4)
            convolution.weight[0, 4 + INTRON, 3] = 8.0
        first, last = net.together[7], net.together[10]
        first.weight[0, :8] = 1.0  # the eight parts of channel 0
        last.weight[:, 0] = torch.tensor([1.0, 2.0])
        last.bias[:] = torch.tensor([3.0, 6.0])
    return net.eval()


def save(folder, net, proteins=("TRA2A", "ZRANB2"), step=1):
    os.makedirs(folder, exist_ok=True)
    save_binding(str(folder), net, proteins, dict(kind="binding", step=step, steps=1))
    return str(folder)


def expected(bases, introns=0):
    return (sum(WEIGHTS[b] for b in bases) + 8 * introns) / SCALE + 3


def test_the_counting_network_counts():
    text = "ACGT" * 12
    bases, regions = one_hot(torch.from_numpy(encode(text))[None]), torch.zeros(1, 4, 48)
    found = counting()(bases, regions)[0].tolist()
    assert found == pytest.approx([expected(text), 2 * expected(text)], rel=1e-5)
    regions[0, INTRON, :7] = 1
    assert counting()(bases, regions)[0].tolist() == found  # it does not look at them
    with_regions = counting(region=True)(bases, regions)[0, 0].item()
    assert with_regions == pytest.approx(expected(text, 7), rel=1e-5)


def test_a_saved_model_comes_back(tmp_path):
    model = load_binding(save(tmp_path / "m", counting()))
    x = one_hot(torch.randint(0, 4, (2, 48))), torch.zeros(2, 4, 48)
    assert torch.equal(model.net(*x), counting()(*x))
    assert model.proteins == ("TRA2A", "ZRANB2") and model.window == 48 and model.name == "m"
    with pytest.raises(BundleError, match="at step 0 of 1"):
        load_binding(save(tmp_path / "m", counting(), step=0))
    with pytest.raises(BundleError, match="no model of binding in"):
        load_binding(str(tmp_path))


def test_a_residual_block_adds_to_what_comes_in():
    shape = BindingShape(**(vars(COUNTS) | dict(residual=True)))
    plain, net = counting(), BindingNet(2, shape).eval()
    net.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        net.residual.layers[-1].weight.zero_()  # the last norm: the block adds its bias
        net.residual.layers[-1].bias.fill_(0.5)
    bases = one_hot(torch.from_numpy(encode("ACGT" * 12))[None])
    # Each of the four channels holds 0.5 more at each of 48 bases, times its weight: 0 + 1 + 2 + 4
    more = 0.5 * 7 * 48 / 6 / (1 + 1e-5) ** 0.5
    gained = net(bases, None)[0, 0] - plain(bases, None)[0, 0]
    assert gained.item() == pytest.approx(more, rel=1e-4)


def test_integrated_gradients_are_complete_and_those_of_a_sum_its_terms():
    codes = torch.from_numpy(encode("ACGTN" + "CATG" * 10 + "CAT"))[None]
    bases, regions = one_hot(codes), torch.zeros(1, 4, 48)
    (found,) = integrated_gradients(counting(), bases, regions, 1, steps=1)
    mean = sum(WEIGHTS.values()) / 4
    terms = [2 * (WEIGHTS[b] - mean) / SCALE if b != "N" else 0.0 for b in decode(codes[0].numpy())]
    assert found.tolist() == pytest.approx(terms, abs=1e-4)
    torch.manual_seed(0)
    net = BindingNet(2, BindingShape(channels=8, region_channels=4, hidden=8)).eval()
    bases = one_hot(torch.randint(0, 4, (2, 150)))
    regions = one_hot(torch.randint(0, 5, (2, 150)))
    found = integrated_gradients(net, bases, regions, 0, steps=256).sum(1)
    with torch.no_grad():
        change = (net(bases, regions) - net(torch.full_like(bases, 0.25), regions))[:, 0]
    assert found.tolist() == pytest.approx(change.tolist(), abs=2e-3)


def test_a_consensus_is_what_windows_have_in_common(tmp_path):
    """The network that counts likes T best: six Ts in each window, one of them with an A among
    them, and each with other bases around."""
    rng = np.random.default_rng(0)
    windows = [encode("".join(rng.choice(list("AC"), 48))) for _ in range(8)]
    for i, window in enumerate(windows):
        window[10 + i : 20 + i] = encode("GCTTTTTTCG" if i else "GCTTATTTCG")
    codes = np.stack(windows)
    motif = consensus_motif(counting(), "P", 0, codes, np.full_like(codes, NONE))
    assert motif.windows == motif.used == 8 and motif.consensus[2:12] == "GCUUUUUUCG"
    assert motif.counts[4:10].tolist() == [[int(i == 2), 0, 0, 8 - (i == 2)] for i in range(6)]
    draw([motif], str(tmp_path / "m.svg"))
    assert "P (8/8)" in (tmp_path / "m.svg").read_text()


# ---------------------------------------------------------------------------------------- training

MOTIF = "TGCATG"
TINY = dict(
    steps=60,
    lr=0.01,
    warmup=5,
    validation=["d"],
    held_out=["e"],
    window=30,
    bin=10,
    extend5=0,
    least=10,
    batch=32,
    channels=8,
    region_channels=2,
    hidden=8,
    dropout=0.1,
    validate_every=30,
    checkpoint_every=10,
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder with genome, genes and peaks: RBFOX2 binds where MOTIF stands, in bins of its own;
    ANY binds as many bins without it, RARE two."""
    folder = tmp_path_factory.mktemp("clip")
    rng = np.random.default_rng(5)
    rows, peaks = [], []
    with open(folder / "g.fa", "w") as handle:
        for contig, n in (("c", 8000), ("d", 4000), ("e", 2000)):
            bases = "".join(rng.choice(list("ACGT"), n)).replace(MOTIF, "TGCAAG")
            for i, start in enumerate(range(200, n - 200, 100)):
                if i % 2:
                    bases = bases[: start + 2] + MOTIF + bases[start + 2 + len(MOTIF) :]
                name = ("ANY_x", "RBFOX2_x")[i % 2]
                peaks.append((contig, start, start + 10, name, 0, "+"))
            handle.write(f">{contig}\n{bases}\n")
            sizes, starts = f"100,{n - 300},", "0,300,"
            row = (
                contig,
                0,
                n,
                f"T{contig}",
                0,
                "+",
                50,
                n - 50,
                0,
                2,
                sizes,
                starts,
                f"G{contig}",
            )
            rows.append(row)
    peaks += [("c", 150, 160, "RARE_x", 0, "+"), ("c", 170, 180, "RARE_x", 0, "+")]
    bed(folder / "genes.bed", *rows)
    bed(folder / "peaks.bed", *peaks)
    return folder


def train(clip, out, *more, code=0, **settings):
    recipe = clip / f"{out.name}.toml"
    recipe.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in (TINY | settings).items()))
    files = ["-f", clip / "g.fa", "-a", clip / "genes.bed", "--peaks", clip / "peaks.bed"]
    args = ["train", "binding", recipe, *files, "-o", out, "--threads", 1, *more]
    result = CliRunner().invoke(main, [*map(str, args), "--allow-annotation-mismatch"])
    assert result.exit_code == code, result.stderr
    return result.stderr


@pytest.mark.slow
def test_a_planted_motif_is_learnt_and_a_resumed_run_is_the_same(clip, tmp_path):
    said = train(clip, tmp_path / "whole")
    assert "2 proteins" in said  # RARE binds too few bins
    model = load_binding(str(tmp_path / "whole"))
    assert model.proteins == ("ANY", "RBFOX2")
    with open(tmp_path / "whole" / "metrics.tsv") as handle:
        header, *_, last = (line.rstrip("\n").split("\t") for line in handle)
    assert float(dict(zip(header, last))["auroc"]) > 0.7  # ANY's is chance
    recipe = load_json_recipe(str(tmp_path / "whole" / "model.json"), BindingRecipe)
    assert recipe == BindingRecipe(**TINY)
    stopped = train(clip, tmp_path / "parts", "--minutes", 1e-6)
    assert "stopped after" in stopped
    train(clip, tmp_path / "parts", "--minutes", 1e-6, code=1)  # a checkpoint, and no --resume
    train(clip, tmp_path / "parts", "--resume")
    whole, parts = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["model"]
        for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.slow
def test_a_run_of_one_protein_without_region_types(clip, tmp_path):
    train(clip, tmp_path / "one", proteins=["RBFOX2"], region_channels=0, residual=True, steps=2)
    model = load_binding(str(tmp_path / "one"))
    assert model.proteins == ("RBFOX2",) and model.net.of_regions is None and model.net.residual
    said = train(clip, tmp_path / "rare", proteins=["RARE"], code=1)
    assert "RARE: fewer than 10 bound bins" in said
    assert "no peak of NOBODY" in train(clip, tmp_path / "none", proteins=["NOBODY"], code=1)


def test_a_recipe_is_checked():
    for values, message in (
        (dict(window=31, bin=10), "an even number of bases more"),
        (dict(validation=["c"], held_out=["c"]), "both validation and held_out"),
        (dict(dropout=1.0), "dropout"),
        (dict(proteins=[1]), "proteins must be a list of names"),
    ):
        with pytest.raises(RecipeError, match=message):
            recipe_from(dict(steps=1) | values, BindingRecipe)


# -------------------------------------------------------------------------------- second opinions


def cut(genome, own, variant, width=48, distance=5, flank=40, reach=(7, 9)):
    """The haplotypes around a variant, (contig, pos, ref, alt) with pos 1-based."""
    change = normalise(genome, genome.contig(variant[0]), *variant[1:])
    return Haplotypes(make_window(genome, own, change, distance, flank, reach), width)


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize(
    "pos, ref, alt, place, middle",
    [
        # 0-based place of a site -> its base in ALT, as an index into that contig's sequence
        (1501, 1, "T", Place(1507), 1507),  # an SNV moves nothing
        (1501, 4, "", Place(1507), 1504),  # after three deleted bases
        (1501, 4, "", Place(1502), 1501),  # deleted itself: what stands there now
        (1501, 1, "ACG", Place(1507), 1509),  # after two inserted bases
        (1501, 1, "ACG", Place(1500, 2), 1502),  # the second inserted base itself
        (1501, 1, "ACG", Place(1490), 1490),  # before the variant
    ],
)
def test_windows_around_a_site_in_both_alleles(genome, strand, pos, ref, alt, place, middle):
    contig = decode(genome.codes("c", 0, 3000))
    own = gene(1000, 2000, strand)
    ref = contig[pos - 1 : pos - 1 + ref]
    (new, *_) = (base for base in "ACGT" if base not in contig[pos - 1 : pos + 1])
    alt = {"": ref[:1], "T": new}.get(alt, ref + 2 * new)  # an insertion that can't be shifted
    if place.offset == 0 and len(ref) > 1 and contig[pos] == contig[pos + len(ref) - 1]:
        pytest.skip("the deletion can be shifted")
    changed = contig[: pos - 1] + alt + contig[pos - 1 + len(ref) :]
    shown = cut(genome, own, ("c", pos, ref, alt))
    for in_alt, text, at in ((False, contig, place.position), (True, changed, middle)):
        codes, kinds = shown.around(place, in_alt)
        if strand == "+":
            assert decode(codes) == text[at - 24 : at + 24]
        else:
            assert decode(codes) == decode(reverse_complement(encode(text[at - 23 : at + 25])))
        assert set(kinds) == {INTRON}


@pytest.mark.parametrize("strand", "+-")
def test_windows_reach_beyond_what_the_splice_models_are_shown(genome, strand):
    """A site 4 bases from the gene's start: the frame begins at 1000 - 36, the gene at 1000."""
    own = gene(1000, 2000, strand)
    contig = decode(genome.codes("c", 0, 3000))
    other = "A" if contig[1009] != "A" else "C"
    shown = cut(genome, own, ("c", 1010, contig[1009], other))
    codes, kinds = shown.around(Place(1060), False)
    plus = codes if strand == "+" else reverse_complement(codes)
    assert decode(plus) == contig[1036:1084] if strand == "+" else contig[1037:1085]
    codes, kinds = shown.around(Place(1004), True)
    plus = codes if strand == "+" else reverse_complement(codes)
    kinds = kinds if strand == "+" else kinds[::-1]
    first = 980 if strand == "+" else 981
    text = contig[:1009] + other + contig[1010:]
    assert decode(plus) == "N" * (1000 - first) + text[1000 : first + 48]
    before = UTR5 if strand == "+" else UTR3
    types = [NONE] * (1000 - first) + [before] * 5 + [CODING] * 15 + [INTRON] * (first + 28 - 1000)
    assert kinds.tolist() == types


def part(rbp, position, kind=PartKind.MOTIF, offset=0):
    return Part(rbp, "loss", position, offset, "A" * 11, -1.0, 0.1, kind=kind)


@pytest.mark.parametrize("strand", "+-")
def test_what_is_told_of_a_cause(genome, strand, tmp_path):
    contig = decode(genome.codes("c", 0, 3000))
    own = gene(1000, 2000, strand)
    old = contig[1500]
    new = "A" if old != "A" else "C"
    window = cut(genome, own, ("c", 1501, old, new)).window
    sites = [part("TRA2A", 1510), part("ZRANB2", 1490), part("OTHER1", 1490), part("TRA2A", 1530)]
    others = [part("LSSI_A", 1490, PartKind.CORE), Part("SPACING", kind=PartKind.SPACING)]
    net = load_binding(save(tmp_path / "m", counting(region=True)))
    held = [Peak("chrc", 1440, 1500, strand, "TRA2A", cell) for cell in ("K562", "HepG2")]
    held.append(Peak("chrc", 1490, 1491, "-" if strand == "+" else "+", "ZRANB2", "K562"))
    with Opinions(net, Peaks(held)) as opinions:
        told = opinions.of(window, sites + others)
    as_read = (old, new) if strand == "+" else tuple("TGCA"["ACGT".index(b)] for b in (old, new))
    change = (WEIGHTS[as_read[1]] - WEIGHTS[as_read[0]]) / SCALE
    assert told.on(sites[0]).binding == pytest.approx(change, abs=1e-4)
    assert told.on(sites[1]).binding == pytest.approx(2 * change, abs=1e-4)
    assert told.on(sites[3]).binding == 0.0  # 30 bases away: the window does not hold the variant
    assert told.on(sites[2]) == (None, None) and told.on(others[0]) == (None, None)
    assert [told.cells(p)[1] for p in sites] == ["HepG2+K562", "no", ".", "HepG2+K562"]
    assert told.cells(others[0]) == told.cells(others[1]) == [".", "."]
    assert told.cells(sites[3])[0] == "0.000"
    with Opinions(peaks=Peaks(held)) as alone:
        assert alone.of(window, sites).cells(sites[1]) == ["no"]
    assert info.with_columns(alone.columns).columns() == [*info.RBP.columns(), "PEAK"]


MINIGENES = ("-f", "{fa}", "-a", "{gtf}")


def run(examples, *args, code=0):
    files = dict(fa=examples("minigenes.fa"), gtf=examples("minigenes.gtf"))
    result = CliRunner().invoke(main, [str(a).format(**files) for a in args])
    assert result.exit_code == code, result.stderr
    return result


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Options with a model that counts, and peaks of TRA2A about 3540 of the minigenes."""
    folder = tmp_path_factory.mktemp("asked")
    rows = [
        ("mini", 3500, 3560, "TRA2A_K562", 0, "-"),
        ("mini", 3470, 3490, "HNRNPDL_HepG2", 0, "+"),
    ]
    peaks = bed(folder / "peaks.bed", *rows)
    return ["--binding", save(folder / "m", counting()), "--peaks", peaks]


@pytest.fixture(scope="module")
def annotated(asked, tmp_path_factory):
    """The minigenes with second opinions: path."""
    folder = os.path.join(os.path.dirname(__file__), "..", "examples")
    path = tmp_path_factory.mktemp("out") / "out.vcf"
    names = lambda name: os.path.join(folder, name)  # noqa: E731
    run(names, "annotate", names("minigenes.vcf"), *MINIGENES, *asked, "-o", path)
    return path


def causes(path, name):
    with open(path) as handle:
        (line,) = (line for line in handle if line.split("\t")[2:3] == [name])
    (rows,) = (e[11:] for e in line.split("\t")[7].split(";") if e.startswith("SAMVAR_RBP="))
    return [row.strip().split("|") for row in rows.split(",")]


@pytest.mark.slow
def test_annotate_adds_the_columns_and_nothing_else(examples, annotated):
    with open(examples("minigenes.expected.vcf")) as handle:
        plain = [line for line in handle if not line.startswith("##samvar_")]
    with open(annotated) as handle:
        lines = handle.readlines()
    added = [line for line in lines if line.startswith(("##samvar_binding", "##samvar_peaks"))]
    assert [line.partition(",Sha256=")[0] for line in added] == [
        '##samvar_binding=<ID=m,Name="m"',
        '##samvar_peaks=<ID=peaks.bed,Name="peaks.bed"',
    ]
    lines = [line for line in lines if not line.startswith("##samvar_")]
    cleaned = [_without_last_columns(line) for line in lines]
    assert [c for c in cleaned if "ID=SAMVAR_RBP," not in c] == [
        p for p in plain if "ID=SAMVAR_RBP," not in p
    ]
    (header,) = (line for line in lines if "ID=SAMVAR_RBP," in line)
    assert header.endswith('|EFFECT|DELTA|BIND|PEAK">\n')
    rows = {(row[2], row[4]): row[9:] for row in causes(annotated, "enhancer_lost")}
    ref, alt = "AGAAGAAGAGAAGAAG", "TGTTGTTGTGTTGTTG"  # the gene is on the minus strand
    change = sum(WEIGHTS[b] - WEIGHTS[a] for a, b in zip(ref, alt)) / SCALE
    assert rows["TRA2A", "3540"] == [f"{change:.3f}", "K562"]
    assert rows["RBM5", "3531"] == [".", "."]
    assert causes(annotated, "weak_donor_destroyed")[0][9:] == [".", "."]  # the core site
    of_one = [row for row in causes(annotated, "weak_donor_destroyed") if row[2] == "HNRNPDL"]
    assert [row[9:] for row in of_one] == [[".", "no"]]  # its peak is on the other strand


def _without_last_columns(line):
    fields = line.split("\t")
    if len(fields) < 8 or fields[0].startswith("#"):
        return line
    entries = fields[7].rstrip("\n").split(";")
    for i, entry in enumerate(entries):
        if entry.startswith("SAMVAR_RBP="):
            entries[i] = ",".join(
                row.rpartition("|")[0].rpartition("|")[0] for row in entry.split(",")
            )
    end = "\n" * fields[7].endswith("\n")
    return "\t".join([*fields[:7], ";".join(entries) + end, *fields[8:]])


@pytest.mark.slow
def test_what_reads_annotated_files_reads_the_columns(examples, annotated, tmp_path):
    said = run(examples, "verify", annotated, *MINIGENES).stderr
    assert "12 records scored again" in said and "not compared: BIND: give --binding" in said
    assert "not compared: PEAK: give --peaks" in said
    with VcfReader(str(annotated)) as reader, VcfReader(str(annotated)) as again:
        group = Group.of("cases", reader)
        summary = Summary.of(again, ["MOTIF_11"], 3, 0.0)
    assert ("rbp", "TRA2A") in group.effects
    assert [regulator.name for regulator in summary.regulators] == ["MOTIF_11"]
    again = tmp_path / "again.vcf"
    run(examples, "annotate", annotated, *MINIGENES, "--overwrite", "-o", again)
    with open(again) as handle:
        assert "BIND" not in "".join(line for line in handle if "samvar_command" not in line)


@pytest.mark.slow
def test_verify_compares_them_where_it_is_given_what_they_were_made_with(
    examples, asked, annotated, tmp_path
):
    said = run(examples, "verify", annotated, *MINIGENES, *asked).stderr
    assert "12 records scored again" in said and "not compared" not in said
    text = annotated.read_text()
    row, *_ = (r for r in causes(annotated, "enhancer_lost") if r[2] == "TRA2A" and r[4] == "3540")
    edited = tmp_path / "edited.vcf"
    edited.write_text(text.replace("|".join(row), "|".join([*row[:-2], "9.000", "no"])))
    said = run(examples, "verify", edited, *MINIGENES, *asked, code=1).stderr
    assert (
        "|TRA2A|3540|AL: BIND is 9.000, asked again " in said and "PEAK is no, asked again" in said
    )
    assert "(2 differences)" in said
    assert run(examples, "verify", edited, *MINIGENES).exit_code == 0

    other = bed(tmp_path / "peaks.bed", ("mini", 1, 9, "TRA2A_K562", 0, "-"))
    said = run(examples, "verify", annotated, *MINIGENES, "--peaks", other, code=1).stderr
    assert "peaks: the file was made with " in said and "PEAK is K562, asked again no" in said
    plain = examples("minigenes.expected.vcf")
    said = run(examples, "verify", plain, *MINIGENES, *asked, code=1).stderr
    assert "binding: the file was made without" in said


@pytest.mark.slow
def test_explain_shows_them(examples, asked, tmp_path):
    variant = "mini:3527:TCTTCTTCTCTTCTTC:ACAACAACACAACAAC"
    page, numbers = tmp_path / "e.html", tmp_path / "e.json"
    args = ["explain", variant, *MINIGENES, *asked, "--html", page, "--json", numbers]
    text = run(examples, *args).stdout
    (heads,) = {line for line in text.splitlines() if "percentile" in line or "PEAK" in line}
    assert heads.split()[-2:] == ["BIND", "PEAK"]
    row, *_ = (line for line in text.splitlines() if "TRA2A" in line and " 3540 " in line)
    assert row.split()[-1] == "K562" and float(row.split()[-2]) > 0
    with open(numbers) as handle:
        (first, *_) = json.load(handle)["genes"][0]["attributed"]
    told = {(p["rbp"], p["pos"]): (p["bind"], p["peak"]) for p in first["parts"]}
    bind, peak = told["TRA2A", 3540]
    assert bind == pytest.approx(float(row.split()[-2]), abs=1e-3) and peak == ["K562"]
    assert told["RBM5", 3531] == (None, None)
    assert "<th>BIND</th><th>PEAK</th>" in page.read_text() and ">K562<" in page.read_text()
    plain = run(examples, "explain", variant, *MINIGENES).stdout
    assert "PEAK" not in plain


def test_scores_that_are_looked_up_have_no_opinions(examples, asked, tmp_path):
    args = ["annotate", examples("minigenes.vcf"), *MINIGENES, "--scores", "x", *asked]
    assert (
        "--binding or --peaks needs more than is looked up" in run(examples, *args, code=2).stderr
    )


# ------------------------------------------------------------------------------- what is shipped


def test_the_folder_of_the_binding_model_is_no_bundle():
    assert BINDING not in bundled()
    with pytest.raises(BundleError, match="no weight bundle"):
        load_bundle(BINDING)


def test_the_shipped_model_is_what_its_manifest_says():
    model = load_binding()
    assert model.name == BINDING and len(model.proteins) == 106 and model.window == 150
    assert {"QKI", "PTBP1", "TARDBP", "U2AF2"} <= set(model.proteins)
    recipe = load_json_recipe(os.path.join(FOLDER, BINDING, "model.json"), BindingRecipe)
    root = os.path.join(os.path.dirname(__file__), "..")
    shipped = load_recipe(os.path.join(root, "train", "binding", "multitask.toml"), BindingRecipe)
    assert recipe == shipped and {"chr1", "chr3"} == set(recipe.validation)
    assert {"chr5", "chr7", "chr9"} <= set(recipe.held_out)


def test_it_knows_a_motif():
    """PTBP1 binds stretches of CU in introns, QKI binds ACUAAC: more than without."""
    model = load_binding()
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 4, (20, 150)).astype(np.uint8)
    introns = one_hot(torch.full((20, 150), INTRON))
    for protein, motif in (("PTBP1", "TCTTTCTCTTCTTTCT"), ("QKI", "ACTAACTTACTAAC")):
        planted = plain.copy()
        planted[:, 70 : 70 + len(motif)] = encode(motif)
        with torch.no_grad():
            before, after = (
                model.net(one_hot(torch.from_numpy(codes)), introns)[
                    :, model.proteins.index(protein)
                ]
                for codes in (plain, planted)
            )
        assert (after > before).float().mean() >= 0.9


def test_the_page_says_what_the_results_say():
    folder = os.path.join(os.path.dirname(__file__), "..", "train", "binding")
    with open(os.path.join(folder, "README.md")) as handle:
        page = handle.read()
    found = {}
    for part in ("validation", "test"):
        with open(os.path.join(folder, "results", f"{part}.json")) as handle:
            found[part] = json.load(handle)
        assert found[part]["runs"]["multitask"]["sha256"] == load_binding().sha256
    told = lambda v: "{:.3f} ({:.3f}-{:.3f})".format(*v)  # noqa: E731
    less = lambda v: "{:+.3f} ({:+.3f} to {:+.3f})".format(*v)  # noqa: E731
    runs = found["test"]["sets"]["all bins"]
    for run in ("multitask", "noregion", "residual"):
        own = runs[run]
        assert f"| {own['proteins']} | {' | '.join(map(told, own['mean'].values()))} |" in page
        if run != "multitask":
            assert (
                f"less the first | | {' | '.join(map(less, own['less_first'].values()))} |" in page
            )
    for protein in ("QKI", "RBFOX2", "PTBP1", "TARDBP"):
        one = runs[f"single_{protein}"]
        with_others = runs["multitask"]["of_protein"][protein]
        values = told(with_others["auprc"]), told(one["mean"]["auprc"])
        row = f"| {protein} | {with_others['bound']} | {values[0]} | {values[1]} | "
        assert row + less(one["less_first"]["auprc"]) in page
