/**
 * The layers for an adapter, chosen as in PEFT: by names or expressions, without exceptions, and in some blocks only.
 */
import { kindOf, shown, ValueError } from '../core/errors.js'
import type { OptionNames } from '../core/options.js'
import { type Adaptable, isAdaptable } from '../nn/adapter.js'
import type { Module } from '../nn/module.js'
import { stateless } from '../nn/naming.js'
import { ownModules } from './adapters.js'
import type { Naming } from './names.js'
import { newBudget, Pattern } from './pattern.js'
import { byNames, checkNames, choices, endsWith, listed, type Named } from './select.js'

export interface TargetOptions {
  /**
   * The layers, as in PEFT. A list holds names, each a path or its last parts ('q_proj'). A string is a Python regular
   * expression that must match whole paths (`pattern.ts` lists the features), and a RegExp is tried on paths.
   * 'all-linear' means every Linear but the head of a language model (its `outputHead()`). With a MultiheadAttention
   * its `out_proj` is adapted too, as in PEFT. Layers in `modulesToSave` are left out. It is an error if nothing is
   * selected.
   */
  readonly targetModules: readonly string[] | RegExp | string
  /**
   * Layers that are left out although `targetModules` names them: names as there, or a Python regular expression for
   * whole paths.
   */
  readonly excludeModules?: readonly string[] | string
  /**
   * Numbers of the blocks whose layers are taken. Only if `targetModules` is a list. Its full paths are taken whatever
   * their block.
   */
  readonly layersToTransform?: number | readonly number[]
  /**
   * The name of the list that holds the blocks ('layers', 'h'), or several names. Each is a Python regular expression.
   * Default: the list that the path names first.
   */
  readonly layersPattern?: string | readonly string[]
}

export const targetNames: OptionNames<TargetOptions> = {
  targetModules: true,
  excludeModules: true,
  layersToTransform: true,
  layersPattern: true,
}

/** Whether a layer is linear and nothing else, which is the meaning of 'all-linear', in PEFT too. */
export function isPlainLinear({ adaptation }: Adaptable): boolean {
  return adaptation.by === 'linear' && adaptation.along === undefined
}

/** The layer that gives a language model's scores, or null if the model names none. */
export function headOf(model: Module): unknown {
  const { outputHead } = model as Module & { readonly outputHead?: unknown }
  return typeof outputHead === 'function' ? outputHead.call(model) : null
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** The number of the block in a path, by the first list that `patterns` allow, or null if it is in none. */
function blockOf(path: string, patterns: readonly Pattern[] | null): number | null {
  const parts = path.split('.')
  // Without a pattern PEFT needs a name before the list's.
  for (let i = patterns === null ? 2 : 1; i < parts.length - 1; i++) {
    if (!/^\d+$/.test(parts[i] as string)) continue
    const list = parts.slice(0, i).join('.')
    if (patterns === null || patterns.some((pattern) => pattern.matches(list))) return Number(parts[i])
  }
  return null
}

/** A filter that keeps only the layers of some blocks, or null if all stay. */
function blockFilter(op: string, options: TargetOptions): ((path: string) => boolean) | null {
  const { targetModules, layersToTransform, layersPattern } = options
  const lists = typeof layersPattern === 'string' ? [layersPattern] : (layersPattern ?? [])
  if (!Array.isArray(lists) || !lists.every(isName))
    throw new ValueError(op, `layersPattern is ${shown(layersPattern)}, but must be a name, or a list of names`)
  if (layersToTransform === undefined) {
    if (lists.length === 0) return null
    throw new ValueError(
      op,
      `layersPattern is ${shown(layersPattern)}, but layersToTransform is missing; name the blocks`,
    )
  }
  const wanted: unknown[] = Array.isArray(layersToTransform) ? layersToTransform : [layersToTransform]
  if (wanted.length === 0 || !wanted.every((each) => Number.isSafeInteger(each) && (each as number) >= 0))
    throw new ValueError(
      op,
      `layersToTransform is ${shown(layersToTransform)}, but must be the number of a block, or a list of them`,
    )
  if (!Array.isArray(targetModules))
    throw new ValueError(
      op,
      `layersToTransform goes with a list of names, but targetModules is ${shown(targetModules)}; choose the blocks there`,
    )
  const budget = newBudget()
  const patterns = lists.map((list) => {
    new Pattern(list, op, 'layersPattern')
    return new Pattern(`(.*\\.)?(${list})`, op, 'layersPattern', budget)
  })
  return (path) => {
    const block = blockOf(path, patterns.length === 0 ? null : patterns)
    return targetModules.includes(path) || (block !== null && wanted.includes(block))
  }
}

/** A test of whether a path is left out. */
function exclusion(op: string, excluded: TargetOptions['excludeModules']): (path: string) => boolean {
  if (excluded === undefined) return () => false
  if (isName(excluded)) {
    const pattern = new Pattern(excluded, op, 'excludeModules')
    return (path) => pattern.matches(path)
  }
  checkNames(op, 'excludeModules', excluded)
  return (path) => excluded.some((name) => path === name || path.endsWith(`.${name}`))
}

/**
 * The layers that options choose, without those that learn whole. Throws ValueError if none is chosen, and lists the
 * existing ones.
 */
export function targetLayers(
  op: string,
  model: Module,
  saved: readonly Named[],
  options: TargetOptions,
  naming: Naming,
): Named<Adaptable>[] {
  const { targetModules } = options
  const whole = new Set(saved.flatMap(([, module]) => module.modules()))
  const own = ownModules(model, naming)
  const adaptable = own.filter((named): named is Named<Adaptable> => isAdaptable(named[1]) && !whole.has(named[1]))
  /** The reason why existing modules are not among the layers to choose from. */
  const why = (isNamed: (path: string, module: unknown) => boolean) => {
    const there = own.filter(([path, module]) => isNamed(path, module) && !(isAdaptable(module) && !whole.has(module)))
    const said = there.map(([path, module]) =>
      whole.has(module) ? `'${path}' is in modulesToSave, which learns whole` : `'${path}' is ${kindOf(module)}`,
    )
    if (there.some(([, module]) => !whole.has(module)))
      said.push('LoRA adapts Linear, Embedding, Conv1d to Conv3d and MultiheadAttention')
    return said.length === 0 ? '' : `${listed(said, 10, '; ')}; `
  }
  const inBlocks = blockFilter(op, options)
  const isExcluded = exclusion(op, options.excludeModules)
  let found: readonly Named<Adaptable>[] = []
  let wanted: (path: string, layer: unknown) => boolean = () => false
  if (Array.isArray(targetModules)) {
    checkNames(op, 'targetModules', targetModules)
    if (targetModules.length > 0) found = byNames(op, 'targetModules', targetModules, adaptable, why)
  } else if (targetModules instanceof RegExp) wanted = stateless(targetModules)
  else if (targetModules === 'all-linear') {
    const head = headOf(model)
    wanted = (_, layer) => isAdaptable(layer) && isPlainLinear(layer) && layer !== head
  } else if (isName(targetModules)) {
    const pattern = new Pattern(targetModules, op, 'targetModules')
    wanted = (path) => pattern.matches(path)
  } else
    throw new ValueError(
      op,
      `targetModules is ${shown(targetModules)}, but must be a list of names, a regular expression, or 'all-linear'`,
    )
  if (!Array.isArray(targetModules)) found = adaptable.filter(([path, layer]) => wanted(path, layer))
  const paths = adaptable.map(([path]) => path)
  const wrong = typeof targetModules === 'string' && /^[\w.]+$/.test(targetModules) ? [targetModules] : []
  const isEnd = wrong.some((name) => paths.some((path) => endsWith(path, name)))
  if (found.length === 0)
    throw new ValueError(
      op,
      `no layer matches targetModules ${shown(targetModules)}; ${why(wanted)}layers that can be adapted are ${choices(paths, isEnd ? [] : wrong)}${
        isEnd ? `; a string must match whole paths, so give the list ['${targetModules}']` : ''
      }`,
    )
  const chosen = found.filter(([path]) => !isExcluded(path) && (inBlocks === null || inBlocks(path)))
  if (chosen.length === 0)
    throw new ValueError(
      op,
      `none of the layers ${choices(found.map(([path]) => path))} is left by ${
        inBlocks === null ? 'excludeModules' : 'excludeModules, layersToTransform and layersPattern'
      }; choose others`,
    )
  return [...chosen]
}
