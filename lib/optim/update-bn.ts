/** The running statistics of batch norms, measured anew: those of weights that were averaged fit no batch of the training. */
import { noGrad } from '../autograd/mode.js'
import { kindOf, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { keep, outsideFrames, scope } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import { BatchNorm1d, BatchNorm2d, BatchNorm3d } from '../nn/batch-norm.js'
import { captureModes, Module } from '../nn/module.js'
import { clone } from '../ops/shape/index.js'

const op = 'updateBn'

export interface UpdateBnOptions<B> {
  /** Runs the model on a batch. Default: `model.forward` on the batch, or on the first of a list. */
  readonly forward?: (batch: B) => unknown
}

type Norm = BatchNorm1d | BatchNorm2d | BatchNorm3d

const isNorm = (module: Module): module is Norm =>
  module instanceof BatchNorm1d || module instanceof BatchNorm2d || module instanceof BatchNorm3d

/**
 * Sets the running statistics of all batch norms to the averages over these batches, in a pass with training mode and
 * without gradients (Izmailov et al., 2018). Call it after the weights were averaged:
 *
 *     average.copyTo(model)
 *     await optim.updateBn(loader, model)
 *
 * A model without batch norms takes no pass. Modes and momenta are afterwards as before. Throws ValueError if there is
 * no batch, a batch is no tensor and there is no `forward`, or weights changed meanwhile. After an error the statistics
 * are as before.
 */
export async function updateBn<B>(
  batches: Iterable<B> | AsyncIterable<B>,
  model: Module,
  options: UpdateBnOptions<B> = {},
): Promise<void> {
  const { forward = (batch: B) => runFirst(model, batch) } = checkOptions(op, options, { forward: true })
  if (typeof forward !== 'function')
    throw new ValueError(op, `forward is ${kindOf(forward)}, but must be a function that runs the model on a batch`)
  if (!(model instanceof Module)) throw new ValueError(op, `the model is ${kindOf(model)}, but must be a module`)
  if (!isIterable(batches))
    throw new ValueError(op, `the batches are ${kindOf(batches)}, but must be a loader or a list of batches`)
  const norms = [...model.modules()].filter(isNorm).filter(({ runningMean }) => runningMean !== null)
  if (norms.length === 0) return
  const versions = [...model.parameters()].map(({ storage }) => [storage, storage.version] as const)
  const checkUnchanged = () => {
    if (versions.some(([storage, version]) => storage.version !== version))
      throw new ValueError(op, 'the weights changed meanwhile; await it before the next step')
  }
  const restoreModes = captureModes(model)
  const restoreMomenta = norms.map((norm) => withoutMomentum(norm))
  const statistics = norms.flatMap((norm) => [norm.runningMean, norm.runningVar, norm.numBatchesTracked] as Tensor[])
  const before = noGrad(() => outsideFrames(() => statistics.map((each) => keep(clone(each)))))
  let count = 0
  let done = false
  try {
    model.train()
    noGrad(() => {
      for (const { runningMean, runningVar, numBatchesTracked } of norms) {
        runningMean?.fill_(0)
        runningVar?.fill_(1)
        numBatchesTracked?.fill_(0)
      }
    })
    for await (const batch of batches) {
      checkUnchanged()
      noGrad(() => scope(() => void forward(batch)))
      count++
    }
    if (count === 0) throw new ValueError(op, 'there are no batches to measure statistics on')
    checkUnchanged()
    done = true
  } finally {
    for (const restore of restoreMomenta) restore()
    restoreModes()
    noGrad(() => {
      for (const [i, each] of before.entries()) {
        if (!done) statistics[i]?.copy_(each)
        each.dispose()
      }
    })
  }
}

/** Whether these may be batches. Numbers in a typed array are none. */
function isIterable(batches: unknown): boolean {
  if (typeof batches !== 'object' || batches === null || ArrayBuffer.isView(batches)) return false
  return Symbol.asyncIterator in batches || Symbol.iterator in batches
}

/** Lets a batch norm take the plain average of all batches, and returns a function that ends this. */
function withoutMomentum(norm: Norm): () => void {
  const own: { momentum: number | null } = norm
  const { momentum } = own
  own.momentum = null
  return () => {
    own.momentum = momentum
  }
}

function runFirst(model: Module, batch: unknown): unknown {
  const x: unknown = Array.isArray(batch) ? batch[0] : batch
  if (!(x instanceof Tensor))
    throw new ValueError(op, `a batch is ${kindOf(batch)}, but must be a tensor or begin with one; give forward`)
  return (model as unknown as { forward(x: Tensor): unknown }).forward(x)
}
