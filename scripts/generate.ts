/**
 * Writes what follows from the table of kernels. Usage: npm run generate [-- --check]
 *
 *   native/generated/dtypes.h         the dtypes, their names and the bytes of their elements
 *   native/generated/kernels.h        the C++ declarations of every kernel, and the type of a table of pointers to
 *                                     them; a kernel with another signature does not link
 *   native/generated/kernel_table.h   such a table, for each instruction set
 *   native/generated/kernel_infos.h   for the decoder of calls: the arguments of each kernel, and a thunk that passes
 *                                     them
 *   lib/backend/generated/calls.ts    the functions that take the arguments of each kernel out of a call
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkTable } from '../lib/backend/table/grammar.js'
import {
  dtypesOf,
  families,
  familyOf,
  type KernelSpec,
  kernelNames,
  kernels,
  longestIntegers,
  type ParsedArgument,
  parseArguments,
} from '../lib/backend/table/index.js'
import { dtypeCodes, dtypes } from '../lib/core/dtype.js'

checkTable(families)

const snake = (name: string) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)

function parameter({ name, role, arity }: ParsedArgument): string {
  const id = snake(name)
  if (role === 'number') return `double ${id}`
  if (role === 'integer') return `int64_t ${id}`
  if (role === 'integers') return `Integers ${id}`
  if (role === 'flag') return `bool ${id}`
  if (role === 'philox') return `const Philox& ${id}`
  return arity === 'list' ? `ViewList ${id}` : arity === 'optional' ? `const View* ${id}` : `const View& ${id}`
}

type Places = { view: number; list: number; number: number; integers: number; philox: number }

/** The expression that takes an argument out of a decoded call. */
function fetch(arg: ParsedArgument, place: Places): string {
  switch (arg.role) {
    case 'number':
      return `call.numbers[${place.number++}]`
    case 'integer':
      return `(int64_t)call.numbers[${place.number++}]`
    case 'flag':
      return `call.numbers[${place.number++}] != 0`
    case 'integers':
      return `call.integers[${place.integers++}]`
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
  return dtypesOf(spec, arg).reduce((mask, dtype) => {
    const code = codes[dtype]
    if (code === undefined) throw new Error(`${dtype} exists on the reference device only`)
    return mask | (1 << code)
  }, 0)
}

/** C++ names for names that are keywords there. */
const cppNames: { readonly [dtype: string]: string } = { bool: 'boolean' }

const header = ['// Written by scripts/generate.ts from lib/backend/table. Do not edit.', '#pragma once']

function generateDTypes(): string {
  const entries = Object.entries(dtypeCodes)
  const names = entries.map(([name]) => name as keyof typeof dtypeCodes)
  if (entries.some(([, code], i) => code !== i)) throw new Error('the codes of dtypes are not 0, 1, 2, ...')
  return [
    '// Written by scripts/generate.ts from lib/core/dtype.ts. Do not edit.',
    '#pragma once',
    '#include <stdint.h>',
    '',
    'namespace firesteel {',
    '',
    `enum class DType : uint8_t { ${names.map((name) => cppNames[name] ?? name).join(', ')} };`,
    '',
    `constexpr int dtype_count = ${names.length};`,
    '// By dtype: the name that programs use, how many elements are stored together (1, or a block), and the bytes of these.',
    `static constexpr const char* dtype_names[] = {${names.map((name) => `"${name}"`).join(', ')}};`,
    `static constexpr int8_t dtype_block[] = {${names.map((name) => dtypes[name].block).join(', ')}};`,
    `static constexpr int8_t dtype_bytes[] = {${names.map((name) => dtypes[name].bytes * dtypes[name].block).join(', ')}};`,
    `constexpr DType first_block_dtype = DType::${names.find((name) => dtypes[name].block > 1)};`,
    '',
    '}  // namespace firesteel',
    '',
  ].join('\n')
}

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
    '// name, heavy, arguments {role, arity, dtype mask, 1 if of type T}, thunk, family; columns as in core/call.h',
    'static const KernelInfo kernel_infos[] = {',
  ]
  let mostVectors = 0
  for (const name of kernelNames) {
    const spec: KernelSpec = kernels[name]
    const args = parseArguments(spec)
    const place = { view: 0, list: 0, number: 0, integers: 0, philox: 0 }
    const values = args.map((arg) => fetch(arg, place))
    mostVectors = Math.max(mostVectors, place.integers)
    const rows = args.map(
      (arg) =>
        `{"${arg.name}", Role::${arg.role}_, Arity::${arg.arity}, ${dtypeMask(spec, arg)}, ${arg.dtype === 'T' ? 1 : 0}}`,
    )
    lines.push(
      `    {"${name}", ${spec.multiplyAdds !== undefined}, ${args.length}, {${rows.join(', ')}},`,
      `     [](const KernelTable& table, Context& context, const Call& call) { table.${name}(${['context', ...values].join(', ')}); },`,
      `     "${familyOf(name)}"},`,
    )
  }
  const check = `static_assert(${mostVectors} <= max_vectors && ${longestIntegers} == max_dims);`
  return [...lines, '};', '', check, '', '}  // namespace firesteel', ''].join('\n')
}

/** The statement that hands over one argument; `CallWriter` of lib/backend/call.ts has the methods. */
function handOver({ name, role, arity }: ParsedArgument): string {
  if (role === 'number' || role === 'integer' || role === 'flag') return `to.number('${name}', ${name})`
  if (role === 'integers') return `to.integers('${name}', ${name})`
  if (role === 'philox') return `to.philox(${name})`
  const layout = role === 'update' ? 'strided' : role === 'in' || role === 'inout' ? 'dense' : role
  if (arity === 'list') return `to.list(${name}, ${layout !== 'strided' && layout !== 'place'})`
  return arity === 'one' ? `to.${layout}(${name})` : `if (${name} === null) to.absent()\n    else to.${layout}(${name})`
}

function generateCalls(): string {
  const lines = [
    '/**',
    ' * Written by scripts/generate.ts from lib/backend/table. Do not edit.',
    ' *',
    ' * One writer for each signature, named by the first kernel that has it, so that the engine knows where in a call each',
    ' * argument lies: calls of kernels with one signature are objects of one shape. A writer for each kernel was no faster',
    ' * (16-element add, both in turns: 311 to 360 ns with one a kernel, 316 to 361 ns with one a signature; a mix of ten',
    ' * operators 665 and 627 ns).',
    ' */',
    "import type { Calls, Writer } from '../call.js'",
    '',
  ]
  const writers = new Map<string, string>()
  const entries: string[] = []
  for (const name of kernelNames) {
    const args = parseArguments(kernels[name])
    const tensors = args.filter(({ dtype }) => dtype !== null)
    const first = tensors.find(({ arity }) => arity === 'one') ?? tensors.find(({ arity }) => arity === 'list')
    if (first === undefined) throw new Error(`${name} has no tensor that is always there`)
    const writer = [
      `  first: ({ ${first.name} }) => ${first.name}${first.arity === 'list' ? '[0]' : ''},`,
      `  write(to, { ${args.map((arg) => arg.name).join(', ')} }) {`,
      ...args.map((arg) => `    ${handOver(arg)}`),
      '  },',
      '}',
    ].join('\n')
    const shared = writers.get(writer)
    if (shared === undefined) {
      writers.set(writer, name)
      lines.push(`const ${name}: Writer<'${name}'> = {`, writer, '')
    }
    entries.push(shared === undefined ? `  ${name},` : `  ${name}: ${shared},`)
  }
  return [...lines, 'export const calls: Calls = {', ...entries, '}', ''].join('\n')
}

for (const [file, text] of [
  ['native/generated/dtypes.h', generateDTypes()],
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
