"""`samvar serve`: the API answers what `samvar explain` says, within bounds, and tells whoever asks
what is wrong."""

import asyncio
import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager, suppress
from html import escape
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

pytest.importorskip("fastapi_offline")
from fastapi.testclient import TestClient

from samvar.annotate import Options
from samvar.cli import main
from samvar.errors import RequestError
from samvar.formats.annotation import load_annotation
from samvar.genomics.genome import Genome
from samvar.model.bundle import load_bundle
from samvar.scorer import Scorer
from samvar.scoring.predictor import Predictor
from samvar.serve import schema
from samvar.serve.app import make_app
from samvar.serve.desk import Busy, Desk
from samvar.serve.lookup import BOUNDS, Lookup

from . import toy

pytestmark = pytest.mark.slow

BASES = toy.random_bases(2000, seed=21)
GENES = (("G1", "c", "+", [(301, 500), (701, 1200)]), ("G2", "c", "-", [(901, 1500), (1801, 1950)]))
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}
HERE = "http://127.0.0.1:8765"
MINI = os.path.join(os.path.dirname(__file__), "..", "examples", "minigenes")


def snv(pos):
    return f"c:{pos}:{BASES[pos - 1]}:{OTHER[BASES[pos - 1]]}"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    (folder / "m").mkdir()
    return [
        *("-f", toy.fasta(folder / "g.fa", c=BASES, empty="N" * 300)),
        *("-a", toy.gtf(folder / "g.gtf", *GENES)),
        *("--model", toy.bundle(folder / "m")),
    ]


@pytest.fixture(scope="module")
def scorer(files):
    genome, genes = Genome(files[1]), load_annotation(files[3])
    with Scorer(genome, genes, Predictor(load_bundle(files[5])), Options()) as scorer:
        yield scorer


@pytest.fixture(scope="module")
def client(scorer):
    return TestClient(make_app(Lookup(scorer)), base_url=HERE)


def bounded(scorer, **bounds):
    """A client of a server with other bounds."""
    return TestClient(make_app(Lookup(scorer, BOUNDS._replace(**bounds))), base_url=HERE)


def ask(client, query, **parameters):
    return client.get("/api/answer", params=dict(query=query, **parameters))


def explained(files, folder, query):
    """What `samvar explain` writes as JSON and as a page."""
    paths = folder / "e.json", folder / "e.html"
    arguments = ["explain", query, *files, "--json", paths[0], "--html", paths[1]]
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    content = json.loads(paths[0].read_text())
    return content if isinstance(content, list) else [content], paths[1].read_text()


# ------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize(
    "query", [snv(950), f"c:1000:{BASES[999]}:{BASES[999]}GT,{OTHER[BASES[999]]}", "c:600-900"]
)
def test_answers_are_what_explain_says(client, files, tmp_path, query):
    content, page = explained(files, tmp_path, query)
    told = ask(client, query, knockouts=True).json()
    titles = [(e.pop("title"), e.pop("remark")) for e in told["explanations"]]
    assert told == dict(asked=query, query=query, notes=[], explanations=content)
    assert all(escape(title) in page and not remark for title, remark in titles)
    found = client.get("/api/page", params=dict(query=query, knockouts=True))
    assert found.text == page and found.headers["content-type"].startswith("text/html")


def test_without_knock_outs_deltas_are_the_same(client):
    (plain,), (thorough,) = (
        ask(client, snv(950), knockouts=k).json()["explanations"] for k in (False, True)
    )
    for a, b in zip(plain["genes"], thorough["genes"]):
        assert (a["deltas"], a["verdict"]) == (b["deltas"], b["verdict"])
        assert a["probabilities"] == b["probabilities"]
        parts = [[p["knockout"] for c in g["attributed"] for p in c["parts"]] for g in (a, b)]
        assert set(parts[0]) == {None} and None not in parts[1]


@pytest.mark.parametrize(
    "form", ["c:{} {}>{}", "c-{}-{}-{}", "c\t{}\trs1\t{}\t{}", "c {} . {} {} 50 PASS X=1;Y"]
)
def test_a_variant_may_be_spelled_as_others_do(client, form):
    """The answer has what was asked, word for word, to be joined on."""
    written = f" {form.format(950, BASES[949], OTHER[BASES[949]])} "
    found = ask(client, written).json()
    assert found["explanations"] == ask(client, snv(950)).json()["explanations"]
    assert (found["asked"], found["query"]) == (written, snv(950))


def test_an_exon_is_a_region(client):
    exon = ask(client, "G2:exon 1").json()["explanations"][0]
    region = ask(client, "c:1751-2000").json()["explanations"][0]  # 50 bases on either side
    assert exon == region and exon["genes"][0]["symbol"] == "G2"


def test_hgvs_is_located(client, files, tmp_path):
    pytest.importorskip("mutalyzer_hgvs_parser")
    ref = BASES[750 - 1]
    position = 200 + 750 - 700  # of the transcript: 200 bases of the first exon
    told = ask(client, f"G1:n.{position}{ref}>{OTHER[ref]}").json()
    assert told["explanations"] == ask(client, snv(750)).json()["explanations"]
    page = client.get("/api/page", params=dict(query=told["query"], knockouts=True)).text
    assert told["notes"] and all(note in page for note in told["notes"])
    assert page == explained(files, tmp_path, told["query"])[1]


def test_what_has_no_score_has_its_status(client):
    told = ask(client, snv(100)).json()["explanations"][0]
    assert told["status"] == "NO_GENE" and "no gene" in told["remark"] and not told["genes"]


@pytest.mark.parametrize(
    "query, words",
    [
        ("", "nothing is asked for"),
        ("  ", "nothing is asked for"),
        ("nonsense", "'nonsense' is none of these"),
        ("<script>alert(1)</script>", "is none of these"),
        ("c:7", "CHR:START-END"),
        (f"c:950:{OTHER[BASES[949]]}:{BASES[949]}", f"has {BASES[949]} there: is the variant of"),
        ("chrQ:7:A:C", "no such contig"),
        ("chrQ:7-9", "no contig chrQ"),
        ("c:1950-2001", "c of g.fa has 2,000 bases"),
        ("c:5000:A:C", "outside the contig, whose positions count from 1"),
        ("c:0:A:C", "outside the contig, whose positions count from 1"),
        (f"c:{'9' * 3000}:A:C", "outside the contig"),
        ("c:9-3", "END is not before START"),
        ("c:0-3", "positions count from 1"),
        ("c:1-1001", "1,001 bases"),
        ("c:7:A:R", "letters other than"),
        ("G1:exon 9", "has exons 1 to 2, not 9"),
        ("nobody:exon 1", "no gene nobody"),
        ("G1:c.5A>G", "G1:c.5A>G"),
        ("x" * 4001, "4,001 characters; 4,000 are allowed"),
        (f"c:7:{BASES[6]}:" + ",".join(["AC"] * 11), "11 ALTs; 10 are allowed"),
    ],
)
@pytest.mark.parametrize("path", ["/api/answer", "/api/page"])
def test_what_is_wrong_is_told(client, path, query, words):
    refused = client.get(path, params=dict(query=query))
    assert refused.status_code == 422 and words in refused.json()["error"]


def test_no_error_names_a_folder(client, files):
    """What is asked may come from others, who need not know where the files are."""
    pytest.importorskip("mutalyzer_hgvs_parser")
    folder = os.path.dirname(files[1])
    for query, name in (
        *(("NM_999999.1:c.1A>G", "g.gtf"), ("G9(G1.1):c.1A>G", "g.gtf")),
        *(("NC_000077.1:g.5A>G", "g.fa"), ("chrQ:7-9", "g.fa")),
    ):
        told = ask(client, query).json()["error"]
        assert name in told and folder not in told


def test_what_is_no_request_is_told(client):
    for answer, status, words in (
        (client.get("/api/answer"), 422, "query"),
        (ask(client, snv(950), knockouts="perhaps"), 422, "knockouts"),
        (client.get("/nothing"), 404, "/nothing"),
        (client.post("/api/answer"), 405, "POST"),
        (client.get("/api/batch"), 405, "GET"),
    ):
        assert answer.status_code == status and words in answer.json()["error"]


def test_each_line_of_a_batch_has_its_answer_or_its_error(client):
    body = f"{snv(950)}\r\n\n  {snv(960)}  \nnonsense\nc:600-700\n"
    lines = client.post("/api/batch", content=body).text.splitlines()
    told = [json.loads(line) for line in lines]
    queries = {1: snv(950), 3: snv(960), 4: "nonsense", 5: "c:600-700"}
    assert {t["line"]: t["query"] for t in told} == queries
    assert [t["asked"] for t in told] == [snv(950), f"  {snv(960)}  ", "nonsense", "c:600-700"]
    for t in told:
        alone = ask(client, t["asked"]).json()
        assert t.get("answer", {"error": t.get("error")}) == alone


def test_bounds_of_a_batch(scorer):
    client = bounded(scorer, lines=2, body=100)
    for body, status, words in (
        ("\n \n", 422, "0 lines"),
        ("a\n" * 3, 422, "3 lines"),
        ("a" * 101, 413, "100 bytes"),
    ):
        refused = client.post("/api/batch", content=body)
        assert refused.status_code == status and words in refused.json()["error"]
    assert client.post("/api/batch", content="a\n" * 2).status_code == 200


def test_an_error_of_ours_does_not_end_the_server(scorer, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("the query")

    lookup = Lookup(scorer)
    client = TestClient(make_app(lookup), base_url=HERE, raise_server_exceptions=False)
    monkeypatch.setattr(lookup, "answer", fails)
    failed = ask(client, snv(950))
    assert failed.status_code == 500
    assert failed.json() == dict(error="internal error: ZeroDivisionError")
    (line,) = client.post("/api/batch", content="x").text.splitlines()
    assert json.loads(line)["error"] == failed.json()["error"]


# --------------------------------------------------------------------------------------- every SNV


def scan(client, query, path="/api/scan"):
    return client.get(path, params=dict(query=query))


def written(value):
    return "." if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("query, first, last", [("c:891-912", 891, 912), ("c:1-3", 1, 3)])
def test_a_region_is_scanned_as_samvar_scan_does(client, files, query, first, last):
    result = CliRunner().invoke(main, ["scan", query, *map(str, files)])
    expected = list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))
    told = scan(client, f"{query} ").json()
    assert (told["asked"], told["query"], told["contig"]) == (f"{query} ", query, "c")
    assert (told["start"], told["end"]) == (first, last)
    assert [{k: written(v) for k, v in row.items()} for row in told["rows"]] == expected
    assert len({row["ALT"] + str(row["POS"]) for row in expected}) == 3 * (last - first + 1)


def test_the_page_of_a_scan_has_its_heat_map_and_the_strongest_snvs(client):
    query = "c:296-310"  # the gene begins within it
    rows = scan(client, query).json()["rows"]
    page = scan(client, query, "/api/scan/page").text
    largest = {}
    for row in rows:
        deltas = [row[f"DS_{n}"] or 0.0 for n in ("AG", "AL", "DG", "DL")]
        largest["c:{POS}:{REF}:{ALT}".format(**row)] = max(deltas)
    coloured = sum(value >= 0.005 for value in largest.values())
    assert 0 < page.count('class="cell"') == coloured < len(largest)
    first = re.search(r'class="variant">(\S+?)<.*?(\d\.\d{4})<', page)
    assert largest[first[1]] == float(first[2]) == max(largest.values())
    assert "position on c" in page and "exon 1" in page and "NO_GENE 15" in page


def test_an_exon_is_scanned_with_the_bases_around_it(scorer, monkeypatch):
    lookup, asked = Lookup(scorer), []
    monkeypatch.setattr(lookup, "scan", lambda place: asked.append(place) or [])
    client = TestClient(make_app(lookup), base_url=HERE)
    told = scan(client, "G2:exon 1").json()
    assert (told["start"], told["end"]) == (1751, 2000)
    assert asked[0].start == 1750 and asked[-1].end == 2000
    assert all(before.end == after.start for before, after in zip(asked, asked[1:]))


def test_the_page_of_a_region_names_what_can_be_scanned(client):
    def named(query):
        return client.get("/api/page", params=dict(query=query)).headers.get("samvar-region")

    assert named("c:905-910") == "c%3A905-910" and named("G2:exon 1") == "c%3A1751-2000"
    assert named(snv(950)) is None and named("c:1-100") is None


@pytest.mark.parametrize("path", ["/api/scan", "/api/scan/page"])
@pytest.mark.parametrize(
    "query, words",
    [
        ("c:1-1001", "1,001 bases; 1,000 are allowed: ask for a part of it, such as c:1-1000"),
        ("c:7:A:C", "is a variant: every SNV is scored of a region"),
        ("chrQ:7-9", "no contig chrQ"),
        ("c:1990-2001", "has 2,000 bases"),
        ("", "nothing is asked for"),
        ("nonsense", "is none of these"),
    ],
)
def test_what_cannot_be_scanned_is_told(client, path, query, words):
    refused = scan(client, query, path)
    assert refused.status_code == 422 and words in refused.json()["error"]


def test_what_has_a_landscape_has_a_heat_map(scorer):
    """Whatever is allowed of one is allowed of the other: an exon of 600 bases, too."""
    lookup = Lookup(scorer)
    assert lookup.place("G2:exon 2") == ("c", 850, 1550)
    short = Lookup(scorer, BOUNDS._replace(region=699))
    for asked in (short.place, short.answer):
        with pytest.raises(RequestError, match=r"\(c:851-1550\) has 700 .* such as c:851-1549"):
            asked("G2:exon 2")


def test_others_have_their_turn_during_a_scan(scorer, monkeypatch):
    """Work that comes during a scan is done before its end, even with one worker."""
    lookup, order, waiting = Lookup(scorer), [], []

    def scanned(place):
        if not order:
            waiting.append(in_thread(lambda: ask(client, "other")))
            time.sleep(0.5)
        order.append("scan")
        return []

    monkeypatch.setattr(lookup, "scan", scanned)
    monkeypatch.setattr(lookup, "answer", lambda *a: order.append("other"))
    client = TestClient(make_app(lookup), base_url=HERE, raise_server_exceptions=False)
    assert scan(client, "c:601-700").status_code == 200
    waiting[0].join()
    assert order.count("scan") == 5 and order.index("other") < 4


# -------------------------------------------------------------------------------------------- queue


@pytest.fixture
def held(scorer):
    """The one worker is busy until the event is set."""
    release = threading.Event()
    blocker = scorer.predictor.submit(release.wait)
    yield release
    release.set()
    blocker.result()


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def test_more_than_can_wait_are_told_to_come_again(scorer, held):
    client, answers = bounded(scorer, requests=2), []
    threads = [in_thread(lambda: answers.append(ask(client, snv(950)))) for _ in range(5)]
    while len(answers) < 3:
        time.sleep(0.01)
    assert {a.status_code for a in answers} == {503}
    assert all(int(a.headers["retry-after"]) > 0 for a in answers)
    assert client.post("/api/batch", content=snv(950)).status_code == 503
    held.set()
    for thread in threads:
        thread.join()
    assert sorted(a.status_code for a in answers) == [200, 200, 503, 503, 503]
    assert ask(client, snv(950)).status_code == 200  # places are free again


async def left_by_its_client(app, method, path, query=b"", body=b""):
    """Sends a request, and leaves once it waits."""
    messages = [dict(type="http.request", body=body, more_body=False)]

    async def receive():
        if messages:
            return messages.pop()
        await asyncio.sleep(0.2)
        return dict(type="http.disconnect")

    async def send(message):
        pass

    scope = dict(
        type="http", method=method, path=path, query_string=query, http_version="1.1",
        headers=[(b"host", b"127.0.0.1")], scheme="http", asgi={"spec_version": "2.3"},
    )  # fmt: skip
    await app(scope, receive, send)


@pytest.mark.parametrize(
    "request_",
    [
        ("GET", "/api/answer", b"query=x"),
        ("GET", "/api/page", b"query=x"),
        ("GET", "/api/scan", b"query=c:1-9"),
        ("POST", "/api/batch", b"", b"x\ny\nz\n"),
    ],
)
def test_a_client_that_leaves_takes_its_waiting_work_along(scorer, held, monkeypatch, request_):
    lookup, asked = Lookup(scorer, BOUNDS._replace(requests=1)), []
    app = make_app(lookup)
    for name in ("answer", "place"):
        monkeypatch.setattr(lookup, name, lambda *a: asked.append(a))
    for _ in range(3):  # its place is free again
        asyncio.run(left_by_its_client(app, *request_))
    held.set()
    scorer.predictor.run(lambda: None)  # what waited before this has been done
    assert not asked


def test_the_desk_counts_places():
    desk = Desk(lambda job: None, 1)
    with desk.place():
        with pytest.raises(Busy):
            with desk.place():
                pass
    with desk.place():
        pass


# ----------------------------------------------------------------------------------- other sites


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8765", 200),
        ("192.168.0.7", 200),
        ("lab.example", 200),
        ("rebound.example", 403),
        ("127.0.0.1.rebound.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_only_names_of_this_host_are_answered(scorer, host, status):
    client = TestClient(make_app(Lookup(scorer), {"lab.example"}), base_url=HERE)
    for path in ("/", "/api/about", "/nothing", "/docs"):
        expected = 404 if status == 200 and path == "/nothing" else status
        assert client.get(path, headers={"Host": host}).status_code == expected


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": HERE}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_pages_of_other_sites_may_not_ask(client, headers, status):
    for answer in (
        client.get("/api/about", headers=headers),
        client.post("/api/batch", content="x", headers=headers),
    ):
        assert answer.status_code == status
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_no_answer_is_kept_framed_or_handed_on(client):
    for path in ("/", "/api/about", "/api/answer?query=x", "/nothing", "/docs"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert ("script-src 'self' 'unsafe-inline'" in policy) == (path == "/docs")


# -------------------------------------------------------------------------------------------- pages


def test_pages_load_nothing_from_elsewhere(client):
    for path in ("/", "/docs"):
        page = client.get(path).text
        loaded = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert loaded and not [a for a in loaded if re.match("(https?:)?//", a)]
        for address in loaded:
            if not address.startswith(("#", "data:")):
                assert client.get(address).status_code == 200


def test_the_api_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    names = "answer", "page", "scan", "scan/page", "batch", "about"
    assert set(paths) == {f"/api/{name}" for name in names}
    assert {"422", "503"} <= set(paths["/api/scan"]["get"]["responses"])
    assert {"422", "503"} <= set(paths["/api/answer"]["get"]["responses"])
    assert "text/plain" in paths["/api/batch"]["post"]["requestBody"]["content"]
    for path, own in paths.items():
        (route,) = own.values()
        errors = {code: r for code, r in route["responses"].items() if code != "200"}
        assert all(list(r["content"]) == ["application/json"] for r in errors.values())
        assert "page" in path or "$ref" in json.dumps(route["responses"]["200"]["content"])


def described(model, told):
    """Whether the answer is as it is described, and nothing of it is not described."""
    return model.model_validate(told).model_dump(mode="json", exclude_unset=True) == told


def test_answers_are_as_they_are_described(client):
    insertion = f"c:1000:{BASES[999]}:{BASES[999]}GT"
    for query in (
        snv(950),
        insertion,
        snv(100),
        "c:600-900",
        f"c:698:{BASES[697:702]}:{BASES[697]}",
    ):
        assert described(schema.Answer, ask(client, query, knockouts=True).json())
    assert described(schema.Scan, scan(client, "c:699-702").json())
    assert described(schema.Scan, scan(client, "c:1-2").json())
    assert described(schema.About, client.get("/api/about").json())
    for line in client.post("/api/batch", content=f"{snv(950)}\nnonsense").text.splitlines():
        assert described(schema.Line, json.loads(line))
    assert described(schema.Error, ask(client, "nonsense").json())


def test_the_origin_of_answers_is_told(client, files, scorer):
    about = client.get("/api/about").json()
    assert about["reference"] == "g.fa" and about["annotation"] == "g.gtf"
    assert about["sha256"] == scorer.predictor.bundle.sha256
    assert about["bounds"] == BOUNDS._asdict()


# ------------------------------------------------------------------------------------- the command


@contextmanager
def running(*arguments, folder):
    """The command in a process of its own, and its address."""
    command = [sys.executable, "-m", "samvar.cli", "serve", "--port", "0", *arguments]
    environment = os.environ | dict(
        HOME=str(folder), XDG_CACHE_HOME=str(folder), PYTHONDONTWRITEBYTECODE="1"
    )
    with subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            lines = (re.search(r"http://\S+?/", line) for line in process.stderr)
            yield process, next(line[0] for line in lines if line)
        finally:
            process.kill()


def get(address):
    with urllib.request.urlopen(address, timeout=120) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("ending, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once_and_nothing_is_left(tmp_path, ending, code):
    """Also while a worker is busy and queries wait."""
    files = "-f", f"{MINI}.fa", "-a", f"{MINI}.gtf", "--threads", 1
    long = "api/answer?knockouts=true&query=mini:3527:TCTTCTTCTCTTCTTC:ACAACAACACAACAAC"
    asked, answered = 20, []
    with running(*files, folder=tmp_path) as (process, address):
        before = sorted(tmp_path.rglob("*"))

        def ask():
            with suppress(OSError):
                answered.append(get(address + long))

        asking = [in_thread(ask) for _ in range(asked)]
        time.sleep(0.5)
        start = time.monotonic()
        process.send_signal(ending)
        assert process.wait(timeout=60) == code
        assert time.monotonic() - start < 2
        for one in asking:
            one.join()
        assert len(answered) < asked
        stderr = process.stderr.read()
    assert "3527" not in stderr and "Traceback" not in stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("log", [False, True])
def test_queries_are_logged_only_when_that_is_asked_for(files, tmp_path, log):
    with running(*files, *["--log"] * log, folder=tmp_path) as (process, address):
        before = sorted(tmp_path.rglob("*"))
        assert json.loads(get(f"{address}api/answer?query={snv(950)}"))["explanations"]
        with pytest.raises(OSError, match="422"):
            get(f"{address}api/answer?query=nonsense")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        stderr = process.stderr.read()
    assert ("950" in stderr, "nonsense" in stderr) == (log, log)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_is_told(files, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = CliRunner().invoke(main, ["serve", *files, "--port", str(port)])
        assert refused.exit_code == 1 and "try another --port" in refused.output
    refused = CliRunner().invoke(main, ["serve", *files, "--host", "nowhere.invalid"])
    assert refused.exit_code == 1 and "nowhere.invalid" in refused.output
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    refused = CliRunner().invoke(main, ["serve", *files])
    assert refused.exit_code == 1 and "samvar[serve]" in refused.output


# -------------------------------------------------------------------------------- in a real browser

ENHANCER = "mini:3527:TCTTCTTCTCTTCTTC:ACAACAACACAACAAC"
WRONG_BUILD = "mini:1500:C:A"
WIDTHS = 400, 900, 1400


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(
        *("-f", f"{MINI}.fa", "-a", f"{MINI}.gtf"), folder=tmp_path_factory.mktemp("site")
    ) as (_, address):
        yield address


@pytest.fixture
def tab(browser, site):
    """The page, freshly opened. It asks this server alone, and its script raises no error."""
    context = browser.new_context()
    context.set_default_timeout(120_000)
    tab = context.new_page()
    asked, errors = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: errors.append(error))
    tab.goto(site)
    yield tab
    context.close()
    assert not errors
    assert asked and not [url for url in asked if not url.startswith((site, "data:", "blob:"))]


def answer_of(site, query):
    return json.loads(get(f"{site}api/answer?{urlencode(dict(query=query))}"))["explanations"][0]


def test_what_the_shipped_model_says_is_as_it_is_described(site):
    """Events, evidence, learnt motifs, accuracy and trials, which the toy has not."""
    for query in ("mini:1181:G:T", ENHANCER, "mini:1303:GGTAA:G"):
        told = json.loads(get(f"{site}api/answer?{urlencode(dict(query=query))}"))
        assert described(schema.Answer, told)
    about = json.loads(get(f"{site}api/about"))
    assert described(schema.About, about) and about["trials"]
    assert about["accuracy"].keys() == {"found_percent", "found_without_motifs_percent"}


def test_a_variant_is_typed_and_its_answer_read(tab, site):
    gene = answer_of(site, ENHANCER)["genes"][0]
    tab.get_by_label("Variant, region or exon").fill(ENHANCER)
    tab.get_by_role("button", name="Look up").click()
    answer = tab.locator("#answer")
    answer.locator("figure svg").first.wait_for()
    assert answer.locator("h1").inner_text() == "mini:3527 TCTTCTTCTCTTCTTC>ACAACAACACAACAAC"
    assert answer.locator(".verdict").inner_text() == gene["verdict"]
    strongest = gene["attributed"][0]["parts"][0]
    sign = -1 if gene["attributed"][0]["delta"].endswith("L") else 1
    row = answer.get_by_role("row", name=f"{sign * strongest['effect']:+.4f}").first
    assert strongest["rbp"] in row.inner_text()
    answer.get_by_text("Probabilities of all").click()
    cells = answer.locator(".probabilities tr").nth(1).locator("td").all_inner_texts()
    raw = gene["probabilities"]
    sides = [raw[side][kind][0] for kind in ("acceptor", "donor") for side in ("ref", "alt")]
    assert cells == [str(raw["pos"][0]), *(f"{p:.6f}" for p in sides)]
    with tab.expect_popup() as popup:
        tab.get_by_role("link", name="JSON").click()
    assert json.loads(popup.value.locator("pre").inner_text())["explanations"][0]["genes"] == [gene]


def test_the_event_of_a_variant_is_told(tab, site):
    (event,) = answer_of(site, "mini:1181:G:T")["genes"][0]["events"]
    tab.get_by_label("Variant, region or exon").fill("mini:1181:G:T")
    tab.get_by_role("button", name="Look up").click()
    tab.get_by_role("heading", name="mini:1181 G>T").wait_for()
    assert event["event"] == "exon_skipping"
    assert event["event"] in tab.locator("#answer").inner_text()


def test_the_keyboard_is_enough_and_recent_queries_stay_in_the_browser(tab):
    for query in ("mini:1500:G:A", "mini:1510-1520"):
        tab.locator("#query").fill("")
        tab.keyboard.type(query)
        tab.keyboard.press("Enter")
        tab.get_by_role("heading", name=query[:9]).wait_for()
    recent = tab.get_by_label("Recent queries")
    assert recent.get_by_role("link").all_inner_texts() == ["mini:1510-1520", "mini:1500:G:A"]
    tab.go_back()
    tab.get_by_role("heading", name="mini:1500 G>A").wait_for()
    tab.reload()
    tab.get_by_role("heading", name="mini:1500 G>A").wait_for()
    tab.keyboard.press("Shift+Tab")  # from the answer to the link before it
    assert tab.evaluate("document.activeElement.textContent") == "JSON"
    tab.get_by_role("button", name="Forget them").press("Enter")
    assert recent.is_hidden() and tab.evaluate("localStorage['samvar.recent']") == "[]"


def test_a_region_is_typed_and_its_heat_map_read(tab, site):
    rows = json.loads(get(f"{site}api/scan?query=mini:3475-3477"))["rows"]
    tab.locator("#query").fill("mini:3475-3477")
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="mini:3475-3477: every SNV").wait_for()
    answer = tab.locator("#answer")
    assert answer.locator("figure svg").count() == 2  # landscape and heat map
    most = max(rows, key=lambda row: max(row[f"DS_{n}"] for n in ("AG", "AL", "DG", "DL")))
    name = "mini:{POS}:{REF}:{ALT}".format(**most)
    tips = answer.locator(".cell title").all_text_contents()
    assert any(tip.startswith("{POS} {REF}>{ALT}: ".format(**most)) for tip in tips)
    assert tab.get_by_role("link", name="Every SNV as JSON").is_visible()
    answer.locator(".variant a").first.click()
    tab.get_by_role("heading", name="mini:{POS} {REF}>{ALT}".format(**most)).wait_for()
    assert tab.locator("#query").input_value() == name


def test_why_there_is_no_heat_map_is_told_above_the_landscape(tab):
    busy = json.dumps(dict(error="64 requests are worked on or wait"))
    tab.route("**/api/scan/page?*", lambda route: route.fulfill(status=503, body=busy))
    tab.locator("#query").fill("mini:1400-1410")
    tab.keyboard.press("Enter")
    alert = tab.get_by_role("alert")
    alert.get_by_text("The SNVs of the region were not scored: 64 requests").wait_for()
    figure = tab.locator("#answer figure svg")
    assert figure.count() == 1 and alert.bounding_box()["y"] < figure.bounding_box()["y"]


def test_what_is_wrong_is_read_on_the_page(tab):
    for query, words in ((WRONG_BUILD, "another genome build"), ("<b>x</b>", "'<b>x</b>' is none")):
        tab.locator("#query").fill(query)
        tab.keyboard.press("Enter")
        tab.get_by_role("alert").get_by_text(words).wait_for()
        assert tab.locator("#answer").is_hidden()
    tab.locator("#query").fill("mini:1500:G:A")
    tab.keyboard.press("Enter")
    tab.locator("#answer h1").wait_for()
    assert tab.get_by_role("alert").is_hidden()


def test_lines_are_pasted_and_one_of_them_opened(tab, site):
    queries = ["mini:1500:G:A", WRONG_BUILD, "mini:1510-1520"]
    tab.locator("#query").fill("\n".join(queries))
    tab.get_by_role("button", name="Look up").click()
    tab.get_by_text("3 lines looked up").wait_for()
    rows = tab.locator("#batch tbody tr")
    texts = [rows.nth(i).locator("td").all_inner_texts() for i in range(3)]
    assert [text[:2] for text in texts] == [[str(i), q] for i, q in enumerate(queries, 1)]
    gene = answer_of(site, queries[0])["genes"][0]
    assert texts[0][3] == f"STRONG: {gene['verdict']}"
    assert texts[0][2] == f"{max(d['value'] for d in gene['deltas'].values()):.4f}"
    assert "another genome build" in texts[1][3]
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download").click()
    saved = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert [line["query"] for line in saved] == queries
    rows.nth(2).get_by_role("link").click()
    tab.get_by_role("heading", name="mini:1510-1520").wait_for()
    assert rows.count() == 3


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_what_a_line_of_many_opens_comes_into_sight(tab, motion):
    tab.set_viewport_size(dict(width=1200, height=700))
    tab.emulate_media(reduced_motion=motion)
    lines = ["mini:1500:G:A", *(f"nothing {i}" for i in range(40))]
    tab.locator("#query").fill("\n".join(lines))
    tab.keyboard.press("Enter")
    tab.get_by_text("41 lines looked up").wait_for()
    tab.locator("#batch tbody a").first.click()
    tab.locator("#answer h1").wait_for()
    top = "document.getElementById('answer').getBoundingClientRect().top / innerHeight"
    waited = 0
    while not 0 <= tab.evaluate(top) < 0.5:  # the page may not evaluate texts of its own
        assert waited < 100
        waited += 1
        tab.wait_for_timeout(100)
    assert tab.evaluate("scrollY") > 700


def test_a_query_is_cancelled(tab):
    tab.locator("#query").fill("mini:1001-2000")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Cancel").click()
    tab.get_by_text("Cancelled.").wait_for()
    assert tab.locator("#answer").is_hidden() and tab.get_by_role("alert").is_hidden()


def test_the_page_fits_narrow_and_wide_windows(tab):
    tab.locator("#query").fill(f"{ENHANCER}\n{WRONG_BUILD}")
    tab.keyboard.press("Enter")
    tab.get_by_text("2 lines looked up").wait_for()
    tab.locator("#batch tbody a").first.click()
    tab.locator("#answer figure svg").first.wait_for()
    for width in WIDTHS:
        tab.set_viewport_size(dict(width=width, height=800))
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_phone_shows_the_site_of_the_verdict_first_and_print_leaves_the_raw_table_closed(tab):
    tab.set_viewport_size(dict(width=390, height=800))
    tab.locator("#query").fill(ENHANCER)
    tab.keyboard.press("Enter")
    answer = tab.locator("#answer")
    answer.locator(".changed").first.wait_for()
    figure = answer.locator("figure").first
    box, site = figure.bounding_box(), answer.locator(".here").first.bounding_box()
    assert figure.evaluate("f => f.scrollLeft") > 0
    assert box["x"] <= site["x"] <= box["x"] + box["width"]
    tab.wait_for_timeout(1500)  # from then on it can be scrolled freely
    figure.evaluate("f => f.scrollTo(0, 0)")
    assert figure.evaluate("f => f.scrollLeft") == 0
    tab.emulate_media(media="print")
    seen = "d => d.lastElementChild.checkVisibility()"
    assert not answer.locator("details.probabilities").first.evaluate(seen)
    assert answer.locator(".about details").last.evaluate(seen)


def test_the_page_of_the_api_works_offline(tab, site):
    tab.goto(f"{site}docs")
    tab.get_by_text("Explain a variant, a region or an exon").wait_for()
    tab.get_by_text("Explain many").wait_for()
