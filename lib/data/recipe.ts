/**
 * Descriptions from which another thread makes a function or dataset again. Functions cannot be sent there, but names
 * and plain arguments can.
 */

/** A call of an exported function of a module. Arguments are plain data, or recipes themselves. */
export interface Recipe {
  /** The module in the form for `import`: a URL, or the name of a package. */
  readonly module: string
  readonly name: string
  readonly args: readonly unknown[]
}

/** A dataset as plain data. */
export type Description =
  | { readonly kind: 'made'; readonly recipe: Recipe }
  | { readonly kind: 'map'; readonly dataset: Description; readonly step: Recipe }
  | { readonly kind: 'select'; readonly dataset: Description; readonly indices: Float64Array }
  | { readonly kind: 'range'; readonly dataset: Description; readonly from: number; readonly most: number }
  | { readonly kind: 'concat'; readonly datasets: readonly Description[] }

const recipes = new WeakMap<object, Recipe>()

/** The value, which the recipe can make again. */
export function withRecipe<T extends object>(value: T, recipe: Recipe): T {
  recipes.set(value, recipe)
  return value
}

export function recipeOf(value: object): Recipe | undefined {
  return recipes.get(value)
}

/** A recipe among the arguments of another one. Threads get it without its class. */
interface Nested {
  readonly nestedRecipe: Recipe
}

export const nested = (recipe: Recipe): Nested => ({ nestedRecipe: recipe })

const isNested = (value: unknown): value is Nested =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, 'nestedRecipe')

/** Calls the function of a recipe. */
export async function follow({ module, name, args }: Recipe): Promise<unknown> {
  const exported = (
    (await import(/* webpackIgnore: true */ /* @vite-ignore */ module)) as { readonly [name: string]: unknown }
  )[name]
  if (typeof exported !== 'function') throw new Error(`${module} exports no function ${name}`)
  const own: unknown[] = []
  for (const arg of args) own.push(isNested(arg) ? await follow(arg.nestedRecipe) : arg)
  return (exported as (...args: readonly unknown[]) => unknown)(...own)
}

const formKeepers = new WeakSet<object>()

/**
 * Marks a function of a row that returns rows of the same form, so that facts about a dataset's rows also hold for its
 * results.
 */
export function keepingForm(fn: object): void {
  formKeepers.add(fn)
}

export const keepsForm = (fn: object): boolean => formKeepers.has(fn)
