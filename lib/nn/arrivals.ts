/** Loading into a model on meta: its tensors get the memory that arrives, rather than a copy. */
import type { Device } from '../core/device.js'
import { DeviceError, formatShape, namedAs, ShapeError, ValueError } from '../core/errors.js'
import { keep } from '../core/scope.js'
import { sameShape } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import { replaceMemory, Tensor } from '../core/tensor.js'
import { to } from '../ops/convert.js'
import { zeros } from '../ops/creation.js'
import { creationNames, place, unwritten } from '../ops/placement.js'
import { Buffer } from './parameter.js'
import { sameMemory } from './views.js'

type Named = readonly [name: string, tensor: Tensor]

const isMeta = (tensor: Tensor) => tensor.device.kind === 'meta'

/**
 * Memory for the tensors of a module that are on meta. It is made as they are read, each storage once, however many
 * tensors view it. `settle` puts it in their place when everything has arrived; until then the model is unchanged.
 */
export class Arrivals {
  readonly #op: string
  readonly #named: Device | null
  readonly #targets = new Map<Tensor, Tensor>()
  readonly #memory = new Map<Storage, Tensor>()
  /** All tensors that view arriving memory. */
  readonly #own: readonly Named[]
  readonly #derived: readonly (readonly [string, Buffer])[]

  /** Throws if the module cannot be loaded to `device`. */
  constructor(
    op: string,
    module: { namedBuffers?(): Iterable<Named> },
    own: readonly Named[],
    given: readonly Named[],
    device?: string | Device,
  ) {
    this.#op = op
    this.#own = own
    this.#named = device === undefined ? null : place(op, { device }, creationNames).device
    if (this.#named !== null) {
      if (this.#named.kind === 'meta')
        throw new DeviceError(
          op,
          'nothing can be loaded to meta, which has no elements; name the device to train or run on',
        )
      for (const [name, tensor] of given)
        if (!isMeta(tensor) && tensor.device !== this.#named)
          throw new DeviceError(
            op,
            `device is '${this.#named.name}', but ${name} is on ${tensor.device.name} already; the device is for tensors that are on meta, ` +
              `so move the model with .to('${this.#named.name}')`,
          )
    }
    const buffers = [...(module.namedBuffers?.() ?? [])]
    this.#derived = buffers.flatMap(([name, buffer]) =>
      buffer instanceof Buffer && !buffer.persistent && isMeta(buffer) ? [[name, buffer] as const] : [],
    )
    for (const [name, { make }] of this.#derived)
      if (make === null)
        throw new ValueError(
          op,
          `${name} is on meta and not part of the state, so nothing can be loaded for it; tell how to make it: ` +
            'new Buffer(value, { persistent: false, make: (device) => ... })',
        )
  }

  /** The device that gets the elements of a tensor. */
  deviceOf(tensor: Tensor, fallback: Device): Device {
    if (!isMeta(tensor)) return tensor.device
    const device = this.#named ?? fallback
    if (device.kind === 'meta')
      throw new DeviceError(
        this.#op,
        'nothing can be loaded to meta, which has no elements; name another device: { device }',
      )
    return device
  }

  /** The tensor itself, or for one on meta its replacement: zeros, unless all of its memory will be `uploaded`. */
  targetOf(tensor: Tensor, fallback: Device, uploaded: boolean): Tensor {
    const known = this.#targets.get(tensor)
    if (known !== undefined) return known
    if (!isMeta(tensor)) return tensor
    const { storage, sizes, steps, offset } = tensor
    let memory = this.#memory.get(storage)
    if (memory === undefined) {
      const device = this.deviceOf(tensor, fallback)
      const { count, dtype } = storage
      memory = uploaded
        ? keep(unwritten(this.#op, device, dtype, count))
        : keep(namedAs(this.#op, () => zeros([count], { device, dtype })))
      this.#memory.set(storage, memory)
    }
    const target = new Tensor(memory.storage, sizes, steps, offset)
    this.#targets.set(tensor, target)
    return target
  }

  /**
   * Puts the arrived memory in place, under all names, and makes new buffers for those that are not part of the state.
   */
  settle(): void {
    // Shared memory is found before any tensor is replaced, because it shows in the memory that they lose.
    for (const [, tensor] of this.#own) {
      const memory = this.#memory.get(tensor.storage)
      if (memory === undefined || this.#targets.has(tensor)) continue
      // A tensor that arrived only in part stays on meta, where its use is an error.
      for (const given of [...this.#targets.keys()])
        if (sameMemory(given, tensor))
          this.#targets.set(tensor, new Tensor(memory.storage, tensor.sizes, tensor.steps, tensor.offset))
    }
    const device =
      this.#named ??
      [...this.#memory.values(), ...this.#own.map(([, tensor]) => tensor)].find((x) => !isMeta(x))?.device
    if (device !== undefined)
      for (const [name, buffer] of this.#derived) this.#targets.set(buffer, this.#again(name, buffer, device))
    for (const [tensor, target] of this.#targets) {
      // A tensor that something else moved from meta meanwhile no longer takes the arrived elements.
      if (!isMeta(tensor)) continue
      tensor.grad = null
      replaceMemory(tensor, target)
    }
  }

  #again(name: string, buffer: Buffer, device: Device): Tensor {
    const made = (buffer.make as NonNullable<typeof buffer.make>)(device)
    if (!sameShape(made.sizes, buffer.sizes))
      throw new ShapeError(
        this.#op,
        `${name} was made again as ${formatShape(made.sizes)}, but is ${formatShape(buffer.sizes)}`,
        [made.sizes, buffer.sizes],
      )
    return keep(to(to(made, device), buffer.dtype))
  }
}
