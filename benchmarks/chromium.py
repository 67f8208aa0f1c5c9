"""A headless Chromium for what a page does in a real browser, driven over the DevTools protocol on a pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    *("--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run", "--no-default-browser-check"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio", "--metrics-recording-only"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def installed() -> str | None:
    """Chromium's command on this machine; None where there is none."""
    return next((found for name in COMMANDS if (found := shutil.which(name)) is not None), None)


class BrowserError(Exception):
    """The browser, or the page, said that something went wrong."""


class Chromium:
    """One tab; what it asked for, and what the page logged as errors, is kept."""

    def __init__(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        command = installed()
        if command is None:
            raise BrowserError("no Chromium: apt-get install chromium")
        self.requests: list[str] = []
        """URLs, oldest first."""
        self.errors: list[str] = []
        """Exceptions and errors of the page."""
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._serial = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._rest = b""
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        flags = [*_FLAGS, *sandbox, f"--user-data-dir={self._profile}", "about:blank"]
        script = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
        self.process = subprocess.Popen(
            ["bash", "-c", script, command, *flags], pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def resize(self, width: int, height: int) -> None:
        """Of the window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def open(self, url: str) -> None:
        """Go there; does not wait for the page."""
        failed = self.call("Page.navigate", url=url).get("errorText")
        if failed:
            raise BrowserError(f"{url}: {failed}")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, which JSON can say."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, timeout_s: float = 60.0, alive: Callable[[], object] | None = None) -> Any:
        """The first value of an expression that is true. Raises BrowserError after so long."""
        end, said = time.monotonic() + timeout_s, None
        while time.monotonic() < end:
            try:
                if value := self.evaluate(expression):
                    return value
            except BrowserError as err:  # of a page that is not there yet
                said = err
            if alive is not None:
                alive()
            time.sleep(0.02)
        raise BrowserError(f"{expression}: not true in {timeout_s:g} s; errors of the page: {self.errors}; {said}")

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """The page as PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._serial += 1
        message: dict[str, Any] = {"id": self._serial, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        raw = json.dumps(message).encode() + b"\0"
        while raw:
            raw = raw[os.write(self._write, raw) :]
        while message["id"] not in self._answers:
            self._receive(60.0)
        answer = self._answers.pop(message["id"])
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return answer["result"]

    def _receive(self, timeout_s: float) -> None:
        if not select.select([self._read], [], [], timeout_s)[0]:
            raise BrowserError(f"Chromium has said nothing for {timeout_s:g} s")
        data = os.read(self._read, 1 << 20)
        if not data:
            raise BrowserError("Chromium has ended")
        *messages, self._rest = (self._rest + data).split(b"\0")
        for raw in messages:
            self._take(json.loads(raw))

    def _take(self, message: dict[str, Any]) -> None:
        said = message.get("params", {})
        if "id" in message:
            self._answers[message["id"]] = message
        elif message.get("method") == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(said["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif message.get("method") == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.errors.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")

    def close(self) -> None:
        """End it, and remove its profile."""
        for descriptor in (self._write, self._read):
            os.close(descriptor)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
