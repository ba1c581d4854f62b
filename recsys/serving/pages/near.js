// "Near me": asks the browser for a position, makes a coarse cell of it, and forgets the position.
import { latLngToCell } from "h3-js";

const COARSE = 5; // H3 resolution: about 253 km², the finest that the endpoint accepts

/**
 * Ask the browser where the listener is. Only a listener's own click may lead here, and only with the switch on.
 * @returns {Promise<{cell?: string, refused?: boolean}>} the cell, or whether the listener refused
 */
export function cellHere() {
  return new Promise((answer) => {
    const failed = (/** @type {GeolocationPositionError} */ error) => answer({ refused: error.code === 1 });
    // A rough position is all that is needed, and one of the last hour is as good as a new one.
    const options = { enableHighAccuracy: false, maximumAge: 3_600_000, timeout: 20_000 };
    navigator.geolocation.getCurrentPosition((found) => answer({ cell: coarsened(found.coords) }), failed, options);
  });
}

/** @param {GeolocationCoordinates} coords */
function coarsened(coords) {
  return latLngToCell(coords.latitude, coords.longitude, COARSE);
}
