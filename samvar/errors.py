"""What can go wrong with a run, one class per condition. Only `samvar.cli` turns these into words
for the user."""


class SamvarError(Exception):
    """A run cannot go on. The message says what failed, on which file or contig, and how to fix
    it."""


class GenomeError(SamvarError):
    """The FASTA or its index cannot be read, or has no such contig."""


class AnnotationError(SamvarError):
    """The gene annotation cannot be read or holds no usable transcript."""


class VcfError(SamvarError):
    """The VCF is malformed, truncated or already annotated."""


class RegionError(SamvarError):
    """A region, or a file of them, cannot be understood."""


class JunctionError(SamvarError):
    """A file of junctions is malformed, truncated or of an unknown form."""


class PeakError(SamvarError):
    """A file of peaks of binding is malformed, or of another genome build."""


class SequenceError(SamvarError):
    """Sequences are no FASTA, or cannot be used as they were asked to be."""


class AlleleError(SamvarError):
    """What the library is to score is no allele: POS is not a whole number, or the like."""


class RequestError(SamvarError):
    """A text asks for nothing that can be explained: it is no variant, HGVS name or region."""


class ContigMismatchError(SamvarError):
    """VCF, FASTA and annotation share no contig."""


class WrongBuildError(SamvarError):
    """Too many REF alleles differ from the FASTA: most likely another genome build."""


class BundleError(SamvarError):
    """A weight bundle is missing, incomplete or not what its manifest says."""


class RecipeError(SamvarError):
    """A training recipe has unknown or impossible settings."""


class DatasetError(SamvarError):
    """Training data are unusable."""


class HgvsError(SamvarError):
    """A description in HGVS nomenclature cannot be read, or fits neither annotation nor FASTA."""
