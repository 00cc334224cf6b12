/**
 * A composite and a primitive operator as a contributor would add them: the files that CONTRIBUTING names, and the text
 * to write into each. No other file changes. `scripts/check-addition.ts` adds them to a copy of the working tree.
 */

export interface Edit {
  readonly file: string
  /** The line after which the text goes. It must occur once. */
  readonly behind: string
  readonly text: string
  /** The reason why no check misses it, if none does. */
  readonly unmissed?: string
}

export interface Operator {
  /** The name in a program. */
  readonly name: string
  /** An operator of the same kind. Whatever is tested of it must be tested of this one. */
  readonly like: string
  readonly edits: readonly Edit[]
}

const cases = { loss: 'tests/cases/loss/pairs.ts', elementwise: 'tests/cases/elementwise.ts' }
const firstCase = 'export const cases: readonly Case[] = [\n'
const firstError = 'export const errors: readonly ErrorCase[] = [\n'
const firstCall = 'export const calls: readonly PublicCall[] = [\n'
const firstZeros = 'export const zeroSizes: { readonly [call: string]: ZeroSizes } = {\n'
const mayRefuseNothing = 'a function need not refuse anything of its own'

/** A smooth loss, composed of other operators. */
export const composite: Operator = {
  name: 'gemanMcClureLoss',
  like: 'mseLoss',
  edits: [
    {
      file: 'lib/ops/loss/regression.ts',
      behind: "  return ofPairs('mseLoss', input, target, reduction, (x, y) => square(sub(x, y)))\n}\n",
      text: `
/** d^2 / (d^2 + 1) of d = input - target, reduced: Geman and McClure, 1985. Throws ShapeError unless both have one shape. */
export function gemanMcClureLoss(input: Tensor, target: Tensor, options: ReductionOptions = {}): Tensor {
  const { reduction = 'mean' } = checkOptions('gemanMcClureLoss', options, reductionNames)
  return ofPairs('gemanMcClureLoss', input, target, reduction, (x, y) => {
    const distance = square(sub(x, y))
    return div(distance, add(distance, 1))
  })
}
`,
    },
    {
      file: cases.loss,
      behind: firstCase,
      text: `  ...reductions.map((reduction) => ({
    op: 'gemanMcClureLoss',
    name: reduction,
    inputs: [normal([5, 33]), normal([5, 33])],
    call: (x: f.Tensor, y: f.Tensor) => f.nn.functional.gemanMcClureLoss(x, y, { reduction }),
    length: 165,
  })),
`,
    },
    {
      file: cases.loss,
      behind: firstCall,
      text: "  sound('gemanMcClureLoss', f.gemanMcClureLoss, () => [t(3), t(3), { reduction: 'mean' }]),\n",
    },
    {
      file: cases.loss,
      behind: firstError,
      text: "  wrong('gemanMcClureLoss', f.gemanMcClureLoss, 'reduction', 'median'),\n",
      unmissed: mayRefuseNothing,
    },
    { file: cases.loss, behind: firstZeros, text: '  gemanMcClureLoss: ofPairs(f.gemanMcClureLoss),\n' },
  ],
}

/** An activation with a fused gradient, on every device. */
export const primitive: Operator = {
  name: 'elliot',
  like: 'hardswish',
  edits: [
    {
      file: 'lib/backend/table/elementwise.ts',
      behind: '  hardswish_backward: unaryBackward,\n',
      text: '  elliot: unary,\n  elliot_backward: unaryBackward,\n',
    },
    {
      file: 'lib/backend/reference/elementwise.ts',
      behind: '  hardswish_backward: backward((dy, x) => (x <= -3 ? 0 : x >= 3 ? dy : dy * (x / 3 + 0.5))),\n',
      text: `  elliot: unary((x) => x / (1 + Math.abs(x))),
  elliot_backward: backward((dy, x) => dy / (1 + Math.abs(x)) ** 2),
`,
    },
    {
      file: 'native/cpu/elementwise/activation.cpp',
      behind: '    return select(v <= set(-3.0f), zero(), inner);\n  });\n}\n',
      text: `
void elliot(Context& context, const View& out, const View& x) {
  map_unary<float>(context, out, x, [](Vec v) { return v / (simd::abs(v) + set(1.0f)); });
}
void elliot_backward(Context& context, const View& dx, const View& dy, const View& x) {
  map_binary<float>(context, dx, dy, x, [](Vec d, Vec v) {
    Vec root = simd::abs(v) + set(1.0f);
    return d / (root * root);
  });
}
`,
    },
    {
      file: 'native/cuda/elementwise.cu',
      behind: 'BACKWARD(hardswish_backward, x <= -3.0f ? 0.0f : x >= 3.0f ? dy : dy * (x / 3.0f + 0.5f))\n',
      text: `UNARIES(elliot, x / (1.0f + fabsf(x)))
BACKWARD(elliot_backward, dy / ((1.0f + fabsf(x)) * (1.0f + fabsf(x))))
`,
    },
    {
      file: 'native/tests/elementwise.cpp',
      behind: 'const Unary unary[] = {\n',
      text: '    {"elliot", isa::elliot, [](double x) { return within(x / (1 + fabs(x)), 8); }, -50, 50},\n',
    },
    {
      file: 'native/tests/elementwise.cpp',
      behind: 'const Binary backward[] = {\n',
      text: `    {"elliot_backward", isa::elliot_backward,
     [](double d, double x) { return within(d / ((1 + fabs(x)) * (1 + fabs(x))), 8); }, -50, 50},
`,
    },
    {
      file: 'lib/ops/elementwise/activations.ts',
      behind: "  name: 'silu' | 'mish' | 'hardswish'",
      text: " | 'elliot'",
    },
    {
      file: 'lib/ops/elementwise/activations.ts',
      behind: "const siluOf = activation<None>('silu', (x) => mul(x, sigmoid(x)))\n",
      text: `const elliotOf = activation<None>('elliot', (x) => div(x, add(absolute(x), 1)))
/** x / (1 + |x|) */
export const elliot = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => elliotOf(x, none)
`,
    },
    {
      file: cases.elementwise,
      behind: "  ...unary('hardswish', f.hardswish, kinkAt(-3, 3)),\n",
      text: "  ...unary('elliot', f.elliot, kinkAt(0)),\n",
    },
    { file: cases.elementwise, behind: firstCall, text: "  sound('elliot', f.elliot, () => [t(2, 3)]),\n" },
    {
      file: cases.elementwise,
      behind: firstError,
      text: `  {
    op: 'elliot',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32', 'float32'],
    call: (make) => f.elliot(make(integers([4], 0, 9))),
  },
`,
      unmissed: mayRefuseNothing,
    },
    { file: cases.elementwise, behind: firstZeros, text: '  elliot: unaryZeros(f.elliot),\n' },
  ],
}

/** Edits by which programs tell that they call the two operators (`witness.mjs`). They belong to neither. */
export const witnesses: readonly Edit[] = [
  {
    file: 'lib/ops/loss/regression.ts',
    behind:
      'export function gemanMcClureLoss(input: Tensor, target: Tensor, options: ReductionOptions = {}): Tensor {\n',
    text: "  globalThis.witness?.('gemanMcClureLoss')\n",
  },
  {
    file: 'lib/ops/elementwise/activations.ts',
    behind: 'export const elliot = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> =>',
    text: " globalThis.witness?.('elliot') ??",
  },
]
