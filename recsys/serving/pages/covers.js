// The colours and the drawn cover of a track follow from its id: the same everywhere, and nobody is asked for a picture.
// recsys/serving/pages/covers.py draws the same for what the server writes.

export const COLOURS = 12; // of the palette
const FIGURES = 6;
const SVG = "http://www.w3.org/2000/svg";

/** The colour of the palette that a track would have. @param {string} id */
export function colourOf(id) {
  return hashOf(id) % COLOURS;
}

/** A cover: a ground, a large figure and a small one. @param {string} id */
export function coverOf(id) {
  const take = taking(hashOf(id)), ground = take(COLOURS);
  const [large, small] = [(ground + 3 + 2 * take(4)) % COLOURS, "light"];
  const cover = made("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" });
  cover.append(made("rect", { class: `c${ground}`, width: "24", height: "24" }));
  for (const [kind, colour] of [["l", `c${large}`], ["s", small]]) {
    const [figure, x, y] = [take(FIGURES), take(3), take(3)];
    cover.append(made("use", { class: colour, href: `#${kind}${figure}`, x: String(4 + 8 * x), y: String(4 + 8 * y) }));
  }
  return cover;
}

/** Parts of a number, one after the other, each below a bound. @param {number} number */
function taking(number) {
  return (/** @type {number} */ below) => {
    const taken = number % below;
    number = Math.floor(number / below);
    return taken;
  };
}

/** 32 bits of a text: FNV-1a, and the last step of MurmurHash3, which mixes what it leaves alike. @param {string} text */
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** @param {string} name @param {Record<string, string>} facts */
function made(name, facts) {
  const element = document.createElementNS(SVG, name);
  for (const [fact, value] of Object.entries(facts)) element.setAttribute(fact, value);
  return element;
}
