// Places and songs are suggested while their name is typed; without this the form simply sends it.
import { _, country } from "./words.js";

const ENOUGH = 2; // characters

/** @param {(address: string) => void} go */
export function suggestPlaces(go) {
  const input = /** @type {HTMLInputElement} */ (document.getElementById("q"));
  const list = /** @type {HTMLElement} */ (document.getElementById("matches"));
  for (const [name, value] of [["role", "combobox"], ["aria-controls", "matches"], ["aria-autocomplete", "list"]]) {
    input.setAttribute(name, value);
  }
  let asked = 0;
  const close = () => show(input, list, []);
  input.addEventListener("input", async () => {
    const mine = ++asked, text = input.value.trim();
    const found = text.length < ENOUGH ? [] : await matches(text);
    if (mine === asked) show(input, list, found);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      mark(input, list, event.key === "ArrowDown" ? 1 : -1);
    }
    const marked = list.querySelector("[aria-selected=true]");
    if (event.key === "Enter" && marked instanceof HTMLElement) {
      event.preventDefault();
      marked.click();
    }
  });
  input.addEventListener("blur", () => setTimeout(() => { asked++; close(); }, 150));
  list.addEventListener("click", (event) => {
    const chosen = /** @type {HTMLElement} */ (event.target).closest("li");
    if (!chosen) return;
    asked++;
    input.value = "";
    close();
    go(String(chosen.dataset.page));
  });
  close();
}

/** @param {string} text */
async function matches(text) {
  const answer = await fetch(`/v1/search?limit=8&q=${encodeURIComponent(text)}`).catch(() => undefined);
  if (!answer?.ok) return [];
  const { places, tracks, artists } = await answer.json();
  const songs = [...tracks.slice(0, 3).map(song), ...artists.slice(0, 2).map(byArtist)];
  return [...places.slice(0, 8 - songs.length).map(place), ...songs];
}

/** @param {any} found */
function place(found) {
  const { id, level, found_by: town } = found;
  const where = level === "region" ? country(found.country, found.parent) : level === "country" ? _("country") : "";
  const name = level === "world" ? _("World") : level === "country" ? country(found.name, id) : found.name;
  return { name, where: town ? `${_("with {town}", { town })} · ${where}` : where, page: `/?place=${id}` };
}

/** @param {any} found */
function song(found) {
  return { name: found.title, where: found.artist, page: found.page };
}

/** @param {any} found */
function byArtist(found) {
  return { name: found.artist, where: _("artist"), page: found.page };
}

/** @param {HTMLInputElement} input @param {HTMLElement} list @param {{name: string, where: string, page: string}[]} found */
function show(input, list, found) {
  list.replaceChildren(...found.map(option));
  list.hidden = !found.length;
  input.setAttribute("aria-expanded", String(!list.hidden));
  input.removeAttribute("aria-activedescendant");
}

/** @param {{name: string, where: string, page: string}} found @param {number} number */
function option(found, number) {
  const line = Object.assign(document.createElement("li"), { id: `match-${number}`, textContent: found.name });
  line.setAttribute("role", "option");
  line.setAttribute("aria-selected", "false");
  line.dataset.page = found.page;
  const where = Object.assign(document.createElement("span"), { textContent: found.where });
  line.append(" ", where);
  return line;
}

/** @param {HTMLInputElement} input @param {HTMLElement} list @param {number} step */
function mark(input, list, step) {
  const lines = [...list.children];
  if (!lines.length) return;
  const before = lines.findIndex((line) => line.ariaSelected === "true");
  const next = before < 0 && step < 0 ? lines.length - 1 : (before + step + lines.length) % lines.length;
  lines.forEach((line, number) => line.setAttribute("aria-selected", String(number === next)));
  lines[next].scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", lines[next].id);
}
