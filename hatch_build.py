"""The package's build compiles the search engine; where it cannot, the package is built without, and the search runs eagerly."""

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        engine = runpy.run_path(str(Path(self.root) / "careplan" / "planning" / "engine.py"))
        try:
            engine["build"]()
        except RuntimeError as error:
            self.app.display_warning(f"careplan is built without its compiled search engine, and searches eagerly: {error}")
            return
        if version != "editable":
            # Of the machine, and of any Python: the engine is a library in C, loaded by ctypes.
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
            build_data["artifacts"] += [f"/careplan/planning/compiled/{library.name}" for library in engine["libraries"]()]
