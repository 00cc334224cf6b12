/** Einstein's summation: products of any number of tensors, contracted two at a time by matrix products. */
import { autocastDType, autocastInputs, withAutocast } from '../autograd/autocast.js'
import { checkTensor } from '../autograd/operator.js'
import { formatShape, kindOf, namedAs, ShapeError, ValueError } from '../core/errors.js'
import { countOf, maxDims } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { mul } from './elementwise/index.js'
import { type Labels, parseEquation } from './equation.js'
import { matmul } from './matmul.js'
import { sum } from './reduce/index.js'
import { diagonal, permute, reshape } from './shape/index.js'

/** A tensor with a distinct label on each dimension. */
interface Labelled {
  readonly x: Tensor
  readonly labels: Labels
}

const sizeOf = ({ x, labels }: Labelled, label: string): number => x.sizes[labels.indexOf(label)] ?? 1
const stepOf = ({ x, labels }: Labelled, label: string): number => x.steps[labels.indexOf(label)] ?? 0

/** A view with the dimensions in the order of `wanted`, which holds each label once. */
function inOrder({ x, labels }: Labelled, wanted: Labels): Tensor {
  const dims = wanted.map((label) => labels.indexOf(label))
  return dims.every((dim, i) => dim === i) ? x : permute(x, dims)
}

/** A view in which each repeated label is replaced by its diagonal, as the last dimension. */
function diagonals(x: Tensor, labels: Labels): Labelled {
  const first = labels.findIndex((label, i) => labels.indexOf(label, i + 1) >= 0)
  const label = labels[first]
  if (label === undefined) return { x, labels }
  const second = labels.indexOf(label, first + 1)
  const rest = labels.filter((_, i) => i !== first && i !== second)
  return diagonals(diagonal(x, 0, first, second), [...rest, label])
}

/** The sum over the labels that are not kept. */
function summed(operand: Labelled, isKept: (label: string) => boolean): Labelled {
  const { x, labels } = operand
  const dims = labels.flatMap((label, i) => (isKept(label) ? [] : [i]))
  return dims.length === 0 ? operand : { x: sum(x, dims), labels: labels.filter(isKept) }
}

/** Drops the dimensions of size 1 that are longer in `other`, because they broadcast. */
function narrowed(operand: Labelled, other: Labelled): Labelled {
  const { x, labels } = operand
  const isKept = (label: string) => sizeOf(operand, label) !== 1 || sizeOf(other, label) === 1
  const kept = labels.filter(isKept)
  return kept.length === labels.length
    ? operand
    : {
        x: reshape(
          x,
          kept.map((l) => sizeOf(operand, l)),
        ),
        labels: kept,
      }
}

/** The labels in their order in memory, outermost first, so that they can be joined without a copy. */
const asLaid = (operand: Labelled, labels: Labels): Labels =>
  [...labels].sort((a, b) => stepOf(operand, b) - stepOf(operand, a))

/** The elementwise product of both, in which no label is summed. */
function broadcastProduct(a: Labelled, b: Labelled, labels: Labels): Labelled {
  const widened = (operand: Labelled) => {
    const own = labels.filter((label) => operand.labels.includes(label))
    return reshape(
      inOrder(operand, own),
      labels.map((label) => sizeOf(operand, label)),
    )
  }
  return { x: mul(widened(a), widened(b)), labels }
}

/**
 * The product of both, summed over the labels that are not kept. It is a matrix product [batch.., M, K] [batch.., K,
 * N]. batch has the kept labels of both, and K the summed ones. M and N have those of only one of them. A factor is
 * copied only if labels that are joined do not lie side by side in memory.
 */
function contract(first: Labelled, second: Labelled, isKept: (label: string) => boolean): Labelled {
  const ofOne = (one: Labelled, other: Labelled) =>
    summed(one, (label) => isKept(label) || other.labels.includes(label))
  const [left, right] = [narrowed(first, second), narrowed(second, first)]
  const [a, b] = [ofOne(left, right), ofOne(right, left)]
  const shared = a.labels.filter((label) => b.labels.includes(label))
  const batch = shared.filter(isKept)
  const larger = a.x.numel >= b.x.numel ? a : b
  const inner = asLaid(
    larger,
    shared.filter((label) => !isKept(label)),
  )
  const rows = asLaid(
    a,
    a.labels.filter((label) => !shared.includes(label)),
  )
  const columns = asLaid(
    b,
    b.labels.filter((label) => !shared.includes(label)),
  )
  if (inner.length === 0) return broadcastProduct(a, b, [...batch, ...rows, ...columns])
  const sizes = (operand: Labelled, labels: Labels) => labels.map((label) => sizeOf(operand, label))
  const lead = sizes(a, batch)
  const depth = countOf(sizes(a, inner))
  const x = reshape(inOrder(a, [...batch, ...rows, ...inner]), [...lead, countOf(sizes(a, rows)), depth])
  const y = reshape(inOrder(b, [...batch, ...inner, ...columns]), [...lead, depth, countOf(sizes(b, columns))])
  const product = reshape(matmul(x, y as never), [...lead, ...sizes(a, rows), ...sizes(b, columns)])
  return { x: product, labels: [...batch, ...rows, ...columns] }
}

/** The number of elements of the contraction of both. */
function resultSize(a: Labelled, b: Labelled, isKept: (label: string) => boolean): number {
  const labels = new Set([...a.labels, ...b.labels].filter(isKept))
  let count = 1
  for (const label of labels) count *= Math.max(sizeOf(a, label), sizeOf(b, label))
  return count
}

/**
 * The pair whose contraction grows memory least, the earlier of equals. The search is greedy, as in opt_einsum (Smith
 * and Gray, 2018).
 */
function nextPair(operands: readonly Labelled[], keeps: (i: number, j: number) => (label: string) => boolean) {
  let best: readonly [number, number] = [0, 1]
  let least = Number.POSITIVE_INFINITY
  for (const [i, a] of operands.entries())
    for (const [j, b] of operands.entries()) {
      if (j <= i) continue
      const growth = resultSize(a, b, keeps(i, j)) - a.x.numel - b.x.numel
      if (growth < least) {
        least = growth
        best = [i, j]
      }
    }
  return best
}

/** Whether the second factor's own labels come before the first's in the result. */
function isSwapped(a: Labelled, b: Labelled, output: Labels): boolean {
  const own = output.find((label) => a.labels.includes(label) !== b.labels.includes(label))
  return own !== undefined && b.labels.includes(own)
}

function contractAll(given: readonly Labelled[], output: Labels): Tensor {
  let operands = given
  while (operands.length > 1) {
    const current = operands
    const keeps = (i: number, j: number) => (label: string) =>
      output.includes(label) || current.some(({ labels }, k) => k !== i && k !== j && labels.includes(label))
    const [i, j] = nextPair(current, keeps)
    const [a, b] = [current[i] as Labelled, current[j] as Labelled]
    const isLast = current.length === 2
    const made = isLast && isSwapped(a, b, output) ? contract(b, a, keeps(i, j)) : contract(a, b, keeps(i, j))
    operands = [...current.filter((_, k) => k !== i && k !== j), made]
  }
  return inOrder(
    summed(operands[0] as Labelled, (label) => output.includes(label)),
    output,
  )
}

/** Throws unless the sizes of a label are equal or 1; within one operand they must be equal. */
function checkSizes(operands: readonly Tensor[], labels: readonly Labels[], names: (label: string) => string): void {
  const seen = new Map<string, readonly [size: number, operand: number]>()
  const differ = (label: string, size: number, i: number, before: number, j: number) =>
    new ShapeError(
      'einsum',
      `${names(label)} is ${size} in operand ${i} ${formatShape(operands[i]?.sizes ?? [])}, but ${before} in operand ${j} ` +
        `${formatShape(operands[j]?.sizes ?? [])}; sizes of one letter must be equal${i === j ? '' : ', or 1'}`,
      operands.map((x) => x.sizes),
    )
  for (const [i, x] of operands.entries()) {
    const own = new Map<string, number>()
    for (const [d, label] of (labels[i] as Labels).entries()) {
      const size = x.sizes[d] as number
      const twin = own.get(label)
      if (twin !== undefined && twin !== size) throw differ(label, size, i, twin, i)
      own.set(label, size)
    }
    for (const [label, size] of own) {
      const [before, j] = seen.get(label) ?? [1, i]
      if (before !== 1 && size !== 1 && before !== size) throw differ(label, size, i, before, j)
      if (before === 1) seen.set(label, [size, i])
    }
  }
}

/**
 * Products of tensors by letters for their dimensions: 'bij,bjk->bik' multiplies matrices. A letter in several operands
 * runs through them together. A letter missing from the result is summed. A letter that occurs twice in an operand
 * takes its diagonal. '...' stands for dimensions that broadcast. Without '->' the result has the letters that occur
 * once, in alphabetical order, capitals first. Operands are contracted two at a time by matrix products, small results
 * first. Sizes of 1 broadcast. Throws ValueError for an invalid equation, and a ShapeError that names the letter and
 * its sizes.
 */
export function einsum(equation: string, ...operands: readonly Tensor[]): Tensor {
  if (typeof equation !== 'string')
    throw new ValueError('einsum', `equation is ${kindOf(equation)}, but must be a text such as 'ij,jk->ik'`)
  operands.forEach((x, i) => {
    checkTensor('einsum', `operand ${i}`, x)
  })
  const { inputs, output, nameOf } = parseEquation(equation, operands)
  checkSizes(operands, inputs, nameOf)
  const labels = new Set([...inputs.flat(), ...output])
  if (output.length > maxDims)
    throw new ShapeError(
      'einsum',
      `the result of '${equation}' has ${output.length} of ${labels.size} letters; at most ${maxDims} are possible`,
    )
  // Autocast converts the operands once here, so that the whole counts as one product.
  const low = autocastDType()
  const factors = low === null ? operands : (autocastInputs('low', [], operands, low) as readonly Tensor[])
  const contracted = () =>
    contractAll(
      factors.map((x, i) => diagonals(x, inputs[i] as Labels)),
      output,
    )
  return namedAs('einsum', () => withAutocast(null, contracted))
}
