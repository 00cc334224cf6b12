import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { ValueError } from '../../lib/index.js'
import { AutoTokenizer, type EncodeOptions, saveTokenizer, Tokenizer } from '../../lib/text/index.js'
import { checkTokenizers, tallied } from '../models/tokenizers.js'

const data = fileURLToPath(new URL('../models/data/tokenizers/', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'firesteel-tokenizer-'))
afterAll(() => rmSync(folder, { recursive: true }))

const json = (name: string) => JSON.parse(readFileSync(join(data, name, 'tokenizer.json'), 'utf8'))

describe('tokenizers', () => {
  it('give what those of Hugging Face give', async () => {
    const { tally, check } = tallied()
    await checkTokenizers(data, check)
    expect(tally.failed).toBe(0)
    expect(tally.passed).toBeGreaterThan(100)
  })

  it('have offsets that cut the text in UTF-16 units', async () => {
    const tokenizer = await AutoTokenizer.load(join(data, 'llama3-bpe'))
    const text = 'go 🎉🚀 Zürich'
    const { offsets, tokens } = tokenizer.encode(text, { specialTokens: false })
    expect(offsets.length).toBe(tokens.length)
    const emoji = offsets.filter(([from]) => from === 3)
    expect(emoji.length).toBeGreaterThan(1)
    for (const [from, to] of emoji) expect(text.slice(from, to)).toBe('🎉')
  })

  it('are saved whole, with tokens that were added', async () => {
    const tokenizer = await AutoTokenizer.load(join(data, 'roberta-bpe'), { padToken: '<pad>' })
    const before = tokenizer.size
    expect(tokenizer.addTokens(['<|tool|>', '<mask>'], { special: true })).toBe(1)
    expect(tokenizer.size).toBe(before + 1)
    await saveTokenizer(tokenizer, join(folder, 'saved'))
    const again = await AutoTokenizer.load(join(folder, 'saved'))
    const text = 'a <|tool|> and <mask> b'
    expect(again.encode(text)).toEqual(tokenizer.encode(text))
    expect(again.encode(text).ids).toContain(before)
    expect(again.idFor('pad')).toBe(1)
    expect(again.decode(again.encode(text).ids)).toBe(' a  and b')
  })

  it('find words that are one character too long for WordPiece, and no shorter', () => {
    const wordpiece = json('wordpiece')
    const tokenizer = new Tokenizer({ ...wordpiece, model: { ...wordpiece.model, max_input_chars_per_word: 4 } })
    for (const [count, unknown] of [
      [3, false],
      [4, false],
      [5, true],
    ] as const)
      expect(tokenizer.encode('a'.repeat(count)).tokens.includes('[UNK]')).toBe(unknown)
  })

  it('give no tokens by a template that names neither text nor token, as tokenizers 0.23 does', () => {
    const wordpiece = json('wordpiece')
    const single: readonly object[] = []
    const tokenizer = new Tokenizer({ ...wordpiece, post_processor: { ...wordpiece.post_processor, single } })
    const { ids, tokens, offsets, attentionMask } = tokenizer.encode('a word')
    expect([ids, tokens, offsets, attentionMask].map((list) => [...list])).toEqual([[], [], [], []])
    expect(tokenizer.encode('a', { pair: 'word' }).ids.length).toBeGreaterThan(0)
  })

  // The pieces that pre_tokenizers.UnicodeScripts of tokenizers 0.23 returns.
  it.each([
    ['どこで生れ。Yes', ['どこで生れ', '。', 'Yes']],
    [' hello', ['hello']],
    ['a 1', ['a ', '1']],
    ['Ⅷ apples são 彼ー女', ['Ⅷ apples são ', '彼ー女']],
    ['hello мир', ['hello ', 'мир']],
    ['漢字ー仮名 カナ', ['漢字ー仮名 カナ']],
    ['a. b', ['a', '. ', 'b']],
    ['a\u0301b', ['a', '\u0301', 'b']],
    ['\u{1E900}x', ['\u{1E900}', 'x']],
    ['a\uE000b', ['a\uE000b']],
    ['  ', []],
  ])('cut %j where another script begins', (text, pieces) => {
    const vocab = Object.fromEntries(['?', ...pieces].map((piece, id) => [piece, id]))
    const tokenizer = new Tokenizer({
      model: { type: 'WordLevel', vocab, unk_token: '?' },
      pre_tokenizer: { type: 'UnicodeScripts' },
    })
    expect(tokenizer.encode(text).tokens).toEqual(pieces)
  })

  // Oniguruma splits like this: ① is not a word character, and ² is one only outside a class.
  it.each([
    ['\\w+', ['Cat', '①', 'a²b', '౸', 'Ⅷe\u0301x']],
    ['[\\w]+', ['Cat', '①', 'a', '²', 'b', '౸', 'Ⅷe\u0301x']],
    ['\\W+', ['Cat', '①', 'a²b', '౸', 'Ⅷe\u0301x']],
    ['[[:alnum:]]+', ['Cat', '①', 'a', '²', 'b', '౸', 'Ⅷe', '\u0301', 'x']],
  ])('split at %s as Hugging Face’s', (pattern, words) => {
    const text = words.join('')
    const tokenizer = new Tokenizer({
      model: { type: 'WordLevel', vocab: { '[UNK]': 0 }, unk_token: '[UNK]' },
      pre_tokenizer: { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
    })
    expect(tokenizer.encode(text).offsets.map(([from, to]) => text.slice(from, to))).toEqual(words)
  })

  it.each([
    ['llama-bpe', 'hey you', 'a hey you b'],
    ['wordpiece', 'Héllo', 'a hello b'],
    ['unigram', 'ﬁx  it', 'a fix it b'],
    ['roberta-bpe', 'Foo', ' a Foo b'],
  ])('decode a token that was added to %s as its normalized text', async (name, added, decoded) => {
    const tokenizer = await AutoTokenizer.load(join(data, name))
    tokenizer.addTokens([added])
    expect(tokenizer.decode(tokenizer.encode(`a ${added} b`).ids)).toBe(decoded)
  })

  it('merge a word of ten thousand characters', () => {
    const tokenizer = new Tokenizer(json('llama-bpe'))
    const { ids } = tokenizer.encode('the '.repeat(2500))
    expect(tokenizer.decode(ids)).toBe('the '.repeat(2500))
  })

  it.each([
    [{ maxLength: -1 }, 'maxLength is -1'],
    [{ stride: 1 }, 'stride has no effect without maxLength'],
    [{ truncation: 'first' as const }, 'truncation has no effect without maxLength'],
    [{ padToMultipleOf: 8 }, 'padToMultipleOf has no effect without padding'],
    [{ padding: 2 ** 20 + 1 }, 'padding is 1048577, but must be an integer from 0 to 1048576'],
    [{ padding: 8, padToMultipleOf: 2 ** 20 + 1 }, 'padToMultipleOf is 1048577, but must be an integer from 1 to'],
    [{ padding: 'longest' as const }, 'no padding token'],
    [{ maxLength: 2 }, 'there are 3 special tokens', true],
    [{ maxLength: 5, stride: 4 }, 'stride is 4'],
    [{ maxLength: 6, truncation: 'second' as const }, 'only one text'],
    [{ length: 3 }, 'no option length'],
  ])('refuse %j', (options, message, pair = false) => {
    const tokenizer = new Tokenizer(json('wordpiece'))
    const text = 'the quick brown fox'
    const run = () => tokenizer.encode(text, { ...(options as EncodeOptions), ...(pair && { pair: text }) })
    expect(run).toThrow(ValueError)
    expect(run).toThrow(message)
  })

  it.each([
    ['{', 'is not JSON'],
    ['[]', 'its value is an array'],
    ['{}', 'model is undefined'],
    ['{"model":{"type":"Odd"}}', 'model.type is "Odd"'],
    ['{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}', 'has the id -1'],
    ['{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}', 'needs the token "b"'],
    ['{"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}}', 'model.merges[0] is not a pair'],
    ['{"model":{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}}', 'model.dropout is set'],
    ['{"model":{"type":"Unigram","vocab":[["a"]]}}', 'model.vocab[0] is not a pair [token'],
    [
      '{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?<n>a)"},"behavior":"Isolated"}}',
      'the pattern "(?<n>a)" has the group',
    ],
  ])('refuse the file %s', async (text, message) => {
    const path = join(folder, 'tokenizer.json')
    writeFileSync(path, text)
    const error = await AutoTokenizer.load(path).then(
      () => null,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(ValueError)
    expect((error as Error).message).toContain(path)
    expect((error as Error).message).toContain(message)
  })
})
