/** The bench's table and its summary. */
import type { Bound } from './bound.js'
import type { Machine, MachineDescription } from './machine.js'
import type { Row } from './measure.js'
import type { MemoryUse } from './memory.js'
import { geometricMean, type Interval } from './statistics.js'

const titles = ['workload', 'backend', 'seconds', 'share', 'limit', 'torch', 'ratio', 'tuned', 'ratio', 'OpenBLAS']
const widths = [40, 10, 11, 7, 9, 11, 19, 11, 19, 19]

function line(cells: readonly string[]): string {
  return cells
    .map((cell, i) => {
      const width = widths[i]
      return width === undefined ? `  ${cell}` : i < 2 ? `${cell} `.padEnd(width) : cell.padStart(width)
    })
    .join('')
    .trimEnd()
}

export function formatSeconds(value: number | null): string {
  if (value === null) return '-'
  if (value >= 1) return `${value.toFixed(3)} s`
  return value >= 1e-3 ? `${(value * 1e3).toFixed(3)} ms` : `${(value * 1e6).toFixed(1)} us`
}

export function formatRatio(ratio: Interval | null): string {
  if (ratio === null) return '-'
  const { estimate, low, high, confidence } = ratio
  return confidence < 0.9 ? estimate.toFixed(2) : `${estimate.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`
}

/** The limit's name, such as `flops`, `L2`, or `memory~` if part of the memory stays in the caches. */
export function limitOf({ limit, workingSet }: Bound, machine: Pick<Machine, 'exceedsCaches'>): string {
  return limit === 'memory' && !machine.exceedsCaches(workingSet) ? 'memory~' : limit
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

function formatMemory({ reserved, tensors, growth, torchGrowth, torchTunedGrowth }: MemoryUse): string {
  return (
    `  memory: allocator ${megabytes(reserved)} MB, ${(reserved / tensors).toFixed(2)} of the live tensors' peak; process ` +
    `grew by ${megabytes(growth)} MB, PyTorch's by ${megabytes(torchGrowth)} (tuned ${megabytes(torchTunedGrowth)})`
  )
}

export const head = line(titles)

export function skipped(name: string, why: string): string {
  return line([name, '', '-', '-', '-', '-', '-', '-', '-', '-', why])
}

export function rowLines(row: Row, machine: Pick<Machine, 'exceedsCaches'> | null): string {
  const { bound, share, ratios, memory } = row
  const text = line([
    row.name,
    row.backend,
    formatSeconds(row.best),
    share === null ? '-' : share.toFixed(2),
    bound === null || machine === null ? '-' : limitOf(bound, machine),
    formatSeconds(row.torch),
    formatRatio(ratios.torch),
    formatSeconds(row.torchTuned),
    formatRatio(ratios.torchTuned),
    formatRatio(ratios.openblas),
    row.note,
  ])
  return memory === null ? text : `${text}\n${formatMemory(memory)}`
}

export function machineLines({ processor, cores, caches, peaks, rates }: MachineDescription): string {
  const kilobytes = (bytes: number) => `${bytes / 1024}K`
  const giga = (value: number) => (value / 1e9).toFixed(1)
  return [
    `machine: ${processor}, ${cores} cores; L1 ${kilobytes(caches.L1)}, L2 ${kilobytes(caches.L2)}, L3 ${kilobytes(caches.L3)}`,
    ...peaks.map(({ isa, threads, operations }) => `  ${isa}, threads ${threads}: ${giga(operations)} GFLOP/s float32`),
    ...rates.map(({ threads, bandwidth, float32, bfloat16 }) => {
      const parts = Object.entries(bandwidth).map(([level, b]) => `${level} ${giga(b.read)} / ${giga(b.copy)}`)
      const products = bfloat16 > float32 ? `; ${giga(bfloat16)} GFLOP/s bfloat16` : ''
      return `  threads ${threads}, GB/s read / copied: ${parts.join(', ')}${products}`
    }),
  ].join('\n')
}

/** One line on what was checked and, if there is a peer, on how the library compares. */
export function summary(rows: readonly Row[], backend: string): string {
  const ours = rows.filter((row) => row.backend === backend && row.best !== null)
  const unchecked = ours.filter(({ checked }) => !checked).map(({ name }) => name)
  const means = (['torch', 'torchTuned'] as const).map((peer) => {
    const paired = ours.flatMap(({ ratios }) => ratios[peer]?.estimate ?? [])
    const minima = ours.flatMap((row) => (row[peer] === null || row.best === null ? [] : row[peer] / row.best))
    if (paired.length === 0) return '-'
    return `${geometricMean(paired).toFixed(2)} (of minima ${geometricMean(minima).toFixed(2)})`
  })
  const lines = [
    `${backend}: ${ours.length - unchecked.length} of ${ours.length} agree with PyTorch` +
      `${unchecked.length > 0 ? ` (not ${unchecked.join(', ')})` : ''}; geometric mean of the ratios ` +
      `${means[0]} as it comes, ${means[1]} with the memory settings`,
  ]
  const behind = ours.filter(({ ratios }) => ratios.torchTuned !== null && ratios.torchTuned.estimate < 0.97)
  if (behind.length > 0)
    lines.push(
      `  below 0.97 of PyTorch with the settings: ${behind.map(({ name, ratios }) => `${name} ${formatRatio(ratios.torchTuned)}`).join(', ')}`,
    )
  return lines.join('\n')
}
