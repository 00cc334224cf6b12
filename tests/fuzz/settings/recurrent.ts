/** Settings of recurrent layers and cells: layers, directions, layouts, projections, lengths and states. */
import * as f from '../../../lib/index.js'
import { type Choices, keywords, literal, type Setting } from './setting.js'
import { filled, like, weightsOf } from './weights.js'

const { nn } = f

const kinds = ['RNN', 'LSTM', 'GRU'] as const
type Kind = (typeof kinds)[number]

type Options = f.nn.RnnLayerOptions & f.nn.LstmLayerOptions

const layers = {
  RNN: (i: number, h: number, options: Options) => new nn.RNN(i, h, options),
  LSTM: (i: number, h: number, options: Options) => new nn.LSTM(i, h, options),
  GRU: (i: number, h: number, options: Options) => new nn.GRU(i, h, options),
}
const cells = { RNN: nn.RNNCell, LSTM: nn.LSTMCell, GRU: nn.GRUCell }

const nonlinearity = (draw: Choices, kind: Kind) =>
  kind === 'RNN' && draw.chance(0.6) ? { nonlinearity: draw.pick(['tanh', 'relu'] as const) } : {}

/** One step, of a batch or of one sequence, with a state or without. */
function cell(draw: Choices): Setting {
  const kind = draw.pick(kinds)
  const [i, h] = [draw.integer(1, 5), draw.integer(1, 5)]
  const lead = draw.chance(0.7) ? [draw.integer(1, 4)] : []
  const options = { ...(draw.flag() ? { bias: draw.flag() } : {}), ...nonlinearity(draw, kind) }
  const hasState = draw.flag()
  const count = hasState ? (kind === 'LSTM' ? 2 : 1) : 0
  // Some states have another size, which both libraries must refuse.
  const size = draw.chance(0.05) ? h + 1 : h
  const states = Array.from({ length: count }, () => draw.floats([...lead, size]))
  const { given, python } = weightsOf(draw, new cells[kind](i, h, options as f.nn.CellOptions), 1 + count)
  const state = count === 0 ? '' : kind === 'LSTM' ? ', (x1, x2)' : ', x1'
  return {
    python: `filled(nn.${kind}Cell(${i}, ${h}${keywords(options)}), ${python})(x0${state})`,
    inputs: [draw.floats([...lead, i]), ...states, ...given],
    call: ([first, ...rest]) => {
      const x = first as f.Tensor
      const module = filled(new cells[kind](i, h, { ...options, ...like(x) } as f.nn.CellOptions), rest.slice(count))
      const [a, b] = rest
      if (module instanceof nn.LSTMCell) return module.forward(x, hasState ? [a as f.Tensor, b as f.Tensor] : undefined)
      return module.forward(x, hasState ? a : undefined)
    },
  }
}

function layer(draw: Choices): Setting {
  const kind = draw.pick(kinds)
  const [i, h] = [draw.integer(1, 4), draw.integer(1, 4)]
  const [t, b] = [draw.integer(1, 7), draw.integer(1, 4)]
  const numLayers = draw.integer(1, 3)
  const bidirectional = draw.flag()
  const batchFirst = draw.flag()
  const projSize = kind === 'LSTM' && h > 1 && draw.flag() ? draw.integer(1, h - 1) : 0
  const options: Options = {
    ...(numLayers > 1 || draw.flag() ? { numLayers } : {}),
    ...(draw.flag() ? { bias: draw.flag() } : {}),
    ...(batchFirst || draw.flag() ? { batchFirst } : {}),
    ...(bidirectional || draw.flag() ? { bidirectional } : {}),
    ...(projSize > 0 ? { projSize } : {}),
    ...nonlinearity(draw, kind),
  }
  const isSingle = draw.chance(0.2)
  const hasLengths = !isSingle && draw.flag()
  const lengths = Array.from({ length: b }, () => draw.integer(1, t))
  const hasState = draw.flag()
  const rows = numLayers * (bidirectional ? 2 : 1)
  // Some states are of another batch, which both libraries must refuse. With lengths PyTorch drops the rows too many.
  const lead = isSingle ? [rows] : [rows, !hasLengths && draw.chance(0.08) ? b + 1 : b]
  const sizes = !hasState ? [] : kind === 'LSTM' ? [projSize > 0 ? projSize : h, h] : [h]
  const states = sizes.map((size) => draw.floats([...lead, size]))
  const count = states.length
  const shape = isSingle ? [t, i] : batchFirst ? [b, t, i] : [t, b, i]
  const { given, python } = weightsOf(draw, layers[kind](i, h, options), 1 + count)
  const state = count === 0 ? '' : kind === 'LSTM' ? ', (x1, x2)' : ', x1'
  const built = `filled(nn.${kind}(${i}, ${h}${keywords(options)}), ${python})`
  return {
    python: hasLengths ? `packed(${built}, x0, torch.tensor(${literal(lengths)})${state})` : `${built}(x0${state})`,
    inputs: [draw.floats(shape), ...states, ...given],
    call: ([first, ...rest]) => {
      const x = first as f.Tensor
      const module = filled(layers[kind](i, h, { ...options, ...like(x) }), rest.slice(count))
      const [a, c] = rest
      const more = hasLengths ? { lengths } : {}
      if (module instanceof nn.LSTM) {
        const { output, state } = module.forward(x, hasState ? [a as f.Tensor, c as f.Tensor] : undefined, more)
        return [output, ...state]
      }
      const { output, state } = module.forward(x, hasState ? a : undefined, more)
      return [output, state]
    },
  }
}

export const recurrence = (draw: Choices): Setting => draw.pick([layer, layer, cell])(draw)
