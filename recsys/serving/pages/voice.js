// Voice control: what is said becomes text on this device, by the browser's own recogniser, and the text alone is sent.
// A recogniser that would send the sound anywhere is never started: where there is none on the device, that is said.
import * as me from "./me.js";
import { ask, Refused, showVoice, SignedOut } from "./session.js";
import { _ } from "./words.js";

/** @type {Record<string, string>} */
const MOST_SPOKEN = { en: "en-US", de: "de-DE", es: "es-ES", fr: "fr-FR", ja: "ja-JP", pt: "pt-BR" };
const UNCLEAR = _("That was not understood. Say “what is popular in” and a place, “open” and a song, or “near me”.");
const LANGUAGE = document.documentElement.lang;

/** @typedef {{lang: string, processLocally: boolean, start(): void, abort(): void, onresult: any, onerror: any, onend: any}} Recogniser */
/** @typedef {{new(): Recogniser, available(asked: object): Promise<string>, install(asked: object): Promise<boolean>, prototype: object}} Recognition */

let running = /** @type {Recogniser | undefined} */ (undefined);

/** Listen once, and go where that leads; while it listens, stop. @param {(address: string) => Promise<void>} go */
export async function speak(go) {
  if (running) return running.abort();
  await attempt(async () => {
    const { consents } = await ask("/v1/me/consents"); // the switch may have been turned off elsewhere
    const is = consents.some((/** @type {any} */ each) => each.purpose === "voice" && each.state === "given");
    showVoice(is);
    if (is) await listenOnDevice(go);
    else say(_("Voice control is off. Its switch is on the page “For me”."));
  });
}

/** @param {(address: string) => Promise<void>} go */
async function listenOnDevice(go) {
  const Recognition = onDevice(), tag = Recognition && await first(Recognition, "available");
  if (Recognition && tag) return listen(Recognition, tag, go);
  const missing = Recognition && await first(Recognition, "downloadable");
  if (!Recognition || !missing) return say(_("This browser cannot turn speech into text on this device, so nothing was started. Typing finds the same."));
  say(`${_("Your browser has to download what it needs to understand you on this device.")} `, button(_("Download it"), async () => {
    say(_("Your browser is downloading…"));
    if (await Recognition.install({ langs: [missing], processLocally: true })) await listen(Recognition, missing, go);
    else say(_("Your browser could not download it. Typing finds the same."));
  }));
}

/** The browser's recogniser, if it can be told to stay on the device. @returns {Recognition | undefined} */
function onDevice() {
  const found = /** @type {any} */ (globalThis).SpeechRecognition;
  return found && "processLocally" in found.prototype && typeof found.available === "function" ? found : undefined;
}

/** The tag of the page's language that stands so on this device. @param {Recognition} Recognition @param {string} state */
async function first(Recognition, state) {
  const own = navigator.languages.filter((each) => each.split("-")[0] === LANGUAGE && each !== LANGUAGE);
  for (const tag of [...own, MOST_SPOKEN[LANGUAGE]]) {
    if (await Recognition.available({ langs: [tag], processLocally: true }) === state) return tag;
  }
  return undefined;
}

/** @param {Recognition} Recognition @param {string} lang @param {(address: string) => Promise<void>} go */
async function listen(Recognition, lang, go) {
  const recogniser = Object.assign(new Recognition(), { lang, processLocally: true });
  let text = "", error = "";
  running = recogniser;
  mark(true);
  say(_("Listening on this device…"));
  await new Promise((done) => {
    recogniser.onresult = (/** @type {any} */ event) => { text = event.results[0][0].transcript; };
    recogniser.onerror = (/** @type {any} */ event) => { error = event.error; };
    recogniser.onend = done;
    recogniser.start();
  }).finally(() => {
    running = undefined;
    mark(false);
  });
  if (text) return follow(await ask("/v1/voice/intent", { method: "POST", body: { text: text.slice(0, 200), language: LANGUAGE } }), go);
  say(error === "not-allowed"
    ? _("Your browser keeps the microphone to itself, which is fine. Typing finds the same.")
    : _("Nothing was heard."));
}

/** @param {any} found @param {(address: string) => Promise<void>} go */
async function follow(found, go) {
  if (!found.intent) return say(UNCLEAR);
  say("");
  await go(found.page);
  if (found.intent === "near_me") /** @type {HTMLElement | null} */ (document.querySelector("#me [data-do=near]"))?.click();
  if (found.switch) await askBack(found.switch);
}

/** Ask before a spoken switch is turned. @param {{purpose: string, state: string, question: string}} spoken */
const askBack = ({ purpose, state, question }) => me.attempt(async () => {
  const { notice_version, consents: all } = await me.readConsents();
  const consent = all.find((/** @type {any} */ each) => each.purpose === purpose);
  const notice = state === "given" ? me.noticeOf(consent, notice_version) : "";
  const yes = me.button(_("Yes"), () => me.decide(purpose, state, notice_version));
  const no = me.button(_("No"), async () => me.say(""));
  document.getElementById("said")?.replaceChildren(`${question} ${notice} `, yes, " ", no);
  yes.focus();
});

/** Do something, and say in words where it fails. @param {() => Promise<void>} what */
async function attempt(what) {
  try {
    await what();
  } catch (error) {
    if (error instanceof SignedOut) return showVoice(false);
    if (error instanceof Refused && error.status === 403) showVoice(false); // withdrawn meanwhile
    if (error instanceof Refused && error.status === 400) return say(UNCLEAR); // as two numbers, which may be a position
    say(error instanceof Refused ? error.message : _("That did not work. Please try again."));
  }
}

/** @param {boolean} is */
function mark(is) {
  document.getElementById("speak")?.setAttribute("aria-pressed", String(is));
}

/** @param {string} textContent @param {() => Promise<void>} what */
function button(textContent, what) {
  return Object.assign(document.createElement("button"), { type: "button", textContent, onclick: () => attempt(what) });
}

/** @param {(string | Node)[]} parts */
function say(...parts) {
  const heard = document.getElementById("heard");
  heard?.replaceChildren(...parts);
  if (heard?.textContent) heard.scrollIntoView({ block: "nearest" }); // it may have been asked for farther down
}

/** What was said lies over the page: it goes with the next thing that is done. @param {Event} event */
function putAway(event) {
  if (!running && !(/** @type {Element} */ (event.target).closest?.("#heard, #speak"))) say("");
}
for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, putAway);
