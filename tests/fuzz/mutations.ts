/** Random changes of files' bytes. */
import { formatBits } from '../../lib/io/header.js'

/** Words that break or change a header when they are inserted. */
const words = [
  ...['{', '}', '[', ']', ',', ':', '"', '\\', '\0', ' ', '0', '1', '-', '.', 'e9', '\\u0000', '\\ud800', 'null'],
  ...['{}', '[]', '"":', '"a":', '99999999999999999999', '4294967296', '9007199254740991', '"__metadata__":{},'],
  ...['"__proto__"', ...Object.keys(formatBits).map((dtype) => `"${dtype}"`)],
  '"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},',
]

export function mutations(random: () => number) {
  const below = (count: number) => Math.floor(random() * count)
  const pick = <T>(values: readonly T[]): T => values[below(values.length)] as T

  /** One change somewhere in the first so many bytes. */
  function changed(bytes: Buffer, within: number): Buffer {
    const at = below(Math.min(within, bytes.length) + 1)
    const length = pick([1, 2, 4, 8, 30])
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(Math.min(at + length, bytes.length))]
    switch (below(8)) {
      case 0:
        return Buffer.concat([before, Buffer.from([below(256)]), bytes.subarray(at + 1)])
      case 1:
        return Buffer.concat([before, after])
      case 2:
        return Buffer.concat([before, Buffer.from(pick(words)), bytes.subarray(at)])
      case 3:
        return Buffer.concat([before, Buffer.from(pick(words)), after])
      case 4:
        return Buffer.concat([before, bytes.subarray(at, at + length), bytes.subarray(at)])
      case 5:
        return Buffer.from(bytes.subarray(0, below(bytes.length + 1)))
      case 6:
        return Buffer.concat([bytes, Buffer.alloc(length)])
      default:
        return Buffer.concat([
          before,
          bytes.subarray(at).map((byte) => (byte >= 0x30 && byte < 0x3a ? 0x30 + below(10) : byte)),
        ])
    }
  }

  return { below, pick, changed }
}
