/** Steps from picture to picture, and rows that hold pictures. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { Picture } from '../data/picture.js'
import { keepingForm, nested, type Recipe, recipeOf, withRecipe } from '../data/recipe.js'
import type { RowContext } from '../data/row-context.js'

/** A step from picture to picture. It draws only from the generator, and does not change the given picture. */
export type ImageStep = (picture: Picture, generator: Generator) => Picture

/** A row with a picture: alone, as the first of a tuple, or as `image` of a record. */
export type PictureRow = Picture | readonly [image: Picture, ...rest: unknown[]] | { readonly image: Picture }

/** The recipe of a function that this folder exports. Threads import it by the package's name. */
export const recipe = (name: string, args: readonly unknown[]): Recipe => ({ module: 'firesteel/images', name, args })

/** A step that threads can make again from the exported function `name`. */
export function step(name: string, args: readonly unknown[], fn: ImageStep): ImageStep {
  return withRecipe(fn, recipe(name, args))
}

/** The row's own random numbers. */
type Drawing = Pick<RowContext, 'generator'>

/** A function of rows that replaces the picture of each, and leaves the rest of the row. */
export function ofPictures<T>(
  op: string,
  change: (picture: Picture, generator: Generator) => T,
): (row: unknown, context: Drawing) => unknown {
  const rows = (row: unknown, context: Drawing): unknown => {
    if (!(context?.generator instanceof Generator))
      throw new ValueError(
        op,
        'the row has no random numbers of its own, as no row of a stream has; map a dataset of rows by index, or give ' +
          '{ generator } as the second argument',
      )
    const { generator } = context
    if (row instanceof Picture) return change(row, generator)
    if (Array.isArray(row) && row[0] instanceof Picture) return [change(row[0], generator), ...row.slice(1)]
    const { image } = Object(row) as { readonly image?: unknown }
    if (image instanceof Picture) return { ...(row as object), image: change(image, generator) }
    throw new ValueError(
      op,
      `the row is ${kindOf(row)} without a picture; rows are a Picture, [picture, label] or { image: picture }; pictures() of an ` +
        'ImageDataset gives such rows',
    )
  }
  keepingForm(rows)
  return rows
}

/** The steps as a single one. */
export function inTurn(op: string, steps: readonly ImageStep[]): ImageStep {
  const wrong = steps.findIndex((each) => typeof each !== 'function')
  if (wrong >= 0)
    throw new ValueError(
      op,
      `step ${wrong} is ${kindOf(steps[wrong])}, but must be a function of a picture, such as randomCrop(28)`,
    )
  return (picture, generator) => steps.reduce((before, each) => each(before, generator), picture)
}

/** The function, which threads can make again if they can make its steps. */
export function withSteps<F extends object>(op: string, steps: readonly ImageStep[], fn: F): F {
  const recipes = steps.map(recipeOf)
  return recipes.includes(undefined)
    ? fn
    : withRecipe(
        fn,
        recipe(
          op,
          recipes.map((each) => nested(each as Recipe)),
        ),
      )
}

/**
 * The steps, one after another, as a function of a row: `dataset.map(augment(randomResizedCrop(224),
 * randomHorizontalFlip(), normalize('imagenet')))`. Only the row's picture is changed. The random numbers belong to the
 * row, so that they are the same at any number of workers, and after a resume.
 */
export function augment(...steps: readonly ImageStep[]): <R extends PictureRow>(row: R, context: Drawing) => R {
  const op = 'augment'
  const rows = ofPictures(op, inTurn(op, steps)) as <R extends PictureRow>(row: R, context: Drawing) => R
  return withSteps(op, steps, rows)
}

/** Throws unless it is a number in the range, bounds included. */
export function checkNumber(op: string, name: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || !(value >= least && value <= most))
    throw new ValueError(op, `${name} is ${shown(value)}, but must be a number from ${least} to ${most}`)
  return value
}

/** Height and width. One number gives a square. */
export type Size = number | readonly [height: number, width: number]

/** The most pixels of a side. */
export const mostSide = 2 ** 15

export function checkSize(op: string, name: string, size: Size, least = 1): readonly [height: number, width: number] {
  const [height, width, ...more] = Array.isArray(size) ? (size as readonly number[]) : [size as number, size as number]
  for (const side of [height, width])
    if (!Number.isSafeInteger(side) || (side as number) < least || (side as number) > mostSide || more.length > 0)
      throw new ValueError(
        op,
        `${name} is ${shown(size)}, but must be an integer from ${least} to ${mostSide}, or [height, width]`,
      )
  return [height as number, width as number]
}

/** Two numbers, the first of which is not larger than the second. */
export function checkRange(
  op: string,
  name: string,
  range: readonly [number, number],
  least: number,
  most: number,
): readonly [number, number] {
  const [low, high, ...more]: readonly unknown[] = Array.isArray(range) ? range : []
  const areNumbers = typeof low === 'number' && typeof high === 'number'
  if (!areNumbers || !(low >= least && low <= high && high <= most) || more.length > 0)
    throw new ValueError(
      op,
      `${name} is ${shown(range)}, but must be two numbers from ${least} to ${most}, the smaller one first`,
    )
  return [low, high]
}

/** A number in [low, high). */
export function uniform(generator: Generator, low: number, high: number): number {
  return low + generator.random() * (high - low)
}

/** Numbers in the picture's kind. Bytes are rounded by `from`, and floats stay. */
export function like({ data }: Picture, length: number): Uint8Array | Float32Array {
  return data instanceof Uint8Array ? new Uint8Array(length) : new Float32Array(length)
}
