"""Starting the clinician's app."""

import os
import signal
import subprocess
import sys
from pathlib import Path

APP = Path(__file__).parents[2] / "app" / "main.py"
STOP_SECONDS = 10.0


def serve(database: str, *, port: int = 8501, browser: bool = True) -> int:
    """Runs Streamlit on localhost with this database until it is stopped; returns its exit status, 0 after Ctrl-C or a kill."""
    command = [sys.executable, "-m", "streamlit", "run", str(APP)]
    command += ["--server.address=localhost", f"--server.port={port}", f"--server.headless={str(not browser).lower()}"]
    command += ["--browser.gatherUsageStats=false", "--server.fileWatcherType=none", "--global.developmentMode=false"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server stops with us, however we are stopped
    process = subprocess.Popen(command, env={**os.environ, "CAREPLAN_DATABASE": database})
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
