/** A linear probe: the body's features are computed once, and then the head alone is trained on them. */
import { noGrad } from '../autograd/mode.js'
import { kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import { keep, outsideFrames, scope } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { cat, clone } from '../ops/shape/index.js'
import { checkBatch, checkBatches, onePass } from '../train/checks.js'
import { Guard } from '../train/guard.js'
import type { Batch } from '../train/objective.js'
import type { Batches } from '../train/options.js'
import { checkModel, listed } from './select.js'

export interface ProbeOptions<B> {
  /** The path of the module that will learn: `classifier`. Its inputs are the features. */
  readonly head: string
  /** Runs the model on a batch, including its head. Default: `model.forward(input)`, for batches [input, target]. */
  readonly forward?: (batch: B) => unknown
  /** The target of a batch. Default: the second of [input, target]. */
  readonly target?: (batch: B) => Tensor
}

export interface Probe {
  /** The module at the path, which is the model's own head. */
  readonly head: Module
  /** Inputs of the head, [rows, ...]. The caller must free them. */
  readonly features: Tensor
  /** Targets of the same rows, [rows, ...]. The caller must free them. */
  readonly targets: Tensor
}

interface Calls {
  count: number
  input: unknown
}

/**
 * Runs the model once over the batches, without a graph and in evaluation mode, and keeps the inputs of its head. The
 * head can then be trained alone for any number of epochs, at the price of one layer:
 *
 *     const { head, features, targets } = await probe(model, batches, { head: 'classifier' })
 *     const loader = new DataLoader(new TensorDataset(features, targets), { batchSize: 32, shuffle: true })
 *     const optimizer = new optim.AdamW(head.parameters(), { lr: 1e-3 })
 *     await new Trainer(head, { optimizer, loss }).fit(loader, { epochs: 20 })
 *
 * Fine-tuning that continues from there (Kumar et al., 2022) does not begin with the gradients of a random head. Throws
 * ValueError if there is no such module, if the model does not call it exactly once for each batch, if there are no
 * batches, or if the weights change meanwhile. Throws ShapeError if features of batches do not fit together.
 */
export async function probe<B = Batch>(model: Module, batches: Batches<B>, options: ProbeOptions<B>): Promise<Probe> {
  const op = 'probe'
  checkModel(op, model)
  checkBatches(op, batches)
  const names = { head: true, forward: true, target: true } as const
  const { head: path, ...given } = ownOptions(op, options, names)
  const head = moduleAt(op, model, path)
  const forward = checkedFunction(op, 'forward', given.forward) ?? inputOf(op, model)
  const target = checkedFunction(op, 'target', given.target) ?? ((batch: B) => checkBatch(op, batch as Batch)[1])
  const calls: Calls = { count: 0, input: null }
  const features: Tensor[] = []
  const targets: Tensor[] = []
  const handle = head.registerForwardPreHook((_, inputs) => {
    calls.count++
    calls.input = inputs[0]
  })
  try {
    await Guard.of(model).evaluating(op, async (check) => {
      for await (const batch of onePass(op, batches)) {
        check()
        const [feature, wanted] = featuresOf(op, path, calls, () => [forward(batch), target(batch)])
        features.push(feature)
        targets.push(wanted)
      }
    })
    if (features.length === 0) throw new ValueError(op, 'there are no batches from which to compute features')
    return { head, features: joined(op, 'features', features), targets: joined(op, 'targets', targets) }
  } finally {
    handle.remove()
    for (const tensor of [...features, ...targets]) tensor.dispose()
  }
}

function moduleAt(op: string, model: Module, path: unknown): Module {
  const named = model.namedModules()
  const found = typeof path === 'string' && path !== '' ? named.find(([name]) => name === path) : undefined
  if (found === undefined)
    throw new ValueError(
      op,
      `head is ${shown(path)}, but must be the path of a module in the model: ${listed(named.slice(1).map(([name]) => name))}`,
    )
  return found[1]
}

function checkedFunction<F>(op: string, name: string, value: F | undefined): F | undefined {
  if (value !== undefined && typeof value !== 'function')
    throw new ValueError(op, `${name} is ${kindOf(value)}, but must be a function of a batch`)
  return value
}

function inputOf<B>(op: string, model: Module): (batch: B) => unknown {
  const { forward } = model as Module & { readonly forward: (input: Tensor) => unknown }
  return (batch) => forward(checkBatch(op, batch as Batch)[0])
}

/** Copies of the head's input and of the target. */
function featuresOf(
  op: string,
  path: string,
  calls: Calls,
  run: () => readonly [output: unknown, target: Tensor],
): [Tensor, Tensor] {
  calls.count = 0
  try {
    return scope(() =>
      noGrad(() => {
        const [output, target] = run()
        if (output instanceof Promise)
          throw new ValueError(op, 'forward gave a promise, but must run the model at once')
        if (calls.count !== 1)
          throw new ValueError(
            op,
            `forward ran ${path} ${calls.count} times for a batch, but must run it once; name a module whose forward the model calls`,
          )
        const { input } = calls
        if (!(input instanceof Tensor))
          throw new ValueError(op, `${path} takes ${kindOf(input)}, but a head must take a tensor`)
        if (!(target instanceof Tensor))
          throw new ValueError(op, `the target of a batch is ${kindOf(target)}, but must be a tensor`)
        if (input.sizes[0] !== target.sizes[0])
          throw new ShapeError(
            op,
            `a batch has ${input.sizes[0]} rows of features and ${target.sizes[0]} of targets, but must have equal numbers`,
            [input.sizes, target.sizes],
          )
        return outsideFrames((): [Tensor, Tensor] => [keep(clone(input)), keep(clone(target))])
      }),
    )
  } finally {
    calls.input = null
  }
}

function joined(op: string, name: string, parts: readonly Tensor[]): Tensor {
  const first = parts[0] as Tensor
  const tail = (x: Tensor) => x.sizes.slice(1).join(', ')
  for (const part of parts)
    if (tail(part) !== tail(first))
      throw new ShapeError(
        op,
        `${name} of one batch are [${part.sizes.join(', ')}], of another [${first.sizes.join(', ')}]; make batches whose rows have one size`,
        [part.sizes, first.sizes],
      )
  return noGrad(() => outsideFrames(() => keep(cat(parts, 0))))
}
