/** Rows of a table as the model sees them. */
import { Generator } from '../../core/generator.js'
import { damaged } from '../../pretrain/denoising.js'
import type { Loaded } from '../config/config.js'
import type { TableConfig } from '../config/schema.js'
import { placedRows } from '../data/rows.js'
import { denoisingOf, readTableData, tableText } from './table.js'

const short = (value: number) => (Number.isNaN(value) ? 'empty' : String(Number(value.toPrecision(6))))

/**
 * A text for each of the first rows: every number as it stands in the file, standardised, and damaged. The last text
 * has the figures of the table. As JSON, without figures.
 */
export async function* peekTable(loaded: Loaded<TableConfig>, count: number, json: boolean): AsyncGenerator<string> {
  const data = await readTableData(loaded)
  const { model, files, table } = data
  const columns = model.columns.map(({ name }) => name)
  const generator = new Generator(loaded.config.train?.seed ?? 0)
  let i = 0
  for await (const { row, place } of placedRows(files)) {
    const numbers = columns.map((_, j) => table.get(i, j))
    const x = model.standardise([row])
    const seen = damaged(x, denoisingOf(loaded.config), generator)
    const [standardised, shown] = [[...x.dataSync()], [...seen.dataSync()]]
    if (json) yield JSON.stringify({ place, columns, numbers, standardised, damaged: shown })
    else
      yield [
        `${place}: ${columns.length} numbers, standardised, damaged`,
        ...columns.map(
          (name, j) =>
            `${name}: ${[numbers[j], standardised[j], shown[j]].map((each) => short(each as number)).join('  ')}`,
        ),
        '',
      ].join('\n')
    if (++i === count) break
  }
  if (!json) yield tableText(data)
}
