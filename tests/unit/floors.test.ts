/** The arrows between the floors of the library. A fault names the file, the import and the rule. */
import { describe, expect, it } from 'vitest'
import { checkFile, checkFloors, checkHouse, type Floor } from '../../scripts/floors.js'

describe('the floors', () => {
  it('hold every import of lib and every include of native', () => {
    expect(checkHouse()).toEqual([])
  })

  it.each([
    [
      'lib/core/tensor.ts',
      "import { add } from '../ops/index.js'",
      "1: imports '../ops/index.js', but lib/core may import only itself",
    ],
    [
      'lib/nn/a/b.ts',
      "\n\nimport type { Device } from '../../backend/devices.js'",
      "3: imports '../../backend/devices.js', but lib/nn may",
    ],
    [
      'lib/ops/a.ts',
      "export * from '../nn/linear.js'",
      "1: imports '../nn/linear.js', but lib/ops may import lib/core, lib/autograd",
    ],
    ['lib/optim/a.ts', "const m = await import('../io/files.js')", "1: imports '../io/files.js', but lib/optim may"],
    ['lib/io/a.ts', "import { tensor } from 'firesteel'", "1: imports 'firesteel', but lib/io may import lib/core"],
    ['lib/nn/a.ts', "import { tensor } from '../index.js'", "1: imports '../index.js', but lib/nn may"],
    ['lib/index.ts', "import './cli/main.js'", "1: imports './cli/main.js', but lib/index.ts may import lib"],
    [
      'lib/data/a.ts',
      "import scripts from '../../scripts/generate.js'",
      "1: imports '../../scripts/generate.js', but lib/data may",
    ],
    [
      'native/cuda/a.cpp',
      '// x\n#include "../addon/decoder.h"',
      "2: imports '../addon/decoder.h', but native/cuda may",
    ],
    ['native/core/queue.h', '#include <node_api.h>', "1: imports 'node_api.h', but native/core may"],
    ['native/cuda/a.h', '  #  include <napi.h>', "1: imports 'napi.h', but native/cuda may"],
    [
      'native/cpu/a/b.cpp',
      '#include "../../core/queue.h"',
      "1: imports '../../core/queue.h', but native/cpu may import native/core/kernel.h",
    ],
    ['native/cuda/a.cu', '#include "../core/queue.h"', "1: imports '../core/queue.h', but native/cuda may"],
    [
      'native/core/kernel.h',
      '#include "queue.h"',
      "1: imports 'queue.h', but native/core/kernel.h may import native/generated/dtypes.h",
    ],
  ])('refuse an import that goes up or aside: %s %j', (file, text, fault) => {
    expect(checkFile(file, text)).toEqual([expect.stringContaining(`${file}:${fault}`)])
    expect(checkFile(file, text)[0]).toMatch(/\(scripts\/floors\.ts\)$/)
  })

  it.each([
    ['lib/nn/a.ts', "import { add } from '../ops/index.js'\nimport { x } from './b.js'\nimport fs from 'node:fs'"],
    ['lib/cli/a.ts', "import { tensor } from '../index.js'"],
    ['native/addon/a.cpp', '#include <napi.h>\n#include "../core/queue.h"\n#include "../core/kernel.h"'],
    ['native/cpu/a/b.h', '#include "../simd/vector.h"\n#include "../../core/kernel.h"\n#include <string.h>'],
  ])('allow what goes down: %s %j', (file, text) => {
    expect(checkFile(file, text)).toEqual([])
  })

  it('refuse a folder that they do not list, and an arrow of the list that leads up', () => {
    expect(checkFile('lib/board/page.ts', '')).toEqual([
      'lib/board/page.ts: it stands on no floor; scripts/floors.ts lists them all',
    ])
    const list: Floor[] = [['lib/a', 'lib/b'], ['lib/b']]
    expect(checkFloors(list)).toEqual(['lib/a may import lib/b, which stands on no floor below it'])
    expect(checkFloors([['lib/b'], ['lib/a', 'lib/b']])).toEqual([])
  })
})
