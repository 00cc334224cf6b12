/** A LoRA adapter made from others, like PEFT's add_weighted_adapter. */
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { type Adaptable, type Adapter, checkAdapterName } from '../nn/adapter.js'
import type { Module } from '../nn/module.js'
import { castTo } from '../ops/convert.js'
import { add, mul } from '../ops/elementwise/index.js'
import { copyInto } from '../ops/inplace.js'
import { cat, flatten, reshape, transpose } from '../ops/shape/index.js'
import { checkFree, checkSwitch } from './adapters.js'
import { appliedAs, appliedNames } from './applied.js'
import type { LoraAdapter } from './lora-adapter.js'
import { loraFor } from './lora-kinds.js'
import { fileNaming } from './names.js'
import { attach, layersOf, type PlannedPlace } from './plan.js'
import { checkModel, checkNames, quoted } from './select.js'
import { bestFactors } from './singular.js'

export interface CombineOptions {
  /** The LoRA adapters from which it is made. */
  readonly adapters: readonly string[]
  /** The weight of each; it may be negative. */
  readonly weights: readonly number[]
  /** The new adapter's name. */
  readonly name: string
  /**
   * 'cat' joins the ranks, and gives the weighted sum of the updates. 'svd' gives the update of rank `svdRank` nearest
   * to that sum. 'linear' adds the factors, each times the root of its weight and scale, which is not the sum of the
   * updates, and needs equal ranks.
   */
  readonly combinationType: 'linear' | 'cat' | 'svd'
  /** The rank of 'svd'. Default: the largest of the adapters'. */
  readonly svdRank?: number
}

const kinds = ['linear', 'cat', 'svd'] as const

interface Part {
  readonly adapter: LoraAdapter
  readonly weight: number
}

/** Factors of the new adapter for a layer, with scale 1. */
type Factors = readonly [a: Tensor, b: Tensor]

function summed(parts: readonly Tensor[]): Tensor {
  return parts.reduce((sum, each) => add(sum, each))
}

/** A and B of each part, with the part's weight. */
function joined(
  parts: readonly Part[],
  weigh: (part: Part) => Factors,
  join: (tensors: Tensor[], dim: number) => Tensor,
): Factors {
  const weighed = parts.map(weigh)
  return [
    join(
      weighed.map(([a]) => a),
      0,
    ),
    join(
      weighed.map(([, b]) => b),
      1,
    ),
  ]
}

function linearOf(parts: readonly Part[]): Factors {
  const weigh = ({ adapter, weight }: Part): Factors => {
    const [a, b] = adapter.factors
    const scaled = weight * adapter.scale
    const root = Math.sqrt(Math.abs(scaled))
    return [mul(a, scaled < 0 ? -root : root), mul(b, root)]
  }
  return joined(parts, weigh, summed)
}

function catOf(parts: readonly Part[]): Factors {
  const weigh = ({ adapter, weight }: Part): Factors => [
    mul(adapter.factors[0], weight * adapter.scale),
    adapter.factors[1],
  ]
  return joined(parts, weigh, (tensors, dim) => cat(tensors, dim))
}

/** The sizes of the matrix that a layer's update is. */
function sidesOf({ adaptation: { weight } }: Adaptable): readonly [number, number] {
  const [first = 1] = weight.sizes
  return [first, weight.numel / first]
}

function svdOf(parts: readonly Part[], rank: number, isEmbedding: boolean): Factors {
  const whole = summed(parts.map(({ adapter, weight }) => mul(adapter.delta(), weight)))
  const matrix = isEmbedding ? transpose(whole, 0, 1).clone() : flatten(whole, 1)
  return bestFactors(matrix, rank, 0)
}

/**
 * Adds a LoRA adapter made from others of the model, and returns the model. The others stay unchanged, and the new one
 * becomes the only active one. It can be saved, merged and removed like any other, and its alpha is its rank. A layer
 * that only some of them have uses only those. Throws ValueError if a name does not exist or is taken, if an adapter is
 * not a sum (`dora`), began as singular values (`init`), has invocation tokens, biases or its own modules, or if the ranks do not fit
 * together.
 */
export function addWeightedAdapter<M extends Module>(model: M, given: CombineOptions): M {
  const op = 'addWeightedAdapter'
  checkModel(op, model)
  const options = ownOptions(op, given, {
    adapters: true,
    weights: true,
    name: true,
    combinationType: true,
    svdRank: true,
  })
  const { adapters, weights, name, combinationType, svdRank } = options
  checkNames(op, 'adapters', adapters)
  checkAdapterName(op, name)
  if (!kinds.includes(combinationType))
    throw new ValueError(op, `combinationType is ${shown(combinationType)}, but must be one of ${kinds.join(', ')}`)
  const isNumbers = Array.isArray(weights) && weights.every((weight) => Number.isFinite(weight))
  if (!isNumbers || weights.length !== adapters.length || adapters.length === 0)
    throw new ValueError(op, `weights are ${shown(weights)}, but must be numbers, one for each of ${quoted(adapters)}`)
  if (svdRank !== undefined && !(combinationType === 'svd' && Number.isSafeInteger(svdRank) && svdRank > 0))
    throw new ValueError(op, `svdRank is ${shown(svdRank)}, but must be a positive integer, and applies only to 'svd'`)
  const there = appliedNames(model)
  const lost = adapters.filter((each) => !there.includes(each))
  if (lost.length > 0) throw new ValueError(op, `the model has no adapter ${quoted(lost)}; there are ${quoted(there)}`)
  for (const each of adapters) {
    const { kind, options: own } = appliedAs(model, each)
    if (
      kind !== 'lora' ||
      own.dora ||
      (own.init !== undefined && own.init !== 'mica') ||
      own.loraBias ||
      own.invocationTokens !== undefined ||
      (own.bias ?? 'none') !== 'none' ||
      own.modulesToSave?.length ||
      own.trainableTokenIndices !== undefined
    )
      throw new ValueError(op, `'${each}' is not only a sum of factors, and only sums can be combined; leave it out`)
  }
  checkFree(op, model, name)
  checkSwitch(op, model, [])
  const parts = new Map<Adaptable, { readonly path: string; readonly of: Part[] }>()
  adapters.forEach((each, i) => {
    for (const [path, layer, adapter] of layersOf(model, each)) {
      const found = parts.get(layer) ?? { path, of: [] }
      found.of.push({ adapter: adapter as LoraAdapter, weight: weights[i] as number })
      parts.set(layer, found)
    }
  })
  const ranks = [...parts].map(([layer, { path, of }]) => {
    const own = of.map(({ adapter }) => adapter.rank)
    if (combinationType === 'linear' && new Set(own).size > 1)
      throw new ValueError(
        op,
        `the adapters have the ranks ${own.join(' and ')} in ${path}, but 'linear' needs a common rank; use 'cat'`,
      )
    const rank = combinationType === 'cat' ? own.reduce((sum, each) => sum + each, 0) : Math.max(...own)
    if (svdRank !== undefined && svdRank > Math.min(...sidesOf(layer)))
      throw new ValueError(
        op,
        `svdRank is ${svdRank}, but the weight of ${path} has fewer singular values; choose a smaller one`,
      )
    return [layer, path, of, combinationType === 'svd' ? (svdRank ?? rank) : rank] as const
  })
  const most = Math.max(...ranks.map(([, , , rank]) => rank))
  const made = new Map<Adaptable, LoraAdapter>()
  noGrad(() => {
    for (const [layer, , of, rank] of ranks) {
      const isEmbedding = layer.adaptation.by === 'embedding'
      const [a, b] =
        combinationType === 'svd' ? svdOf(of, rank, isEmbedding) : combinationType === 'cat' ? catOf(of) : linearOf(of)
      const adapter = loraFor(layer, { rank })
      const put = (factor: Tensor, value: Tensor) =>
        copyInto(factor, castTo(reshape(value, factor.sizes).to(factor.device), factor.dtype), op)
      put(adapter.factors[0], a)
      put(adapter.factors[1], b)
      made.set(layer, adapter)
    }
  })
  const layers = ranks.map(([layer, path]): PlannedPlace => {
    const adapter = made.get(layer) as Adapter
    return { fileName: path, layer, make: () => adapter, settle: () => undefined }
  })
  const naming = fileNaming(model)
  const rankPattern = Object.fromEntries(
    ranks.flatMap(([, path, , rank]) => (rank === most ? [] : [[naming(path).replace(/[^\w]/g, '\\$&'), rank]])),
  )
  const applied = {
    kind: 'lora',
    options: {
      name,
      rank: most,
      alpha: most,
      dropout: 0,
      targetModules: ranks.map(([, path]) => naming(path)),
      rankPattern,
      alphaPattern: rankPattern,
    },
  } as const
  attach(model, { name, applied, naming, layers, saved: [], biases: [] }, made, new Map())
  return model
}
