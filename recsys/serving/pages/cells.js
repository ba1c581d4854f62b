// What needs H3: a listener's coarse cell, its corners, and, in a worker, the hexagons of places without own charts.
import { cellToBoundary } from "h3-js";

export { cellHere } from "./near.js";

/** The corners of a cell as [longitude, latitude]; one that crosses 180 degrees runs on beyond. @param {string} cell */
export function cornersOf(cell) {
  const corners = cellToBoundary(cell, true);
  const wide = Math.max(...corners.map(([x]) => x)) - Math.min(...corners.map(([x]) => x)) > 180;
  return corners.map(([x, y]) => [wide && x < 0 ? x + 360 : x, y]);
}

/** All regions but those that are there already. @param {Set<string>} there */
async function others(there) {
  const { regions } = await (await fetch("/v1/regions/all.json")).json();
  return regions
    .filter((/** @type {any} */ { id, level }) => level === "region" && !there.has(id))
    .map((/** @type {any} */ { id, name, country, parent }) => ({ id, name, country, parent, corners: cornersOf(id) }));
}

if (!("document" in globalThis)) {
  onmessage = async ({ data }) => postMessage(await others(new Set(data)).catch(() => undefined));
}
