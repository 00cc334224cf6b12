/** The tasks behind the formats: the model to load, and the way it learns. */
import { isBlocks } from '../../core/dtype.js'
import { AutoModel, type AutoModelOptions } from '../../models/auto.js'
import { CausalModel } from '../../models/causal.js'
import type { ConfigJson } from '../../models/config.js'
import type { EncoderBody } from '../../models/encoder.js'
import type { QuestionAnswerer, SequenceClassifier, TokenClassifier } from '../../models/heads.js'
import type { PretrainedModel } from '../../models/pretrained.js'
import type { Seq2SeqModel } from '../../models/seq2seq.js'
import type { Parameter } from '../../nn/module.js'
import { causalLM } from '../../tasks/causal.js'
import { type ClassificationBatch, classification, regression } from '../../tasks/classification.js'
import { questionAnswering } from '../../tasks/question-answering.js'
import type { AnswerBatch } from '../../tasks/rows/answers.js'
import type { CausalBatch } from '../../tasks/rows/causal.js'
import type { LabelKind } from '../../tasks/rows/labels.js'
import type { PairBatch } from '../../tasks/rows/pairs.js'
import type { Seq2SeqBatch } from '../../tasks/rows/seq2seq.js'
import type { TokenBatch } from '../../tasks/rows/tokens.js'
import { sentenceEmbeddings } from '../../tasks/sentence-embeddings.js'
import { seq2seq } from '../../tasks/seq2seq.js'
import { tokenClassification } from '../../tasks/token-classification.js'
import type { Objective } from '../../train/objective.js'
import type { FinetuneConfig } from '../config/schema.js'
import type { FormatName, TaskBatch, TaskRow, TaskRows } from './formats.js'

/** The way in which vectors of pairs learn. */
export type Contrast = NonNullable<FinetuneConfig['data']['contrast']>

/** A model of any of the tasks. */
export type TaskModel = PretrainedModel<{ readonly vocabSize: number; readonly context?: number }>

/** Parameters for an optimizer: all except those stored in blocks. */
export function floatsOf(model: TaskModel): readonly Parameter[] {
  return [...model.parameters()].filter(({ dtype }) => !isBlocks(dtype))
}

/** The classes of a task, from its rows. */
export interface Labelling {
  /** Names of the classes, with one name for each number. Empty if the task has no labels. */
  readonly labels: readonly string[]
  readonly kind: LabelKind
  /** A factor for each class in the loss. Default: 1 for all. */
  readonly weights?: readonly number[]
}

export interface Task {
  /** Whether the loss reads the input of the model's own head, which then learns nothing. */
  readonly isHeadless?: boolean
  /**
   * `onNewSize` receives a line for each layer of the head that begins anew, because the folder has it for another number
   * of classes. Without it another number is an error.
   */
  load(
    from: string | ConfigJson,
    labelling: Labelling | null,
    options?: AutoModelOptions,
    onNewSize?: (line: string) => void,
  ): Promise<TaskModel>
  /** `contrast` is the config's. Only pairs have it. */
  objective(labelling: Labelling, contrast?: Contrast): Objective<TaskModel, TaskBatch, string>
}

const problems = {
  class: 'single_label_classification',
  classes: 'multi_label_classification',
  number: 'regression',
} as const

/** An objective that only ever gets the models and the rows of its own task. */
function general<M extends TaskModel, B>(objective: Objective<M, B, string>): Objective<TaskModel, TaskBatch, string> {
  return objective as unknown as Objective<TaskModel, TaskBatch, string>
}

const renewing = (log?: (line: string) => void) => (log === undefined ? {} : { ignoreMismatchedSizes: true, log })

const causal: Task = {
  load: (from, _, options = {}) => AutoModel.forCausalLM(from, options),
  objective: () => general<CausalModel, CausalBatch>(causalLM()),
}

const tasks: { readonly [name in FormatName]: Task } = {
  chat: causal,
  completion: causal,
  text: causal,
  classification: {
    load: (from, labelling, options = {}, onNewSize) =>
      AutoModel.forSequenceClassification(from, {
        ...options,
        ...renewing(onNewSize),
        ...(labelling && { labels: labelling.labels, problemType: problems[labelling.kind] }),
      }),
    objective: ({ kind, weights }) =>
      kind === 'number'
        ? general<SequenceClassifier, ClassificationBatch>(regression())
        : general<SequenceClassifier, ClassificationBatch>(
            classification({ multiLabel: kind === 'classes', ...(weights && { classWeights: weights }) }),
          ),
  },
  tokens: {
    load: (from, labelling, options = {}, onNewSize) =>
      AutoModel.forTokenClassification(from, {
        ...options,
        ...renewing(onNewSize),
        ...(labelling && { labels: labelling.labels }),
      }),
    objective: () => general<TokenClassifier, TokenBatch>(tokenClassification()),
  },
  pairs: {
    isHeadless: true,
    load: (from, _, options = {}) => AutoModel.forEmbedding(from, options),
    objective: (_, contrast = {}) =>
      general<EncoderBody, PairBatch>(sentenceEmbeddings(contrast as Parameters<typeof sentenceEmbeddings>[0])),
  },
  answers: {
    load: (from, _, options = {}) => AutoModel.forQuestionAnswering(from, { ...options, newHead: true }),
    objective: () => general<QuestionAnswerer, AnswerBatch>(questionAnswering()),
  },
  translation: {
    load: (from, _, options = {}) => AutoModel.forSeq2Seq(from, options),
    objective: () => general<Seq2SeqModel, Seq2SeqBatch>(seq2seq()),
  },
}

export function taskOf(format: FormatName): Task {
  return tasks[format]
}

/** The number of columns for which the model has positions. Rotary positions have no limit. */
export function positionsOf(model: TaskModel): number {
  return model instanceof CausalModel ? model.positionLimit : (model.config.context ?? Number.POSITIVE_INFINITY)
}

/** The classes in the rows. */
export function labellingOf(rows: TaskRows, kind: LabelKind | undefined): Labelling {
  const { label } = rows.get(0) as { readonly label?: number | Float32Array }
  const width = label instanceof Float32Array ? label.length : 1
  const found = kind ?? (label instanceof Float32Array ? 'classes' : 'class')
  const labels = found === 'number' ? Array.from({ length: width }, (_, i) => `LABEL_${i}`) : rows.labels
  return { labels, kind: found }
}

/** Paths of the task's own modules, and of the modules that it does not use. */
export function headOf(
  model: TaskModel,
  format: FormatName,
): { readonly head: readonly string[]; readonly unused: readonly string[] } {
  const { head = [] } = model.architecture
  return taskOf(format).isHeadless ? { head: [], unused: head } : { head, unused: [] }
}

/** The contrast of rows, with the loss that suits them if the config names none. */
export function contrastOf(row: TaskRow, given: Contrast = {}): Contrast {
  return 'score' in row ? { loss: 'cosine', ...given } : given
}
