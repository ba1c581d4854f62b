// Who is signed in: a token that this tab keeps and sends along when the listener asks for something.

// In sessionStorage, so that a reload or a link of this page keeps the listener signed in. It belongs to one tab, is gone
// with it and is never sent by itself; localStorage would stay on a shared computer, and a cookie goes with every request.
const KEPT = "hearabouts-token";

/** Take a token that an app has put into the address's fragment, and remove it from there at once; tell if there was. */
export function takeTokenFromAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found === null) return false;
  history.replaceState(history.state, "", location.pathname + location.search);
  signIn(found);
  return true;
}

/** @param {string} token */
export function signIn(token) {
  sessionStorage.setItem(KEPT, token.trim());
}

export function signOut() {
  sessionStorage.removeItem(KEPT);
}

export function isSignedIn() {
  return sessionStorage.getItem(KEPT) !== null;
}

/** What was answered instead of what was asked for, in words that a person can use. */
export class Refused extends Error {
  /** @param {number} status @param {{type?: string, hint?: string, detail?: string}} problem */
  constructor(status, problem) {
    super(problem.hint ?? problem.detail ?? "That did not work. Please try again.");
    this.status = status;
    this.type = problem.type ?? "";
  }
}

/**
 * Ask the endpoint for something of the listener's own.
 * @param {string} path @param {{method?: string, body?: object}} options @returns {Promise<Response>}
 */
export async function ask(path, { method = "GET", body } = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEPT)}`, "Content-Type": "application/json" };
  const answer = await fetch(path, { method, headers, cache: "no-store", body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer;
}
