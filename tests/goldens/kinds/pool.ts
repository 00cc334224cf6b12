import type { Tensor } from '../../../lib/core/tensor.js'
import * as ops from '../../../lib/ops/index.js'
import type { Given } from '../cases.js'
import { type Kinds, largest, op } from './kind.js'

/** The options that a case has. */
const options = (given: Given, ...names: readonly string[]) =>
  Object.fromEntries(names.filter((name) => name in given.golden.args).map((name) => [name, given.arg<never>(name)]))

const window = ['stride', 'padding', 'ceilMode'] as const
const maximum = [...window, 'dilation'] as const
const average = [...window, 'countIncludePad'] as const

const indices = ['returnIndices'] as const

type Pool = (x: Tensor, size: never, options: never) => Tensor | readonly Tensor[]
/** A pooling that takes one number or list, and options. */
const pool = (fn: Pool, names: readonly string[], size: 'kernelSize' | 'outputSize' = 'kernelSize') =>
  op((given) => fn(given.in('x'), given.arg<never>(size), options(given, ...names) as never), largest)

const byNorm = (fn: typeof ops.lpPool2d) =>
  op(
    (given) => fn(given.in('x'), given.arg('p'), given.arg<never>('kernelSize'), options(given, 'stride', 'ceilMode')),
    largest,
  )

export const kinds: Kinds = {
  maxPool1d: pool(ops.maxPool1d, [...maximum, ...indices]),
  maxPool2d: pool(ops.maxPool2d, [...maximum, ...indices]),
  maxPool3d: pool(ops.maxPool3d, [...maximum, ...indices]),
  avgPool1d: pool(ops.avgPool1d, average),
  avgPool2d: pool(ops.avgPool2d, [...average, 'divisorOverride']),
  avgPool3d: pool(ops.avgPool3d, [...average, 'divisorOverride']),
  lpPool1d: byNorm(ops.lpPool1d as typeof ops.lpPool2d),
  lpPool2d: byNorm(ops.lpPool2d),
  adaptiveAvgPool1d: op((given) => ops.adaptiveAvgPool1d(given.in('x'), given.arg('outputSize')), largest),
  adaptiveAvgPool2d: op((given) => ops.adaptiveAvgPool2d(given.in('x'), given.arg('outputSize')), largest),
  adaptiveAvgPool3d: op((given) => ops.adaptiveAvgPool3d(given.in('x'), given.arg('outputSize')), largest),
  adaptiveMaxPool1d: pool(ops.adaptiveMaxPool1d, indices, 'outputSize'),
  adaptiveMaxPool2d: pool(ops.adaptiveMaxPool2d, indices, 'outputSize'),
  adaptiveMaxPool3d: pool(ops.adaptiveMaxPool3d, indices, 'outputSize'),
  localResponseNorm: op(
    (given) => ops.localResponseNorm(given.in('x'), given.arg('size'), options(given, 'alpha', 'beta', 'k')),
    largest,
  ),
  interpolate: op(
    (given) =>
      ops.interpolate(
        given.in('x'),
        options(given, 'size', 'scaleFactor', 'mode', 'alignCorners', 'recomputeScaleFactor', 'antialias'),
      ),
    largest,
  ),
  gridSample: op(
    (given) => ops.gridSample(given.in('x'), given.in('grid'), options(given, 'mode', 'paddingMode', 'alignCorners')),
    largest,
  ),
  affineGrid: op(
    (given) => ops.affineGrid(given.in('theta'), given.arg('size'), options(given, 'alignCorners')),
    largest,
  ),
}
