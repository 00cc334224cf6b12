/** Sound calls of `firesteel/text`: tokenizers, their training and folders, and chats. */
import * as text from '../../lib/text/index.js'
import type { PublicCall } from '../cases/sound.js'
import { special, wordpiece } from '../unit/tasks.js'
import { collector } from './collect.js'
import { path } from './folder.js'

const { entries, add, make } = collector()

const tokenizer = wordpiece()
const template =
  '{% for m in messages %}<{{ m.role }}>{% if m.role == "assistant" %}{% generation %}{{ m.content }}{% endgeneration %}' +
  '{% else %}{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}'
const messages = () => [
  { role: 'user', content: 'it' },
  { role: 'assistant', content: 'fits' },
]

add('applyChatTemplate', text.applyChatTemplate as never, () => [
  messages(),
  { tokenizer, addGenerationPrompt: true, tools: [{ name: 'x' }], template, variables: { enable_thinking: false } },
])
add('encodeChat', text.encodeChat as never, () => [
  messages(),
  { tokenizer, tools: [{ name: 'x' }], template, variables: { x: 1 }, learn: 'last' },
])
add(
  'chatRows',
  (rows, own, options) => text.chatRows(rows, own, options).toArray(),
  () => [
    [{ messages: messages(), tools: [{ name: 'x' }] }],
    tokenizer,
    { maxLength: 99, template, variables: { x: 1 }, learn: 'all' },
  ],
)
add(
  'chatRows',
  (row) => text.chatRows([row], tokenizer, { template }).toArray(),
  () => [{ messages: messages() }],
)
add('ChatTemplate.compile', text.ChatTemplate.compile, () => [template])
add(
  'ChatTemplate.render',
  async (given, variables) => (await text.ChatTemplate.compile(template)).render(given, variables),
  () => [messages(), { x: 1 }],
)

make('Tokenizer', text.Tokenizer as never, () => [
  tokenizer.toJSON(),
  { special, paddingSide: 'left', truncationSide: 'left', maxLength: 8, chatTemplate: template },
  'a file',
])
add(
  'encode',
  (x, options) => tokenizer.encode(x, options),
  () => [
    'it fits',
    {
      ...{ pair: 'a backend', specialTokens: true, maxLength: 6, truncation: 'longestFirst', truncationSide: 'left' },
      ...{ stride: 1, padding: 9, paddingSide: 'left', padToMultipleOf: 4 },
    },
  ],
)
add(
  'encodeBatch',
  (x, options) => tokenizer.encodeBatch(x, options),
  () => [['it fits', ['a', 'b']], { maxLength: 6, padding: 'longest', padToMultipleOf: 4 }],
)
add(
  'encodeBatchAsync',
  async (x, options) => {
    const batch = await tokenizer.encodeBatchAsync(x, options)
    return Object.values(batch).map((array: Int32Array | Uint8Array) => [...array])
  },
  () => [
    ['it fits', ['a', 'b']],
    {
      ...{ maxLength: 6, truncation: 'longestFirst', truncationSide: 'left', specialTokens: true },
      ...{ padding: 'longest', paddingSide: 'left', padToMultipleOf: 4 },
    },
  ],
)
add(
  'decode',
  (ids, options) => tokenizer.decode(ids, options),
  () => [[5, 6], { skipSpecialTokens: false }],
)
add(
  'addTokens',
  (tokens, options) => wordpiece().addTokens(tokens, options),
  () => [['<x>'], { special: true }],
)
add(
  'idOf',
  (token) => tokenizer.idOf(token),
  () => ['it'],
)
add(
  'tokenOf',
  (id) => tokenizer.tokenOf(id),
  () => [1],
)
add(
  'idFor',
  (role) => tokenizer.idFor(role),
  () => ['pad'],
)
add('trainTokenizer', text.trainTokenizer as never, () => [
  'wordpiece',
  ['it fits', 'a backend'],
  {
    vocabSize: 40,
    special: ['[UNK]', '[PAD]'],
    minFrequency: 1,
    roles: { unk: '[UNK]', pad: '[PAD]' },
    lowercase: true,
  },
])
add('saveTokenizer', text.saveTokenizer as never, () => [tokenizer, path('saved-tokenizer')])
const saved = text.saveTokenizer(tokenizer, path('tokenizer'))
add(
  'AutoTokenizer.load',
  async (from, options) => {
    await saved
    return text.AutoTokenizer.load(from, options)
  },
  () => [path('tokenizer'), { padToken: '[PAD]', chatTemplate: template }],
)

export const textCalls: readonly PublicCall[] = entries
