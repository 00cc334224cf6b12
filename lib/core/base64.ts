/** Bytes as text in base64, and back. */
import { inNode, nodeModule } from './host.js'

const { Buffer } = nodeModule('node:buffer')

/**
 * Bytes encoded by one call. The number is a multiple of 3, so that the texts can be joined, and few enough to pass as
 * arguments.
 */
const pieceBytes = 3 * 2 ** 12

export function toBase64({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  if (inNode) return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).toString('base64')
  let text = ''
  for (let from = 0; from < byteLength; from += pieceBytes) {
    const piece = new Uint8Array(buffer, byteOffset + from, Math.min(pieceBytes, byteLength - from))
    text += btoa(String.fromCharCode(...piece))
  }
  return text
}

function decoded(text: string): Uint8Array<ArrayBuffer> {
  return inNode
    ? Uint8Array.from(Buffer.from(text, 'base64'))
    : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
}

/** Decodes into new memory. Returns null for a text that `toBase64` cannot have written. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    const bytes = decoded(text)
    return toBase64(bytes) === text ? bytes : null
  } catch {
    return null
  }
}
