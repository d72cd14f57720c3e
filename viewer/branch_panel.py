"""Branch panel: the ends of a world that have a name: switch between them, begin, rename and forget them.

Room: viewer. Forgetting asks first: the button says whom it would forget, and only a second click does it.
"""

from __future__ import annotations

from collections.abc import Callable

import viser

from memory.world import Head
from viewer.asks import History
from viewer.changes import Changes
from viewer.stage import Stage

DELETE = "Delete"


class BranchPanel:
    """The branches of the world."""

    def __init__(self, stage: Stage, history: History, changes: Changes) -> None:
        self._stage, self._tree, self._changes = stage, history.tree, changes
        self._doomed: str | None = None
        gui = stage.server.gui
        with gui.add_folder("Branches"):
            self._heads = gui.add_dropdown(
                "Branch", ["main"], hint="The ends of this world that have a name."
            )
            switch = gui.add_button("Switch", color="gray", hint="Look at this branch, and grow it.")
            self._name = gui.add_text("Name", "", hint="1 to 64 letters, digits, dots, dashes, underscores.")
            branch = gui.add_button("Branch off", color="gray", hint="Begin a branch of this name here.")
            rename = gui.add_button("Rename", color="gray", hint="Give the branch chosen above this name.")
            self._delete = gui.add_button(
                DELETE, color="red", hint="Forget the branch chosen above; `worldgen gc` frees what it held."
            )
            self._note = gui.add_markdown("", visible=False)
        switch.on_click(lambda _: self._make(lambda: moved(self._tree.switch(self._heads.value))))
        branch.on_click(lambda _: self._make(self._branched))
        rename.on_click(lambda _: self._ask(self._renamed))
        self._delete.on_click(lambda _: self._delete_or_ask())
        self._heads.on_update(self._chosen)
        stage.on_change(self._update)

    def _branched(self) -> str:
        at = self._tree.current.chunk
        if at is None:
            raise ValueError("the world has no frames yet, so no branch can begin here")
        return moved(self._tree.branch(self._name.value, at=at))

    def _renamed(self) -> str:
        old = self._heads.value
        return f"{old} is called {self._tree.rename(old, self._name.value).name} now."

    def _delete_or_ask(self) -> None:
        chosen = self._heads.value
        if self._doomed == chosen:
            self._ask(lambda: self._deleted(chosen))
        else:
            self._doomed, self._delete.label = chosen, f"Really delete {chosen}"
            self._say(f"Click once more to forget {chosen}.")

    def _deleted(self, name: str) -> str:
        self._tree.delete(name)
        return f"{name} is deleted; what only it reached stays until `worldgen gc`."

    async def _chosen(self, _event: viser.GuiEvent) -> None:
        """Runs on the server's own loop, so that it is over before a click that comes after it."""
        self._spare()

    def _spare(self) -> None:
        """Whoever means something else does not mean to delete."""
        self._doomed, self._delete.label = None, DELETE

    def _make(self, change: Callable[[], str]) -> None:
        self._spare()
        self._changes.make(change, self._say)

    def _ask(self, change: Callable[[], str]) -> None:
        """Names change; what the world shows does not."""
        self._spare()
        if self._changes.ask(change, self._say):
            self._stage.tell_change()

    def _say(self, text: str) -> None:
        self._note.content, self._note.visible = text, True

    def _update(self) -> None:
        names = [head.name for head in self._tree.heads()]
        if list(self._heads.options) != names:
            self._heads.options = names
            self._heads.value = self._tree.current.name


def moved(head: Head) -> str:
    """Where a head is now."""
    return f"{head.name} is at chunk {head.chunk}."
