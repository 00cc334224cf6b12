/** The roofline: every kernel of every workload, below the machine's rates of multiplication and of memory traffic. */
import { type Family, familyOf } from '../lib/backend/table/index.js'
import type { KernelSum } from './bound.js'
import type { MachineDescription } from './machine.js'
import type { Row } from './measure.js'
import { element, escapeText, hint, label, logScale, powers } from './svg.js'

const size = { width: 960, height: 560, left: 64, right: 165, top: 16, bottom: 48 }
/** The range of operations per byte. */
const intensities = { low: 1 / 16, high: 512 }
/** A kernel without multiply-adds is drawn as if it did one operation for every float that it moves. */
const bytesPerOperation = 4
/** Operations per second. Slower kernels, whose time is mostly that of the call, are drawn at the edge. */
const lowest = 1e8

/** The classes of the page's style sheet, one for each group of families. */
const groups = {
  matmul: ['matmul'],
  convolution: ['conv', 'pool'],
  recurrence: ['recurrent'],
  attention: ['attention'],
  optimizer: ['optimizer'],
  'norm, softmax, loss': ['norm', 'softmax', 'loss'],
  'elementwise and others': ['elementwise', 'reduce', 'shape', 'indexing', 'random'],
} as const satisfies { readonly [group: string]: readonly Family[] }

function groupOf(kernel: string): number {
  const family = familyOf(kernel)
  const index = Object.values<readonly Family[]>(groups).findIndex(
    (list) => family !== undefined && list.includes(family),
  )
  return index < 0 ? Object.keys(groups).length - 1 : index
}

const giga = (value: number): string => (value / 1e9).toPrecision(3)
const named = (threads: number): string => (threads === 1 ? '1 thread' : `${threads} threads`)

type Scale = (value: number) => number

interface Plot {
  /** The scale of operations per byte. */
  readonly x: Scale
  /** The scale of operations per second. */
  readonly y: Scale
  readonly highest: number
}

const [leftEdge, rightEdge] = [size.left, size.width - size.right]
const [topEdge, bottomEdge] = [size.top, size.height - size.bottom]

function operationsOf({ multiplyAdds, bytes }: KernelSum): number {
  return multiplyAdds > 0 ? 2 * multiplyAdds : bytes / bytesPerOperation
}

function point({ x, y }: Plot, row: Row, sum: KernelSum): string {
  const operations = operationsOf(sum)
  const rate = operations / sum.seconds
  const text =
    `${row.name}: ${sum.kernel}, ${sum.calls} ${sum.calls === 1 ? 'call' : 'calls'}\n` +
    `${sum.multiplyAdds > 0 ? `${giga(rate)} GFLOP/s, ` : ''}${giga(sum.bytes / sum.seconds)} GB/s, ` +
    `${(sum.seconds * 1e3).toPrecision(3)} ms\n${(sum.bound / sum.seconds).toFixed(2)} of its bound (${sum.limit})`
  const attributes = {
    class: `g${groupOf(sum.kernel)}${row.drawn ? ' drawn' : ''}`,
    cx: x(operations / sum.bytes),
    cy: y(rate),
    // The area shows the kernel's part of the workload's time.
    r: 2.5 + 4.5 * Math.sqrt(sum.seconds / Math.max(row.best ?? 0, sum.seconds)),
  }
  return element('circle', attributes, hint(text))
}

function ceilings({ y }: Plot, { rates }: MachineDescription): string {
  return rates
    .map(({ threads, float32 }) => {
      const at = y(float32)
      return (
        element('line', { class: 'roof', x1: leftEdge, x2: rightEdge, y1: at, y2: at }) +
        label(rightEdge + 6, at + 4, `${giga(float32)} GFLOP/s, ${named(threads)}`)
      )
    })
    .join('')
}

/** A level's bandwidth, from the left or the lower edge up to the ceiling. */
function slope({ x, y }: Plot, level: string, bandwidth: number, ceiling: number): string {
  const start = Math.max(intensities.low, lowest / bandwidth)
  const end = Math.min(intensities.high, ceiling / bandwidth)
  if (end <= start) return ''
  const [x1, y1, x2, y2] = [x(start), y(start * bandwidth), x(end), y(end * bandwidth)]
  const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI
  const transform = `translate(${x1.toFixed(1)} ${y1.toFixed(1)}) rotate(${angle.toFixed(1)})`
  return (
    element('line', { class: 'roof', x1, y1, x2, y2 }) +
    label(10, -5, `${level} ${giga(bandwidth)} GB/s`, { transform })
  )
}

function slopes(plot: Plot, { rates }: MachineDescription): string {
  const most = rates.at(-1)
  if (most === undefined) return ''
  return Object.entries(most.bandwidth)
    .map(([level, { copy }]) => slope(plot, level, copy, most.float32))
    .join('')
}

function axes({ x, y, highest }: Plot): string {
  const vertical = powers(4, intensities.low, intensities.high).map((value) => {
    const text = value < 1 ? `1/${1 / value}` : String(value)
    return (
      element('line', { class: 'grid', x1: x(value), x2: x(value), y1: topEdge, y2: bottomEdge }) +
      label(x(value), bottomEdge + 18, text, { 'text-anchor': 'middle' })
    )
  })
  const horizontal = powers(10, lowest, highest).map(
    (value) =>
      element('line', { class: 'grid', x1: leftEdge, x2: rightEdge, y1: y(value), y2: y(value) }) +
      label(leftEdge - 8, y(value) + 4, String(value / 1e9), { 'text-anchor': 'end' }),
  )
  const middle = (topEdge + bottomEdge) / 2
  return [
    ...vertical,
    ...horizontal,
    label((leftEdge + rightEdge) / 2, size.height - 8, 'operations a byte', { 'text-anchor': 'middle' }),
    label(16, middle, 'GFLOP/s', { 'text-anchor': 'middle', transform: `rotate(-90 16 ${middle})` }),
  ].join('')
}

/** Markup of the plot and its legend. */
export function roofline(machine: MachineDescription, rows: readonly Row[]): string {
  const entries = rows.flatMap((row) => (row.bound?.kernels ?? []).map((sum) => ({ row, sum })))
  const shown = entries.filter(({ sum }) => sum.bytes > 0 && sum.seconds > 0)
  const highest = 2 * Math.max(...machine.rates.map(({ float32 }) => float32))
  const x = logScale(intensities.low, intensities.high, leftEdge, rightEdge)
  const plot: Plot = { x, y: logScale(lowest, highest, bottomEdge, topEdge), highest }
  const picture = element(
    'svg',
    { viewBox: `0 0 ${size.width} ${size.height}`, role: 'img', 'aria-label': 'Roofline of every kernel' },
    axes(plot) +
      ceilings(plot, machine) +
      slopes(plot, machine) +
      shown.map(({ row, sum }) => point(plot, row, sum)).join(''),
  )
  const keys = Object.keys(groups).map((name, i) => `<span><i class="g${i}"></i>${escapeText(name)}</span>`)
  return `${picture}<p class="legend">${keys.join(' ')} <span><i class="drawn"></i>drawn shape</span></p>`
}
