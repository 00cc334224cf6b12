/** Helpers for the arguments of kernel calls, shared by all devices. */
import type { KernelCall, KernelKey, StridedView } from '../core/device.js'
import { isDense } from '../core/shape.js'
import { calls } from './generated/calls.js'
import { type KernelArguments, type KernelName, kernelNames, type PhiloxPosition } from './table/index.js'

/** Receives the arguments of a call in the order of the table of kernels. */
export interface CallWriter {
  /** Takes dense memory that the kernel overwrites, and may have to make. */
  out(view: StridedView): void
  /**
   * Memory that the kernel overwrites, with any strides. Several places may lie in one storage that the kernel makes.
   */
  place(view: StridedView): void
  /** Takes other memory that must be dense. */
  dense(view: StridedView): void
  strided(view: StridedView): void
  /** Stands for a tensor that is null. */
  absent(): void
  list(views: readonly StridedView[], dense: boolean): void
  number(name: string, value: number | boolean): void
  integers(name: string, values: readonly number[]): void
  philox(position: PhiloxPosition): void
}

/** Takes apart the calls of a kernel: a tensor that tells the device, and all arguments in order. */
export interface Writer<K extends KernelName> {
  // These are methods, so that writers of different kernels can be kept together.
  first(call: KernelArguments<K, StridedView>): StridedView | undefined
  write(to: CallWriter, call: KernelArguments<K, StridedView>): void
}

export type Calls = { readonly [K in KernelName]: Writer<K> }

/** A kernel of the table, with the writer of its calls. */
export interface Kernel<K extends KernelName = KernelName> extends KernelKey {
  readonly name: K
  first(call: KernelCall): StridedView | undefined
  write(to: CallWriter, call: KernelCall): void
}

const byName = new Map<string, Kernel>(
  kernelNames.map((name, number) => [name, { name, number, ...(calls[name] as Omit<Kernel, keyof KernelKey>) }]),
)

/** The kernel of a name. Code with many calls of one kernel asks only once. */
export function kernelOf<K extends KernelName>(name: K): Kernel<K> {
  return byName.get(name) as Kernel<K>
}

/** Whether all arguments that must be dense are. */
export function isDenseCall(kernel: KernelKey, call: KernelCall): boolean {
  let dense = true
  const check = ({ sizes, steps }: StridedView) => {
    dense &&= isDense(sizes, steps)
  }
  const pass = () => {}
  const list = (views: readonly StridedView[], mustBe: boolean) => {
    if (mustBe) views.forEach(check)
  }
  kernelOf(kernel.name as KernelName).write(
    {
      out: check,
      place: pass,
      dense: check,
      strided: pass,
      absent: pass,
      list,
      number: pass,
      integers: pass,
      philox: pass,
    },
    call,
  )
  return dense
}
