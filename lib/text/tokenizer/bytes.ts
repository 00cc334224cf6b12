// biome-ignore-all lint/suspicious/noControlCharactersInRegex: texts have such characters
/** GPT-2's alphabet: a printable character for each byte. */
import type { Aligned, Change } from './aligned.js'

/** The character of each byte: itself if it is printable, else one from U+0100 on. */
export const byteCharacters: readonly string[] = (() => {
  const prints = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(prints(byte) ? byte : next++))
})()

const characterBytes: ReadonlyMap<string, number> = new Map(byteCharacters.map((character, byte) => [character, byte]))

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const plain = /^[\x21-\x7e]*$/
const ascii = /^[\x00-\x7f]*$/

export function toByteCharacters(aligned: Aligned): Aligned {
  const { text } = aligned
  if (plain.test(text)) return aligned
  if (ascii.test(text)) {
    let bytes = ''
    for (let i = 0; i < text.length; i++) bytes += byteCharacters[text.charCodeAt(i)]
    return aligned.replaced(bytes)
  }
  const changes: Change[] = []
  for (const character of text)
    encoder.encode(character).forEach((byte, i) => {
      changes.push([byteCharacters[byte] as string, i > 0 ? 1 : 0])
    })
  return aligned.transform(changes)
}

/** The text that byte characters represent. A token with other characters represents itself. */
export function fromByteCharacters(tokens: readonly string[]): string {
  const bytes: number[] = []
  for (const token of tokens) {
    const own = [...token].map((character) => characterBytes.get(character))
    for (const byte of own.includes(undefined) ? encoder.encode(token) : (own as number[])) bytes.push(byte)
  }
  return decoder.decode(Uint8Array.from(bytes))
}
