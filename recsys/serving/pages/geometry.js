// The plane that the map is drawn on: Mercator, which keeps hexagons hexagons, and shapes on it.

export const SIZE = 1000; // width of the world before any zoom
export const LAND = 20; // of the units that the outline of the land is written in, to one of the plane

/** @param {number} longitude @param {number} latitude */
export function projected(longitude, latitude) {
  const y = Math.log(Math.tan(Math.PI / 4 + (latitude * Math.PI) / 360));
  return [SIZE * (0.5 + longitude / 360), (-y * SIZE) / (2 * Math.PI)];
}

/** @param {{ring: number[][]}[]} hexagons */
export function pathOf(hexagons) {
  const path = new Path2D();
  for (const { ring } of hexagons) trace(path, ring);
  return path;
}

/** @param {Path2D} path @param {number[][]} ring */
export function trace(path, ring) {
  ring.forEach(([x, y], corner) => (corner ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
}

/** A ring that is so many times as large, around its middle. @param {{ring: number[][], middle: number[]}} hexagon @param {number} times */
export function grown({ ring, middle: [x, y] }, times) {
  return times === 1 ? ring : ring.map(([u, v]) => [x + (u - x) * times, y + (v - y) * times]);
}

/** @param {number[][]} ring */
export function boxAround(ring) {
  const [xs, ys] = [ring.map(([x]) => x), ring.map(([, y]) => y)];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** The box that most of some hexagons lie in; far islands are not worth a view of the ocean.
 * @param {{box: number[]}[]} hexagons */
export function boxOf(hexagons) {
  return [0, 1, 2, 3].map((side) => {
    const sorted = hexagons.map(({ box }) => box[side]).sort((a, b) => a - b);
    const cut = Math.floor(sorted.length * 0.03);
    return sorted[side < 2 ? cut : sorted.length - 1 - cut];
  });
}

/** @param {number[][]} ring @param {number} x @param {number} y */
export function inside(ring, x, y) {
  let is = false;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [[a, b], [c, d]] = [ring[i], ring[j]];
    if (b > y !== d > y && x < ((c - a) * (y - b)) / (d - b) + a) is = !is;
  }
  return is;
}
