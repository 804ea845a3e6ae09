"""Events of hand-made transcripts, on both strands: what happens, in which frame, where it stops,
and what the molecule is called."""

import os
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest

from samvar import info
from samvar.annotate import Allele, Options, encode, score, tsv
from samvar.formats.annotation import load_annotation
from samvar.formats.vcf.record import Record
from samvar.genomics.align import placements
from samvar.genomics.genes import Gene, Transcript
from samvar.genomics.genome import Genome
from samvar.genomics.genome import encode as codes
from samvar.genomics.variant import Variant
from samvar.genomics.window import make_window
from samvar.model.bundle import load_bundle
from samvar.scoring.consequence import ACCEPTOR, DONOR, FLOOR, Consequence, Kind, consequence
from samvar.scoring.line import Line, Span
from samvar.scoring.message import Decay, Frame, NoFrame
from samvar.scoring.predictor import Predictor, ScoredWindow

from . import toy

LENGTH = 4000
EXONS = ((100, 200), (400, 500), (700, 830), (1100, 1250), (1500, 1700))
CDS = 150, 1601  # 50, 100, 130, 150 and 101 bases: 177 codons
STRANDS = pytest.mark.parametrize("strand", "+-")


@dataclass(frozen=True)
class Case:
    """A gene of poly-C, all in transcript orientation, 0-based: `text` puts bases at places,
    `sites` says (kind, place): (ref, alt); annotated sites are 0.9 in both alleles otherwise. The
    variant replaces [at, at + gone) by `new`."""

    sites: dict
    text: dict = field(default_factory=dict)
    exons: tuple = EXONS
    cds: tuple = CDS
    at: int = 650
    gone: int = 1
    new: str = "G"
    placement: int = 0  # which one of the gaps that the variant can be

    def bases(self):
        bases = list("C" * LENGTH)
        for place, text in self.text.items():
            bases[place : place + len(text)] = text
        return "".join(bases)

    def place(self, strand, start, end):
        return (start, end) if strand == "+" else (LENGTH - end, LENGTH - start)

    def line(self, strand, folder):
        bases, new = self.bases(), self.new
        old = bases[self.at : self.at + self.gone]
        if strand == "-":
            bases, new, old = map(toy.revcomp, (bases, new, old))
        genome = Genome(toy.fasta(folder / f"{'fr'[strand == '-']}.fa", c=bases))
        exons = tuple(sorted(self.place(strand, *e) for e in self.exons))
        transcript = Transcript("T.1", exons, *self.place(strand, *self.cds))
        gene = Gene("G", "G", "c", strand, exons[0][0], exons[-1][1], (transcript,))
        start, _ = self.place(strand, self.at, self.at + self.gone)
        variant = Variant("c", start, codes(old), codes(new))
        window = make_window(genome, gene, variant, 500, 30, (10, 10))
        gaps = placements(variant, window.direction)[self.placement :][:1]
        return Line.of(self.scored(window, strand), gaps), transcript

    def scored(self, window, strand):
        first, _ = self.place(strand, window.start, window.end)
        longer = len(self.new) - self.gone
        ref = np.zeros((1, 2, window.compared))
        alt = np.zeros((1, 2, window.compared + longer))
        annotated = {(ACCEPTOR, s): (0.9, 0.9) for s, _ in self.exons[1:]}
        annotated |= {(DONOR, e - 1): (0.9, 0.9) for _, e in self.exons[:-1]}
        for (kind, place), (before, after) in (annotated | self.sites).items():
            if not 0 <= place - first < window.compared:
                continue
            ref[0, kind, place - first] = before
            if not self.at <= place < self.at + self.gone or longer == 0:
                shift = longer if place >= self.at + self.gone else 0
                alt[0, kind, place - first + shift] = after
        return ScoredWindow(window, window.to_genome(ref), window.to_genome(alt))

    def says(self, strand, folder, minimum=0.2) -> Consequence:
        return consequence(*self.line(strand, folder), minimum)

    def strongest(self, strand, folder):
        return self.says(strand, folder).outcomes[0]


def skipping(exon, **others):
    """An exon (number) whose sites are lost."""
    start, end = others.get("exons", EXONS)[exon - 1]
    lost = {(ACCEPTOR, start): (0.9, 0.1), (DONOR, end - 1): (0.9, 0.0)}
    return Case(lost, **others)


# --------------------------------------------------------------------------------- every event


@STRANDS
def test_an_exon_is_skipped_once_though_both_its_ends_go(strand, tmp_path):
    says = skipping(3).says(strand, tmp_path)
    (outcome,) = says.outcomes
    event = outcome.event
    assert (event.kind, event.exons, event.size) == (Kind.EXON_SKIPPING, (3, 3), 130)
    assert outcome.rna == "r.(151_280del)"
    assert outcome.last.position - outcome.first.position == 129
    cause = event.sites[0]
    assert (cause.kind, cause.exon, cause.ref, cause.alt) == (DONOR, 3, 0.9, 0.0)
    assert event.strength == pytest.approx(18 / 19)  # twice the odds of 0.9, less nothing


@STRANDS
def test_exons_whose_intron_is_deleted_are_joined_and_nothing_is_retained(strand, tmp_path):
    lost = {(DONOR, 499): (0.9, 0.0), (ACCEPTOR, 700): (0.9, 0.0)}
    assert Case(lost, at=500, gone=200, new="").says(strand, tmp_path).outcomes == ()
    part = Case(lost, at=510, gone=150, new="").says(strand, tmp_path).outcomes[0].event
    assert (part.kind, part.size) == (Kind.WHOLE_INTRON_RETENTION, 50)


@STRANDS
@pytest.mark.parametrize(
    "lost, new, kind, exons, size, rna",
    [
        ((DONOR, 829), (DONOR, 824), Kind.PARTIAL_EXON_DELETION, (3, 3), 5, "r.(276_280del)"),
        (
            (DONOR, 829),
            (DONOR, 833),
            Kind.PARTIAL_INTRON_RETENTION,
            (3, 4),
            4,
            "r.(280_281ins280+1_280+4)",
        ),
        ((ACCEPTOR, 700), (ACCEPTOR, 706), Kind.PARTIAL_EXON_DELETION, (3, 3), 6, "r.(151_156del)"),
        ((ACCEPTOR, 700), (ACCEPTOR, 701), Kind.PARTIAL_EXON_DELETION, (3, 3), 1, "r.(151del)"),
        (
            (ACCEPTOR, 700),
            (ACCEPTOR, 690),
            Kind.PARTIAL_INTRON_RETENTION,
            (2, 3),
            10,
            "r.(150_151ins151-10_151-1)",
        ),
    ],
)
def test_a_new_site_takes_over_from_a_lost_one(strand, lost, new, kind, exons, size, rna, tmp_path):
    case = Case({lost: (0.9, 0.0), new: (0.0, 0.9)})
    outcome, *others = case.says(strand, tmp_path).outcomes
    event = outcome.event
    assert (event.kind, event.exons, event.size, outcome.rna) == (kind, exons, size, rna)
    assert not others  # the exon is not skipped, too


@STRANDS
def test_what_a_new_site_does_not_take_over_is_skipped(strand, tmp_path):
    case = Case({(DONOR, 829): (0.9, 0.0), (ACCEPTOR, 700): (0.9, 0.3), (DONOR, 824): (0.0, 0.4)})
    first, second = (o.event for o in case.says(strand, tmp_path).outcomes)
    assert (first.kind, second.kind) == (Kind.EXON_SKIPPING, Kind.PARTIAL_EXON_DELETION)
    assert first.strength == pytest.approx(18 / 19 - 0.4) and second.strength == pytest.approx(0.4)


@STRANDS
def test_a_site_that_was_there_takes_its_share(strand, tmp_path):
    sites = {(DONOR, 829): (0.9, 0.0), (ACCEPTOR, 700): (0.9, 0.3), (DONOR, 824): (0.3, 0.3)}
    _, second = (o.event for o in Case(sites).says(strand, tmp_path).outcomes)
    assert second.kind is Kind.PARTIAL_EXON_DELETION
    assert second.strength == pytest.approx(18 / 19 * 0.3)


@STRANDS
@pytest.mark.parametrize("last, there", [(583, False), (584, True), (650, True)])
def test_two_new_sites_in_an_intron_are_an_exon(strand, last, there, tmp_path):
    case = Case({(ACCEPTOR, 560): (0.0, 0.7), (DONOR, last): (0.1, 0.8)}, at=570)
    kinds = {o.event.kind: o for o in case.says(strand, tmp_path).outcomes}
    assert (Kind.PSEUDOEXON in kinds) == there  # 25 bases at least
    if last == 650:
        event = kinds[Kind.PSEUDOEXON].event
        assert (event.exons, event.size) == ((2, 3), 91)
        assert event.strength == pytest.approx(0.7)
        assert kinds[Kind.PSEUDOEXON].rna == "r.(150_151ins[150+61_150+70;g;150+72_151-50])"
        assert len(kinds) == 1


@STRANDS
@pytest.mark.parametrize("site, exon", [((DONOR, 199), 1), ((ACCEPTOR, 1500), 4)])
def test_an_intron_stays_where_the_first_or_last_exon_loses_its_site(strand, site, exon, tmp_path):
    case = Case({site: (0.9, 0.05)}, at=site[1])
    (outcome,) = case.says(strand, tmp_path).outcomes
    start, end = EXONS[exon - 1][1], EXONS[exon][0]
    event = outcome.event
    assert (event.kind, event.exons) == (Kind.WHOLE_INTRON_RETENTION, (exon, exon + 1))
    assert event.size == end - start
    coding = {1: "r.(50_51ins50+1_51-1)", 4: "r.(430_431ins430+1_431-1)"}
    assert outcome.rna == coding[exon]


@STRANDS
@pytest.mark.parametrize(
    "acceptor, kind", [(0.9, "whole_intron_retention"), (0.3, "exon_skipping")]
)
def test_a_short_intron_stays_where_the_other_end_of_the_exon_does(
    strand, acceptor, kind, tmp_path
):
    case = Case({(DONOR, 829): (0.9, 0.0), (ACCEPTOR, 700): (0.9, acceptor)})
    assert case.strongest(strand, tmp_path).event.kind.value == kind


@STRANDS
def test_neighbours_are_skipped_together(strand, tmp_path):
    sites = skipping(2).sites | skipping(3).sites
    (outcome,) = Case(sites, at=600).says(strand, tmp_path).outcomes
    event = outcome.event
    assert (event.kind, event.exons, event.size) == (Kind.MULTI_EXON_SKIPPING, (2, 3), 230)
    assert outcome.rna == "r.(51_280del)"


@STRANDS
def test_a_weak_exon_is_included_more(strand, tmp_path):
    case = Case({(ACCEPTOR, 700): (0.1, 0.6), (DONOR, 829): (0.2, 0.7)})
    (outcome,) = case.says(strand, tmp_path).outcomes
    event = outcome.event
    assert (event.kind, event.exons, event.size) == (Kind.INCREASED_EXON_INCLUSION, (3, 3), 130)
    assert outcome.message.why is NoFrame.SAME and outcome.rna == ""


@STRANDS
def test_none(strand, tmp_path):
    says = Case({(DONOR, 829): (0.9, 0.8)}).says(strand, tmp_path)
    assert says.outcomes == () and 0 < says.strongest < 0.2


@STRANDS
def test_sites_that_were_not_scored_count_as_used(strand, tmp_path):
    case = Case({(DONOR, 199): (0.9, 0.0)}, at=180)  # exon 4 and what follows is out of reach
    line, transcript = case.line(strand, tmp_path)
    assert not line.scored(line.column(case.place(strand, 1100, 1101)[0]))
    kinds = [o.event.kind for o in consequence(line, transcript, 0.2).outcomes]
    assert kinds == [Kind.WHOLE_INTRON_RETENTION]


@STRANDS
def test_a_gene_of_one_exon_has_no_events(strand, tmp_path):
    case = Case({(DONOR, 640): (0.0, 0.9)}, exons=((100, 1700),), cds=(150, 1602))
    assert case.says(strand, tmp_path).outcomes == ()


@STRANDS
def test_a_deleted_site_is_lost(strand, tmp_path):
    case = Case({(ACCEPTOR, 700): (0.9, 0.9)}, at=695, gone=10, new="")
    (outcome,) = case.says(strand, tmp_path).outcomes
    assert outcome.event.kind is Kind.WHOLE_INTRON_RETENTION  # its donor is as it was
    assert outcome.event.size == 195  # 5 of the intron's 200 bases are not in ALT


# -------------------------------------------------------------------------------- the message


@STRANDS
@pytest.mark.parametrize("length, frame", [(129, Frame.IN_FRAME), (130, 0), (131, 0)])
def test_the_frame(strand, length, frame, tmp_path):
    exons = (*EXONS[:2], (700, 700 + length), *EXONS[3:])
    message = skipping(3, exons=exons).strongest(strand, tmp_path).message
    assert message.frame is (frame or Frame.FRAMESHIFT)
    assert (message.stop, message.decay, message.why) == (None, None, None)


@STRANDS
@pytest.mark.parametrize(
    "exon, stop, codon, decay",
    [
        (3, 1100 + 30, 61, Decay.YES),
        (3, 1100 + 96, 83, Decay.YES),  # ends 51 bases before the last junction
        (3, 1100 + 99, 84, Decay.LAST_JUNCTION),  # 48
        (3, 1500 + 30, 111, Decay.LAST_EXON),
        (2, 700 + 94, 49, Decay.START_PROXIMAL),  # ends 147 bases behind the start
        (2, 700 + 97, 50, Decay.YES),  # 150
    ],
)
def test_a_premature_stop_and_decay(strand, exon, stop, codon, decay, tmp_path):
    case = skipping(exon, text={stop: "TAG"}, at=600)
    message = case.strongest(strand, tmp_path).message
    assert (message.frame, message.stop, message.decay) == (Frame.FRAMESHIFT, codon, decay)


@STRANDS
@pytest.mark.parametrize("length, decay", [(400, Decay.YES), (401, Decay.LONG_EXON)])
def test_a_long_exon_escapes(strand, length, decay, tmp_path):
    exons = (*EXONS[:3], (1100, 1100 + length), (1900, 2100))
    case = skipping(3, exons=exons, cds=(150, 2001), text={1100 + 30: "TGA"})
    assert case.strongest(strand, tmp_path).message.decay is decay


@STRANDS
def test_a_single_exon_escapes(strand, tmp_path):
    case = Case(
        {(DONOR, 699): (0.9, 0.0)}, {705: "TAA"}, exons=((400, 700), (800, 1000)), cds=(450, 900)
    )
    outcome = case.strongest(strand, tmp_path)
    assert outcome.event.kind is Kind.WHOLE_INTRON_RETENTION
    message = outcome.message
    assert (message.stop, message.decay) == (86, Decay.SINGLE_EXON)  # base 255 of the coding ones


@STRANDS
def test_a_stop_that_ref_has_in_the_same_frame_is_not_premature(strand, tmp_path):
    """Selenocysteine: TGA in codon 30 of 177; exon 3 of 129 bases is skipped in frame."""
    exons = (*EXONS[:2], (700, 829), *EXONS[3:])
    for text, stop in (({400 + 37: "TGA"}, None), ({1598: "TAA"}, None)):
        case = skipping(3, exons=exons, cds=(150, 1600), text=text)
        assert case.strongest(strand, tmp_path).message.stop == stop


@STRANDS
def test_the_variants_own_stop_is_read(strand, tmp_path):
    """C > A in CCC of an exon that stays, beside a skipped one, in frame: TCA becomes TAA."""
    exons = (*EXONS[:2], (700, 829), *EXONS[3:])
    case = skipping(3, exons=exons, cds=(150, 1600), text={1112: "TCA"}, at=1113, new="A")
    message = case.strongest(strand, tmp_path).message
    assert message.frame is Frame.IN_FRAME and message.stop == (50 + 100 + 12) // 3 + 1


ENDS_IN_EXON_3 = 150, 760  # 50, 100 and 60 bases: 70 codons


@STRANDS
@pytest.mark.parametrize(
    "beyond, stop, decay",
    [({1100 + 30: "TGA"}, 61, Decay.YES), ({}, None, Decay.NO_STOP)],
)
def test_the_stop_codon_is_skipped(strand, beyond, stop, decay, tmp_path):
    """The coding bases that are lost are a multiple of three, which says nothing here."""
    case = skipping(3, cds=ENDS_IN_EXON_3, text={757: "TAA"} | beyond)
    message = case.strongest(strand, tmp_path).message
    assert message == (Frame.STOP_LOST, stop, decay, None)


@STRANDS
@pytest.mark.parametrize("new", "CT")
def test_the_variants_change_of_the_stop_codon_is_read(strand, new, tmp_path):
    """TAA becomes TAC or TAT; the next stop in its frame is one that REF has in its 3' UTR, in
    exon 5: 280 coding bases up to there, two more, codon 95. Exon 4 is skipped."""
    stops = {757: "TAA", 1502: "TAG"}
    case = skipping(4, cds=ENDS_IN_EXON_3, text=stops, at=759, new=new)
    message = case.strongest(strand, tmp_path).message
    assert message == (Frame.STOP_LOST, 95, Decay.LAST_EXON, None)
    silent = skipping(4, cds=ENDS_IN_EXON_3, text=stops, at=759, new="G")
    assert silent.strongest(strand, tmp_path).message.why is NoFrame.UTR3  # TAG stops, too


@STRANDS
def test_a_shifted_frame_is_read_past_the_annotated_stop(strand, tmp_path):
    case = skipping(3, text={1598: "TAA", 1602: "TAG"})
    message = case.strongest(strand, tmp_path).message
    assert message == (Frame.FRAMESHIFT, (300 + 102) // 3 + 1, Decay.LAST_EXON, None)


@STRANDS
@pytest.mark.parametrize("codon, why", [("ATG", NoFrame.START_LOST), ("CTG", None)])
def test_the_variants_change_of_the_start_codon_is_read(strand, codon, why, tmp_path):
    """ATG becomes ATA; of an annotation that begins otherwise nobody knows."""
    case = skipping(2, text={150: codon}, at=152, new="A")
    assert case.strongest(strand, tmp_path).message.why is why


@STRANDS
@pytest.mark.parametrize(
    "gone, new, kept",
    [
        ("CAAATGCCG", "CAATGCCA", True),  # one A less before ATG, and another change
        ("CAAATGCCG", "CAAAATGCCA", True),
        ("AAATGC", "AAATGATGC", True),  # one more ATG
        ("AAATGCC", "AAAGCC", False),
        ("CAAATGCCG", "CAAAGCCA", False),
        ("CAAATGC", "CAAAGC", False),
    ],
)
def test_a_start_codon_that_a_gap_leaves_whole_is_not_lost(strand, gone, new, kept, tmp_path):
    text = {150 - gone.index("ATG"): gone}
    shared = len(os.path.commonprefix((gone, new)))
    at, gone, new = min(text) + shared, len(gone) - shared, new[shared:]
    without = skipping(2, text=text).strongest(strand, tmp_path).message
    for placement in range(min(gone, len(new)) + 1):
        case = skipping(2, text=text, at=at, gone=gone, new=new, placement=placement)
        message = case.strongest(strand, tmp_path).message
        assert (message.why is None) == kept
        assert message.frame is (without.frame if kept else None)


@STRANDS
def test_a_substitution_within_what_is_added_stands_in_the_rna(strand, tmp_path):
    """GTGA becomes GTAA: without the A the string would be another molecule than the one that is
    read."""
    moves = {(DONOR, 829): (0.9, 0.0), (DONOR, 833): (0.0, 0.9)}
    outcome = Case(moves, text={830: "GTGA"}, at=832, new="A").strongest(strand, tmp_path)
    assert outcome.rna == "r.(280_281ins[280+1_280+2;a;280+4])"
    two = Case(moves, text={830: "GTGA"}, at=830, gone=2, new="CC").strongest(strand, tmp_path)
    assert two.rna == "r.(280_281ins[cc;280+3_280+4])"
    beside = Case(moves, text={830: "GTGA"}, at=834, new="T").strongest(strand, tmp_path)
    assert beside.rna == "r.(280_281ins280+1_280+4)"


@STRANDS
def test_blocks_that_a_few_bases_part_are_one_exon(strand, tmp_path):
    """Where a transcript's own sequence differs from the genome, an annotation has such blocks."""
    parted = ((100, 200), (400, 500), (700, 750), (751, 830), (1100, 1250), (1500, 1700))
    lost = {(ACCEPTOR, 700): (0.9, 0.1), (DONOR, 829): (0.9, 0.0)}
    no_sites = {(DONOR, 749): (0.0, 0.0), (ACCEPTOR, 751): (0.0, 0.0)}
    (outcome,) = Case(lost | no_sites, exons=parted).says(strand, tmp_path).outcomes
    event = outcome.event
    assert (event.kind, event.exons, event.size) == (Kind.EXON_SKIPPING, (3, 3), 130)
    assert outcome.rna == "r.(?)"
    assert outcome.message == (None, None, None, NoFrame.DIFFERS)
    for site in ((DONOR, 749), (ACCEPTOR, 751)):
        assert Case({site: (0.9, 0.0)}, exons=parted).says(strand, tmp_path).outcomes == ()


@STRANDS
def test_a_variant_that_changes_the_message_beside_an_event_of_the_utr(strand, tmp_path):
    """Exon 2 is all of the 5' UTR; the variant in exon 3 makes a premature stop."""
    text, cds = {768: "TAC", 1597: "TAA"}, (720, 1600)
    message = skipping(2, cds=cds, text=text, at=770, new="A").strongest(strand, tmp_path).message
    assert (message.why, message.stop) == (None, 17)
    silent = skipping(2, cds=cds, text=text, at=770, new="T").strongest(strand, tmp_path).message
    assert silent.why is NoFrame.UTR5


@STRANDS
@pytest.mark.parametrize(
    "exon, cds, why",
    [
        (3, (1150, 1650), NoFrame.UTR5),
        (3, (110, 410), NoFrame.UTR3),
        (3, (0, 0), NoFrame.NONCODING),
        (3, (720, 1601), NoFrame.START_LOST),
    ],
)
def test_why_there_is_no_frame(strand, exon, cds, why, tmp_path):
    message = skipping(exon, cds=cds).strongest(strand, tmp_path).message
    assert (message.frame, message.stop, message.why) == (None, None, why)


@STRANDS
@pytest.mark.parametrize(
    "cds, rna",
    [
        ((1150, 1650), "r.(-180_-51del)"),
        ((110, 410), "r.(*91_*220del)"),
        ((0, 0), "r.(201_330del)"),
    ],
)
def test_the_molecule_outside_the_coding_sequence(strand, cds, rna, tmp_path):
    assert skipping(3, cds=cds).strongest(strand, tmp_path).rna == rna


@STRANDS
def test_bases_that_a_deletion_takes_are_not_named_as_kept(strand, tmp_path):
    """Ten bases of exon 3 and ten of intron 3 go; the next ten of the intron stay."""
    sites = {(DONOR, 829): (0.9, 0.0), (DONOR, 849): (0.0, 0.9)}
    case = Case(sites, text={818: "AGTA", 838: "GA"}, at=820, gone=20, new="")
    outcome = case.strongest(strand, tmp_path)
    assert (outcome.event.kind, outcome.event.size) == (Kind.PARTIAL_INTRON_RETENTION, 10)
    assert outcome.rna == "r.(271_280delins280+11_280+20)"
    ends = sorted(case.place(strand, p, p + 1)[0] for p in (840, 849))
    assert [outcome.first.position, outcome.last.position] == ends


@STRANDS
@pytest.mark.parametrize("gone, new, beside", [(0, "GTGT", 4), (3, "", -3), (1, "G", 0)])
def test_what_the_variant_does_beside_an_end_that_moves(strand, gone, new, beside, tmp_path):
    sites = {(DONOR, 829): (0.9, 0.0), (DONOR, 809): (0.0, 0.9)}
    case = Case(sites, at=790, gone=gone, new=new)
    event = case.strongest(strand, tmp_path).event
    told = event.kind, event.size, event.beside
    assert told == (Kind.PARTIAL_EXON_DELETION, 20, beside)


@STRANDS
def test_inserted_bases_are_told_by_their_letters(strand, tmp_path):
    sites = {(ACCEPTOR, 700): (0.9, 0.0), (ACCEPTOR, 697): (0.0, 0.9)}
    outcome = Case(sites, at=700, gone=0, new="GT").strongest(strand, tmp_path)
    assert outcome.rna == "r.(150_151ins[151-3_151-1;gu])"
    within = Case(sites, at=698, gone=0, new="A").strongest(strand, tmp_path)
    assert within.rna == "r.(150_151ins[151-3;a;151-2_151-1])"


@STRANDS
def test_an_exon_that_the_variant_deletes_is_told_with_what_takes_its_place(strand, tmp_path):
    text = {688: "AGTA", 838: "GA"}
    new = {(ACCEPTOR, 900): (0.0, 0.9), (DONOR, 959): (0.0, 0.9)}
    case = Case(new, text=text, at=690, gone=150, new="")
    told = {o.event.kind: o.rna for o in case.says(strand, tmp_path).outcomes}
    assert told[Kind.PSEUDOEXON] == "r.(151_280delins280+71_280+130)"
    elsewhere = Case(new, text=text, at=660, gone=20, new="").strongest(strand, tmp_path)
    assert elsewhere.rna == "r.(280_281ins280+71_280+130)"


@STRANDS
def test_events_of_the_same_bases_are_one_as_strong_as_they_together(strand, tmp_path):
    """Exon 2 and the donor of exon 3 are weak: the two would be skipped together at the strength of
    exon 2, and exon 3 alone at what is left."""
    lost = {
        (ACCEPTOR, 400): (0.3, 0.0),
        (DONOR, 499): (0.3, 0.0),
        (ACCEPTOR, 700): (0.5, 0.0),
        (DONOR, 829): (0.5, 0.0),
    }
    (apart, alone) = Case(lost).says(strand, tmp_path).outcomes
    (whole,) = Case(lost, at=390, gone=460, new="").says(strand, tmp_path).outcomes
    assert (apart.event.kind, alone.event.kind) == (Kind.MULTI_EXON_SKIPPING, Kind.EXON_SKIPPING)
    assert (whole.event.kind, whole.event.exons) == (Kind.MULTI_EXON_SKIPPING, (2, 3))
    assert whole.event.strength == pytest.approx(apart.event.strength + alone.event.strength)
    assert whole.rna == apart.rna == "r.(51_280del)"


@STRANDS
def test_exons_of_which_more_is_included_are_no_one_event(strand, tmp_path):
    """Though the transcript's exons are the same in both."""
    risen = {(k, p): (0.3, 0.9) for s, e in EXONS[1:3] for k, p in ((ACCEPTOR, s), (DONOR, e - 1))}
    found = Case(risen, at=900, gone=3, new="").says(strand, tmp_path).outcomes
    assert [o.event.exons for o in found] == [(2, 2), (3, 3)]


# -------------------------------------------------------------------------------- the line


@STRANDS
@pytest.mark.parametrize("gone, new", [(1, "G"), (0, "GT"), (7, ""), (2, "GT")])
def test_columns_and_places(strand, gone, new, tmp_path):
    case = Case({}, at=650, gone=gone, new=new, text={640: "GATTACAGATTACA"})
    line, _ = case.line(strand, tmp_path)
    start, end = case.place(strand, 100, 1700)
    columns = [line.column(p) for p in range(start, end)]
    assert sorted(columns) == sorted(set(columns))
    assert [line.place(c).position for c in columns] == list(range(start, end))
    whole = Span(min(columns), max(columns) + 1)
    ref, alt = case.bases()[100:1700], case.bases()
    alt = (alt[:650] + new + alt[650 + gone :])[100 : 1700 + len(new) - gone]
    for in_alt, text in ((False, ref), (True, alt)):
        bases = line.bases(whole, in_alt)
        assert np.array_equal(bases.codes, codes(text))
        assert line.length(whole, in_alt) == len(text) == len(bases.columns)
    offsets = [line.place(c).offset for c in range(*whole)]
    inserted = list(range(1, len(new) + 1)) if gone == 0 else []
    assert [o for o in offsets if o] == (inserted if strand == "+" else inserted[::-1])


# ----------------------------------------------------------------------------- through the spine


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two genes that overlap on two strands, and the same genome mirrored, with a toy model."""
    folder = tmp_path_factory.mktemp("real")
    bases = toy.random_bases(3000, seed=5)
    genes = [
        ("A", "+", [(501, 700), (901, 1000), (1301, 1450), (1801, 2000)]),
        ("B", "-", [(601, 800), (1101, 1200), (1501, 1700)]),
    ]
    flipped = [
        (name, "+-"[s == "+"], sorted((3001 - e, 3001 - b) for b, e in exons))
        for name, s, exons in genes
    ]
    predictor = Predictor(load_bundle(toy.bundle(folder)))
    sides = []
    for name, text, own in (("f", bases, genes), ("r", toy.revcomp(bases), flipped)):
        table = [(gene, "c", strand, exons) for gene, strand, exons in own]
        annotation = load_annotation(toy.gtf(folder / f"{name}.gtf", *table))
        sides.append(partial(score, Genome(toy.fasta(folder / f"{name}.fa", c=text)), annotation))
    return bases, predictor, sides


def told(scorer, predictor, pos, ref, alt):
    """What is said of each gene's transcript, without what depends on the strand."""
    options = Options(event_min=0.01)
    (allele,) = scorer(predictor, [Allele("c", pos, ref, alt)], options)
    rows = {}
    for effect in allele.genes:
        for c in effect.consequences:
            events = [
                (o.event.kind, o.event.exons, o.event.size, round(o.event.strength, 4), o.rna)
                for o in c.outcomes
            ]
            rows[effect.gene.id] = sorted(events, key=str)
    return rows


def random_alleles(bases, n):
    rng = np.random.default_rng(3)
    for _ in range(n):
        pos, gone, new = int(rng.integers(650, 1650)), int(rng.integers(0, 5)), ""
        if not gone or rng.random() < 0.5:
            new = "".join(rng.choice(list("ACGT"), int(rng.integers(1, 5))))
        ref = bases[pos - 1 : pos + gone]
        yield pos, ref, ref[0] + new


@pytest.mark.slow
def test_mirrored_alleles_have_the_same_events(real):
    bases, predictor, (forward, reverse) = real
    some = 0
    for pos, ref, alt in random_alleles(bases, 25):
        found = told(forward, predictor, pos, ref, alt)
        last = pos + len(ref)  # the anchor base behind, which is the one before of the mirror
        own, other = ref[1:] + bases[last - 1], alt[1:] + bases[last - 1]
        mirrored = told(reverse, predictor, 3001 - last, toy.revcomp(own), toy.revcomp(other))
        assert found == mirrored, (pos, ref, alt)
        some += bool(found)
    assert some


@pytest.mark.slow
def test_spellings_have_the_same_events(real):
    bases, predictor, (forward, _) = real
    for pos, ref, alt in random_alleles(bases, 15):
        longer = told(forward, predictor, pos - 2, bases[pos - 3 : pos - 1] + ref,
                      bases[pos - 3 : pos - 1] + alt)  # fmt: skip
        assert told(forward, predictor, pos, ref, alt) == longer


def test_each_gene_has_its_rows_and_quiet_alleles_none(real):
    bases, predictor, (forward, _) = real
    seen = set()
    for pos, ref, alt in random_alleles(bases, 25):
        (allele,) = forward(predictor, [Allele("c", pos, ref, alt)], Options())
        entries = dict(e.split("=") for e in encode(record(pos, ref, alt), [allele], Options()))
        rows = [r.split("|") for r in entries.get("SAMVAR_EVENT", "").split(",") if r]
        loud = {g.gene.id for g in allele.genes if g.largest >= FLOOR}
        assert {r[1] for r in rows} == loud
        assert all(len(r) == len(info.EVENT.columns()) and r[0] == alt for r in rows)
        assert all(r[3] in {k.value for k in Kind} for r in rows)
        seen |= loud
    assert seen == {"A", "B"}


def test_events_are_of_the_probabilities_that_the_deltas_are_of(real, monkeypatch):
    """Though the models have seen more on either side, for the sites beyond."""
    bases, predictor, (forward, _) = real
    lines, make = [], Line.of

    def seen(scored, gaps):
        lines.append((scored, make(scored, gaps)))
        return lines[-1][1]

    monkeypatch.setattr(Line, "of", seen)
    monkeypatch.setattr("samvar.scoring.consequence.CLEAR", FLOOR)
    wide = 0
    for pos in range(860, 1060, 8):
        lines.clear()
        ref = bases[pos - 1]
        (allele,) = forward(
            predictor, [Allele("c", pos, ref, "C" if ref != "C" else "A")], Options()
        )
        loud = [e for e in allele.genes if e.largest >= FLOOR]
        assert len(lines) == len(loud)
        for effect, (scored, _) in zip(loud, lines):
            middle = effect.window.start - scored.window.start
            change = (scored.alt - scored.ref).mean(0)[:, middle : middle + effect.window.compared]
            assert np.abs(change).max() == pytest.approx(effect.largest, abs=1e-7)
            wide += middle > 0
    assert wide


@pytest.mark.parametrize(
    "distance, clear, searched", [(50, 2.0, 50), (50, FLOOR, 500), (600, FLOOR, 600)]
)
def test_it_is_told_how_far_sites_were_searched(real, monkeypatch, distance, clear, searched):
    bases, predictor, (forward, _) = real
    monkeypatch.setattr("samvar.scoring.consequence.CLEAR", clear)
    alleles = [Allele("c", p, bases[p - 1], "G" if bases[p - 1] != "G" else "T")
               for p in range(860, 1060, 20)]  # fmt: skip
    found = forward(predictor, alleles, Options(distance=distance))
    told = {c.searched for allele in found for e in allele.genes for c in e.consequences}
    assert told == {searched}


def record(pos, ref, alt):
    line = f"c\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n".encode()
    return Record(line, 1, "c", pos, ref, (alt,))


def test_transcripts_can_be_listed_in_a_file(tmp_path):
    from click.testing import CliRunner

    from samvar.cli import main

    bases = toy.random_bases(2000, seed=2)
    fasta = toy.fasta(tmp_path / "g.fa", c=bases)
    table = toy.gtf(
        tmp_path / "g.gtf",
        ("A", "c", "+", [(301, 500), (801, 1100), (1501, 1700)]),
        ("B", "c", "-", [(401, 900), (1001, 1300)]),
    )
    ref = bases[1009]
    vcf = toy.vcf(tmp_path / "in.vcf", ("c", 1010, ref, ref + "GGTAAGTGGTAAGT"))
    (tmp_path / "ids.txt").write_text("# ours\n\nB.1\n")
    (tmp_path / "more.txt").write_text("B\nC.1\nC.2\n")
    (tmp_path / "other.txt").write_text("".join(f"X{i}.1\n" for i in range(7)))
    (tmp_path / "empty.txt").write_text("# none\n")
    model = toy.bundle(tmp_path)

    def events(transcripts):
        args = ["annotate", vcf, "-f", fasta, "-a", table, "--model", model, "--no-cache"]
        result = CliRunner().invoke(main, [*args, "--transcripts", transcripts])
        rows = [line for line in result.stdout.splitlines() if not line.startswith("#")]
        (entry,) = rows or [""]
        told = entry.partition("SAMVAR_EVENT=")[2].partition(";")[0]
        names = {row.split("|")[2] for row in told.split(",") if row}
        return result.exit_code, names, result.stdout + result.stderr

    code, names, _ = events("chosen")
    assert code == 0 and "B.1" in names
    code, names, text = events(str(tmp_path / "ids.txt"))
    assert code == 0 and names == {"B.1"} and "transcripts=listed" in text
    assert events("mane")[1] == set()  # a GTF without tags
    code, names, text = events(str(tmp_path / "more.txt"))
    assert code == 0 and names == {"B.1"}
    assert f"{table} lacks 2 of its 3 transcripts: C.1, C.2\n" in text
    code, _, text = events(str(tmp_path / "other.txt"))
    none = f"other.txt: {table} has none of its 7 transcripts (X0.1, X1.1, X2.1, X3.1, X4.1, ...)"
    assert code == 1 and none in text
    code, _, text = events(str(tmp_path / "empty.txt"))
    assert code == 1 and "empty.txt lists no transcript" in text
    code, _, text = events(str(tmp_path / "nowhere.txt"))
    assert code == 1 and "is none of chosen, mane, all, and no file" in text


def test_the_flat_table_has_a_line_for_each_event(real, tmp_path):
    bases, predictor, (forward, _) = real
    options = Options(event_min=0.01, rbp_min=2.0, transcripts="all")
    several = 0
    for pos, ref, alt in random_alleles(bases, 25):
        (allele,) = forward(predictor, [Allele("c", pos, ref, alt)], options)
        entries = dict(e.split("=") for e in encode(record(pos, ref, alt), [allele], options))
        events = [row for row in entries.get("SAMVAR_EVENT", "").split(",") if row]
        lines = [line.split("\t") for line in tsv(record(pos, ref, alt))(allele).splitlines()]
        table = [dict(zip(info.TSV_COLUMNS, line, strict=True)) for line in lines]
        names = ["EVENT_TRANSCRIPT", *info.EVENT.columns()[3:]]
        told = [line for line in table if line["EVENT"] != "."]
        packed = [
            info.packed(
                [t["ALT"], t["SYMBOL"], *(t[n].replace(".", "", t[n] == ".") for n in names)]
            )
            for t in told
        ]
        assert packed == events
        assert {t["SYMBOL"] for t in table} == {e.gene.symbol for e in allele.genes}
        quiet = [t for t in table if t["EVENT"] == "."]
        assert all(t[n] == "." for t in quiet for n in names)
        several += len(told) > len({t["SYMBOL"] for t in told})
    assert several
