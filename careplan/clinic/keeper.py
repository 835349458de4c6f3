"""Keeps the process that runs jobs (`careplan.clinic.worker`) for whoever asks for plans, without loading what it runs."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock


@dataclass
class Worker:
    """The worker process of one database, begun when it is first needed, and again when it has died."""

    database: str
    _process: subprocess.Popen[bytes] | None = None
    _lock: Lock = field(default_factory=Lock)

    def ensure(self) -> None:
        """Begins the process where none runs."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                command = [sys.executable, "-m", "careplan.clinic.worker", str(os.getpid())]
                root = str(Path(__file__).parents[2])
                path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
                given = {**os.environ, "CAREPLAN_DATABASE": self.database, "PYTHONPATH": path}
                self._process = subprocess.Popen(command, env=given, stdin=subprocess.DEVNULL)

    def stop(self) -> None:
        """Ends the process at once."""
        with self._lock:
            if self._process is not None:
                self._process.terminate()
                self._process.wait()
                self._process = None
