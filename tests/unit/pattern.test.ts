import { describe, expect, it } from 'vitest'
import { Pattern } from '../../lib/finetune/pattern.js'
import { ValueError } from '../../lib/index.js'

const matches = (pattern: string, text: string) => new Pattern(pattern, 'loadAdapter', 'target_modules').matches(text)

describe('regular expressions of files', () => {
  // The results of Python's re.fullmatch, compared with JavaScript's engine if it has the same syntax.
  const patterns: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['q_proj', ['q_proj'], ['a.q_proj', 'q_proj2', '']],
    ['.*\\.(q|v)_proj', ['a.q_proj', '.v_proj'], ['q_proj', 'a.k_proj', 'aq_proj']],
    ['a|b.c', ['a', 'bxc', 'b.c'], ['ac', 'b.', 'abc.']],
    ['layers\\.[0-3]\\.q', ['layers.0.q', 'layers.3.q'], ['layers.4.q', 'layers.03.q']],
    ['[^.]+', ['abc'], ['a.b', '']],
    ['[]a-]+', [']-a'], ['b']],
    ['[\\w.-]*', ['a_1.-'], ['a b']],
    ['(ab){2,3}', ['abab', 'ababab'], ['ab', 'abababab']],
    ['a{2}b{,2}c{1,}', ['aac', 'aabbcc'], ['aabbbc', 'abc', 'aabb']],
    ['x{}{y}', ['x{}{y}'], ['x']],
    ['(a*)*b', ['b', 'aaab'], ['a']],
    ['(?:a|b)*?c', ['c', 'abac'], ['abd']],
    ['(?P<layer>\\d+)\\.q', ['12.q'], ['x.q']],
    ['(?!.*vision).*q', ['text.q', 'q'], ['vision.q', 'a.vision.b.q']],
    ['.*(?=q)q|v', ['aq', 'v'], ['a', 'qv']],
    ['.*(?<!k)_proj', ['a.q_proj', '_proj'], ['a.k_proj', 'k_proj']],
    ['.*(?<=\\.[qv])_proj', ['a.q_proj'], ['q_proj', 'a.k_proj', 'axq_proj']],
    ['.(?<=(?:ab|cd){2})', [], ['d', 'b']],
    ['.*(?<=(?:ab|cd){2})x', ['abcdx', 'zcdabx'], ['abx', 'acdx']],
    ['.*(?<=(?=a)a)b', ['ab', 'cab'], ['b', 'cb']],
    ['^a$', ['a'], ['aa']],
    ['\\Aa\\Z', ['a'], ['ab']],
    ['\\bq\\b.*', ['q', 'q.x'], ['qx']],
    ['q\\B.', ['qx'], ['q.']],
    ['', [''], ['a']],
    ['(|a)b', ['b', 'ab'], ['aab']],
    ['\\D\\S\\W', ['ab.'], ['1b.', 'a ', 'abc']],
    ['\\t\\.\\\\', ['\t.\\'], ['t.\\']],
  ]
  it.each(patterns)('%s', (pattern, yes, no) => {
    for (const text of yes) expect(matches(pattern, text), text).toBe(true)
    for (const text of no) expect(matches(pattern, text), text).toBe(false)
  })

  it('that are none or not supported are refused, and say why', () => {
    for (const [pattern, why] of [
      ['(', "a ')' is missing"],
      ['a)', "the ')' at 1 ends no group"],
      ['[a', "a ']' is missing"],
      ['*a', "there is nothing that '*' at 0 repeats"],
      ['a**', 'two quantifiers in a row'],
      ['a++', 'possessive'],
      ['a{3,2}', 'at least 3 and at most 2'],
      ['[b-a]', 'an invalid range'],
      ['[\\d-z]', 'an invalid range'],
      ['a\\', 'ends with a backslash'],
      ['(a)\\1', '\\1 is not supported'],
      ['\\q', '\\q is not supported'],
      ['(?<n>a)b', '(?<n is not supported'],
      ['(?<=a+)b', 'lookbehind supports only texts of one length'],
      ['(?<!a|bc)d', 'lookbehind supports only texts of one length'],
      ['(?<!a{1,2})d', 'lookbehind supports only texts of one length'],
      ['(?i)a', '(?i) is not supported'],
      ['(?P=x)', '(?P= is not supported'],
      ['('.repeat(200), 'groups are nested more than 100 deep'],
      ['a'.repeat(70_000), 'it has 70000 characters'],
      ['((a{100}){100}){100}', 'its repetitions need more than'],
      ['(){0,999999999}', 'its repetitions need more than'],
    ] as const) {
      expect(() => matches(pattern, ''), pattern).toThrow(ValueError)
      expect(() => matches(pattern, ''), pattern).toThrow(why)
      expect(() => matches(pattern, ''), pattern).toThrow('[loadAdapter] target_modules "')
    }
  })

  it('take no longer where another engine would try for ever', () => {
    const text = 'a'.repeat(2000)
    const started = performance.now()
    for (const pattern of ['(a+)+b', '(a|a)*b', '(a|aa)+b', '(.*)*(.*)*(.*)*b', '(?!(a+)+b)a*b', '((a?){50})*b'])
      expect(matches(pattern, text), pattern).toBe(false)
    expect(performance.now() - started).toBeLessThan(5000)
    expect(() => matches(`${'((?=.*b)|.)*'.repeat(20)}b`, 'a'.repeat(4000))).toThrow('takes too long')
  }, 30_000)
})
