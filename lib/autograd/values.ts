/** Values that hold tensors: lists and plain objects, nested or not. */

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  // Of any realm: the prototype of plain objects has none itself.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** The same arrays and plain objects with other leaves: with what `change` makes of everything that is neither. */
export function mapLeaves(value: unknown, change: (leaf: unknown, path: string) => unknown, path = ''): unknown {
  if (Array.isArray(value)) return value.map((item, i) => mapLeaves(item, change, `${path}[${i}]`))
  if (typeof value !== 'object' || value === null || !isPlain(value)) return change(value, path)
  const entries = Object.entries(value)
  return Object.fromEntries(entries.map(([key, item]) => [key, mapLeaves(item, change, `${path}.${key}`)]))
}
