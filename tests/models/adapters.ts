/** Adapters that PEFT wrote: logits, loss, gradients, merged weights and logits, and the files that a save writes. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { noGrad } from '../../lib/autograd/mode.js'
import { scope } from '../../lib/core/scope.js'
import type { Tensor } from '../../lib/core/tensor.js'
import {
  addWeightedAdapter,
  applyLora,
  type LoraAdapter,
  loadAdapter,
  mergeLora,
  removeLora,
  saveAdapter,
  unmergeLora,
  withAdapter,
} from '../../lib/finetune/index.js'
import type { nn } from '../../lib/index.js'
import { AutoModel, type PretrainedModel } from '../../lib/models/index.js'
import { fromTypedArray, zeros } from '../../lib/ops/creation.js'
import { cat } from '../../lib/ops/shape/index.js'
import type { Loss } from '../../lib/train/objective.js'
import { type Folder, given, notImplemented, type Result, Tally } from './folder.js'

/** The fields of an adapter's reference.json beyond those of a model. */
export interface AdapterJson {
  /** The folder of the base, relative to the directory of all folders. */
  readonly base: string
  readonly merged?: boolean
  readonly r?: number
  readonly lora_alpha?: number
  readonly weights?: { readonly [combination: string]: readonly [number, number] }
}

type AdapterFolder = Folder & { readonly root: string; readonly json: AdapterJson }

interface Opened {
  readonly model: PretrainedModel
  logits(): Tensor
  loss(): Loss
}

const floats = (x: Tensor) => x.dataSync() as Float32Array

const largest = (of: Float32Array) => of.reduce((most, value) => Math.max(most, Math.abs(value)), 0)

/** Opens the base with the reference's inputs. */
async function open(folder: AdapterFolder): Promise<Opened> {
  const { base, class: name } = folder.json
  const path = join(folder.root, base)
  const has = (input: string) => folder.tensors.has(`in.${input}`)
  const ids = () => given(folder, 'in.input_ids')
  if (/ForCausalLM$|^GPT2LMHeadModel$/.test(name)) {
    const model = (await AutoModel.forCausalLM(path)).eval()
    const inputs = () => ({
      ...(has('attention_mask') ? { attentionMask: given(folder, 'in.attention_mask') } : {}),
      // Without positions, transformers counts columns, including padding.
      positions: countColumns(ids()),
    })
    return {
      model,
      logits: () => model.forward(ids(), inputs()),
      loss: () => model.loss(ids(), { ...inputs(), labels: given(folder, 'in.labels') }),
    }
  }
  const head = /^(?:Bert|Roberta|DistilBert)For(SequenceClassification|TokenClassification|MaskedLM)$/.exec(name)?.[1]
  if (head !== undefined) {
    const model = (await AutoModel[`for${head as 'SequenceClassification'}`](path)).eval()
    const inputs = () => ({
      attentionMask: given(folder, 'in.attention_mask'),
      ...(has('token_type_ids') ? { tokenTypeIds: given(folder, 'in.token_type_ids') } : {}),
    })
    return {
      model,
      logits: () => model.forward(ids(), inputs()),
      loss: () => model.loss(ids(), { ...inputs(), labels: given(folder, 'in.labels') }),
    }
  }
  if (/^M?T5ForConditionalGeneration$/.test(name)) {
    const model = (await AutoModel.forSeq2Seq(path)).eval()
    const inputs = () => ({
      ...(has('attention_mask') ? { attentionMask: given(folder, 'in.attention_mask') } : {}),
      labels: given(folder, 'in.labels'),
    })
    return { model, logits: () => model.forward(ids(), inputs()), loss: () => model.loss(ids(), inputs()) }
  }
  if (/ForImageClassification$/.test(name)) {
    const model = (await AutoModel.forImageClassification(path)).eval()
    const pixels = () => given(folder, 'in.pixel_values')
    return {
      model,
      logits: () => model.forward(pixels()),
      loss: () => model.loss(pixels(), { labels: given(folder, 'in.labels') }),
    }
  }
  throw notImplemented(name)
}

function countColumns({ shape }: Tensor): Tensor {
  const [rows, columns] = shape as readonly [number, number]
  return fromTypedArray(
    Int32Array.from({ length: rows * columns }, (_, i) => i % columns),
    shape,
  )
}

/**
 * Whether element i of logits [B, C, V] belongs to a token, or to a prompt before the T tokens. Padding's logits have
 * no meaning.
 */
function seenBy(folder: AdapterFolder, logits: Tensor): (i: number) => boolean {
  const mask = folder.tensors.get('in.attention_mask')
  if (mask === undefined || logits.ndim !== 3 || !/CausalLM|LMHead/.test(folder.json.class)) return () => true
  const [columns, size, tokens] = [logits.shape[1], logits.shape[2], mask.shape[1]] as [number, number, number]
  return (i) => {
    const [row, column] = [Math.floor(i / size / columns), (Math.floor(i / size) % columns) - (columns - tokens)]
    return column < 0 || (mask.data as Int32Array)[row * tokens + column] === 1
  }
}

function checkLogits(opened: Opened, folder: AdapterFolder, expected: string, tally: Tally, what = expected): void {
  scope(() =>
    noGrad(() => {
      const wanted = folder.tensors.get(`out.${expected}`)?.data as Float32Array
      const logits = opened.logits()
      tally.close('logits', what, floats(logits), wanted, 1e-4, seenBy(folder, logits))
    }),
  )
}

/** The name that a parameter has in transformers, for models whose folders have other names. */
function fileNameOf(model: PretrainedModel, name: string): string {
  const { adapterName } = model as { adapterName?(path: string): string }
  return adapterName === undefined ? name : adapterName.call(model, name)
}

/**
 * The names that a gradient of PEFT's wrapped model has here. Biases that learn are copies, like modules that learn
 * whole.
 */
function ownNames(key: string): string[] {
  // A prompt wraps the model only once, and models may have a part that is called `model`.
  const names = [/^grad\.(base_model\.(model\.)?)?/, /^grad\.(base_model\.)?/].map((start) => key.replace(start, ''))
  return names.flatMap((name) => [name, name.replace(/(\.base_layer)?\.bias$/, '.modules_to_save.default.bias')])
}

function checkGradients({ model, loss }: Opened, folder: AdapterFolder, tally: Tally): void {
  const { total, count } = loss()
  const value = total.div(count as Tensor) as Tensor
  if (typeof folder.json.loss === 'number')
    tally.close('loss', 'the loss', [value.item() as number], [folder.json.loss], 1e-5)
  value.backward()
  const named = new Map(model.namedParameters())
  const expected = [...folder.tensors].filter(([key]) => key.startsWith('grad.'))
  const known = new Set<string>()
  // A parameter that does not change the loss, such as a bias of all keys, has a gradient of rounding errors alone.
  const noise = 1e-6 * Math.max(0, ...expected.map(([, { data }]) => largest(data as Float32Array)))
  // If a file does not hold the encoder, only its last bias can be compared, because its gradient is the sum of the
  // gradients of all columns.
  const isEncoder = (key: string) => /\.(transform|mlp_head)\.\d+\./.test(key)
  const last = expected.filter(([key]) => isEncoder(key) && key.endsWith('.bias')).at(-1)
  if (last !== undefined) {
    const [name, prompt] = [...named].find(([each]) => each.startsWith('prompt_encoder.')) as [string, Tensor]
    const summed = (prompt.grad as Tensor).sum(0) as Tensor
    tally.close('gradients', `the gradient of ${name}, summed`, floats(summed), last[1].data as Float32Array, 1e-3)
    known.add(name)
  }
  const held = last === undefined ? expected : expected.filter(([key]) => !key.startsWith('grad.prompt_encoder.'))
  const byFile = new Map([...named.keys()].map((name) => [fileNameOf(model, name), name]))
  for (const [key, { data }] of held) {
    const name = ownNames(key)
      .map((each) => byFile.get(each) ?? each)
      .find((each) => named.get(each)?.grad)
    if (name === undefined) tally.is(`${key} has a gradient`, false)
    else {
      known.add(name)
      const grad = named.get(name)?.grad as Tensor
      if (largest(data as Float32Array) <= noise)
        tally.is(`the gradient of ${name} is noise`, largest(floats(grad)) <= noise)
      else tally.close('gradients', `the gradient of ${name}`, floats(grad), data as Float32Array, 1e-3)
    }
  }
  const extra = [...named].filter(([name, { grad }]) => grad !== null && !known.has(name))
  tally.is('every gradient has a reference', extra.length === 0, extra.map(([name]) => name).join(', '))
}

function checkMerged(opened: Opened, folder: AdapterFolder, tally: Tally): void {
  const { model } = opened
  const before = new Map(model.namedParameters().map(([name, each]) => [name, floats(each).slice()]))
  mergeLora(model, { shared: true })
  checkLogits(opened, folder, 'merged_logits', tally)
  unmergeLora(model)
  checkLogits(opened, folder, 'logits', tally, 'logits after unmerging')
  mergeLora(model, { shared: true })
  removeLora(model)
  const named = new Map(model.namedParameters())
  for (const [name, parameter] of named) {
    const expected = folder.tensors.get(`merged.${fileNameOf(model, name)}`)?.data ?? before.get(name)
    tally.close('merged', `merged ${name}`, floats(parameter), expected as Float32Array, 1e-5)
  }
  const files = new Set([...named.keys()].map((name) => fileNameOf(model, name)))
  for (const key of folder.tensors.keys())
    if (key.startsWith('merged.')) tally.is(`${key} is a weight`, files.has(key.slice('merged.'.length)))
}

async function checkSave(opened: Opened, folder: AdapterFolder, tally: Tally): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'firesteel-adapter-'))
  try {
    const lines: string[] = []
    await saveAdapter(opened.model, path, { log: (line) => void lines.push(line) })
    // Factors that began within the weights are not tried again, because their beginning is computed anew.
    const begins = JSON.parse(readFileSync(join(folder.path, 'adapter_config.json'), 'utf8'))['init_lora_weights']
    const proof = /^(pissa|olora)$/i.test(begins) ? /equal bit for bit$/ : /, and so are \d+ outputs$/
    tally.is('a save proves outputs', proof.test(lines.join()), lines.join())
    const again = await open(folder)
    await loadAdapter(again.model, path)
    checkLogits(again, folder, 'logits', tally, 'logits of a save')
  } finally {
    rmSync(path, { recursive: true })
  }
}

/** Two adapters of one model: each, both, none, and those that are made of them. */
async function checkCombined(folder: AdapterFolder, tally: Tally): Promise<Result> {
  const opened = await open(folder)
  const { model } = opened
  const adapters = ['first', 'second']
  for (const name of adapters) await loadAdapter(model, join(folder.path, name), { name })
  const check = (expected: string) => checkLogits(opened, folder, expected, tally)
  for (const [expected, names] of Object.entries({
    first: ['first'],
    second: ['second'],
    both: adapters,
    disabled: [],
  }))
    withAdapter(model, names, () => check(expected))
  for (const [combinationType, weights] of Object.entries(folder.json.weights ?? {})) {
    const name = `weighted_${combinationType}`
    addWeightedAdapter(model, { adapters, weights, name, combinationType: combinationType as 'svd' })
    check(name)
    mergeLora(model, { name })
    checkLogits(opened, folder, name, tally, `${name}, merged`)
    unmergeLora(model)
  }
  return tally.result()
}

/** Factors that begin as singular values: the rest of the weights, the update, and the norms of rows and columns. */
async function checkPissa(folder: AdapterFolder, tally: Tally): Promise<Result> {
  const { base, r: rank = 0, lora_alpha: alpha = 0 } = folder.json
  const model = await AutoModel.forCausalLM(join(folder.root, base))
  const paths = [...folder.tensors.keys()].flatMap((key) => /^out\.update\.(.*)$/.exec(key)?.[1] ?? [])
  const before = noGrad(() => floats(model.forward(countColumns(zeros([1, 5]))))).slice()
  applyLora(model, { rank, alpha, targetModules: paths, init: 'pissa' })
  noGrad(() => {
    const wanted = (kind: string, path: string) => folder.tensors.get(`out.${kind}.${path}`)?.data as Float32Array
    const modules = new Map(model.namedModules())
    for (const path of paths) {
      const layer = modules.get(path) as nn.Linear
      const adapter = layer.adapters.get('default') as LoraAdapter
      const taken = adapter.residue() as Tensor
      const update = adapter.delta().add(taken) as Tensor
      const [a, b] = adapter.factors
      const norms = cat([a.mul(a).sum(1), b.mul(b).sum(0)] as Tensor[], 0).sqrt()
      tally.close(
        'residual',
        `what is left of ${path}`,
        floats(layer.weight.sub(taken) as Tensor),
        wanted('residual', path),
        1e-4,
      )
      tally.close('update', `the update of ${path}`, floats(update), wanted('update', path), 1e-4)
      tally.close('norms', `norms of ${path}`, floats(norms), wanted('norms', path), 1e-4)
    }
    tally.close('logits', 'logits before training', floats(model.forward(countColumns(zeros([1, 5])))), before, 1e-5)
  })
  return tally.result()
}

export async function checkAdapter(folder: AdapterFolder): Promise<Result> {
  const tally = new Tally()
  if (folder.json.weights) return checkCombined(folder, tally)
  if (folder.json.class === undefined) return checkPissa(folder, tally)
  const opened = await open(folder)
  await loadAdapter(opened.model, folder.path)
  checkLogits(opened, folder, 'logits', tally)
  scope(() => checkGradients(opened, folder, tally))
  await checkSave(opened, folder, tally)
  if (folder.json.merged) checkMerged(opened, folder, tally)
  return tally.result()
}
