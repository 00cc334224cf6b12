/**
 * Writes what follows from the table of kernels. Usage: npm run generate [-- --check]
 *
 *   native/generated/kernels.h        the C++ declarations of every kernel, and the type of a table of pointers to them; a
 *                                     kernel with another signature does not link
 *   native/generated/kernel_table.h   such a table, for each instruction set
 *   native/generated/kernel_infos.h   for the decoder of calls: the arguments of each kernel, a thunk that hands them over
 *   lib/backend/generated/calls.ts    what takes the arguments of each kernel out of a call
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type KernelSpec,
  kernelNames,
  kernels,
  type ParsedArgument,
  parseArguments,
} from '../lib/backend/table/index.js'
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

const header = ['// Written by scripts/generate.ts from lib/backend/table. Do not edit.', '#pragma once']

function generateDeclarations(): string {
  const signature = (name: (typeof kernelNames)[number]) =>
    ['Context& context', ...parseArguments(kernels[name]).map(parameter)].join(', ')
  return [
    ...header,
    '#include "../core/kernel.h"',
    '',
    'namespace firesteel {',
    '',
    'struct KernelTable {',
    ...kernelNames.map((name) => `  void (*${name})(${signature(name)});`),
    '};',
    '',
    '#ifdef FIRESTEEL_ISA',
    'namespace FIRESTEEL_ISA {',
    ...kernelNames.map((name) => `void ${name}(${signature(name)});`),
    '}  // namespace FIRESTEEL_ISA',
    '#endif',
    '',
    '}  // namespace firesteel',
    '',
  ].join('\n')
}

function generateTable(): string {
  return [
    ...header,
    '#include "kernels.h"',
    '',
    'namespace firesteel::FIRESTEEL_ISA {',
    '',
    'extern const KernelTable table;',
    'const KernelTable table = {',
    ...kernelNames.map((name) => `    ${name},`),
    '};',
    '',
    '}  // namespace firesteel::FIRESTEEL_ISA',
    '',
  ].join('\n')
}

function generateInfos(): string {
  const lines = [
    ...header,
    '#include "../core/call.h"',
    '#include "kernels.h"',
    '',
    'namespace firesteel {',
    '',
    '// name, heavy, arguments {role, arity, dtype mask, 1 if of type T}, thunk; columns as in core/call.h',
    'static const KernelInfo kernel_infos[] = {',
  ]
  for (const name of kernelNames) {
    const spec: KernelSpec = kernels[name]
    const args = parseArguments(spec)
    const place = { view: 0, list: 0, number: 0, philox: 0 }
    const values = args.map((arg) => fetch(arg, place))
    const rows = args.map(
      (arg) =>
        `{"${arg.name}", Role::${arg.role}_, Arity::${arg.arity}, ${dtypeMask(spec, arg)}, ${arg.dtype === 'T' ? 1 : 0}}`,
    )
    lines.push(
      `    {"${name}", ${spec.multiplyAdds !== undefined}, ${args.length}, {${rows.join(', ')}},`,
      `     [](const KernelTable& table, Context& context, const Call& call) { table.${name}(${['context', ...values].join(', ')}); }},`,
    )
  }
  return [...lines, '};', '', '}  // namespace firesteel', ''].join('\n')
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
    '/** Written by scripts/generate.ts from lib/backend/table. Do not edit. Long, for it has an entry for every kernel. */',
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
  ['native/generated/kernels.h', generateDeclarations()],
  ['native/generated/kernel_table.h', generateTable()],
  ['native/generated/kernel_infos.h', generateInfos()],
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
