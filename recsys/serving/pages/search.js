// Places are suggested while their name is typed; without this the form simply sends it.

const ENOUGH = 2; // characters

/** @param {(address: string) => void} go */
export function suggestPlaces(go) {
  const input = /** @type {HTMLInputElement} */ (document.getElementById("q"));
  const list = /** @type {HTMLElement} */ (document.getElementById("matches"));
  for (const [name, value] of [["role", "combobox"], ["aria-controls", "matches"], ["aria-autocomplete", "list"]]) {
    input.setAttribute(name, value);
  }
  let asked = 0;
  const close = () => show(input, list, []);
  input.addEventListener("input", async () => {
    const mine = ++asked, text = input.value.trim();
    const found = text.length < ENOUGH ? [] : await matches(text);
    if (mine === asked) show(input, list, found);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      mark(input, list, event.key === "ArrowDown" ? 1 : -1);
    }
    const marked = list.querySelector("[aria-selected=true]");
    if (event.key === "Enter" && marked instanceof HTMLElement) {
      event.preventDefault();
      marked.click();
    }
  });
  input.addEventListener("blur", () => setTimeout(() => { asked++; close(); }, 150));
  list.addEventListener("click", (event) => {
    const chosen = /** @type {HTMLElement} */ (event.target).closest("li");
    if (!chosen) return;
    asked++;
    input.value = "";
    close();
    go(`/?place=${chosen.dataset.id}`);
  });
  close();
}

/** @param {string} text */
async function matches(text) {
  const answer = await fetch(`/v1/regions?limit=8&q=${encodeURIComponent(text)}`).catch(() => undefined);
  return answer?.ok ? (await answer.json()).regions : [];
}

/** @param {HTMLInputElement} input @param {HTMLElement} list @param {any[]} places */
function show(input, list, places) {
  list.replaceChildren(...places.map(option));
  list.hidden = !places.length;
  input.setAttribute("aria-expanded", String(!list.hidden));
  input.removeAttribute("aria-activedescendant");
}

/** @param {any} place @param {number} number */
function option(place, number) {
  const line = Object.assign(document.createElement("li"), { id: `match-${number}`, textContent: place.name });
  line.setAttribute("role", "option");
  line.setAttribute("aria-selected", "false");
  line.dataset.id = place.id;
  const where = Object.assign(document.createElement("span"), { textContent: place.level === "region" ? place.country : place.level });
  if (place.found_by) where.prepend(`with ${place.found_by} · `);
  line.append(" ", where);
  return line;
}

/** @param {HTMLInputElement} input @param {HTMLElement} list @param {number} step */
function mark(input, list, step) {
  const lines = [...list.children];
  if (!lines.length) return;
  const before = lines.findIndex((line) => line.ariaSelected === "true");
  const next = before < 0 && step < 0 ? lines.length - 1 : (before + step + lines.length) % lines.length;
  lines.forEach((line, number) => line.setAttribute("aria-selected", String(number === next)));
  lines[next].scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", lines[next].id);
}
