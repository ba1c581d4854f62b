// Builds what the page takes from other people's packages into built/: the map with "near me", its font, the outline
// of the land, and the licences of all that is in there. Nothing of it is committed.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { quantize } from "topojson-client";
import { filter, filterWeight, presimplify, simplify } from "topojson-simplify";
import { build } from "esbuild";

const OUT = "built";
const SMALLEST = 2e-3; // square degrees: finer bends of a coast and smaller islands are left out

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT);
const { metafile } = await build({
  entryPoints: ["map.js"],
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
writeFileSync(`${OUT}/land.json`, JSON.stringify(land()));
writeFileSync(`${OUT}/licences.json`, JSON.stringify(licences(Object.keys(metafile.inputs)), null, 1));

/** The outline of the land, as fine as a screen can show it. */
function land() {
  const whole = presimplify(JSON.parse(readFileSync("node_modules/world-atlas/land-50m.json", "utf8")));
  const kept = filter(simplify(whole, SMALLEST), filterWeight(whole, SMALLEST * 5));
  return quantize(kept, 2e4);
}

/** Who wrote what is in the bundle, and under which licence. */
function licences(inputs) {
  const used = inputs.map((each) => each.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean);
  return [...new Set([...used, "world-atlas"])].sort().map((name) => {
    const folder = `node_modules/${name}`;
    const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    return { name, version, licence: license, text: file ? readFileSync(`${folder}/${file}`, "utf8") : "" };
  });
}
