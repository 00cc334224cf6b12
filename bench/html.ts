/** A page about a run that needs nothing else: no script, no font, no other file. */
import { writeFileSync } from 'node:fs'
import { peerBars } from './bars.js'
import type { Row } from './measure.js'
import { formatRatio, formatSeconds, machineLines } from './report.js'
import type { Results } from './results.js'
import { roofline } from './roofline.js'
import { escapeText } from './svg.js'

/**
 * Colours by Okabe and Ito, who chose them for people with any kind of colour vision. They are lightened on a dark
 * page.
 */
const style = `
:root { color-scheme: light dark; --back: #fff; --ink: #1b1b1b; --faint: #767676; --grid: #e2e2e2; --roof: #444;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b0569a; --c4: #8a6d00; --c5: #3a9ad9; --c6: #777; }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181c; --ink: #e8e8e8; --faint: #9a9a9a; --grid: #33363c; --roof: #bbb;
    --c0: #4da8e0; --c1: #ff8f4d; --c2: #3fd0a4; --c3: #e08cc8; --c4: #e0c040; --c5: #8accf5; --c6: #aaa; } }
body { background: var(--back); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1060px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; } svg text { fill: var(--ink); }
pre { overflow-x: auto; font-size: 12px; } .faint, svg text.faint { color: var(--faint); fill: var(--faint); }
.grid { stroke: var(--grid); } .one { stroke: var(--faint); } .roof { stroke: var(--roof); stroke-width: 1.5; }
${[0, 1, 2, 3, 4, 5, 6].map((i) => `.g${i} { fill: var(--c${i}); background: var(--c${i}); stroke: var(--c${i}); }`).join('\n')}
circle { fill-opacity: 0.55; } circle.drawn { fill-opacity: 0; stroke-width: 1.5; }
.torchTuned rect { fill: var(--c0); } .torch rect { fill: var(--c5); fill-opacity: 0.7; } .openblas rect { fill: var(--c4); }
.share rect { fill: var(--c2); } .interval { stroke: var(--ink); stroke-width: 1.2; }
.legend i { display: inline-block; width: 0.8em; height: 0.8em; margin: 0 0.35em 0 0.8em; border-radius: 50%; }
i.torchTuned { background: var(--c0); } i.torch { background: var(--c5); } i.openblas { background: var(--c4); }
i.share { background: var(--c2); } i.drawn { border: 1.5px solid var(--ink); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 12.5px; white-space: nowrap; }
td, th { padding: 0.15rem 0.6rem; text-align: right; border-bottom: 1px solid var(--grid); }
td:first-child, th:first-child, td:last-child, th:last-child { text-align: left; }
`

function table(titles: readonly string[], lines: readonly (readonly string[])[]): string {
  const row = (tag: string, cells: readonly string[]) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join('')}</tr>`
  return `<div class="wide"><table>${row('th', titles)}${lines.map((cells) => row('td', cells)).join('')}</table></div>`
}

function rowTable(rows: readonly Row[]): string {
  const titles = ['workload', 'seconds', 'share', 'limit', 'PyTorch', 'ratio', 'tuned', 'ratio', 'OpenBLAS', 'check']
  return table(
    titles,
    rows.map((row) => [
      row.name,
      formatSeconds(row.best),
      row.share === null ? '-' : row.share.toFixed(2),
      row.bound === null ? '-' : row.bound.limit,
      formatSeconds(row.torch),
      formatRatio(row.ratios.torch),
      formatSeconds(row.torchTuned),
      formatRatio(row.ratios.torchTuned),
      formatRatio(row.ratios.openblas),
      row.note,
    ]),
  )
}

function memoryTable(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ name, memory }) => {
    if (memory === null) return []
    const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
    const { reserved, tensors, growth, torchGrowth, torchTunedGrowth } = memory
    const growths = [growth, torchGrowth, torchTunedGrowth].map(megabytes)
    return [[name, megabytes(reserved), megabytes(tensors), (reserved / tensors).toFixed(2), ...growths]]
  })
  if (lines.length === 0) return ''
  const titles = ['MB', 'allocator', "tensors' peak", 'of it', 'process grew', "PyTorch's", 'with the settings']
  return `<h2>Memory of trainings</h2>${table(titles, lines)}`
}

export function page({ date, commit, seed, repeats, peers, peersHeldTo, machine, rows }: Results): string {
  const shown = rows.filter(({ backend, best }) => backend !== 'reference' && best !== null)
  const facts = [
    date.slice(0, 16).replace('T', ' '),
    ...(commit === null ? [] : [`commit ${commit}`]),
    `${repeats} samples`,
    ...(seed === null ? [] : [`shapes drawn from ${seed}`]),
    ...(peers === null ? [] : [peersHeldTo === null ? peers : `${peers}, both held to ${peersHeldTo}`]),
  ]
  const plots =
    machine === null
      ? ''
      : `<pre>${escapeText(machineLines(machine))}</pre><h2>Roofline</h2>${roofline(machine, shown)}
<p class="faint">A point is a kernel of a workload, each call run on its own; its area tells its part of the workload's time.
Kernels without multiply-adds are drawn as if they did one operation for each four bytes; what is too slow for the plot is at its lower edge. Slanted roofs are bandwidths of copying.</p>`
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Firesteel's benchmark, ${date.slice(0, 10)}</title><style>${style}</style></head><body>
<h1>Firesteel's benchmark</h1><p class="faint">${escapeText(facts.join(', '))}</p>
${plots}
<h2>Against the peers, and against the bound</h2>${peerBars(shown)}
<h2>Every workload</h2>${rowTable(shown)}
${memoryTable(shown)}
</body></html>
`
}

export function writePage(path: string, results: Results): void {
  writeFileSync(path, page(results))
}
