/** Reads a folder of golden cases, whose numbers PyTorch computed in float64 and which are rounded to float32. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Tensor } from '../../lib/core/tensor.js'
import { readSafetensors } from '../../lib/io/safetensors.js'
import { fromTypedArray } from '../../lib/ops/creation.js'

export interface GoldenCase {
  readonly name: string
  readonly kind: string
  readonly args: { readonly [name: string]: unknown }
  readonly tensors: { readonly [role: string]: string }
  readonly scalars?: { readonly [name: string]: number | readonly number[] }
}

export interface GoldenTensor {
  readonly shape: readonly number[]
  readonly data: Float32Array | Int32Array
}

export class Goldens {
  readonly cases: readonly GoldenCase[]
  readonly #tensors: ReadonlyMap<string, GoldenTensor>

  private constructor(cases: readonly GoldenCase[], tensors: ReadonlyMap<string, GoldenTensor>) {
    this.cases = cases
    this.#tensors = tensors
  }

  static async read(folder: string): Promise<Goldens> {
    const cases = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as GoldenCase[]
    const tensors = await readSafetensors(join(folder, 'tensors.safetensors'))
    const read = new Map<string, GoldenTensor>()
    for (const [key, { shape, data }] of tensors) {
      if (!(data instanceof Int32Array || data instanceof Float32Array))
        throw new Error(`${key} is neither I32 nor F32`)
      read.set(key, { shape, data })
    }
    return new Goldens(cases, read)
  }

  values(golden: GoldenCase, role: string): GoldenTensor {
    const found = this.#tensors.get(golden.tensors[role] ?? '')
    if (found === undefined) throw new Error(`${golden.name} has no tensor ${role}`)
    return found
  }
}

/** A case's tensors and options on one device, as the kinds use them. */
export class Given {
  readonly #goldens: Goldens
  readonly golden: GoldenCase
  readonly device: string
  readonly #made = new Map<string, Tensor>()

  constructor(goldens: Goldens, golden: GoldenCase, device: string) {
    this.#goldens = goldens
    this.golden = golden
    this.device = device
  }

  has(role: string): boolean {
    return role in this.golden.tensors
  }

  /** The tensor of a role. Inputs and parameters with an expected gradient require one. */
  tensor(role: string): Tensor {
    let made = this.#made.get(role)
    if (made === undefined) {
      const { data, shape } = this.#goldens.values(this.golden, role)
      made = fromTypedArray(data, shape, { device: this.device, requiresGrad: this.has(`grad.${role}`) })
      this.#made.set(role, made)
    }
    return made
  }

  in(name: string): Tensor {
    return this.tensor(`in.${name}`)
  }

  /** All roles with this prefix, without the prefix. */
  roles(prefix: string): string[] {
    return Object.keys(this.golden.tensors)
      .filter((role) => role.startsWith(prefix))
      .map((role) => role.slice(prefix.length))
  }

  values(role: string): GoldenTensor {
    return this.#goldens.values(this.golden, role)
  }

  arg<T>(name: string): T {
    if (!(name in this.golden.args)) throw new Error(`${this.golden.name} has no argument ${name}`)
    return this.golden.args[name] as T
  }

  option<T>(name: string, fallback: T): T {
    return name in this.golden.args ? (this.golden.args[name] as T) : fallback
  }
}
