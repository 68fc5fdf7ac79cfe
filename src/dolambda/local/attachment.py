"""The connection of a session to an emulated AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dolambda.local.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.local.instance import Instance


class Attachment:
    """An emulated AWS in use.

    Args:
        instance: The emulated AWS.
        owned: True if it ends with the session.
        gone: A method that is called once, in another thread, if the instance ends by itself.

    Attributes:
        instance: As given. None once it was ended or left.
        kind: ``"own"`` if it ends with the session, else ``"shared"``.
    """

    def __init__(self, instance: Instance, *, owned: bool, gone: Callable[[], object]) -> None:
        self.instance: Instance | None = instance
        self.kind: Literal["own", "shared"] = "own" if owned else "shared"
        self._watch = Watch(self._is_running, gone)

    def _is_running(self) -> bool:
        return self.instance is None or self.instance.running

    def end(self) -> None:
        """End the instance if it is the session's own. Leave a shared one."""
        self._watch.stop()
        if self.instance and self.kind == "own":
            self.instance.stop()
        elif self.instance:
            self.instance.leave()
        self.instance = None
