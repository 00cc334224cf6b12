/** Bars for each workload: the ratios of the peers' times, and the share of the bound. */
import type { Row } from './measure.js'
import type { PeerName } from './peers.js'
import { element, hint, label, logScale } from './svg.js'

const width = 960
const left = 290
const rowHeight = 34
const barHeight = 9
const top = 28
const gap = 40
/** The panel of the ratios, and that of the shares. */
const panels = { ratios: [left, 690], shares: [690 + gap, width - 16] } as const
const ratioRange = { low: 0.5, high: 8 }
const peers: readonly (readonly [PeerName, string])[] = [
  ['torchTuned', 'PyTorch with the memory settings'],
  ['torch', 'PyTorch as it comes'],
  ['openblas', 'OpenBLAS'],
]

const ratioX = logScale(ratioRange.low, ratioRange.high, ...panels.ratios)
const shareX = (share: number): number => {
  const [from, to] = panels.shares
  return from + Math.min(1.1, share) * ((to - from) / 1.1)
}

function bar(row: Row, peer: PeerName, name: string, y: number): string {
  const ratio = row.ratios[peer]
  if (ratio === null) return ''
  const { estimate, low, high, confidence } = ratio
  const [from, to] = [ratioX(1), ratioX(estimate)].sort((a, b) => a - b) as [number, number]
  const text = `${row.name}: ${name} takes ${estimate.toFixed(2)} times as long [${low.toFixed(2)}, ${high.toFixed(2)}], ${(100 * confidence).toFixed(0)}%`
  const middle = y + barHeight / 2
  return element(
    'g',
    { class: peer },
    hint(text) +
      element('rect', { x: from, y, width: Math.max(1, to - from), height: barHeight }) +
      element('line', { class: 'interval', x1: ratioX(low), x2: ratioX(high), y1: middle, y2: middle }),
  )
}

function lines(row: Row, i: number): string {
  const y = top + i * rowHeight
  const served = peers.filter(([peer]) => row.ratios[peer] !== null)
  const bars = served.map(([peer, name], j) => bar(row, peer, name, y + 2 + j * (barHeight + 1)))
  const { share, bound } = row
  const shareBar =
    share === null || bound === null
      ? label(panels.shares[0] + 4, y + 16, bound === null ? '' : 'bound by calls', { class: 'faint' })
      : element(
          'g',
          { class: 'share' },
          hint(`${row.name}: ${share.toFixed(2)} of the bound, by ${bound.limit}`) +
            element('rect', { x: panels.shares[0], y: y + 4, width: shareX(share) - panels.shares[0], height: 14 }) +
            label(shareX(share) + 4, y + 15, share.toFixed(2)),
        )
  return label(left - 10, y + 16, row.name, { 'text-anchor': 'end' }) + bars.join('') + shareBar
}

function grid(height: number, compared: boolean): string {
  const rule = (x: number, text: string, strong: boolean) =>
    element('line', { class: strong ? 'one' : 'grid', x1: x, x2: x, y1: top - 6, y2: height }) +
    label(x, top - 12, text, { 'text-anchor': 'middle' })
  return (
    (compared ? [0.5, 1, 2, 4, 8] : []).map((value) => rule(ratioX(value), `${value}x`, value === 1)).join('') +
    [0, 0.25, 0.5, 0.75, 1].map((value) => rule(shareX(value), String(value), value === 1)).join('')
  )
}

/** Markup of the bars and their legend. */
export function peerBars(rows: readonly Row[]): string {
  const compared = rows.some(({ ratios }) => peers.some(([peer]) => ratios[peer] !== null))
  const height = top + rows.length * rowHeight
  const plot = element(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': 'Ratios to the peers, and shares of the bound' },
    grid(height, compared) + rows.map(lines).join(''),
  )
  const keys = peers.map(([peer, name]) => `<span><i class="${peer}"></i>${name}</span>`)
  return `<p class="legend">Left, by ratio: ${keys.join(' ')}; right: <span><i class="share"></i>share of the bound</span></p>${plot}`
}
