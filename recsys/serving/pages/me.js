// The listener's own part: the list and why, the switches, the place, and the rights; without a token, how to sign in.
import { linesOf } from "./list.js";
import { label, whyOf, whyTwin } from "./reasons.js";
import { ask, askForText, isSignedIn, Refused, showVoice, SignedOut, signIn, signOut } from "./session.js";
import { _, day, number } from "./words.js";

const FRIENDS = "./friends.js"; // for those who have the switch on
const CELLS = "/assets/cells.js"; // large; where it was not built, there is no button for it

let asked = 0; // lists: no answer of before the last question is shown
let compared = 0; // the same of the places that listen alike
let shownCell = ""; // the cell of the list that is shown, if it was used
let consents = Promise.resolve(/** @type {any[]} */ ([])); // as they were read last
let seesTwin = false; // the places that listen alike are asked for once they are in view
let looked = 0; // near me: nothing of before the last click or decision is sent

/** @param {string} id @returns {any} */
const find = (id) => document.getElementById(id);

/** Fill the page where it is the listener's own part. */
export function showMe() {
  asked++;
  looked++;
  awaitTwin();
  const me = find("me");
  if (!me) return;
  me.onclick = (/** @type {MouseEvent} */ event) => {
    const wanted = /** @type {Element} */ (event.target).closest("[data-do]")?.getAttribute("data-do");
    if (wanted) ACTIONS[wanted]?.();
  };
  find("sign-in").onclose = signedIn;
  find("erase").onclose = () => find("erase").returnValue === "erase" && erase();
  showSession();
}

const twinSeen = new IntersectionObserver((seen) => {
  if (!seen.some((each) => each.isIntersecting)) return;
  twinSeen.disconnect();
  seesTwin = true;
  attempt(showTwin);
}, { rootMargin: "100%" }); // a screen before it is seen

/** Show the places that listen alike once they come into view. */
function awaitTwin() {
  seesTwin = false;
  twinSeen.disconnect();
  const title = find("twin-title");
  if (title) twinSeen.observe(title);
}

/** @type {Record<string, () => void>} */
const ACTIONS = {
  "open-sign-in": () => { find("sign-in").returnValue = ""; find("sign-in").showModal(); },
  "open-erase": () => { find("erase").returnValue = ""; find("erase").showModal(); },
  "sign-out": () => { signOut(); showSession(_("You are signed out.")); },
  near: () => attempt(near),
  "allow-near": () => attempt(async () => {
    await decide("local_trends", "given", find("notice").textContent);
    await near();
  }),
  export: () => attempt(() => download("/v1/me/data", "my-data.ndjson")),
  receipts: () => attempt(() => download("/v1/me/consents/receipts", "consent-receipt.json")),
};

function signedIn() {
  if (find("sign-in").returnValue !== "sign-in") return;
  const is = signIn(find("token").value);
  find("token").value = "";
  if (is) showSession();
  else say(_("This is no token. Copy it whole from your app: three parts with dots between them."));
}

/** @param {string} said */
function showSession(said = "") {
  forget();
  document.documentElement.classList.toggle("signed-in", isSignedIn());
  say(said);
  if (isSignedIn()) attempt(async () => { await showAll(); });
}

/** The switches first: what is said of the rest depends on them. */
const showAll = () => Promise.all([showSwitches(), showList(), seesTwin && showTwin()]);

/** Take all that is a listener's out of the page: whoever is next in this tab is somebody else. */
function forget() {
  asked++;
  looked++;
  compared++;
  shownCell = "";
  consents = Promise.resolve([]);
  for (const id of ["my-list", "list-why", "twin", "twin-why", "my-place", "switches", "notice", "erasure", "pictures", "friends"]) find(id).replaceChildren();
  for (const id of ["near-first", "my-place", "erasure", "pictures", "friends"]) find(id).hidden = true;
  find("my-room").removeAttribute("hidden");
  tell("place-shown", { id: "world" });
}

/** Do something, and say in words where it fails. @param {() => Promise<void>} what */
export async function attempt(what) {
  const me = find("me");
  try {
    await what();
  } catch (error) {
    if (error instanceof SignedOut || find("me") !== me) return; // nobody is there to be told
    if (!(error instanceof Refused)) return say(_("That did not work. Please try again."));
    if (error.status !== 401) return say(error.message);
    signOut();
    showSession(_("Please sign in again: the token is not valid, or not any more."));
  }
}

/** @param {string} text */
export function say(text) {
  find("said").textContent = text;
}

/** @param {string} cell */
async function showList(cell = "") {
  const mine = ++asked;
  try {
    const list = await ask(`/v1/me/trending${cell && `?cell=${cell}`}`), plays = await allows("personalisation");
    if (mine === asked) showListOf(list, { cell, plays });
  } finally {
    if (mine === asked) find("my-room").setAttribute("hidden", ""); // where it fails, too
  }
}

/** @param {any} list @param {{cell: string, plays: boolean}} asked */
function showListOf(list, { cell, plays }) {
  find("list-why").textContent = whyOf(list, plays);
  if (!list.location_used) cell = "";
  if (shownCell !== cell) attempt(showFriends);
  shownCell = cell;
  showLines(list);
  find("my-place").hidden = !list.location_used;
  if (!list.location_used) return tell("place-shown", { id: "world" });
  const where = list.region.level === "world" ? _("somewhere in the world") : label(list.region);
  const area = number(Number(find("my-place").dataset.area));
  find("my-place").textContent = _("Your place is taken to be {where}. All we got is the area {cell}, about {area} km², drawn on the map; it is not kept.", { where, cell, area });
  tell("cell-shown", { cell, id: list.region.id });
  find("map")?.scrollIntoView({ block: "nearest" }); // on a phone it appears above what was seen
}

/** Show the lines of a list; those of before that were open stay so. @param {any} list */
function showLines(list) {
  const shown = find("my-list"), trackOf = (/** @type {HTMLElement} */ line) => line.dataset.track;
  const open = new Set([...shown.querySelectorAll("details[open]")].map(trackOf));
  shown.replaceChildren(...linesOf(list, find("line")));
  shown.querySelectorAll("details").forEach((/** @type {HTMLDetailsElement} */ line, /** @type {number} */ at) => {
    line.dataset.track = list.items[at].track_id;
    line.open = open.has(trackOf(line));
    line.append(hiding(list, at));
  });
}

/** What hides a line's song; it is seen where the switch for it is on. @param {any} list @param {number} at */
function hiding(list, at) {
  const { title } = list.items[at];
  const made = Object.assign(document.createElement("p"), { className: "reason hiding" });
  made.append(button(_("Hide"), () => hide(list, at)));
  made.firstElementChild?.setAttribute("aria-label", _("Hide {title} from my lists", { title }));
  return made;
}

/** @param {any} list @param {number} at */
async function hide(list, at) {
  const { track_id, title } = list.items[at];
  const hidden = await tellOf(list, { hidden: [track_id] });
  if (!hidden) return;
  say(`${_("{title} is hidden from your lists.", { title })} `);
  find("said").append(button(_("Show it again"), async () => {
    if (await tellOf(list, { shown: [track_id] })) say(_("{title} may be on your lists again.", { title }));
  }));
  const lines = find("my-list").querySelectorAll("summary");
  lines[Math.min(at, lines.length - 1)]?.focus(); // the line that has taken its place
}

/** Tell something of a list, and show the list as it is then. @param {any} list @param {object} told */
async function tellOf(list, told) {
  try {
    await askForText("/v1/me/feedback", { method: "POST", body: { list: list.list, ...told } });
    return true;
  } catch (error) {
    if (!(error instanceof Refused && error.type === "/problems/unknown-list")) throw error;
    say(_("The list is another one since. Please try again."));
    return false;
  } finally {
    await showList(shownCell);
  }
}

/** @param {string} textContent @param {() => Promise<void>} what */
export function button(textContent, what) {
  return Object.assign(document.createElement("button"), { type: "button", textContent, onclick: () => attempt(what) });
}

async function showTwin() {
  const mine = ++compared;
  try {
    const twin = await ask("/v1/me/twin"), plays = await allows("personalisation");
    if (mine !== compared) return;
    find("twin-why").textContent = whyTwin(twin, plays);
    find("twin").replaceChildren(...(twin.history_used ? twin.places.map((/** @type {any} */ { region }) => placeOf(region)) : []));
  } catch (error) {
    if (!(error instanceof Refused) || error.status === 401 || mine !== compared) throw error;
    find("twin-why").textContent = error.message; // there, as it was only scrolled past
  }
}

/** @param {{id: string, name: string}} region */
function placeOf({ id, name }) {
  const made = document.createElement("li");
  made.append(Object.assign(document.createElement("a"), { href: `/?place=${encodeURIComponent(id)}`, textContent: name }));
  return made;
}

/** Ask the browser where the listener is, but only where the listener allows it at this moment. */
async function near() {
  const mine = ++looked;
  await readConsents();
  const allowed = await allows("local_trends");
  if (mine !== looked) return;
  find("near-first").hidden = allowed;
  if (!allowed) return;
  say(_("Asking your browser for a rough position…"));
  const { cellHere } = await import(CELLS);
  const answer = await cellHere();
  if (mine === looked) await found(answer); // seconds later the switch may be off
}

/** @param {{cell?: string, refused?: boolean}} answer */
async function found({ cell, refused }) {
  if (cell) {
    say("");
    return showList(cell);
  }
  say(refused
    ? _("Your browser keeps your position to itself, which is fine. Find your place by its name instead.")
    : _("Your browser does not know where you are. Find your place by its name instead."));
}

/** Read what is allowed; what is shown meanwhile waits for it. @returns {Promise<any>} */
export function readConsents() {
  const answer = ask("/v1/me/consents");
  consents = answer.then((read) => read.consents, () => []); // who cannot be asked has allowed nothing
  return answer;
}

/** Whether something is allowed, as it was read last. @param {string} purpose */
async function allows(purpose) {
  return (await consents).some((each) => each.purpose === purpose && each.state === "given");
}

async function showSwitches() {
  const { notice_version, consents: all } = await readConsents();
  find("notice").textContent = notice_version;
  find("my-list").toggleAttribute("data-hides", await allows("feedback"));
  showVoice(await allows("voice"));
  const here = all.find((/** @type {any} */ each) => each.purpose === "local_trends");
  find("near-notice").textContent = noticeOf(here, notice_version);
  find("switches").replaceChildren(...all.map((/** @type {any} */ each) => switchOf(each, notice_version)));
  attempt(showPictures);
  attempt(showFriends);
}

/** Show the pictures that were chosen where the switch for them is on; what does so is loaded only then. */
async function showPictures() {
  const box = find("pictures");
  box.hidden = !(await allows("images"));
  if (box.hidden) return box.replaceChildren();
  const pictures = await import("./pictures.js");
  await pictures.showPictures(box, { attempt, say });
}

/** Show the listener's friends where the switch for it is on; what looks for them is loaded for nobody else. */
async function showFriends() {
  const on = await allows("contacts"), place = find("friends");
  place.hidden = !on;
  if (on) await (await import(FRIENDS)).showFriends(place, attempt, shownCell);
  else {
    place.replaceChildren();
    sessionStorage.removeItem("hearabouts-book");
  }
}

/** @param {any} consent @param {string} notice */
function switchOf(consent, notice) {
  const made = find("switch").content.cloneNode(true), button = made.querySelector("button");
  const on = consent.state === "given", name = find("switch").getAttribute(`data-${consent.purpose}`) ?? consent.purpose;
  made.querySelector("h3").textContent = name;
  const about = find(`about-${consent.purpose}`);
  made.querySelector("p").textContent = `${noticeOf(consent, notice)} ${since(consent, on)}`;
  made.querySelector("li").append(about?.content.cloneNode(true) ?? "");
  button.id = `switch-${consent.purpose}`;
  button.setAttribute("aria-label", name);
  button.setAttribute("aria-checked", String(on));
  button.dataset.purpose = consent.purpose;
  button.onclick = () => attempt(() => decide(consent.purpose, on ? "withdrawn" : "given", notice).finally(
    () => find("switches").querySelector(`[data-purpose=${consent.purpose}]`)?.focus(),
  ));
  return made;
}

/**
 * Return what is agreed to: in the page's language, unless the page is of before the notice of which a switch is told.
 * @param {any} consent @param {string} version @returns {string}
 */
export function noticeOf(consent, version) {
  const page = find(`about-${consent.purpose}`)?.dataset;
  return page?.version === version ? page.notice : consent.text;
}

/** @param {any} consent @param {boolean} on */
function since(consent, on) {
  if (consent.asks_again) return _("You allowed this under an earlier notice. The notice has changed, so it is off until you turn it on again.");
  if (!consent.since) return "";
  const facts = { date: day(consent.since), version: consent.notice_version };
  return on ? _("On since {date}, notice {version}.", facts) : _("Off since {date}, notice {version}.", facts);
}

/** @param {string} purpose @param {string} state @param {string} notice_version */
export async function decide(purpose, state, notice_version) {
  const here = purpose === "local_trends";
  if (here) {
    asked++;
    looked++;
  }
  say("");
  try {
    await ask(`/v1/me/consents/${purpose}`, { method: "PUT", body: { state, notice_version } });
  } finally {
    await showSwitches().finally(async () => { // refused, too: the notice may be another one
      if (!here) return;
      find("near-first").hidden = true;
      await showList();
    });
    if (purpose === "personalisation") await Promise.all([seesTwin && showTwin(), showList(shownCell)]);
    if (purpose === "feedback") await showList(shownCell);
  }
}

/** @param {string} path @param {string} name */
async function download(path, name) {
  const address = URL.createObjectURL(new Blob([await askForText(path)]));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const erase = () => attempt(async () => {
  const { receipt, state } = await ask("/v1/me/data", { method: "DELETE" });
  showErasure(receipt, state);
  await showAll();
});

/** @param {string} receipt @param {string} state */
function showErasure(receipt, state) {
  const again = Object.assign(document.createElement("button"), { type: "button", textContent: _("Look again") });
  again.onclick = () => attempt(async () => {
    const answer = await ask(`/v1/me/data/erasures/${receipt}`);
    showErasure(answer.receipt, answer.state);
  });
  const words = state === "done" ? _("Done: nothing about you is held any more, but for a mark that keeps it so.") : _("You are forgotten in everything we show; the next night finishes it on every disk.");
  find("erasure").replaceChildren(`${words} ${_("Your receipt: {receipt}", { receipt })} `, ...(state === "done" ? [] : [again]));
  find("erasure").hidden = false;
}

/** @param {string} name @param {object} detail */
function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}
