/** Curves as text, to be printed in a terminal. */

/** A curve: a number for each place from left to right, or NaN if there is none. */
export interface Curve {
  readonly name: string
  readonly values: readonly number[]
}

const marks = ['o', 'x', '+', '#'] as const

/** Three digits, whatever the magnitude. */
function label(value: number): string {
  const size = Math.abs(value)
  return size === 0 ? '0' : size >= 1e-3 && size < 1e4 ? value.toPrecision(3) : value.toExponential(1)
}

interface PlotOptions {
  /** The largest width of the frame in characters. Default 60. */
  readonly width?: number
  /** The height of the frame in characters. Default 8. */
  readonly height?: number
  /** The number of the first place. Default 1. */
  readonly from?: number
  /** The largest number of characters in a line, because a terminal breaks longer lines. Default: no limit. */
  readonly within?: number
}

/** A frame with fewer columns shows no curve. */
const leastColumns = 8

/**
 * Up to four curves in one frame, with the range of their numbers at the left and the names below. Empty if no curve
 * has two finite numbers, or if there is no room. The later one of two curves is visible where they meet.
 */
export function plot(curves: readonly Curve[], options: PlotOptions = {}): string {
  const { width = 60, height = 8, from = 1, within = Number.POSITIVE_INFINITY } = options
  const drawn = curves.filter(({ values }) => values.filter(Number.isFinite).length > 1).slice(0, marks.length)
  const all = drawn.flatMap(({ values }) => values.filter(Number.isFinite))
  if (all.length === 0) return ''
  const low = all.reduce((least, value) => Math.min(least, value))
  const high = all.reduce((most, value) => Math.max(most, value))
  const labels = [label(high), label(low)]
  const margin = Math.max(...labels.map(({ length }) => length))
  const places = Math.max(...drawn.map(({ values }) => values.length))
  const room = within - margin - 2
  const columns = Math.min(width, room, Math.max(places, 20))
  if (columns < leastColumns) return ''
  const grid = Array.from({ length: height }, () => Array.from({ length: columns }, () => ' '))
  drawn.forEach(({ values }, i) => {
    for (let column = 0; column < columns; column++) {
      const value = meanAt(values, column, columns, places)
      if (!Number.isFinite(value)) continue
      const row = high === low ? height - 1 : Math.round(shareOf(low, high, value) * (height - 1))
      const line = grid[row] as string[]
      line[column] = marks[i] as string
    }
  })
  const lines = grid.map((line, row) => {
    const text = row === height - 1 ? label(low) : row === 0 && high > low ? label(high) : ''
    return `${text.padStart(margin)} |${line.join('').trimEnd()}`
  })
  const [first, last] = [String(from), String(from + places - 1)]
  const axis = `${''.padStart(margin)} +${'-'.repeat(columns)}`
  const fits = first.length + last.length < columns
  const numbers = `${''.padStart(margin)}  ${(fits ? first : '').padEnd(columns - last.length)}${last}`
  const legend = legendOf(drawn, room).map((line) => `${''.padStart(margin)}  ${line}`)
  return [...lines, axis, numbers, ...legend].join('\n')
}

/** The distance of a value below the highest number, from 0 to 1. */
function shareOf(low: number, high: number, value: number): number {
  const range = high - low
  if (Number.isFinite(range)) return (high - value) / range
  // A float cannot hold the range of all floats, but it can hold half of it.
  return (high / 2 - value / 2) / (high / 2 - low / 2)
}

/** The marks with their names, in as many lines as the room requires. A name that is too long is cut. */
function legendOf(drawn: readonly Curve[], room: number): readonly string[] {
  const lines: string[] = []
  for (const [i, { name }] of drawn.entries()) {
    const text = `${marks[i]} ${name}`.slice(0, room)
    const line = lines.at(-1)
    if (line !== undefined && line.length + 3 + text.length <= room) lines[lines.length - 1] = `${line}   ${text}`
    else lines.push(text)
  }
  return lines
}

/**
 * The mean of the values that fall into a column. NaN between the points of a curve that has fewer points than there
 * are columns.
 */
function meanAt(values: readonly number[], column: number, columns: number, places: number): number {
  if (places <= columns) {
    const place = Math.round((column * (places - 1)) / Math.max(1, columns - 1))
    const own = Math.round((place * (columns - 1)) / Math.max(1, places - 1))
    return own === column ? (values[place] ?? Number.NaN) : Number.NaN
  }
  const part = values.slice(Math.floor((column * places) / columns), Math.floor(((column + 1) * places) / columns))
  const known = part.filter(Number.isFinite)
  return known.length === 0 ? Number.NaN : known.reduce((sum, value) => sum + value, 0) / known.length
}

interface Epoch {
  readonly epoch: number
  readonly [name: string]: unknown
}

/** Loss and up to three metrics of the epochs, each with its value in the validation. */
export function plotEpochs(epochs: readonly Epoch[], options: Omit<PlotOptions, 'from'> = {}): string {
  const others = new Set(['epoch', 'seconds', 'lr', 'validation', 'loss'])
  const names = [...new Set(epochs.flatMap((record) => Object.keys(record)))].filter((name) => !others.has(name))
  const curve = (name: string, numberOf: (record: Epoch) => unknown): Curve => ({
    name,
    values: epochs.map((record) => Number(numberOf(record) ?? Number.NaN)),
  })
  const from = (epochs[0]?.epoch ?? 0) + 1
  return ['loss', ...names]
    .slice(0, marks.length)
    .map((name) => {
      const validated = (record: Epoch) => (record['validation'] as Omit<Epoch, 'epoch'> | undefined)?.[name]
      const curves = [curve(name, (record) => record[name]), curve(`validation.${name}`, validated)]
      return plot(curves, { ...options, from })
    })
    .filter((text) => text !== '')
    .join('\n')
}
