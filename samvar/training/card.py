"""CARD.md of a bundle."""

from __future__ import annotations

from collections.abc import Callable

from .dataset import Dataset

AUGMENTATIONS = ("decoy_share", "mutate", "indels", "moved", "motif_dropout")


def _percent(result: dict) -> str:
    low, high = result["topk_interval"]
    acceptor, donor, mean = (result[f"topk_{k}"] for k in ("acceptor", "donor", "mean"))
    return f"{acceptor:.1f} | {donor:.1f} | {mean:.1f} ({low:.1f}-{high:.1f})"


def _interval(values: list[float]) -> str:
    value, low, high = values
    return f"{value:.3f} ({low:.3f}-{high:.3f})"


def _table(
    metrics: dict, key: str, heading: str, columns: str, cells: Callable[[dict], str]
) -> list[str]:
    """The lines of a table with a row for each entry of `metrics` that has `key`."""
    rows = [f"| {title} | {cells(e)} |" for title, e in metrics.items() if key in e]
    return (
        ["", f"## {heading}", f"| {columns} |", "|---" * (columns.count("|") + 1) + "|", *rows]
        if rows
        else []
    )


def card(config: dict, metrics: dict, data: Dataset) -> str:
    """CARD.md: what the bundle was trained on, its numbers, what it is for and not for."""
    train = data.genes("train")
    introns = sum(
        int((data.labels[data.offsets[g] : data.offsets[g + 1]] == 2).sum()) for g in train
    )
    bases = int((data.offsets[train + 1] - data.offsets[train]).sum())
    lines = [
        f"# {config['name']}",
        "",
        "SAM (Sparse Adjusted Motifs) models of RNA splicing, written by `samvar train bundle`.",
        "",
        "| kind | seed | C | temperature | parameters of training |",
        "|---|---|---|---|---|",
    ]
    for kind, members in config["kinds"].items():
        for m in members:
            for a in m.get("averaged", [m]):
                r, title = a["recipe"], kind
                if "averaged" in m:
                    at = f" at {m['density']:g}" if "density" in m else ""
                    title += f", one of {len(m['averaged'])} averaged{at}"
                changes = "".join(f", {k} {r[k]:g}" for k in AUGMENTATIONS if r.get(k))
                changes += ", core sites trained along" if r.get("train_core") else ""
                if start := a.get("started_from"):
                    changes += f", from {start['name']} ({start['sha256'][:8]})"
                lines.append(
                    f"| {title} | {r['seed']} | {m['config']['channels']} | "
                    f"{m['config']['temperature']:g} | "
                    f"{r['steps']} steps of {r['batch_bases']} bases, {r['optimizer']} "
                    f"{r['lr']:g}, density "
                    f"{r['density_start']:g} to {r['density_end']:g}, {r['precision']}{changes} |"
                )
    apart = sum((data.meta.get(k, []) for k in ("validation", "test", "left_out")), [])
    lines += [
        "",
        "## Training data",
        f"{len(train)} genes, {bases:,} bases, {introns} introns; no gene of "
        f"{', '.join(apart)}, none of "
        f"{', '.join(data.meta.get('held_out', [])) or '(no gene held out)'}. The dataset holds no "
        "test gene.",
        "",
        *(f"- `{name}` sha256 {digest}" for name, digest in data.meta.get("files", {}).items()),
        "",
        "## Top-k accuracy (percent; 95 % bootstrap interval over genes)",
        "| set | model | genes | acceptors | donors | acceptor | donor | mean | density of motif "
        "sites | their bits "
        "per base (at eta 2.8) | bases with a core score (acceptor, donor) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for title, e in metrics.items():
        if "topk_mean" not in e:
            continue
        counts = f"{e['n_genes']} | {e['n_acceptor']} | {e['n_donor']}"
        density = f"{e['density']:.4%}" if "density" in e else ""
        measured = (
            f"{e['entropy_bits_per_base']:.2f}" if "entropy_bits_per_base" in e else "not measured"
        )
        bits = (
            f"{measured} ({e['entropy_bits_per_base_nominal']:.2f})"
            if "entropy_bits_per_base_nominal" in e
            else ""
        )
        core = ", ".join(f"{share:.1%}" for share in e.get("core_share", []))
        lines.append(
            f"| {title} | {e['kind']} | {counts} | {_percent(e)} | {density} | {bits} | {core} |"
        )
        if "lssi" in e:
            lines.append(f"| {title} | LSSI alone | {counts} | {_percent(e['lssi'])} | | | |")
    lines += _table(
        metrics,
        "donors",
        "Alternative and new exons (sites among the best k; counts, no claim)",
        "set | exons | acceptors found | donors found",
        lambda e: f"{e['n']} | {e['acceptors']} | {e['donors']}",
    )
    lines += _table(
        metrics,
        "auroc",
        "Variants (none was trained on; most lie in genes that were)",
        "set | score | n | positive | not scored | AUROC | AUPRC",
        lambda e: (
            f"{e['score']} | {e['n']} | {e['positive']} | {e.get('not_scored', '')} | "
            f"{_interval(e['auroc'])} | {_interval(e['auprc'])}"
        ),
    )
    lines += _table(
        metrics,
        "reconstructed",
        "Bases that a decoder reads back from the motif sites (validation genes)",
        "set | bases | read back | always the commonest base | at most, by the entropy bound",
        lambda e: (
            f"{e['n']} | {e['reconstructed']:.1%} | {e['commonest_base']:.1%} | "
            f"{e['most_by_fano']:.1%}"
        ),
    )
    for title, e in metrics.items():
        if "reliability" in e:
            lines += [
                "",
                f"## Reliability: {title}",
                "Smallest negative log-likelihood on the validation genes at "
                f"{e['temperature']:.2f} times the bundle's temperature: "
                f"{e['nats_per_base_at_temperature']:.5f} "
                f"nats per base, {e['nats_per_base']:.5f} as it is.",
                "",
                "| probability | bases | mean probability | share of true sites |",
                "|---|---|---|---|",
            ]
            lines += [
                f"| {b['low']:g}-{b['high']:g} | {b['n']} | {b['predicted']:.4f} | "
                f"{b['observed']:.4f} |"
                for b in e["reliability"]
            ]
    s = metrics["storage"]
    lines += [
        "",
        "## Stored precision",
        f"Tensors in {s['precision']}; against fp32 the largest difference of a site probability "
        f"over {s['windows']} "
        f"random validation windows is {s['largest_error']:.1e}.",
        "",
        "## Intended use",
        "Ranking and explaining variants by their effect on splice sites in pre-mRNA of the "
        "species it was trained on, "
        "for research. Not a medical device; a low score is no proof that a variant leaves "
        "splicing alone.",
        "",
        "## Limits",
        f"- Trained on one transcript of each of {len(train)} genes: sites used in few tissues, "
        "U12 introns and sites "
        "without GT-AG are hardly known to it.",
        "- Training windows are rich in sites, so probabilities run above the rate of sites in "
        "whole genes: compare "
        "alleles, do not count sites. Top-k is measured on tiles of 5,000 bases, variants are "
        "scored in frames of "
        f"about {2 * (config['flank'] + 50)}.",
        f"- It sees {config['flank']} bases beyond the compared positions, and motifs and core "
        "sites a few hundred "
        "bases further; nothing of tissue, expression or RNA structure.",
        "- A motif bears the name of the protein whose in-vitro affinities it was fitted to; "
        "related proteins share "
        "motifs.",
        "",
    ]
    return "\n".join(lines)
