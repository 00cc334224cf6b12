import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { AutoTokenizer, saveTokenizer, type TrainTokenizerOptions, trainTokenizer } from '../../lib/text/index.js'

const data = fileURLToPath(new URL('../models/data/tokenizers/', import.meta.url))
const corpus = readFileSync(join(data, 'corpus.txt'), 'utf8')
  .split('\n')
  .map((line) => line.replaceAll('\\n', '\n'))
const folder = mkdtempSync(join(tmpdir(), 'firesteel-train-'))
afterAll(() => rmSync(folder, { recursive: true }))

const model = (name: string) => JSON.parse(readFileSync(join(data, name, 'tokenizer.json'), 'utf8')).model

describe('trained tokenizers', () => {
  it.each([['byte-bpe', { vocabSize: 1200, special: ['<|endoftext|>', '<s>', '</s>'] }]])(
    'of bytes equal what Hugging Face trained: %s',
    async (name, options) => {
      const { model: own } = (await trainTokenizer('bpe', corpus, options)).toJSON() as {
        model: ReturnType<typeof model>
      }
      const theirs = model(name)
      expect(own.merges).toEqual(theirs.merges)
      expect(own.vocab).toEqual(theirs.vocab)
    },
  )

  it('stop at pairs that come too seldom', async () => {
    const texts = ['ab ab ab cd cd']
    const sizes = []
    for (const minFrequency of [1, 2, 3, 4])
      sizes.push((await trainTokenizer('bpe', texts, { vocabSize: 300, minFrequency })).size - 256)
    // ab thrice, " ab" and cd twice each, " cd" twice.
    expect(sizes).toEqual([4, 4, 1, 0])
  })

  it('of words are the same every time, and come back from their files', async () => {
    const options = { vocabSize: 400 }
    const tokenizer = await trainTokenizer('wordpiece', corpus, options)
    expect((await trainTokenizer('wordpiece', corpus, options)).toJSON()).toEqual(tokenizer.toJSON())
    expect(tokenizer.size).toBe(400)
    await saveTokenizer(tokenizer, folder)
    const again = await AutoTokenizer.load(folder)
    const text = 'The quick brown Füchse, 数据!'
    const { tokens, ids } = again.encode(text, { pair: 'fox' })
    expect(ids).toEqual(tokenizer.encode(text, { pair: 'fox' }).ids)
    expect(tokens[0]).toBe('[CLS]')
    expect(tokens.slice(-4)).toEqual(['f', '##o', '##x', '[SEP]'])
    expect(again.idFor('mask')).toBe(4)
  })

  it.each([
    ['bpe', { vocabSize: 255 }, 'vocabSize is 255, but special tokens and characters alone take 256'],
    ['bpe', { vocabSize: 256.5 }, 'vocabSize is 256.5'],
    ['bpe', { vocabSize: 300, special: ['a', 'a'] }, "special has 'a' at 1"],
    ['bpe', { vocabSize: 300, lowercase: true }, 'lowercase is given'],
    ['bpe', { vocabSize: 300, roles: { eos: '<end>' } }, 'has no token "<end>"'],
    ['wordpiece', { vocabSize: 300, special: ['[CLS]'] }, "special must contain '[UNK]'"],
  ] as const)('refuse %s of %j', async (kind, options: TrainTokenizerOptions, message) => {
    await expect(trainTokenizer(kind, ['ab'], options)).rejects.toThrow(message)
  })

  it('refuse what is no text, by its place', async () => {
    await expect(trainTokenizer('bpe', ['a', 1 as never], { vocabSize: 300 })).rejects.toThrow('text 1 is the number 1')
  })
})
