import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { memory } from '../../lib/backend/memory.js'
import { Generator } from '../../lib/core/generator.js'
import { PieceWriter } from '../../lib/models/generation/pieces.js'
import { type ChatOptions, type GenerateOptions, gpt2 } from '../../lib/models/index.js'
import { normal_ } from '../../lib/nn/init.js'
import { tensor } from '../../lib/ops/creation.js'
import { AutoTokenizer, applyChatTemplate } from '../../lib/text/index.js'

setDefaultDevice('cpu')

const generator = new Generator(2)
const model = gpt2({ vocabSize: 60, layers: 2, width: 16, heads: 2, context: 64, generator, dropout: 0.5 })
// A new model's small weights would make every text one repeated token.
for (const parameter of model.parameters()) if (parameter.ndim === 2) normal_(parameter, 0, 0.4, { generator })
const prompt = [7, 3, 30]
const letters = { decode: (ids: readonly number[]) => ids.map((id) => String.fromCharCode(65 + id)).join('') }
const write = async (options: GenerateOptions, prompts: readonly (readonly number[])[] = [prompt]) =>
  (await model.generate(prompts, { maxNewTokens: 10, ...options })).map(({ tokens }) => tokens)

/** The best tokens, computed without a cache. */
function bestOf(tokens: readonly number[], count: number): number[] {
  const all = [...tokens]
  model.eval()
  for (let i = 0; i < count; i++)
    all.push(
      noGrad(
        () =>
          model
            .forward(tensor([all], { dtype: 'int32' }))
            .select(1, all.length - 1)
            .argmax(-1)
            .item() as number,
      ),
    )
  model.train()
  return all.slice(tokens.length)
}

it('refuses end tokens of a folder that are none, unless others are given', async () => {
  const own = gpt2({ vocabSize: 60, layers: 1, width: 16, heads: 2, context: 64, generator })
  for (const value of ['x', -1, 1.5, [2, -5], {}]) {
    own.generationConfig = { eos_token_id: value } as typeof own.generationConfig
    const says = /^\[Gpt2\] eos_token_id of generation_config\.json is .* must be a token id/
    await expect(own.generate([prompt], { maxNewTokens: 2 })).rejects.toThrow(says)
    expect(await own.generate([prompt], { maxNewTokens: 2, stopTokens: [] })).toHaveLength(1)
  }
})

describe('writing on', () => {
  it('takes the best token each time, of prompts of different lengths, in evaluation mode', async () => {
    const prompts = [prompt, [5], [9, 9, 2, 4, 1, 0]]
    expect(await write({}, prompts)).toEqual(prompts.map((each) => bestOf(each, 10)))
    expect(model.training).toBe(true)
    expect(await write({}, [prompt])).toEqual(
      await model.generate(prompt, { maxNewTokens: 10 }).then((all) => all.map(({ tokens }) => tokens)),
    )
  })

  it('ends at stop tokens and stop strings, each row by itself', async () => {
    const [plain = []] = await write({})
    const stop = plain[4] as number
    const end = plain.indexOf(stop) + 1
    const [text] = await model.generate([prompt], { maxNewTokens: 10, stopTokens: stop, tokenizer: letters })
    expect(text).toMatchObject({
      tokens: plain.slice(0, end),
      finish: 'token',
      text: letters.decode(plain.slice(0, end - 1)),
    })
    const two = letters.decode(plain.slice(2, 4))
    const [cut] = await model.generate([prompt], { maxNewTokens: 10, stopStrings: two, tokenizer: letters })
    expect(cut?.finish).toBe('string')
    expect(cut?.text).toBe(letters.decode(plain).slice(0, letters.decode(plain).indexOf(two)))
    const rows = await model.generate([prompt, [5]], { maxNewTokens: 10, stopTokens: stop })
    expect(rows[0]?.tokens).toEqual(plain.slice(0, end))
    expect(rows[1]?.tokens.slice(0, 10)).toEqual(bestOf([5], rows[1]?.tokens.length as number))
    const longer = await model.generate([prompt], { maxNewTokens: 10, minNewTokens: 8, stopTokens: stop })
    expect(longer[0]?.tokens.length).toBeGreaterThanOrEqual(8)
    expect(longer[0]?.tokens.slice(0, 7)).not.toContain(stop)
  })

  it('draws the same texts for the same seed', async () => {
    const options = { temperature: 1.5, topK: 30, topP: 0.95, seed: 4 }
    const first = await write(options, [prompt, prompt])
    expect(await write(options, [prompt, prompt])).toEqual(first)
    expect(first[0]).not.toEqual(first[1])
    expect(await write({ ...options, seed: 5 }, [prompt, prompt])).not.toEqual(first)
    expect(await write({ topK: 1, seed: 1 })).toEqual(await write({}))
  })

  it('draws several texts for each prompt, side by side', async () => {
    const options = { temperature: 1.5, seed: 4 }
    const texts = await write({ ...options, returnSequences: 2 }, [prompt, [5]])
    expect(texts).toEqual(await write(options, [prompt, prompt, [5], [5]]))
    expect(texts[0]).not.toEqual(texts[1])
    const ending = { ...options, stopTokens: texts[0]?.[2] as number }
    expect(await write({ ...ending, returnSequences: 2 })).toEqual(await write(ending, [prompt, prompt]))
  })

  it('never takes a suppressed token', async () => {
    const [plain = []] = await write({})
    const first = plain[0] as number
    const [other = []] = await write({ suppressTokens: [first] })
    expect(other).not.toContain(first)
    const last = 59
    const almost = Array.from({ length: last }, (_, token) => token)
    expect(await write({ suppressTokens: almost, maxNewTokens: 2 })).toEqual([[last, last]])
    await expect(write({ suppressTokens: [...almost, last] })).rejects.toThrow('leave none of the 60 tokens')
    const [best] = await model.generate(prompt, { maxNewTokens: 2, beams: 2, suppressTokens: almost })
    expect(best?.tokens).toEqual([last, last])
  })

  it('never ends a text with a bad word, unless the word is a stop token', async () => {
    const [plain = []] = await write({})
    const [first, second] = plain as [number, number]
    const [other = []] = await write({
      badWords: [
        [first, second],
        [40, first],
      ],
    })
    expect(other[0]).toBe(first)
    expect(other.some((token, i) => token === first && other[i + 1] === second)).toBe(false)
    // The beginning of a word may be in the prompt.
    expect((await write({ badWords: [[30, first]] }))[0]?.[0]).not.toBe(first)
    expect(
      await write({
        badWords: [
          [9, 30, first],
          [first, 1, 2, 3, 4, 5],
        ],
      }),
    ).toEqual([plain])
    expect((await write({ badWords: [[first]] }))[0]).not.toContain(first)
    expect(await write({ badWords: [[first]], stopTokens: [first] })).toEqual([[first]])
    const all = Array.from({ length: 60 }, (_, token) => [token])
    await expect(write({ badWords: all })).rejects.toThrow('suppressTokens and badWords leave none of the 60 tokens')
  })

  it('tells the log probabilities of the model itself', async () => {
    const [text] = await model.generate([prompt], { maxNewTokens: 3, logProbs: true, temperature: 2, seed: 1 })
    const all = [...prompt, ...(text?.tokens ?? [])]
    model.eval()
    const logs = noGrad(() => model.forward(tensor([all], { dtype: 'int32' })).logSoftmax(-1))
    model.train()
    text?.logProbs?.forEach((log, i) => {
      expect(log).toBeCloseTo(
        logs
          .select(0, 0)
          .select(0, prompt.length - 1 + i)
          .select(0, text.tokens[i] as number)
          .item() as number,
        4,
      )
    })
  })

  it('finds with beams a text that is at least as likely, and frees its memory', async () => {
    const total = (logs: readonly number[] = []) => logs.reduce((a, b) => a + b, 0)
    const [greedy] = await model.generate([prompt], { maxNewTokens: 6, logProbs: true })
    const before = memory().tensors
    const beams = await model.generate([prompt, [5]], {
      maxNewTokens: 6,
      beams: 5,
      returnSequences: 3,
      lengthPenalty: 0,
    })
    expect(memory().tensors).toBe(before)
    expect(beams).toHaveLength(6)
    expect(beams[0]?.score).toBeGreaterThanOrEqual(total(greedy?.logProbs) - 1e-5)
    expect(beams.slice(0, 3).map(({ score }) => score)).toEqual(
      beams
        .slice(0, 3)
        .map(({ score }) => score)
        .sort((a = 0, b = 0) => b - a),
    )
  })

  it('can be stopped, and lets timers run', async () => {
    const stopped = AbortSignal.abort(new Error('enough'))
    await expect(write({ signal: stopped })).rejects.toThrow('enough')
    const later = new AbortController()
    setTimeout(() => later.abort(new Error('later')), 5)
    await expect(
      write({ maxNewTokens: 60, signal: later.signal, stopTokens: [] }, Array(40).fill(prompt)),
    ).rejects.toThrow('later')
  })

  it('gives tokens and pieces as they come', async () => {
    const [tokens = []] = await write({})
    const got: number[] = []
    for await (const token of model.stream(prompt, { maxNewTokens: 10 })) got.push(token)
    expect(got).toEqual(tokens)
    let text = ''
    for await (const piece of model.stream(prompt, { maxNewTokens: 10, tokenizer: letters })) text += piece
    expect(text).toBe(letters.decode(tokens))
    const stop = letters.decode(tokens.slice(3, 5))
    let cut = ''
    for await (const piece of model.stream(prompt, { maxNewTokens: 10, tokenizer: letters, stopStrings: stop }))
      cut += piece
    expect(cut).toBe(text.slice(0, text.indexOf(stop)))
  })

  it('returns, behind the last token or piece, why the text ended', async () => {
    const [tokens = []] = await write({})
    const end = async (options: Pick<GenerateOptions, 'stopTokens'>) => {
      const reasons = []
      for (const writing of [
        model.stream(prompt, { maxNewTokens: 10, ...options }),
        model.stream(prompt, { maxNewTokens: 10, ...options, tokenizer: letters }),
      ])
        for (let next = await writing.next(); ; next = await writing.next())
          if (next.done) {
            reasons.push(next.value)
            break
          }
      return reasons
    }
    expect(await end({ stopTokens: [] })).toEqual(['length', 'length'])
    expect(await end({ stopTokens: tokens[4] as number })).toEqual(['token', 'token'])
    const stopStrings = letters.decode(tokens.slice(3, 5))
    const writing = model.stream(prompt, { maxNewTokens: 10, tokenizer: letters, stopStrings })
    let next = await writing.next()
    while (!next.done) next = await writing.next()
    expect(next.value).toBe('string')
  })

  it('refuses what does not go together, by name', async () => {
    const wrong: readonly (readonly [GenerateOptions, RegExp])[] = [
      [{ temperature: 0 }, /temperature is 0/],
      [{ topP: 1.5 }, /topP is 1\.5/],
      [{ topK: 0 }, /topK is 0/],
      [{ maxNewTokens: 0 }, /maxNewTokens is 0/],
      [{ sample: false, topK: 3 }, /topK have an effect only in sampling/],
      [{ seed: 1 }, /seed and generator are for sampling/],
      [{ stopStrings: 'x' }, /needs a tokenizer/],
      [{ beams: 2, sample: true }, /beams take the best/],
      [{ beams: 2, logProbs: true }, /logProbs/],
      [{ beams: 2, returnSequences: 3 }, /returnSequences is 3/],
      [{ returnSequences: 2 }, /returnSequences has an effect only in sampling or a beam search/],
      [{ suppressTokens: [-1] }, /suppressTokens are \[-1\]/],
      [{ badWords: [[]] }, /badWords are \[an array\], but must be lists of token ids/],
      [{ badWords: [3] as never }, /badWords are \[3\], but must be lists/],
      [{ lengthPenalty: 2 }, /lengthPenalty have an effect only in a beam search/],
      [{ maxTokens: 3 } as GenerateOptions, /no option maxTokens/],
    ]
    for (const [options, message] of wrong) await expect(model.generate(prompt, options)).rejects.toThrow(message)
    await expect(model.generate([])).rejects.toThrow(/the prompt is empty, but must be token ids/)
    await expect(model.generate([[]])).rejects.toThrow(/a prompt is empty/)
    await expect(model.generate([60])).rejects.toThrow(/from 0 to 59/)
    const tooMany = /a prompt has 3 tokens, and maxNewTokens is 63, but the model has 64 positions/
    await expect(model.generate(prompt, { maxNewTokens: 63 })).rejects.toThrow(tooMany)
    await expect(model.stream(prompt, { maxNewTokens: 63 }).next()).rejects.toThrow(tooMany)
    // The last token is not read.
    expect((await model.generate(prompt, { maxNewTokens: 62 }))[0]?.tokens).toHaveLength(62)
  })
})

describe('a chat', () => {
  it('is the tokens of its template, written on until a text ends', async () => {
    const folder = fileURLToPath(new URL('../models/data/tokenizers/llama-bpe', import.meta.url))
    const tokenizer = await AutoTokenizer.load(folder)
    const teller = gpt2({
      vocabSize: tokenizer.size,
      layers: 1,
      width: 8,
      heads: 1,
      context: 128,
      generator,
      dropout: 0,
    })
    for (const parameter of teller.parameters()) if (parameter.ndim === 2) normal_(parameter, 0, 1, { generator })
    const messages = [{ role: 'user', content: 'where is my parcel?' }]
    const collect = async (options: ChatOptions) => {
      let text = ''
      for await (const piece of teller.chat(tokenizer, messages, options)) text += piece
      return text
    }
    const prompt = await applyChatTemplate(messages, { tokenizer, addGenerationPrompt: true })
    const { ids } = tokenizer.encode(prompt, { specialTokens: false })
    const [text] = await teller.generate([...ids], { maxNewTokens: 12, stopTokens: [], tokenizer })
    expect(await collect({ maxNewTokens: 12, stopTokens: [] })).toBe(text?.text)
    const [, second] = text?.tokens ?? []
    const until = text?.tokens.slice(0, text.tokens.indexOf(second as number)) ?? []
    expect(await collect({ maxNewTokens: 12, stopTokens: second as number })).toBe(tokenizer.decode(until))
    await expect(collect({ template: '{{ raise_exception("no") }}' })).rejects.toThrow(/no/)
    await expect(collect({ tokenizer: 3 } as ChatOptions)).rejects.toThrow(/no option tokenizer/)
  })
})

describe('pieces of text', () => {
  const bytes = { decode: (ids: readonly number[]) => new TextDecoder().decode(Uint8Array.from(ids)) }
  const text = 'naïve 键 👩‍👧 end'.repeat(12)
  it('are whole characters, and together the text', () => {
    const writer = new PieceWriter({ tokenizer: bytes, stopStrings: [] })
    const pieces = [...new TextEncoder().encode(text)].map((byte) => writer.push(byte))
    expect(pieces.join('') + writer.end()).toBe(text)
    expect(pieces.join('')).not.toContain('\ufffd')
    expect(pieces.filter((piece) => piece === '👩')).toHaveLength(12)
  })

  it('hold back what may be a stop string', () => {
    const writer = new PieceWriter({ tokenizer: bytes, stopStrings: ['abc'] })
    const feed = (part: string) => [...new TextEncoder().encode(part)].map((byte) => writer.push(byte))
    expect(feed('xabaab')).toEqual(['x', '', '', 'ab', 'a', ''])
    expect(feed('cd').join('')).toBe('')
    expect(writer.ended).toBe(true)
  })
})
