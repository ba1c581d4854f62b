// The page's own script: it swaps what a link leads to into the page, so that the map stays where it is.
import { showMe } from "./me.js";
import { suggestPlaces } from "./search.js";
import { takeTokenFromAddress } from "./session.js";
import { choose } from "./words.js";

const MAP = "/assets/map.js";
const SHARE = "/assets/share.js", VOICE = "/assets/voice.js"; // for those who press their buttons
const BESIDE = matchMedia("(min-width: 1000px)"); // where the map stands beside the text, and not behind a button
const OURS = /^\/(me|transparency|licences|(places|songs|artists|data)\/.*)?$/;
let shown = ""; // path and query: a link within the page changes neither
let told = /** @type {CustomEvent | undefined} */ (undefined); // what the map is to show, once it is there

for (const kind of ["place-shown", "cell-shown"]) {
  document.addEventListener(kind, (event) => { told = /** @type {CustomEvent} */ (event); });
}
document.addEventListener("cell-shown", loadMap);
document.addEventListener("map-ready", () => told && document.dispatchEvent(new CustomEvent(told.type, { detail: told.detail })));
takeTokenFromAddress();
suggestPlaces(go);
arrived();
document.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest?.("a[href]");
  const plain = !event.defaultPrevented && event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!(link instanceof HTMLAnchorElement) || !plain || !(link.hreflang || isOurs(link))) return;
  event.preventDefault();
  if (link.hreflang) return choose(link.hreflang);
  go(link.href);
});
document.addEventListener("place-chosen", (event) => go(`/?place=${/** @type {CustomEvent} */ (event).detail}`));
document.addEventListener("click", (event) => /** @type {Element} */ (event.target).closest?.("[data-shows=map]") && showMap());
document.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest?.("[data-share]");
  if (button) import(SHARE).then(({ share }) => share(button));
});
document.addEventListener("click", (event) => /** @type {Element} */ (event.target).closest?.("#speak") && import(VOICE).then(({ speak }) => speak(go)));
BESIDE.addEventListener("change", loadBeside);
if (document.readyState === "complete") loadBeside();
else addEventListener("load", loadBeside);
addEventListener("popstate", () => location.pathname + location.search !== shown && swap(location.href));
addEventListener("hashchange", () => takeTokenFromAddress() && arrived());

/** @param {HTMLAnchorElement} link */
function isOurs(link) {
  return link.origin === location.origin && OURS.test(link.pathname) && !link.hash;
}

/** Go to another part of the page. @param {string} address */
async function go(address) {
  history.pushState(null, "", address);
  await swap(address);
}

/** @param {string} address */
async function swap(address) {
  const next = await pageAt(address).catch(() => undefined);
  if (new URL(address, location.href).href !== location.href) return; // the listener went on meanwhile
  if (next?.documentElement.lang !== document.documentElement.lang) return location.assign(address); // the browser says best itself what is wrong
  document.title = next.title;
  for (const id of ["content", "pages", "languages"]) {
    document.getElementById(id)?.replaceWith(/** @type {Element} */ (next.getElementById(id)));
  }
  arrived();
  const content = document.getElementById("content");
  if (content && content.getBoundingClientRect().top < 0) content.scrollIntoView();
  content?.focus({ preventScroll: true });
}

/** Read a page, if it is one. @param {string} address */
async function pageAt(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.headers.get("content-type")?.startsWith("text/html")) return undefined;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** On a phone the map takes no room until it is asked for. */
function showMap() {
  document.querySelector(".columns")?.classList.toggle("map-shown");
  tellWhetherMapIsShown();
  loadMap();
}

/** The map comes last: all that is read is there by then. */
function loadBeside() {
  const soon = globalThis.requestIdleCallback ?? ((/** @type {() => void} */ go) => setTimeout(go, 200));
  if (BESIDE.matches) soon(loadMap);
}

function loadMap() {
  const map = document.getElementById("map");
  if (map) import(MAP).catch(() => map.classList.add("failed"));
}

function tellWhetherMapIsShown() {
  const is = document.querySelector(".columns")?.classList.contains("map-shown") ?? false;
  document.querySelector("[data-shows=map]")?.setAttribute("aria-expanded", String(is));
}

function arrived() {
  shown = location.pathname + location.search;
  tellWhetherMapIsShown();
  tellTheMap();
  showMe();
}

function tellTheMap() {
  const id = document.getElementById("content")?.dataset.place;
  if (id) document.dispatchEvent(new CustomEvent("place-shown", { detail: { id } }));
}
