// The map of the world with every region as a hexagon: one canvas, drawn from paths that are made once.
import { geoMercator, geoPath } from "d3-geo";
import { cellToBoundary } from "h3-js";
import { feature } from "topojson-client";
import { listenForMoves } from "./moves.js";

const SIZE = 1000; // width of the world before any zoom
const NORTH = 74, SOUTH = -57; // degrees: nobody lives beyond
const TOP = 84, BOTTOM = -60; // degrees: what is drawn; the ice beyond would fill half of the map
const NEAR = 28, CLOSEST = 220; // zoom: of a single region, and at most
const ROOM = 1.5, CLOSER = 1.6; // how much larger than the canvas a picture is kept, and how far it may be enlarged
const REST = 150; // milliseconds without a move after which the picture is drawn anew, sharp
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/** @typedef {{id: string, ring: number[][], box: number[], name: string, parent: string, charts: boolean}} Hexagon */
/** @typedef {{x: number, y: number, zoom: number}} View */

/**
 * Draw the map into a folder of the page, and keep it up to date with what is chosen there.
 * @param {HTMLElement} place
 */
export async function drawMap(place) {
  const map = new WorldMap(place);
  place.classList.add("ready");
  listenForMoves(map);
  document.addEventListener("place-shown", (event) => map.choose(/** @type {CustomEvent} */ (event).detail));
  document.addEventListener("cell-shown", (event) => map.outline(/** @type {CustomEvent} */ (event).detail));
  for (const query of [CALM, matchMedia("(prefers-color-scheme: dark)")]) query.onchange = () => map.refresh();
  new ResizeObserver(() => map.resize()).observe(place);
  await Promise.all([map.loadLand(), map.loadRegions(Number(place.dataset.charts))]);
  document.dispatchEvent(new CustomEvent("map-ready"));
}

export class WorldMap {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.canvas = /** @type {HTMLCanvasElement} */ (place.querySelector("canvas"));
    this.pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    /** @type {Hexagon[]} */
    this.regions = [];
    /** @type {{charts: boolean, path: Path2D}[]} */
    this.layers = []; // the finer regions lie upon the coarser ones
    this.land = this.mine = this.marked = new Path2D();
    this.chosen = "world";
    this.goal = /** @type {(() => View) | undefined} */ (() => this.whole()); // until the listener moves the map
    this.hovered = /** @type {Hexagon | undefined} */ (undefined);
    this.view = /** @type {View} */ ({ x: SIZE / 2, y: 0, zoom: 1 });
    this.width = this.height = this.waiting = 0;
    this.flight = /** @type {object | undefined} */ (undefined);
    this.arrived = false;
    this.picture = document.createElement("canvas"); // land and hexagons, which take long to draw
    this.pictured = /** @type {View | undefined} */ (undefined); // the view that it is of
    this.resting = 0;
  }

  async loadLand() {
    const topology = await (await fetch("/assets/land.json")).json();
    const edges = /** @type {[[number, number], [number, number]]} */ ([[0, projected(0, TOP)[1]], [SIZE, projected(0, BOTTOM)[1]]]);
    const projection = geoMercator().scale(SIZE / (2 * Math.PI)).translate([SIZE / 2, 0]).clipExtent(edges);
    this.land = new Path2D(geoPath(projection).digits(2)(feature(topology, topology.objects.land)) ?? "");
    this.refresh();
  }

  /** @param {number} charts how many of the places have charts of their own: they come first */
  async loadRegions(charts) {
    // The hexagons follow from their ids. As GeoJSON the same answer is three times as long.
    const { regions } = await (await fetch("/v1/regions/all.json")).json();
    const places = regions.map((/** @type {any} */ each, /** @type {number} */ rank) => ({ ...each, charts: rank < charts }));
    this.regions = places.filter((/** @type {any} */ each) => each.level === "region").map(hexagon);
    this.layers = layersOf(this.regions);
    this.refresh();
    this.choose({ id: this.chosen });
  }

  /** Show where a place is. @param {{id: string}} place */
  choose({ id }) {
    this.mine = new Path2D();
    const found = this.mark(id);
    this.head(found.length ? () => this.around(boxOf(found)) : () => this.whole());
  }

  /** Let a region, or all regions of a country, stand out. @param {string} id */
  mark(id) {
    this.chosen = id;
    const found = this.regions.filter((each) => each.id === id || each.parent === id);
    this.marked = pathOf(found);
    return found;
  }

  /** Draw the cell that a listener's place is taken to be. @param {{cell: string, id: string}} found */
  outline({ cell, id }) {
    const ring = ringOf(cell);
    this.mark(id);
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

  /** The region under a point of the canvas. @param {number} x @param {number} y */
  under(x, y) {
    const [u, v] = this.at(x, y);
    const found = this.regions.filter(({ box, ring }) =>
      u >= box[0] && u <= box[2] && v >= box[1] && v <= box[3] && inside(ring, u, v));
    return found.sort((one, other) => other.id.localeCompare(one.id))[0]; // of two the finer: its id is the larger
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
    if (!this.width) return;
    const { pen, canvas, view } = this, of = this.colours();
    if (!this.pictured || !this.covers(this.pictured)) this.drawPicture(of);
    const from = this.pictured ?? view, times = view.zoom / from.zoom, pixels = this.sharp() * view.zoom;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = of("--sea");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(times, 0, 0, times, canvas.width / 2 + (from.x - view.x) * pixels, canvas.height / 2 + (from.y - view.y) * pixels);
    pen.drawImage(this.picture, -this.picture.width / 2, -this.picture.height / 2);
    this.aim(pen, canvas);
    fill(pen, this.marked, of("--accent"));
    pen.lineWidth = 1 / view.zoom;
    if (view.zoom > 4) stroke(pen, this.marked, of("--land"));
    pen.lineWidth = 2.5 / view.zoom;
    stroke(pen, this.mine, of("--ink"));
    if (this.hovered) stroke(pen, pathOf([this.hovered]), of("--ink"));
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
    fill(pen, this.land, of("--land"));
    pen.lineWidth = Math.min(1, view.zoom / 20) / view.zoom;
    for (const { charts, path } of this.layers) {
      fill(pen, path, of(charts ? "--charted" : "--hexagon"));
      if (view.zoom > 4) stroke(pen, path, of("--land")); // from afar lines show nothing and cost most of the time
    }
    pen.lineWidth = 1 / view.zoom;
    if (view.zoom > 4) stroke(pen, this.land, of("--coast"));
    this.pictured = view;
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

/** @param {any} place @returns {Hexagon} */
function hexagon({ id, name, country, parent, charts }) {
  const ring = ringOf(id);
  return { id, ring, box: boxAround(ring), name: `${name}, ${country}`, parent, charts };
}

/** The corners of a cell on the map; a cell that crosses 180 degrees runs on beyond them. @param {string} cell */
function ringOf(cell) {
  const corners = cellToBoundary(cell, true);
  const wide = Math.max(...corners.map(([x]) => x)) - Math.min(...corners.map(([x]) => x)) > 180;
  return corners.map(([x, y]) => projected(wide && x < 0 ? x + 360 : x, y));
}

/** @param {Hexagon[]} regions */
function layersOf(regions) {
  const kinds = ["3", "4", "5", "6"].flatMap((resolution) => [false, true].map((charts) => ({ resolution, charts })));
  return kinds.map(({ resolution, charts }) => ({
    charts, path: pathOf(regions.filter((each) => each.id[1] === resolution && each.charts === charts)),
  }));
}

/** Mercator, which keeps hexagons hexagons. @param {number} longitude @param {number} latitude */
function projected(longitude, latitude) {
  const y = Math.log(Math.tan(Math.PI / 4 + (latitude * Math.PI) / 360));
  return [SIZE * (0.5 + longitude / 360), (-y * SIZE) / (2 * Math.PI)];
}

/** @param {{ring: number[][]}[]} hexagons */
function pathOf(hexagons) {
  const path = new Path2D();
  for (const { ring } of hexagons) {
    ring.forEach(([x, y], corner) => (corner ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  return path;
}

/** @param {number[][]} ring */
function boxAround(ring) {
  const [xs, ys] = [ring.map(([x]) => x), ring.map(([, y]) => y)];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** The box that most of some hexagons lie in; far islands are not worth a view of the ocean.
 * @param {{box: number[]}[]} hexagons */
function boxOf(hexagons) {
  return [0, 1, 2, 3].map((side) => {
    const sorted = hexagons.map(({ box }) => box[side]).sort((a, b) => a - b);
    const cut = Math.floor(sorted.length * 0.03);
    return sorted[side < 2 ? cut : sorted.length - 1 - cut];
  });
}

/** @param {number[][]} ring @param {number} x @param {number} y */
function inside(ring, x, y) {
  let is = false;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [[a, b], [c, d]] = [ring[i], ring[j]];
    if (b > y !== d > y && x < ((c - a) * (y - b)) / (d - b) + a) is = !is;
  }
  return is;
}
