// What the map says of music: a colour for every number one, which song is whose, and what a place has.
import { COLOURS, colourOf } from "./covers.js";
import { _ } from "./words.js";

const SHOWN = 5; // songs of the legend
const GRADES = /** @type {Record<string, string>} */ ({ surely: _("surely"), likely: _("likely"), guess: _("a guess") });

/** @typedef {import("./hexagons.js").Hexagon} Hexagon */
/** @typedef {import("./hexagons.js").WorldMap} WorldMap */
/** @typedef {{track_id: string, title: string, artist: string}} Track */

export class Music {
  /** @param {HTMLElement} place @param {() => void} changed */
  constructor(place, changed) {
    this.place = place;
    this.legend = /** @type {HTMLElement} */ (place.querySelector(".legend"));
    this.label = /** @type {HTMLElement} */ (place.querySelector(".map-label"));
    /** @type {Track[]} */
    this.tracks = [];
    /** @type {(number | undefined)[]} */
    this.numbers = []; // of the palette, by track; those that are rare have none left
    this.chart = /** @type {"popular" | "local"} */ ("popular");
    for (const button of place.querySelectorAll("[data-colours]")) {
      button.addEventListener("click", () => { this.show(button.getAttribute("data-colours") ?? ""); changed(); });
    }
  }

  /** Give each track a colour, the most common ones first: its own, or where that is taken the next. @param {Track[]} tracks */
  know(tracks) {
    this.tracks = tracks;
    const left = new Set(Array(COLOURS).keys());
    this.numbers = tracks.map(({ track_id }) => {
      const own = colourOf(track_id), steps = [...Array(COLOURS).keys()].map((step) => (own + step) % COLOURS);
      const number = steps.find((each) => left.has(each));
      if (number !== undefined) left.delete(number);
      return number;
    });
  }

  /** @param {string} chart */
  show(chart) {
    this.chart = chart === "local" ? "local" : "popular";
    for (const button of this.place.querySelectorAll("[data-colours]")) {
      button.setAttribute("aria-pressed", String(button.getAttribute("data-colours") === this.chart));
    }
  }

  /** The number of a place's track among all, if it has one. @param {Hexagon} region */
  trackOf(region) {
    return region[this.chart] ?? undefined;
  }

  /** @param {number | undefined} track @param {(name: string) => string} of */
  colour(track, of) {
    if (track === undefined) return of("--charted");
    const number = this.numbers[track];
    return number === undefined ? `hsl(${(track * 137) % 360} 32% 56%)` : of(`--c${number}`);
  }

  /** Name the songs that are the most common among some places. @param {Hexagon[]} regions @param {(name: string) => string} of */
  explain(regions, of) {
    /** @type {Map<number, number>} */
    const counts = new Map();
    for (const track of regions.map((each) => this.trackOf(each))) {
      if (track !== undefined) counts.set(track, (counts.get(track) ?? 0) + 1);
    }
    const common = [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0]).slice(0, SHOWN);
    this.legend.replaceChildren(...common.map(([track]) => entry(this.colour(track, of), this.tracks[track].title)));
  }

  /** Say what a place has, beside it; nothing of none. @param {Hexagon | undefined} region @param {number[]} at @param {number[]} size */
  tell(region, at = [0, 0], size = [0, 0]) {
    this.label.hidden = !region;
    if (!region) return;
    const link = Object.assign(document.createElement("a"), { href: `/?place=${region.id}`, textContent: region.name(), tabIndex: -1 });
    this.label.replaceChildren(link, ...this.said(region).map((text) => Object.assign(document.createElement("span"), { textContent: text })));
    const { offsetWidth, offsetHeight } = this.label;
    const left = Math.max(4, Math.min(size[0] - offsetWidth - 4, at[0] - offsetWidth / 2));
    const above = at[1] - offsetHeight - 14, top = above > 4 ? above : Math.min(size[1] - offsetHeight - 4, at[1] + 16);
    this.label.style.translate = `${left}px ${top}px`;
  }

  /** @param {Hexagon} region @returns {string[]} */
  said(region) {
    const track = this.tracks[this.trackOf(region) ?? -1];
    if (!region.charts) return [region.served ? _("choose it to see its chart") : _("follows a larger place")];
    if (!track) return [this.chart === "local" ? _("nothing seems special here") : _("nothing is known of it")];
    const grade = this.chart === "local" && region.grade ? ` (${GRADES[region.grade]})` : "";
    return [`${this.chart === "local" ? _("Special") : _("Number one")}${grade}: ${track.title}`, track.artist];
  }
}

/** @param {string} colour @param {string} text */
function entry(colour, text) {
  const line = document.createElement("li"), swatch = document.createElement("span");
  swatch.style.background = colour;
  line.append(swatch, text);
  return line;
}
