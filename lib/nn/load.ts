/** Loading a module from a file or folder: what fits is known before anything is read, and nothing is in memory twice. */
import { noGrad } from '../autograd/mode.js'
import type { Device } from '../core/device.js'
import { isFiresteelError, StateDictError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { TensorSource } from '../io/source.js'
import { PieceReader, tensorsIn, type Wanted } from '../io/tensors.js'
import { creationNames, place } from '../ops/creation.js'
import { Arrivals } from './arrivals.js'
import {
  canHoldBoth,
  contradiction,
  type LoadOptions,
  type LoadResult,
  loadNames,
  matchOffer,
  type Named,
  type Stateful,
  type Tie,
  withoutAliases,
} from './state.js'
import { sameView } from './views.js'

const op = 'load'

/** Whether the source's values for two names of one memory differ. */
async function disagree(source: TensorSource, reader: PieceReader, arrivals: Arrivals, tie: Tie): Promise<boolean> {
  const [[name, tensor], [other, otherTensor]] = tie
  const device = arrivals.deviceOf(tensor, place(op, {}, creationNames).device)
  if (sameView(tensor, otherTensor)) return !(await reader.agree(name, other, tensor.dtype, device))
  // Parts of one memory are compared where they lie in it. That takes their elements whole, but is rare.
  const wanted = new Map<string, Wanted>(tie.map(([each, { shape }]) => [each, { shape, device }]))
  const values = await tensorsIn(source, wanted, op)
  const [value, otherValue] = [values.get(name) as Tensor, values.get(other) as Tensor]
  return !noGrad(() => canHoldBoth(op, [tensor, value], [otherTensor, otherValue], device))
}

/** Loads what a source has of a module's state, as `Module.load` says. */
export async function loadSource(module: Stateful, source: TensorSource, options: LoadOptions): Promise<LoadResult> {
  const { strict = true, device } = checkOptions(op, options, loadNames)
  const { path } = source
  const sizesOf = (name: string) => source.spec(name)?.shape ?? null
  const { own, given, ties, missing, unexpected, problems } = matchOffer(
    op,
    module,
    { names: source.names, sizesOf },
    strict,
  )
  if (problems.length > 0) throw new StateDictError(problems, op, path)
  const arrivals = new Arrivals(op, module, own, given, device)
  const fallback = place(op, {}, creationNames).device
  const reader = new PieceReader(op, source)
  // All that can be wrong is found before the first element is written.
  for (const [name, tensor] of given) {
    arrivals.deviceOf(tensor, fallback)
    await reader.check(name)
  }
  const contradictions: string[] = []
  for (const tie of ties) if (await disagree(source, reader, arrivals, tie)) contradictions.push(contradiction(tie))
  if (contradictions.length > 0) throw new StateDictError(contradictions, op, path)
  await write(reader, arrivals, withoutAliases(given), fallback)
  return { missing, unexpected }
}

async function write(
  reader: PieceReader,
  arrivals: Arrivals,
  given: readonly Named[],
  fallback: Device,
): Promise<void> {
  const overwritten: string[] = []
  try {
    for (const [name, tensor] of given) {
      if (tensor.device.kind !== 'meta') overwritten.push(name)
      await reader.fill(name, () => arrivals.targetOf(tensor, fallback))
    }
  } catch (error) {
    // The disk, or a file that somebody changed meanwhile: what is over cannot be brought back without a second copy.
    if (isFiresteelError(error) && overwritten.length > 0)
      error.message += `; ${overwritten.length} of ${given.length} tensors of the model are overwritten by then, the last perhaps in part: load it again`
    throw error
  }
  arrivals.settle()
}
