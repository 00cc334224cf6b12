/** The words of calls as native/addon/decoder.h reads them, written at random. */

/** dense, wide; own, opens, joins: flags of a tensor's second word. */
const denseFlag = 1 << 16
const wideFlag = 2 << 16
export const guardFlags = [4 << 16, 8 << 16, 16 << 16] as const

export interface TensorWords {
  readonly handle: number
  /** dtype, dimensions and a guard's flag. */
  readonly word: number
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

export class WordWriter {
  readonly ints = new Int32Array(new ArrayBuffer(4 * 8192))
  readonly doubles = new Float64Array(new ArrayBuffer(8 * 65536))
  #nextInt = 0
  #nextDouble = 0

  start(opcode: number, label: number): void {
    this.#nextInt = this.#nextDouble = 0
    this.int(opcode)
    this.int(label)
  }

  int(value: number): void {
    this.ints[this.#nextInt++] = value
  }

  double(value: number): void {
    this.doubles[this.#nextDouble++] = value
  }

  /**
   * Offset, sizes and strides in one of the forms that can hold them, chosen by `chance` in [0, 1). The wide form holds
   * everything.
   */
  tensor({ handle, word, offset, shape, strides }: TensorWords, chance: number): void {
    this.int(handle)
    const values = [offset, ...shape, ...strides]
    let step = 1
    const dense =
      offset === 0 &&
      shape.every((_, i) => {
        const d = shape.length - 1 - i
        const fits = strides[d] === step
        step *= shape[d] as number
        return fits
      })
    if (chance < 0.3 || !values.every((value) => value === (value | 0))) {
      this.int(word | wideFlag)
      for (const value of values) this.double(value)
    } else if (dense && chance < 0.8) {
      this.int(word | denseFlag)
      for (const size of shape) this.int(size)
    } else {
      this.int(word)
      for (const value of values) this.int(value)
    }
  }
}
