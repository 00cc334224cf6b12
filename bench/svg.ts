/** Pieces of SVG, as text. */

export function escapeText(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
}

type Attributes = { readonly [name: string]: string | number }

/** An element; `content` is markup. */
export function element(name: string, attributes: Attributes, content = ''): string {
  const list = Object.entries(attributes).map(([key, value]) => {
    const text = typeof value === 'number' ? String(Math.round(value * 100) / 100) : escapeText(value)
    return ` ${key}="${text}"`
  })
  return `<${name}${list.join('')}>${content}</${name}>`
}

export function label(x: number, y: number, text: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escapeText(text))
}

/** The text that appears when the pointer rests on an element. */
export function hint(text: string): string {
  return element('title', {}, escapeText(text))
}

/** Maps [low, high] to [from, to] on a logarithmic scale. */
export function logScale(low: number, high: number, from: number, to: number): (value: number) => number {
  const factor = (to - from) / Math.log(high / low)
  return (value) => from + Math.log(Math.min(high, Math.max(low, value)) / low) * factor
}

/** Powers of `base` within [low, high]. */
export function powers(base: number, low: number, high: number): readonly number[] {
  const first = Math.ceil(Math.log(low) / Math.log(base) - 1e-9)
  const last = Math.floor(Math.log(high) / Math.log(base) + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, i) => base ** (first + i))
}
