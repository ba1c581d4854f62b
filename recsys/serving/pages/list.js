// The listener's own list, line by line. Its numbers come from the charts of several places: only those of the list's
// own place share a scale, and the others say where they are from.
import { coverOf } from "./covers.js";
import { reasonOf } from "./reasons.js";
import { _, country, ngettext, number } from "./words.js";

const CHARTS = /** @type {Record<string, string>} */ ({ popular: _("Popular"), rising: _("Rising"), local: _("Special") });
const GRADES = /** @type {Record<string, string>} */ ({ surely: _("surely"), likely: _("likely"), guess: _("a guess") });

/** Draw the lines of a list from a template. @param {any} list @param {HTMLTemplateElement} template */
export function linesOf(list, template) {
  const own = placeOf(list), drawn = list.items.filter((/** @type {any} */ item) => item.source.place === own);
  const most = Math.max(1e-9, ...drawn.map((/** @type {any} */ item) => item.listeners.high));
  return list.items.map((/** @type {any} */ item) => {
    const from = item.source.place === own ? "" : whereOf(item.source.place, list.region);
    return lineOf(item, { template, most, from, place: from && nameOf(item.source.place, list.region) });
  });
}

/** The place that the list is of: the one that was asked for, or the larger one whose charts are shown for it. @param {any} list */
function placeOf({ region, scope }) {
  if (scope === region.level) return region.id;
  return scope === "world" ? "world" : region.parent;
}

/** Where the numbers of a larger place are from. @param {string} id @param {any} region */
function whereOf(id, region) {
  return id === "world" ? _("worldwide") : _("in {place}", { place: nameOf(id, region) });
}

/** @param {string} id @param {any} region */
function nameOf(id, region) {
  return id === region.id && region.level === "region" ? region.name : country(region.country, id);
}

/**
 * One line; it says nothing of moves, which would be those of the chart that it comes from and not of this list.
 * @param {any} item @param {{template: HTMLTemplateElement, most: number, from: string, place: string}} drawn
 */
function lineOf(item, { template, most, from, place }) {
  const made = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  const part = (/** @type {string} */ name) => /** @type {Element} */ (made.querySelector(`[data-${name}]`));
  for (const name of ["rank", "title", "artist"]) part(name).textContent = item[name];
  made.querySelector(".cover svg")?.replaceWith(coverOf(item.track_id));
  part("reason").textContent = reasonOf(item, place);
  part("stay").textContent = stay(item, from);
  part("move").remove();
  part("grade").textContent = GRADES[item.grade] ?? "";
  /** @type {HTMLElement} */ (part("grade")).hidden = !item.grade;
  lead(made, item);
  const { low, estimate, high } = item.listeners;
  part("figure").textContent = count(estimate);
  const numbers = { low: count(low), estimate: count(estimate), high: count(high) };
  const spoken = _("About {estimate} listeners a night, between {low} and {high}", numbers);
  part("spoken").textContent = from ? `${spoken}, ${from}` : spoken;
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
  play?.setAttribute("href", (play.getAttribute("data-play") ?? "").replace("{track_id}", () => encodeURIComponent(track_id)));
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
  const chart = CHARTS[source.chart] + (from && `, ${from}`);
  return ngettext("First night on the chart “{chart}”.", "On the chart “{chart}” for {n} nights in a row.", nights_on_chart, { chart });
}

/** @param {number} listeners */
function count(listeners) {
  return number(listeners, listeners >= 10 ? 0 : 1);
}

/** @param {string} name @param {string} text */
function element(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}
