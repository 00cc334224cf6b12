/**
 * Datasets that a module of the program makes, so that every thread can make its own; and datasets made from
 * descriptions.
 */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Collated } from './collate.js'
import { ConcatDataset, Dataset, FunctionDataset, MappedDataset, Range, Subset } from './dataset.js'
import { type Description, follow, type Recipe, withRecipe } from './recipe.js'
import type { RowContext } from './row-context.js'

export interface ModuleDatasetOptions {
  /** The exported function that makes the dataset. Default 'dataset'. */
  readonly name?: string
  /** Its arguments: plain data, because each thread gets a copy. */
  readonly args?: readonly unknown[]
}

/**
 * The dataset that an exported function of a module makes, for loaders with workers: each worker imports the module and
 * calls the function itself. The function returns a Dataset, an array, anything with a length and get(index, context),
 * or a promise of one of these.
 *
 *     // rows.js
 *     export const dataset = async (folder) => (await imageFolder(folder)).map(prepare)
 *     // train.js
 *     const rows = await moduleDataset(new URL('./rows.js', import.meta.url), { args: ['flowers'] })
 *     const loader = new DataLoader(rows, { batchSize: 32, shuffle: true, workers: 2 })
 *
 * The type R of the rows is not checked. Throws ValueError if the module has no such function, or if the function
 * returns anything else.
 */
export async function moduleDataset<R = unknown>(
  module: URL | string,
  options: ModuleDatasetOptions = {},
): Promise<Dataset<R>> {
  const op = 'moduleDataset'
  const { name = 'dataset', args = [] } = checkOptions(op, options, { name: true, args: true })
  if (!(module instanceof URL) && (typeof module !== 'string' || module === ''))
    throw new ValueError(
      op,
      `the module is ${module === '' ? 'an empty text' : kindOf(module)}, but must be a URL: new URL('./rows.js', import.meta.url)`,
    )
  if (typeof module === 'string' && /^\.{0,2}\//.test(module))
    throw new ValueError(
      op,
      `it is unknown to which folder the path ${shown(module)} is relative; give new URL(${shown(module)}, import.meta.url)`,
    )
  if (typeof name !== 'string') throw new ValueError(op, `name is ${kindOf(name)}, but must be a function's name`)
  if (!Array.isArray(args)) throw new ValueError(op, `args are ${kindOf(args)}, but must be an array`)
  const recipe: Recipe = { module: String(module), name, args: copied(op, args) }
  let exports: { readonly [name: string]: unknown }
  try {
    exports = (await import(/* webpackIgnore: true */ /* @vite-ignore */ recipe.module)) as {
      readonly [name: string]: unknown
    }
  } catch (error) {
    if (!/^ERR_(MODULE_NOT_FOUND|UNSUPPORTED_DIR_IMPORT)$/.test(String((error as NodeJS.ErrnoException).code)))
      throw error
    throw new ValueError(op, `there is no module ${recipe.module}: ${(error as Error).message}`)
  }
  if (typeof exports[name] !== 'function')
    throw new ValueError(
      op,
      `${recipe.module} exports ${exports[name] === undefined ? 'nothing' : kindOf(exports[name])} as ${name}, but must export a ` +
        `function that makes the dataset; it exports ${Object.keys(exports).join(', ') || 'nothing'}`,
    )
  return withRecipe(asDataset<R>(op, await follow(recipe), recipe), recipe)
}

/** Arguments as threads get them, so that they are the same in all. */
function copied(op: string, args: readonly unknown[]): readonly unknown[] {
  try {
    return structuredClone(args)
  } catch (error) {
    throw new ValueError(op, `args must be plain data, because each thread gets a copy: ${(error as Error).message}`)
  }
}

/**
 * Wraps the rows that a module's function returned in a new dataset, because the function may return the same rows
 * again for another recipe.
 */
function asDataset<R>(op: string, given: unknown, { module, name }: Recipe): Dataset<R> {
  if (given instanceof Dataset) return new Range<R, Collated<R>>(op, given as Dataset<R>, 0, Number.POSITIVE_INFINITY)
  if (Array.isArray(given)) return new FunctionDataset<R>(given.length, (index) => given[index] as R)
  const { length, get } = (given ?? {}) as { length?: unknown; get?: unknown }
  if (typeof length === 'number' && typeof get === 'function')
    return new FunctionDataset<R>(length, (index, context) =>
      (given as { get(index: number, context?: RowContext): R }).get(index, context),
    )
  throw new ValueError(
    op,
    `${name} of ${module} gave ${kindOf(given)}, but must return a Dataset, an array, or an object with a length and get(index)`,
  )
}

/** The dataset of a description, in the thread that it is asked for in. */
export async function datasetOf(description: Description): Promise<Dataset<unknown>> {
  switch (description.kind) {
    case 'made':
      return asDataset('DataLoader', await follow(description.recipe), description.recipe)
    case 'map':
      return new MappedDataset(await datasetOf(description.dataset), (await follow(description.step)) as () => unknown)
    case 'select':
      return new Subset(await datasetOf(description.dataset), [...description.indices]) as Dataset<unknown>
    case 'range':
      return new Range<unknown, never>(
        'Range',
        (await datasetOf(description.dataset)) as Dataset<unknown, never>,
        description.from,
        description.most,
      )
    case 'concat':
      return new ConcatDataset(await Promise.all(description.datasets.map(datasetOf)))
  }
}
