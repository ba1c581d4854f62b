"""What a browser sees of a page in a fresh profile: what moves, how soon it is there, and what it weighs."""

from dataclasses import dataclass

from playwright.sync_api import Browser
from support.browsing import Site
from support.edge import LISBON

from recsys.artifacts.chart_history import mark_of

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PAGES = ["/", "/me", "/me signed in", f"/?place={LISBON}", f"/songs/{mark_of('track-1')}/"]  # the heaviest of each kind
PACE = 300  # milliseconds that the loop below takes on a cheap phone; where it takes longer, so may the page

WATCH = """globalThis.seen = {moved: 0, largest: 0, blocked: 0};
const watch = (type, see) =>
  new PerformanceObserver((list) => list.getEntries().forEach(see)).observe({type, buffered: true});
watch("layout-shift", (each) => { seen.moved += each.hadRecentInput ? 0 : each.value; });
watch("largest-contentful-paint", (each) => { seen.largest = each.startTime; });
watch("longtask", (each) => { seen.blocked += Math.max(0, each.duration - 50); });"""

LOOP = """(() => {
  const start = performance.now();
  let last = 0;
  for (let i = 0; i < 1e7; i++) last = (last * 31 + i) | 0;
  globalThis.last = last;
  return performance.now() - start;
})()"""


@dataclass(frozen=True)
class Seen:
    """What a browser saw of a page.

    Parameters
    ----------
    moved : float
        Layout shift.
    largest, blocked : float
        Milliseconds until the largest part was there, and of tasks beyond 50 each, at the pace of a phone.
    weight : int
        Bytes on the wire.
    """

    moved: float
    largest: float
    blocked: float
    weight: int


def seen(site: Site, browser: Browser, path: str, *, size: dict[str, int], slower: int = 1) -> Seen:
    """Open a page in a fresh profile, and wait until all that it asks for is there."""
    visitor = site.visitor(browser, viewport=size)
    page = visitor.new_page()
    wire = visitor.new_cdp_session(page)
    sizes: list[int] = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    wire.send("Network.enable")
    wire.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    slow = max(1.0, page.evaluate(LOOP) / PACE) if slower > 1 else 1.0
    page.add_init_script(WATCH)
    address, _, signed_in = path.partition(" ")
    page.goto(address + (f"#token={site.token('reader')}" if signed_in else ""), wait_until="networkidle")
    page.wait_for_timeout(300 * slower)
    found = page.evaluate("seen")
    visitor.close()
    return Seen(found["moved"], found["largest"] / slow, found["blocked"] / slow, int(sum(sizes)))
