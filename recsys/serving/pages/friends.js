// Friends by mutual choice, where the switch for it is on: the book stays in this tab, and what is sent is unreadable.
import { label } from "./reasons.js";
import { ask, askForBytes, askForText } from "./session.js";
import { _ } from "./words.js";

const BLIND = "/assets/blind.js"; // which is large, and is not there where it was not built
const KEPT = "hearabouts-book"; // in this tab: what was typed, and what the entries behind tokens are; me.js drops it
const AT_ONCE = 25; // entries: some tenths of a second
const UNKNOWN = _("A friend whose entry this tab does not know");

/** @typedef {{token: string, shared?: true, shares?: true, picture?: string}} Friend */
/** @typedef {{removed?: string[], blocked?: string[], shared?: string[], unshared?: string[]}} Told */

/**
 * Show who is a friend, what friends play, and where to look for more.
 * @param {HTMLElement} place @param {(what: () => Promise<void>) => void} attempt @param {string} cell of the list that is shown, if any
 */
export async function showFriends(place, attempt, cell) {
  const found = await ask("/v1/me/contacts"), again = () => attempt(() => showFriends(place, attempt, cell));
  const value = inTab().typed ?? ""; // a switch that is turned, a friend who goes and a reload take none of it
  const book = made("textarea", { id: "book", rows: 4, autocomplete: "off", spellcheck: false, value });
  book.oninput = () => keepInTab({ typed: book.value });
  const said = made("p", { className: "small" });
  said.setAttribute("role", "status");
  const look = made("button", { type: "button", textContent: _("Look for friends") });
  look.onclick = () => attempt(async () => {
    look.disabled = true;
    try {
      await tellOf(entriesIn(book.value), found.key, said);
      keepInTab({ typed: "" });
    } finally {
      look.disabled = false;
    }
    again();
  });
  const label = made("label", { htmlFor: "book", textContent: _("Numbers and addresses in your book, one a line, as +351 21 123 4567 or name@example.org") });
  const played = made("div", {}), asking = made("p", {}), buttons = made("p", { className: "buttons" });
  asking.append(label, book);
  buttons.append(look);
  place.replaceChildren(
    made("h2", { id: "friends-title", textContent: _("My friends") }),
    made("p", { className: "why", textContent: _("Who is in your book and has you in theirs is your friend here, if you both turned this on. Your book is made unreadable in this page before anything is sent. Nobody learns whom you look for, and you do not learn who else is here.") }),
    listOf(found.friends, found.key, (told) => attempt(async () => {
      await tell(told);
      forget(told.removed ?? [], found.key);
      again();
    })),
    asking, buttons, said, played,
  );
  place.hidden = false;
  played.replaceChildren(await playedByFriends(found.key, cell)); // last: where there is no list yet, the rest is there
}

/** @param {Friend[]} friends @param {{id: string}} key @param {(told: Told) => void} tell */
function listOf(friends, key, tell) {
  if (!friends.length) return made("p", { textContent: _("No friends yet.") });
  const list = made("ul", { className: "found" }), kept = keptBook(key);
  list.append(...friends.map(({ token, shared, shares, picture }) => {
    const name = kept[token] ?? UNKNOWN, line = made("li");
    if (picture) line.append(made("img", { src: picture, alt: "", width: 32, height: 32, loading: "lazy" }), " ");
    line.append(`${name} `, shares ? made("small", { textContent: `${_("shares with you")} ` }) : "");
    line.append(shared ? button(_("Stop sharing"), name, () => tell({ unshared: [token] })) : button(_("Share under my name"), name, () => tell({ shared: [token] })));
    line.append(" ", button(_("Unfriend"), name, () => tell({ removed: [token] })), " ", button(_("Block"), name, () => tell({ blocked: [token] })));
    return line;
  }));
  const what = made("p", { className: "small", textContent: _("A friend with whom you share sees your picture, and which songs of the list of their friends you played.") });
  const both = made("div");
  both.append(list, what);
  return both;
}

/** What several friends played. @param {{id: string}} key @param {string} cell */
async function playedByFriends(key, cell) {
  const { items, region } = await ask(`/v1/me/contacts/trending${cell && `?cell=${cell}`}`), kept = keptBook(key), box = made("div");
  const why = !items.length ? _("Not enough friends yet: it takes five who let their plays count, and three who played the same.")
    : region.level === "world" ? _("What at least three of your friends played lately; only who shares with you is named.")
    : _("What at least three of your friends played lately in {place}; only who shares with you is named.", { place: label(region) });
  const list = made("ol", { className: "found" });
  list.append(...items.map((/** @type {{title: string, artist: string, page: string, friends: string[]}} */ item) => {
    const line = made("li"), names = item.friends.map((token) => kept[token] ?? UNKNOWN).join(", ");
    line.append(made("a", { href: item.page, textContent: item.title }), ` ${item.artist}`);
    if (names) line.append(made("p", { className: "small", textContent: _("Played by {names}", { names }) }));
    return line;
  }));
  box.append(made("h3", { textContent: _("Trending among my friends") }), made("p", { className: "why", textContent: why }), list);
  return box;
}

/** Make tokens of entries with the server's help, and tell of them. @param {string[]} entries @param {{id: string, public: string}} key @param {HTMLElement} said */
async function tellOf(entries, key, said) {
  const kept = keptBook(key), known = new Set(Object.values(kept)), left = entries.filter((each) => !known.has(each));
  const { blinded } = await import(BLIND);
  for (let at = 0; at < left.length; at += AT_ONCE) {
    said.textContent = _("{n} of {all} entries", { n: at, all: left.length });
    const piece = left.slice(at, at + AT_ONCE), { body, tokens } = await blinded(piece, key.public);
    const added = await tokens(await askForBytes("/v1/me/contacts/blinded", body));
    await tell({ added });
    added.forEach((/** @type {string} */ token, /** @type {number} */ number) => { kept[token] = piece[number]; });
    keep(kept, key);
  }
}

/** @param {object} body */
const tell = (body) => askForText("/v1/me/contacts", { method: "POST", body });

/** The entries of a text, each written as everybody writes it. @param {string} text */
function entriesIn(text) {
  const lines = text.split("\n").map((line) => line.trim());
  const entries = lines.map((line) => (line.includes("@") ? line.toLowerCase() : line.replace(/[\s().\/-]/g, "")));
  return [...new Set(entries.filter(Boolean))];
}

/** What this tab keeps. @returns {{id?: string, book?: Record<string, string>, typed?: string}} */
const inTab = () => JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");

/** @param {{id?: string, book?: Record<string, string>, typed?: string}} more */
const keepInTab = (more) => sessionStorage.setItem(KEPT, JSON.stringify({ ...inTab(), ...more }));

/** What is known of the entries: nothing under another key, whose tokens are others. @param {{id: string}} key @returns {Record<string, string>} */
function keptBook(key) {
  const { id, book = {} } = inTab();
  return id === key.id ? book : {};
}

/** @param {Record<string, string>} book @param {{id: string}} key */
const keep = (book, key) => keepInTab({ id: key.id, book });

/** Let entries go, so that they are told anew when they are looked for again. @param {string[]} tokens @param {{id: string}} key */
function forget(tokens, key) {
  const gone = new Set(tokens);
  keep(Object.fromEntries(Object.entries(keptBook(key)).filter(([token]) => !gone.has(token))), key);
}

/** @param {string} text @param {string} name @param {() => void} what */
function button(text, name, what) {
  const found = made("button", { type: "button", textContent: text });
  found.setAttribute("aria-label", `${text}: ${name}`);
  found.onclick = what;
  return found;
}

/** @template {keyof HTMLElementTagNameMap} Tag @param {Tag} tag @param {object} [properties] */
function made(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}
