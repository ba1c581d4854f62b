// The map of the world with every region as a hexagon in the colour of its music: one canvas.
import { boxAround, boxOf, grown, inside, LAND, pathOf, projected, SIZE, trace } from "./geometry.js";
import { listenForMoves } from "./moves.js";
import { Music } from "./music.js";
import { _, country } from "./words.js";

const CELLS = "/assets/cells.js"; // what needs H3, which is large: not before it is needed
const NORTH = 74, SOUTH = -57; // degrees: nobody lives beyond
const FAR = 4; // zoom: up to there neither lines between places nor the bends of a coast are seen
const NEAR = 28, CLOSEST = 220; // zoom: of a single region, and at most
const ROOM = 1.5, CLOSER = 1.6; // how much larger than the canvas a picture is kept, and how far it may be enlarged
const REST = 150; // milliseconds without a move after which the picture is drawn anew, sharp
const SEEN = 4.5; // pixels: a place with charts of its own is drawn no smaller, from however far
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @typedef {{id: string, ring: number[][], box: number[], middle: number[], reach: number, name: () => string, parent: string,
 *   charts: boolean, served: boolean, popular?: number, local?: number, grade?: string}} Hexagon
 */
/** @typedef {{x: number, y: number, zoom: number}} View */

/**
 * Draw the map into a folder of the page, and keep it up to date with what is chosen there; without regions there is none.
 * @param {HTMLElement} place
 */
export async function drawMap(place) {
  const map = new WorldMap(place), land = map.loadLand("land-far.json");
  map.known = map.loadRegions();
  place.classList.add("ready");
  listenForMoves(map);
  document.addEventListener("place-shown", (event) => map.choose(/** @type {CustomEvent} */ (event).detail));
  document.addEventListener("cell-shown", (event) => map.outline(/** @type {CustomEvent} */ (event).detail));
  for (const query of [CALM, matchMedia("(prefers-color-scheme: dark)")]) query.onchange = () => map.refresh();
  new ResizeObserver(() => map.resize()).observe(place);
  await Promise.allSettled([land, map.known]);
  map.loaded = true;
  map.choose({ id: map.chosen });
  document.dispatchEvent(new CustomEvent("map-ready"));
  await map.known;
}

export class WorldMap {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.canvas = /** @type {HTMLCanvasElement} */ (place.querySelector("canvas"));
    this.pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.music = new Music(place, () => { this.refresh(); this.point(this.hovered); });
    /** @type {Hexagon[]} */
    this.regions = []; // those with charts of their own; the first have the most people
    /** @type {Hexagon[]} */
    this.others = [];
    /** @type {Layer[]} */
    this.layers = []; // the finer regions lie upon the coarser ones
    this.known = /** @type {Promise<number>} */ (Promise.resolve(0)); // how many regions have charts of their own
    this.asked = /** @type {Promise<void> | undefined} */ (undefined); // for the others
    this.land = this.mine = this.marked = new Path2D();
    this.chosen = "world";
    this.choices = 0; // what comes after a later one moves nothing
    this.goal = /** @type {(() => View) | undefined} */ (() => this.whole()); // until the listener moves the map
    this.hovered = /** @type {Hexagon | undefined} */ (undefined);
    this.view = /** @type {View} */ ({ x: SIZE / 2, y: 0, zoom: 1 });
    this.width = this.height = this.waiting = 0;
    this.flight = /** @type {object | undefined} */ (undefined);
    this.fine = this.loaded = this.arrived = false; // what is drawn takes long, so that it is not begun with a part
    this.picture = document.createElement("canvas"); // land and hexagons, which take long to draw
    this.pictured = /** @type {View | undefined} */ (undefined); // the view that it is of
    this.resting = 0;
  }

  /** @param {string} name of the outline, which is coarse or fine */
  async loadLand(name) {
    const path = new Path2D(await read(`/assets/${name}`));
    this.land = new Path2D();
    this.land.addPath(path, new DOMMatrix().scale(1 / LAND));
  }

  /** Fetch the fine outline, once its bends can be seen. */
  async refine() {
    this.fine = true;
    await this.loadLand("land.json").then(() => this.refresh(), () => { this.fine = false; });
  }

  async loadRegions() {
    const { tracks, regions, total } = await read("/v1/regions/map.json");
    this.music.know(tracks);
    this.regions = regions.map((/** @type {any} */ each) => hexagon(each, true));
    this.layers = layersOf(this.regions, this.others);
    return /** @type {number} */ (total);
  }

  /** Fetch the other places once somebody looks at the map, as there are many; where that fails, the next look does. */
  loadOthers() {
    this.asked ??= this.fetchOthers().catch(() => { this.asked = undefined; });
    return this.asked;
  }

  async fetchOthers() {
    const total = await this.known; // others are those that are not there yet
    const others = await inWorker({ there: this.regions.map(({ id }) => id), total });
    this.others = others.map((each) => hexagon(each, false));
    this.layers = layersOf(this.regions, this.others);
    this.refresh();
  }

  /** Show where a place is. @param {{id: string}} place */
  async choose({ id }) {
    const choice = ++this.choices;
    this.mine = new Path2D();
    let found = this.mark(id);
    if (!found.length && id !== "world" && this.loaded) {
      await this.loadOthers();
      if (this.choices !== choice) return;
      found = this.mark(id);
    }
    this.head(found.length ? () => this.around(boxOf(found)) : () => this.whole());
  }

  /** Let a region, or all regions of a country, stand out. @param {string} id */
  mark(id) {
    this.chosen = id;
    const found = [...this.regions, ...this.others].filter((each) => each.id === id || each.parent === id);
    this.marked = pathOf(found);
    return found;
  }

  /** Draw the cell that a listener's place is taken to be. @param {{cell: string, id: string}} found */
  async outline({ cell, id }) {
    const choice = ++this.choices;
    this.mark(id);
    const { cornersOf } = await import(CELLS);
    if (this.choices !== choice) return; // signed out meanwhile, or somewhere else
    const ring = cornersOf(cell).map((/** @type {[number, number]} */ corner) => projected(...corner));
    this.mine = pathOf([{ ring }]);
    this.head(() => this.around(boxAround(ring)));
  }

  /** The view of the whole world, with sea around it where the canvas has another shape. */
  whole() {
    const [top, bottom] = [projected(0, NORTH)[1], projected(0, SOUTH)[1]];
    return { x: SIZE / 2, y: (top + bottom) / 2, zoom: Math.min(this.width / SIZE, this.height / (bottom - top)) };
  }

  /** The view of a box with room around it. @param {number[]} box */
  around([left, top, right, bottom]) {
    const fits = Math.min(this.width / (right - left), this.height / (bottom - top));
    const zoom = this.bounded(Math.min(fits * 0.8, NEAR));
    return { x: (left + right) / 2, y: (top + bottom) / 2, zoom };
  }

  /** @param {number} zoom */
  bounded(zoom) {
    return Math.min(CLOSEST, Math.max(this.whole().zoom / 1.2, zoom));
  }

  /** Go to a view and keep it, whatever size the map takes, until the listener moves on. @param {() => View} goal */
  head(goal) {
    this.goal = goal;
    if (this.width) this.fly(goal());
  }

  /** Go to a view, at once where the listener wants things to hold still. @param {View} view */
  fly(view) {
    const from = this.view, start = performance.now();
    const flight = (this.flight = {});
    const step = (/** @type {number} */ now) => {
      if (this.flight !== flight) return;
      const done = CALM.matches || !this.arrived ? 1 : Math.min(1, Math.max(0, now - start) / 600);
      const eased = 1 - (1 - done) ** 3;
      const zoom = from.zoom * (view.zoom / from.zoom) ** eased;
      this.look({ x: from.x + (view.x - from.x) * eased, y: from.y + (view.y - from.y) * eased, zoom });
      if (done < 1) requestAnimationFrame(step);
      this.arrived ||= this.regions.length > 0;
    };
    requestAnimationFrame(step);
  }

  /** Zoom by a factor around a point of the canvas, by default its middle. @param {number} factor @param {number[]} at */
  zoom(factor, [x, y] = [this.width / 2, this.height / 2]) {
    const before = this.at(x, y), zoom = this.bounded(this.view.zoom * factor);
    this.flight = this.goal = undefined;
    this.look({
      x: before[0] - (x - this.width / 2) / zoom, y: before[1] - (y - this.height / 2) / zoom, zoom,
    });
  }

  /** Move by pixels. @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.flight = this.goal = undefined;
    this.look({ ...this.view, x: this.view.x - dx / this.view.zoom, y: this.view.y - dy / this.view.zoom });
  }

  /** @param {View} view */
  look({ x, y, zoom }) {
    this.point(undefined);
    const [top, bottom] = [projected(0, 84)[1], projected(0, -80)[1]];
    this.view = { x: Math.min(SIZE * 1.1, Math.max(-SIZE * 0.1, x)), y: Math.min(bottom, Math.max(top, y)), zoom };
    this.draw();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.pictured !== this.view && this.refresh(), REST);
  }

  /** The point of the world under a point of the canvas. @param {number} x @param {number} y */
  at(x, y) {
    const { view } = this;
    return [view.x + (x - this.width / 2) / view.zoom, view.y + (y - this.height / 2) / view.zoom];
  }

  /** A point of the canvas, where a point of the world is. @param {number[]} point */
  from([x, y]) {
    const { view } = this;
    return [(x - view.x) * view.zoom + this.width / 2, (y - view.y) * view.zoom + this.height / 2];
  }

  /** The region under a point of the canvas. @param {number} x @param {number} y */
  under(x, y) {
    const [u, v] = this.at(x, y);
    const holds = (/** @type {Hexagon} */ each) => {
      const times = this.times(each), [a, b] = each.middle;
      return Math.hypot(u - a, v - b) <= each.reach * times && inside(grown(each, times), u, v);
    };
    return found([...this.regions.filter(holds), ...this.others.filter(holds)]);
  }

  /** How many times as large as it is a region is drawn. @param {Hexagon} region */
  times({ charts, reach }) {
    return charts ? Math.max(1, SEEN / (reach * this.view.zoom)) : 1;
  }

  /** Say what a region is and what it has, or that nothing is pointed at. @param {Hexagon | undefined} region */
  point(region) {
    this.hovered = region;
    this.music.tell(region, region && this.from(region.middle), [this.width, this.height]);
    this.draw();
  }

  /** Name the songs that are in sight. */
  explain() {
    const [left, top] = this.at(0, 0), [right, bottom] = this.at(this.width, this.height);
    const seen = (/** @type {Hexagon} */ { middle: [x, y] }) => x >= left && x <= right && y >= top && y <= bottom;
    this.music.explain(this.regions.filter(seen), this.colours());
  }

  resize() {
    const { width, height } = this.place.getBoundingClientRect();
    [this.width, this.height] = [width, height]; // nothing where the page hides the map
    const sharp = Math.min(devicePixelRatio, 2);
    [this.canvas.width, this.canvas.height] = [width * sharp, height * sharp];
    if (width && this.goal) this.head(this.goal);
    this.refresh();
  }

  /** Draw everything anew. */
  refresh() {
    this.pictured = undefined;
    this.draw();
  }

  draw() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.paint(); });
  }

  paint() {
    if (!this.width || !this.loaded) return;
    const { pen, canvas, view } = this, of = this.colours();
    if (!this.pictured || !this.covers(this.pictured)) this.drawPicture(of);
    const from = this.pictured ?? view, times = view.zoom / from.zoom, pixels = this.sharp() * view.zoom;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = of("--sea");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(times, 0, 0, times, canvas.width / 2 + (from.x - view.x) * pixels, canvas.height / 2 + (from.y - view.y) * pixels);
    pen.drawImage(this.picture, -this.picture.width / 2, -this.picture.height / 2);
    this.aim(pen, canvas);
    pen.lineWidth = 2.5 / view.zoom;
    if (this.hovered) stroke(pen, pathOf([{ ring: grown(this.hovered, this.times(this.hovered)) }]), of("--ink"));
    pen.lineWidth = 7 / view.zoom; // and so seen below what is marked, where that has the same shape
    stroke(pen, this.mine, of("--ink"));
    pen.lineWidth = (this.chosen.length > 2 ? 4 : 2) / view.zoom; // of a country there are many
    stroke(pen, this.marked, of("--accent"));
  }

  /** Tell whether the picture still fills the canvas, and is not enlarged too far. @param {View} from */
  covers(from) {
    const times = this.view.zoom / from.zoom, { width, height } = this;
    const within = (/** @type {number} */ off, /** @type {number} */ size) => Math.abs(off) * this.view.zoom <= (size / 2) * (ROOM * times - 1);
    return times <= CLOSER && within(from.x - this.view.x, width) && within(from.y - this.view.y, height);
  }

  /** Draw land and hexagons around the view into the picture. @param {(name: string) => string} of */
  drawPicture(of) {
    const { picture, canvas, view } = this, pen = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d"));
    [picture.width, picture.height] = [Math.ceil(canvas.width * ROOM), Math.ceil(canvas.height * ROOM)]; // and so empty
    this.aim(pen, picture);
    if (view.zoom > FAR && !this.fine) this.refine();
    fill(pen, this.land, of("--land"));
    pen.lineWidth = Math.min(1, view.zoom / 20) / view.zoom;
    const lined = (/** @type {Path2D} */ path) => view.zoom > FAR && stroke(pen, path, of("--land"));
    for (const { plain, charted } of this.layers) {
      fill(pen, plain, of("--hexagon"));
      lined(plain); // from afar lines show nothing and cost most of the time
      for (const [track, path] of this.coloured(charted)) {
        fill(pen, path, this.music.colour(track, of));
        lined(path);
      }
    }
    pen.lineWidth = 1 / view.zoom;
    if (view.zoom > FAR) stroke(pen, this.land, of("--coast"));
    this.pictured = view;
    this.explain();
  }

  /** The shapes of some regions, by their track. @param {Hexagon[]} regions */
  coloured(regions) {
    /** @type {Map<number | undefined, Path2D>} */
    const paths = new Map();
    for (const region of regions) {
      const track = this.music.trackOf(region), path = paths.get(track) ?? new Path2D();
      trace(path, grown(region, this.times(region)));
      paths.set(track, path);
    }
    return paths;
  }

  /** Let a pen draw the world as the view has it. @param {CanvasRenderingContext2D} pen @param {HTMLCanvasElement} on */
  aim(pen, on) {
    const scale = this.view.zoom * this.sharp();
    pen.setTransform(scale, 0, 0, scale, on.width / 2 - this.view.x * scale, on.height / 2 - this.view.y * scale);
    pen.lineJoin = "round";
  }

  /** Pixels of the canvas to one of the page. */
  sharp() {
    return this.canvas.width / (this.width || 1);
  }

  colours() {
    const found = getComputedStyle(this.place);
    return (/** @type {string} */ name) => found.getPropertyValue(name);
  }
}

/** @param {string} address @returns {Promise<any>} */
async function read(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

/** The places that are not there yet. @param {{there: string[], total: number}} asked @returns {Promise<any[]>} */
function inWorker(asked) {
  const worker = new Worker(CELLS, { type: "module" });
  return new Promise((done, failed) => {
    worker.onmessage = ({ data }) => (data ? done(data) : failed(new Error(CELLS)));
    worker.onerror = failed;
    worker.postMessage(asked);
  }).finally(() => worker.terminate());
}

/** @param {CanvasRenderingContext2D} pen @param {Path2D} path @param {string} colour */
function fill(pen, path, colour) {
  pen.fillStyle = colour;
  pen.fill(path);
}

/** @param {CanvasRenderingContext2D} pen @param {Path2D} path @param {string} colour */
function stroke(pen, path, colour) {
  pen.strokeStyle = colour;
  pen.stroke(path);
}

/** @param {any} place @param {boolean} charts @returns {Hexagon} */
function hexagon({ id, name: place, country: of, parent, corners, served, popular, local, grade }, charts) {
  const ring = corners.map((/** @type {[number, number]} */ corner) => projected(...corner)), box = boxAround(ring);
  const middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], reach = Math.hypot(box[2] - box[0], box[3] - box[1]) / 2;
  const name = () => _("{place}, {country}", { place, country: country(of, parent) }); // of thousands few are asked for
  return { id, ring, box, middle, reach, name, parent, charts, served: charts || served, popular, local, grade };
}

/** Of several the finest: its id is the largest. @param {Hexagon[]} regions @returns {Hexagon | undefined} */
function found(regions) {
  return regions.sort((one, other) => other.id.localeCompare(one.id))[0];
}

/** @typedef {{plain: Path2D, charted: Hexagon[]}} Layer */

/** @param {Hexagon[]} regions @param {Hexagon[]} others @returns {Layer[]} */
function layersOf(regions, others) {
  return ["3", "4", "5", "6"].map((resolution) => ({
    plain: pathOf(others.filter(({ id }) => id[1] === resolution)),
    charted: regions.filter(({ id }) => id[1] === resolution).reverse(),
  }));
}
