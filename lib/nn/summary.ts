/** The parts of a model, as a table: layers, the shapes that they give, parameters. */
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
  /** The dtype of the input that the model is tried with. Default float32; int32 where it takes token ids. */
  readonly dtype?: DType
}

export interface LayerSummary {
  /** Path within the model; '' is the model itself. */
  readonly path: string
  readonly type: string
  /** Shapes that its first call gave; empty if there was none. */
  readonly outputShapes: readonly Shape[]
  /** Elements of its own parameters, those of inner modules and of modules above it in the table left out. */
  readonly parameters: number
  /** Those of them that want a gradient. */
  readonly trainable: number
}

/** Printed by console.log as a table; `toString()` gives it as text. */
export class Summary {
  readonly layers: readonly LayerSummary[]
  /** Elements of all parameters, a shared one counted once. */
  readonly parameters: number
  readonly trainable: number
  /** Elements of all buffers: state that is not learned. */
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
      // Lists and tables are no rows, so that the name within the layer around holds their keys.
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

/** The longest path before this one's last name that is a layer's. */
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

/** Shapes that each module's first call gives for an input of zeros, in evaluation mode and without a graph. */
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
 * The layers of a model with their parameters; with the shape of an input (the batch included) also the shapes that each
 * gives, found by running the model once on zeros. Throws what its forward throws.
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
