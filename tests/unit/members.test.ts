/** Values to be written by name. Values without names are refused, because an empty file would be written silently. */
import { describe, expect, it } from 'vitest'
import { membersOf } from '../../lib/io/members.js'

const of = (given: object) => [...membersOf('save', 'the parts', given)]

describe('members', () => {
  it('are entries of a Map, members of an object, and getters of its class and those above', () => {
    class Above {
      get high() {
        return 1
      }
    }
    class Run extends Above {
      low = 2
      get middle() {
        return 3
      }
    }
    expect(of(new Map([['a', 1]]))).toEqual([['a', 1]])
    expect(of({ a: 1, b: undefined })).toEqual([
      ['a', 1],
      ['b', undefined],
    ])
    expect(Object.fromEntries(of(new Run()))).toEqual({ low: 2, middle: 3, high: 1 })
    expect(of({})).toEqual([])
    expect(of(Object.create(null))).toEqual([])
    expect(of(new Map())).toEqual([])
  })

  it.each([
    ['a Set', new Set([1]), 'the parts are a Set, but must be'],
    ['an array', [1], 'the parts are an array, but must be'],
    ['a typed array', new Float32Array(2), 'but must be an object, or a Map with names as keys'],
    ['a WeakMap', new WeakMap(), 'a WeakMap, which has no members'],
    ['an instance of an empty class', new (class Empty {})(), 'which has no members'],
    ['a Map of numbers', new Map([[1, 2]]), 'the Map of the parts has the key 1, but keys must be texts'],
  ])('are not there in %s', (_title, given, text) => {
    expect(() => of(given)).toThrow(text)
  })
})
