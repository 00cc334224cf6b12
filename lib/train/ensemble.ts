/** Several models that answer as one. */
import { formatShape, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, listOf } from '../core/options.js'
import { sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { ModuleList } from '../nn/containers.js'
import { Module } from '../nn/module.js'
import { to } from '../ops/convert.js'
import { arange } from '../ops/creation.js'
import { add, div, eq, log, sub } from '../ops/elementwise/index.js'
import { argmax, logsumexp, mean, sum } from '../ops/reduce/index.js'
import { stack } from '../ops/shape/index.js'
import { logSoftmax } from '../ops/softmax.js'

/** A model that returns one tensor. */
export interface Voter extends Module {
  forward(...inputs: never[]): Tensor
}

export interface EnsembleOptions {
  /**
   * 'logits': the mean of the members' outputs, also for regressions. 'probabilities' (default): the logarithm of the
   * mean of their probabilities. 'votes': the logarithm of (votes + 1) / (members + classes), so that no class is
   * impossible; of classes with equal votes the lower one comes first.
   */
  readonly combine?: 'logits' | 'probabilities' | 'votes'
  /** The dimension of the classes, as in `crossEntropy`. Default 1. */
  readonly dim?: number
}

/**
 * Members that answer as one: a module like any other. With every `combine` it returns scores whose softmax are its
 * probabilities, so losses, metrics and `trainer.evaluate(test, { model: ensemble })` can use it like a member.
 * Gradients go to all members, except with 'votes', which have no gradients.
 */
export class Ensemble<M extends Voter = Voter> extends Module {
  readonly members: ModuleList<M>
  readonly combine: 'logits' | 'probabilities' | 'votes'
  readonly dim: number

  /** Throws ValueError if there are no members, if one is listed twice, or if one is not a module. */
  constructor(members: Iterable<M>, options: EnsembleOptions = {}) {
    super()
    const op = 'Ensemble'
    const { combine = 'probabilities', dim = 1 } = checkOptions(op, options, { combine: true, dim: true })
    if (combine !== 'logits' && combine !== 'probabilities' && combine !== 'votes')
      throw new ValueError(op, `combine is ${shown(combine)}, but must be 'logits', 'probabilities' or 'votes'`)
    if (!Number.isSafeInteger(dim)) throw new ValueError(op, `dim is ${shown(dim)}, but must be an integer`)
    this.members = new ModuleList(modelsOf(op, 'members', members))
    this.combine = combine
    this.dim = dim
  }

  /** Whether the members distinguish the two texts of a pair. Objectives for texts ask this. */
  get hasTypes(): boolean {
    return [...this.members].every((member) => {
      const { body = member } = member as Voter & { readonly body?: object }
      return (body as { readonly hasTypes?: boolean }).hasTypes !== false
    })
  }

  /**
   * Throws ValueError if a member does not return a tensor, and ShapeError, which names the members, if two return
   * tensors of different shapes.
   */
  forward(...inputs: Parameters<M['forward']>): Tensor {
    const op = 'Ensemble'
    const outputs = [...this.members].map((member, i) => {
      const output: unknown = member.forward(...(inputs as never[]))
      if (!(output instanceof Tensor))
        throw new ValueError(
          op,
          `member ${i}, ${kindOf(member)}, gave ${kindOf(output)}, but an ensemble combines tensors`,
        )
      return output
    })
    const [first] = outputs as [Tensor]
    outputs.forEach((output, i) => {
      if (!sameShape(output.sizes, first.sizes))
        throw new ShapeError(
          op,
          `member 0 gave ${formatShape(first.sizes)}, but member ${i} ${formatShape(output.sizes)}; members must give results of the same shape`,
          [first.sizes, output.sizes],
        )
    })
    const { combine, dim } = this
    if (combine === 'logits') return mean(stack(outputs), 0)
    const rank = first.sizes.length
    const place = dim < 0 ? dim + rank : dim
    if (place < 0 || place >= rank)
      throw new ShapeError(
        op,
        `dim is ${dim}, but members gave ${formatShape(first.sizes)}; name the dimension of the classes`,
        [first.sizes],
      )
    return combine === 'probabilities' ? meanOfProbabilities(outputs, place) : votes(outputs, place)
  }
}

function meanOfProbabilities(outputs: readonly Tensor[], dim: number): Tensor {
  const each = stack(outputs.map((output) => logSoftmax(output, dim)))
  return sub(logsumexp(each, 0), Math.log(outputs.length))
}

function votes(outputs: readonly Tensor[], dim: number): Tensor {
  const [{ sizes, device }] = outputs as [Tensor]
  const classes = sizes[dim] as number
  const places = arange(0, classes, 1, { device }).reshape(sizes.map((_, i) => (i === dim ? classes : 1)))
  const each = outputs.map((output) => to(eq(argmax(output, dim, { keepdim: true }), places), 'float32'))
  return log(div(add(sum(stack(each), 0), 1), outputs.length + classes))
}

/**
 * Copies the given models into a list. Throws ValueError unless there is at least one and all are different modules.
 */
export function modelsOf<M extends Module>(op: string, name: string, given: Iterable<M>): M[] {
  const models = listOf(op, name, given, 'a list of modules')
  if (models.length === 0) throw new ValueError(op, `${name} are empty; give at least one module`)
  models.forEach((model: unknown, i) => {
    if (!(model instanceof Module)) throw new ValueError(op, `${name}[${i}] is ${kindOf(model)}, but must be a module`)
    const before = models.indexOf(model as M)
    if (before < i) throw new ValueError(op, `${name}[${before}] and ${name}[${i}] are the same module; give each once`)
  })
  return models
}
