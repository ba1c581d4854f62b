// The words of the page's language, for its scripts. The texts are English where they are used; what other languages say
// comes before any script runs, as /assets/words-de.js (words.py writes it), and numbers, dates and countries from Intl.

const LANGUAGE = document.documentElement.lang || "en";
const LOCALE = LANGUAGE === "en" ? "en-GB" : LANGUAGE; // the spelling of our texts
const KEPT = "language"; // the cookie that says which language was chosen, and nothing else; nobody else writes one

/** @type {{words?: Record<string, string | string[]>, plural?: (n: number) => number}} */
const { words = {}, plural = (n) => +(n !== 1) } = /** @type {any} */ (globalThis);

/** @typedef {Record<string, string | number>} Values */

/** A text in the page's language. @param {string} text @param {Values} values */
export function _(text, values = {}) {
  return filled(String(words[text] ?? text), values);
}

/** A text that counts, as {n}. @param {string} one @param {string} many @param {number} n @param {Values} values */
export function ngettext(one, many, n, values = {}) {
  const forms = words[one] ?? [one, many];
  return filled(forms[plural(n)], { n, ...values });
}

/** @param {string} text @param {Values} values */
function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => shown(values[name] ?? whole));
}

/** @param {string | number} value */
function shown(value) {
  return typeof value === "number" ? number(value) : value;
}

/** @type {Map<string, any>} */
const made = new Map(); // once each: to make one takes long

/** What was made under a name, or makes it now. @template T @param {string} name @param {() => T} make @returns {T} */
function once(name, make) {
  if (!made.has(name)) made.set(name, make());
  return made.get(name);
}

/** A number with as many decimals. @param {number} value @param {number} digits */
export function number(value, digits = 0) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: /** @type {const} */ ("always") };
  return once(`number ${digits}`, () => new Intl.NumberFormat(LOCALE, options)).format(value);
}

/** A date, within which no line breaks. @param {string} iso */
export function day(iso) {
  const format = once("day", () => new Intl.DateTimeFormat(LOCALE, { dateStyle: "long", timeZone: "UTC" }));
  return format.format(new Date(`${iso.slice(0, 10)}T00:00:00Z`)).replaceAll(" ", "\u00a0");
}

/** What a country is called; in English as the atlas calls it. @param {string} name @param {string | null} code */
export function country(name, code) {
  if (LANGUAGE === "en" || !/^[A-Z]{2}$/.test(code ?? "")) return name;
  return once("country", () => new Intl.DisplayNames(LOCALE, { type: "region" })).of(code ?? "") ?? name;
}

/** Sentences, one after the other. @param {string[]} parts */
export function sentences(...parts) {
  return parts.filter(Boolean).join(LANGUAGE === "ja" ? "" : " ");
}

/** Remember which language was chosen, and show the page in it. @param {string} language */
export function choose(language) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `${KEPT}=${language}; path=/; max-age=31536000; samesite=lax${secure}`;
  void document.cookie; // being read it is there: what is asked for next must not be sent without it
  const address = new URL(location.href);
  address.searchParams.delete(KEPT);
  if (address.href === location.href) location.reload();
  else location.replace(address);
}
