"""Callbacks of scikit-learn, from 1.9 on; before it there are none to call."""

from __future__ import annotations

from typing import Any, Self, TypeVar

T = TypeVar("T")

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class _Task:
        """A task that tells nobody."""

        def subcontext(self, **_: Any) -> Self:
            return self

        def call_on_fit_task_begin(self, **_: Any) -> None:
            pass

        def call_on_fit_task_end(self, **_: Any) -> bool:
            return False

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to set callbacks by."""

        def _init_callback_context(self, **_: Any) -> _Task:
            return _Task()

    def with_callbacks(method: T) -> T:
        """Return the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "with_callbacks"]
