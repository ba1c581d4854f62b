// The map and "near me": the only part of the page that needs other people's code, and so a build.
import "@fontsource-variable/figtree";
import { drawMap } from "./hexagons.js";

export { cellHere } from "./near.js";

for (const place of document.querySelectorAll("#map")) drawMap(/** @type {HTMLElement} */ (place));
