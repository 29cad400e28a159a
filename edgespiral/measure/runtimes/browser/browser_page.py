"""A page in a browser of its own, which does one command after the other.

It lies on the device beside `browser_agent.py`, and needs nothing but an installed Chromium.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from agent import AgentError  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Iterator

    Json = dict[str, Any]

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Threads need memory that is shared, which pages have only where these say that they are alone.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
TYPES = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm"}
# No first run, and nothing asked of any other machine, whatever the browser's maker has in mind.
OPTIONS = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# On Linux and of what stands in for a GPU, browsers hand WebGPU out only where they are asked to.
GPU_OPTIONS = {
    ("wasm", False): ("--disable-gpu",),
    ("webgpu", False): ("--enable-unsafe-webgpu", "--enable-features=Vulkan"),
    ("webgpu", True): ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
}
START_S = 120
# How often a page is shown that it is still served.
SIGN_S = 20
VERSION_S = 30


class Page:
    """A page in a browser, which does what it is asked.

    Args:
        folder: whose files are served.

    Attributes:
        was_hidden: whether its tab was out of sight at any time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.was_hidden = self._has_answered = False
        self.commands: queue.Queue[Json] = queue.Queue()
        self.answers: queue.Queue[Json | None] = queue.Queue()

    def ask(self, name: str, index: int | None = None, **details: Any) -> Json:  # noqa: ANN401
        """What the page answers to a command.

        Args:
            name: of the command.
            index: of the model that it is about.
            details: the rest of the command.

        Raises:
            AgentError: the model cannot be run there, or the page is no more.
        """
        self.commands.put({"name": name, "index": index, **details})
        answer = self._answer()
        if "error" in answer:
            kind = "target" if index is None else "model"
            verb = "cannot be loaded" if name == "open" else "cannot be run"
            reason = " ".join(str(answer["error"]).split())
            raise AgentError(kind, f"{verb} in the browser: {reason}", model=index)
        return answer

    def _answer(self) -> Json:
        try:
            answer = self.answers.get(timeout=None if self._has_answered else START_S)
        except queue.Empty as error:
            raise AgentError("target", f"the browser opened no page in {START_S} s") from error
        if answer is None and not self._has_answered:
            raise AgentError("target", "the browser ended before it opened a page")
        if answer is None:
            hint = "does the model take more memory than a tab may have?"
            raise AgentError("measurement", "the browser's tab ended by itself", hint=hint)
        self._has_answered = True
        self.was_hidden = self.was_hidden or bool(answer.pop("was_hidden", False))
        return answer


class Handler(BaseHTTPRequestHandler):
    """Serves the files of a folder and hands commands to the page in it."""

    server: Server

    def do_GET(self) -> None:
        """A file, or an answer that lasts as long as the page."""
        name = unquote(self.path.partition("?")[0]).lstrip("/")
        if name == "alive":
            self._outlast()
            return
        root = self.server.page.folder.resolve()
        file = (root / name).resolve()
        if not (file.is_relative_to(root) and file.is_file()):
            self.send_error(404)
            return
        self._send(file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))

    def do_POST(self) -> None:
        """The page's answer to the command before, for which it is handed the next."""
        page = self.server.page
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if message is not None:
            page.answers.put(message)
        self._send(json.dumps(page.commands.get()).encode(), "application/json")

    def log_message(self, *_: object) -> None:
        """Nothing: what is served is no news."""

    def _outlast(self) -> None:
        """Let the agent know when the page is no more."""
        self.connection.settimeout(SIGN_S)
        with suppress(OSError):
            self._head("text/plain")
            while True:
                try:
                    if not self.connection.recv(1):
                        break
                except TimeoutError:
                    self.wfile.write(b".")
        self.server.page.answers.put(None)

    def _send(self, body: bytes, kind: str) -> None:
        with suppress(OSError):
            self._head(kind)
            self.wfile.write(body)

    def _head(self, kind: str) -> None:
        """The head of an answer that ends with its connection."""
        self.send_response(200)
        # A page that is kept to come back to would look as if it were still there.
        about = {"Content-Type": kind, "Cache-Control": "no-store", **ISOLATION}
        for key, value in about.items():
            self.send_header(key, value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    """On this machine alone, at a free port; it does not wait for pages that are no more."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, page: Page) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page = page


def command_of(wanted: str | None) -> str:
    """The browser's command.

    Args:
        wanted: another than those that are looked for.

    Raises:
        AgentError: there is none.
    """
    names = COMMANDS if wanted is None else (wanted,)
    command = next(filter(None, map(shutil.which, names)), None)
    if command is None:
        hint = "install Chromium there, or name one: browser = PATH, in the target's [runtime]"
        raise AgentError("target", f"no browser is installed: no {', '.join(names)}", hint=hint)
    return command


def version_of(command: str) -> str:
    """What a browser calls itself.

    Raises:
        AgentError: it cannot be started.
    """
    try:
        done = subprocess.run(  # noqa: S603 (the command is the target's own)
            [command, "--version"], capture_output=True, text=True, timeout=VERSION_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise AgentError("target", f"{command} cannot be started: {error}") from error
    return " ".join(done.stdout.split()[:2])


@contextmanager
def opened(
    command: str, folder: Path, *, backend: str = "wasm", software_gpu: bool = False
) -> Iterator[Page]:
    """A page that serves `page.html` of a folder, in a browser of its own.

    Args:
        command: of the browser.
        folder: whose files the page may ask for.
        backend: what is to compute there.
        software_gpu: whether the browser is to stand in for a GPU itself.
    """
    options = GPU_OPTIONS[backend, software_gpu and backend == "webgpu"]
    page = Page(folder)
    with Server(page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/page.html?backend={backend}"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own:
            try:
                with _browser([command, *OPTIONS, *options], Path(own), url, page):
                    yield page
            finally:
                server.shutdown()


@contextmanager
def _browser(command: list[str], own: Path, url: str, page: Page) -> Iterator[None]:
    # As root, as in containers, Chromium runs without its sandbox only.
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with subprocess.Popen(  # noqa: S603 (the command is the target's own)
        [*command, *sandbox, f"--user-data-dir={own}", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(own)},
    ) as process:
        # A browser that ends before its page was there ends nothing that a server would see.
        Thread(target=_watch, args=(process, page), daemon=True).start()
        try:
            yield
        finally:
            process.terminate()


def _watch(process: subprocess.Popen[bytes], page: Page) -> None:
    process.wait()
    page.answers.put(None)
