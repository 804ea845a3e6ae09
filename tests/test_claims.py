"""Numbers of pages and cards are those of the results in the repository; links lead somewhere."""

import json
import os
import re
from glob import glob

import pytest

from samvar.genomics.variant import Status
from samvar.model.bundle import FOLDER, LEARNT_MOTIFS, MOTIF_SITES, bundled, load_bundle
from samvar.training.card import IN_ONE_TABLE
from samvar.training.recipe import SamRecipe, load_recipe

ROOT = os.path.join(os.path.dirname(__file__), "..")
ACCURACY, SPEED = "train/accuracy.md", "tests/benchmarks/README.md"
RESULTS = os.path.join(ROOT, "train", "paper", "results")
OURS = os.path.join(ROOT, "train", "default", "results")
BENCHMARKS = os.path.join(ROOT, "tests", "benchmarks", "results")


def content(*path):
    with open(os.path.join(*path)) as f:
        return json.load(f)


def page(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


def cells(title, path):
    """Cells of the table row that begins so."""
    (row,) = [line for line in page(path).splitlines() if line.startswith(f"| {title} |")]
    return [cell.strip() for cell in row.strip().strip("|").split("|")][1:]


def accuracy(result):
    low, high = result["topk_interval"]
    return f"{result['topk_mean']:.1f} ({low:.1f}-{high:.1f})"


def area(values):
    return "{:.3f} ({:.3f}-{:.3f})".format(*values)


@pytest.mark.parametrize(
    "name, folder, results",
    [
        ("paper", RESULTS, "suite.json"),
        ("large", OURS, "large.json"),
        ("default", OURS, "suite.json"),
    ],
)
def test_the_card_is_of_the_committed_results_and_of_these_weights(name, folder, results):
    metrics, found = content(FOLDER, name, "metrics.json"), content(folder, results)
    apart = {"storage", MOTIF_SITES, LEARNT_MOTIFS, IN_ONE_TABLE}
    assert {k: v for k, v in metrics.items() if k not in apart} == found
    known = {
        load_bundle(f"{name}:{kind}").sha256
        for kind in content(FOLDER, name, "config.json")["kinds"]
    }
    assert {r["sha256"] for r in found.values() if "sha256" in r} == known


@pytest.mark.parametrize(
    "name, results",
    [
        ("default", "temperature.json"),
        ("default", "cases.json"),
        ("default", "events.json"),
        ("large", "large.cases.json"),
        ("large", "large.events.json"),
    ],
)
def test_what_else_is_said_of_a_bundle_is_of_these_weights(name, results):
    assert content(OURS, results)["sha256"] == load_bundle(name).sha256


def test_the_evidence_is_of_these_weights():
    for name in ("default", "large", "paper"):  # else run train/evaluate/calibration.py
        assert load_bundle(name).evidence is not None


@pytest.mark.parametrize(
    "title, row",
    [
        ("splice-site model alone (LSSI)", "LSSI of the am alone"),
        ("fixed motifs (FM)", "fm"),
        ("adjusted motifs (AM)", "am"),
    ],
)
def test_accuracies(title, row):
    suite = content(RESULTS, "suite.json")
    assert cells(title, ACCURACY) == [
        accuracy(suite[f"{split}, {row}"]) for split in ("validation", "test")
    ]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_accuracies_of_the_default(split):
    expected = [
        accuracy(content(OURS, "suite.json")[f"{split}, am"]),
        accuracy(content(OURS, "large.json")[f"{split}, am, mean of the seeds"]),
        accuracy(content(RESULTS, "suite.json")[f"{split}, am"]),
    ]
    assert cells(f"top-k, {split}", ACCURACY) == expected


@pytest.mark.parametrize(
    "title, region",
    [
        ("single edits against OpenSpliceAI, all", "all"),
        ("single edits, exonic", "exonic"),
        ("single edits, branch-point region", "branch_point"),
        ("single edits, polypyrimidine tract", "ppt"),
        ("single edits, intronic", "intronic"),
    ],
)
def test_single_edits(title, region):
    ours = content(OURS, "suite.json")["default"]
    large = content(OURS, "large.json")["large"]
    theirs = content(ROOT, "train", "teach", "results", "taught.json")["paper:am"]
    told = [of["changes"][region] for of in (ours, large, theirs)]
    expected = ["{:.2f} ({:.2f}-{:.2f})".format(c["spearman"], *c["interval"]) for c in told]
    assert cells(title, ACCURACY) == expected


@pytest.mark.parametrize(
    "title, row",
    [
        ("CI-SpliceAI", "CI-SpliceAI functional"),
        ("CI-SpliceAI, exonic", "CI-SpliceAI functional: exonic"),
        ("ClinVar", "ClinVar intronic 3-50"),
        ("MFASS", "MFASS <= -0.5"),
        ("MFASS, exonic", "MFASS <= -0.5: exonic"),
        ("MFASS, intronic", "MFASS <= -0.5: intronic"),
    ],
)
def test_areas_of_the_default(title, row):
    suites = (OURS, "suite.json"), (OURS, "large.json"), (RESULTS, "suite.json")
    found = [content(*suite)[row] for suite in suites]
    expected = [f"{r['auroc'][0]:.3f}, {r['auprc'][0]:.3f}" for r in found]
    assert cells(title, ACCURACY) == expected


def areas(found):
    return f"{found['auroc'][0]:.3f}, {found['auprc'][0]:.3f}"


def beside():
    names = ("beside.json", "beside.ci.json", "beside.clinvar.json")
    return {title: of for name in names for title, of in content(OURS, name).items()}


MODELS = ("default", "large", "paper", "OpenSpliceAI")
BESIDE = [t for line in page(ACCURACY).splitlines() if (t := line[2:].split(" |")[0]) in beside()]


@pytest.mark.parametrize("title", BESIDE)
def test_areas_beside_others(title):
    """Region by region, all rows; in a sample SpliceAI, too."""
    told = beside()[title]
    others = ("SpliceAI",) if title.endswith("sample") else ()
    some = next(iter(told.values()))
    if "positive" in some:
        first, shown = f"{some['n']:,} ({some['positive']})", areas
    else:
        first, shown = str(some["n"]), lambda found: f"{found['spearman'][0]:.2f}"
    names = (*MODELS, *others, "MMSplice", "7-mers")
    assert cells(title, ACCURACY) == [first, *(shown(told[n]) if n in told else "" for n in names)]


MEASURES = dict(AUROC="auroc", AUPRC="auprc", Spearman="spearman")
SHARES = [(r, m) for r in beside() for m in MEASURES if f"\n| {r}, {m} |" in page(ACCURACY)]


@pytest.mark.parametrize("region, measure", SHARES)
def test_shares_of_the_teachers_lead(region, measure):
    ours, large = (beside()[region][m]["share"][MEASURES[measure]] for m in ("default", "large"))
    assert cells(f"{region}, {measure}", ACCURACY) == [
        area(ours["lead"]),
        *("{:.2f} ({:.2f} to {:.2f})".format(*own["share"]) for own in (ours, large)),
    ]


@pytest.mark.parametrize("name", [*MODELS, "MMSplice", "7-mers"])
def test_intervals_beside_others(name):
    """Of exonic rows."""
    regions = ("MFASS: exonic", "MaPSy: exonic", "FAS exon 6: exonic")
    found = [beside()[region][name] for region in regions]
    shown = [f[k] for f, k in zip(found, ("auprc", "auroc", "spearman"))]
    title = {"OpenSpliceAI": "the teacher"}.get(name, name if name[0] in "M7" else f"`{name}`")
    assert cells(f"{title}, exonic", ACCURACY) == [area(v) for v in shown]


def test_hexamers_of_the_default():
    found = content(OURS, "hexamers.json")
    expected = [area(found[name]["spearman"]) for name in ("default", "large", "paper")]
    assert cells("hexamers in exons, Spearman", ACCURACY) == expected


def test_what_the_motif_sites_of_the_default_can_tell():
    found = content(OURS, "entropy.json")["test, am"]
    assert found["sha256"] == load_bundle("default").sha256
    text = " ".join(page(ACCURACY).split())
    bits = found["entropy_bits_per_base"], found["entropy_bits_per_base_nominal"]
    assert "at most {:.2f} bits a base by their measured strength ({:.2f}".format(*bits) in text


def test_signs_of_the_default():
    found = content(OURS, "rna_maps.json")["am"]
    assert found["sha256"] == load_bundle("default").sha256
    count = "{:.0f} ({:.0f}-{:.0f})".format(*found["as_expected"])
    assert f"in {count} of the {found['tested']} with 20 sites" in " ".join(page(ACCURACY).split())


def test_sites_of_the_default_in_peaks():
    found = content(OURS, "eclip.json")
    assert found["sha256"] == load_bundle("default").sha256 and found["extend5"] == 50
    text = " ".join(page(ACCURACY).split())
    whole = found["sets"]["chr1,chr3"]["whole"]
    for kind in ("exons", "introns"):
        pooled, mean = (
            "{:.2f} ({:.2f}-{:.2f})".format(*whole[kind][k]) for k in ("pooled", "mean")
        )
        rbps = whole[kind]["mean_rbps"]
        assert f"{kind} {pooled}, mean of {rbps} proteins {mean}" in text


@pytest.mark.parametrize("name", ["large", "paper"])
def test_sites_of_the_others_in_eclip_peaks(name):
    found = content(OURS, f"{name}.eclip.json")
    assert found["sha256"] == load_bundle(name).sha256 and found["extend5"] == 50
    whole = found["sets"]["chr1,chr3"]["whole"]
    exons, introns = (
        "{:.2f} ({:.2f}-{:.2f})".format(*whole[kind]["pooled"]) for kind in ("exons", "introns")
    )
    assert f"{exons} and {introns}" in " ".join(page(ACCURACY).split())


def test_causes_are_complete():
    found = content(OURS, "attribution.json")
    assert found["sha256"] == load_bundle("default").sha256
    assert found["explain"]["share_above_0_001"] == 0 and found["least"] == 0.1
    sites, alone = found["knockouts"], found["knockouts_rbp_alone"]
    text = " ".join(page(ACCURACY).split())
    assert f"of {found['deltas']} deltas of 0.1 or more" in text
    assert f"those of `annotate` within {found['annotate']['largest']:.3f}" in text
    assert f"knock-out in {sites['strongest_is_strongest_knockout']:.0%}".replace("%", " %") in text
    assert f"r = {sites['pearson']:.3f}, those of RBPs alone with {alone['pearson']:.3f}" in text


def test_events_and_names_of_the_default():
    text = " ".join(page("train/default/README.md").split())
    events, cases = (
        [content(folder, file) for folder in (OURS, RESULTS)]
        for file in ("events.json", "cases.json")
    )
    ours, theirs = (found["kinds"]["skip"] for found in events)
    assert f"({ours['n']}, dev half) are named right in {ours['first']}" in text
    assert f"(`paper`: {theirs['first']};" in text
    ours, theirs = cases
    assert f"is among the causes in {ours['right']} (`paper`: {theirs['right']})" in text
    alike, chance = ours["alike_right"], ours["alike_by_chance"]
    assert f"in {alike} a learnt motif is most like such a factor, where {chance:.1f}" in text


def test_names_in_cells():
    motifs = content("weights", "default", "in_vivo.json")["am"]["motifs"]
    cases = content(OURS, "cases.json")
    text = " ".join(page("examples/explain.md").split())
    own = {name: m["own"] for name, m in motifs.items() if m["own"]}
    sure = {n: b for n, found in own.items() for b in found if b[3] > 1}
    assert (
        f"of the {len(own)} RBPs whose protein has CLIP, and sites enough to tell, {len(sure)}"
        in text
    )
    named = "TARDBP HNRNPL HNRNPK PCBP2 PTBP1 ELAVL1 RBFOX2 TRA2A SRSF1 QKI".split()
    assert f"HNRNPC {sure['HNRNPC'][2]:.1f} times as many" in text
    assert ", ".join(f"{n} {sure[n][2]:.1f}" for n in named) in text
    for name, motif in (("PTBP1", "MOTIF_08"), ("QKI", "MOTIF_03"), ("TRA2A", "MOTIF_11")):
        protein, _, enrichment, *_ = motifs[motif]["bound"][0]
        assert protein == name and f"of {name} {enrichment:.1f} times" in text
    right, chance = cases["in_cells_right"], cases["in_cells_by_chance"]
    assert f"in {right} of the 21 cases ({chance:.1f} by chance)" in text


def test_what_is_left_without_motif_sites():
    suite = content(RESULTS, "suite.json")
    am, fm = (
        suite[f"validation, {kind} without motif sites"]["topk_mean"] for kind in ("am", "fm")
    )
    core = [100 * share for kind in ("am", "fm") for share in suite[f"test, {kind}"]["core_share"]]
    text = " ".join(page(ACCURACY).split())
    assert f"the AM is left with {am:.1f} on validation and the FM with {fm:.1f}" in text
    assert (
        "acceptor scores show at {:.1f} % of the bases, donor scores at {:.1f} % (FM: {:.1f} and "
        "{:.1f})".format(*core)
    ) in text


@pytest.mark.parametrize(
    "title, row",
    [
        ("CI-SpliceAI, functionally tested", "CI-SpliceAI functional"),
        ("CI-SpliceAI without BRCA1, BRCA2", "CI-SpliceAI functional: without BRCA1, BRCA2"),
        ("ClinVar's significance, intronic, 3 to 50 bases from a site", "ClinVar intronic 3-50"),
        (
            "ClinVar on validation and test chromosomes",
            "ClinVar intronic 3-50: validation and test chromosomes",
        ),
        ("MFASS, inclusion down by 0.5 or more", "MFASS <= -0.5"),
        ("the same with `--mask`", "CI-SpliceAI functional: --mask"),
        ("ClinVar as above, with `--mask`", "ClinVar intronic 3-50: --mask"),
    ],
)
def test_areas_of_measured_variants(title, row):
    result = content(RESULTS, "suite.json")[row]
    assert cells(title, ACCURACY) == [
        str(result["n"]),
        str(result["positive"]),
        area(result["auroc"]),
        area(result["auprc"]),
    ]


def test_speeds():
    speed = content(BENCHMARKS, "speed.json")
    theirs = speed["spliceai_snv_per_second"]
    assert speed["model"]["sha256"] == load_bundle("paper").sha256
    for title, key in (
        ("SNVs a second, with their causes", "snv_per_second"),
        ("SNVs a second, deltas alone (`--rbp-min 2`)", "snv_per_second_without_causes"),
    ):
        assert cells(title, SPEED) == [
            f"{speed[key]:.0f}",
            f"{theirs:.2f}",
            f"{speed[key] / theirs:.0f}",
        ]
    assert cells("one variant from start to end, seconds", SPEED)[:2] == [
        f"{speed['seconds'][f'{program}_one']:.1f}" for program in ("samvar", "spliceai")
    ]
    assert cells("peak memory, MB", SPEED)[:2] == [
        str(max(v for k, v in speed["peak_mb"].items() if k.startswith(program)))
        for program in ("samvar", "spliceai")
    ]


@pytest.mark.parametrize(
    "title, rate, ratio",
    [
        ("dense SNVs, with their causes", "snv_per_second", "dense"),
        ("dense SNVs, deltas alone", "snv_per_second_without_causes", "without_causes"),
        ("exome-like SNVs, with their causes", "exome_like_snv_per_second", "exome_like"),
        ("genome-like SNVs, with their causes", "genome_like_snv_per_second", "genome_like"),
    ],
)
def test_speeds_of_default(title, rate, ratio):
    found = content(BENCHMARKS, "speed.default.json")
    assert found["model"]["sha256"] == load_bundle("default").sha256
    times, others = found[f"{ratio}_over_spliceai"], found[f"{ratio}_over_openspliceai"]
    assert cells(title, SPEED) == [
        *(f"{value:.0f}" for value in (found[rate], times["median"], times["lowest"])),
        f"{others['median']:.0f}, {others['lowest']:.0f}",
    ]


def test_the_readme_quotes_the_lowest_round():
    found, told = content(BENCHMARKS, "speed.default.json"), " ".join(page("README.md").split())
    rate, lowest = found["snv_per_second"], found["dense_over_spliceai"]["lowest"]
    assert f"score {rate:.0f} SNVs a second, causes included: {lowest:.0f} times as many" in told


def test_the_memory_of_long_files():
    pairs = [r for r in content(BENCHMARKS, "memory.json")["results"] if "ratio" in r]
    assert all(r["within"] for r in pairs)
    few, many = (f"{r['ratio']:.2f}" for r in reversed(pairs))
    assert (
        f"{few} from 4,000 to 20,000 scored alleles, {many} from 10,000 to 1,000,000 records"
        in page(SPEED)
    )


def test_times_of_precompute():
    found = content(BENCHMARKS, "precompute.json")
    text = " ".join(page(SPEED).split())
    assert found["model"]["sha256"] == load_bundle("default").sha256
    assert f"`annotate` {found['times_as_long']} times as much" in text
    assert f"lowest {found['times_as_long_lowest']};" in text


@pytest.mark.parametrize(
    "title, model",
    [
        ("human FM as it is", "human-fm"),
        ("human AM as it is", "human-am"),
        ("`fm-plain`", "fm-plain"),
        ("`fm`", "fm"),
        ("`am`", "am"),
        ("core sites of `fm-plain` alone", "fm-plain lssi"),
        ("core sites of `fm` alone", "fm lssi"),
    ],
)
def test_accuracies_of_the_other_species(title, model):
    name, *core = model.split()
    results = [
        content(ROOT, "train", "species", "results", f"{split}.{name}.json")
        for split in ("validation", "test")
    ]
    found = cells(title, os.path.join("train", "species", "README.md"))
    assert found == [accuracy(r["lssi"] if core else r) for r in results]
    known = {load_bundle(f"paper:{kind}").sha256 for kind in ("fm", "am")}
    assert {r["sha256"] for r in results if "sha256" in r} <= known


@pytest.mark.parametrize(
    "title, name",
    [
        ("`cnn`", "cnn"),
        ("`fm`, once more", "fm"),
        ("`am`, once more", "am"),
        ("`am-taught`", "am-taught"),
    ],
)
def test_accuracies_with_a_teacher_of_ones_own(title, name):
    found = content(ROOT, "train", "species", "results", f"taught.{name}.json")
    path = os.path.join("train", "species", "README.md")
    assert cells(title, path) == [accuracy(found)]
    assert f"{found['n_genes']} genes, {found['n_donor']} introns" in page(path)


def test_the_server_under_load():
    found, told = content(BENCHMARKS, "serve.json"), " ".join(page(SPEED).split())
    assert found["model"]["sha256"] == load_bundle("default").sha256
    assert found["within"] and found["right"] == found["queries"]
    assert f"each of {found['queries']:,} queries, {found['at_once']} at once" in told
    assert f"all of them in {found['seconds'] / 60:.1f} minutes" in told
    warm, memory = found["warm_seconds"], found["memory_mb"]
    assert f"A warm SNV takes {warm['median']:.2f} s, {warm['cpu']:.2f} s of CPU." in told
    start, *middle, last = (f"{size:.0f}" for size in memory["after_queries"].values())
    assert f"{start} MB at the start, {', '.join(middle)} and {last} MB" in told
    assert f"it grew by {100 * (memory['ratio'] - 1):.1f} % from 400 answers on" in told


def test_the_report_of_a_file():
    found, told = content(BENCHMARKS, "report.json"), " ".join(page(SPEED).split())
    assert f"takes {found['cpu_seconds']:.0f} s of CPU for {found['alleles']} landscapes" in told
    assert f"{found['seconds']:.0f} s on two cores" in told and found["within"]
    assert f"has {found['megabytes']:.1f} MB" in told and found["megabytes"] < 15


FOLDERS = (".", ".github", "examples", "train", "train/*", "tests/benchmarks")
PAGES = [p for folder in FOLDERS for p in sorted(glob(f"{folder}/*.md", root_dir=ROOT))]


def anchors(path):
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", PAGES)
def test_links_within_the_repository_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)]+)\)", page(path)):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        assert os.path.exists(os.path.join(ROOT, target)), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_shows_what_the_example_gives():
    """Every packed row that README quotes of the example stands in the golden output."""
    golden = page("examples/minigenes.expected.vcf")
    quoted = re.findall(r"ACAACAACACAACAAC\|[^\s,]+", page("README.md"))
    assert len(quoted) == 4
    for row in quoted:
        assert row in golden, row


def test_the_statuses_of_the_pages_are_those_of_the_code():
    (row,) = cells("`SAMVAR_STATUS`", "examples/info-fields.md")[1:]
    assert row.rpartition(": ")[2].strip("`").split() == [s.name for s in Status]


@pytest.mark.parametrize(
    "title, name",
    [
        ("`paper`", "paper"),
        ("its splice-site model (LSSI) alone", "LSSI alone"),
        ("OpenSpliceAI, 2,000 bases, five seeds", "OpenSpliceAI"),
    ],
)
def test_areas_of_junctions(title, name):
    results = content(RESULTS, "junctions.json")
    assert results["sha256"] == load_bundle("paper").sha256
    every, half = (results[name][k] for k in ("all decoys", "decoys: half"))
    shares = [f"{100 * every[k]:.1f} %" if k in every else "" for k in ("true_kept", "decoys_kept")]
    text = page("examples/junctions.md")
    row = f"| {title} | {area(every['auroc'])} | {area(every['average_precision'])} |"
    assert (
        f"{row} {shares[0]} | {shares[1]} |".replace("|  |", "| |").replace("|  |", "| |") in text
    )
    assert f"{area(half['auroc'])} | {area(half['average_precision'])} |" in text
    assert f"{every['genes']} genes, {every['true']} introns" in text
    assert f"({half['n']} junctions)" in text


@pytest.mark.parametrize("background", ["exons", "dinucleotide"])
def test_the_hexamers_of_global_importance(background):
    found = content(RESULTS, "gia.json")[background]
    assert found["sha256"] == load_bundle("paper").sha256
    text = " ".join(page("examples/gia.md").split())
    told = f"{found['hexamers']} hexamers, drawn once, in the middle of {found['sequences']} exons"
    assert told in text
    assert cells(f"`--background {background}`", "examples/gia.md") == [area(found["spearman"])]


def test_the_reliability_of_calibrated_probabilities():
    found = content(RESULTS, "reliability.json")
    paper = load_bundle("paper")
    assert (found["sha256"], found["temperature"]) == (paper.sha256, paper.calibration)
    sides = [found[title] for title in ("calibrated", "as annotate has them")]
    for one, other in zip(*(side["reliability"] for side in sides)):
        if one["low"] >= 0.1:
            row = cells(f"{one['low']:g}-{one['high']:g}", "examples/predict.md")
            assert row == [
                cell for b in (one, other) for cell in (f"{b['n']:,}", f"{b['observed']:.3f}")
            ]
    text = " ".join(page("examples/predict.md").split())
    nats = [f"{side['nats_per_base']:.5f}" for side in sides]
    assert f"per base is {nats[0]} nats, where it is {nats[1]} at" in text
    assert f"on {found['genes']} validation genes" in text and f"{found['bases']:,} bases" in text


def test_recipes_of_the_pages_have_the_units_of_the_bundles_that_they_start_from():
    """A run makes the units of an aggregator neither narrower nor wider, unless it trains a new one
    alone."""
    command = r"samvar train am (\S+\.toml)\b[^\n]* --start-from (\w+):am"
    found = 0
    for path in glob(os.path.join(ROOT, "train", "**", "*.md"), recursive=True):
        for recipe, name in re.findall(command, page(path).replace("\\\n", " ")):
            own = load_recipe(os.path.join(ROOT, recipe), SamRecipe)
            if name not in bundled() or (own.aggregator_alone and not own.keep_norms):
                continue
            (*_, model) = content(FOLDER, name, "config.json")["kinds"]["am"]
            assert own.inner_channels == model["config"].get("inner_channels", 0), recipe
            found += 1
    assert found
