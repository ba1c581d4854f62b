"""The page on a real server, and what a browser sends to it, byte by byte."""

import base64
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import h3
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from support.edge import NOW, bearer, publish

from recsys.serving.app import create_app
from recsys.settings import Settings
from recsys.workspace import Workspace

HERE = {"latitude": 38.72837, "longitude": -9.14659}  # in Lisbon's region; digits that nothing else has

# Counts how often a page asks for a position, in whichever way.
COUNT_ASKING = """
globalThis.asked = 0;
for (const name of ["getCurrentPosition", "watchPosition"]) {
  const real = Geolocation.prototype[name];
  Geolocation.prototype[name] = function (...given) { globalThis.asked++; return real.apply(this, given); };
}
"""


# Two pages of suggestions under the address bar, which Chromium draws for each visitor though nobody sees a window:
# more than half of the processor time of a short visit; and a process for a page that may come, a quarter of the rest.
# The others are what Playwright turns off, of whose list and this one the last counts: waiting with what is painted, a
# change to https, and questions to the network at the start.
NOT_USED = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "AimEnabled", "PaintHolding", "HttpsUpgrades"),
    *("HttpsFirstBalancedModeAutoEnable", "MediaRouter", "OptimizationHints", "NetworkTimeServiceQuerying"),
    *("PreconnectToSearch", "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose"),
    "SpareRendererForSitePerProcess",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium, without a window.

    Its build without any windows takes a third of the processor time, but stood still for many seconds now and then.
    """
    with sync_playwright() as playwright:
        without = f"--disable-features={','.join(NOT_USED)}"
        with playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[without]) as running:
            yield running


@dataclass
class Site:
    """A server behind a wire that keeps what is sent to the server."""

    url: str
    workspace: Workspace
    settings: Settings
    sent: list[bytes] = field(default_factory=list)

    def token(self, user_id: str) -> str:
        return bearer(user_id, workspace=self.workspace, settings=self.settings)["Authorization"].split()[1]

    def visitor(self, browser: Browser, **options: object) -> BrowserContext:
        """A fresh browser profile that would give its position to whoever asks."""
        calm: dict[str, object] = {"base_url": self.url, "reduced_motion": "reduce"}
        context = browser.new_context(**(calm | {"geolocation": HERE, "permissions": ["geolocation"]} | options))
        context.add_init_script(COUNT_ASKING)
        context.set_default_timeout(15_000)
        return context


@contextmanager
def site(root: Path, *, settings: Settings) -> Iterator[Site]:
    """Serve a small snapshot, on which the tests of the endpoint agree."""
    workspace = Workspace(root).prepare()
    publish(workspace)
    app = create_app(workspace, settings=settings, clock=lambda: NOW, records=lambda listener: iter(()))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as behind, socket.create_server(("127.0.0.1", 0)) as before:
        serving = Thread(target=server.run, kwargs={"sockets": [behind]})
        serving.start()
        found = Site(f"http://127.0.0.1:{before.getsockname()[1]}", workspace, settings)
        Thread(target=_accept, args=(before, behind.getsockname(), found.sent), daemon=True).start()
        yield found
        server.should_exit = server.force_exit = True
        serving.join(timeout=15)


def traces(sent: bytes) -> list[str]:
    """Everything in a text that tells more of the position than a cell of resolution 5 does."""
    raw = sent.decode("latin-1")
    runs = re.findall(r"[A-Za-z0-9+/_-]{8,}", raw)
    forms = [raw, unquote(raw), *(_decoded(run[skip:]) for run in runs for skip in range(4))]
    return sorted({found for form in forms for found in (*_degrees(form), *_fine_cells(form))})


def _degrees(text: str) -> list[str]:
    values = [abs(value) for value in HERE.values()]
    near = [f"{value + step:.2f}"[: len(f"{value:.2f}")] for value in values for step in (-0.005, 0.0, 0.005)]
    digits = [str(value).replace(".", "") for value in values] + [str(round(value * 1e6)) for value in values]
    return [each for each in {*near, *(n.replace(".", ",") for n in near), *digits} if each in text]


def _fine_cells(text: str) -> list[str]:
    written = [each for each in re.findall(r"(?=([0-9a-f]{15}))", text.lower()) if h3.is_valid_cell(each)]
    numbers = [str(int(h3.latlng_to_cell(*HERE.values(), fine), 16)) for fine in range(6, 16)]
    return [each for each in written if h3.get_resolution(each) > 5] + [each for each in numbers if each in text]


def _decoded(run: str) -> str:
    with suppress(ValueError):
        return base64.urlsafe_b64decode(run[: len(run) // 4 * 4].replace("+", "-").replace("/", "_")).decode("latin-1")
    return ""


def _accept(before: socket.socket, behind: tuple[str, int], sent: list[bytes]) -> None:
    with suppress(OSError):  # closed at the end
        while True:
            browser, _ = before.accept()
            server = socket.create_connection(behind)
            Thread(target=_pass, args=(browser, server, sent), daemon=True).start()
            Thread(target=_pass, args=(server, browser, None), daemon=True).start()


def _pass(source: socket.socket, target: socket.socket, kept: list[bytes] | None) -> None:
    with suppress(OSError), source:
        while piece := source.recv(65_536):
            if kept is not None:
                kept.append(piece)
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def until(page: Page, condition: str) -> None:
    """Wait until an expression is true; playwright's own wait evaluates it in the page, which the policy forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)
