"""CARD.md of a bundle, from its config.json and metrics.json alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from .. import files
from ..errors import BundleError
from ..model import sam
from ..model.bundle import LEARNT_MOTIFS, NEARLY_SILENT, identity, nearly_silent, write_manifest
from ..model.in_vivo import InVivo, in_vivo_of

AUGMENTATIONS = ("decoy_share", "mutate", "indels", "moved", "motif_dropout")

IN_ONE_TABLE = "in one table"  # of metrics.json, as train/evaluate/in_one_table.py makes it

MEASURES = ("auroc", "auprc", "spearman")  # of measured exons

BEYOND_THE_PAPER = dict(  # settings of `sam.Config` -> what they are
    canonical=lambda _: "core scores at AG and AC, GT, GC and AT alone",
    core_needed=lambda _: "no splice site where its core score is at the floor",
    candidates=lambda n: f"{n:g} candidates are adjusted for each site that is kept",
    candidates_each=lambda _: "candidates are counted for each RBP, by the logarithm of affinity",
    least_share=lambda x: f"each RBP keeps at least {x:g} of the density",
    branch_point=lambda _: "a third core model, of branch points (BP)",
    faint_candidates=lambda _: "weak candidates are adjusted in proportion to their strength",
    learnt_motifs=lambda n: f"{n} motifs learnt from sequence alone (MOTIF_01 and so on)",
    effect_bumps=lambda _: "sites act on splice sites directly, too, by their distance (RNA maps)",
    inner_channels=lambda n: f"{n} channels within the aggregator's residual units",
)

INTENDED_USE = """
## Intended use
Ranking and explaining variants by their effect on splice sites in pre-mRNA of the species it was \
trained on, for research. Not a medical device; a low score is no proof that a variant leaves \
splicing alone."""


def write_card(folder: str) -> None:
    """Write CARD.md of the bundle in `folder` from its config.json and metrics.json, and the
    manifest again. Raises BundleError where these do not have what a card says."""
    try:
        text = card_of(folder)
    except KeyError as e:
        raise BundleError(
            f"config.json and metrics.json of {folder} have no {e}, which the card needs: bundle "
            "the runs again"
        ) from e
    files.write(os.path.join(folder, "CARD.md"), text)
    write_manifest(folder)


def card_of(folder: str) -> str:
    """The card that the bundle in `folder` should have."""
    config, metrics = (_content(folder, name) for name in ("config.json", "metrics.json"))
    kinds = {kind: identity(config, kind) for kind in config["kinds"]}
    in_vivo = {kind: in_vivo_of(folder, kind, sha256) for kind, sha256 in kinds.items()}
    return card(config, metrics, in_vivo)


def _content(folder: str, name: str) -> dict:
    try:
        with open(os.path.join(folder, name)) as handle:
            return json.load(handle)
    except (OSError, ValueError) as e:
        raise BundleError(f"cannot read {name} of bundle {folder}: {e}") from e


def card(
    config: dict, metrics: dict, in_vivo: Mapping[str, Mapping[str, InVivo]] = MappingProxyType({})
) -> str:
    """What the bundle was trained on, its numbers, what it is for and not for. `config` and
    `metrics` are those of the bundle's folder; `in_vivo`: of each kind, as `in_vivo_of`."""
    sections = (
        _runs(config),
        _training_data(config["data"]),
        _lesson(config.get("lesson")),
        _in_one_table(config["name"], metrics),
        _accuracy(metrics),
        _single_edits(metrics),
        _exons(metrics),
        _variants(metrics),
        _measured_exons(metrics),
        _reconstruction(metrics),
        _reliability(metrics),
        _stored_precision(metrics["storage"]),
        INTENDED_USE,
        _limits(config, metrics),
        _deviations(),
        _beyond_the_paper(config),
        _learnt_motifs(metrics, in_vivo),
        _names_in_cells(in_vivo),
    )
    return "\n".join(section for section in sections if section) + "\n"


# ----------------------------------------------------------------------------------------- sections


def _runs(config: dict) -> str:
    lines = [
        f"# {config['name']}",
        "",
        "SAM (Sparse Adjusted Motifs) models of RNA splicing, written by `samvar train bundle`.",
        "",
        "| kind | seed | C | temperature | parameters of training |",
        "|---|---|---|---|---|",
    ]
    for kind, members in config["kinds"].items():
        for member in members:
            shape = f"{member['config']['channels']} | {member['config']['temperature']:g}"
            for title, run in _runs_of(kind, member):
                seed, parameters = run["recipe"]["seed"], _parameters(run)
                lines.append(f"| {title} | {seed} | {shape} | {parameters} |")
    return "\n".join(lines)


def _lesson(lesson: dict | None) -> str:
    """`lesson`: as `soft_labels.lesson_of` has it."""
    if not lesson:
        return ""
    networks = lesson["networks"]
    mean = "" if networks == 1 else f": the mean of {networks} networks"
    return (
        f"\n## Teacher\n{lesson['teacher']}{mean}. Its "
        f"outputs alone were used, on {lesson['windows']:,} windows of sequence for training, "
        f"{lesson['edited']:,} of them edited versions of another (soft labels "
        f"{lesson['digest'][:8]}). What a run started from may have learnt of more."
    )


def _runs_of(kind: str, member: dict) -> Iterator[tuple[str, dict]]:
    """(title, run) of every run that a model of the bundle was made of."""
    if "averaged" not in member:
        yield kind, member
        return
    density = f" at {member['density']:g}" if "density" in member else ""
    for run in member["averaged"]:
        yield f"{kind}, one of {len(member['averaged'])} averaged{density}", run


def _parameters(run: dict) -> str:
    recipe, start = run["recipe"], run.get("started_from")
    parts = [
        f"{recipe['steps']} steps of {_batch(run)}",
        f"{recipe['optimizer']} {recipe['lr']:g}",
        f"density {recipe['density_start']:g} to {recipe['density_end']:g} "
        f"({recipe['density_schedule']})",
        recipe["precision"],
        *(f"{name} {recipe[name]:g}" for name in AUGMENTATIONS if recipe.get(name)),
    ]
    if recipe.get("train_core"):
        parts.append("core sites trained along")
    if bound := run.get("bound"):
        own = recipe.get("bound_weight")
        weight = f"weight {own:g}" if own else "by its start"
        parts.append(
            f"binding in cells, {weight} (peaks {bound['peaks'][:8]}, "
            f"without {', '.join(bound['left_out'])})"
        )
    if start:
        parts.append(f"from {start['name']} ({start['sha256'][:8]})")
    if wide := run.get("narrowed") or (start or {}).get("narrowed"):
        parts.append(f"narrowed from {wide['name']} ({wide['sha256'][:8]})")
    return ", ".join(parts)


def _batch(run: dict) -> str:
    """What a step of a run learns from."""
    recipe = run["recipe"]
    annotated, taught = f"{recipe['batch_bases']} bases", "a teacher's soft labels"
    if not run.get("soft_labels"):
        return annotated
    return f"{annotated} and {taught}" if recipe["label_weight"] else taught


def _training_data(data: dict) -> str:
    """`data`: what the packed dataset says of its origin, and the extent of its train genes."""
    train = data["train"]
    apart = [*data.get("validation", []), *data.get("test", []), *data.get("left_out", [])]
    held_out = ", ".join(data.get("held_out", [])) or "(no gene held out)"
    lines = [
        "",
        "## Training data",
        f"{train['genes']} genes, {train['bases']:,} bases, {train['introns']} introns; no gene of "
        f"{', '.join(apart) or '(no chromosome apart)'}, none of {held_out}. The dataset holds no "
        "test gene.",
        "",
        *(f"- `{name}` sha256 {digest}" for name, digest in data.get("files", {}).items()),
    ]
    return "\n".join(lines)


def _in_one_table(name: str, metrics: dict) -> str:
    """What was measured of this bundle and of others on the same rows."""
    held = metrics.get(IN_ONE_TABLE)
    if not held:
        return ""
    columns, shared = held["columns"], any(name in row["share"] for row in held["rows"])
    rows = []
    for row in held["rows"]:
        cells = [_with_interval(row["of"].get(column)) for column in columns]
        share = [_with_interval(row["share"].get(name))] * shared
        counts = [str(row[key] or "") for key in ("n", "positive")]
        rows.append(" | ".join([row["measure"], *counts, *cells, *share]))
    head = ["measure", "n", "positive", *columns]
    head += ["share of OpenSpliceAI's lead over paper"] * shared
    return _table(
        "In one table (validation genes and dev halves, test where it says so; 95 % interval)",
        " | ".join(head),
        rows,
    )


def _with_interval(found: list[float] | str | None) -> str:
    """A value and its interval, of percent or of a fraction; words as they are."""
    if not found:
        return ""
    if isinstance(found, str):
        return found
    value, low, high = found
    digits, between = 1 if abs(value) > 10 else 2, " to " if low < 0 else "-"
    return f"{value:.{digits}f} ({low:.{digits}f}{between}{high:.{digits}f})"


def _accuracy(metrics: dict) -> str:
    rows = []
    for title, numbers in metrics.items():
        if "topk_mean" not in numbers:
            continue
        counts = f"{numbers['n_genes']} | {numbers['n_acceptor']} | {numbers['n_donor']}"
        density = f"{numbers['density']:.4%}" if "density" in numbers else ""
        core = ", ".join(f"{share:.1%}" for share in numbers.get("core_share", []))
        rows.append(
            f"{title} | {numbers['kind']} | {counts} | {_percent(numbers)} | {density} | "
            f"{_bits(numbers)} | {core}"
        )
        if "lssi" in numbers:
            rows.append(f"{title} | LSSI alone | {counts} | {_percent(numbers['lssi'])} | | |")
    return _table(
        "Top-k accuracy (percent; 95 % bootstrap interval over genes)",
        "set | model | genes | acceptors | donors | acceptor | donor | mean | density of motif "
        "sites | their bits per base (at eta 2.8) | bases with a core score (acceptor, donor)",
        rows,
    )


def _single_edits(metrics: dict) -> str:
    rows = []
    for numbers in metrics.values():
        for region, found in numbers.get("changes", {}).items():
            low, high = found["interval"]
            rows.append(
                f"{region} | {found['n']} | {found['spearman']:.2f} ({low:.2f}-{high:.2f}) | "
                f"{found['r2']:.2f}"
            )
        if "divergence" in numbers:
            rows.append(
                f"divergence from the teacher: {numbers['divergence']:.2f} nats per 1,000 bases; "
                f"{numbers['bits']:.2f} bits a base, core channels too | | |"
            )
    return _table(
        "Single edits beside exons of validation genes, against a teacher's change of log-odds",
        "region | changes | Spearman | R2",
        rows,
    )


def _exons(metrics: dict) -> str:
    return _table(
        "Alternative and new exons (sites among the best k; counts, no claim)",
        "set | exons | acceptors found | donors found",
        [
            f"{title} | {numbers['n']} | {numbers['acceptors']} | {numbers['donors']}"
            for title, numbers in metrics.items()
            if "donors" in numbers
        ],
    )


def _variants(metrics: dict) -> str:
    return _table(
        "Variants (none was trained on; most lie in genes that were)",
        "set | score | n | positive | not scored | AUROC | AUPRC",
        [
            f"{title} | {numbers['score']} | {numbers['n']} | {numbers['positive']} | "
            f"{numbers.get('not_scored', '')} | {_interval(numbers['auroc'])} | "
            f"{_interval(numbers['auprc'])}"
            for title, numbers in metrics.items()
            if "auroc" in numbers
        ],
    )


def _measured_exons(metrics: dict) -> str:
    rows = []
    for title, each in metrics.items():
        for score, found in each.items():
            if not (isinstance(found, dict) and "clusters" in found):
                continue
            cells = " | ".join(_interval(found[k]) if k in found else "" for k in MEASURES)
            positive = found.get("positive", "")
            rows.append(f"{title} | {score} | {found['n']} | {positive} | {cells}")
    return _table(
        "Measured exons, from the exon's own two sites (none was trained on)",
        "set | score | n | positive | AUROC | AUPRC | Spearman",
        rows,
    )


def _reconstruction(metrics: dict) -> str:
    return _table(
        "Bases that a decoder reads back from the motif sites (validation genes)",
        "set | bases | read back | always the commonest base | at most, by the entropy bound",
        [
            f"{title} | {numbers['n']} | {numbers['reconstructed']:.1%} | "
            f"{numbers['commonest_base']:.1%} | {numbers['most_by_fano']:.1%}"
            for title, numbers in metrics.items()
            if "reconstructed" in numbers
        ],
    )


def _reliability(metrics: dict) -> str:
    lines: list[str] = []
    for title, numbers in metrics.items():
        if "reliability" not in numbers:
            continue
        lines += [
            "",
            f"## Reliability: {title}",
            "Smallest negative log-likelihood on the validation genes at "
            f"{numbers['temperature']:.2f} times the bundle's temperature: "
            f"{numbers['nats_per_base_at_temperature']:.5f} nats per base, "
            f"{numbers['nats_per_base']:.5f} as it is.",
            *_bins(numbers["reliability"]),
        ]
        if "reliability_at_temperature" in numbers:
            lines += [
                "",
                "At that temperature, at which `samvar predict` and `junctions` give them:",
                *_bins(numbers["reliability_at_temperature"]),
            ]
    return "\n".join(lines)


def _bins(reliability: list[dict]) -> list[str]:
    """A table of bins of probability."""
    return [
        "",
        "| probability | bases | mean probability | share of true sites |",
        "|---|---|---|---|",
        *(
            f"| {b['low']:g}-{b['high']:g} | {b['n']} | {b['predicted']:.4f} | "
            f"{b['observed']:.4f} |"
            for b in reliability
        ),
    ]


def _stored_precision(storage: dict) -> str:
    return (
        f"\n## Stored precision\nTensors in {storage['precision']}; against fp32 the largest "
        f"difference of a site probability over {storage['windows']} random validation windows is "
        f"{storage['largest_error']:.1e}."
    )


_KINDS = dict(am="adjusted", fm="fixed")


def _limits(config: dict, metrics: dict) -> str:
    flank = config["flank"]
    lines = [
        "",
        "## Limits",
        f"- Trained on one transcript of each of {config['data']['train']['genes']} genes: sites "
        "used in few tissues, U12 introns and sites without GT-AG are hardly known to it.",
        "- Training windows are rich in sites, so probabilities run above the rate of sites in "
        "whole genes: compare alleles, do not count sites. Top-k is measured on tiles of 5,000 "
        f"bases, variants are scored in frames of about {2 * (flank + 50)}.",
        f"- It sees {flank} bases beyond the compared positions, and motifs and core sites a few "
        "hundred bases further; nothing of tissue, expression or RNA structure.",
        "- A motif bears the name of the protein whose in-vitro affinities it was fitted to; "
        "related proteins share motifs.",
    ]
    for kind in config["kinds"]:
        if silent := nearly_silent(metrics, kind):
            lines.append(
                f"- Nearly silent {_KINDS[kind]} motifs ({kind.upper()}), with sites at fewer than "
                f"{NEARLY_SILENT:.3%} of the bases of genes: {', '.join(silent)}. That they are no "
                "cause says nothing."
            )
    if any(share == 0 for share in _branch_point_shares(metrics)):
        lines.append("- No base has a branch-point score: BP is never a cause.")
    return "\n".join(lines)


def _branch_point_shares(metrics: dict) -> list[float]:
    """Shares of bases with a branch-point score, as the yardstick has measured them."""
    measured = [m.get("core_share", ()) for m in metrics.values() if isinstance(m, dict)]
    return [branch for *_, branch in (shares for shares in measured if len(shares) == 3)]


def _deviations() -> str:
    """As the model's own text lists them."""
    _, _, deviations = (sam.__doc__ or "").partition("Deviations from the paper:\n")
    return f"\n## Deviations from the paper\n{deviations.strip()}" if deviations else ""


def _beyond_the_paper(config: dict) -> str:
    """What models of the bundle have that the paper's does not, by `sam.Config`."""
    lines, paper = [], vars(sam.Config())
    for kind, members in config["kinds"].items():
        # A member without learnt motifs has silent ones where others have some
        own = [dict(learnt_motifs=member["recipe"].get("learnt_motifs", 0)) for member in members]
        shapes = [member["config"] | of_run for member, of_run in zip(members, own)]
        for k, text in BEYOND_THE_PAPER.items():
            if kind == "fm" and "candidates" in k:
                continue
            values = [shape.get(k, paper[k]) for shape in shapes]
            of_all = len(set(values)) == 1
            for i, value in enumerate(values[:1] if of_all else values, 1):
                if value != paper[k]:
                    lines.append(f"* {kind if of_all else f'{kind}.{i}'}: {text(value)}")
    return "\n".join(["", "Beyond the paper", *lines]) if lines else ""


def _learnt_motifs(metrics: dict, in_vivo: Mapping[str, Mapping[str, InVivo]]) -> str:
    rows = []
    for kind, found in metrics.get(LEARNT_MOTIFS, {}).items():
        for name, motif in found.items():
            nearest = ", ".join(f"{protein} ({area:.2f})" for protein, area in motif["nearest"])
            known = in_vivo.get(kind, {}).get(name)
            in_cells = ", ".join(b.text for b in known.bound) if known else ""
            rows.append(f"{name} | {motif['consensus']} | {nearest} | {in_cells}")
    return _table(
        "Learnt motifs: their sites in validation genes, the proteins whose affinities tell these "
        "from any sequence best (AUROC), and those in whose CLIP peaks sites lie more often than "
        "expected (how many times as often)",
        "motif | consensus | nearest | bound in cells by",
        rows,
    )


def _names_in_cells(in_vivo: Mapping[str, Mapping[str, InVivo]]) -> str:
    rows = [
        f"{name} ({kind}) | {b.protein} | {b.sites} | "
        f"{b.enrichment:.2f} ({b.lower:.2f}-{b.upper:.2f})"
        for kind, motifs in in_vivo.items()
        for name, known in sorted(motifs.items())
        for b in known.own
    ]
    return _table(
        "Names against CLIP: sites in the peaks of the protein itself, and how many times as many "
        "as expected of exons or introns, and of G and C, like theirs (`evaluate/in_vivo.py`)",
        "motif | protein | sites in its peaks | enrichment",
        rows,
    )


# -------------------------------------------------------------------------------------------- cells


def _table(heading: str, columns: str, rows: list[str]) -> str:
    """A heading and a table, nothing where there are no rows."""
    if not rows:
        return ""
    rule = "|---" * (columns.count("|") + 1) + "|"
    return "\n".join(["", f"## {heading}", f"| {columns} |", rule, *(f"| {r} |" for r in rows)])


def _percent(numbers: dict) -> str:
    low, high = numbers["topk_interval"]
    acceptor, donor, mean = (numbers[f"topk_{k}"] for k in ("acceptor", "donor", "mean"))
    return f"{acceptor:.1f} | {donor:.1f} | {mean:.1f} ({low:.1f}-{high:.1f})"


def _interval(values: list[float]) -> str:
    value, low, high = values
    return f"{value:.3f} ({low:.3f}-{high:.3f})"


def _bits(numbers: dict) -> str:
    if "entropy_bits_per_base_nominal" not in numbers:
        return ""
    measured = numbers.get("entropy_bits_per_base")
    text = "not measured" if measured is None else f"{measured:.2f}"
    return f"{text} ({numbers['entropy_bits_per_base_nominal']:.2f})"
