/** The width of texts in a terminal, and a table with Chinese names. */
import { describe, expect, it } from 'vitest'
import { columnsOf } from '../../lib/core/columns.js'
import { nn, type Tensor } from '../../lib/index.js'

describe('columnsOf', () => {
  it.each([
    ['', 0],
    ['loss', 4],
    ['准确率', 6],
    ['𠮷', 2],
    ['，Ａ。', 6],
    ['ﾊﾟ', 2],
    ['한글', 4],
    ['e\u0301', 1],
    ['é ·—', 4],
    ['😀', 2],
  ])('of %j', (text, columns) => expect(columnsOf(text)).toBe(columns))
})

it('summaries keep their columns beside Chinese names', () => {
  class Heads extends nn.Module {
    readonly heads = new nn.ModuleDict({ 情感: new nn.Linear(4, 2), topic: new nn.Linear(4, 3) })
    forward(x: Tensor): Tensor {
      this.heads.get('topic').forward(x)
      return this.heads.get('情感').forward(x)
    }
  }
  const lines = String(new Heads().summary([1, 4])).split('\n')
  const widths = lines.filter((line) => line.includes('Linear')).map(columnsOf)
  expect(widths).toHaveLength(2)
  expect(widths[0]).toBe(columnsOf(lines[0] as string))
  expect(widths[1]).toBe(widths[0])
})
