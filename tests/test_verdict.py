"""Sentences about hand-made events."""

import numpy as np
import pytest

from samvar.genomics.align import Alignment
from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.transcript import TranscriptMap
from samvar.genomics.variant import Gap
from samvar.genomics.window import Place
from samvar.model.bundle import LearntMotif
from samvar.model.in_vivo import Bound
from samvar.scoring.attribution import Attribution, Part, PartKind
from samvar.scoring.consequence import (
    ACCEPTOR,
    DONOR,
    Consequence,
    Event,
    Kind,
    Outcome,
    Site,
    lost_elsewhere,
)
from samvar.scoring.deltas import Deltas
from samvar.scoring.line import Span
from samvar.scoring.message import Decay, Frame, Message, Molecule, NoFrame
from samvar.views import verdict as words_of
from samvar.views.verdict import Around, sites_told

LOST = Site(DONOR, 200, Place(200), 0.91, 0.04, 23)
NEW = Site(DONOR, 204, Place(204), 0.01, 0.85)
EXON = Molecule((Span(0, 10),))
TRANSCRIPT = TranscriptMap(Transcript("T", ((10, 60), (150, 201), (300, 400))), "c", "+")
SITE = Site(ACCEPTOR, 200, Place(200), 0.9, 0.76)


def around(largest=SITE, annotated=False):
    return Around(TRANSCRIPT, largest, annotated, 1000)


AROUND = around()


def verdict(deltas, causes, consequences, learnt=(), elsewhere=None, around=AROUND):
    return words_of.verdict(deltas, causes, consequences, around, dict(learnt), elsewhere)


def deltas(gaps=(), **values):
    """The four, at 100, 200, 204 and 200 (0-based)."""
    value = np.array([values.get(n, 0.0) for n in ("AG", "AL", "DG", "DL")])
    position = np.array([100, 200, 204])
    index = np.arange(3)
    columns = np.array([0, 1, 2, 1])
    return Deltas(value, columns, gaps, Alignment(index, index, position, 0 * index), None)


def cause(delta, value, part):
    return Attribution(delta, value, (part,), value - part.effect)


def consequence(*outcomes, cryptic=(), searched=500):
    return (Consequence(None, outcomes, 1.0, cryptic, searched),)


def outcome(kind, sites, exons=(23, 23), size=90, strength=0.87, message=None):
    event = Event(kind, strength, exons, Span(0, 9), size, sites, EXON)
    return Outcome(event, Place(0), Place(8), message or Message(Frame.IN_FRAME), "r.(?)")


LEARNT = {"MOTIF_11": LearntMotif("GAAG", (("TRA2B", 0.9), ("SRSF1", 0.8), ("RBM5", 0.8)))}
CORE = Part("LSSI_D", "weaker", 200, effect=0.86, kind=PartKind.CORE)
SKIPPED = outcome(Kind.EXON_SKIPPING, (LOST,))


def test_a_skipped_exon():
    said = verdict(deltas(DL=0.87), [cause(3, 0.87, CORE)], consequence(SKIPPED))
    assert said == (
        "Donor of exon 23 lost (0.91 to 0.04): exon 23 skipped, 90 bases, in frame. Strength 0.87. "
        "Cause: the splice site itself (99% of the change). No cryptic donor within 500 bases of "
        "the variant."
    )


def test_only_what_was_searched_is_told():
    said = verdict(deltas(DL=0.08), [], consequence(SKIPPED, searched=50))
    assert "No cryptic donor within 50 bases of the variant." in said


@pytest.mark.parametrize(
    "part, named",
    [
        (Part("TRA2A", "loss", 190, effect=0.4), "a site of TRA2A lost"),
        (Part("MOTIF_07", "gain", 190, effect=0.4), "a site of the learnt motif MOTIF_07 gained"),
        (
            Part("MOTIF_11", "loss", 190, effect=0.4),
            "a site of the learnt motif MOTIF_11 (like those of TRA2B and SRSF1) lost",
        ),
        (Part("BP", "loss", 190, effect=0.4, kind=PartKind.CORE), "a branch point lost"),
    ],
)
def test_how_a_cause_is_named(part, named):
    said = verdict(deltas(DL=0.8), [cause(3, 0.8, part)], consequence(SKIPPED), LEARNT)
    assert f"Cause: {named} (50% of the change)." in said


def test_the_surest_protein_that_binds_a_learnt_motif_is_named():
    bound = Bound("TRA2A", 507, 3.4, 3.0, 3.7), Bound("ZNF622", 2026, 2.0, 1.9, 2.2)
    learnt = {"MOTIF_11": LearntMotif("GAAG", (("TRA2B", 0.8), ("SRSF1", 0.8)), bound)}
    part = Part("MOTIF_11", "loss", 190, effect=0.4)
    said = verdict(deltas(DL=0.8), [cause(3, 0.8, part)], consequence(SKIPPED), learnt)
    assert "(like those of TRA2B and SRSF1; in cells TRA2A binds such sites) lost" in said


def test_sites_of_one_motif_that_change_in_one_way_are_one_cause():
    """Together they matter more than the splice site; one that works against the delta, and what no
    row names, do not count."""
    sites = [Part("TRA2A", "loss", 190 + i, effect=0.15) for i in range(3)]
    others = [
        Part("TRA2A", "gain", 198, effect=0.05),
        Part("TRA2A", "loss", 199, effect=-0.05),
        Part("OTHER", effect=0.6, kind=PartKind.REST),
    ]
    core = CORE._replace(effect=0.3)
    causes = [Attribution(3, 0.9, (core, *sites, *others), 0.0)]
    said = verdict(deltas(DL=0.9), causes, consequence(SKIPPED))
    assert "Cause: 3 sites of TRA2A lost (50% of the change)." in said


def test_nothing_is_said_of_small_changes():
    said = verdict(deltas(DL=0.049), [cause(3, 0.049, CORE)], ())
    assert said == (
        "No predicted effect on splicing above 0.05 within 1,000 bases of the variant; that does "
        "not rule one out."
    )


@pytest.mark.parametrize(
    "change, annotated, told",
    [
        (dict(position=1115608, ref=0.51, alt=0.0), False, "Cryptic acceptor at 1,115,609 lost"),
        (dict(position=99, ref=0.51, alt=0.4), False, "Cryptic acceptor in intron 1 at 100 weaker"),
        (dict(position=160, ref=0.01, alt=0.2), False, "New acceptor in exon 2 at 161"),
        (dict(position=150, exon=2, ref=0.9, alt=0.76), True, "Acceptor of exon 2 at 151 weaker"),
        (
            dict(position=160, ref=0.2, alt=0.4),
            True,
            "Acceptor of another transcript in exon 2 at 161 stronger",
        ),
    ],
)
def test_a_change_without_an_event_says_which_site_it_is_of(change, annotated, told):
    place = Place(change.pop("position"))
    largest = Site(ACCEPTOR, 200, place, **change)
    said = verdict(deltas(AL=0.14), [], consequence(), around=around(largest, annotated))
    both = f"({largest.ref:.2f} to {largest.alt:.2f})"
    assert said == f"{told} {both}: no event that is strong enough to be named."


GONE = (Gap(140, 70, 0),)  # exon 2


def test_exons_that_the_variant_itself_deletes():
    """Of no splice site is said that it is lost, nor what could take over."""
    skipped = outcome(Kind.EXON_SKIPPING, (LOST,), (2, 2), 51)
    partly = outcome(Kind.MULTI_EXON_SKIPPING, (LOST,), (1, 2), 101, 0.3)
    near = Site(DONOR, 188, Place(188), 0.1, 0.3)
    removal = "The variant itself removes exon 2 from the DNA, 51 bases"
    found = consequence(skipped, partly, cryptic=(near,))
    said = verdict(deltas(GONE, DL=0.87), [cause(3, 0.87, CORE)], found)
    assert said == (
        f"{removal}: in frame. Strength 0.87: how much REF uses the splice sites. "
        "Also: exons 1 to 2 skipped, 101 bases (0.30)."
    )
    assert near in sites_told(*found) and near not in sites_told(*found, removed=(2,))
    first = verdict(deltas(GONE, DL=0.87), [], consequence(partly, skipped))
    assert first.startswith(f"{removal}. Donor of exon 23 lost") and "Also" not in first
    for small in (verdict(deltas(GONE, DL=0.01), [], ()), verdict(deltas(GONE, DL=0.2), [], ())):
        assert small.startswith(f"{removal}. ")


@pytest.mark.parametrize(
    "gaps, told",
    [
        ([(5, 60)], "exon 1 from the DNA, 50 bases"),
        ([(5, 210)], "exons 1 to 2 from the DNA, 101 bases"),
        ([(5, 60), (290, 120)], "exons 1 and 3 from the DNA, 150 bases"),
        ([(20, 100)], None),
    ],
)
def test_which_exons_the_variant_itself_deletes(gaps, told):
    gone = tuple(Gap(start, size, 0) for start, size in gaps)
    said = verdict(deltas(gone, DL=0.01), [], ())
    assert (f"removes {told}. No predicted" if told else "No predicted") in said
    assert ("removes" in said) == bool(told)


def test_a_protein_is_named_with_its_event_and_the_doubt():
    part = Part("SRSF1", "loss", 190, effect=0.4, agree=2 / 3)
    said = verdict(deltas(DL=0.8), [cause(3, 0.8, part)], consequence(SKIPPED))
    assert "Cause: a site of SRSF1 lost (50% of the change), on whose sign the model's" in said


def test_the_cause_is_that_of_the_event():
    """The donor is lost; the acceptor's gain is larger, and of no event."""
    other = Part("PTBP1", "loss", 90, effect=0.9)
    causes = [cause(0, 0.9, other), cause(3, 0.87, CORE)]
    said = verdict(deltas(AG=0.9, DL=0.87), causes, consequence(SKIPPED))
    assert "PTBP1" not in said and "the splice site itself" in said


def test_another_deltas_cause_is_told_as_that():
    """The donor of the event is further away than sites are compared."""
    other = Part("PTBP1", "loss", 90, effect=0.2)
    said = verdict(deltas(AL=0.4), [cause(1, 0.4, other)], consequence(SKIPPED))
    assert (
        "Cause of the largest delta, the loss of the acceptor at 201 (0.40): a site of PTBP1 lost "
        "(50% of the change)." in said
    )


def test_another_core_site_and_spacing_are_told_apart():
    far = CORE._replace(position=100)
    spacing = Part("SPACING", effect=0.5, kind=PartKind.SPACING)
    for part, name in ((far, "another splice site nearby"), (spacing, "the spacing of the sites")):
        assert name in verdict(deltas(DL=0.87), [cause(3, 0.87, part)], consequence(SKIPPED))


def test_a_part_that_works_against_the_delta_is_no_cause():
    part = CORE._replace(effect=-0.2)
    assert "Cause" not in verdict(deltas(DL=0.87), [cause(3, 0.87, part)], consequence(SKIPPED))


def test_what_speaks_against_it():
    kept = LOST._replace(alt=0.4)
    near = Site(DONOR, 188, Place(188), 0.1, 0.3)
    acceptor = Site(ACCEPTOR, 150, Place(150), 0.1, 0.9)
    skipped = outcome(Kind.EXON_SKIPPING, (kept,))
    said = verdict(deltas(DL=0.5), [], consequence(skipped, cryptic=(acceptor, near)))
    assert "Against it: the donor of exon 23 keeps 0.40." in said
    assert "Against it: a cryptic donor 12 bases upstream (0.10 to 0.30)." in said


def test_a_site_that_does_not_gain_speaks_against_nothing():
    stays = Site(DONOR, 188, Place(188), 0.54, 0.52)
    gains = Site(DONOR, 180, Place(180), 0.1, 0.2)
    (alone,), (both,) = (consequence(SKIPPED, cryptic=c) for c in ((stays,), (stays, gains)))
    assert "No cryptic donor within 500 bases of the variant gains by it." in (
        verdict(deltas(DL=0.87), [], (alone,))
    )
    assert "Against it: a cryptic donor 20 bases upstream (0.10 to 0.20)." in (
        verdict(deltas(DL=0.87), [], (both,))
    )
    assert sites_told(alone) == [LOST] and sites_told(both) == [LOST, gains]


def test_the_sites_told_are_those_of_the_verdict_that_were_scored():
    taken = Site(1, 70, Place(70), 0.2, 0.9)
    against = Site(1, 30, Place(30), 0.01, 0.3)
    weak = Site(0, 40, Place(40), 0.5, 0.4, 23)
    unknown = Site(0, 900, Place(900), 1.0, 1.0, 23, scored=False)
    skipped = outcome(Kind.EXON_SKIPPING, (LOST, unknown))
    moved = outcome(Kind.PARTIAL_EXON_DELETION, (taken, LOST), strength=0.1)
    (told,) = consequence(skipped, moved, cryptic=(weak, against))
    assert sites_told(told) == [LOST, against, taken]
    said = verdict(deltas(DL=0.87), [], (told,))
    assert "Against it: a new donor" in said and "(0.01 to 0.30)" in said
    assert sites_told(consequence()[0]) == []


@pytest.mark.parametrize(
    "beside, words",
    [
        (0, "exon 23 shorter by 90 bases"),
        (12, "exon 23 without 90 bases of its own, with 12 more by the variant"),
        (-5, "exon 23 shorter by 90 bases, and by 5 more by the variant itself"),
    ],
)
def test_an_exon_whose_end_moves_may_hold_inserted_bases(beside, words):
    moved = outcome(Kind.PARTIAL_EXON_DELETION, (LOST,))
    moved = moved._replace(event=moved.event._replace(beside=beside))
    assert f": {words}, in frame." in verdict(deltas(DL=0.87), [], consequence(moved))


def test_weaker_events_follow():
    retained = outcome(
        Kind.WHOLE_INTRON_RETENTION, (LOST,), exons=(23, 24), size=120, strength=0.25
    )
    said = verdict(deltas(DL=0.87), [], consequence(SKIPPED, retained))
    assert said.endswith("Also: intron 23 retained, 120 bases (0.25).")


@pytest.mark.parametrize(
    "kind, exons, size, words",
    [
        (Kind.MULTI_EXON_SKIPPING, (12, 13), 230, "exons 12 to 13 skipped, 230 bases, in frame."),
        (Kind.PSEUDOEXON, (2, 3), 91, "a new exon of 91 bases in intron 2, in frame."),
        (Kind.PARTIAL_EXON_DELETION, (3, 3), 1, "exon 3 shorter by 1 base, in frame."),
        (Kind.PARTIAL_INTRON_RETENTION, (3, 4), 4, "4 bases of intron 3 retained, in frame."),
        (Kind.WHOLE_INTRON_RETENTION, (3, 4), 99, "intron 3 retained, 99 bases, in frame."),
        (Kind.INCREASED_EXON_INCLUSION, (3, 3), 99, "exon 3 included more, in frame."),
    ],
)
def test_every_event_has_words(kind, exons, size, words):
    said = verdict(deltas(DG=0.84), [], consequence(outcome(kind, (NEW,), exons, size)))
    assert said.startswith(f"New donor (0.01 to 0.85): {words}")


@pytest.mark.parametrize("decay", [d for d in Decay if d is not Decay.NO_STOP])
def test_a_stop_is_told_with_its_decay(decay):
    message = Message(Frame.FRAMESHIFT, 61, decay)
    said = verdict(
        deltas(DL=0.9), [], consequence(outcome(Kind.EXON_SKIPPING, (LOST,), message=message))
    )
    assert "frameshift, stop in codon 61, n" in said
    assert ("decay expected" in said) and ("no decay" in said) == (decay is not Decay.YES)


@pytest.mark.parametrize(
    "message, words",
    [
        (
            Message(Frame.STOP_LOST, 61, Decay.YES),
            "stop codon lost, the next one in codon 61, nonsense-mediated decay expected",
        ),
        (
            Message(Frame.STOP_LOST, None, Decay.NO_STOP),
            "stop codon lost, no stop codon up to the end",
        ),
    ],
)
def test_a_lost_stop_codon(message, words):
    outcomes = consequence(outcome(Kind.EXON_SKIPPING, (LOST,), message=message))
    assert f"90 bases, {words}." in verdict(deltas(DL=0.9), [], outcomes)


@pytest.mark.parametrize("why", NoFrame)
def test_it_is_said_why_there_is_no_frame(why):
    message = Message(why=why)
    said = verdict(
        deltas(DL=0.9), [], consequence(outcome(Kind.EXON_SKIPPING, (LOST,), message=message))
    )
    assert "frame" not in said and "benign" not in said.lower()


@pytest.mark.parametrize(
    "more, users", [(1, "L0"), (2, "L0 and L1"), (6, "L0, L1, L2, L3 and 2 more")]
)
def test_the_site_of_other_transcripts_is_lost(more, users):
    short = Transcript("S", ((10, 50), (150, 201)))
    longer = [Transcript(f"L{i}", ((10, 201), (300, 400))) for i in range(more)]
    gene = Gene("G", "G", "c", "+", 10, 400, (short, *longer))
    nothing = (Consequence(short, (), 0.0, (), 500),)
    lost = deltas(DL=0.99)
    for looked_at in (nothing, ()):  # of a transcript that the variant does not touch
        elsewhere = lost_elsewhere(lost, gene, looked_at)
        largest = Site(DONOR, 200, Place(200), 0.99, 0.0)
        of_s = Around(TranscriptMap.of(gene, short), largest, True, 1000)
        said = verdict(lost, [], looked_at, elsewhere=elsewhere, around=of_s)
        assert said == (
            "Donor in exon 2 at 201 lost (0.99 to 0.00). It is no splice site of S, but one of "
            f"{users}."
        )
    assert lost_elsewhere(lost, gene, (Consequence(longer[0], (), 0.0, (), 500),)) is None
    assert lost_elsewhere(deltas(AL=0.99), gene, nothing) is None  # of no transcript
    assert lost_elsewhere(deltas(DG=0.99), gene, nothing) is None
    assert lost_elsewhere(lost, gene, consequence(SKIPPED)) is None
