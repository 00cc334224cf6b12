/**
 * Operators stay records: `lib/ops` must not repeat what rows of the table of kernels and the types of a record know.
 * Exceptions are named here, with their reasons. Comments begin with their noun.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const folder = fileURLToPath(new URL('../../lib/ops/', import.meta.url))
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))

interface Found {
  readonly file: string
  readonly kind: Kind
}

type Kind = 'cast to a tensor' | 'allocation' | 'precision of a row' | 'list of dtypes'

const dtypes = new Set(['float32', 'float64', 'bfloat16', 'float16', 'int32', 'uint8', 'bool'])

function kindOf(node: ts.Node): Kind | null {
  if (ts.isAsExpression(node) && /^(Tensor|TensorSpec)\b|^\[.*\bTensor\b/s.test(node.type.getText()))
    return 'cast to a tensor'
  if (ts.isCallExpression(node) && node.expression.getText() === 'empty') return 'allocation'
  if (ts.isPropertyAccessExpression(node) && /^kernels\b.*\.precision$/s.test(node.getText()))
    return 'precision of a row'
  if (
    ts.isArrayLiteralExpression(node) &&
    node.elements.some((each) => ts.isStringLiteral(each) && dtypes.has(each.text))
  )
    return 'list of dtypes'
  return null
}

function findIn(file: string, text: string): Found[] {
  const found: Found[] = []
  const visit = (node: ts.Node) => {
    const kind = kindOf(node)
    if (kind !== null) found.push({ file, kind })
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true))
  return found
}

function counts(found: readonly Found[], kind: Kind): { readonly [file: string]: number } {
  const by: { [file: string]: number } = {}
  for (const each of found) if (each.kind === kind) by[each.file] = (by[each.file] ?? 0) + 1
  return by
}

const all = files.flatMap((file) => findIn(file, readFileSync(`${folder}${file}`, 'utf8')))

describe('in lib/ops', () => {
  it('nothing is cast to a tensor or a spec', () => {
    expect(counts(all, 'cast to a tensor')).toEqual({})
  })

  it('no record repeats the precision of its row', () => {
    expect(counts(all, 'precision of a row')).toEqual({})
  })

  it('memory is allocated where no record of a kernel can say so', () => {
    expect(counts(all, 'allocation')).toEqual({
      // Records become operators here, and the results of all kernels are allocated here.
      'operator.ts': 4,
      // New tensors, not results of operators, and memory that a file is read into.
      'creation.ts': 5,
      'placement.ts': 2,
      'random.ts': 2,
      // Memory for several results, or in another order of dimensions.
      'layout.ts': 2,
      // A copy for reading, one kept beside a parameter, and memory on another device.
      'read.ts': 1,
      'convert.ts': 3,
      // Results of one kernel in parts, and one beside memory that is written: neither is a record.
      'linear-each.ts': 1,
      'attention/turn.ts': 1,
      // Filled, then written in part.
      'shape/cut.ts': 1,
      'shape/diagonals.ts': 1,
      'shape/sliding.ts': 1,
      'indexing/scatter.ts': 1,
      // A gradient that belongs to no single input: both biases', and the scores' before they are summed to the mask's
      // shape.
      'recurrent/lstm.ts': 1,
      'attention/scaled.ts': 1,
      // Gradients in the dtypes of inputs that autocast converted.
      'loss/linear-cross-entropy.ts': 1,
      // The gradient of relu within a convolution that ends in it.
      'elementwise/relu-gradient.ts': 1,
    })
  })

  it('dtypes are listed where no row of one kernel holds', () => {
    expect(counts(all, 'list of dtypes')).toEqual({
      // The reader of rows.
      'operator.ts': 1,
      // The wider of two dtypes.
      'elementwise/numbers.ts': 1,
      // The dtype to which a device without float64 rounds.
      'creation.ts': 1,
      // Allowed in functions of several operators.
      'common.ts': 2,
      // The dtype of lengths, which are an option and are refused by that name.
      'attention/weights.ts': 1,
      // The dtypes of the kernel's row, and float64, which rows leave out. Others are refused by x's name before.
      'indexing/scatter.ts': 1,
      // Labels and lengths, which losses of several operators rearrange before they reach a kernel.
      'loss/classes.ts': 1,
      // Tensors that losses read as numbers. These include targets of integers, which no row accepts.
      'loss/reduction.ts': 1,
    })
  })

  it('each kind is found where it stands', () => {
    const text = `
      const a = x as Tensor, b = [y] as [Tensor], c = s as TensorSpec
      const d = empty(device, shape, dtype, op)
      const e = kernels.add.precision, f = kernels['add'].precision
      const g = ['float32', 'int32']
    `
    const kinds = findIn('sample.ts', text).map(({ kind }) => kind)
    expect(kinds).toEqual([
      'cast to a tensor',
      'cast to a tensor',
      'cast to a tensor',
      'allocation',
      'precision of a row',
      'precision of a row',
      'list of dtypes',
    ])
  })
})

/** Folders whose comments begin with the noun that they are about. */
const nounsFirst = [
  'core',
  'ops',
  'distributions',
  'backend',
  'autograd',
  'io',
  'data',
  'train',
  'finetune',
  'cli',
  'optim',
  'nn',
  'models',
  'text',
  'images',
  'pretrain',
  'tasks',
]

describe('comments begin with their noun', () => {
  const lib = fileURLToPath(new URL('../../lib/', import.meta.url))
  it.each(nounsFirst)('in lib/%s', (name) => {
    const sources = readdirSync(`${lib}${name}`, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.ts'),
    )
    const found = sources.flatMap((file) =>
      readFileSync(`${lib}${name}/${file}`, 'utf8')
        .split('\n')
        .filter((line) => /^\s*(\/\*\*|\/\/) (What|Of) /.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    )
    expect(sources.length).toBeGreaterThan(0)
    expect(found).toEqual([])
  })
})
