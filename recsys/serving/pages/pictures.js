// The pictures that a listener chose, read and drawn small by this page before one is sent: what else is in its file,
// as the place where it was taken, does not leave the device.
import { ask, askForText } from "./session.js";
import { _ } from "./words.js";

const MOST = 1_024; // pixels of the longer side that are sent; the server keeps fewer
const KINDS = "image/*"; // whatever the browser can read, as it is drawn here and sent as a JPEG

/** @type {Record<string, string>} */
const NAMES = {
  profile: _("My picture"),
  "covers/trending": _("Cover of my list"),
  "covers/twin": _("Cover of the places that listen like me"),
};

/** @typedef {{attempt: (what: () => Promise<void>) => void, say: (text: string) => void}} Page tells where something fails */

/** Show the pictures, each with what changes it. @param {HTMLElement} box @param {Page} page */
export async function showPictures(box, page) {
  const { images } = await ask("/v1/me/images");
  box.replaceChildren(...images.map((/** @type {any} */ each) => partOf(each, page)));
}

/** @param {{image: string, address: string | null}} picture @param {Page} page @returns {HTMLElement} */
function partOf({ image, address }, page) {
  const { attempt, say } = page;
  const part = made("li", {}), name = NAMES[image] ?? image;
  const change = async (/** @type {() => Promise<string | null>} */ what) => {
    const changed = partOf({ image, address: await what() }, page);
    part.replaceWith(changed);
    changed.querySelector("button")?.focus();
  };
  const button = (/** @type {string} */ text, /** @type {() => void} */ onclick) => {
    const each = made("button", { type: "button", textContent: text, onclick });
    each.setAttribute("aria-label", `${text}: ${name}`);
    return each;
  };
  const choose = button(_("Choose a picture"), async () => {
    const file = await chosen(), small = await drawn(file).catch(() => null);
    if (small) attempt(() => change(async () => (await send(image, small)).address));
    else say(_("Your browser cannot read this picture. Please choose another one."));
  });
  const buttons = made("p", { className: "buttons" });
  buttons.append(choose);
  if (address) {
    buttons.append(button(_("Remove"), () => attempt(() => change(() => remove(image)))));
    part.append(made("img", { src: address, alt: name, width: 96, height: 96 }));
  }
  if (address && image !== "profile") { // whoever has the address of a cover may see it
    const share = made("button", { type: "button", className: "share", textContent: _("Share") });
    share.dataset.share = address;
    buttons.append(share);
  }
  part.append(made("h3", { textContent: name }), buttons);
  return part;
}

/** The one file that is chosen; nothing else of the device is seen. @returns {Promise<File>} */
function chosen() {
  return new Promise((resolve) => {
    const input = made("input", { type: "file", accept: KINDS });
    input.onchange = () => input.files?.[0] && resolve(input.files[0]);
    input.click();
  });
}

/** A picture drawn anew, upright, on white where it is transparent. @param {File} file @returns {Promise<Blob>} */
async function drawn(file) {
  const image = await createImageBitmap(file), scale = Math.min(1, MOST / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = made("canvas", { width, height }), pen = canvas.getContext("2d");
  if (!pen) throw new Error();
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(image, 0, 0, width, height);
  image.close();
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error())), "image/jpeg", 0.9));
}

/** @param {string} image @param {Blob} body @returns {Promise<any>} */
const send = (image, body) => ask(`/v1/me/images/${image}`, { method: "PUT", body });

/** @param {string} image @returns {Promise<null>} */
async function remove(image) {
  await askForText(`/v1/me/images/${image}`, { method: "DELETE" });
  return null;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Partial<HTMLElementTagNameMap[K]>} facts @returns {HTMLElementTagNameMap[K]}
 */
const made = (tag, facts) => Object.assign(document.createElement(tag), facts);
