/** F1 of entities: runs of tokens of one kind, such as names, after Ramshaw and Marcus (1995). */
import { noGrad } from '../../autograd/mode.js'
import { checkDType, checkTensor } from '../../autograd/operator.js'
import { formatShape, IndexOutOfRangeError, ShapeError, shown, ValueError } from '../../core/errors.js'
import { listOf, ownOptions } from '../../core/options.js'
import { sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { argmax } from '../../ops/reduce/index.js'
import { checkShapeOptions } from './given.js'
import { Measure, type ResumableMetric } from './metric.js'
import { type Parts, Sums } from './parts.js'

export interface EntityF1Options {
  /**
   * Names of the tags by index: `O`, or a kind after `B-`, `I-`, `E-` or `S-`. A kind alone counts like one after `I-`.
   */
  readonly labels: readonly string[]
  /** Tokens with this target do not count, and do not separate entities. Default -100. */
  readonly ignoreIndex?: number
}

interface Counts extends Parts {
  /** The numbers of entities that were right, that were predicted, and that exist. */
  readonly sums: Sums
}

/** The parts of a tag. */
interface Tag {
  readonly place: 'O' | 'B' | 'I' | 'E' | 'S'
  readonly kind: string
}

function tagOf(label: string): Tag {
  if (label === 'O') return { place: 'O', kind: '' }
  const [, place, kind] = /^([BIES])-(.*)$/s.exec(label) ?? [null, 'I', label]
  return { place: place as Tag['place'], kind: kind as string }
}

/** Whether an entity that includes `before` has ended before `tag`. */
function ends(before: Tag, tag: Tag): boolean {
  if (before.place === 'O') return false
  return before.place === 'E' || before.place === 'S' || ['B', 'S', 'O'].includes(tag.place) || before.kind !== tag.kind
}

/** Whether an entity begins with `tag`. */
function begins(before: Tag, tag: Tag): boolean {
  if (tag.place === 'O') return false
  return tag.place === 'B' || tag.place === 'S' || ['E', 'S', 'O'].includes(before.place) || before.kind !== tag.kind
}

const outside: Tag = { place: 'O', kind: '' }

/** The entities of a row of tags, each as a text. */
function entitiesOf(tags: readonly Tag[]): Set<string> {
  const found = new Set<string>()
  let [before, start] = [outside, 0]
  for (const [i, tag] of [...tags, outside].entries()) {
    if (ends(before, tag)) found.add(`${start} ${i} ${before.kind}`)
    if (begins(before, tag)) start = i
    before = tag
  }
  return found
}

class EntityF1 extends Measure<Tensor, Tensor, number, Counts> {
  readonly #options: EntityF1Options
  readonly #tags: readonly Tag[]

  constructor(options: EntityF1Options) {
    super('entityF1', options)
    this.#options = options
    this.#tags = options.labels.map(tagOf)
  }

  fresh(): ResumableMetric {
    return new EntityF1(this.#options)
  }

  protected empty(): Counts {
    return { sums: new Sums(3) }
  }

  protected value({ sums }: Counts): number {
    const both = sums.get(1) + sums.get(2)
    return both === 0 ? 0 : (2 * sums.get(0)) / both
  }

  update(output: Tensor, target: Tensor): void {
    const { op } = this
    checkTensor(op, 'output', output)
    checkTensor(op, 'target', target)
    checkDType(op, 'target', target, ['int32'])
    const { ignoreIndex = -100 } = this.#options
    const tags = this.#tags
    const isScores = output.ndim === target.ndim + 1
    const sizes = isScores ? output.sizes.slice(0, -1) : output.sizes
    const classes = isScores ? (output.sizes.at(-1) as number) : tags.length
    if (!sameShape(sizes, target.sizes) || target.ndim === 0 || classes !== tags.length)
      throw new ShapeError(
        op,
        `outputs are ${formatShape(output.sizes)}, targets ${formatShape(target.sizes)}, and there are ${tags.length} labels; give targets ` +
          '[.., T], and scores [.., T, labels] or tags of the shape of the targets',
        [output.sizes, target.sizes],
      )
    if (!isScores) checkDType(op, 'output', output, ['int32'])
    const width = target.sizes.at(-1) as number
    noGrad(() => {
      const told = isScores ? argmax(output, -1) : output
      this.read([told, target], ({ sums }, [predictions = [], labels = []]) => {
        for (let from = 0; from < labels.length; from += width) {
          const counted = Array.from({ length: width }, (_, i) => from + i).filter((i) => labels[i] !== ignoreIndex)
          const found = entitiesOf(counted.map((i) => this.#tag(Number(predictions[i]))))
          const there = entitiesOf(counted.map((i) => this.#tag(Number(labels[i]))))
          sums.addAll([[...found].filter((entity) => there.has(entity)).length, found.size, there.size])
        }
      })
    })
  }

  #tag(label: number): Tag {
    const tag = this.#tags[label]
    if (tag !== undefined) return tag
    throw new IndexOutOfRangeError(
      this.op,
      `a target is ${label}, but must be one of the ${this.#tags.length} labels, 0 to ${this.#tags.length - 1}, or ignoreIndex`,
    )
  }
}

/**
 * F1 of the entities that tags describe. An entity is right if its first token, its last token and its kind are. Takes
 * scores [.., T, labels] or int32 tags [.., T], and int32 targets [.., T], where each row of the last dimension is a
 * text. 0 if there are no entities. seqeval's f1_score, micro. Throws ValueError for labels that are not names of tags.
 */
export function entityF1(options: EntityF1Options): ResumableMetric {
  const op = 'entityF1'
  const own = ownOptions(op, options, { labels: true, ignoreIndex: true })
  const labels = listOf(op, 'labels', own.labels, 'a list of names')
  if (labels.length === 0 || labels.some((label) => typeof label !== 'string' || label === ''))
    throw new ValueError(op, `labels are ${shown(labels)}, but must be names of tags`)
  checkShapeOptions(op, own)
  return new EntityF1({ ...own, labels })
}
