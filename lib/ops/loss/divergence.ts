/** Divergences of one distribution from another. */
import { checkTensor } from '../../autograd/operator.js'
import { ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { normalizeDim } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { div, eq, exp, log, mul, sub, where } from '../elementwise/index.js'
import { sum } from '../reduce/index.js'
import { detach } from '../shape/index.js'
import { logSoftmax, softmax } from '../softmax.js'
import { checkFinite, checkSame, inFloats, type Reduction, reduceLoss, type ToOne } from './reduction.js'

/**
 * A `Reduction`, or 'batchmean': the sum divided by the first dimension's size, which is the mathematical divergence.
 */
export type DivergenceReduction = Reduction | 'batchmean'

function checkDivergence(op: string, reduction: DivergenceReduction): void {
  if (!['mean', 'sum', 'none', 'batchmean'].includes(reduction))
    throw new ValueError(op, `reduction is ${shown(reduction)}, but must be 'batchmean', 'mean', 'sum' or 'none'`)
}

function reduceDivergence(op: string, losses: Tensor, input: Tensor, reduction: DivergenceReduction): Tensor {
  if (reduction !== 'batchmean') return reduceLoss(losses, reduction)
  if (input.ndim === 0) throw new ShapeError(op, "input is one number; reduction 'batchmean' needs a batch", [[]])
  return div(sum(losses), input.sizes[0] as number)
}

/** t (log(t) - x), 0 where t is 0. */
function divergence(x: Tensor, t: Tensor): Tensor {
  const none = eq(t, 0)
  return sub(where(none, 0, mul(t, log(where(none, 1, t)))), mul(t, x))
}

export interface KlDivOptions {
  /** Whether the target holds logarithms too. Default false. */
  readonly logTarget?: boolean
  /** The reduction. Default 'mean', over all elements, as in PyTorch; 'batchmean' is the mathematical divergence. */
  readonly reduction?: DivergenceReduction
}

const klNames: OptionNames<KlDivOptions> = { logTarget: true, reduction: true }

/**
 * The Kullback-Leibler divergence of the target from the input, which holds logarithms: target (log(target) - input),
 * summed or averaged. Both broadcast.
 */
export function klDiv(input: Tensor, target: Tensor, options?: KlDivOptions & ToOne): Tensor<[]>
export function klDiv(input: Tensor, target: Tensor, options?: KlDivOptions): Tensor
export function klDiv(input: Tensor, target: Tensor, options: KlDivOptions = {}): Tensor {
  const { logTarget = false, reduction = 'mean' } = checkOptions('klDiv', options, klNames)
  checkDivergence('klDiv', reduction)
  checkFlag('klDiv', 'logTarget', logTarget)
  return inFloats('klDiv', { input, target }, [], (x) => {
    const losses = logTarget ? mul(exp(x.target), sub(x.target, x.input)) : divergence(x.input, x.target)
    return reduceDivergence('klDiv', losses, x.input, reduction)
  })
}

export interface DistillationLossOptions {
  /** The divisor of both logits. Default 2. */
  readonly temperature?: number
  /** The dimension of the classes. Default -1. */
  readonly dim?: number
  /** The reduction. Default 'batchmean'. */
  readonly reduction?: DivergenceReduction
}

const distillationNames: OptionNames<DistillationLossOptions> = { temperature: true, dim: true, reduction: true }

/**
 * T^2 KL(softmax(teacher / T) || softmax(student / T)) of logits of the same shape (Hinton, Vinyals and Dean, 2015).
 * The factor T^2 keeps the size of the gradient independent of the temperature. The teacher gets no gradient.
 */
export function distillationLoss(
  student: Tensor,
  teacher: Tensor,
  options?: DistillationLossOptions & ToOne,
): Tensor<[]>
export function distillationLoss(student: Tensor, teacher: Tensor, options?: DistillationLossOptions): Tensor
export function distillationLoss(student: Tensor, teacher: Tensor, options: DistillationLossOptions = {}): Tensor {
  const op = 'distillationLoss'
  const { temperature = 2, dim = -1, reduction = 'batchmean' } = checkOptions(op, options, distillationNames)
  checkDivergence(op, reduction)
  checkFinite(op, 'temperature', temperature, 0, false)
  checkTensor(op, 'student', student)
  checkTensor(op, 'teacher', teacher)
  checkSame(op, ['student', student], ['teacher', teacher])
  const along = normalizeDim(op, dim, student.ndim)
  return inFloats(op, { student, teacher: detach(teacher) }, [], (x) => {
    const target = softmax(div(x.teacher, temperature), along)
    const losses = divergence(logSoftmax(div(x.student, temperature), along), target)
    return mul(reduceDivergence(op, losses, x.student, reduction), temperature ** 2)
  })
}
