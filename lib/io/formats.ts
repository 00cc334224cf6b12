/**
 * Formats of weights, told by a file's first four bytes. A format's reader is loaded only for such a file, because most
 * programs read none.
 */

/** Whether a file begins like GGUF. */
export function isGguf(head: Uint8Array): boolean {
  return begins(head, 0x47, 0x47, 0x55, 0x46)
}

/**
 * Whether a file begins like one of `torch.save`: as a zip archive, or before PyTorch 1.6 as a pickle of a magic
 * number.
 */
export function isTorch(head: Uint8Array): boolean {
  return begins(head, 0x50, 0x4b, 3, 4) || begins(head, 0x80, 2, 0x8a, 10)
}

function begins(head: Uint8Array, ...bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => head[i] === byte)
}
