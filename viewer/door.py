"""Door: who may come in, where a viewer can be reached from other machines.

Room: viewer. Viser has no notion of visitors who are not welcome, so with a token it listens on this machine
only, and this door stands before it. A browser shows the token once, in the address that it opens, and gets
a cookie for it; every connection is judged by the head of its first request, before viser sees a byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import threading
from typing import final
from urllib.parse import parse_qs, urlsplit

TOKEN = re.compile(r"[A-Za-z0-9_-]{8,128}")

LONGEST_HEAD = 64 * 1024
"""Bytes of a request's head; more is no browser."""

PATIENCE_S = 10.0
"""How long a visitor may take to say what it wants, and the door to open and to close."""

PORTS_TRIED = 1000
CHUNK = 64 * 1024

ROUNDS = 16
"""Of the loop, in which a visitor who had just come is met, sent away, and its socket closed."""

REFUSED = b"""\
This viewer asks for a token: open the whole address that `worldgen view` printed, ?token= included.
"""


def checked_token(token: str) -> str:
    """``token`` if it can stand in an address and is not guessed at once.

    Raises:
        ValueError: if it cannot.
    """
    if not TOKEN.fullmatch(token):
        raise ValueError("a token is 8 to 128 letters, digits, dashes and underscores")
    return token


@final
class Door:
    """Listens from the moment it is made until ``close``."""

    def __init__(self, *, host: str, port: int, inner_port: int, token: str) -> None:
        """Let whoever knows ``token`` through to ``inner_port`` of this machine.

        Args:
            host: address to listen on.
            port: port to listen on; the next free one is taken if it is busy.
            inner_port: where viser listens, on 127.0.0.1.
            token: what visitors have to know.

        Raises:
            OSError: if the address cannot be listened on.
        """
        self._host, self._inner, self._token = host, inner_port, checked_token(token)
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._visits: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server = self._loop.run_until_complete(self._listening(port))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="viewer-door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close the door and every connection through it."""
        with contextlib.suppress(RuntimeError):  # closed already
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(PATIENCE_S)

    async def _listening(self, port: int) -> asyncio.Server:
        failure = OSError(f"no free port from {port} on")
        for attempt in range(port, min(port + PORTS_TRIED, 65536)):
            try:
                return await asyncio.start_server(self._met, self._host, attempt, limit=LONGEST_HEAD)
            except OSError as error:
                failure = error
        raise failure

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._until_closed())
        self._loop.close()

    async def _until_closed(self) -> None:
        await self._closing.wait()
        for listening in self._server.sockets:
            self._loop.remove_reader(listening.fileno())  # nobody else comes in
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
            for visit, writer in dict(self._visits).items():
                visit.cancel()  # one that had not begun yet would never close what it was given
                writer.transport.abort()
            await asyncio.gather(*self._visits, return_exceptions=True)
        # Only now: a server that is closed forgets the sockets of those whom it has not met yet.
        self._server.close()

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = self._loop.create_task(self._visit(reader, writer))
        self._visits[visit] = writer
        visit.add_done_callback(self._visits.pop)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            answer = self._answer(head)
            if answer is None:
                await self._let_through(head, reader, writer)
            else:
                writer.write(answer)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever it was has left, or never was a browser
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()  # until then it is a visit, to be cut off with the others

    def _answer(self, head: bytes) -> bytes | None:
        """What to say to a request in place of viser; ``None`` to let it through."""
        request, *lines = head.decode("latin-1").split("\r\n")
        words = request.split(" ")
        fields = {name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
        if len(words) != 3:
            return _response("400 Bad Request", b"This is no request.\n")
        if self._is_known(fields.get("cookie", "")) and _is_same_site(fields):
            return None
        try:
            target = urlsplit(words[1])
        except ValueError:
            return _response("400 Bad Request", b"This is no address.\n")
        shown = parse_qs(target.query).get("token", [""])[0]
        if self._is_token(shown):
            cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            return _response("303 See Other", b"", f"Location: /\r\nSet-Cookie: {cookie}\r\n")
        return _response("403 Forbidden", REFUSED)

    @property
    def _cookie(self) -> str:
        """Its name; browsers do not tell ports apart."""
        return f"worldgen-{self.port}"

    def _is_known(self, cookies: str) -> bool:
        pairs = (pair.strip().partition("=") for pair in cookies.split(";"))
        return any(name == self._cookie and self._is_token(value) for name, _, value in pairs)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())

    async def _let_through(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner)
        inner_writer.write(head)
        ways = [
            asyncio.ensure_future(_carry(reader, inner_writer)),
            asyncio.ensure_future(_carry(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            inner_writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way; a slow receiver holds up its own sender and nobody else."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


def _is_same_site(fields: dict[str, str]) -> bool:
    """Whether a websocket is asked for by our own page; other requests say nothing that matters."""
    origin = fields.get("origin")
    return origin is None or urlsplit(origin).netloc == fields.get("host")


def _response(status: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\nCache-Control: no-store\r\n{more}\r\n"
    )
    return head.encode() + body
