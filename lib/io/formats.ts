/** Formats of weights by a file's first four bytes. Their readers are loaded for files of theirs only, because most programs read none. */

/** Whether a file begins as GGUF does. */
export function isGguf(head: Uint8Array): boolean {
  return begins(head, 0x47, 0x47, 0x55, 0x46)
}

/** Whether a file begins as `torch.save` begins one: a zip archive, or before PyTorch 1.6 a pickle of its magic number. */
export function isTorch(head: Uint8Array): boolean {
  return begins(head, 0x50, 0x4b, 3, 4) || begins(head, 0x80, 2, 0x8a, 10)
}

function begins(head: Uint8Array, ...bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => head[i] === byte)
}
