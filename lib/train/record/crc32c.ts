/** CRC-32C (Castagnoli), which TFRecord files use. The CRC of zlib is a different one. */
import { late } from '../../core/late.js'

/** Indexed by the last byte: the polynomial 0x1edc6f41, bits reversed. */
const bytesTable = late(() =>
  Uint32Array.from({ length: 256 }, (_, byte) => {
    let rest = byte
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0x82f63b78 : rest >>> 1
    return rest
  }),
)

export function crc32c(bytes: Uint8Array): number {
  const table = bytesTable()
  let crc = 0xffffffff
  for (let i = 0; i < bytes.length; i++) crc = (table[(crc ^ (bytes[i] as number)) & 255] as number) ^ (crc >>> 8)
  return ~crc >>> 0
}

/** The masked form in files, because the CRC of data that contain their own CRC tells little. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}
