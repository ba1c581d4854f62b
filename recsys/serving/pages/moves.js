// How a listener moves the map: dragging, pinching, the wheel, buttons and keys; a tap chooses a place.

/** @typedef {import("./hexagons.js").WorldMap} WorldMap */

const STILL = 6; // pixels: a pointer that moved less was a tap
const BESIDE = matchMedia("(min-width: 1000px)"); // where the map is a strip above the text, the wheel scrolls past it

/** @param {WorldMap} map */
export function listenForMoves(map) {
  listenForPointers(map);
  map.canvas.addEventListener("wheel", (event) => {
    if (!BESIDE.matches && !event.ctrlKey) return;
    event.preventDefault();
    map.zoom(2 ** (-event.deltaY / 240), [event.offsetX, event.offsetY]);
  }, { passive: false });
  map.canvas.addEventListener("keydown", (event) => pressed(map, event));
  map.canvas.addEventListener("focus", () => map.canvas.matches(":focus-visible") && map.point(inTheMiddle(map)));
  map.canvas.addEventListener("blur", () => map.point(undefined));
  map.music.label.addEventListener("mousedown", (event) => event.preventDefault()); // else the canvas loses the focus, and with it the label goes
  for (const button of map.place.querySelectorAll("[data-map]")) {
    button.addEventListener("click", () => moved(map, button.getAttribute("data-map") ?? ""));
  }
  for (const kind of ["pointerenter", "focusin"]) map.place.addEventListener(kind, () => map.loadOthers());
}

/** @param {WorldMap} map */
function listenForPointers(map) {
  const { canvas } = map;
  /** @type {Map<number, PointerEvent>} */
  const down = new Map();
  let far = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (!down.size) far = 0;
    down.set(event.pointerId, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return hovers(map, event);
    far += Math.hypot(event.offsetX - before.offsetX, event.offsetY - before.offsetY);
    if (down.size === 1 && far > STILL) map.pan(event.offsetX - before.offsetX, event.offsetY - before.offsetY);
    if (down.size === 2) pinches(map, event, before, down);
    down.set(event.pointerId, event);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (down.size === 1 && far <= STILL) tapped(map, event);
    down.delete(event.pointerId);
  });
  canvas.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && map.point(undefined));
}

/** @param {WorldMap} map @param {PointerEvent} event @param {PointerEvent} before @param {Map<number, PointerEvent>} down */
function pinches(map, event, before, down) {
  const other = [...down.values()].find((each) => each.pointerId !== event.pointerId);
  if (!other) return;
  const wide = (/** @type {PointerEvent} */ one) => Math.hypot(one.offsetX - other.offsetX, one.offsetY - other.offsetY);
  const middle = [(event.offsetX + other.offsetX) / 2, (event.offsetY + other.offsetY) / 2];
  map.zoom(wide(event) / Math.max(1, wide(before)), middle);
}

/** @param {WorldMap} map @param {PointerEvent} event */
function hovers(map, event) {
  const found = event.pointerType === "mouse" ? map.under(event.offsetX, event.offsetY) : undefined;
  if (found === map.hovered) return;
  map.canvas.style.cursor = found ? "pointer" : "grab";
  map.point(found);
}

/** A finger cannot hover: its first tap says what is there, and its second one goes there. @param {WorldMap} map @param {PointerEvent} event */
function tapped(map, event) {
  const found = map.under(event.offsetX, event.offsetY);
  if (event.pointerType === "mouse" || found === map.hovered) chooses(found);
  else map.point(found);
}

/** @param {import("./hexagons.js").Hexagon | undefined} found */
function chooses(found) {
  if (found) document.dispatchEvent(new CustomEvent("place-chosen", { detail: found.id }));
}

/** @param {WorldMap} map @param {KeyboardEvent} event */
function pressed(map, event) {
  const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  /** @type {Record<string, string>} */
  const names = { "+": "in", "=": "in", "-": "out", "0": "all" };
  if (event.key === "Enter") chooses(inTheMiddle(map));
  else if (step) map.pan(step[0], step[1]);
  else if (event.key in names) moved(map, names[event.key]);
  else return;
  event.preventDefault();
  if (event.key !== "Enter") map.point(inTheMiddle(map));
}

/** @param {WorldMap} map */
function inTheMiddle(map) {
  return map.under(map.width / 2, map.height / 2);
}

/** @param {WorldMap} map @param {string} how */
function moved(map, how) {
  if (how === "all") map.head(() => map.whole());
  else map.zoom(how === "in" ? 1.8 : 1 / 1.8);
}
