"""`careplan app`: it answers on localhost, uses the database named, and leaves nothing running."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_the_app_starts_and_stops_with_its_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    arguments = ["--db", str(tmp_path / "store.db"), "app", "--port", str(port), "--no-browser"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from careplan.cli import app; app({arguments!r})"],
            stdout=log,
            stderr=log,
        )
    try:
        assert _answers(port, within=90), (tmp_path / "log").read_text()
        assert (tmp_path / "store.db").exists()
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)
    assert code == 0
    assert not _answers(port, within=1)


def _answers(port: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            time.sleep(0.2)
    return False
