/** Numbers in rows of .csv and .tsv files, whose fields are all texts. */

import { numberOf } from '../../pretrain/table.js'
import type { LabelKind } from '../../tasks/rows/labels.js'
import { type Columns, type FormatName, RowFault } from '../tasks/formats.js'
import type { Row } from './rows.js'

/** A number that cannot be the index of a class. */
const isFraction = (field: string): boolean => {
  const number = numberOf(field)
  return number !== null && !Number.isInteger(number)
}

/**
 * The row with numbers where its format has them: in labels of the kind 'number', and in scores of pairs. Other fields
 * stay as they are, so that they are refused by what they hold. Throws RowFault for a label that looks like a number to
 * predict, unless the kind is given, because each such text would be a class of its own.
 */
export function fieldsWithNumbers(row: Row, format: FormatName, columns: Columns, kind: LabelKind | undefined): Row {
  const role = format === 'pairs' ? 'score' : 'label'
  if (format !== 'pairs' && format !== 'classification') return row
  const name = columns[role] ?? role
  const field = row[name]
  if (typeof field !== 'string') return row
  if (format === 'classification' && kind === undefined && isFraction(field))
    throw new RowFault(
      `label is '${field}'; give data.labelKind: number if numbers are to be predicted, or data.labelKind: class if it is the name of a class`,
    )
  if (format === 'classification' && kind !== 'number') return row
  const number = numberOf(field)
  return number === null ? row : { ...row, [name]: number }
}
