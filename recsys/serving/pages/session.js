// Who is signed in: a token that this tab keeps and sends along when the listener asks for something.
import { _ } from "./words.js";

// In sessionStorage, so that a reload or a link of this page keeps the listener signed in. It belongs to one tab, is gone
// with it and is never sent by itself; localStorage would stay on a shared computer, and a cookie goes with every request.
const KEPT = "hearabouts-token";
const VOICE = "hearabouts-voice"; // kept while that switch is known to be on
const OTHER = _("Somebody else is signed in here. Do you want to sign in with the token of this link instead?");

/**
 * Take a token that an app has put into the address's fragment, and remove it from there at once; tell if it is used.
 * A link of somebody else's must not make a listener decide under another name without noticing.
 */
export function takeTokenFromAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found === null) return false;
  history.replaceState(history.state, "", location.pathname + location.search);
  const kept = sessionStorage.getItem(KEPT);
  return (kept === null || ownerOf(kept) === ownerOf(found) || confirm(OTHER)) && signIn(found);
}

/** Keep a token, whatever line breaks a paste has put into it; tell if it is one. @param {string} text */
export function signIn(text) {
  const token = text.replace(/\s/g, "");
  const is = /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
  if (is && sessionStorage.getItem(KEPT) !== token) showVoice(false);
  if (is && ownerOf(sessionStorage.getItem(KEPT) ?? "") !== ownerOf(token)) sessionStorage.clear();
  if (is) sessionStorage.setItem(KEPT, token);
  return is;
}

export function signOut() {
  sessionStorage.clear(); // with the book, if there is one (friends.js): whoever is next in this tab is somebody else
  showVoice(false);
}

/** Show the button for voice control, or do not. @param {boolean} is */
export function showVoice(is) {
  if (is) sessionStorage.setItem(VOICE, "on");
  else sessionStorage.removeItem(VOICE);
  document.documentElement.classList.toggle("speaks", is);
}

export function isSignedIn() {
  return sessionStorage.getItem(KEPT) !== null;
}

/** @type {Record<string, string>} */
const TOLD = {
  "/problems/not-ready": _("This part is away. Please come back."),
  "/problems/opted-out": _("Your browser says no to this (Global Privacy Control), and its no is believed."),
  "/problems/stale-notice": _("The notice has changed. Please read it once more before you decide."),
  "/problems/too-many-requests": _("That was very often. Please wait a while; turning a switch off always works."),
};

/** What was answered instead of what was asked for, in words that a person can use. */
export class Refused extends Error {
  /** @param {number} status @param {{type?: string, hint?: string, detail?: string}} problem */
  constructor(status, problem) {
    const hint = document.documentElement.lang === "en" ? problem.hint ?? problem.detail : undefined;
    super(hint ?? TOLD[problem.type ?? ""] ?? _("That did not work. Please try again."));
    this.status = status;
    this.type = problem.type ?? "";
  }
}

/** Who asked is not signed in any more, so the answer is not theirs who are. */
export class SignedOut extends Error {}

/**
 * Ask the endpoint for something of the listener's own; what is sent goes as JSON, but for a picture.
 * @param {string} path @param {{method?: string, body?: object}} options @returns {Promise<string>}
 */
export async function askForText(path, { method = "GET", body } = {}) {
  const sent = body instanceof Blob ? { type: body.type, body } : { type: "application/json", body: body && JSON.stringify(body) };
  const answer = await answered(path, { method, ...sent });
  return new TextDecoder().decode(answer);
}

/** Send bytes, and return those of the answer. @param {string} path @param {Uint8Array} body */
export async function askForBytes(path, body) {
  return new Uint8Array(await answered(path, { method: "POST", type: "application/octet-stream", body }));
}

/** @param {string} path @param {{method: string, type: string, body: any}} options */
async function answered(path, { method, type, body }) {
  const token = sessionStorage.getItem(KEPT);
  if (token === null) throw new SignedOut();
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": type };
  const answer = await fetch(path, { method, headers, cache: "no-store", body });
  const content = await answer.arrayBuffer();
  if (sessionStorage.getItem(KEPT) !== token) throw new SignedOut();
  if (!answer.ok) throw new Refused(answer.status, parsed(new TextDecoder().decode(content)) ?? {});
  return content;
}

/** The same, of what is JSON. @param {string} path @param {{method?: string, body?: object}} options @returns {Promise<any>} */
export async function ask(path, options = {}) {
  return JSON.parse(await askForText(path, options));
}

/** Whom a token says that it is of, unverified: enough to tell two listeners of one app apart. @param {string} token */
function ownerOf(token) {
  const claims = parsed(decoded(token.split(".")[1] ?? ""));
  return JSON.stringify([claims?.iss, claims?.sub]);
}

/** @param {string} base64 */
function decoded(base64) {
  try {
    return atob(base64.replace(/-/g, "+").replace(/_/g, "/"));
  } catch {
    return "";
  }
}

/** @param {string} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
