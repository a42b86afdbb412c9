"""Run benchmarks, each in a process of its own, and print what they claim as one table.

    python -m benchmarks [NAME …]

All but `cycles` (40 minutes: `make cycles`) run unless some are named. Ends with 1 where one of them does: a floor was missed, or
results differ from the peer's. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import claims

#: In this order: speed first, then what is claimed of intervals, promises and searches.
NAMES = (
    "masks", "measures", "cores", "gold", "import_sa1b", "postprocessing", "generation", "retune", "browse", "review", "reports", "report_peers",
    "scaling", "intervals", "estimates", "routing", "failures", "verifier", "training",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join((*NAMES, 'cycles'))}")
    names = parser.parse_args().names or NAMES
    if unknown := set(names) - {*NAMES, "cycles"}:
        parser.error(
            f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}, cycles"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "claims"
        ended = {name: run(name, path) for name in names}
        told = claims.gathered(path)
    print(f"\n{claims.HEADER}", *told, sep="\n")
    failed = [name for name, code in ended.items() if code]
    print(
        f"{len(names) - len(failed)} of {len(names)} benchmarks hold what they claim"
        + "".join(f"; not {f}" for f in failed)
    )
    return int(bool(failed))


def run(name: str, path: Path) -> int:
    print(f"\n== {name}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"], env=os.environ | {claims.GATHERED_IN: str(path)}
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
