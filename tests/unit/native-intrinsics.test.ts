/**
 * On machines without AVX-512 its kernels are tested by SIMDe (scripts/emulate-isa.sh), which must know every intrinsic
 * that they use.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const root = new URL('../../', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')

it('every intrinsic of AVX-512 that kernels use is emulated', () => {
  const sources = readdirSync(new URL('native/cpu', root), { recursive: true, encoding: 'utf8' })
  const used = sources
    .filter((path) => /\.(h|cpp)$/.test(path))
    .flatMap((path) => read(`native/cpu/${path}`).match(/\b_mm512_\w+/g) ?? [])
  const emulated = new Set(read('native/tests/avx512_by_simde.h').match(/(?<=^#define )_mm512_\w+/gm))
  // The compiler's own headers use it, and comments name it.
  emulated.add('_mm512_undefined_ps')
  expect(used.length).toBeGreaterThan(50)
  expect([...new Set(used)].filter((name) => !emulated.has(name))).toEqual([])
})
