"""The FiftyOne App on a dataset, served until it is stopped."""

import socket
from collections.abc import Callable

from curation.browse import database
from curation.browse.dataset import open_existing
from curation.errors import InputError


def serve(name: str, port: int, opens_browser: bool, on_ready: Callable[[str], None]) -> None:
    """Open the App on dataset `name` and serve it until this process is stopped.

    `on_ready` gets the URL when the App answers. Raises InputError where the dataset does not exist or the
    port is taken.
    """
    fo = database.connect()
    dataset = open_existing(name)
    address = fo.config.default_app_address or "localhost"
    _check_free(address, port)
    session = fo.launch_app(dataset, port=port, remote=not opens_browser)
    on_ready(f"http://{address}:{port}/datasets/{dataset.slug}")
    session.wait(-1)


def _check_free(address: str, port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((address, port)) == 0:
            raise InputError(
                f"--port {port}: another program (perhaps another App) serves there; choose another port"
            )
