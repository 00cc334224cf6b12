/**
 * Event files for TensorBoard: TFRecords (length, its checksum, data, their checksum) of the message tensorflow.Event
 * in protobuf's wire format (github.com/tensorflow/tensorboard, compat/proto/event.proto and summary.proto). This file
 * encodes the few fields itself.
 */

import { makeFolder } from '../../io/folders.js'
import { checkPath } from '../../io/refusal.js'
import { Appender } from './appender.js'
import { maskedCrc32c } from './crc32c.js'
import type { Logger, Numbers, TrainingEvent } from './events.js'
import { Buffer, hostname, join, process } from './system.js'

/** Kinds of values in protobuf's wire form. */
const [varint, fixed64, delimited, fixed32] = [0, 1, 2, 5]

/** A non-negative integer, with seven bits in each byte, the lowest first. */
function varintOf(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

const field = (number: number, kind: number, ...parts: readonly Uint8Array[]) =>
  Buffer.concat([varintOf(number * 8 + kind), ...parts])
const message = (number: number, ...fields: readonly Uint8Array[]) => {
  const content = Buffer.concat(fields)
  return field(number, delimited, varintOf(content.length), content)
}
const text = (number: number, value: string) => message(number, Buffer.from(value))
const integer = (number: number, value: number) => field(number, varint, varintOf(value))
function double(number: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return field(number, fixed64, bytes)
}
function float(number: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return field(number, fixed32, bytes)
}

/** A record of the file. */
export function tfRecord(data: Uint8Array): Uint8Array {
  const head = Buffer.alloc(12)
  head.writeBigUInt64LE(BigInt(data.length))
  head.writeUInt32LE(maskedCrc32c(head.subarray(0, 8)), 8)
  const foot = Buffer.alloc(4)
  foot.writeUInt32LE(maskedCrc32c(data))
  return Buffer.concat([head, data, foot])
}

/** Event: wall_time 1, step 2, and one of file_version 3, summary 5, session_log 7. */
const event = (time: number, step: number, content: Uint8Array) =>
  tfRecord(Buffer.concat([double(1, time / 1000), integer(2, step), content]))

/** Summary: values 1, each of a tag 1 and a simple_value 2. */
function summary(prefix: string, numbers: Numbers): Uint8Array {
  const values = Object.entries(numbers).map(([name, value]) =>
    message(1, text(1, `${prefix}/${name.replaceAll('.', '/')}`), float(2, value)),
  )
  return message(5, ...values)
}

/** The status START of SessionLog: a reader drops other files' events at this step and after it. */
const sessionStart = () => message(7, integer(1, 1))

const prefixes = { step: 'train', validation: 'validation', epoch: 'epoch' } as const

function recordOf(told: TrainingEvent): Uint8Array | null {
  if (told.type === 'start' || told.type === 'end') return null
  return event(told.time, told.step, summary(prefixes[told.type], told.numbers))
}

/**
 * Writes a file for TensorBoard into a folder at every fit: scalars `train/loss`, `validation/accuracy`,
 * `epoch/seconds`, ... over the steps of the Trainer. When a run resumes, TensorBoard drops the events after the
 * checkpoint: `tensorboard --logdir runs`.
 */
export function tensorBoard(folder: string): Logger {
  const op = 'tensorBoard'
  checkPath(op, 'write', folder)
  let file: Appender | null = null
  let files = 0
  return {
    async open({ resumed, reached }) {
      await makeFolder(op, folder)
      const now = Date.now()
      // Readers sort files by name.
      const unique = `${String(now).padStart(13, '0')}.${hostname()}.${process.pid}.${files++}`
      file = await Appender.open(op, join(folder, `events.out.tfevents.${unique}`))
      file.append(event(now, 0, text(3, 'brain.Event:2')))
      if (resumed) file.append(event(now, reached.steps + 1, sessionStart()))
    },
    log(told) {
      const record = recordOf(told)
      if (record !== null) file?.append(record)
    },
    flush: () => file?.flush(),
    async close() {
      await file?.close()
      file = null
    },
  }
}
