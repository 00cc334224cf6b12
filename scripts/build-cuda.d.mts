export interface BuiltCuda {
  /** Whether nvcc's kernels are in the library. */
  readonly withKernels: boolean
  readonly fakeDriver: string | null
}
export function hasNvcc(): boolean
/** The CUDA library's sources, its kernels for all targets as assembly, and the compiler's flags. Throws without nvcc. */
export function cudaSources(): Promise<{
  readonly sources: readonly string[]
  readonly assembly: string
  readonly flags: readonly string[]
}>
export function buildCuda(options?: {
  readonly kernels?: boolean
  readonly faults?: boolean
}): Promise<BuiltCuda | null>
