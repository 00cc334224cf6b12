/**
 * Loads a module from a file or folder. All misfits are found before anything is read, and nothing is in memory twice.
 */
import { noGrad } from '../autograd/mode.js'
import { isFiresteelError, StateDictError, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { TensorSource } from '../io/source.js'
import { isWhole, ownDType, PieceReader, tensorsIn, type Wanted } from '../io/tensors.js'
import { creationNames, place } from '../ops/placement.js'
import { Arrivals } from './arrivals.js'
import { Naming } from './naming.js'
import {
  canHoldBoth,
  contradiction,
  type LoadOptions,
  type LoadResult,
  loadNames,
  type Match,
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
  // Overlapping parts are compared in a copy of their memory. That reads their elements in full, but is rare.
  const wanted = new Map<string, Wanted>(tie.map(([each, { shape }]) => [each, { shape, device }]))
  const values = await tensorsIn(source, wanted, op)
  const [value, otherValue] = [values.get(name) as Tensor, values.get(other) as Tensor]
  return !noGrad(() => canHoldBoth(op, [tensor, value], [otherTensor, otherValue], device))
}

/** Loads a module's state from a source, as `Module.load` says. */
export async function loadSource(module: Stateful, file: TensorSource, options: LoadOptions): Promise<LoadResult> {
  const { strict = true, device } = checkOptions(op, options, loadNames)
  const naming = new Naming(op, file.names, options)
  const source = naming.source(file)
  const { path } = source
  const sizesOf = (name: string) => source.spec(name)?.shape ?? null
  const dtypeOf = (name: string) => ownDType(source.spec(name)?.dtype)
  const match = () => matchOffer(op, module, { naming, sizesOf, dtypeOf }, strict)
  const { own, given, ties, missing, unexpected, excluded, problems } = match()
  if (problems.length > 0) throw new StateDictError(problems, op, path)
  const arrivals = new Arrivals(op, module, own, given, device)
  const fallback = place(op, {}, creationNames).device
  const reader = new PieceReader(op, source)
  // Every fault must be found before the first element is overwritten.
  for (const [name, tensor] of given) {
    arrivals.deviceOf(tensor, fallback)
    await reader.check(name, !isMeta(tensor))
  }
  const contradictions: string[] = []
  for (const tie of ties) if (await disagree(source, reader, arrivals, tie)) contradictions.push(contradiction(tie))
  if (contradictions.length > 0) throw new StateDictError(contradictions, op, path)
  const values = withoutAliases(given)
  const coming = values.filter(([, tensor]) => isMeta(tensor))
  for (const [name, tensor] of coming) {
    await reader.fill(name, arrivals.targetOf(tensor, fallback, isWhole(tensor)))
  }
  checkUnchanged(given, match())
  // The rest happens in one turn of the event loop, so that concurrent users of the model see either the old weights or
  // the new ones.
  overwrite(
    reader,
    values.filter(([name]) => !coming.some(([other]) => other === name)),
  )
  arrivals.settle()
  return { missing, unexpected, excluded }
}

/**
 * Throws if the module has changed since the places were decided, because the program may have exchanged layers while
 * the file was read.
 */
function checkUnchanged(given: readonly Named[], now: Match): void {
  const tensors = new Map(now.given)
  if (now.problems.length === 0 && tensors.size === given.length && given.every(([name, x]) => tensors.get(name) === x))
    return
  throw new ValueError(
    op,
    'nothing was loaded, because layers or tensors of the module were replaced while its file was read; load it again',
  )
}

const isMeta = (tensor: Tensor) => tensor.device.kind === 'meta'

function overwrite(reader: PieceReader, given: readonly Named[]): void {
  let begun = 0
  try {
    for (const [name, tensor] of given) {
      begun++
      reader.fillSync(name, tensor)
    }
  } catch (error) {
    // The file was read once already, so either the disk fails now or the file has changed. The overwritten weights
    // have no second copy.
    if (isFiresteelError(error))
      error.message += `; ${begun} of ${given.length} tensors were overwritten, the last one perhaps in part; load the model again`
    throw error
  }
}
