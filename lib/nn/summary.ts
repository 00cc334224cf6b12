/** A table of a model: its layers, the shapes that they give, and their parameters. */
import { noGrad } from '../autograd/mode.js'
import { columnsOf } from '../core/columns.js'
import type { DType } from '../core/dtype.js'
import { formatShape } from '../core/errors.js'
import { printed } from '../core/host.js'
import { observeModules } from '../core/module-path.js'
import { checkOptions } from '../core/options.js'
import { scope, visitTensors } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { filled } from '../ops/placement.js'
import { captureModes, type Module } from './module.js'

export interface SummaryOptions {
  /** The dtype of the input for the trial run. Default float32; use int32 for a model that takes token ids. */
  readonly dtype?: DType
}

export interface LayerSummary {
  /** The path within the model; '' is the model itself. */
  readonly path: string
  readonly type: string
  /** The shapes that its first call gave; empty if there was no call. */
  readonly outputShapes: readonly Shape[]
  /**
   * The number of elements of its own parameters, without those of inner modules and of modules above it in the table.
   */
  readonly parameters: number
  /** The number of these that want a gradient. */
  readonly trainable: number
}

/** A summary, which console.log prints as a table; `toString()` gives it as text. */
export class Summary {
  readonly layers: readonly LayerSummary[]
  /** The number of elements of all parameters, shared ones counted once. */
  readonly parameters: number
  readonly trainable: number
  /** The number of elements of all buffers, which are not learned. */
  readonly buffers: number

  constructor(layers: readonly LayerSummary[], buffers: number) {
    this.layers = layers
    this.parameters = layers.reduce((sum, layer) => sum + layer.parameters, 0)
    this.trainable = layers.reduce((sum, layer) => sum + layer.trainable, 0)
    this.buffers = buffers
  }

  toString(): string {
    const withShapes = this.layers.some(({ outputShapes }) => outputShapes.length > 0)
    const head = ['layer', ...(withShapes ? ['output'] : []), 'parameters', 'trainable']
    const depths = new Map([['', 0]])
    const rows = this.layers.map(({ path, type, outputShapes, parameters, trainable }) => {
      // Lists and tables get no rows of their own, so the name within the enclosing layer includes their keys.
      const parent = layerAround(path, depths)
      const name = parent === '' ? path : path.slice(parent.length + 1)
      const depth = path === '' ? 0 : (depths.get(parent) as number) + 1
      depths.set(path, depth)
      const indent = '  '.repeat(depth)
      return [
        path === '' ? type : `${indent}${name} ${type}`,
        ...(withShapes ? [outputShapes.map(formatShape).join(', ') || '-'] : []),
        parameters === 0 ? '-' : grouped(parameters),
        parameters === 0 ? '-' : grouped(trainable),
      ]
    })
    const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => columnsOf(row[i] as string))))
    const numeric = head.length - 2
    const line = (row: readonly string[]) =>
      row
        .map((text, i) => {
          const blanks = ' '.repeat((widths[i] as number) - columnsOf(text))
          return i >= numeric ? blanks + text : text + blanks
        })
        .join('  ')
        .trimEnd()
    const rule = '-'.repeat(widths.reduce((sum, width) => sum + width + 2, -2))
    const total = `${grouped(this.parameters)} parameters, ${grouped(this.trainable)} trainable`
    const buffers = this.buffers > 0 ? `, ${grouped(this.buffers)} elements of buffers` : ''
    return [line(head), rule, ...rows.map(line), rule, total + buffers].join('\n')
  }

  [printed](): string {
    return this.toString()
  }
}

/** The longest proper prefix of the path that is a layer's. */
function layerAround(path: string, layers: ReadonlyMap<string, unknown>): string {
  let outer = path
  do outer = outer.slice(0, Math.max(0, outer.lastIndexOf('.')))
  while (!layers.has(outer))
  return outer
}

/** 1234567 -> 1,234,567 */
function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',')
}

const countOf = (tensors: Iterable<Tensor>) => {
  let count = 0
  for (const tensor of tensors) count += tensor.numel
  return count
}

/** The shapes that each module's first call gives for an input of zeros, in evaluation mode and without a graph. */
export function tryOut(
  caller: string,
  model: Module,
  inputShape: Shape,
  dtype: DType = 'float32',
): Map<object, readonly Shape[]> {
  const shapes = new Map<object, readonly Shape[]>()
  const restore = captureModes(model)
  const device = model.parameters()[Symbol.iterator]().next().value?.device
  const forward = model as unknown as { forward(x: Tensor): unknown }
  model.eval()
  try {
    scope(() =>
      noGrad(() =>
        observeModules(
          (module, result) => {
            if (shapes.has(module)) return
            const found: Shape[] = []
            visitTensors(result, (tensor) => found.push(tensor.sizes))
            shapes.set(module, found)
          },
          () => void forward.forward(filled(caller, inputShape, 0, { dtype, ...(device ? { device } : {}) })),
        ),
      ),
    )
  } finally {
    restore()
  }
  return shapes
}

/**
 * The layers of a model with their parameters. If the shape of an input is given (with the batch), also the shapes that
 * each layer gives, found by running the model once on zeros. Throws the errors of its forward.
 */
export function summarize(model: Module, inputShape?: Shape, options: SummaryOptions = {}): Summary {
  const { dtype = 'float32' } = checkOptions('summary', options, { dtype: true })
  const shapes = inputShape === undefined ? null : tryOut('summary', model, inputShape, dtype)
  const seen = new Set<Tensor>()
  const layers = [...model.namedModules()].map(([path, module]): LayerSummary => {
    let parameters = 0
    let trainable = 0
    for (const parameter of module.ownParameters()) {
      if (seen.has(parameter)) continue
      seen.add(parameter)
      parameters += parameter.numel
      if (parameter.requiresGrad) trainable += parameter.numel
    }
    return { path, type: module.constructor.name, outputShapes: shapes?.get(module) ?? [], parameters, trainable }
  })
  const buffers = new Set([...model.namedBuffers()].map(([, buffer]) => buffer))
  return new Summary(layers, countOf(buffers))
}
