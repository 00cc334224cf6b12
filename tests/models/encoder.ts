/** Encoders with each of their heads: outputs, hidden states, loss, gradients, and the folder that a save writes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { noGrad } from '../../lib/autograd/mode.js'
import { scope } from '../../lib/core/scope.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { AutoModel, type EncoderBody, type PretrainedModel } from '../../lib/models/index.js'
import { matmul } from '../../lib/ops/matmul.js'
import { transpose } from '../../lib/ops/shape/index.js'
import type { Loss } from '../../lib/train/objective.js'
import { type Folder, given, type Result, Tally } from './folder.js'

/** A model in the form in which all of these are called: its outputs have the reference's names. */
interface Opened {
  readonly model: PretrainedModel
  run(ids: Tensor, inputs: object): { readonly [output: string]: Tensor }
  loss(ids: Tensor, inputs: object): Loss
}

/** The names that calls of models have for the reference's inputs. */
const inputNames: { readonly [name: string]: string } = {
  attention_mask: 'attentionMask',
  token_type_ids: 'tokenTypeIds',
  position_ids: 'positions',
  labels: 'labels',
  next_sentence_label: 'nextSentenceLabels',
  start_positions: 'startPositions',
  end_positions: 'endPositions',
}

type Callable = PretrainedModel & {
  forward(ids: Tensor, inputs: object): Tensor | { readonly [name: string]: Tensor }
  loss(ids: Tensor, inputs: object): Loss
}

function opened(loaded: PretrainedModel, names: { readonly [own: string]: string } = {}): Opened {
  const model = loaded as Callable
  return {
    model,
    run(ids, inputs) {
      const output = model.forward(ids, inputs)
      if (names['only'] !== undefined || Object.keys(names).length === 0) return { logits: output as Tensor }
      return Object.fromEntries(Object.entries(output).map(([own, value]) => [names[own] ?? own, value as Tensor]))
    },
    loss: (ids, inputs) => model.loss(ids, inputs),
  }
}

function openedBody(model: EncoderBody): Opened {
  const pool = 'pool' in model ? (model.pool as (states: Tensor) => Tensor).bind(model) : null
  return {
    model,
    run(ids, inputs) {
      const states = model.forward(ids, inputs)
      return {
        last_hidden_state: states,
        embedding: model.embed(ids, inputs),
        ...(pool && { pooler_output: pool(states) }),
      }
    },
    loss(ids, inputs) {
      const embedding = model.embed(ids, inputs)
      const product = matmul(embedding, transpose(embedding, 0, 1))
      return { total: product.mul(product).sum() as Tensor, count: 1 }
    },
  }
}

async function open(name: string, path: string): Promise<Opened> {
  const head = /For(\w+)$/.exec(name)?.[1]
  if (head === 'MaskedLM') return opened(await AutoModel.forMaskedLM(path))
  if (head === 'SequenceClassification') return opened(await AutoModel.forSequenceClassification(path))
  if (head === 'TokenClassification') return opened(await AutoModel.forTokenClassification(path))
  if (head === 'MultipleChoice') return opened(await AutoModel.forMultipleChoice(path))
  if (head === 'NextSentencePrediction') return opened(await AutoModel.forNextSentencePrediction(path))
  if (head === 'QuestionAnswering')
    return opened(await AutoModel.forQuestionAnswering(path), { start: 'start_logits', end: 'end_logits' })
  if (head === 'PreTraining')
    return opened(await AutoModel.forPreTraining(path), {
      predictions: 'prediction_logits',
      nextSentence: 'seq_relationship_logits',
    })
  return openedBody(await AutoModel.forEmbedding(path))
}

const floats = (x: Tensor) => x.dataSync() as Float32Array
const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)

function checkNumbers({ model, run, loss }: Opened, folder: Folder, tally: Tally): void {
  const ids = given(folder, 'in.input_ids')
  const all = [...folder.tensors.keys()].flatMap((key) => {
    const name = /^in\.(.*)$/.exec(key)?.[1]
    return name === undefined || name === 'input_ids' ? [] : [name]
  })
  const inputs = all.map((name) => [inputNames[name] ?? name, given(folder, `in.${name}`)] as const)
  const columns = Object.fromEntries(inputs.filter(([name]) => /^(attentionMask|tokenTypeIds|positions)$/.test(name)))
  const mask = folder.tensors.get('in.attention_mask')?.data as Int32Array | undefined
  // Outputs at padding have no meaning.
  const seen = (x: Tensor) => {
    const perColumn = x.numel / ids.numel
    const isColumns = x.ndim >= ids.ndim && x.sizes[1] === ids.sizes[1]
    return (i: number) => mask === undefined || !isColumns || mask[Math.floor(i / perColumn)] === 1
  }
  const hidden: Tensor[] = []
  const blocks = model.blocks()
  const hooks = blocks.map((block) => block.registerForwardPreHook((_, [x]) => void hidden.push(x as Tensor)))
  const last = blocks.at(-1)?.registerForwardHook((_, _inputs, x) => void hidden.push(x as Tensor))
  const outputs = noGrad(() => run(ids, columns))
  for (const hook of [...hooks, ...(last ? [last] : [])]) hook.remove()
  for (const [key, { data }] of folder.tensors) {
    const name = /^out\.(.*)$/.exec(key)?.[1]
    if (name === undefined) continue
    const place = /^hidden_(\d+)$/.exec(name)?.[1]
    const got = place === undefined ? outputs[name] : hidden[Number(place)]
    if (got === undefined) tally.is(`there is an output ${name}`, false)
    else {
      const kind = place === undefined ? 'outputs' : 'hidden'
      tally.close(kind, name, floats(got), data as Float32Array, 1e-4, seen(got))
    }
  }
  const { total, count } = loss(ids, Object.fromEntries(inputs))
  const value = total.div(count as Tensor) as Tensor
  const wanted = folder.json.loss ?? folder.json.loss_value
  if (typeof wanted === 'number') tally.close('loss', 'the loss', [value.item() as number], [wanted], 1e-5)
  value.backward()
  const named = new Map(model.namedParameters())
  const gradients = [...folder.tensors].filter(([key]) => key.startsWith('grad.'))
  // A parameter that does not change the loss, such as a bias of all keys, has a gradient of rounding errors alone.
  const noise = 1e-6 * Math.max(0.1, ...gradients.map(([, { data }]) => largest(data as Float32Array)))
  for (const [key, { data }] of gradients) {
    const name = key.slice('grad.'.length)
    const grad = named.get(name)?.grad
    if (!grad) tally.is(`${name} has a gradient`, false)
    else if (largest(data as Float32Array) > noise)
      tally.close('gradients', `the gradient of ${name}`, floats(grad), data as Float32Array, 1e-3)
    else tally.is(`the gradient of ${name} is ${largest(floats(grad))}, not 0`, largest(floats(grad)) <= noise)
  }
  const extra = [...named].filter(([name, { grad }]) => grad !== null && !folder.tensors.has(`grad.${name}`))
  tally.is('every gradient has a reference', extra.length === 0, extra.map(([name]) => name).join(', '))
}

/** A saved folder must have the same names and weights as the one that was read. */
async function checkSave(name: string, { model }: Opened, tally: Tally): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'firesteel-encoder-'))
  try {
    await model.save(path, { log: () => undefined })
    const again = await open(name, path)
    const [before, after] = [model, again.model].map((each) => new Map(each.namedParameters()))
    tally.is('a save keeps the names', [...(before?.keys() ?? [])].join() === [...(after?.keys() ?? [])].join())
    for (const [key, parameter] of before ?? []) {
      const other = after?.get(key)
      tally.is(
        `${key} is the same after a save`,
        other !== undefined && floats(parameter).every((value, i) => Object.is(value, floats(other)[i])),
      )
    }
  } finally {
    rmSync(path, { recursive: true })
  }
}

export async function checkEncoder(folder: Folder): Promise<Result> {
  const name = folder.json.class
  const model = await open(name, folder.path)
  model.model.eval()
  const tally = new Tally()
  scope(() => checkNumbers(model, folder, tally))
  await checkSave(name, model, tally)
  return tally.result()
}
