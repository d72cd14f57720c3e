"""Renderer: whether a browser draws with a graphics card or in software.

Room: viewer; the stage asks this of everybody who comes. Viser's client says nothing of it, but it runs a
script that it is sent and answers what its local storage holds: so a few lines look, and leave one of two
words there. Anybody can answer anything, and whatever else is answered counts as no answer.
"""

from __future__ import annotations

from typing import Literal

from viser import ClientHandle
from viser._messages import RunJavascriptMessage

Renderer = Literal["hardware", "software"]

KEY = "worldgen-renderer"

STORED = f"viser-user:{KEY}"
"""What viser's client calls the key in the browser."""

PATIENCE_S = 20.0
"""How long a browser may take to answer: first it draws what it was sent before."""

SCRIPT = f"""
try {{
  const drawing = (wanted) => {{
    const canvas = document.createElement("canvas");
    return canvas.getContext("webgl2", wanted) || canvas.getContext("webgl", wanted);
  }};
  const any = drawing({{}}), quick = drawing({{failIfMajorPerformanceCaveat: true}});
  const told = any && any.getExtension("WEBGL_debug_renderer_info");
  const name = any ? String(any.getParameter(told ? told.UNMASKED_RENDERER_WEBGL : any.RENDERER)) : "";
  const isSlow = !quick || /swiftshader|llvmpipe|softpipe|software|basic render|gdi generic/i.test(name);
  for (const context of [any, quick])
    context && context.getExtension("WEBGL_lose_context")?.loseContext();
  localStorage.setItem("{STORED}", any ? (isSlow ? "software" : "hardware") : "");
}} catch (error) {{
  console.log("What draws here cannot be told:", error);
}}
"""
"""Leaves a word at ``STORED``, an empty one where nothing can be drawn. Both contexts are given back, because
browsers keep few."""


def renderer_of(client: ClientHandle) -> Renderer | None:
    """What a browser says that it draws with; ``None`` if it has left or does not say. Takes a while."""
    client._websock_connection.queue_message(RunJavascriptMessage(source=SCRIPT))
    try:
        return read(client.local_storage.get_item(KEY, timeout=PATIENCE_S))
    except (RuntimeError, TimeoutError):  # it has left, keeps no storage, or is no browser
        return None


def read(answer: object) -> Renderer | None:
    """The word in an answer, if it is one of ours; browsers may send anything."""
    if answer == "software":
        return "software"
    return "hardware" if answer == "hardware" else None
