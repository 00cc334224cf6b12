import { kindOf, ValueError } from '../core/errors.js'
import { scope } from '../core/scope.js'
import { checkFinished, checkFunction } from '../core/synchronous.js'
import { Tensor } from '../core/tensor.js'
import { isGradEnabled } from './mode.js'
import { Region } from './region.js'
import { mapLeaves } from './values.js'

const op = 'checkpoint'

function checkResult<R>(result: R): R {
  checkFinished(op, result)
  let count = 0
  mapLeaves(result, (leaf, path) => {
    if (!(leaf instanceof Tensor))
      throw new ValueError(
        op,
        `the function gave ${kindOf(leaf)}${path === '' ? '' : ` as result${path}`}, but may give only tensors, alone or in arrays, ` +
          'plain objects, Maps and Sets; compute numbers from them outside',
      )
    count++
    return leaf
  })
  if (count === 0)
    throw new ValueError(op, `the function gave ${kindOf(result)}, which has no tensor; return at least one`)
  return result
}

/**
 * Runs a function of tensors without keeping its intermediate results for the backward pass, which computes them again
 * (activation checkpointing). It costs at most one more forward pass of the function, which ends as soon as it has made
 * everything that the backward pass reads. It gives the same bits. The function runs again with the same random
 * numbers, whatever generators it draws from, under the same autocast and with the same adapters. Gradients of
 * parameters inside, hooks, `grad` and second derivatives are the same as without it.
 *
 * The function gets `inputs`: tensors, arrays, plain objects, Maps and Sets of them, or anything else. It returns
 * tensors, alone or in these. All other tensors that it makes are freed at its end, as by `scope`. It must do the same
 * when it runs again. A layer that updates a state must ask `isRecomputing()`, as batch norm does, because its
 * statistics must see each batch once. Without gradients (`noGrad`) the function runs once, without any of this.
 *
 * Throws ValueError for other results. The backward pass throws AutogradError if the function does something else the
 * second time, or if an input or a parameter was overwritten in between.
 */
export function checkpoint<const In extends readonly unknown[], Out extends object>(
  fn: (...inputs: In) => Out,
  ...inputs: In
): Out {
  checkFunction(op, fn)
  if (!isGradEnabled()) return scope(() => checkResult(fn(...inputs)))
  return Region.run(fn, inputs, checkResult)
}
