// Why a track is on a listener's list, and why it is this list. The endpoint says it in English; what it says of facts,
// the page says in its own language, by the same rules as recsys/artifacts/reasons.py.
import { _, country, day, ngettext, number, sentences } from "./words.js";

/** @typedef {{id: string, name: string, country: string | null, level: string, parent: string | null}} Region */

/** A place with its country. @param {Region} region */
export function label({ id, name, country: of, level, parent }) {
  if (level === "world") return _("the world");
  if (level === "country") return country(name, id);
  return _("{place}, {country}", { place: name, country: country(of ?? "", parent) });
}

/** Why a list is as it is. @param {any} list @param {boolean} allowed whether the listener's plays may choose */
export function whyOf({ region, scope, as_of, nights, location_used, history_used }, allowed) {
  const shown = scope === region.level ? label(region) : country(region.country ?? "", region.parent);
  return sentences(
    location_used
      ? _("You allow your coarse location to choose this list, and your place is taken to be {place}.", { place: label(region) })
      : _("Your location was not used, so this is of the whole world."),
    scope === "world"
      ? ngettext(
        "What is popular or rising in the whole world, by listeners who contribute, over the night to {as_of}.",
        "What is popular or rising in the whole world, by listeners who contribute, over the {n} nights to {as_of}.",
        nights, { as_of: day(as_of) },
      )
      : ngettext(
        "What is popular, rising or special in {place} and the larger places around it, by listeners who contribute, over the night to {as_of}.",
        "What is popular, rising or special in {place} and the larger places around it, by listeners who contribute, over the {n} nights to {as_of}.",
        nights, { place: shown, as_of: day(as_of) },
      ),
    history_used
      ? _("You allow your plays to choose, so what is close to them comes first.")
      : allowed
        ? _("You allow your plays to choose, and none are known yet that would say anything.")
        : _("Your plays were not used."),
  );
}

/** Why these places are thought to listen like a listener. @param {any} twin @param {boolean} allowed as for a list */
export function whyTwin({ history_used, surely, as_of, places }, allowed) {
  if (!history_used && allowed) return _("You allow your plays to choose, and none are known yet that would say anything: the largest places.");
  if (!history_used) return _("Your plays were not used, so these are simply the largest places.");
  return sentences(
    surely === "among_the_first_five"
      ? _("You listen most like {place}; the place that you listen like is surely among these five.", { place: label(places[0].region) })
      : _("You listen like nowhere surely: these fit best, and others, or the whole world, fit nearly as well."),
    _("By the published charts of the nights to {as_of} and your own plays, of which nothing is stored.", { as_of: day(as_of) }),
  );
}

/** Why a line is there. @param {any} item @param {string} place what its numbers are of, where that is another place */
export function reasonOf(item, place) {
  const told = graded(item, TOLD[item.source.chart](item));
  const worldwide = item.source.place === "world";
  const whose = place && !(worldwide && item.source.chart === "popular");
  return sentences(LEADS[item.because] ?? "", whose ? (worldwide ? _("Worldwide: {told}", { told }) : _("In {place}: {told}", { place, told })) : told);
}

/** @type {Record<string, string>} */
const LEADS = { close_to_what_you_play: _("Close to what you play."), new_for_you: _("New for you.") };

/** @type {Record<string, (item: any) => string>} */
const TOLD = { popular, rising: (item) => (item.kind === "debut" ? debut(item) : mover(item)), local };

/** @param {any} item @param {string} told */
function graded({ grade, source, lift_interval }, told) {
  if (grade === "likely") return _("Likely: {told}", { told: small(told) });
  if (grade === "guess") return _("A guess: {told} It may well be chance.", { told: small(told) });
  if (grade === "surely" && source.chart === "rising" && lift_interval.low <= 1) return _("{told} It may still be chance.", { told });
  return told;
}

/** @param {any} item */
function popular(item) {
  const { low, high } = item.lift_interval, told = about(item);
  if (item.source.place === "world") return _("{about} worldwide, between {low} and {high} with 95 % certainty.", { about: told, ...between(item) });
  if (low > 1 || high < 1) return _("{about}; its share is {lift} times ({lift_low} to {lift_high}) the world's.", { about: told, ...times(item) });
  return _("{about}; no clear difference from its share in the world.", { about: told });
}

/** @param {any} item */
function local(item) {
  return _("{about}, {lift} times ({lift_low} to {lift_high}) what the rest of the world would let expect of a place this size.", { about: about(item), ...times(item) });
}

/** @param {any} item */
function mover(item) {
  return ngettext(
    "{about} over the last night, {lift} times ({lift_low} to {lift_high}) what the weeks before would let expect.",
    "{about} over the last {n} nights, {lift} times ({lift_low} to {lift_high}) what the weeks before would let expect.",
    item.nights, { about: about(item), ...times(item) },
  );
}

/** @param {any} item */
function debut(item) {
  return ngettext(
    "New: {about} over the last night, between {low} and {high} with 95 % certainty, and hardly any before.",
    "New: {about} over the last {n} nights, between {low} and {high} with 95 % certainty, and hardly any before.",
    item.nights, { about: small(about(item)), ...between(item) },
  );
}

/** @param {any} item */
function about({ listeners: { estimate } }) {
  if (estimate < 1) return _("Fewer than one contributing listener a night");
  return ngettext("About {n} contributing listener a night", "About {n} contributing listeners a night", spoken(estimate));
}

/** @param {any} item */
function between({ listeners: { low, high } }) {
  return { low: spoken(low), high: spoken(high) };
}

/** @param {any} item */
function times({ lift, lift_interval: { low, high } }) {
  return { lift: multiple(lift), lift_low: multiple(low), lift_high: multiple(high) };
}

/** @param {number} lift */
function multiple(lift) {
  return lift < 10 ? number(lift, lift < 1 ? 2 : 1) : number(spoken(lift));
}

/** Two significant digits, as one would say it; below ten a whole number. @param {number} value */
function spoken(value) {
  const step = 10 ** Math.max(0, String(Math.trunc(value)).length - 2);
  return Math.round(value / step) * step;
}

/** @param {string} text */
function small(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
