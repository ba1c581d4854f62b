"""Ports of this machine: one that is free, and the wait until somebody listens on it."""

import socket
import time


def free_port() -> int:
    """A port that nobody listens on, at least now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until somebody listens, for a minute at most: the machine may be busy."""
    for _ in range(1_200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing listens on {port}")
