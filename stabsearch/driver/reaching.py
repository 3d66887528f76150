"""Whether a cluster can be reached, before Ray waits minutes for one that cannot.

Importing this imports Ray.
"""

from __future__ import annotations

import socket

from ray._private.services import canonicalize_bootstrap_address

CONNECT_S = 10.0  # chosen: across continents, a second is long


def check_reachable(address: str) -> None:
    """Return when somebody listens where a cluster should be.

    Ray itself waits three minutes, prints what its inside says of that, and then ends the process.

    Args:
        address: ``auto`` or ``HOST:PORT``.

    Raises:
        ConnectionError: nobody listens there.
        ValueError: no address of this form.
    """
    found = canonicalize_bootstrap_address(address)  # as Ray does it: ``auto``, and localhost by its number
    if found is None:
        return
    host, _, port = found.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError as error:
        meant = "" if found == address else f" (which is {found})"
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise ConnectionError(f"nobody listens there{meant}: {reason}") from None
