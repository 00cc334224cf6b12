/**
 * Compares models of Hugging Face folders with the numbers that transformers computed with them: outputs, losses,
 * gradients, texts. Then compares tokenizers' ids. Folders that nothing here can run are counted.
 *
 * Usage: npm run test:models [-- REGEX of folders]. MODELS_DIR names another directory of the same form: models/,
 * tokenizers/ and others; drawn_models.py and drawn_adapters.py write such a directory, with drawn settings, and
 * drawn_generation.py adds drawn texts to its models. MINILM_DIR names the weights of all-MiniLM-L6-v2, and
 * FIRESTEEL_TEST_DEVICES the devices (default reference,cpu). The exit code is 1 if a case fails.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { readSafetensors } from '../../lib/io/safetensors.js'
import { AutoTokenizer } from '../../lib/text/index.js'
import { type AdapterJson, checkAdapter } from './adapters.js'
import { checkCausal } from './causal.js'
import { checkEncoder } from './encoder.js'
import { type Check, type Folder, notImplemented, type Result } from './folder.js'
import { checkImageModel, checkProcessors } from './image.js'
import { checkMiniLm } from './minilm.js'
import { checkSeq2Seq } from './seq2seq.js'
import { checkNf4, checkTorch } from './stored.js'
import { checkTexts, tallied } from './tokenizers.js'

/** The check of a folder, by the class in transformers that computed its numbers. */
const kinds: readonly (readonly [classes: RegExp, check: Check])[] = [
  [/ForCausalLM$|^GPT2LMHeadModel$/, checkCausal],
  [/^M?T5ForConditionalGeneration$/, checkSeq2Seq],
  [/^(Bert|Roberta|DistilBert)(Model$|For)/, checkEncoder],
  [/ForImageClassification$/, checkImageModel],
]

async function read(path: string): Promise<Folder> {
  const json = JSON.parse(readFileSync(join(path, 'reference.json'), 'utf8')) as Folder['json']
  const tensors = await readSafetensors(join(path, 'reference.safetensors'))
  const sampling = join(path, 'sampling.safetensors')
  return { path, json, tensors, sampling: existsSync(sampling) ? await readSafetensors(sampling) : null }
}

const root = process.env['MODELS_DIR'] ?? fileURLToPath(new URL('data', import.meta.url))
const pattern = new RegExp(process.argv[2] ?? '')
const within = (part: string) => (existsSync(join(root, part)) ? readdirSync(join(root, part)) : [])
const adapters = within('adapters').map((name) => `adapters/${name}`)
const models = within('models').map((name) => `models/${name}`)
const real = existsSync(join(root, 'minilm')) ? ['minilm'] : []
const names = [...models, ...adapters, ...real].filter((name) => pattern.test(name))
const isImages = (name: string) => pattern.test('images') || pattern.test(`images/${name}`)
if (names.length === 0 && !pattern.test('tokenizers') && !/images|torch|quantised/.test(pattern.source))
  throw new Error(`there is no folder ${pattern} in ${root}`)
for (const device of (process.env['FIRESTEEL_TEST_DEVICES'] ?? 'reference,cpu').split(',')) {
  setDefaultDevice(device)
  let [passed, failed] = [0, 0]
  const missing: string[] = []
  for (const name of names) {
    const folder = await read(join(root, name))
    const ofModel = kinds.find(([classes]) => classes.test(folder.json.class))?.[1]
    const ofAdapter = () =>
      checkAdapter({ ...folder, json: { ...folder.json, ...(folder.json as object as AdapterJson) }, root })
    const check =
      name === 'minilm' ? () => checkMiniLm(folder.path) : name.startsWith('adapters/') ? ofAdapter : ofModel
    try {
      if (check === undefined) throw notImplemented(folder.json.class)
      const found = await check(folder)
      passed += found.passed
      failed += found.faults.length
      for (const fault of found.faults) console.log(`FAILED ${device} ${name}: ${fault}`)
      console.log(`${device} ${name.padEnd(32)} ${found.summary}`)
    } catch (error) {
      if ((error as { code?: string }).code === 'NOT_IMPLEMENTED') missing.push(`${name} (${(error as Error).message})`)
      else {
        failed++
        console.log(`FAILED ${device} ${name}: ${(error as Error).stack}`)
      }
    }
  }
  if (missing.length > 0) console.log(`${device} not implemented: ${missing.join(', ')}`)
  console.log(`${device}: ${passed} passed, ${failed} failed, ${missing.length} folders not implemented`)
  if (failed > 0 || (names.length > 0 && passed === 0)) process.exitCode = 1
}

/** The parts that need no device. */
const parts: readonly (readonly [name: string, check: () => Promise<Result>])[] = [
  ['images', () => checkProcessors(join(root, 'images'), isImages)],
  ['torch', () => checkTorch(join(root, 'torch'))],
  ['quantised', () => checkNf4(join(root, 'quantised'))],
]
for (const [name, check] of parts) {
  if (name !== 'images' && !pattern.test(name)) continue
  const { passed, faults, summary } = await check()
  if (passed + faults.length === 0) continue
  for (const fault of faults) console.log(`FAILED ${name}: ${fault}`)
  console.log(`${name}: ${summary}, ${faults.length} failed`)
  if (faults.length > 0) process.exitCode = 1
}

const isFolder = (path: string) => statSync(path).isDirectory()
if (pattern.test('tokenizers') && existsSync(join(root, 'tokenizers'))) {
  const { tally, check } = tallied()
  await checkTexts(root, check)
  console.log(`tokenizers and chat: ${tally.passed} passed, ${tally.failed} failed`)
  if (tally.failed > 0 || tally.passed === 0) process.exitCode = 1
}
for (const part of readdirSync(root)) {
  const known = ['models', 'adapters', 'tokenizers', 'chat', 'images', 'torch', 'quantised', 'gguf', 'minilm']
  if (known.includes(part) || !isFolder(join(root, part))) continue
  // This folder is the source of other runs' tokens, and has no numbers.
  if (readdirSync(join(root, part)).join() === 'tokenizer.json') {
    const { ids } = (await AutoTokenizer.load(join(root, part))).encode('The state of the union is strong.')
    console.log(
      `${part}: a tokenizer without reference numbers, which loads and makes ${ids.length} tokens of a sentence`,
    )
    if (ids.length === 0) process.exitCode = 1
    continue
  }
  console.log(`${part}: not implemented, ${readdirSync(join(root, part)).length} entries`)
}
