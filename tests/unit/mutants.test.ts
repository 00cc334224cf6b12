/** Faults to be put into kernels: their places and number. */
import { expect, test } from 'vitest'
import { mutantsOf, spread } from '../../scripts/mutants-cuda.js'

const kernel = `// a[i] in a comment
SHARED(float, tile[32]);
float sums[4];
for (int i = 0; i < size; i++) tile[i] = x[2 * i];
__syncthreads();
commit_copies();
const int y = x << 2;
out[i] = tile[i] + 1.0f;
Packed held[count][2];
return out[i];`

test('a kernel is broken at barriers, indices and bounds, one place at a time', () => {
  const mutants = mutantsOf(kernel)
  expect(mutants.map(({ kind, line }) => `${kind} ${line}`)).toEqual([
    'index 4',
    'bound 4',
    'barrier 5',
    'barrier 6',
    'index 8',
    'index 10',
  ])
  const lines = kernel.split('\n')
  for (const { line, text } of mutants) {
    const changed = text.split('\n')
    expect(changed).toHaveLength(lines.length)
    expect(changed.flatMap((each, i) => (each === lines[i] ? [] : [i + 1]))).toEqual([line])
  }
  expect(mutants[0]?.text).toContain('tile[i + 1] = x[2 * i]')
  expect(mutants[1]?.text).toContain('i <= size')
  expect(mutants[2]?.text).not.toContain('__syncthreads')
})

test('what is left is spread over all', () => {
  expect(spread([0, 1, 2, 3, 4, 5], 3)).toEqual([0, 2, 4])
  expect(spread([0, 1, 2], 3)).toEqual([0, 1, 2])
  expect(spread([0, 1], 3)).toEqual([0, 1])
})
