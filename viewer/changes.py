"""Changes: what panels do to a world or ask of it, one at a time, and never while it grows.

Room: viewer. Knows no widgets: a panel says what to do and how to tell the outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from viewer.asks import History
from viewer.live import one_sentence
from viewer.stage import BUSY, Stage

log = logging.getLogger(__name__)

Say = Callable[[str], None]
"""Shows one line in the panel that asked."""


class Changes:
    """Changes of one world, and the stage that shows what comes of them."""

    def __init__(self, stage: Stage, history: History) -> None:
        self._stage, self._history = stage, history

    def make(self, change: Callable[[], str], say: Say) -> bool:
        """Change the world, show it as it is then, and say what was done; False if nothing was."""

        def shown() -> str:
            done = change()
            self._stage.replace(self._history.scene())
            return done

        return self.ask(shown, say)

    def ask(self, act: Callable[[], str], say: Say) -> bool:
        """Do what leaves the world as it looks, and say what it came to; False if it failed."""
        if not self._stage.pen.acquire(blocking=False):
            say(BUSY)
            return False
        is_done = False
        try:
            say("Working.")
            outcome, is_done = act(), True
        except Exception as error:
            log.warning("a change failed", exc_info=not isinstance(error, ValueError))
            outcome = one_sentence(error)
        finally:
            self._stage.pen.release()
        say(outcome)  # only now: whoever reads it and goes on at once must not find the pen still taken
        return is_done
