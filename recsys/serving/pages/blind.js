// The blinding of numbers and addresses (RFC 9497, ristretto255-SHA512, VOPRF mode), which is large: it is loaded when a
// listener looks for friends, and not before.
import { Evaluation, Oprf, VOPRFClient } from "@cloudflare/voprf-ts";
import { CryptoNoble } from "@cloudflare/voprf-ts/crypto-noble";

const SUITE = Oprf.Suite.RISTRETTO255_SHA512;
const ELEMENT = 32, PROOF = 64; // bytes
const TOKEN = 16; // bytes that are kept of the 64 that come out

/**
 * Blind some entries: what is to be sent, and what makes their tokens of the answer, whose proof it checks.
 * @param {string[]} entries @param {string} key of the server, in hex
 */
export async function blinded(entries, key) {
  const client = new VOPRFClient(SUITE, bytesOf(key), CryptoNoble);
  const [kept, request] = await client.blind(entries.map((each) => new TextEncoder().encode(each)));
  const body = request.serialize().slice(2); // without how many there are
  /** @param {Uint8Array} answer */
  const tokens = async (answer) => (await client.finalize(kept, evaluationOf(answer))).map(tokenOf);
  return { body, tokens };
}

/** An answer as the library writes one: how many there are, the elements, the mode, the proof. @param {Uint8Array} answer */
function evaluationOf(answer) {
  const elements = answer.subarray(PROOF), count = elements.length / ELEMENT;
  const head = [count >> 8, count & 255];
  const written = Uint8Array.from([...head, ...elements, Oprf.Mode.VOPRF, ...answer.subarray(0, PROOF)]);
  return Evaluation.deserialize(SUITE, written, CryptoNoble);
}

/** @param {string} hex */
function bytesOf(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (each) => parseInt(each, 16));
}

/** In base64url, without padding. @param {Uint8Array} output */
function tokenOf(output) {
  const text = btoa(String.fromCharCode(...output.subarray(0, TOKEN)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
