// Every constant by which a kernel of native/cpu cuts its work has test cases one below, at and above it, made from the
// constant itself. So the constant is in a header, and a native test that reads this header names it. Constants that
// decide no shape are listed here, with the reason.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')
const cpu = join(root, 'native/cpu')
const tests = join(root, 'native/tests')

const width = 'a width of the instruction set: the tests take simd::lanes'
const ahead = 'how far ahead memory is asked for: no value depends on it'
const derived = 'follows from constants that have cases'
const mathematics = 'a number of the formula, not of its blocks'
const derivation = 'makes a constant that has cases'
const room = 'room for what constants with cases bound: memory is checked by the sanitizers'
const peak = 'of a loop that measures the processor and computes nothing'
const gates = 'how many gates a cell has, and columns of gates: of the formula. recurrent_cells.cpp has every cell'
const scalar = 'unrolls a loop whose rest the registers of the family cover'

// `file: name`, without native/cpu.
const listed: Record<string, string> = {
  'shape/blocks.cpp: blocks_chunk': 'how many blocks a thread takes at a time: a block is converted alone',
  'simd/blocks.h: longest_block': room,
  'simd/blocks.h: vectors_of_32': width,
  'gemm/decoded.cpp: block': 'of the format',
  'gemm/decoded.cpp: bytes': 'of the format',
  'gemm/blocks.h: bytes_ahead': ahead,
  'gemm/blocks.h: decoded_bytes_ahead': ahead,
  'gemm/blocks.h: most_bytes_ahead': ahead,
  'gemm/blocks.h: line_bytes': ahead,
  'interpolate/resample.cpp: lanes': width,
  'loss/ctc.cpp: margin': 'room beside the states for the two neighbours of the last: ctc.cpp has states around it',
  'loss/nll.cpp: reduce_none': 'a code of the interface',
  'loss/nll.cpp: reduce_mean': 'a code of the interface',
  'loss/nll.cpp: reduce_sum': 'a code of the interface',
  'loss/labels.h: reduce_none': 'a code of the interface',
  'loss/labels.h: reduce_mean': 'a code of the interface',
  'loss/labels.h: reduce_sum': 'a code of the interface',
  'linalg/blocks.h: chunk_work': 'how many items a thread takes at a time: each is computed alone',
  'linalg/eigen.cpp: most_steps': 'ends a loop that only NaN and infinity keep going',
  'linalg/matrices.h: ways': width,
  'linalg/qr.cpp: b': derived,
  'optimizer/clip.cpp: double_lanes': width,
  'optimizer/clip.cpp: ways': derived,
  'simd/stream.h: held': width,
  'indexing/indexing.cpp: rows_ahead': ahead,
  'peak.cpp: chains': peak,
  'peak.cpp: unroll': peak,
  'attention/backward.cpp: band_panels': derived,
  'attention/backward.cpp: band_row': derived,
  'attention/backward.cpp: enough_chunks':
    'how many pieces the keys of few heads come in: attention.cpp has cases of one, two and more pieces',
  'attention/forward.cpp: ways': scalar,
  'attention/forward.cpp: unit_queries': derived,
  'attention/micro.cpp: group': scalar,
  'attention/micro.cpp: line': ahead,
  'attention/micro.cpp: rows_ahead': ahead,
  'attention/micro.h: row_vectors': derived,
  'attention/problem.h: part': room,
  'attention/problem.h: most_keys': room,
  'attention/problem.h: group': derived,
  'attention/problem.h: least_work': 'how many units a thread takes at a time: a unit is computed alone',
  'attention/tile.h: part_room': room,
  'conv/blocks.h: wanted_columns': derived,
  'conv/blocks.h: most_partial':
    'a limit of memory that 32 MB of partial sums reach: the slices that it leaves have cases',
  'conv/blocks.h: slab_floats': derived,
  'conv/blocks.h: least_block': derived,
  'conv/product.cpp: lanes': width,
  'conv/product.cpp: vectors': width,
  'conv/product.cpp: steps_ahead': ahead,
  'recurrent/product.cpp: steps_ahead': ahead,
  'recurrent/product.cpp: line_floats': ahead,
  'conv/product.cpp: R': width,
  'conv/shape.cpp: limit': 'no size of memory reaches it: refused calls have cases',
  'conv/sweep.cpp: lanes': width,
  'conv/sweep.cpp: i': scalar,
  'conv/sweep.cpp: s': scalar,
  'conv/sweep.cpp: row': scalar,
  'conv/sweep.cpp: tap': scalar,
  'conv/tile.cpp: rows_ahead': ahead,
  'conv/tile.h: slack': room,
  'conv/tile.h: lanes': width,
  'conv/weight_gradient.cpp: lanes': width,
  'conv/winograd_direct.cpp: taps': mathematics,
  'conv/winograd_direct.cpp: positions': mathematics,
  'conv/winograd_direct.cpp: patch_floats': mathematics,
  'conv/winograd_direct.cpp: most_positions': derived,
  'conv/winograd_direct.cpp: depth_channels': derived,
  'conv/winograd_direct.cpp: most_depth': derived,
  'conv/winograd_panel.h: row_vectors': width,
  'conv/winograd_panel.h: panel_slack': room,
  'conv/winograd_product.cpp: lanes': width,
  'conv/winograd_product.cpp: at_once': scalar,
  'conv/winograd_range.h: energy_slack': room,
  'conv/winograd_range.h: lanes': width,
  'conv/winograd_range.h: missing': mathematics,
  'conv/winograd_range.h: at_once': scalar,
  'conv/winograd_tile.h: winograd_points': mathematics,
  'conv/winograd_weight.cpp: lanes': width,
  'conv/winograd_weight.cpp: most_vectors': width,
  'conv/winograd_weight.cpp: strip_floats': room,
  'conv/winograd_weight.cpp: width': width,
  'gemm/blocks.h: block_of_a': derivation,
  'gemm/blocks.h: block_in_place': derivation,
  'gemm/micro_avx2.cpp: lanes': width,
  'gemm/micro_avx512.cpp: lanes': width,
  'gemm/micro_avx512.cpp: c_ahead': ahead,
  'gemm/micro_avx512.cpp: c_apart': ahead,
  'gemm/micro_avx512.cpp: at_once': ahead,
  'gemm/micro_avx512.cpp: panel_rows': derived,
  'gemm/micro.h: asked_steps': 'unrolls steps of depth: gemm_blocks.cpp has depths with each rest',
  'gemm/tile.cpp: line_bytes': ahead,
  'gemm/tile.cpp: panels_ahead': ahead,
  'gemm/micro_base.cpp: lanes': width,
  'gemm/micro_base.cpp: vectors': width,
  'gemm/micro_neon.cpp: lanes': width,
  'gemm/micro_neon.cpp: vectors': width,
  'gemm/micro_pairs.cpp: lanes': width,
  'gemm/micro_pairs.cpp: c_ahead': ahead,
  'gemm/pack.cpp: lanes': width,
  'reduce/running.cpp: start': 'what a sum or a product starts from',
  'sort/sort.cpp: digits': 'bytes of a rank of 32 bits',
  'sort/sort.cpp: values': 'of a byte',
  'gemm/pack.cpp: quads': width,
  'gemm/pack.cpp: depth_step': 'how pairs lie: gemm_blocks.cpp packs them',
  'gemm/pack.cpp: start': scalar,
  'gemm/pack.cpp: steps': derived,
  'gemm/pack.cpp: lines_at_once': derived,
  'gemm/pack.cpp: step': derived,
  'gemm/pack.cpp: rows_ahead': ahead,
  'gemm/pack.cpp: line_elements': ahead,
  'gemm/pack.cpp: panels_at_once': derived,
  'norm/layer_norm.cpp: together': derived,
  'norm/layer_norm.cpp: width': derived,
  'norm/layer_norm.cpp: each': 'sums of a row: two where its mean counts, one where not. norm.cpp has both',
  'pool/maximum.cpp: ahead': ahead,
  'pool/maximum.cpp: half': width,
  'pool/windows.h: limit': 'no size of memory reaches it: refused calls have cases',
  'random/normal.h: tail_words': mathematics,
  'random/philox.h: philox_multiplier0': mathematics,
  'random/philox.h: philox_multiplier1': mathematics,
  'random/philox.h: philox_weyl0': mathematics,
  'random/philox.h: philox_weyl1': mathematics,
  'random/philox.h: philox_rounds': mathematics,
  'random/philox.h: philox_registers': derivation,
  'recurrent/backward.h: G': gates,
  'recurrent/backward.h: columns': gates,
  'recurrent/forward.h: G': gates,
  'recurrent/forward.h: columns': gates,
  'recurrent/gru.cpp: gates': gates,
  'recurrent/lstm.cpp: gates': gates,
  'recurrent/rnn.cpp: gates': gates,
}

const sources = readdirSync(cpu, { recursive: true, encoding: 'utf8' }).filter((file) => /\.(cpp|h)$/.test(file))
const withoutComments = (text: string) => text.replace(/\/\/.*$/gm, '')

// The integer constants of a source: `constexpr int64_t a = 1, b = f(2, 3);` has a and b.
function constantsOf(text: string): string[] {
  const declarations = withoutComments(text).matchAll(
    /\bconstexpr\s+(?:std::)?(?:u?int(?:8|16|32|64)?_t|int|unsigned|long|size_t|auto)\s+([^;{]*);/g,
  )
  return [...declarations].flatMap(([, list = '']) => {
    if (!/^[\w<>]+\s*=/.test(list)) return [] // a function
    const names: string[] = []
    let depth = 0
    for (const part of list.split(/([(),])/)) {
      if (part === '(') depth++
      else if (part === ')') depth--
      const name = depth === 0 ? /^\s*(\w+)(?:<\w+>)?\s*=[^=]/.exec(part)?.[1] : undefined
      if (name) names.push(name)
    }
    return names
  })
}

// A test and the headers that it reads, directly or through others.
function closureOf(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(/^#include "([^"]+)"/gm)) {
    const path = join(dirname(file), name)
    if (!path.includes('generated')) closureOf(path, seen)
  }
  return seen
}

const nativeTests = readdirSync(tests)
  .filter((file) => file.endsWith('.cpp'))
  .map((file) => join(tests, file))
  .map((file) => ({
    text: withoutComments(readFileSync(file, 'utf8')).replace(/"(?:[^"\\]|\\.)*"/g, '""'),
    headers: closureOf(file),
  }))

const constants = sources.flatMap((file) =>
  [...new Set(constantsOf(readFileSync(join(cpu, file), 'utf8')))].map((name) => ({
    key: `${file}: ${name}`,
    header: file.endsWith('.h'),
    tested: nativeTests.some(
      ({ text, headers }) => headers.has(join(cpu, file)) && new RegExp(`\\b${name}\\b`).test(text),
    ),
  })),
)

describe('block constants of native/cpu', () => {
  it('are found', () => {
    expect(constantsOf('constexpr int64_t a = 1, b = f(2, 3);\nconstexpr int g(int x) { return x; }')).toEqual([
      'a',
      'b',
    ])
    expect(
      constantsOf(
        '  static constexpr int c = 4;  // constexpr int d = 5;\ntemplate <class T>\nconstexpr int64_t e = 1;',
      ),
    ).toEqual(['c', 'e'])
    expect(constants.map(({ key }) => key)).toContain('gemm/blocks.h: packed_limit')
    expect(constants.length).toBeGreaterThan(100)
  })

  it('have cases in a native test, or a reason why not', () => {
    const missing = constants.filter(({ key, tested }) => !tested && !(key in listed)).map(({ key }) => key)
    expect(
      missing,
      'Move each to a header (blocks.h of its family) and make cases of it in a native test: one below, at, one above, and ' +
        `with a rest. If it decides no shape, list it in ${relative(root, import.meta.filename)} with the reason.`,
    ).toEqual([])
  })

  it('are not listed without need', () => {
    const known = new Map(constants.map((constant) => [constant.key, constant]))
    expect(
      Object.keys(listed).filter((key) => !known.has(key) || (known.get(key)?.header && known.get(key)?.tested)),
    ).toEqual([])
  })
})
