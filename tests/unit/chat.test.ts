import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { ValueError } from '../../lib/index.js'
import { renderWithSpans } from '../../lib/text/chat/spans.js'
import {
  AutoTokenizer,
  type ChatMessage,
  ChatTemplate,
  type ChatVariables,
  chatRows,
  encodeChat,
} from '../../lib/text/index.js'
import { checkChats, tallied } from '../models/tokenizers.js'

const data = fileURLToPath(new URL('../models/data/', import.meta.url))
const llama = join(data, 'tokenizers', 'llama-bpe')

const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })

async function learned(source: string, messages: readonly ChatMessage[], variables: ChatVariables = {}) {
  const template = await ChatTemplate.compile(source)
  const { text, learn } = renderWithSpans('test', template, messages, { variables, answers: 'all' })
  return learn.map(([from, to]) => text.slice(from, to))
}

/** A template like Qwen 3's. It writes an empty thought for the last answer, unless the answer has its own. */
const thoughtful = `{%- for m in messages %}
{%- if m.role == 'assistant' %}
{%- set content = m.content %}{%- set thought = '' %}
{%- if '</think>' in content %}
{%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}
{%- endif %}
{{- '<|im_start|>assistant\\n' }}
{%- if loop.last %}{{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}{%- endif %}
{{- content + '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}`

/** A template like Llama 2's. A turn ends with a token, and the next begins with one. */
const instructed = `{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content | trim + ' [/INST]' }}{% else %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% endif %}{% endfor %}`

describe('what is learned of a chat', () => {
  it('is what the cases say, with templates that do not', async () => {
    const { tally, check } = tallied()
    await checkChats(join(data, 'chat', 'cases.json'), check)
    expect(tally).toEqual({ passed: 80, failed: 0 })
  })

  it('includes a thought that only some answers have', async () => {
    const chat = [
      user('a'),
      assistant('<think>\nold\n</think>\n\none'),
      user('b'),
      assistant('<think>\nhm\n</think>\n\ntwo'),
    ]
    expect(await learned(thoughtful, chat)).toEqual(['one<|im_end|>', '<think>\nhm\n</think>\n\ntwo<|im_end|>'])
    expect(await learned(thoughtful, [user('a'), assistant('one')])).toEqual(['one<|im_end|>'])
  })

  it('ends before the next turn, even where that begins with a marker at once', async () => {
    const chat = [user('hi'), assistant(' one '), user('more'), assistant('two')]
    const variables = { bos_token: '<s>', eos_token: '</s>' }
    expect(await learned(instructed, chat, variables)).toEqual(['one </s>', 'two </s>'])
    const hugging = '{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}'
    expect(await learned(hugging, chat)).toEqual([' one <end>', 'two<end>'])
  })

  it('includes calls of tools', async () => {
    const source =
      '{% for m in messages %}<|{{ m.role }}|>{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}'
    const call = { role: 'assistant', content: null, tool_calls: [{ name: 'weather' }] }
    expect(await learned(source, [user('Bern?'), call, { role: 'tool', content: '21' }, assistant('Warm.')])).toEqual([
      '[{"name": "weather"}]<|end|>',
      'Warm.<|end|>',
    ])
  })

  it('is nothing where the template leaves the answer out, and cannot be told where it comes twice', async () => {
    expect(await learned('{% for m in messages %}{{ m.role }}{% endfor %}', [user('a'), assistant('b')])).toEqual([])
    const twice = '{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}'
    await expect(learned(twice, [user('a'), assistant('b')])).rejects.toThrow('writes message 1 2 times')
  })

  it('is what generation blocks hold, with the white space that their tags take', async () => {
    const source = `{% for m in messages %}
    {% if m.role == 'assistant' %}
        {% generation %}
            {{ m.content }}
        {%- endgeneration %}
    {% else %}
{{ m.content }}
    {% endif %}
{% endfor %}`
    expect(await learned(source, [user('a'), assistant('b'), user('c')])).toEqual(['            b'])
  })
})

describe('templates', () => {
  it.each([
    ['{% for i in range(1000000000) %}x{% endfor %}', 'a range of 1000000000'],
    ['{% for i in range(200) %}{% for j in range(200) %}{% endfor %}{% endfor %}', 'more than 10000000 steps'],
    [
      "{% set n = namespace(x='xxxxxxxx') %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}",
      'a value of 33554432',
    ],
    [
      '{% set n = namespace(x=[1]) %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}',
      'a value of 131072',
    ],
    ['{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}', 'the template fails'],
    ["{{ raise_exception('no') }}", 'refuses the messages: no'],
    ["{{ ''.constructor.constructor('return process')() }}", 'the template fails'],
    ["{{ strftime_now('%Q') }}", '%Q'],
  ])('end, whatever they do: %s', async (source, message) => {
    const template = await ChatTemplate.compile(source)
    let error: unknown = null
    try {
      template.render([user('a')])
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(ValueError)
    expect(String(error)).toContain(message)
  })

  it('that are none are refused', async () => {
    await expect(ChatTemplate.compile('{% for %}')).rejects.toThrow('the template is not valid Jinja')
    await expect(ChatTemplate.compile('x'.repeat(2 ** 20 + 1))).rejects.toThrow('has 1048577 characters')
    expect((await ChatTemplate.compile('x'.repeat(2 ** 20))).render([])).toHaveLength(2 ** 20)
  })
})

describe('rows of chats', () => {
  const rows = [{ messages: [user('What is 2+2?'), assistant('4.')] }, { messages: [user('Hello'), assistant('Hoi!')] }]

  it('have labels where something is learned', async () => {
    const tokenizer = await AutoTokenizer.load(llama)
    const given = []
    for await (const row of chatRows(rows, tokenizer)) given.push(row)
    expect(given).toHaveLength(2)
    const { ids, learned } = await encodeChat((rows[0] as (typeof rows)[0]).messages, { tokenizer })
    const labels = ids.map((id, i) => (learned[i] === 1 ? id : -100))
    expect(given[0]).toEqual({ ids: Int32Array.from(ids), labels: Int32Array.from(labels), cut: 0 })
    const answer = given[0]?.labels.filter((label) => label >= 0) ?? []
    expect(tokenizer.decode(answer, { skipSpecialTokens: false })).toMatch(/4\.<\/s>$/)
  })

  it('are cut, and counted, until nothing is left to learn', async () => {
    const tokenizer = await AutoTokenizer.load(llama)
    const { ids, learned } = await encodeChat((rows[0] as (typeof rows)[0]).messages, { tokenizer })
    const first = learned.indexOf(1)
    const read = async (maxLength: number) => {
      for await (const row of chatRows(rows.slice(0, 1), tokenizer, { maxLength })) return row
      return null
    }
    expect((await read(ids.length))?.cut).toBe(0)
    expect((await read(first + 1))?.cut).toBe(ids.length - first - 1)
    await expect(read(first)).rejects.toThrow(`row 0 has nothing to learn: its answers come after the first ${first}`)
  })

  it('with nothing to learn, or no messages, are refused by their number', async () => {
    const tokenizer = await AutoTokenizer.load(llama)
    const read = async (more: unknown) => {
      for await (const _ of chatRows([...rows, more as (typeof rows)[0]], tokenizer));
    }
    await expect(read({ messages: [user('a')] })).rejects.toThrow('row 2 has nothing to learn: it has 1 messages')
    await expect(read({ text: 'a' })).rejects.toThrow('row 2 is an object, but must have messages')
    await expect(read({ messages: [{ content: 'a' }] })).rejects.toThrow('row 2: message 0')
  })

  it('need a template', async () => {
    const tokenizer = await AutoTokenizer.load(join(data, 'tokenizers', 'byte-bpe'))
    expect(() => chatRows(rows, tokenizer)).toThrow('has no chat template')
    const template = '{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>{% endfor %}'
    for await (const row of chatRows(rows, tokenizer, { template })) expect(row.labels.some((id) => id >= 0)).toBe(true)
  })
})
