/** A report as a page. */
import { digits, page, tableOf } from '../page.js'
import { type Report, type SetReport, spanOf } from './report.js'

export function reportPage(report: Report): string {
  const { classes, forgetting, rows, confidence } = report
  const parts = [
    `<p>${rows} rows. In parentheses: what ${digits(100 * confidence)}% of resamples of the rows gave.</p>`,
    numbers(report),
  ]
  if (classes !== null) {
    const names = classes.confusion.map((_, place) => report.nameOf(place))
    const ignored = classes.ignored === 0 ? '' : `<p>${classes.ignored} rows have no label of the classes.</p>`
    parts.push(
      ...['<h2>Confusion</h2>', '<p class="note">Rows: the label. Columns: the answer.</p>'],
      tableOf(
        ['', ...names],
        classes.confusion.map((row, place) => [names[place], ...row]),
      ),
      ...[ignored, '<h2>Calibration</h2>', `<p>Calibration error ${digits(classes.calibrationError)}.</p>`],
      tableOf(
        ['confidence from', 'to', 'rows', 'mean confidence', 'accuracy'],
        classes.calibration.map(({ from, to, count, confidence, accuracy }) => [from, to, count, confidence, accuracy]),
      ),
      '<h2>Worst examples</h2>',
      tableOf(
        ['row', 'label', 'answer', "the label's probability"],
        classes.worst.map((each) => [
          ...[each.name ?? each.row, report.nameOf(each.label), report.nameOf(each.predicted), each.probability],
        ]),
      ),
    )
  }
  if (forgetting !== null)
    parts.push('<h2>What it could do before</h2>', `<p>${forgetting.rows} rows.</p>`, numbers(forgetting))
  return page('Report', parts)
}

function numbers({ loss, baseLoss, metrics }: SetReport): string {
  const rows = Object.entries(metrics).map(([name, each]) => {
    const { base, difference } = each
    return [name, ...[each, base, difference].map((value) => (value === null ? '' : spanOf(value)))]
  })
  const ofLoss = ['loss', digits(loss), baseLoss === null ? '' : digits(baseLoss), '']
  return tableOf(['', 'model', 'base model', 'difference'], [ofLoss, ...rows])
}
