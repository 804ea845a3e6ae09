"""`samvar serve`."""

from __future__ import annotations

import logging
import os
import socket
import threading
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from ..errors import SamvarError
from .options import (
    EXIT_INTERRUPT,
    annotation_option,
    check_transcripts,
    distance_option,
    event_options,
    fasta_option,
    genome_and_genes,
    listed,
    model_option,
    rbp_min_option,
    say,
    user_errors,
    workers_option,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

LOOPBACK = "127.0.0.1", "::1", "localhost"


def _need_server() -> None:
    """Raises SamvarError where the extra is not installed."""
    try:
        import fastapi  # noqa: F401
        import fastapi_offline  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as e:
        raise SamvarError(
            "samvar serve needs fastapi, fastapi-offline and uvicorn: pip install 'samvar[serve]'"
        ) from e


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has the address. Raises SamvarError where it cannot be had."""
    listener = None
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        return listener
    except OSError as e:
        if listener:
            listener.close()
        raise SamvarError(
            f"cannot listen on {host}, port {port}: {e.strerror}; try another --port or --host"
        ) from e


def _run(app: FastAPI, listener: socket.socket, log: bool) -> None:
    """Answer until a signal ends the process; `log` every request, and errors of ours."""
    import uvicorn

    config = uvicorn.Config(
        app,
        http="h11",  # bounds the length of a URL and of headers
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=log,
        server_header=False,
        timeout_graceful_shutdown=0,
    )
    if log:
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
        say("samvar: interrupted")
        _end(EXIT_INTERRUPT)
    except SystemExit as e:  # SIGTERM, SIGHUP
        _end(int(e.code or 0))


def _end(code: int) -> None:
    """End the process at once: a worker may be busy for seconds, and there is nothing to keep."""
    os._exit(code)


@click.command()
@fasta_option
@annotation_option
@model_option
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Answer at this address; 0.0.0.0 answers other machines, too, whoever asks.",
)
@click.option(
    "--port",
    metavar="N",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Answer at this port; 0 takes a free one.",
)
@click.option(
    "--allow-host",
    "names",
    metavar="NAME",
    multiple=True,
    help="Answer requests for this name of the machine, too, which browsers send; may be repeated. "
    "Addresses, localhost and --host are always answered.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--log",
    is_flag=True,
    help="Write a line for every request, with its query, and the traceback of errors to stderr.",
)
@distance_option(1000, "Compare and show splice sites up to this far from the variant.")
@rbp_min_option(
    "List the causes of each delta of at least this size; those of the largest delta are "
    "always listed."
)
@event_options
@workers_option
@user_errors
def serve(
    fasta,
    annotation,
    model_name,
    host,
    port,
    names,
    open_page,
    log,
    distance,
    rbp_min,
    transcripts,
    event_min,
    threads,
) -> None:
    """Look variants up on a local page.

    The page takes what `samvar explain` takes (CHR:POS:REF:ALT, HGVS, CHR:START-END), and
    'GENE:exon N', or several lines of these; programs ask the JSON API that /docs describes. All is
    answered on this machine, from one model that is loaded once, and nothing that is asked is
    stored. Ctrl-C ends it. Needs fastapi: pip install 'samvar[serve]'.
    """
    _need_server()

    from ..annotate import Options
    from ..model.bundle import load_bundle
    from ..scorer import Scorer
    from ..scoring.predictor import Predictor
    from ..serve.app import make_app
    from ..serve.lookup import Lookup

    with _bound(host, port) as listener:
        chosen = listed(transcripts)
        genome, genes = genome_and_genes(fasta, annotation)
        check_transcripts(transcripts, chosen, genes)
        options = Options(
            distance=distance,
            rbp_min=rbp_min,
            transcripts=chosen,
            event_min=event_min,
        )
        predictor = Predictor(load_bundle(model_name), threads=threads)
        app = make_app(Lookup(Scorer(genome, genes, predictor, options)), {host, *names})
        listener.listen()
        url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
        say(f"samvar: look variants up at {url}; its API is described at {url}docs; Ctrl-C ends it")
        if host not in LOOPBACK:
            say("samvar: whoever reaches this address can ask: no password, no encryption")
        if open_page:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        _run(app, listener, log)
