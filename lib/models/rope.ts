/**
 * Rotary positions from `config.json`: `rope_parameters` of transformers 5, and `rope_theta` and `rope_scaling` of
 * earlier versions.
 */
import { kindOf, shown } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { countFrom } from '../ops/attention/angles.js'
import { checkScaling, type RotaryScaling, rotaryFrequencies } from '../ops/attention/rope-scaling.js'
import { type RotaryTable, tableOf } from '../ops/attention/turn.js'
import { castTo } from '../ops/convert.js'
import { max } from '../ops/reduce/index.js'
import { reshape } from '../ops/shape/index.js'
import type { Columns } from './columns.js'
import type { ConfigJson, Settings } from './config.js'

/** The rotation of queries and keys. */
export interface Rope {
  readonly base: number
  readonly scaling: RotaryScaling | null
  /** The number of features in a head. All of them are rotated. */
  readonly headDim: number
}

/** The other settings on which the rotation depends. */
export interface RopeDefaults {
  readonly base: number
  readonly headDim: number
  readonly maxPositions: number
}

type Take = (name: string, fallback?: number) => number

const names: { readonly [name: string]: string } = {
  betaFast: 'beta_fast',
  betaSlow: 'beta_slow',
  attentionFactor: 'attention_factor',
  mscale: 'mscale',
  mscaleAllDim: 'mscale_all_dim',
}

/** The scaling in these settings. */
function scalingOf(settings: Settings, where: string, json: ConfigJson, defaults: RopeDefaults): RotaryScaling | null {
  const asked = new Set([
    'rope_theta',
    'rope_type',
    'type',
    'partial_rotary_factor',
    'original_max_position_embeddings',
  ])
  const take: Take = (name, fallback) => {
    asked.add(name)
    const value = json[name] ?? fallback
    if (typeof value === 'number' && Number.isFinite(value)) return value
    settings.fault(`${where}.${name} is ${shown(value)}, but must be a number`)
    return 1
  }
  const list = (name: string): readonly number[] => {
    asked.add(name)
    const value = json[name]
    if (Array.isArray(value) && value.every((each) => Number.isFinite(each))) return value
    settings.fault(`${where}.${name} is ${kindOf(value)}, but must be a list of numbers`)
    return []
  }
  const given = (property: string) => {
    const name = names[property] as string
    asked.add(name)
    return (json[name] ?? null) === null ? {} : { [property]: take(name) }
  }
  // If it is outside the table, as in Phi-3, it takes precedence over the one inside.
  const beside = settings.value('original_max_position_embeddings')
  const original = () =>
    typeof beside === 'number' ? beside : take('original_max_position_embeddings', defaults.maxPositions)
  const scaling = (): RotaryScaling | null => {
    const type = (json['rope_type'] ?? json['type'] ?? 'default') as RotaryScaling['type'] | 'default'
    switch (type) {
      case 'default':
        return null
      case 'linear':
        return { type, factor: take('factor') }
      case 'dynamic':
        return { type, factor: take('factor'), originalMaxPositions: defaults.maxPositions }
      case 'llama3':
        return {
          type,
          factor: take('factor'),
          lowFreqFactor: take('low_freq_factor'),
          highFreqFactor: take('high_freq_factor'),
          originalMaxPositions: original(),
        }
      case 'yarn': {
        asked.add('truncate')
        const truncate = json['truncate'] ?? true
        if (typeof truncate !== 'boolean')
          settings.fault(`${where}.truncate is ${shown(truncate)}, but must be true or false`)
        const more = Object.assign({}, ...Object.keys(names).map(given)) as object
        const originalMaxPositions = original()
        return {
          type,
          factor: take('factor', defaults.maxPositions / originalMaxPositions),
          originalMaxPositions,
          truncate: truncate !== false,
          ...more,
        }
      }
      case 'longrope': {
        const originalMaxPositions = original()
        return {
          type,
          shortFactor: list('short_factor'),
          longFactor: list('long_factor'),
          originalMaxPositions,
          // It affects only the factor of queries and keys, which is 1 for all values below 1.
          factor: Math.max(1, take('factor', defaults.maxPositions / originalMaxPositions)),
          ...given('attentionFactor'),
        }
      }
      default:
        settings.fault(
          `${where} is of type ${shown(type)}, but only default, linear, dynamic, llama3, yarn and longrope are supported`,
        )
        return null
    }
  }
  const found = scaling()
  // A plain embedding ignores settings that it does not use, as in transformers.
  if (found !== null)
    for (const name of Object.keys(json))
      if (!asked.has(name) && (json[name] ?? null) !== null)
        settings.fault(`${where}.${name} is ${shown(json[name])}, but the scaling '${found.type}' has no such setting`)
  if (found !== null)
    try {
      checkScaling(where, found, Math.floor(defaults.headDim / 2))
    } catch (error) {
      settings.fault((error as Error).message)
    }
  return found
}

function ropeOf(settings: Settings, where: string, json: ConfigJson, base: number, defaults: RopeDefaults): Rope {
  const theta = json['rope_theta'] ?? base
  if (!(typeof theta === 'number' && theta > 0 && Number.isFinite(theta)))
    settings.fault(`${where}.rope_theta is ${shown(theta)}, but must be a positive number`)
  // transformers ignores this setting in these architectures, whatever a file says, so no result could be right.
  const share = json['partial_rotary_factor'] ?? settings.value('partial_rotary_factor') ?? 1
  if (share !== 1) settings.fault(`${where}.partial_rotary_factor is ${shown(share)}, but only 1 is supported`)
  if (defaults.headDim % 2 !== 0)
    settings.fault(
      `heads have ${defaults.headDim} features, but the number must be even, because they are rotated in pairs`,
    )
  return { base: Number(theta), scaling: scalingOf(settings, where, json, defaults), headDim: defaults.headDim }
}

const isTable = (value: unknown): value is ConfigJson =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The rotary settings of all layers. */
export function readRope(settings: Settings, defaults: RopeDefaults): Rope {
  const base = settings.positive('rope_theta', defaults.base)
  for (const where of ['rope_parameters', 'rope_scaling']) {
    const json = settings.object(where)
    if (json !== null) return ropeOf(settings, where, json, base, defaults)
  }
  return ropeOf(settings, 'config', {}, base, defaults)
}

/**
 * The rotary settings of each kind of layer, in the form of transformers 5: `rope_parameters` with a table for each
 * kind. Null if the file has no such tables.
 */
export function readRopeByKind<K extends string>(
  settings: Settings,
  kinds: readonly K[],
  defaults: (kind: K) => RopeDefaults,
): { readonly [Kind in K]: Rope } | null {
  const all = settings.object('rope_parameters')
  if (all === null || !kinds.some((kind) => isTable(all[kind]))) return null
  const found = kinds.map((kind) => {
    const json = all[kind]
    const where = `rope_parameters.${kind}`
    const own = defaults(kind)
    return [kind, ropeOf(settings, where, isTable(json) ? json : {}, own.base, own)] as const
  })
  return Object.fromEntries(found) as { readonly [Kind in K]: Rope }
}

/**
 * The rotation of a call's queries and keys, by a table that all layers share. x [B, T, width] is the layers' input.
 */
export function turnOf(rope: Rope, { offset, positions, cache }: Columns, x: Tensor): RotaryTable {
  const { base, scaling, headDim } = rope
  const [b, t] = x.sizes as readonly [number, number]
  const dtype = x.dtype === 'float64' ? 'float64' : 'float32'
  const grows = scaling?.type === 'dynamic' || scaling?.type === 'longrope'
  if (cache !== null && positions === null && t === 1 && !grows) {
    const frequencies = () => rotaryFrequencies(headDim, base, scaling, 1)
    const [cosines, sines] = cache.rowOf(rope, offset, (from, count) => {
      const table = tableOf(countFrom(from, count, dtype, x.device), frequencies())
      return [table.cosines, table.sines]
    }) as [Tensor, Tensor]
    return { cosines, sines }
  }
  // Only frequencies that depend on the length of the text wait for the positions.
  const length = positions !== null && grows ? (max(positions).item() as number) + 1 : offset + t
  const places: Tensor =
    positions === null ? countFrom(offset, t, dtype, x.device) : reshape(castTo(positions, dtype), [b, 1, t])
  return tableOf(places, rotaryFrequencies(headDim, base, scaling, length))
}
