/** A study as a page: its table, and for each setting a picture of the searched number. */
import { digits, escaped, page, tableOf } from '../page.js'
import type { Setting, Space } from './space.js'
import type { Study } from './study.js'
import type { TrialRecord } from './table.js'

const [width, height, margin] = [420, 220, 44]

export function studyPage(study: Study, space: Space, ranked: readonly TrialRecord[]): string {
  const names = Object.keys(space)
  const others = study.trials.filter(({ state }) => state !== 'done')
  const { monitor, maximise, trials, failed, pruned, stopped } = study
  const rows = [...ranked, ...others].map(({ trial, value, epochs, seconds, state, reason, values }) => [
    ...[trial, value, epochs],
    ...names.map((name) => (values[name] === null ? 'null' : values[name])),
    ...[seconds, reason === null ? state : `${state}: ${reason}`],
  ])
  return page(`Search for the ${maximise ? 'most' : 'least'} ${monitor}`, [
    `<p>${trials.length} trials, ${failed} failed, ${pruned} pruned.${stopped === null ? '' : ` Stopped: ${escaped(stopped)}.`}</p>`,
    ...names.map((name) => picture(monitor, name, space, ranked)),
    '<h2>Trials</h2>',
    tableOf(['trial', monitor, 'epochs', ...names, 'seconds', 'end'], rows),
  ])
}

/** Places of the values on the axis of a setting, from 0 to 1, with the labels of its ends. */
function axisOf(
  space: Space,
  name: string,
): { readonly at: (value: Setting) => number; readonly ends: [string, string] } {
  const { kind, given } = space[name] as Space[string]
  const ends: [string, string] = [String(given[0]), String(given.at(-1))]
  if (kind === 'choice')
    return { at: (value) => (given.length === 1 ? 0.5 : given.indexOf(value) / (given.length - 1)), ends }
  const scale = kind === 'logUniform' ? Math.log : (value: number) => value
  const [low, high] = [scale(given[0] as number), scale(given[1] as number)]
  return { at: (value) => scale(value as number) / (high - low) - low / (high - low), ends }
}

/** A point for each completed trial, the best one filled. Empty if there is none. */
function picture(monitor: string, name: string, space: Space, ranked: readonly TrialRecord[]): string {
  if (ranked.length === 0) return ''
  const { at, ends } = axisOf(space, name)
  const values = ranked.map(({ value }) => value as number)
  const low = values.reduce((a, b) => Math.min(a, b))
  const high = values.reduce((a, b) => Math.max(a, b))
  const x = (place: number) => digits(margin + place * (width - 2 * margin))
  const y = (value: number) =>
    digits(margin + (high === low ? 0.5 : (high - value) / (high - low)) * (height - 2 * margin))
  const points = ranked.map(
    ({ trial, value, values: settings }, i) =>
      `<circle cx="${x(at(settings[name] as Setting))}" cy="${y(value as number)}" r="${i === 0 ? 6 : 4}" fill="${i === 0 ? '#d1495b' : '#30638e'}" fill-opacity="0.7">` +
      `<title>trial ${trial}: ${escaped(`${name} ${String(settings[name])}, ${monitor} ${value}`)}</title></circle>`,
  )
  const text = (at: number, down: number, words: string, anchor: string) =>
    `<text x="${at}" y="${down}" text-anchor="${anchor}">${escaped(words)}</text>`
  return [
    `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(`${monitor} by ${name}`)}">`,
    `<rect x="${margin}" y="${margin - 10}" width="${width - 2 * margin}" height="${height - 2 * margin + 20}" fill="none" stroke="#c3cad5"/>`,
    ...points.reverse(),
    text(margin, height - 16, ends[0], 'start'),
    text(width - margin, height - 16, ends[1], 'end'),
    text(width / 2, height - 16, name, 'middle'),
    text(margin, 18, `${monitor}: ${digits(low)} to ${digits(high)}`, 'start'),
    '</svg>',
  ].join('\n')
}
