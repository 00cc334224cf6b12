/** Arguments of a recurrent layer's call. */
import { kindOf, ValueError } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'
import type { SequenceOptions } from './recurrent.js'

/**
 * The state and the options of a call, whose options may stand in the state's place. A state is a tensor or a list, so
 * any other object is options.
 */
export function callOptions<S>(
  name: string,
  initial: S | SequenceOptions | undefined,
  options: SequenceOptions | undefined,
): readonly [initial: S | undefined, options: SequenceOptions] {
  const isState = typeof initial !== 'object' || initial === null || initial instanceof Tensor || Array.isArray(initial)
  if (isState) return [initial as S | undefined, options ?? {}]
  if (options !== undefined)
    throw new ValueError(
      name,
      `the initial state is ${kindOf(initial)}, but must be a tensor or a list of tensors; give options once, after it or in its place`,
    )
  return [undefined, initial as SequenceOptions]
}
