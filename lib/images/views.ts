/** Two views of each picture, for contrastive pre-training. */
import type { Picture } from '../data/picture.js'
import type { RowContext } from '../data/row-context.js'
import { type ImageStep, inTurn, ofPictures, type PictureRow, withSteps } from './step.js'

type Views = readonly [first: Picture, second: Picture]

/** The row with two views in place of its picture. */
export type TwoViews<R extends PictureRow> = R extends Picture
  ? Views
  : R extends readonly [Picture, ...infer Rest]
    ? readonly [Views, ...Rest]
    : { readonly [K in keyof R]: K extends 'image' ? Views : R[K] }

/**
 * The steps applied twice, each time with other random numbers, as a function of a row:
 * `dataset.map(twoViews(randomResizedCrop(32), normalize()))`. The row's picture becomes [first, second], and the rest
 * of the row stays. So batches are [first, second], or [[first, second], labels], with tensors of views [N, C, H, W].
 * The random numbers belong to the row, as those of `augment` do.
 */
export function twoViews(
  ...steps: readonly ImageStep[]
): <R extends PictureRow>(row: R, context: Pick<RowContext, 'generator'>) => TwoViews<R> {
  const op = 'twoViews'
  const through = inTurn(op, steps)
  const rows = ofPictures(op, (picture, generator): Views => [through(picture, generator), through(picture, generator)])
  return withSteps(
    op,
    steps,
    rows as <R extends PictureRow>(row: R, context: Pick<RowContext, 'generator'>) => TwoViews<R>,
  )
}
