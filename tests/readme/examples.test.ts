/** The examples run on the compiled library, with less work, and learn, as their last output shows. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { Generator, manualSeed } from '../../lib/index.js'
import { AutoModel } from '../../lib/models/index.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'firesteel-examples-'))
afterAll(() => rmSync(folder, { recursive: true }))

function run(name: string, ...args: string[]): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [`build/compiled/examples/${name}.js`, ...args], {
    cwd: root,
    encoding: 'utf8',
  })
  // A training that may go on from a checkpoint says that there is none yet.
  const told = stderr.replace(
    /^.*starts from the beginning, because there is no checkpoint in .*\n.*--trace-warnings.*\n/,
    '',
  )
  expect(`${status} ${told}`).toBe('0 ')
  return stdout
}

const number = (text: string, before: RegExp) => Number(new RegExp(`${before.source}([\\d.]+)`).exec(text)?.[1])

/** A text that repeats, so that nearly every next character can be known. */
const repeating = 'the quick brown fox jumps over the lazy dog. '.repeat(80)
const text = join(folder, 'text.txt')
writeFileSync(text, repeating)

it('tabular tells the species of nearly every penguin', () => {
  const out = run('tabular')
  expect(number(out, /accuracy on 69 held rows /)).toBeGreaterThan(0.9)
})

it('regression weighs penguins, and leaves a run behind', () => {
  const left = join(folder, 'penguins')
  const out = run('regression', '--epochs', '20', '--run', left)
  expect(out).toContain('333 penguins; 11 were not measured in full')
  expect(out).toContain('o loss   x validation.loss')
  expect(number(out, /on average, r2 /)).toBeGreaterThan(0.75)
  expect(readdirSync(left).sort()).toEqual(['epochs.csv', 'events.jsonl', 'run.json'])
  expect(readFileSync(join(left, 'epochs.csv'), 'utf8').trim().split('\n')).toHaveLength(21)
})

it('char-lstm learns a sentence, and writes on', () => {
  const out = run('char-lstm', '--text', text, '--steps', '60', '--length', '40', '--start', 'the quick')
  expect(number(out, /step 0: loss /)).toBeGreaterThan(3)
  expect(number(out, /step 59: loss /)).toBeLessThan(2)
  expect(out.replace(/\n$/, '').split('\n').at(-1)).toMatch(/^the quick.{40}$/)
})

it('blanks finds the ends of many words', () => {
  const out = run('blanks', '--epochs', '3', '--lines', '600')
  expect(number(out, /blanks of \d+ held lines: loss [\d.]+, f1 /)).toBeGreaterThan(0.3)
})

it('tiny-gpt learns the same, saves, and goes on from there', () => {
  const saved = join(folder, 'gpt.safetensors')
  const perplexity = /perplexity of unseen text /
  const first = run('tiny-gpt', '--text', text, '--epochs', '1', '--length', '20', '--save', saved)
  const next = run('tiny-gpt', '--text', text, '--epochs', '1', '--length', '20', '--from', saved)
  expect(number(first, perplexity)).toBeLessThan(12)
  expect(number(next, perplexity)).toBeLessThan(number(first, perplexity))
})

it('pretrain learns how sums are written, from paragraphs without their copies', () => {
  const sums = Array.from(
    { length: 240 },
    (_, i) => `The sum of ${i % 200} and ${(7 * i) % 50} is ${(i % 200) + ((7 * i) % 50)}.`,
  )
  const corpus = join(folder, 'sums.txt')
  writeFileSync(corpus, sums.join('\n\n'))
  const trained = join(folder, 'pretrained')
  const out = run('pretrain', '--text', corpus, '--folder', trained, '--steps', '40', '--vocabulary', '280')
  expect(out).toMatch(/^200 paragraphs, 40 duplicates and 0 near ones left out; /)
  expect(number(out, /before: /)).toBeGreaterThan(3)
  expect(number(out, /after 40 steps: /)).toBeLessThan(2)
  expect(readdirSync(join(trained, 'run')).length).toBeGreaterThan(0)
})

it('classify-text tells the languages of most lines', () => {
  const out = run('classify-text', '--epochs', '2', '--lines', '2000')
  expect(number(out, /accuracy /)).toBeGreaterThan(0.7)
})

it('phonemes spells a language in which each letter has a sound, but for doubled ones', () => {
  const random = new Generator(1)
  const words = Array.from({ length: 1200 }, () =>
    Array.from(
      { length: 3 + (random.random() < 0.5 ? 1 : 0) },
      () => 'ABDEIKLMNO'[Math.floor(10 * random.random())],
    ).join(''),
  )
  const sounds = (word: string) => [...word].map((letter, i) => (letter === word[i - 1] ? ':' : letter.toLowerCase()))
  const dictionary = join(folder, 'dictionary.json')
  writeFileSync(dictionary, JSON.stringify(Object.fromEntries(words.map((word) => [word, sounds(word).join(' ')]))))
  const out = run('phonemes', '--dictionary', dictionary, '--steps', '40')
  expect(number(out, /greedy search: phoneme error /)).toBeLessThan(0.4)
  expect(number(out, /4 beams: phoneme error /)).toBeLessThan(0.4)
})

it('images tells shapes apart by pictures that threads change at random', () => {
  const out = run('images', '--epochs', '5')
  expect(number(out, /accuracy on 60 held pictures /)).toBeGreaterThan(0.5)
})

it('finetune-llm teaches a chat model of a folder an answer, and leaves an adapter', async () => {
  const model = join(folder, 'llama')
  manualSeed(0)
  const tiny = await AutoModel.forCausalLM({
    model_type: 'llama',
    vocab_size: 1403,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 256,
  })
  await tiny.save(model, { log: () => undefined })
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'])
    cpSync(join(root, 'tests/models/data/tokenizers/llama-bpe', name), join(model, name))
  const lines = Array.from({ length: 16 }, (_, i) => {
    const messages = [
      { role: 'user', content: `ping ${i}` },
      { role: 'assistant', content: 'pong' },
    ]
    return JSON.stringify({ messages })
  })
  const chats = join(folder, 'chats.jsonl')
  writeFileSync(chats, lines.join('\n'))
  const adapter = join(folder, 'adapter')
  const paths = ['--model', model, '--chats', chats, '--adapter', adapter]
  const out = run('finetune-llm', ...paths, '--ask', 'ping 3', '--epochs', '6')
  expect(out.trimEnd().split('\n').at(-1)).toBe('pong')
  expect(readdirSync(adapter).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors'])
})

it('finetune-encoder teaches an encoder of a folder two classes, and leaves a classifier', async () => {
  const model = join(folder, 'bert')
  manualSeed(0)
  const tiny = await AutoModel.forMaskedLM({
    model_type: 'bert',
    vocab_size: 1200,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    max_position_embeddings: 64,
    initializer_range: 0.2,
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
  })
  await tiny.save(model, { log: () => undefined })
  cpSync(join(root, 'tests/models/data/tokenizers/wordpiece/tokenizer.json'), join(model, 'tokenizer.json'))
  const words = { good: ['good', 'fine', 'fast', 'true'], bad: ['bad', 'slow', 'wrong', 'false'] }
  const lines = Array.from({ length: 80 }, (_, i) => {
    const mood = i % 2 === 0 ? 'bad' : 'good'
    return `"the ${words[mood][(i >> 1) % 4]} library, number ${i}",${mood}`
  })
  const reviews = join(folder, 'reviews.csv')
  writeFileSync(reviews, ['review,mood', ...lines].join('\n'))
  const saved = join(folder, 'classifier')
  const columns = ['--text', 'review', '--label', 'mood']
  const training = ['--lr', '5e-3', '--epochs', '8', '--save', saved]
  const out = run(
    'finetune-encoder',
    '--model',
    model,
    '--data',
    reviews,
    ...columns,
    ...training,
    'the fine library, number 3',
  )
  expect(out).toContain('64 rows to train, 16 held back; classes bad, good; 0 rows were cut')
  expect(out).toContain('accuracy 1.000, f1 1.000')
  expect(out.trimEnd().split('\n').at(-1)).toMatch(/^the fine library, number 3 {2}-> {2}good 0\.\d{3}$/)
  expect(readdirSync(saved).sort()).toEqual([
    'config.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ])
})
