"""`curation` in processes of their own that can be killed, and that start at once.

They are forked from a server that has imported what commands need, so that a test of twenty kills does not spend
its time importing torch twenty times.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping

SERVED = multiprocessing.get_context("forkserver")
SERVED.set_forkserver_preload(
    [
        "curation.cli.generate",
        "curation.cli.gold_import",
        "curation.cli.imports",
        "curation.formats.coco_import",
        "curation.formats.sa1b_import",
        "curation.generation.segmenters.sam",
        "curation.generation.work",
        "curation.measures",
        "curation.review.queue",
        "curation.review.verdicts",
    ]
)


def start(*words: str, **environment: str) -> multiprocessing.Process:
    """`curation WORDS`, silent, in a session of its own: `os.killpg(process.pid, …)` reaches its workers as well."""
    process = SERVED.Process(target=_run, args=(words, environment))
    process.start()
    return process


def run(*words: str, timeout_s: float = 120, **environment: str) -> int:
    """Its exit code when it has come to its end by itself."""
    process = start(*words, **environment)
    process.join(timeout_s)
    assert process.exitcode is not None, f"curation {' '.join(words)}: no end after {timeout_s} s"
    return process.exitcode


def _run(words: tuple[str, ...], environment: Mapping[str, str]) -> None:
    os.setsid()
    os.environ.update(environment)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    sys.argv = ["curation", *words]
    from curation.cli import main

    main()
