/**
 * Models of images: outputs, hidden states, loss, gradients, running statistics, and the folder that a save writes; and
 * processors.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { noGrad } from '../../lib/autograd/mode.js'
import { scope } from '../../lib/core/scope.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { ImageProcessor, Picture } from '../../lib/images/index.js'
import { readSafetensors } from '../../lib/io/safetensors.js'
import { AutoModel, type ImageClassifier, ResNet, Vit } from '../../lib/models/index.js'
import { publishedVitName } from '../../lib/models/vit.js'
import type { Buffer, Module } from '../../lib/nn/module.js'
import { BatchNorm2d } from '../../lib/nn/norm.js'
import { add, mul } from '../../lib/ops/elementwise/index.js'
import { mean, variance } from '../../lib/ops/reduce/index.js'
import { type Folder, given, type Result, Tally } from './folder.js'

const floats = (x: Tensor): Float32Array => x.dataSync() as Float32Array
const largest = (values: Float32Array): number => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)

/** The modules before, between and after which hidden states are taken. */
const stages = ({ body }: ImageClassifier): readonly Module[] =>
  body instanceof ResNet ? body.encoder.stages : body.blocks()

function checkNumbers(model: ImageClassifier, folder: Folder, tally: Tally): void {
  const [pixels, labels] = [given(folder, 'in.pixel_values'), given(folder, 'in.labels')]
  const hidden: Tensor[] = []
  const between = stages(model)
  const hooks = between.map((stage) => stage.registerForwardPreHook((_, [x]) => void hidden.push(x as Tensor)))
  const last = between.at(-1)?.registerForwardHook((_, _inputs, x) => void hidden.push(x as Tensor))
  const logits = noGrad(() => model.forward(pixels))
  for (const hook of [...hooks, ...(last ? [last] : [])]) hook.remove()
  for (const [key, { data }] of folder.tensors) {
    const place = /^out\.hidden_(\d+)$/.exec(key)?.[1]
    if (place !== undefined)
      tally.close('hidden', key, floats(hidden[Number(place)] as Tensor), data as Float32Array, 1e-4)
  }
  const expected = (name: string): Float32Array => folder.tensors.get(name)?.data as Float32Array
  tally.close('outputs', 'logits', floats(logits), expected('out.logits'), 1e-4)
  if (folder.tensors.has('in.larger_pixel_values') && model.body instanceof Vit) {
    model.body.interpolatePositions = true
    const larger = noGrad(() => model.forward(given(folder, 'in.larger_pixel_values')))
    tally.close('outputs', 'logits of a larger image', floats(larger), expected('out.larger_logits'), 1e-4)
    model.body.interpolatePositions = false
  }
  const { total, count } = model.loss(pixels, { labels })
  const value = total.div(count as Tensor) as Tensor
  tally.close('loss', 'the loss', [value.item() as number], [folder.json.loss ?? Number.NaN], 1e-5)
  value.backward()
  const named = new Map(model.namedParameters())
  const gradients = [...folder.tensors].filter(([key]) => key.startsWith('grad.'))
  // A parameter that does not change the loss, such as a bias of all keys, has a gradient of rounding errors alone.
  const noise = 1e-6 * Math.max(0, ...gradients.map(([, { data }]) => largest(data as Float32Array)))
  for (const [key, { data }] of gradients) {
    const name = publishedVitName(key.slice('grad.'.length))
    const grad = named.get(name)?.grad
    if (!grad) tally.is(`${name} has a gradient`, false)
    else if (largest(data as Float32Array) > noise)
      tally.close('gradients', `the gradient of ${name}`, floats(grad), data as Float32Array, 1e-3)
    else tally.is(`the gradient of ${name} is ${largest(floats(grad))}, not 0`, largest(floats(grad)) <= noise)
  }
  tally.is('every parameter has a reference', gradients.length === named.size, `${gradients.length} of ${named.size}`)
}

/** Batch norm in training: the batch's own statistics, and the running statistics after one pass. */
function checkTraining(model: ImageClassifier, folder: Folder, tally: Tally): void {
  const expected = folder.tensors.get('out.train_logits')
  if (expected === undefined) return
  model.train()
  const wanted = new Map<string, Float32Array>()
  const hooks = model.namedModules().flatMap(([path, layer]) => {
    if (!(layer instanceof BatchNorm2d)) return []
    const moved = (old: Buffer | null, batch: Tensor): Float32Array =>
      floats(add(mul(old as Tensor, 0.9), mul(batch, 0.1)))
    return layer.registerForwardPreHook((_, [x]) => {
      const input = x as Tensor
      wanted.set(`${path}.running_mean`, moved(layer.runningMean, mean(input, [0, 2, 3])))
      wanted.set(`${path}.running_var`, moved(layer.runningVar, variance(input, [0, 2, 3])))
    })
  })
  const before = new Map(model.namedBuffers().map(([name, own]) => [name, floats(own).slice()]))
  const logits = noGrad(() => model.forward(given(folder, 'in.pixel_values')))
  for (const hook of hooks) hook.remove()
  tally.close('training', 'logits in training', floats(logits), expected.data as Float32Array, 1e-4)
  const buffers = new Map(model.namedBuffers())
  for (const [name, values] of wanted)
    tally.close('statistics', name, floats(buffers.get(name) as Tensor), values, 1e-5)
  tally.is('there are running statistics', wanted.size > 0)
  for (const [key, { data }] of folder.tensors) {
    const name = /^out\.train\.(.*)$/.exec(key)?.[1]
    if (name === undefined) continue
    const [own, old] = [buffers.get(name), before.get(name)]
    // A reference that was taken after the statistics were restored says nothing about the pass.
    const isStale = old?.every((value, i) => value === data[i])
    if (own === undefined) tally.is(`there is a buffer ${name}`, false)
    else if (!isStale) tally.close('statistics', name, floats(own), data as Float32Array, 1e-4)
  }
}

/** A saved folder must have the same names, weights and statistics as the model. */
async function checkSave(model: ImageClassifier, tally: Tally): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'firesteel-image-'))
  try {
    await model.save(path, { log: () => undefined })
    const again = await AutoModel.forImageClassification(path)
    const [before, after] = [model, again].map((each) => new Map(each.namedState()))
    tally.is('a save keeps the names', [...(before?.keys() ?? [])].join() === [...(after?.keys() ?? [])].join())
    for (const [key, tensor] of before ?? []) {
      const other = after?.get(key)
      const same = other !== undefined && compare(bytesOf(tensor), bytesOf(other)) === 0
      tally.is(`${key} is the same after a save`, same)
    }
  } finally {
    rmSync(path, { recursive: true })
  }
}

const { compare } = globalThis.Buffer

function bytesOf(tensor: Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = tensor.dataSync()
  return new Uint8Array(buffer, byteOffset, byteLength)
}

export async function checkImageModel(folder: Folder): Promise<Result> {
  const model = await AutoModel.forImageClassification(folder.path)
  model.eval()
  const tally = new Tally()
  scope(() => checkNumbers(model, folder, tally))
  scope(() => checkTraining(model, folder, tally))
  await checkSave(model, tally)
  return tally.result()
}

/** Compares the pixels that transformers makes of pictures, by the settings of each folder under `images`. */
export async function checkProcessors(images: string, matches: (name: string) => boolean): Promise<Result> {
  const tally = new Tally()
  for (const name of existsSync(images) ? readdirSync(images).sort().filter(matches) : []) {
    const processor = await ImageProcessor.load(join(images, name))
    const tensors = await readSafetensors(join(images, name, 'reference.safetensors'))
    for (const [key, { data, shape }] of tensors) {
      const place = /^in\.picture_(\d+)$/.exec(key)?.[1]
      if (place === undefined) continue
      const [height, width, channels] = shape as readonly [number, number, number]
      const pixels = await processor.pixels(new Picture(data as Uint8Array, height, width, channels))
      const expected = tensors.get(`out.pixel_values_${place}`)
      const what = `${name} ${place}`
      tally.is(`${what} has its size`, pixels.sizes.slice(1).join() === expected?.shape.join(), pixels.sizes.join())
      tally.close('pixels', what, floats(pixels), expected?.data as Float32Array, 1e-6)
    }
  }
  return tally.result()
}
