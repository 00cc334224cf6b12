/** Factors of classes in the loss, from the config. */
import { kindOf } from '../../core/errors.js'
import { nearest } from '../../core/nearest.js'
import { listed } from '../../tasks/rows/labels.js'
import type { Loaded } from '../config/config.js'
import { UsageError } from '../exit.js'
import { type Data, eachOf } from './material.js'

/** Weights that are inverse to the classes' numbers of rows. Over all rows their mean is 1, as in scikit-learn. */
function balanced(place: string, { train, labelling: { labels, kind } }: Data): readonly number[] {
  if (kind === 'classes')
    throw new UsageError(
      `${place}: data.classWeights is 'balanced', but rows have several classes each; give a table of factors by class`,
    )
  const counts = labels.map(() => 0)
  for (const { label } of eachOf(train) as Iterable<{ readonly label?: number }>)
    if (label !== undefined) counts[label] = (counts[label] as number) + 1
  const none = labels.filter((_, i) => counts[i] === 0)
  if (none.length > 0)
    throw new UsageError(
      `${place}: data.classWeights is 'balanced', but no row to learn from has ${listed(none)}; add such rows, or give a table of factors by class`,
    )
  return counts.map((count) => train.length / (labels.length * count))
}

/**
 * The data with the config's weights of classes. Throws UsageError for names that are no classes, and for numbers to be
 * predicted, which have no classes.
 */
export function withWeights({ config, source }: Loaded, data: Data): Data {
  const { classWeights: given } = config.data
  if (given === undefined) return data
  const path = ['data', 'classWeights']
  const { labels, kind } = data.labelling
  if (kind === 'number')
    throw new UsageError(
      `${source.place(path, 'key')}: data.classWeights is given, but the labels are numbers, which have no classes; leave it out`,
    )
  if (given === 'balanced')
    return { ...data, labelling: { ...data.labelling, weights: balanced(source.place(path), data) } }
  const wrong = Object.keys(given).find((name) => !labels.includes(name))
  if (wrong !== undefined) {
    const near = nearest(wrong, labels)
    throw new UsageError(
      `${source.place([...path, wrong], 'key')}: there is no class ${kindOf(wrong)}; ${near === null ? '' : `did you mean ${kindOf(near)}? `}there are ${listed(labels)}`,
    )
  }
  return { ...data, labelling: { ...data.labelling, weights: labels.map((name) => given[name] ?? 1) } }
}
