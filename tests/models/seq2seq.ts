/**
 * Encoder-decoders: states of both sides, logits, loss, gradients, texts by greedy search and beams, and the folder
 * that a save writes.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { noGrad } from '../../lib/autograd/mode.js'
import { scope } from '../../lib/core/scope.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { AutoModel, type Seq2SeqModel } from '../../lib/models/index.js'
import { checkRuns } from './causal.js'
import { type Folder, given, type Result, Tally } from './folder.js'

const floats = (x: Tensor) => x.dataSync() as Float32Array

function checkNumbers(model: Seq2SeqModel, folder: Folder, tally: Tally): void {
  const [ids, labels] = [given(folder, 'in.input_ids'), given(folder, 'in.labels')]
  const masked = folder.tensors.has('in.attention_mask')
  const inputs = masked ? { attentionMask: given(folder, 'in.attention_mask') } : {}
  const mask = folder.tensors.get('in.attention_mask')?.data as Int32Array | undefined
  const values = (name: string) => folder.tensors.get(name)?.data as Float32Array
  noGrad(() => {
    const source = model.encode(ids, inputs)
    const width = source.states.sizes[2] as number
    // Outputs at padding have no meaning.
    const seen = (i: number) => mask === undefined || mask[Math.floor(i / width)] === 1
    const encoder = values('out.encoder_hidden')
    if (encoder) tally.close('hidden', 'encoder states', floats(source.states), encoder, 1e-4, seen)
    const states = model.decode(model.shiftRight(labels), source)
    const decoder = values('out.decoder_hidden')
    if (decoder) tally.close('hidden', 'decoder states', floats(states), decoder, 1e-4)
    const logits = model.forward(ids, { ...inputs, labels })
    tally.close('logits', 'logits', floats(logits), values('out.logits'), 1e-4)
  })
  const { total, count } = model.loss(ids, { ...inputs, labels })
  const loss = total.div(count as Tensor)
  const wanted = folder.json.loss ?? folder.json.loss_value
  if (typeof wanted === 'number') tally.close('loss', 'the loss', [loss.item() as number], [wanted], 1e-5)
  loss.backward()
  const named = new Map(model.namedParameters())
  for (const [key, { data }] of folder.tensors) {
    const name = /^grad\.(.*)$/.exec(key)?.[1]
    if (name === undefined) continue
    const grad = named.get(name)?.grad
    if (grad) tally.close('gradients', `the gradient of ${name}`, floats(grad), data as Float32Array, 1e-3)
    else tally.is(`${name} has a gradient`, false)
  }
  const extra = [...named.keys()].filter((name) => !folder.tensors.has(`grad.${name}`))
  tally.is('every parameter has a reference gradient', extra.length === 0, extra.join(', '))
}

async function checkTexts(model: Seq2SeqModel, folder: Folder, tally: Tally): Promise<void> {
  const { generation } = folder.json
  if (!generation) return
  const mask = folder.tensors.get('in.attention_mask')?.data as Int32Array | undefined
  const ids = given(folder, 'in.input_ids')
  const columns = ids.sizes[1] as number
  const sources = [...ids.unbind(0)].map((row, i) =>
    Array.from(row.dataSync() as Int32Array).filter(
      (_, column) => mask === undefined || mask[i * columns + column] === 1,
    ),
  )
  // The start token precedes the new tokens.
  await checkRuns(model, sources, 1, generation, tally)
}

/** A saved folder must give the same names and weights. */
async function checkSave(model: Seq2SeqModel, tally: Tally): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'firesteel-seq2seq-'))
  try {
    await model.save(path, { log: () => undefined })
    const again = new Map((await AutoModel.forSeq2Seq(path)).namedParameters())
    const own = new Map(model.namedParameters())
    tally.is('a save keeps the names', [...own.keys()].join() === [...again.keys()].join())
    for (const [name, parameter] of own) {
      const other = again.get(name)
      const same = other !== undefined && floats(parameter).every((value, i) => Object.is(value, floats(other)[i]))
      tally.is(`${name} is the same after a save`, same)
    }
  } finally {
    rmSync(path, { recursive: true })
  }
}

export async function checkSeq2Seq(folder: Folder): Promise<Result> {
  const model = (await AutoModel.forSeq2Seq(folder.path)).eval()
  const tally = new Tally()
  scope(() => checkNumbers(model, folder, tally))
  await checkTexts(model, folder, tally)
  await checkSave(model, tally)
  return tally.result()
}
