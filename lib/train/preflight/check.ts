/** The check of a training before it begins. All its changes to the model, its optimizer and the data are undone. */
import { noGrad } from '../../autograd/mode.js'
import { type OperatorObserver, observeOperators } from '../../autograd/observe.js'
import { isFiresteelError, shown, ValueError } from '../../core/errors.js'
import { inNode, nextTurn, nodeModule } from '../../core/host.js'
import { observeModules } from '../../core/module-path.js'
import { checkOptions } from '../../core/options.js'
import { outsideFrames, scope } from '../../core/scope.js'
import { denseTensor, type Tensor } from '../../core/tensor.js'
import { type Module, Parameter, trainModes } from '../../nn/module.js'
import { clone } from '../../ops/shape/index.js'
import { checkBatches, checkGraph, stepsIn } from '../checks.js'
import type { Batches } from '../options.js'
import { Aside } from './aside.js'
import { Budget, parseBytes } from './budget.js'
import { firstBatch, isBatches, look } from './first.js'
import { GraphWatch } from './graph.js'
import { LabelCount, type Labels, LossWatch, placeOf, tensorAt } from './labels.js'
import { type OverlapRecord, rowHashes } from './overlap.js'
import { deviceOf, formatBytes, type MemoryPrediction, predict, type Subject, tryStep } from './predict.js'
import { CheckReport, type CheckResults, type Finding } from './report.js'
import { rowsOf } from './rows.js'
import { blockGroups, type Thrift } from './thrift.js'

export interface CheckOptions<B = unknown> {
  /** The training's validation set. Rows that are in both sets are counted. */
  readonly validation?: Batches<B>
  /** The number of steps on one batch. Default 10. */
  readonly steps?: number
  /** The number of rows of each set to examine for labels and for rows in both sets. Default 100,000. */
  readonly rows?: number
  /** The most memory that the training may take, as in `fit`. Default: the memory that the machine has left. */
  readonly memory?: number | string
}

/** The parts of a Trainer that the check needs. */
export interface Checked extends Subject {
  /** Whether batches are [input, target]. */
  readonly isShort: boolean
}

const op = 'Trainer.check'

/** A loss this many times larger than the loss of guessing is too large for a fresh model. */
const tooLarge = 2
/** If there are more classes than this, labels are words, and no set contains all of them. */
const fewClasses = 1000

/** The largest number of steps on one batch. More would be a training. */
const mostSteps = 10_000

export async function check(checked: Checked, data: unknown, options: CheckOptions): Promise<CheckReport> {
  checkOptions(op, options, { validation: true, steps: true, rows: true, memory: true })
  const { validation, steps = 10, rows = 100_000, memory } = options
  for (const [name, value, most] of [
    ['steps', steps, mostSteps],
    ['rows', rows, Number.MAX_SAFE_INTEGER],
  ] as const)
    if (!Number.isSafeInteger(value) || value < 0 || value > most)
      throw new ValueError(op, `${name} is ${shown(value)}, but must be an integer from 0 to ${most}`)
  if (memory !== undefined) parseBytes(op, memory)
  if (validation !== undefined) checkBatches(op, validation)
  const batch = await firstBatch(op, data)
  const findings: Finding[] = []
  const add = (level: Finding['level'], about: Finding['about'], text: string) => findings.push({ level, about, text })
  const trial = await tryOut(checked, batch, steps, add)
  const sets = await readSets(checked, isBatches(data) ? data : [batch], validation, rows, trial.labels)
  judgeSets(sets, add)
  const predicted = predictFor(checked, batch, memory, add)
  const stepsPerEpoch = isBatches(data) ? stepsIn(data, checked.accumulate) : null
  const step = trial.seconds
  const { loss, gradients, overfit } = trial
  const results: CheckResults = {
    loss,
    gradients,
    overfit,
    labels: sets.labels,
    rows: sets.overlap,
    memory: predicted,
    time:
      step === null
        ? null
        : {
            step: step * checked.accumulate,
            epoch: stepsPerEpoch === null ? null : step * checked.accumulate * stepsPerEpoch,
          },
  }
  return new CheckReport(results, findings)
}

type Add = (level: Finding['level'], about: Finding['about'], text: string) => void

interface Trial extends Pick<CheckResults, 'loss' | 'gradients' | 'overfit'> {
  readonly labels: (Labels & { readonly place: number }) | null
  readonly seconds: number | null
}

/** A copy of memory that a step may write. */
function copyOf(tensor: Tensor): Tensor['storage'] | null {
  if (tensor instanceof Parameter && !tensor.requiresGrad) return null
  return noGrad(() => outsideFrames(() => clone(denseTensor(tensor.storage, [tensor.storage.count])))).storage
}

/** Tries loss, gradients and some steps on a batch, on copies of everything they change. */
async function tryOut(subject: Checked, batch: unknown, steps: number, add: Add): Promise<Trial> {
  const { model, optimizer } = subject
  deviceOf(op, model)
  const thrift: Thrift = { parts: 1, recomputed: (subject.checkpointing ? blockGroups(model) : null) ?? [] }
  const aside = new Aside(model, optimizer, { copy: copyOf, hooks: true })
  const losses: number[] = []
  const times: number[] = []
  const ends = new LossWatch()
  let first: Pick<Trial, 'loss' | 'gradients'> = { loss: null, gradients: null }
  try {
    first = aside.run(() => {
      trainModes(model)
      return scope(() => lookAtGradients(subject, batch, ends, add))
    })
    for (let i = 0; i <= steps && steps > 0; i++) {
      const started = performance.now()
      const loss = aside.run(() => {
        trainModes(model)
        return scope(() => tryStep(op, { ...subject, accumulate: 1 }, batch, thrift).item()) as number
      })
      losses.push(loss)
      times.push((performance.now() - started) / 1000)
      await nextTurn()
    }
  } catch (error) {
    if (!isFiresteelError(error)) throw error
    add('fault', 'loss', `the step throws ${error.name}: ${error.message}`)
  } finally {
    aside.end()
  }
  judgeOverfit(losses, add)
  // The first step is left out, because it makes the optimizer's state.
  const sorted = times.slice(1).sort((a, b) => a - b)
  return {
    ...first,
    labels: ends.labels && { ...ends.labels, place: placeOf(batch, ends.labels.target) },
    overfit: losses.length === 0 ? null : { losses },
    seconds: sorted[sorted.length >> 1] ?? null,
  }
}

function lookAtGradients(
  subject: Checked,
  batch: unknown,
  ends: LossWatch,
  add: Add,
): Pick<Trial, 'loss' | 'gradients'> {
  const { model, optimizer } = subject
  const graph = new GraphWatch()
  const observer: OperatorObserver = {
    ran(operator, inputs, attrs, results) {
      graph.ran(operator, inputs, attrs, results)
      ends.ran(operator, inputs, attrs)
    },
  }
  const mean = observeOperators(observer, () =>
    observeModules(
      (module) => graph.modules.add(module),
      () => subject.measured(op, batch).mean(),
    ),
  )
  checkGraph(op, mean)
  mean.backward()
  const loss = {
    first: mean.item() as number,
    chance: ends.chance?.loss ?? null,
    classes: ends.chance?.classes ?? null,
  }
  judgeLoss(loss, add)
  const learning = model.namedParameters().filter(([, parameter]) => parameter.requiresGrad)
  const missing = learning.filter(([, parameter]) => parameter.peekGrad() === null)
  const zero: string[] = []
  const nonFinite: string[] = []
  for (const [path, parameter] of learning) {
    const gradient = parameter.peekGrad()
    if (gradient === null) continue
    const sum = noGrad(() => scope(() => gradient.to('float32').abs().sum().item())) as number
    if (sum === 0) zero.push(path)
    if (!Number.isFinite(sum)) nonFinite.push(path)
  }
  const cut = graph.cuts(model, mean, missing.slice(0, 64))
  const gradients = { learning: learning.length, reached: learning.length - missing.length, cut, zero, nonFinite }
  judgeGradients(gradients, missing.length, add)
  judgeOptimizer(model, new Set(optimizer.parameters()), add)
  return { loss, gradients }
}

function judgeLoss({ first, chance }: { readonly first: number; readonly chance: number | null }, add: Add): void {
  if (!Number.isFinite(first))
    add('fault', 'loss', `the loss of the first batch is ${first}; look for such numbers in the data`)
  else if (chance !== null && first > tooLarge * chance)
    add(
      'warning',
      'loss',
      `the first loss is ${(first / chance).toFixed(1)} times what chance gives; outputs may begin too large, or labels may not be the outputs' classes`,
    )
}

const listed = (names: readonly string[]) => `${names.slice(0, 4).join(', ')}${names.length > 4 ? ', ...' : ''}`

function judgeGradients(found: NonNullable<CheckResults['gradients']>, missing: number, add: Add): void {
  // One cut often cuts off many parameters.
  const byCause = new Map<string, string[]>()
  for (const { parameter, text } of found.cut) {
    const cause = text.slice(parameter.length + 1)
    byCause.set(cause, [...(byCause.get(cause) ?? []), parameter])
  }
  for (const [cause, names] of byCause)
    add(
      'fault',
      'gradients',
      `${names.length === 1 ? names[0] : `each of ${names.length} parameters (${listed(names)})`} gets no gradient: it ${cause}; mend that, or freeze it`,
    )
  if (missing > found.cut.length)
    add('fault', 'gradients', `${missing - found.cut.length} more parameters get no gradient`)
  if (found.nonFinite.length > 0)
    add(
      'fault',
      'gradients',
      `the gradient is not finite at ${found.nonFinite.length} parameters: ${listed(found.nonFinite)}`,
    )
  if (found.zero.length > 0)
    add(
      'warning',
      'gradients',
      `the gradient is 0 everywhere at ${found.zero.length} parameters: ${listed(found.zero)}; units may be dead, or a factor is 0 at first, as LoRA's is`,
    )
}

function judgeOptimizer(model: Module, stepped: ReadonlySet<Parameter>, add: Add): void {
  const all = model.namedParameters()
  const left = all.filter(([, parameter]) => parameter.requiresGrad && !stepped.has(parameter)).map(([path]) => path)
  if (left.length > 0)
    add(
      'fault',
      'gradients',
      `${left.length} parameters that learn are not in the optimizer: ${listed(left)}; add or freeze them`,
    )
  const own = new Set<Parameter>(all.map(([, parameter]) => parameter))
  const foreign = [...stepped].filter((parameter) => !own.has(parameter)).length
  if (foreign > 0) add('warning', 'gradients', `${foreign} of the optimizer's parameters are not the model's`)
}

function judgeOverfit(losses: readonly number[], add: Add): void {
  const [first, last] = [losses[0], losses.at(-1)]
  if (first === undefined || last === undefined || losses.length < 2) return
  const steps = losses.length - 1
  if (!Number.isFinite(last))
    add('fault', 'overfit', `the loss of one batch is ${last} after ${steps} steps; take a smaller learning rate`)
  else if (last >= first)
    add(
      'warning',
      'overfit',
      `${steps} steps on one batch did not lower its loss (${first.toPrecision(4)} to ${last.toPrecision(4)}); the learning rate may be too large or 0, or the target may not depend on the input`,
    )
}

interface Sets {
  readonly labels: CheckResults['labels']
  readonly overlap: OverlapRecord | null
}

/** Reads both sets once. */
async function readSets(
  { isShort }: Checked,
  training: Batches<unknown>,
  validation: Batches<unknown> | undefined,
  most: number,
  labels: Trial['labels'],
): Promise<Sets> {
  const count = labels === null ? null : new LabelCount(labels.classes, labels.ignoreIndex)
  // Labels that are computed from a batch are known only for the first one.
  if (labels !== null && labels.place < 0) count?.add(labels.values)
  const read = async (batches: Batches<unknown>, visit: (batch: unknown) => Promise<void>) => {
    let rows = 0
    for await (const batch of look(op, batches, Number.POSITIVE_INFINITY)) {
      if (rows >= most) return { rows, isComplete: false }
      rows += rowsOf(batch) ?? 1
      await visit(batch)
    }
    return { rows, isComplete: true }
  }
  const hashes = new Set<string>()
  const seen = await read(training, async (batch) => {
    const target = labels === null || labels.place < 0 ? null : tensorAt(batch, labels.place)
    if (target !== null) count?.add((await target.detach().contiguous().data()) as Iterable<number>)
    if (validation !== undefined) for (const hash of await rowHashes(batch, isShort)) hashes.add(hash)
  })
  if (validation === undefined) return { labels: count?.record() ?? null, overlap: null }
  let both = 0
  const other = await read(validation, async (batch) => {
    for (const hash of await rowHashes(batch, isShort)) if (hashes.has(hash)) both++
  })
  const overlap = { training: seen.rows, validation: other.rows, both, isComplete: seen.isComplete && other.isComplete }
  return { labels: count?.record() ?? null, overlap }
}

function judgeSets({ labels, overlap }: Sets, add: Add): void {
  if (labels !== null) {
    const { outOfRange, ignored, neverSeen, neverSeenCount, classes, count } = labels
    if (outOfRange > 0) add('fault', 'labels', `${outOfRange} of ${count} labels are not among the ${classes} classes`)
    if (ignored === 1) add('fault', 'labels', 'all labels are ignored, so nothing is learned')
    if (neverSeenCount > 0 && classes <= fewClasses)
      add(
        'warning',
        'labels',
        `${neverSeenCount} of ${classes} classes have no label: ${listed(neverSeen.map(String))}`,
      )
  }
  if (overlap !== null && overlap.both > 0)
    add(
      'fault',
      'rows',
      `${overlap.both} of ${overlap.validation} rows of the validation are in the training too, so it measures what was learned by heart`,
    )
}

/** Predicts the memory of a step, and suggests changes if it does not fit. */
function predictFor(
  subject: Checked,
  batch: unknown,
  given: number | string | undefined,
  add: Add,
): MemoryPrediction | null {
  try {
    const recomputed = (subject.checkpointing ? blockGroups(subject.model) : null) ?? []
    const prediction = predict(op, subject, batch, { parts: 1, recomputed })
    const left = given === undefined ? leftInMachine(subject.model) : parseBytes(op, given)
    if (prediction.peak > left) {
      const choice = new Budget(op, subject, left).thriftFor(batch).choice
      add(
        'fault',
        'memory',
        `a step takes ${formatBytes(prediction.peak)}, but may take ${formatBytes(left)}; fit({ memory: '${formatBytes(left)}' }) would run it with ${choice}`,
      )
    }
    return prediction
  } catch (error) {
    if (!isFiresteelError(error)) throw error
    add(error.message.includes('does not fit') ? 'fault' : 'warning', 'memory', error.message.replace(`[${op}] `, ''))
    return null
  }
}

/**
 * The bytes that the process may still take, plus those that tensors already take. Infinite if the device has its own
 * memory.
 */
function leftInMachine(model: Module): number {
  const { device } = [...model.parameters()][0] as Parameter
  if (device.kind === 'cuda' || !inNode) return Number.POSITIVE_INFINITY
  return nodeModule('node:process').availableMemory() + device.memory().bytes
}
