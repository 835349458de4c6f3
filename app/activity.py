"""Who was last active when: kept in the server, so that neither a reload nor the back button shows a patient to a passer-by."""

from dataclasses import dataclass, field
from threading import Lock
from time import monotonic, time


@dataclass
class Activity:
    """Of everybody who uses this server, by sign-in.

    minutes: without activity after which they are signed off. off: since when a sign-in that is no newer counts for nothing.
    back: the page and the patient, by identity, to come back to from the provider, which forgets where somebody came from.
    """

    minutes: float
    seen: dict[str, float] = field(default_factory=dict)
    back: dict[str, tuple[str, str]] = field(default_factory=dict)
    off: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def here(self, who: str, asked: float, now: float | None = None) -> bool:
        """Whether somebody whom the provider asked at a time (seconds since 1970) is here, and not gone for too long.

        Of somebody not seen before only a sign-in from within the idle time counts: an old cookie is not enough.
        """
        now = monotonic() if now is None else now
        with self._lock:
            last = self.seen.get(who)
            since = self.off.get(who)
            if since is not None:
                if asked <= since:
                    return False
                del self.off[who]
                self.seen[who] = last = now
            if last is None:
                return time() - asked <= 60 * self.minutes
            if now - last > 60 * self.minutes:
                self._leave(who)
                return False
            return True

    def touch(self, who: str, now: float | None = None) -> None:
        """They did something."""
        with self._lock:
            self.seen[who] = monotonic() if now is None else now

    def leave(self, who: str) -> None:
        """They went, or were away for too long: the provider must ask them again."""
        with self._lock:
            self._leave(who)

    def _leave(self, who: str) -> None:
        self.seen.pop(who, None)
        self.off[who] = time()
