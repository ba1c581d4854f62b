// The map: the page asks for it once it is to be seen.
import { drawMap } from "./hexagons.js";

for (const place of document.querySelectorAll("#map")) await drawMap(/** @type {HTMLElement} */ (place));
