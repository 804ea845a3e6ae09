"""Forks that score: what they send back, how they end, and that no digit depends on them."""

import gzip
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from samvar.annotate import FEW, PIECE, ROWS, Options, _pieces, forked
from samvar.cli import main
from samvar.errors import GenomeError, SamvarError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.genomics.variant import Variant
from samvar.model.bundle import load_bundle
from samvar.scoring.predictor import Predictor
from samvar.workers import ENDING, Workers, can_fork

from . import toy

pytestmark = pytest.mark.skipif(not can_fork(), reason="forks are used on Linux alone")

BASES = toy.random_bases(3000, seed=5)
GENES = (("G1", "c", "+", [(301, 500), (701, 1200)]), ("G2", "c", "-", [(901, 1500), (1801, 2400)]))


class Thing:
    pass


def same(thing, n=1):
    return [thing] * n


def faulty(text):
    raise GenomeError(text)


class Odd(Exception):
    """Pickled, it can't be made again."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def odd():
    raise Odd("this", "that")


def unsendable():
    return lambda: None


def end(number):
    os.kill(os.getpid(), number)


def slowly(seconds):
    time.sleep(seconds)
    return os.getpid()


def is_there(pid):
    """Whether a process is there that is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as handle:
            return handle.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids, seconds=20):
    until = time.monotonic() + seconds
    while any(map(is_there, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(is_there, pids))


def test_what_is_shared_comes_back_as_the_very_object():
    things = [Thing(), Thing()]
    with Workers(2, things, int) as workers:
        found = workers.submit(partial(same, things[1], 2)).result()
        assert found == [things[1]] * 2
        assert list(workers.map(partial(same, n=1), [*things, "text"])) == [
            [things[0]],
            [things[1]],
            ["text"],
        ]


def test_answers_are_in_order_and_from_several_processes():
    with Workers(2, [], int) as workers:
        pids = list(workers.map(slowly, [0.3, 0, 0, 0]))
    assert pids[0] != pids[1] == pids[2] and os.getpid() not in pids and gone(pids)


def test_each_begins_before_it_works():
    begun = []
    with Workers(1, [begun], partial(begun.append, "there")) as workers:
        assert workers.submit(partial(len, begun)).result() == 1
    assert begun == []


def test_an_error_is_raised_here():
    with Workers(1, [], int) as workers:
        with pytest.raises(GenomeError, match="no such contig"):
            workers.submit(partial(faulty, "no such contig")).result()
        assert workers.submit(partial(slowly, 0)).result()


@pytest.mark.parametrize(
    "function, said",
    [(odd, "Odd: this and that"), (unsendable, "pickle"), (partial(int, "x"), "invalid literal")],
)
def test_other_errors_say_where_they_come_from(function, said):
    with Workers(1, [], int) as workers:
        with pytest.raises(Exception, match=said) as caught:
            workers.submit(function).result()
        assert "in _answer" in str(caught.value.__cause__)
        assert workers.submit(partial(slowly, 0)).result()


def test_one_that_cannot_begin_says_so():
    with Workers(1, [], partial(faulty, "no FASTA")) as workers:
        for _ in range(2):
            with pytest.raises(GenomeError, match="no FASTA"):
                workers.submit(partial(slowly, 0)).result()


@pytest.mark.parametrize(
    "number, said", [(signal.SIGKILL, "give fewer --threads"), (signal.SIGTERM, "exit code -15")]
)
def test_one_that_is_killed_is_told(number, said):
    with Workers(1, [], int) as workers:
        with pytest.raises(SamvarError, match=said):
            workers.submit(partial(end, number)).result()
    with pytest.raises(SamvarError, match="closed"):
        workers.submit(partial(slowly, 0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_of_the_terminal_are_left_to_the_parent(number):
    """Which ends its forks, or goes on: under nohup it ignores SIGHUP."""
    with Workers(1, [], int) as workers:
        pid = workers.submit(partial(slowly, 0)).result()
        os.kill(pid, number)
        assert workers.submit(partial(slowly, 0.1)).result() == pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_there_are_forks_made_is_not_lost(number, monkeypatch):
    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    before = signal.signal(number, stop)
    made, fork = [], os.fork
    handlers = [signal.getsignal(s) for s in ENDING]

    def signalled():
        if len(made) == 1:
            os.kill(os.getpid(), number)
        made.append(fork())
        return made[-1]

    monkeypatch.setattr("os.fork", signalled)
    try:
        with pytest.raises(Stop):
            Workers(3, [], int)
        assert [signal.getsignal(s) for s in ENDING] == handlers
    finally:
        signal.signal(number, before)
    assert len(made) == 3 and gone(made)


def test_too_many_are_told_and_none_is_left(monkeypatch):
    made, fork = [], os.fork

    def scarce():
        if len(made) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        made.append(fork())
        return made[-1]

    monkeypatch.setattr("os.fork", scarce)
    with pytest.raises(SamvarError, match="no 3 processes .*: give fewer --threads"):
        Workers(3, [], int)
    assert gone(made)


def test_a_genome_that_has_changed_is_not_read_on(tmp_path):
    path = toy.fasta(tmp_path / "g.fa", c=BASES)
    genome = Genome(path)
    genome.reopen()
    assert genome.codes("c", 0, 3000).size == 3000
    os.replace(toy.fasta(tmp_path / "h.fa", c=BASES[::-1]), path)
    with pytest.raises(GenomeError, match="has changed"):
        genome.reopen()
    os.remove(path)
    with pytest.raises(GenomeError, match="once more"):
        genome.reopen()


def test_what_is_queued_is_dropped_at_the_end():
    started = time.monotonic()
    with Workers(1, [], int) as workers:
        pid = workers.submit(partial(slowly, 0)).result()
        workers.map(slowly, [60] * 3)
    assert time.monotonic() - started < 20 and gone([pid])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("told", ["", "import ctypes; ctypes.CDLL = lambda _: Mock();"])
def test_forks_end_with_their_parent(number, told):
    """Also where the system does not tell them of its end."""
    code = (
        "from tests.test_workers import *\n"
        f"from unittest.mock import Mock; {told}\n"
        "workers = Workers(2, [], int)\n"
        "print(*workers.map(slowly, [0.2, 0.2]), flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(set(pids)) == 2 and all(map(is_there, pids))
        process.send_signal(number)
    assert gone(pids)


@pytest.fixture
def made(monkeypatch):
    """How many forks each run had."""
    found = []

    def counted(n, shared, begin):
        found.append(n)
        return Workers(n, shared, begin)

    monkeypatch.setattr("samvar.annotate.Workers", counted)
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forks")
    (folder / "bundle").mkdir()
    fasta, gtf = toy.fasta(folder / "g.fa", c=BASES), toy.gtf(folder / "g.gtf", *GENES)
    return fasta, gtf, toy.bundle(folder / "bundle", seeds=(0, 1))


def phased_vcf(path):
    """SNVs and deletions, two samples, several of them on one haplotype."""
    records = []
    for i, pos in enumerate(range(650, 2300, 60)):
        ref = BASES[pos - 1 : pos + i % 2 * 3]
        alt = ref[0] if i % 2 else "ACGT".replace(ref, "")[0]
        genotypes = ("0|1\t1|1", "1|0\t0|1", "0|1\t0|0")[i % 3]
        records.append(f"c\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\tGT\t{genotypes}")
    head = ["##fileformat=VCFv4.2", "##contig=<ID=c,length=3000>"]
    head += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2"
    path.write_text("\n".join([*head, columns, *records, ""]))
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--transcript-extent", "--hgvs-out"), ("--phased",)])
def test_forks_write_what_one_thread_does(files, tmp_path, more, made):
    vcf = phased_vcf(tmp_path / "x.vcf")
    fasta, gtf, bundle = files
    command = ["annotate", vcf, "-f", fasta, "-a", gtf, "--model", bundle, "--no-version"]
    command += ["--rbp-min", "0", "--event-min", "0", "--hap-min", "0", "--no-cache", *more]
    written = {}
    for threads in (1, 3):
        out, tsv = tmp_path / f"{threads}.vcf", tmp_path / f"{threads}.tsv"
        options = ["--threads", threads, "-o", out, "--tsv", tsv]
        result = CliRunner().invoke(main, [*command, *map(str, options)], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        written[threads] = out.read_bytes(), tsv.read_bytes()
    assert written[1] == written[3] and made == [3]
    assert written[1][0].count(b"SAMVAR_RBP=") > 10
    if "--phased" in more:
        assert b"SAMVAR_HAP=" in written[1][0]


@pytest.mark.slow
def test_forks_precompute_what_one_thread_does(files, tmp_path, made):
    fasta, gtf, bundle = files
    written = []
    for threads in (1, 2):
        out = tmp_path / f"{threads}.vcf.gz"
        command = ["precompute", "-f", fasta, "-a", gtf, "--model", bundle, "-r", "c:690-710"]
        command += ["--threads", str(threads), "-o", str(out)]
        result = CliRunner().invoke(main, command, catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        written.append([r for r in gzip.open(out, "rt") if not r.startswith("##samvar_c")])
    assert written[0] == written[1] and len(written[0]) > 100 and made == [2]


def test_neighbours_are_scored_by_one_process():
    def variants(*places):
        empty = np.array([], np.uint8)
        return [Variant(contig, start, empty, empty) for contig, start in places]

    def sizes(workers, *places):
        pieces = list(_pieces(variants(*places), workers, near=100))
        assert [v.start for piece in pieces for v in piece] == [start for _, start in places]
        return [len(piece) for piece in pieces]

    near, apart = [("c", 100 * i) for i in range(1000)], [("c", 101 * i) for i in range(1000)]
    assert sizes(2, *near) == [248, 184, 136, 104, 80, 56, 48, *[FEW] * 4, 16]
    assert sizes(1, *near)[:3] == [PIECE, PIECE, 240] and sizes(50, *near) == [ROWS] * 125
    assert sizes(2, *apart) == [ROWS] * 125
    assert sizes(1, *near[:10], *(("d", at) for _, at in near[10:70])) == [10, FEW, 60 - FEW]
    assert sizes(1, *near[:3], ("d", 0)) == [4] and sizes(2) == []


def test_forks_read_and_compute_as_a_worker_does(files):
    """Each from a FASTA opened by itself, with one thread, and numbers near 0 as 0."""
    genome, genes = Genome(files[0]), load_annotation(files[1])
    with Predictor(load_bundle(files[2]), threads=2) as predictor:
        workers = forked(genome, genes, predictor, Options(), 2)
        own = id(genome._fasta)
        with workers:
            fasta, threads, tiny = workers.submit(partial(state, genome)).result()
    assert fasta != own and threads == 1 and tiny == 0
    assert id(genome._fasta) == own


def state(genome):
    tiny = torch.tensor([1e-38]) * torch.tensor([0.01])
    return id(genome._fasta), torch.get_num_threads(), tiny.item()


def test_one_thread_a_gpu_and_a_daemon_have_no_forks(files, monkeypatch):
    genome, genes = Genome(files[0]), load_annotation(files[1])
    with Predictor(load_bundle(files[2])) as predictor:
        args = genome, genes, predictor, Options()
        assert forked(*args, 1) is None
        predictor.batches = object()
        assert forked(*args, 2) is None
        predictor.batches = None
        monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
        assert forked(*args, 2) is None
