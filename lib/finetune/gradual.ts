/** Gradual unfreezing: the model learns from its output to its input, one part after another. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import type { Resumable } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import type { Module, Parameter } from '../nn/module.js'
import type { Callback } from '../train/callbacks.js'
import { adapterNames } from './adapters.js'
import { depthOf } from './depth.js'
import { checkLearnable, freeze, type Selection, select, setLearning } from './freeze.js'
import { checkModel, quoted } from './select.js'

export interface GradualOptions {
  /** Epochs from one group to the next. Default 1, unless `everySteps` is given. */
  readonly everyEpochs?: number
  /** Steps of the optimizer from one group to the next, instead of epochs. */
  readonly everySteps?: number
  /**
   * The groups, from the first to learn to the last. Default: everything after the model's last block (see
   * `nn.WithBlocks`), then its blocks from the output to the input, the first block together with everything before it.
   */
  readonly groups?: readonly Selection[]
}

/** The state of gradual unfreezing. */
export interface GradualState {
  /** The number of learning groups. */
  readonly open: number
  /** The number of epochs or steps since training began. */
  readonly passed: number
  /** The options and the number of groups, which must be the same again. Missing in states of earlier versions. */
  readonly options?: { readonly [name: string]: number | null }
}

/** The groups from the head to the first block and the embeddings. */
function groupsByDepth(model: Module): Parameter[][] {
  const { blocks, places } = depthOf(model)
  const groups = Array.from({ length: blocks.length + 1 }, (): Parameter[] => [])
  for (const [parameter, place] of places) groups[Math.max(0, place)]?.push(parameter)
  return groups.filter((group) => group.length > 0).reverse()
}

function checkEvery(op: string, option: string, value: number): number {
  if (!Number.isInteger(value) || value < 1)
    throw new ValueError(op, `${option} is ${shown(value)}, but must be a positive integer`)
  return value
}

/**
 * Gradual unfreezing (Howard and Ruder, 2018): at first only the last group learns, and one more after every
 * `everyEpochs` epochs or `everySteps` steps. It is a callback of the Trainer, and part of its checkpoints. The
 * optimizer has all parameters from the beginning, in groups with their own rates if wanted (`layerwiseGroups`). It
 * skips those that are still frozen: they get no gradient, no state and no decay. A fit that ends early leaves the
 * other groups frozen. Throws ValueError for a model with adapters if no groups are given.
 */
export function unfreezeGradually(model: Module, options: GradualOptions = {}): Callback & Resumable<GradualState> {
  const op = 'unfreezeGradually'
  checkModel(op, model)
  const names = { everyEpochs: true, everySteps: true, groups: true } as const
  const { everyEpochs, everySteps, groups } = checkOptions(op, options, names)
  if (everyEpochs !== undefined && everySteps !== undefined)
    throw new ValueError(op, 'has both everyEpochs and everySteps; give one of them')
  const every =
    everySteps === undefined
      ? checkEvery(op, 'everyEpochs', everyEpochs ?? 1)
      : checkEvery(op, 'everySteps', everySteps)
  if (groups !== undefined && !Array.isArray(groups))
    throw new ValueError(op, `groups are ${kindOf(groups)}, but must be a list of selections`)
  const count = groups?.length ?? groupsByDepth(model).length
  if (count === 0) throw new ValueError(op, 'the model has no groups of parameters')
  // This is checked now, so that a fault is an error before the training.
  const adapters = adapterNames(model)
  if (groups === undefined && adapters.length > 0)
    throw new ValueError(
      op,
      `the model has the adapters ${quoted(adapters)}, beside which its weights would learn too; choose what should learn with groups`,
    )
  for (const group of groups?.map((each) => select(op, model, each)) ?? groupsByDepth(model))
    checkLearnable(op, model, new Set(group))
  let open = 0
  let passed = 0
  const openTo = (wanted: number) => {
    if (wanted === open) return
    // Groups are found when they are opened, because adapters may have been added meanwhile.
    const next: Iterable<Parameter>[] =
      groups?.slice(open, wanted).map((group) => select(op, model, group)) ?? groupsByDepth(model).slice(open, wanted)
    for (const group of next) setLearning(group, true)
    open = wanted
  }
  const own = {
    everyEpochs: everySteps === undefined ? every : null,
    everySteps: everySteps === undefined ? null : every,
    groups: count,
  }
  const begin = (state: GradualState) => {
    freeze(model)
    open = 0
    openTo(state.open)
    passed = state.passed
  }
  const pass = () => {
    passed++
    openTo(Math.min(count, 1 + Math.floor(passed / every)))
  }
  return {
    onStart: () => begin({ open: 1, passed: 0 }),
    ...(everySteps === undefined ? { onEpochEnd: pass } : { onStep: pass }),
    stateDict: () => ({ open, passed, options: own }),
    loadStateDict(state) {
      const isCount = (value: unknown, least: number) => Number.isSafeInteger(value) && (value as number) >= least
      if (!isCount(state?.open, 1) || state.open > count || !isCount(state.passed, 0))
        throw new ValueError(
          `${op}.loadStateDict`,
          `the state is ${shown(state)}, but must be { open, passed }, with 1 to ${count} groups open`,
        )
      for (const [name, now] of Object.entries(own)) {
        const before = state.options === undefined ? now : state.options[name]
        if (before !== now)
          throw new ValueError(
            `${op}.loadStateDict`,
            `${name} is ${shown(now)}, but was ${shown(before)} in the state; continue with the same options`,
          )
      }
      begin(state)
    },
  }
}
