export interface BuiltCuda {
  /** Whether nvcc's kernels are in the library. */
  readonly withKernels: boolean
  readonly fakeDriver: string | null
}
export function buildCuda(options?: {
  readonly kernels?: boolean
  readonly faults?: boolean
}): Promise<BuiltCuda | null>
