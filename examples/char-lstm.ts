/**
 * Learns a text character by character with an LSTM, then writes more of it.
 *
 * Shows: your own module, your own loop, a recurrent state that is carried from step to step without its graph,
 * clipping, and sampling one character at a time.
 * Usage: npx tsx examples/char-lstm.ts [--text FILE] [--steps 400] [--length 200] [--temperature 0.6] [--start 'The ']
 */
import { parseArgs } from 'node:util'
import { fromTypedArray, manualSeed, nn, noGrad, optim, rand, scope, type Tensor, zeros } from 'firesteel'
import { draw, readText, vocabularyOf } from './text.js'

const { values: options } = parseArgs({
  options: {
    text: { type: 'string' },
    steps: { type: 'string', default: '400' },
    length: { type: 'string', default: '200' },
    temperature: { type: 'string', default: '0.6' },
    start: { type: 'string', default: 'The ' },
  },
})

type State = readonly [hidden: Tensor, cell: Tensor]
const hidden = 192

/**
 * Characters [T, B] to the logits of the next ones [T, B, characters]. Its layers are found because they are its
 * properties.
 */
class CharModel extends nn.Module {
  readonly embed: nn.Embedding
  readonly lstm: nn.LSTM
  readonly head: nn.Linear

  constructor(characters: number) {
    super()
    this.embed = new nn.Embedding(characters, 48)
    this.lstm = new nn.LSTM(48, hidden)
    this.head = new nn.Linear(hidden, characters)
  }

  forward(ids: Tensor, before: State): { readonly logits: Tensor; readonly state: State } {
    const { output, state } = this.lstm.forward(this.embed.forward(ids), before)
    return { logits: this.head.forward(output), state }
  }
}

manualSeed(0)
const text = readText(options.text)
const vocabulary = vocabularyOf(text)
const ids = vocabulary.encode(text)
const model = new CharModel(vocabulary.size)
const optimizer = new optim.Adam(model.parameters(), { lr: 3e-3 })
console.log(`${ids.length} characters, ${vocabulary.size} different ones`)

// The text stands in as many columns as a batch has sequences. Each step reads the next `span` rows of all columns.
const [batch, span] = [32, 48]
const rows = Math.floor((ids.length - 1) / batch)
if (rows < span) throw new Error(`the text has ${ids.length} characters, but must have at least ${batch * span + 1}`)
const column = (row: number, shift: number) => Array.from({ length: batch }, (_, b) => ids[b * rows + row + shift] ?? 0)
const window = (from: number, shift: number) =>
  fromTypedArray(Int32Array.from(Array.from({ length: span }, (_, t) => column(from + t, shift)).flat()), [span, batch])

const nothing = (sequences: number): State => [zeros([1, sequences, hidden]), zeros([1, sequences, hidden])]
let state = nothing(batch)
let at = 0
for (let step = 0; step < Number(options.steps); step++) {
  if (at + span > rows) {
    at = 0
    state = nothing(batch)
  }
  // The tensors that the scope returns stay. The rest of the step is freed at the scope's end.
  const [loss, after] = scope((): [Tensor, State] => {
    const { logits, state: next } = model.forward(window(at, 0), state)
    const value = nn.functional.crossEntropy(logits.reshape([-1, vocabulary.size]), window(at, 1).reshape([-1]))
    value.backward()
    optim.clipGradNorm(model.parameters(), 1)
    optimizer.step()
    optimizer.zeroGrad()
    // Detached tensors end the gradients here, so that the graph of this step can be freed.
    return [value.detach(), [next[0].detach(), next[1].detach()]]
  })
  for (const each of state) each.dispose()
  state = after
  at += span
  // Without waiting for the loss, the steps would fill the queue. The wait also lets the event loop turn.
  const [number = Number.NaN] = await loss.data()
  if (step % 50 === 0 || step === Number(options.steps) - 1) console.log(`step ${step}: loss ${number.toFixed(3)}`)
}

/** Writes `length` characters that follow `start`. */
function write(start: string, length: number, temperature: number): string {
  let before = nothing(1)
  let logits: ArrayLike<number> = []
  const read = (id: number) =>
    scope(() => {
      const next = model.forward(fromTypedArray(Int32Array.of(id), [1, 1]), before)
      logits = next.logits.dataSync()
      before = next.state
      return before
    })
  return noGrad(() => {
    for (const id of vocabulary.encode(start)) read(id)
    let written = start
    for (let i = 0; i < length; i++) {
      const id = draw(logits, temperature, () => rand([1]).item())
      written += vocabulary.decode([id])
      read(id)
    }
    return written
  })
}

model.eval()
console.log(`\n${write(options.start, Number(options.length), Number(options.temperature))}`)
