// Builds what the page takes from other people's packages into built/: the font, the outline of the land, H3 for "near
// me" and for places without charts, and the licences of all that is in there; with them the map. Nothing is committed.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { geoMercator, geoPath } from "d3-geo";
import { feature } from "topojson-client";
import { filter, filterWeight, presimplify, simplify } from "topojson-simplify";
import { build } from "esbuild";
import { LAND, SIZE, projected } from "./geometry.js";

const OUT = "built";
// Square degrees: finer bends of a coast and smaller islands are left out, near and from afar.
const OUTLINES = { "land.json": 4e-3, "land-far.json": 0.15 };
const TOP = 84, BOTTOM = -60; // degrees: what is drawn; the ice beyond would fill half of the map

/** A font that comes late is left for the next page: lines that break anew would push what is being read. */
function steadyFont() {
  const css = readFileSync(`${OUT}/font.css`, "utf8");
  writeFileSync(`${OUT}/font.css`, css.replaceAll("font-display:swap", "font-display:optional"));
}

/** The outline of the land as the path of an SVG: the browser has nothing to compute. @param {number} smallest */
function land(smallest) {
  const whole = presimplify(JSON.parse(readFileSync("node_modules/world-atlas/land-50m.json", "utf8")));
  const kept = filter(simplify(whole, smallest), filterWeight(whole, smallest * 5));
  const pen = new Pen(), edges = [[0, projected(0, TOP)[1]], [SIZE, projected(0, BOTTOM)[1]]];
  const mercator = geoMercator().scale(SIZE / (2 * Math.PI)).translate([SIZE / 2, 0]).clipExtent(edges);
  geoPath(mercator, pen)(feature(kept, kept.objects.land));
  return pen.path;
}

/** Writes what is drawn with it as steps of whole units from point to point. */
class Pen {
  path = "";
  at = [0, 0];

  moveTo(x, y) {
    this.at = units(x, y);
    this.path += `M${joined(this.at)}l`;
    this.first = true;
  }

  lineTo(x, y) {
    const to = units(x, y), step = [to[0] - this.at[0], to[1] - this.at[1]];
    if (!step[0] && !step[1]) return;
    this.path += (this.first || step[0] < 0 ? "" : " ") + joined(step);
    [this.at, this.first] = [to, false];
  }

  closePath() {
    this.path += "z";
  }
}

const units = (x, y) => [Math.round(x * LAND), Math.round(y * LAND)];
const joined = ([x, y]) => `${x}${y < 0 ? "" : " "}${y}`;

/** Who wrote what is in the bundle, and under which licence. */
function licences(inputs) {
  const used = inputs.map((each) => each.match(/(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean);
  return [...new Set([...used, "world-atlas"])].sort().map((name) => {
    const folder = `node_modules/${name}`;
    const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    return { name, version, licence: license, text: file ? readFileSync(`${folder}/${file}`, "utf8") : "" };
  });
}

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT);
const { metafile } = await build({
  entryPoints: ["map.js", "cells.js", "blind.js", "font.css"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  outdir: OUT,
  loader: { ".woff2": "file" },
  assetNames: "[name]",
  legalComments: "none", // the licences are shown whole, at /licences
  metafile: true,
});
steadyFont();
for (const [name, smallest] of Object.entries(OUTLINES)) writeFileSync(`${OUT}/${name}`, JSON.stringify(land(smallest)));
writeFileSync(`${OUT}/licences.json`, JSON.stringify(licences(Object.keys(metafile.inputs)), null, 1));
