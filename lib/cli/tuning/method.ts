/** The method of a config, applied to a model: the parameters that learn, their rates, and their times. */
import { kindOf } from '../../core/errors.js'
import type { Callback } from '../../train/callbacks.js'
import { type Loaded, placed } from '../config/config.js'
import type { Method } from '../config/method.js'
import { UsageError } from '../exit.js'
import type { FormatName } from '../tasks/formats.js'
import { floatsOf, headOf, type TaskModel } from '../tasks/tasks.js'
import type { Learning } from './plan.js'

/** A table of the config's method. */
type Table<N extends string> = Extract<Exclude<Method, string>, { readonly [name in N]: unknown }>

export interface Applied {
  /** The parameters for the optimizer, in groups with their own rates if the method has them. */
  parameters(lr: number): Learning
  readonly callbacks: readonly Callback[]
  /** The learning rate if the config has none. */
  readonly lr: number
}

const rates = { whole: 2e-5, part: 2e-4, few: 3e-3 } as const

/** A table without the entries that the config leaves out. */
function given<T extends object>(table: T): { [name in keyof T]: Exclude<T[name], undefined> } {
  const entries = Object.entries(table).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [name in keyof T]: Exclude<T[name], undefined> }
}

/**
 * Applies the method. Throws UsageError, or the library's error with the method's place, if it does not fit the model.
 */
export async function applyMethod(loaded: Loaded, model: TaskModel, format: FormatName): Promise<Applied> {
  const { method = 'full' } = loaded.config
  const table: Exclude<Method, string> =
    method === 'full' ? { full: {} } : method === 'bitfit' ? { bitfit: {} } : method === 'head' ? { last: 0 } : method
  const [name] = Object.keys(table) as [string]
  const path = ['method', ...(typeof method === 'object' ? [name] : [])]
  const made = await placed(loaded, path, () => applied(model, table, format))
  const { unused } = headOf(model, format)
  if (unused.length > 0) (await import('../../finetune/index.js')).freeze(model, unused)
  if ('lora' in table) {
    const warning = (await import('./ranks.js')).rankWarning(model)
    if (warning !== null) console.error(`${loaded.source.place([...path, 'rank'])}: warning: method.lora.${warning}`)
  }
  return made
}

async function applied(model: TaskModel, table: Exclude<Method, string>, format: FormatName): Promise<Applied> {
  const tune = await import('../../finetune/index.js')
  const { head, unused } = headOf(model, format)
  // An adapter of an unused layer would not learn.
  const left = unused.length === 0 ? {} : { excludeModules: unused }
  const plain = (lr: number, callbacks: readonly Callback[] = []): Applied => ({
    parameters: () => floatsOf(model),
    callbacks,
    lr,
  })
  const byLayer =
    ({ decay, headLr }: Partial<Pick<Table<'gradual'>['gradual'], 'decay' | 'headLr'>>) =>
    (lr: number) =>
      tune.layerwiseGroups(model, {
        lr,
        ...(decay !== undefined && { decay }),
        ...(headLr !== undefined && { head: { lr: headLr, modules: checkHead(model, head, 'headLr') } }),
      })
  if ('lora' in table) {
    const { targetModules = 'all-linear', modulesToSave = head, quantize, ...rest } = table.lora
    if (quantize !== undefined) (await import('./quantized.js')).quantizeBase(model, quantize, modulesToSave)
    tune.applyLora(model, { ...left, ...given(rest), targetModules, modulesToSave })
    return plain(rates.part)
  }
  if ('ia3' in table) {
    const { targetModules = 'all-linear', modulesToSave = head, ...rest } = table.ia3
    tune.applyIa3(model, { ...left, ...given(rest), targetModules, modulesToSave })
    return plain(rates.few)
  }
  if ('prompt' in table) {
    const { kind = 'prompt', tokens } = table.prompt
    tune.applyPrompt(model, { kind, tokens, modulesToSave: head })
    return plain(rates.few)
  }
  if ('bitfit' in table) {
    tune.bitfit(model, { ...given(table.bitfit), ...(head.length > 0 && { head }) })
    return plain(rates.part)
  }
  if ('last' in table) {
    tune.freeze(model)
    const learning = table.last === 0 ? checkHead(model, head, 'head') : [...head, { last: table.last }]
    tune.unfreeze(model, learning)
    if (table.freezeNorms) freezeNorms(tune.freezeNorms, model)
    return plain(rates.part)
  }
  if ('full' in table) {
    if (table.full.freezeNorms) freezeNorms(tune.freezeNorms, model)
    return plain(rates.whole)
  }
  if ('layerwise' in table) {
    if (table.layerwise.freezeNorms) freezeNorms(tune.freezeNorms, model)
    return { parameters: byLayer(table.layerwise), callbacks: [], lr: rates.whole }
  }
  if ('gradual' in table) {
    const { decay, headLr, ...when } = table.gradual
    const callbacks = [tune.unfreezeGradually(model, given(when))]
    return decay === undefined && headLr === undefined
      ? plain(rates.whole, callbacks)
      : { parameters: byLayer({ decay, headLr }), callbacks, lr: rates.whole }
  }
  const { epochs = 1, headLr } = table.probe
  const groups = [checkHead(model, head, 'probe'), '*']
  const callbacks = [tune.unfreezeGradually(model, { groups, everyEpochs: epochs })]
  return headLr === undefined
    ? plain(rates.whole, callbacks)
    : { parameters: byLayer({ decay: 1, headLr }), callbacks, lr: rates.whole }
}

function checkHead(model: TaskModel, head: readonly string[], name: string): readonly string[] {
  if (head.length > 0) return head
  throw new UsageError(
    `${name} is for a task's own head, which ${kindOf(model)} does not have; use another method, such as { last: 2 } or { lora: {} }`,
  )
}

function freezeNorms(freeze: (model: TaskModel) => number, model: TaskModel): void {
  if (freeze(model) === 0) throw new UsageError(`freezeNorms is true, but ${kindOf(model)} has no norms; leave it out`)
}

/** `lora (rank 4, alpha 8)`. */
export function methodText(method: Method = 'full'): string {
  if (typeof method === 'string') return method
  const shown = (value: unknown) => (Array.isArray(value) ? value.flat().join(' ') : String(value))
  const words = (table: object) => Object.entries(table).map(([key, value]) => `${key} ${shown(value)}`)
  return Object.entries(method)
    .map(([name, value]) => {
      if (typeof value !== 'object') return `${name} ${value}`
      const options = words(value)
      return options.length === 0 ? name : `${name} (${options.join(', ')})`
    })
    .join(', ')
}
