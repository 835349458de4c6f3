"""Settings, each from an environment variable `CAREPLAN_<NAME>` or its default."""

import os
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from careplan.errors import AskError


def data_folder() -> Path:
    """Where this platform keeps a user's data: the same database is found from whichever folder careplan is started in."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "careplan"


class FromEnvironment(BaseSettings):
    """Settings that raise `AskError` naming the variable whose value does not fit."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = f"{self.model_config['env_prefix']}{first['loc'][0]}".upper()
            raise AskError(f"{name} is {first['input']!r}: {first['msg'].lower()}") from error


class Settings(FromEnvironment):
    """database: a path (SQLite) or an SQLAlchemy URL, `CAREPLAN_DATABASE`; by default `careplan.db` in the user's data folder.
    replays: the folder that holds replay folders, `CAREPLAN_REPLAYS`; by default `replays` beside the database.
    audit: the folder of the audit key, the trusted keys and the checkpoints, `CAREPLAN_AUDIT`; by default `audit` in the user's
        data folder. It does not lie beside a database that is elsewhere: whoever takes the one should not have the other.
    sign_in: a TOML file with the settings of the clinic's identity provider, `CAREPLAN_SIGN_IN`; without one the app is in local
        mode, for one person on one machine.
    idle_minutes: without activity after which the app signs a person off, `CAREPLAN_IDLE_MINUTES`.
    language: in which people are spoken to, `CAREPLAN_LANGUAGE` ("en", "ja"), where nobody chooses one: in the app by default the
        browser's, at the command line English.
    audit_key: another place of the private key, or the key itself (PEM or base64), `CAREPLAN_AUDIT_KEY`.
    """

    model_config = SettingsConfigDict(env_prefix="CAREPLAN_")

    database: str = Field(default_factory=lambda: str(data_folder() / "careplan.db"))
    replays: str | None = None
    audit: str | None = None
    sign_in: str | None = None
    idle_minutes: float = 15.0
    language: Literal["en", "ja"] | None = None
    audit_key: str | None = Field(default=None, repr=False)

    def audit_folder(self) -> Path:
        return Path(self.audit).expanduser() if self.audit else data_folder() / "audit"

    def replays_folder(self) -> Path:
        if self.replays:
            return Path(self.replays)
        path = self.database.removeprefix("sqlite:///")
        return (data_folder() if "://" in path else Path(path).parent) / "replays"
