// What needs H3: a listener's coarse cell, its corners, and, in a worker, the hexagons of places without own charts.
import { cellToBoundary } from "h3-js";

export { cellHere } from "./near.js";

/** The corners of a cell as [longitude, latitude]; one that crosses 180 degrees runs on beyond. @param {string} cell */
export function cornersOf(cell) {
  const corners = cellToBoundary(cell, true);
  const wide = Math.max(...corners.map(([x]) => x)) - Math.min(...corners.map(([x]) => x)) > 180;
  return corners.map(([x, y]) => [wide && x < 0 ? x + 360 : x, y]);
}

/** All regions but those that are there already; the first ones have charts. @param {{there: string[], total: number}} asked */
async function others({ there, total }) {
  const { regions } = await (await fetch("/v1/regions/all.json")).json(), known = new Set(there);
  return regions
    .filter((/** @type {any} */ { level }) => level === "region")
    .map((/** @type {any} */ { id, name, country, parent }, /** @type {number} */ at) => ({ id, name, country, parent, served: at < total }))
    .filter((/** @type {any} */ { id }) => !known.has(id))
    .map((/** @type {any} */ each) => ({ ...each, corners: cornersOf(each.id) }));
}

if (!("document" in globalThis)) {
  onmessage = async ({ data }) => postMessage(await others(data).catch(() => undefined));
}
