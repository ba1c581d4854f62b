// A song is shared by its readable address: by what the device has for that, or else as a link to paste.

import { _ } from "./words.js";

const COPIED = 2_000; // milliseconds for which a button says so

/** @param {HTMLElement} button */
export async function share(button) {
  const url = new URL(button.dataset.share ?? "", location.href).href;
  const title = button.closest(".row")?.querySelector("[data-title]")?.textContent ?? document.title;
  if (await isShared({ title, url })) return;
  if (!navigator.clipboard) return location.assign(url); // without encryption there is none; the address can be copied there
  await navigator.clipboard.writeText(url).then(() => say(button, _("Link copied")), () => location.assign(url));
}

/** Share by what the device has for it, if anything; whoever shares may think better of it. @param {ShareData} what */
function isShared(what) {
  return navigator.share?.(what).then(() => true, (error) => error.name === "AbortError");
}

/** @param {HTMLElement} button @param {string} text */
function say(button, text) {
  button.textContent = text;
  setTimeout(() => { button.textContent = _("Share"); }, COPIED);
}
