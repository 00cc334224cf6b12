/** Faults of a config in words: the place, the given value, the expected value, and the likely intention. */
import * as z from 'zod'
import { shown } from '../../core/errors.js'
import { nearest } from '../../core/nearest.js'
import type { Path, Source } from './source.js'

type Issue = z.core.$ZodIssue

/** A schema without its optional wrappers. */
function bare(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional ? bare(schema.unwrap() as z.ZodType) : schema
}

function descriptionOf(schema: z.ZodType | null): string | null {
  if (schema === null) return null
  return schema.description ?? (schema instanceof z.ZodOptional ? descriptionOf(schema.unwrap() as z.ZodType) : null)
}

/** The schemas that a value at a path may have. */
function schemasAt(schema: z.ZodType, path: Path): z.ZodType[] {
  const own = bare(schema)
  if (path.length === 0) return [schema]
  if (own instanceof z.ZodUnion) return own.options.flatMap((option) => schemasAt(option as z.ZodType, path))
  const [key, ...rest] = path
  if (own instanceof z.ZodObject) {
    const inner = Object.hasOwn(own.shape, key as string) ? own.shape[key as string] : undefined
    return inner === undefined ? [] : schemasAt(inner as z.ZodType, rest)
  }
  if (own instanceof z.ZodArray) return schemasAt(own.element as z.ZodType, rest)
  if (own instanceof z.ZodRecord) return schemasAt(own.valueType as z.ZodType, rest)
  return []
}

function keysOf(schema: z.ZodType): string[] {
  const own = bare(schema)
  if (own instanceof z.ZodUnion) return own.options.flatMap((option) => keysOf(option as z.ZodType))
  return own instanceof z.ZodObject ? Object.keys(own.shape) : []
}

/** The deepest description on the way to a path. */
function wanted(schema: z.ZodType, path: Path): string {
  for (let length = path.length; length >= 0; length--) {
    const found = schemasAt(schema, path.slice(0, length)).map(descriptionOf)
    const text = found.find((each) => each !== null)
    if (text !== undefined && text !== null) return text
  }
  return 'something else'
}

/**
 * The issues of the intended member of a union: the member that knows the value's keys. If there is none, the keys that
 * no member knows.
 */
function meant(issue: Issue): readonly Issue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const branches = issue.errors.map((errors) =>
    errors.map((each) => ({ ...each, path: [...issue.path, ...each.path] }) as Issue),
  )
  const isOwn = ({ path }: Issue) => path.length === issue.path.length
  const knowing = branches.filter((errors) => !errors.some(isOwn))
  const [only] = knowing
  if (knowing.length === 1 && only !== undefined) return only.flatMap(meant)
  const refusals = branches
    .flatMap((errors) => errors.filter(isOwn))
    .filter((each) => each.code === 'unrecognized_keys')
  const [first] = refusals
  // A key that some members know is not misspelt.
  const keys = first?.keys.filter((key) => refusals.every((each) => each.keys.includes(key))) ?? []
  return first === undefined || keys.length === 0 ? [issue] : [{ ...first, keys }]
}

/** The keys that only configs of one command have. */
const commands: { readonly [command: string]: readonly string[] } = {
  finetune: ['data'],
  pretrain: ['corpus', 'table'],
}

/** The message about a config that was written for another command, or null. */
function ofAnother(source: Source, schema: z.ZodType): string | null {
  const { value } = source
  if (typeof value !== 'object' || value === null) return null
  const takes = keysOf(schema)
  const own = Object.entries(commands).find(([, keys]) => keys.some((key) => takes.includes(key)))
  const other = Object.entries(commands).find(
    (each) => each !== own && each[1].some((key) => Object.hasOwn(value, key)),
  )
  if (own === undefined || other === undefined || own[1].some((key) => Object.hasOwn(value, key))) return null
  const key = other[1].find((each) => Object.hasOwn(value, each)) as string
  const { output } = value as { readonly output?: unknown }
  const folder = typeof output === 'string' ? ` ${output.replace(/\/+$/, '')}/model` : ''
  const model =
    own[0] !== 'finetune' || typeof output !== 'string'
      ? ''
      : key === 'table'
        ? `; loadTableAutoEncoder of firesteel/pretrain opens the run's model${folder}`
        : `, or give generate or embed the folder of the run's model,${folder}`
  return `${source.place([key], 'key')}: ${key} stands in a config of \`firesteel ${other[0]}\`, but this command takes one of \`firesteel ${own[0]}\`, with ${own[1].join(' or ')}; name another config${model}`
}

/** One line for each fault. */
export function problemsOf(source: Source, schema: z.ZodType, issues: readonly Issue[]): string[] {
  const another = ofAnother(source, schema)
  if (another !== null) return [another]
  return issues.flatMap(meant).flatMap((issue) => {
    const path = issue.path as Path
    const name = path.join('.')
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => {
        const known = [...new Set(schemasAt(schema, path).flatMap(keysOf))].filter((each) => each !== '$schema')
        const near = nearest(key, known)
        const within = name === '' ? '' : ` in ${name}`
        return `${source.place([...path, key], 'key')}: there is no '${key}'${within}${near === null ? '' : `; did you mean '${near}'?`}${near === null ? ';' : ''} there are ${known.join(', ')}`
      })
    const value = source.at(path)
    const must = wanted(schema, path)
    if (value === undefined) {
      const table = name.split('.').slice(0, -1).join('.')
      return [`${source.place(path)}: ${name} is missing${table === '' ? '' : ` in ${table}`}; it must be ${must}`]
    }
    return [`${source.place(path)}: ${name === '' ? 'the config' : name} is ${shown(value)}, but must be ${must}`]
  })
}
