/**
 * Pre-trains a small GPT from texts alone: a tokenizer, shards of tokens without duplicates, a run that may be killed
 * at any moment and then resumed, and the result in bits per byte. After a kill, start it again with the same folder.
 *
 * Shows: readers of files, your own tokenizer, `prepare` and batches of its shards, a schedule with a warm-up,
 * checkpoints.
 * Usage: npx tsx examples/pretrain.ts [--text 'corpus/*.txt'] [--folder runs/pretrain] [--steps 300] [--vocabulary
 * 1000]
 *        [--start 'The']
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { manualSeed, optim, Trainer } from 'firesteel'
import { gpt2 } from 'firesteel/models'
import { causalLM, evaluateCausal, prepare } from 'firesteel/pretrain'
import { saveTokenizer, textFiles, trainTokenizer } from 'firesteel/text'

const { values: options } = parseArgs({
  options: {
    text: { type: 'string', default: fileURLToPath(new URL('../*.md', import.meta.url)) },
    folder: { type: 'string', default: 'runs/pretrain' },
    steps: { type: 'string', default: '300' },
    vocabulary: { type: 'string', default: '1000' },
    start: { type: 'string', default: 'The' },
  },
})
mkdirSync(options.folder, { recursive: true })
manualSeed(0)

const corpus = textFiles(options.text, { by: 'paragraph' })
const tokenizer = await trainTokenizer('bpe', corpus, {
  vocabSize: Number(options.vocabulary),
  special: ['<|end|>'],
  roles: { eos: '<|end|>' },
})
await saveTokenizer(tokenizer, join(options.folder, 'model'))
const shards = await prepare(corpus, tokenizer, join(options.folder, 'shards'), { validation: 0.1, deduplicate: true })
const { kept, exactDuplicates, nearDuplicates } = shards.counts
console.log(
  `${kept} paragraphs, ${exactDuplicates} duplicates and ${nearDuplicates} near ones left out; ` +
    `${shards.train.tokens} tokens to learn from, ${shards.validation.tokens} held back`,
)

const [length, batchSize] = [64, 16]
const model = gpt2({ vocabSize: tokenizer.size, layers: 3, width: 96, heads: 4, context: length, dropout: 0 })
const held = shards.validation.batches({ length, batchSize })
const score = async () => (await evaluateCausal(model, held, { text: shards.validation })).bitsPerByte?.toFixed(3)
console.log(`before: ${await score()} bits a byte`)

const steps = Number(options.steps)
const optimizer = new optim.AdamW(model.parameters(), { lr: 3e-3, betas: [0.9, 0.95], weightDecay: 0.1 })
const trainer = new Trainer(model, {
  optimizer,
  objective: causalLM(),
  schedule: new optim.WarmupLinearLR(optimizer, { warmupSteps: Math.ceil(steps / 10), totalSteps: steps }),
  clipGradNorm: 1,
  checkpoints: { folder: join(options.folder, 'run'), every: 50, keep: 2 },
})
await trainer.fit(shards.train.batches({ length, batchSize, shuffle: true, seed: 0 }), { steps, resume: 'auto' })
console.log(`after ${steps} steps: ${await score()} bits a byte`)
await shards.close()

await model.save(join(options.folder, 'model'))
const { ids } = tokenizer.encode(options.start)
for await (const piece of model.stream([...ids], { tokenizer, maxNewTokens: 40, temperature: 0.7, seed: 1 }))
  process.stdout.write(piece)
process.stdout.write('\n')
