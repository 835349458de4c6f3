"""Starting the clinician's app."""

import os
import signal
import subprocess
import sys
from pathlib import Path

APP = Path(__file__).parents[2] / "app" / "main.py"
STOP_SECONDS = 10.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def serve(
    database: str, *, port: int = 8501, browser: bool = True, sign_in: Path | None = None, address: str = "localhost"
) -> int:
    """Runs Streamlit with this database until it is stopped; returns its exit status, 0 after Ctrl-C or a kill.

    sign_in: the settings of the clinic's identity provider. Without one it is in local mode, on the loopback alone: an `address`
    that others can reach raises `ValueError`.
    """
    if sign_in is None and address not in LOOPBACK:
        raise ValueError(f"without a sign-in the app listens on this computer alone, not on {address}: name one with --sign-in")
    command = [sys.executable, "-m", "streamlit", "run", str(APP)]
    command += [f"--server.address={address}", f"--server.port={port}", f"--server.headless={str(not browser).lower()}"]
    command += ["--browser.gatherUsageStats=false", "--server.fileWatcherType=none", "--global.developmentMode=false"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server stops with us, however we are stopped
    given = {**os.environ, "CAREPLAN_DATABASE": database}
    given.pop("CAREPLAN_SIGN_IN", None)
    if sign_in is not None:
        given["CAREPLAN_SIGN_IN"] = str(sign_in.resolve())
        command.append(f"--secrets.files={sign_in.resolve()}")
    process = subprocess.Popen(command, env=given)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:  # a page still open in a browser can hold it back
            process.kill()
            process.wait()
        return 0
