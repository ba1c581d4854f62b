// The listener's own list, line by line. Its numbers come from the charts of several places: only those of the list's
// own place share a scale, and the others say where they are from.
import { coverOf } from "./covers.js";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 }); // once: to make one takes long
const GRADES = /** @type {Record<string, string>} */ ({ surely: "surely", likely: "likely", guess: "a guess" });

/** Draw the lines of a list from a template. @param {any} list @param {HTMLTemplateElement} template */
export function linesOf(list, template) {
  const own = placeOf(list), drawn = list.items.filter((/** @type {any} */ item) => item.source.place === own);
  const most = Math.max(1e-9, ...drawn.map((/** @type {any} */ item) => item.listeners.high));
  return list.items.map((/** @type {any} */ item) => {
    const from = item.source.place === own ? "" : nameOf(item.source.place, list.region);
    return lineOf(item, { template, most, from });
  });
}

/** A text with its dates held together. @param {string} text @returns {(string | Element)[]} */
export function dated(text) {
  return text.split(/(\d{4}-\d{2}-\d{2})/).map((part, at) => (at % 2 ? element("time", part) : part));
}

/** The place that the list is of: the one that was asked for, or the larger one whose charts are shown for it. @param {any} list */
function placeOf({ region, scope }) {
  if (scope === region.level) return region.id;
  return scope === "world" ? "world" : region.parent;
}

/** Where the numbers of a larger place are from. @param {string} id @param {any} region */
function nameOf(id, region) {
  return id === "world" ? "worldwide" : `in ${id === region.id ? region.name : region.country}`;
}

/**
 * One line; it says nothing of moves, which would be those of the chart that it comes from and not of this list.
 * @param {any} item @param {{template: HTMLTemplateElement, most: number, from: string}} drawn
 */
function lineOf(item, { template, most, from }) {
  const made = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  const part = (/** @type {string} */ name) => /** @type {Element} */ (made.querySelector(`[data-${name}]`));
  for (const name of ["rank", "title", "artist"]) part(name).textContent = item[name];
  made.querySelector(".cover")?.replaceWith(coverOf(item.track_id));
  part("reason").replaceChildren(...dated(item.reason));
  part("stay").textContent = stay(item, from);
  part("move").remove();
  part("grade").textContent = GRADES[item.grade] ?? "";
  /** @type {HTMLElement} */ (part("grade")).hidden = !item.grade;
  lead(made, item);
  const { low, estimate, high } = item.listeners;
  part("figure").textContent = count(estimate);
  part("spoken").textContent = `About ${count(estimate)} listeners a night${from && ` ${from}`}, between ${count(low)} and ${count(high)}`;
  if (from) part("whisker").replaceWith(Object.assign(element("span", from), { className: "from", ariaHidden: "true" }));
  else draw(part, item.listeners, most);
  return made;
}

/** Let a line lead on, to where the server says: an id may be any text. @param {DocumentFragment} made @param {any} item */
function lead(made, { track_id, artist, page, artist_page }) {
  const by = made.querySelector("[data-by]"), play = made.querySelector("[data-play]");
  if (by) by.textContent = artist;
  by?.setAttribute("href", artist_page ?? "");
  made.querySelector("[data-song]")?.setAttribute("href", page);
  made.querySelector("[data-history]")?.setAttribute("href", `${page}#history`);
  made.querySelector("[data-share]")?.setAttribute("data-share", page);
  play?.setAttribute("href", (play.getAttribute("data-play") ?? "").replace("{track_id}", encodeURIComponent(track_id)));
  if (!artist_page) by?.remove();
}

/** @param {(name: string) => Element} part @param {{low: number, estimate: number, high: number}} listeners @param {number} most */
function draw(part, { low, estimate, high }, most) {
  const at = (/** @type {number} */ x) => `${Math.min(100, (100 * x) / most)}%`;
  part("line").setAttribute("x1", at(low));
  part("line").setAttribute("x2", at(high));
  part("dot").setAttribute("cx", at(estimate));
}

/** How long a track has been on the chart that its line comes from. @param {any} item @param {string} from */
function stay({ nights_on_chart, source }, from) {
  const chart = `the ${source.chart === "local" ? "special" : source.chart} chart${from && ` ${from}`}`;
  return nights_on_chart === 1 ? `First night on ${chart}.` : `On ${chart} for ${nights_on_chart} nights in a row.`;
}

/** @param {number} number */
function count(number) {
  return number >= 10 ? WHOLE.format(number) : number.toFixed(1);
}

/** @param {string} name @param {string} text */
function element(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}
