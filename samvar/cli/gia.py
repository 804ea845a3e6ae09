"""`samvar gia`."""

from __future__ import annotations

import re

import click

from ..errors import SamvarError
from ..files import text_lines
from .options import (
    annotation_option,
    check_outputs,
    check_plot,
    device_option,
    different_files,
    fasta_option,
    file_only,
    genome_and_genes,
    model_option,
    open_table,
    table_option,
    user_errors,
    workers_option,
)

LARGEST_K = 7
MOST_VALUES = 100_000_000  # sequences times patterns
MOST_PLACES = 2000


def places(ctx, param, value: str | None) -> tuple[int, ...]:
    """Whole numbers and ranges of them, as in -40,-20 or -60..-20:5."""
    found: list[int] = []
    for item in (value or "").split(",") if value is not None else ():
        written = re.fullmatch(r"(-?[0-9]{1,6})(?:\.\.(-?[0-9]{1,6})(?::([0-9]{1,6}))?)?", item)
        step = int(written[3] or 1) if written else 0
        if written is None or step == 0:
            raise click.BadParameter(f"{item!r} is no number or range FROM..TO or FROM..TO:STEP")
        first = int(written[1])
        found += range(first, int(written[2] or first) + 1, step)
    if value is not None and not 1 <= len(found) <= MOST_PLACES:
        raise click.BadParameter(f"{value!r} has no number, or more than {MOST_PLACES:,}")
    return tuple(found)


@click.command()
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@fasta_option
@annotation_option
@model_option
@click.option(
    "--rbp",
    "rbps",
    metavar="NAME",
    multiple=True,
    help="Embed the strongest site of this RBP's motif; may be given again.",
)
@click.option(
    "--kmers",
    metavar="K",
    type=click.IntRange(1, LARGEST_K),
    help="Embed all patterns of K bases.",
)
@click.option(
    "--patterns-file",
    metavar="FILE",
    help="Embed the patterns that this file lists, separated by blanks or line ends.",
)
@click.option(
    "--background",
    type=click.Choice(["exons", "quartile", "shuffle", "dinucleotide", "profile"]),
    default="dinucleotide",
    show_default=True,
    help="Sequences to embed in: exons as they are (quartile: those of each quarter of the "
    "prediction apart), with their bases or dinucleotides shuffled but for the splice sites, or "
    "drawn from the frequencies of bases around exons.",
)
@click.option(
    "--gc",
    metavar="PERCENT,...",
    callback=places,
    help="Instead of --background, random bases of these GC contents beside the exons' own splice "
    "sites.",
)
@click.option(
    "-n",
    "--number",
    metavar="N",
    default=100,
    show_default=True,
    type=click.IntRange(2, 100_000),
    help="Number of sequences.",
)
@click.option(
    "--site",
    type=click.Choice(["acceptor", "donor", "both"]),
    default="both",
    show_default=True,
    help="Splice site of the exon whose change is measured; both: their mean.",
)
@click.option(
    "--scale",
    type=click.Choice(["log-odds", "probability"]),
    default="log-odds",
    show_default=True,
    help="Measure the change of the (natural) log-odds or of the probability.",
)
@click.option(
    "--anchor",
    type=click.Choice(["middle", "acceptor", "donor"]),
    default="middle",
    show_default=True,
    help="What --at counts from: the middle of the exon, its first base, or its last one.",
)
@click.option(
    "--at",
    metavar="PLACES",
    callback=places,
    default="0",
    show_default=True,
    help="Where a pattern's first base goes (in the middle: how far it is moved), as in -40,-20 "
    "or -60..-20:5.",
)
@click.option(
    "--copies",
    metavar="N",
    default=1,
    show_default=True,
    type=click.IntRange(1, 50),
    help="Embed one copy of a pattern, two, and so on up to N.",
)
@click.option(
    "--gap",
    metavar="BASES",
    default=4,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="Bases between copies.",
)
@click.option(
    "--spacing",
    metavar="PLACES",
    callback=places,
    help="Embed two patterns together with so many bases between them, as in 0..30:5, and report "
    "what they do beyond their sum [default for two of --rbp: 4].",
)
@click.option(
    "--context",
    metavar="BASES",
    type=click.IntRange(50, 5000),
    help="Bases on either side of the exon that the model's LSTM sees; fewer are faster [default: "
    "as many as the bundle has].",
)
@click.option(
    "--seed",
    metavar="N",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="Of the random numbers that sequences are drawn by.",
)
@click.option(
    "--state",
    metavar="FILE",
    callback=file_only,
    help="Keep what has been measured in this file, and go on from there when it exists.",
)
@table_option("importances")
@click.option(
    "--figure",
    metavar="FILE",
    callback=file_only,
    help="Draw the importances; the name must end in .svg or .png. Needs matplotlib: pip install "
    "'samvar[plot]'.",
)
@device_option
@workers_option
@user_errors
def gia(
    patterns,
    fasta,
    annotation,
    model_name,
    rbps,
    kmers,
    patterns_file,
    background,
    gc,
    number,
    site,
    scale,
    anchor,
    at,
    copies,
    gap,
    spacing,
    context,
    seed,
    state,
    output,
    figure,
    device,
    threads,
) -> None:
    """Measure what a pattern does to splice sites on average.

    Global importance analysis: a pattern is embedded into many sequences around an exon, and the
    mean change of the exon's splice sites is its importance. The table has a row for each pattern
    and place, with the standard error.
    """
    from ..model.bundle import load_bundle
    from ..research import gia as analysis
    from ..research import populations
    from ..scoring.predictor import Predictor

    if gc and not all(0 <= percent <= 100 for percent in gc):
        raise click.UsageError("--gc: percentages from 0 to 100")
    if (copies > 1 or spacing) and len(at) > 1:
        raise click.UsageError("--copies and --spacing need one place: give one number to --at")
    if copies > 1 and spacing:
        raise click.UsageError("give either --copies or --spacing")
    different_files(output, figure, state, inputs=(fasta, annotation, patterns_file))
    if figure:
        from ..views import importance

        check_plot(figure)
    check_outputs(output, figure, state)
    bundle = load_bundle(model_name)
    named = _patterns(bundle, patterns, patterns_file, kmers, rbps)
    if len(rbps) == len(named) == 2 and not spacing and copies == 1 and len(at) == 1:
        spacing = (gap,)
    designs = _designs(named, anchor, at, copies, gap, spacing)
    if number * len(designs) > MOST_VALUES:
        raise click.UsageError(
            f"{number:,} sequences times {len(designs):,} patterns are more than {MOST_VALUES:,}: "
            "ask for fewer"
        )
    genome, genes = genome_and_genes(fasta, annotation)
    with Predictor(bundle, device, threads) as predictor:
        context = bundle.flank if context is None else context
        edge = analysis.edge_of(predictor, context)
        least = analysis.least_exon(designs)
        score = analysis.site_score(predictor, context, site, scale)
        kinds = {f"gc{percent}": percent / 100 for percent in gc} or {background: None}
        found = {}
        for kind, share in kinds.items():
            sequences = populations.population(
                genome, genes, kind, number, edge, least, seed, gc=share
            )
            kept = None
            if state:
                identity = dict(
                    model=bundle.sha256, sequences=populations.digest(sequences), site=site,
                    scale=scale, context=context, designs=repr(designs),
                )  # fmt: skip
                kept = analysis.State(state if len(kinds) == 1 else f"{state}.{kind}", identity)
            measured = analysis.measure(score, sequences, designs, predictor.map, kept)
            found[kind] = analysis.importances(measured, designs, kind == "quartile")
    with open_table(output) as write_row:
        write_row(analysis.COLUMNS)
        for kind, rows in found.items():
            for row in rows:
                write_row(analysis.table_row(row, kind))
    if figure:
        importance.draw(found, figure, f"change of the {scale} ({site})")


def _patterns(bundle, patterns, patterns_file, kmers, rbps) -> dict[str, str]:
    """Name -> bases of all that is asked for."""
    from ..research import gia as analysis
    from ..scoring.knockout import rbp_named

    listed = [*patterns]
    if patterns_file:
        own = [p for line in text_lines(patterns_file) for p in line.split()]
        if not own:
            raise SamvarError(f"{patterns_file} lists no pattern")
        listed += own
    listed += analysis.kmers(kmers) if kmers else []
    named = {text.upper(): text for text in listed}
    for rbp in rbps:
        name = rbp_named(rbp, bundle.layout.motifs, bundle.families)
        named[name] = analysis.consensus(bundle, name)
    if not named:
        raise click.UsageError(
            "what is to be embedded? Give patterns, --rbp, --kmers or --patterns-file"
        )
    return named


def _designs(named, anchor, at, copies, gap, spacing) -> list:
    """What is to be embedded, by the options."""
    from ..research import gia as analysis

    if spacing:
        if len(named) != 2:
            raise click.UsageError(f"--spacing is for two patterns, not {len(named)}")
        if min(spacing) < 0:
            raise click.UsageError("--spacing: bases between two patterns, 0 or more")
        return analysis.spacing_designs(named, anchor, at[0], spacing)
    if copies > 1:
        rows = (analysis.copies_designs(n, b, anchor, at[0], copies, gap) for n, b in named.items())
        return [design for row in rows for design in row]
    return analysis.plain_designs(named, anchor, at)
