/**
 * Philox 4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1,
 * 2, 3" (SC 2011). Ten rounds of two 32x32 -> 64 bit products turn a 128-bit counter and a 64-bit key into four words.
 * The native kernels compute the same function (native/cpu/random/philox.h).
 */

const multiplier0 = 0xd2511f53
const multiplier1 = 0xcd9e8d57
const weyl0 = 0x9e3779b9 // golden ratio
const weyl1 = 0xbb67ae85 // sqrt(3) - 1
const rounds = 10

/**
 * The upper 32 bits of the product of an unsigned 32-bit integer and a factor up to 2^32. Both partial products are
 * below 2^49, so float64 holds them exactly.
 */
export function multiplyHigh(word: number, factor: number): number {
  const low = word * (factor % 65536)
  const high = word * Math.floor(factor / 65536)
  return ((high + Math.floor(low / 65536)) / 65536) >>> 0
}

/** Philox of the paper: replaces the four words of `counter` by the random words of the key (key0, key1). */
export function philox4x32(counter: Uint32Array, key0: number, key1: number): void {
  let c0 = counter[0] as number
  let c1 = counter[1] as number
  let c2 = counter[2] as number
  let c3 = counter[3] as number
  let k0 = key0
  let k1 = key1
  for (let round = 0; round < rounds; round++) {
    const high0 = multiplyHigh(c0, multiplier0)
    const high1 = multiplyHigh(c2, multiplier1)
    const low0 = Math.imul(c0, multiplier0)
    const low1 = Math.imul(c2, multiplier1)
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + weyl0) | 0
    k1 = (k1 + weyl1) | 0
  }
  counter[0] = c0
  counter[1] = c1
  counter[2] = c2
  counter[3] = c3
}

/**
 * Writes the four words of one block of a stream to the first elements of `out`.
 *
 * @param seed a safe integer, the key
 * @param stream an unsigned 32-bit integer, which of the independent sequences
 * @param block a safe integer, the position in the sequence, in blocks of four words
 */
export function philox4(seed: number, stream: number, block: number, out: Uint32Array): void {
  out[0] = block
  out[1] = Math.floor(block / 4294967296)
  out[2] = stream
  out[3] = 0
  philox4x32(out, seed | 0, Math.floor(seed / 4294967296) | 0)
}

/** The threshold for dropping with probability p, in [0, 2^32]: an element is dropped if its word is below it. */
export function dropThreshold(p: number): number {
  return Math.floor(p * 4294967296 + 0.5)
}
