/** native/tests must cover every kernel. Each test states its own oracle. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { kernelNames } from '../../lib/backend/table/index.js'

const folder = fileURLToPath(new URL('../../native/tests/', import.meta.url))
const text = readdirSync(folder)
  .filter((file) => /\.(cpp|h)$/.test(file))
  .map((file) => readFileSync(`${folder}${file}`, 'utf8'))
  .join('\n')
  .replace(/\/\/.*$/gm, '')
  .replace(/"(?:[^"\\]|\\.)*"/g, '""')
const words = new Set(text.match(/\w+/g))

describe('kernels of the table', () => {
  it('are each called by a native test', () => {
    expect(kernelNames.filter((name) => !words.has(name))).toEqual([])
  })
})
