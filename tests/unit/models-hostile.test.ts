/**
 * Configurations from strangers. Every setting, with every kind of value, gives a model or an error that names the
 * fault.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { isFiresteelError } from '../../lib/core/errors.js'
import type { Architecture } from '../../lib/models/architecture.js'
import { type ConfigJson, Settings } from '../../lib/models/config.js'
import { gemma3Architecture } from '../../lib/models/gemma.js'
import { gpt2Architecture } from '../../lib/models/gpt2.js'
import { mistralArchitecture, qwen2Architecture } from '../../lib/models/llama.js'
import { skeleton } from '../../lib/models/load.js'
import { t5Architecture } from '../../lib/models/t5.js'

const data = fileURLToPath(new URL('../models/data/models/', import.meta.url))
const config = (name: string) => JSON.parse(readFileSync(`${data}${name}/config.json`, 'utf8')) as ConfigJson
const values: readonly unknown[] = [
  ...[0, -1, 1, 3, 0.5, 1e6, 2 ** 31, 1e15, 1e300, Number.NaN, Number.POSITIVE_INFINITY],
  ...['', 'gelu', '12', true, false, null, [], [0], ['full_attention'], {}, { rope_type: 'yarn' }, { factor: 'x' }],
  { rope_type: 'longrope', short_factor: [1], long_factor: 3, factor: -1 },
  { full_attention: 3, sliding_attention: { rope_type: 'linear', rope_theta: 0 } },
]

function outcome(architecture: Architecture<never, never>, json: ConfigJson): 'made' | 'refused' {
  try {
    skeleton('test', 'config.json', architecture as unknown as Architecture, json, {})
    return 'made'
  } catch (error) {
    if (!isFiresteelError(error)) throw error
    return 'refused'
  }
}

describe('hostile settings', () => {
  const all: readonly (readonly [string, Architecture<never, never>])[] = [
    ['gpt2', gpt2Architecture as never],
    ['mistral', mistralArchitecture as never],
    ['mistral', qwen2Architecture as never],
    ['gemma3', gemma3Architecture as never],
    ['t5-gated', t5Architecture as never],
  ]
  it.each(all)('of %s (%#) are refused, or make a model', (name, architecture) => {
    const json = config(name)
    const found = { made: 0, refused: 0 }
    for (const setting of [
      ...Object.keys(json),
      'rope_scaling',
      'quantization_config',
      'head_dim',
      'sliding_window',
      'x',
    ])
      for (const value of values) found[outcome(architecture, { ...json, [setting]: value })]++
    expect(found.made).toBeGreaterThan(20)
    expect(found.refused).toBeGreaterThan(20)
  })

  it('are no object, or no list of layers', () => {
    for (const value of [null, 3, 'x', []])
      expect(() => new Settings('test', 'config.json', value)).toThrow(/an object of settings/)
    expect(outcome(gpt2Architecture as never, { ...config('gpt2'), n_layer: 4097 })).toBe('refused')
    expect(() => new Settings('test', 'x', { n: 4096 }).layers('n')).not.toThrow()
  })

  it('are more classes than there can be', () => {
    const labels = (n: number) => {
      const settings = new Settings('test', 'x', { n })
      const count = settings.labels('n', 2)
      settings.close()
      return count
    }
    for (const n of [1, 2 ** 20 - 1, 2 ** 20]) expect(labels(n)).toBe(n)
    for (const n of [0, 2 ** 20 + 1, 2 ** 31]) expect(() => labels(n)).toThrow(/from 1 to 1048576/)
  })
})
