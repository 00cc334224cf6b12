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
        `the function gave ${kindOf(leaf)}${path === '' ? '' : ` as result${path}`}, but may give tensors only, in arrays, ` +
          'plain objects, Maps and Sets or not; work out numbers from them outside',
      )
    count++
    return leaf
  })
  if (count === 0)
    throw new ValueError(op, `the function gave ${kindOf(result)} without a tensor, so that nothing is left of it`)
  return result
}

/**
 * Runs a function of tensors whose intermediate results are not kept for the backward pass, but computed again there
 * (activation checkpointing). Costs at most one more forward pass of the function, which is left as soon as all is there that the
 * backward pass reads, and gives the same bits: it runs again with the same random numbers, whatever generators it draws from,
 * under the same autocast and with the same adapters. Gradients of parameters inside, hooks, `grad` and second derivatives are
 * as without.
 *
 * The function gets `inputs`, which may be tensors, arrays, plain objects, Maps and Sets of them, or anything else, and gives
 * tensors, in these or not. All other tensors that it makes are freed at its end, as by `scope`. It must do the same
 * when it runs again; a layer with a state of its own asks `isRecomputing()`, as batch norm does, whose statistics see each
 * batch once. Without gradients (`noGrad`) it runs once, as it is.
 *
 * Throws ValueError for other results. The backward pass throws AutogradError where the function does something else
 * the second time, or where an input or a parameter was overwritten in between.
 */
export function checkpoint<const In extends readonly unknown[], Out extends object>(
  fn: (...inputs: In) => Out,
  ...inputs: In
): Out {
  checkFunction(op, fn)
  if (!isGradEnabled()) return scope(() => checkResult(fn(...inputs)))
  return Region.run(fn, inputs, checkResult)
}
