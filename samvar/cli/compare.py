"""`samvar compare`."""

from __future__ import annotations

import os

import click

from .options import (
    check_outputs,
    check_plot,
    different_files,
    file_only,
    open_table,
    say,
    table_option,
    user_errors,
)


@click.command(short_help="Find RBPs whose effects are larger in one group of variants.")
@click.argument("cases")
@click.argument("controls")
@table_option("RBPs, families and core sites")
@click.option(
    "--figure",
    metavar="FILE",
    callback=file_only,
    help="Draw the mean effects in both groups; the name must end in .svg or .png. Needs "
    "matplotlib: pip install 'samvar[plot]'.",
)
@user_errors
def compare(cases, controls, output, figure) -> None:
    """Find the RBPs whose effects are larger in one group of variants than in another.

    CASES and CONTROLS are outputs of `samvar annotate`, made with the same model and options. An
    RBP's effect in an allele is the largest that SAMVAR_RBP has of it, 0 where it is not listed.
    For each RBP, family of RBPs and core site Welch's t-test, one-sided, tells whether effects are
    larger in CASES, with p values corrected by Bonferroni and by Benjamini and Hochberg. Exchange
    the files for the other side.
    """
    from tqdm import tqdm

    from ..formats.vcf import VcfReader
    from ..research import compare as analysis

    if cases == controls:
        raise click.UsageError(f"both groups are {cases}: give two files")
    different_files(output, figure, inputs=(cases, controls))
    if figure:
        from ..views import groups

        check_plot(figure)
    check_outputs(output, figure)
    with VcfReader(cases) as one, VcfReader(controls) as other:
        for note in analysis.check_alike(one, other):
            say(f"samvar: {note}")
        read = []
        for reader in (one, other):
            records = tqdm(
                reader, "read", total=reader.expected_records, disable=None, unit="record"
            )
            read.append(analysis.Group.of(reader.path, records))
    for group in read:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in group.unscored.items())
        say(f"samvar: {group.name}: {group.scored:,} scored alleles; left out: {reasons or 'none'}")
    found = analysis.compare(*read)
    with open_table(output) as write_row:
        write_row(analysis.COLUMNS)
        for row in analysis.rows(found):
            write_row(row)
    if figure:
        groups.draw(found, (os.path.basename(cases), os.path.basename(controls)), figure)
