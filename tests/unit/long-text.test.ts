/** Tokens of long texts, encoded in windows. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { Generator } from '../../lib/index.js'
import { prepare } from '../../lib/pretrain/index.js'
import { idsOfLong } from '../../lib/pretrain/long-text.js'
import { AutoTokenizer, type Encoding, type Tokenizer } from '../../lib/text/index.js'

const data = fileURLToPath(new URL('../models/data/tokenizers/', import.meta.url))
const corpus = readFileSync(join(data, 'corpus.txt'), 'utf8')
const sizes = { window: 1024, overlap: 64 }

/** Lines of the corpus in any order, cut anywhere, on one line or on several. */
function longText(seed: number, length: number): string {
  const generator = new Generator(seed)
  const lines = corpus.split('\n')
  let text = ''
  while (text.length < length) {
    const line = lines[generator.randint(0, lines.length)] as string
    text += line.slice(generator.randint(0, 9)) + [' ', '\n', '  \n\n', ''][generator.randint(0, 4)]
  }
  return text
}

/** The lengths of the texts that were encoded. */
const counted = (tokenizer: Tokenizer) => {
  const lengths: number[] = []
  const encode = (text: string) => {
    lengths.push(text.length)
    return tokenizer.encode(text, { specialTokens: false })
  }
  return { encode, lengths }
}

it.each(['byte-bpe', 'llama-bpe', 'llama3-bpe', 'roberta-bpe', 'unigram', 'wordpiece'])(
  '%s has the tokens of the whole text, and holds only windows of it',
  async (name) => {
    const tokenizer = await AutoTokenizer.load(join(data, name))
    for (let seed = 0; seed < 3; seed++) {
      const text = longText(seed, 12_000)
      const { encode, lengths } = counted(tokenizer)
      expect(await idsOfLong(encode, text, sizes)).toEqual([...tokenizer.encode(text, { specialTokens: false }).ids])
      expect(Math.max(...lengths)).toBeLessThan(2 * sizes.window)
      expect(lengths.length).toBeGreaterThan(11)
    }
  },
)

it('a text whose tokens depend on its beginning is encoded whole', async () => {
  // Ids count from the beginning of the encoded text, so two windows never agree.
  const places = (shift: number) => (text: string) => {
    const starts = Array.from({ length: Math.ceil(text.length / 3) }, (_, i) => 3 * i)
    return { ids: starts.map((start) => start + shift), offsets: starts.map((start) => [start, start + 3] as const) }
  }
  const text = 'x'.repeat(5000)
  expect(await idsOfLong(places(7), text, sizes)).toEqual(places(7)(text).ids)
  const without = (each: string) => ({ ids: [...each].map((one) => one.charCodeAt(0)) })
  expect(await idsOfLong(without, text, sizes)).toEqual(without(text).ids)
})

it('a window begins at no half of a character, and tokens of one character stay together', async () => {
  const tokenizer = await AutoTokenizer.load(join(data, 'llama-bpe'))
  for (const shift of ['', 'a', 'ab']) {
    const text = shift + '𝒳🎈 '.repeat(1500)
    const { encode, lengths } = counted(tokenizer)
    expect(await idsOfLong(encode, text, sizes)).toEqual([...tokenizer.encode(text, { specialTokens: false }).ids])
    expect(Math.max(...lengths)).toBeLessThan(2 * sizes.window)
  }
})

it('prepare encodes a line of many characters in windows', async () => {
  const tokenizer = await AutoTokenizer.load(join(data, 'wordpiece'))
  const text = longText(1, 600_000).replaceAll('\n', ' ')
  const { encode, lengths } = counted(tokenizer)
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-long-'))
  try {
    const { size } = tokenizer
    const own = { size, encode: (each: string) => encode(each) as Encoding, toJSON: () => ({}), idFor: () => null }
    const shards = await prepare(['short', text], own, folder)
    const ids = [...(await shards.train.read(0, shards.train.tokens))]
    await shards.close()
    expect(ids).toEqual(['short', text].flatMap((each) => [...tokenizer.encode(each, { specialTokens: false }).ids]))
    expect(lengths.length).toBe(4)
    expect(Math.max(...lengths)).toBeLessThan(300_000)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
