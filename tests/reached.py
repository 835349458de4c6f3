"""For property tests: how many of their examples reached the assertion, and a floor below which the test fails.

    @reaches(0.3)
    @given(...)
    def test_something(...):
        if ...:
            return
        reached()
        assert ...

`pytest --hypothesis-show-statistics` prints the share. An example counts once, however often it says that it got there.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from hypothesis import event

_now: dict[str, bool] = {}


def reached() -> None:
    """Said by an example where it comes to what the test asserts."""
    _now["reached"] = True


def reaches(share: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Of the examples of the property test beneath, at least this share says that it has `reached` its assertion."""

    def floored(test: Callable[..., Any]) -> Callable[..., Any]:
        counts = {True: 0, False: 0}
        handle = test.hypothesis  # type: ignore[attr-defined]
        example = handle.inner_test

        @wraps(example)
        def counted(*arguments: Any, **named: Any) -> None:
            _now["reached"] = False
            example(*arguments, **named)
            counts[_now["reached"]] += 1
            event("reached the assertion" if _now["reached"] else "did not reach the assertion")

        handle.inner_test = counted

        @wraps(test)
        def whole(*arguments: Any, **named: Any) -> None:
            counts.update({True: 0, False: 0})
            test(*arguments, **named)
            every = sum(counts.values())
            told = f"{counts[True]} of {every} examples reached the assertion, expected {share:.0%}"
            assert counts[True] >= share * every, told

        return whole

    return floored
