/** Single steps of LSTM, GRU and RNN, for programs with their own time loop. */
import { checkDType, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { Faults, formatShape, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating } from '../common.js'
import { precise } from '../convert.js'
import { zeros } from '../creation.js'
import { linear } from '../matmul.js'
import { select, unsqueeze } from '../shape/index.js'
import { asOne, checkNonlinearity, gruStep, lstmStep, type Nonlinearity, rnnSteps, type Step } from './cell-steps.js'
import type { RecurrentWeights } from './layers.js'
import { entry, two } from './steps.js'
import { inFloat32 } from './wide.js'

/** Runs a step of `gates` gates on x [B, I] or [I] and a state of `states` parts [B, H] or [H], null for zeros. */
function cell(
  op: string,
  gates: number,
  x: Tensor,
  state: readonly (readonly [name: string, part: Tensor | null])[],
  weights: RecurrentWeights,
  step: Step<RecurrentWeights>,
): readonly Tensor[] {
  checkTensor(op, 'x', x)
  checkDType(op, 'x', x, anyFloating)
  for (const name of ['wIh', 'wHh'] as const) checkTensor(op, name, weights?.[name])
  for (const name of ['bIh', 'bHh'] as const) if (weights[name] !== null) checkTensor(op, name, weights[name])
  for (const [name, part] of state)
    if (part !== null) {
      checkTensor(op, name, part)
      checkDType(op, name, part, anyFloating)
    }
  const { wIh, wHh } = weights
  const hidden = wHh.sizes[1] ?? 0
  const rows = gates * hidden
  const faults = new Faults()
  const check = (name: string, tensor: Tensor | null, wanted: readonly number[]) =>
    faults.check(
      tensor === null || formatShape(tensor.sizes) === formatShape(wanted),
      () => `${name} is ${formatShape(tensor?.sizes ?? [])}, but must be ${formatShape(wanted)}`,
    )
  faults.check(x.ndim === 1 || x.ndim === 2, () => `x is ${formatShape(x.sizes)}, but must be [B, I] or [I]`)
  faults.check(
    wHh.ndim === 2,
    () => `wHh is ${formatShape(wHh.sizes)}, but must be [${gates === 1 ? '' : `${gates} `}H, H]`,
  )
  faults.throwShape(op, [x.sizes, wIh.sizes, wHh.sizes])
  check('wHh', wHh, [rows, hidden])
  check('wIh', wIh, [rows, x.sizes.at(-1) ?? 0])
  for (const name of ['bIh', 'bHh'] as const) check(name, weights[name], [rows])
  const single = x.ndim === 1
  for (const [name, part] of state) check(name, part, single ? [hidden] : [x.sizes[0] ?? 0, hidden])
  faults.throwShape(op, [x.sizes, wIh.sizes, wHh.sizes])
  const rowsOf = (tensor: Tensor) => precise(single ? unsqueeze(tensor, 0) : tensor)
  const parts = state.map(([, part]) => part && rowsOf(part))
  const after = inFloat32(rowsOf(x), parts, weights, (rows, states, wide) => {
    const { dtype, device } = rows
    const before = states.map((part) => part ?? zeros([rows.sizes[0] ?? 0, hidden], { dtype, device }))
    return asOne(() => step(linear(rows, wide.wIh, wide.bIh), before, wide))
  })
  return single ? after.map((part) => select(part, 0, 0)) : after
}

/**
 * One step of an LSTM: x [B, I] and the state [h, c], each [B, H] (null for zeros), give the next [h, c]. Weights are
 * wIh [4 H, I], wHh [4 H, H], bIh and bHh [4 H] or null, with rows in the order i, f, g, o. Without a batch x is [I]
 * and the state [H]. Throws a ShapeError that names all misfits.
 */
export function lstmCell<S extends Shape, D extends DType>(
  x: Tensor,
  state: readonly [h: Tensor<S, D>, c: Tensor<S, D>] | null,
  weights: RecurrentWeights,
): [h: Tensor<S, D>, c: Tensor<S, D>]
export function lstmCell(
  x: Tensor,
  state: readonly [h: Tensor, c: Tensor] | null,
  weights: RecurrentWeights,
): [h: Tensor, c: Tensor] {
  if (state !== null && (!Array.isArray(state) || state.length !== 2))
    throw new ValueError('lstmCell', `the state is ${shown(state)}, but must be [h, c] or null`)
  const parts = [
    ['h', state?.[0] ?? null],
    ['c', state?.[1] ?? null],
  ] as const
  return two(cell('lstmCell', 4, x, parts, weights, lstmStep))
}

/**
 * One step of a GRU with the formulas of `gru`: x [B, I] and h [B, H] (null for zeros) give the next h. Weights are wIh
 * [3 H, I], wHh [3 H, H], bIh and bHh [3 H] or null, with rows in the order r, z, n. Without a batch x is [I] and h
 * [H]. Throws a ShapeError that names all misfits.
 */
export function gruCell<S extends Shape, D extends DType>(
  x: Tensor,
  h: Tensor<S, D> | null,
  weights: RecurrentWeights,
): Tensor<S, D>
export function gruCell(x: Tensor, h: Tensor | null, weights: RecurrentWeights): Tensor {
  return entry(cell('gruCell', 3, x, [['h', h]], weights, gruStep), 0)
}

export interface RnnCellOptions {
  /** Default tanh. */
  readonly nonlinearity?: Nonlinearity
}

const rnnCellNames: OptionNames<RnnCellOptions> = { nonlinearity: true }

/**
 * One step of an RNN: tanh(x wIh^T + bIh + h wHh^T + bHh), or relu of it, from x [B, I] and h [B, H] (null for zeros).
 * Weights are wIh [H, I], wHh [H, H], bIh and bHh [H] or null. Without a batch x is [I] and h [H]. Throws a ShapeError
 * that names all misfits.
 */
export function rnnCell<S extends Shape, D extends DType>(
  x: Tensor,
  h: Tensor<S, D> | null,
  weights: RecurrentWeights,
  options?: RnnCellOptions,
): Tensor<S, D>
export function rnnCell(x: Tensor, h: Tensor | null, weights: RecurrentWeights, options: RnnCellOptions = {}): Tensor {
  const { nonlinearity = 'tanh' } = checkOptions('rnnCell', options, rnnCellNames)
  checkNonlinearity('rnnCell', nonlinearity)
  return entry(cell('rnnCell', 1, x, [['h', h]], weights, rnnSteps[nonlinearity]), 0)
}
