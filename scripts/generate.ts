/**
 * Writes from the table of kernels, first, native/generated/kernels.h: the C++ declarations of every kernel, the table of
 * function pointers that each instruction set fills, and for the decoder of calls the arguments of each kernel and a
 * thunk that hands them over. A C++ kernel with another signature does not link. Second, lib/backend/generated/calls.ts,
 * which takes the arguments of each kernel out of a call. Usage: npm run generate [-- --check]
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type KernelSpec, kernelNames, kernels, type ParsedArgument, parseArguments } from '../lib/backend/kernels.js'
import { dtypeCodes } from '../lib/core/dtype.js'

const snake = (name: string) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)

function parameter({ name, role, arity }: ParsedArgument): string {
  const id = snake(name)
  if (role === 'number') return `double ${id}`
  if (role === 'integer') return `int64_t ${id}`
  if (role === 'flag') return `bool ${id}`
  if (role === 'philox') return `const Philox& ${id}`
  return arity === 'list' ? `ViewList ${id}` : arity === 'optional' ? `const View* ${id}` : `const View& ${id}`
}

/** The expression that takes an argument out of a decoded call. */
function fetch(arg: ParsedArgument, place: { view: number; list: number; number: number; philox: number }): string {
  switch (arg.role) {
    case 'number':
      return `call.numbers[${place.number++}]`
    case 'integer':
      return `(int64_t)call.numbers[${place.number++}]`
    case 'flag':
      return `call.numbers[${place.number++}] != 0`
    case 'philox':
      return `call.philox[${place.philox++}]`
    default: {
      if (arg.arity === 'list') return `call.lists[${place.list++}]`
      return arg.arity === 'optional' ? `call.optional(${place.view++})` : `call.views[${place.view++}]`
    }
  }
}

function dtypeMask(spec: KernelSpec, arg: ParsedArgument): number {
  const codes: { readonly [name: string]: number } = dtypeCodes
  if (arg.dtype === 'any') return 0x3f
  const named = arg.dtype === 'float' ? ['float32', 'bfloat16'] : arg.dtype ? [arg.dtype] : []
  const allowed = arg.dtype === 'T' ? (spec.T ?? []) : named
  return allowed.reduce((mask, dtype) => mask | (1 << (codes[dtype] ?? 31)), 0)
}

function generate(): string {
  const lines = [
    '// Written by scripts/generate.ts from lib/backend/kernels.ts. Do not edit.',
    '#pragma once',
    '#include "../core/kernel.h"',
    '#ifdef FIRESTEEL_DECODER',
    '#include "../core/call.h"',
    '#endif',
    '',
    'namespace firesteel {',
    '',
    'struct KernelTable {',
  ]
  const signature = (name: (typeof kernelNames)[number]) =>
    ['Context& context', ...parseArguments(kernels[name]).map(parameter)].join(', ')
  for (const name of kernelNames) lines.push(`  void (*${name})(${signature(name)});`)
  lines.push('};', '', '#ifdef FIRESTEEL_ISA', 'namespace FIRESTEEL_ISA {')
  for (const name of kernelNames) lines.push(`void ${name}(${signature(name)});`)
  lines.push('}  // namespace FIRESTEEL_ISA', '#endif', '')
  lines.push('#ifdef FIRESTEEL_DECODER')
  lines.push(`#define FIRESTEEL_KERNEL_COUNT ${kernelNames.length}`)
  lines.push('// name, heavy, arguments {role, arity, dtype mask, 1 if of type T}, thunk; columns as in core/call.h')
  lines.push('static const KernelInfo kernel_infos[FIRESTEEL_KERNEL_COUNT] = {')
  for (const name of kernelNames) {
    const spec: KernelSpec = kernels[name]
    const args = parseArguments(spec)
    const place = { view: 0, list: 0, number: 0, philox: 0 }
    const values = args.map((arg) => fetch(arg, place))
    const rows = args.map(
      (arg) =>
        `{"${arg.name}", Role::${arg.role === 'number' ? 'number' : arg.role}_, Arity::${arg.arity}, ${dtypeMask(spec, arg)}, ${arg.dtype === 'T' ? 1 : 0}}`,
    )
    lines.push(
      `    {"${name}", ${spec.work === 'heavy'}, ${args.length}, {${rows.join(', ')}},`,
      `     [](const KernelTable& table, Context& context, const Call& call) { table.${name}(${['context', ...values].join(', ')}); }},`,
    )
  }
  lines.push('};', '#endif  // FIRESTEEL_DECODER', '', '#ifdef FIRESTEEL_TABLE', 'namespace FIRESTEEL_ISA {')
  lines.push('extern const KernelTable table;', 'const KernelTable table = {')
  for (const name of kernelNames) lines.push(`    ${name},`)
  lines.push('};', '}  // namespace FIRESTEEL_ISA', '#endif  // FIRESTEEL_TABLE', '', '}  // namespace firesteel', '')
  return lines.join('\n')
}

/** The statement that hands over one argument; `CallWriter` of lib/backend/call.ts has the methods. */
function handOver({ name, role, arity }: ParsedArgument): string {
  if (role === 'number' || role === 'integer' || role === 'flag') return `to.number('${name}', ${name})`
  if (role === 'philox') return `to.philox(${name})`
  const layout = role === 'update' ? 'strided' : role === 'in' || role === 'inout' ? 'dense' : role
  if (arity === 'list') return `to.list(${name}, ${layout !== 'strided' && layout !== 'place'})`
  return arity === 'one'
    ? `to.${layout}(${name})`
    : `if (${name} === null) to.absent()\n      else to.${layout}(${name})`
}

function generateCalls(): string {
  const lines = [
    '/** Written by scripts/generate.ts from lib/backend/kernels.ts. Do not edit. Long, for it has an entry for every kernel. */',
    "import type { Calls } from '../call.js'",
    '',
    '/** Code of its own for each kernel, so that the engine knows where in a call each argument lies. */',
    'export const calls: Calls = {',
  ]
  for (const name of kernelNames) {
    const args = parseArguments(kernels[name])
    const tensors = args.filter(({ dtype }) => dtype !== null)
    const first = tensors.find(({ arity }) => arity === 'one') ?? tensors.find(({ arity }) => arity === 'list')
    if (first === undefined) throw new Error(`${name} has no tensor that is always there`)
    lines.push(
      `  ${name}: {`,
      `    first: ({ ${first.name} }) => ${first.name}${first.arity === 'list' ? '[0]' : ''},`,
      `    write(to, { ${args.map((arg) => arg.name).join(', ')} }) {`,
      ...args.map((arg) => `      ${handOver(arg)}`),
      '    },',
      '  },',
    )
  }
  lines.push('}', '')
  return lines.join('\n')
}

for (const [file, text] of [
  ['native/generated/kernels.h', generate()],
  ['lib/backend/generated/calls.ts', generateCalls()],
] as const) {
  const path = fileURLToPath(new URL(`../${file}`, import.meta.url))
  if (!process.argv.includes('--check')) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  } else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error(`${file} is not what the table of kernels says: run \`npm run generate\``)
    process.exitCode = 1
  }
}
