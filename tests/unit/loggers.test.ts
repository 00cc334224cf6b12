/** Loggers, and curves as text. Their output is read again by its own rules. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import {
  consoleLogger,
  csvLogger,
  type Logger,
  metrics,
  nn,
  optim,
  progressBar,
  type Session,
  Trainer,
  type TrainingEvent,
  tensor,
  tensorBoard,
  ValueError,
} from '../../lib/index.js'
import { plot } from '../../lib/train/plot.js'
import { crc32c, maskedCrc32c } from '../../lib/train/record/crc32c.js'
import { tfRecord } from '../../lib/train/record/tensorboard.js'

const folders: string[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'firesteel-log-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

const fresh: Session = {
  resumed: false,
  reached: { steps: 0, epochs: 0, validated: -1 },
  monitors: ['loss', 'f,1', 'validation.loss', 'validation.f,1', 'lr', 'seconds', 'epoch'],
  epochs: 2,
}
const numbers = { loss: 0.5, lr: 0.1, gradNorm: 3, itemsPerSecond: 12_345, waiting: 0.25, peakBytes: 4_200_000 }
/** Two epochs of two steps. */
const events: readonly TrainingEvent[] = [0, 1].flatMap((epoch): TrainingEvent[] => {
  const at = (step: number) => ({ time: 1_700_000_000_000 + 1000 * step, step, epoch })
  const [first, last] = [2 * epoch + 1, 2 * epoch + 2]
  return [
    { type: 'step', ...at(first), numbers: { ...numbers, loss: 1 / first } },
    { type: 'step', ...at(last), numbers: { ...numbers, loss: 1 / last } },
    { type: 'validation', ...at(last), numbers: { loss: Number.NaN, 'f,1': 0.75 } },
    {
      type: 'epoch',
      ...at(last),
      numbers: { loss: 0.7, 'f,1': 0.5, 'validation.f,1': 0.75, seconds: 2, waiting: 0.5 },
    },
  ]
})

async function logged(logger: Logger, some: readonly TrainingEvent[], session = fresh): Promise<void> {
  await logger.open?.(session)
  for (const event of some) logger.log(event)
  await logger.close?.()
}

describe('csvLogger', () => {
  const header = 'epoch,step,time,loss,"f,1",validation.loss,"validation.f,1",lr,seconds'
  const rates = 'itemsPerSecond,countedPerSecond,waiting,peakShare,peakBytes'

  it('writes a row for each epoch', async () => {
    const path = join(folder(), 'of', 'epochs.csv')
    await logged(csvLogger(path), events)
    expect(readFileSync(path, 'utf8').split('\n')).toEqual([
      `${header},${rates}`,
      '0,2,2023-11-14T22:13:22.000Z,0.7,0.5,,0.75,,2,,,0.5,,',
      '1,4,2023-11-14T22:13:24.000Z,0.7,0.5,,0.75,,2,,,0.5,,',
      '',
    ])
  })

  it.each([
    ['step', `epoch,step,time,loss,lr,gradNorm,${rates}`, '0,1,2023-11-14T22:13:21.000Z,1,0.1,3,12345,,0.25,,4200000'],
    ['validation', 'epoch,step,time,loss,"f,1"', '0,2,2023-11-14T22:13:22.000Z,NaN,0.75'],
  ] as const)('writes a row for each %s', async (rows, first, second) => {
    const path = join(folder(), 'a.csv')
    await logged(csvLogger(path, { rows }), events)
    const lines = readFileSync(path, 'utf8').trim().split('\n')
    expect(lines.slice(0, 2)).toEqual([first, second])
    expect(lines).toHaveLength(rows === 'step' ? 5 : 3)
  })

  it('cuts what a run that goes on does again, and refuses another table', async () => {
    const path = join(folder(), 'a.csv')
    await logged(csvLogger(path, { rows: 'step' }), events)
    const reached = { steps: 3, epochs: 1, validated: 2 }
    const again = events.filter(({ step }) => step > 3)
    await logged(csvLogger(path, { rows: 'step' }), again, { ...fresh, resumed: true, reached })
    const steps = () =>
      readFileSync(path, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(',')[1])
    expect(steps()).toEqual(['step', '1', '2', '3', '4'])
    const other = logged(csvLogger(path), [], { ...fresh, resumed: true, reached })
    await expect(other).rejects.toThrow(`${path} has the columns epoch,step,time,loss,lr`)
    // A new run writes a new table.
    await logged(csvLogger(path, { rows: 'step' }), events.slice(0, 1))
    expect(steps()).toEqual(['step', '1'])
  })
})

/** Fields of a message in protobuf's wire form: numbers, or bytes for longer values. */
function fieldsOf(bytes: Buffer): { readonly [field: number]: readonly (number | Buffer)[] } {
  const fields: { [field: number]: (number | Buffer)[] } = {}
  let at = 0
  const varint = () => {
    let [value, scale] = [0, 1]
    for (;;) {
      const byte = bytes[at++] as number
      value += (byte & 127) * scale
      scale *= 128
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const key = varint()
    const list = (fields[key >> 3] ??= [])
    const kind = key & 7
    if (kind === 0) list.push(varint())
    else if (kind === 1) list.push(bytes.readDoubleLE((at += 8) - 8))
    else if (kind === 5) list.push(bytes.readFloatLE((at += 4) - 4))
    else if (kind === 2) {
      const length = varint()
      list.push(bytes.subarray(at, (at += length)))
    } else throw new Error(`kind ${kind}`)
  }
  return fields
}

/** The records of a file. Each checksum is compared with a separate computation, bit by bit. */
function recordsOf(path: string): Buffer[] {
  const bytes = readFileSync(path)
  const masked = (data: Buffer) => {
    let crc = 0xffffffff
    for (const byte of data)
      for (let bit = 0; bit < 8; bit++) crc = ((crc ^ (byte >> bit)) & 1 ? 0x82f63b78 : 0) ^ (crc >>> 1)
    crc = ~crc >>> 0
    return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
  }
  const records: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at))
    expect(bytes.readUInt32LE(at + 8)).toBe(masked(bytes.subarray(at, at + 8)))
    const data = bytes.subarray(at + 12, at + 12 + length)
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(masked(data))
    records.push(data)
    at += 16 + length
  }
  return records
}

describe('tensorBoard', () => {
  it('has the checksum of RFC 3720', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43)
    expect(maskedCrc32c(Buffer.alloc(0))).toBe(0xa282ead8)
  })

  it('writes the bytes that TensorBoard writes', () => {
    // From RecordWriter of tensorboard.summary.writer, for b'abc'.
    expect(Buffer.from(tfRecord(Buffer.from('abc'))).toString('hex')).toBe('0300000000000000b099490e6162636e57f121')
  })

  it('writes scalars, in a file a fit', async () => {
    const where = join(folder(), 'board')
    await logged(tensorBoard(where), events)
    const [name = ''] = readdirSync(where)
    expect(name).toMatch(/^events\.out\.tfevents\.\d{13}\./)
    const [version, ...records] = recordsOf(join(where, name)).map(fieldsOf)
    expect(String(version?.[3]?.[0])).toBe('brain.Event:2')
    expect(records.map(({ 2: step }) => step?.[0])).toEqual([1, 2, 2, 2, 3, 4, 4, 4])
    expect(records[0]?.[1]).toEqual([1_700_000_001])
    const scalars = records.flatMap(({ 5: summary }) =>
      (fieldsOf(summary?.[0] as Buffer)[1] ?? []).map((value) => {
        const { 1: tag, 2: simple } = fieldsOf(value as Buffer)
        return [String(tag?.[0]), simple?.[0]] as const
      }),
    )
    expect(scalars[0]).toEqual(['train/loss', 1])
    expect(scalars).toContainEqual(['train/peakBytes', 4_200_000])
    expect(scalars).toContainEqual(['validation/loss', Number.NaN])
    expect(scalars).toContainEqual(['epoch/validation/f,1', 0.75])
  })

  it('lets TensorBoard forget what a run that goes on does again', async () => {
    const where = folder()
    const logger = tensorBoard(where)
    await logged(logger, events)
    await logged(logger, [], { ...fresh, resumed: true, reached: { steps: 300, epochs: 1, validated: 2 } })
    const second = readdirSync(where).sort()[1] ?? ''
    const start = fieldsOf(recordsOf(join(where, second))[1] as Buffer)
    expect(start[2]).toEqual([301])
    expect(fieldsOf(start[7]?.[0] as Buffer)).toEqual({ 1: [1] })
  })
})

describe('consoleLogger', () => {
  it('writes a line an epoch, or one for all it is told', async () => {
    let text = ''
    const stream = { write: (piece: string) => (text += piece) }
    await logged(consoleLogger({ stream }), [
      ...events.slice(0, 4),
      { type: 'end', time: 0, step: 2, epoch: 0, stopped: 'enough' },
    ])
    expect(text).toBe(
      'epoch 1, step 2: loss 0.7000  f,1 0.5000  validation.f,1 0.7500  2.0 s  50 % waiting for data\nstopped at step 2: enough\n',
    )
    text = ''
    await logged(consoleLogger({ stream, steps: true }), [
      { type: 'start', time: 0, step: 7, epoch: 0, resumed: true },
      ...events.slice(0, 1),
      ...events.slice(2, 3),
    ])
    expect(text.split('\n')).toEqual([
      'continues after step 7',
      'epoch 1, step 1: loss 1.000  lr 0.1000  gradNorm 3.000  12.3k items/s  25 % waiting for data  4.20MB at most',
      'epoch 1, step 2: validation loss NaN  f,1 0.7500',
      '',
    ])
  })

  it.each([
    [() => consoleLogger({ steps: 1 } as never), 'steps is 1'],
    [() => consoleLogger({ stream: 1 } as never), 'the stream is the number 1'],
    [() => csvLogger('a', { rows: 'steps' } as never), "rows are 'steps'"],
    [() => csvLogger(''), 'the path is "", but must not be empty'],
    [() => tensorBoard(3 as never), 'the path is the number 3, but must be a string'],
  ])('options %#: refused', (make, message) => {
    expect(make).toThrow(ValueError)
    expect(make).toThrow(message)
  })
})

describe('curves', () => {
  it('are drawn with their range, from left to right', () => {
    const text = plot(
      [
        { name: 'loss', values: [4, 3, 2, 1, 1] },
        { name: 'validation.loss', values: [Number.NaN, 4, 3, 2.5, Number.POSITIVE_INFINITY] },
      ],
      { height: 4 },
    )
    expect(text.split('\n')).toEqual([
      '4.00 |o    x',
      '     |     o    x',
      '     |          o   x',
      '1.00 |              o    o',
      '     +--------------------',
      '      1                  5',
      '      o loss   x validation.loss',
    ])
  })

  it('have the mean of what shares a column, and none where there is nothing to see', () => {
    const values = Array.from({ length: 1000 }, (_, i) => i)
    const lines = plot([{ name: 'up', values }], { width: 40, height: 10 }).split('\n')
    // A column is the mean of 25 numbers. The highest row covers half of a ninth of their range.
    expect(lines[0]).toBe(`999 |${' '.repeat(38)}oo`)
    expect(lines[9]).toBe('  0 |oo')
    expect(plot([{ name: 'one', values: [1, Number.NaN] }])).toBe('')
    expect(plot([{ name: 'flat', values: [2, 2] }], { height: 3 }).split('\n')[2]).toBe('2.00 |o                  o')
  })

  it.each([
    [13, []],
    [
      14,
      [
        '4.00 |o      o',
        '     |  o',
        '1.00 |x x  x x',
        '     +--------',
        '      1      4',
        '      o loss',
        '      x valida',
      ],
    ],
    [
      15,
      [
        '4.00 |o       o',
        '     |   o',
        '1.00 |x  x x  x',
        '     +---------',
        '      1       4',
        '      o loss',
        '      x validat',
      ],
    ],
  ])('keep within a terminal of %i columns', (within, lines) => {
    const curves = [
      { name: 'loss', values: [4, 2.5, Number.NaN, 4] },
      { name: 'validation.loss', values: [1, 1, 1, 1] },
    ]
    const text = plot(curves, { height: 3, within })
    expect(text === '' ? [] : text.split('\n')).toEqual(lines)
  })

  it('have their names in one line where it is long enough', () => {
    const curves = ['loss', 'validation.loss'].map((name) => ({ name, values: [1, 2] }))
    const names = (within: number) => plot(curves, { within }).split('\n').slice(10)
    expect(names(31)).toEqual(['      o loss', '      x validation.loss'])
    expect(names(32)).toEqual(['      o loss   x validation.loss'])
    expect(names(33)).toEqual(['      o loss   x validation.loss'])
  })

  it('count places without running one number into another', () => {
    const values = Array.from({ length: 9 }, (_, i) => i)
    const numbers = (from: number) =>
      plot([{ name: 'up', values }], { within: 14, from })
        .split('\n')
        .at(-2)
    expect(numbers(993)).toBe('      993 1001')
    expect(numbers(9991)).toBe('          9999')
  })

  it.each([
    ['all floats', [Number.MAX_VALUE, 0, -Number.MAX_VALUE]],
    ['the least floats', [2 * Number.MIN_VALUE, Number.MIN_VALUE, 0]],
  ])('span %s', (_, values) => {
    const rows = plot([{ name: 'a', values }], { height: 3 })
      .split('\n')
      .slice(0, 3)
    expect(rows.map((row) => row.split('|')[1])).toEqual(['o', `${' '.repeat(10)}o`, `${' '.repeat(19)}o`])
  })

  it('take more numbers than a call has arguments', () => {
    const values = new Float64Array(300_000).map((_, i) => i)
    expect(plot([{ name: 'up', values: Array.from(values) }]).split('\n')[0]).toMatch(/^3\.00e\+5? \||^3\.0e\+5 \|/)
  })

  it('end a run in a terminal, and are the history as text', async () => {
    const model = new nn.Linear(2, 2)
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: nn.functional.crossEntropy,
      metrics: { accuracy: metrics.accuracy },
    })
    let text = ''
    const stream = Object.assign(Object.create(process.stderr) as NodeJS.WriteStream, {
      isTTY: true,
      columns: 80,
      write: (piece: string) => {
        text += piece
        return true
      },
    })
    const bar = progressBar(stream)
    const batch = [
      tensor([
        [1, 0],
        [0, 1],
      ]),
      tensor([0, 1], { dtype: 'int32' }),
    ] as const
    const history = await trainer.fit([batch], { epochs: 3, validation: [batch], progress: false })
    for (const epoch of history.epochs) bar.onEpochEnd?.(epoch, {} as never)
    bar.onEnd?.({} as never)
    expect(text).toContain('o loss   x validation.loss')
    expect(String(history)).toContain('o accuracy   x validation.accuracy')
    expect(String(history)).toContain('epoch 3: accuracy')
    // A bar that serves another fit starts from the beginning.
    text = ''
    bar.onEnd?.({} as never)
    expect(text).toBe('')
  })
})
