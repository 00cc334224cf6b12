/** Chooses models by the `config.json` of a folder. */
import { join } from 'node:path'
import { DTypeError, kindOf, shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkFlag, checkOptions, type OptionNames, ownOptions } from '../core/options.js'
import { checkPath } from '../io/refusal.js'
import { type Architecture, fromConfig, layerOf } from './architecture.js'
import type { BertNextSentence, BertPreTraining } from './bert.js'
import type { CausalModel } from './causal.js'
import { type ConfigJson, dtypeOf, readConfig, Settings } from './config.js'
import { type EncoderBody, type ProblemType, problemTypes } from './encoder.js'
import type { MaskedLM, MultipleChoice, QuestionAnswerer, SequenceClassifier, TokenClassifier } from './heads.js'
import type { ImageBody, ImageClassifier } from './image.js'
import { type FreshParts, type LoadModelOptions, loadModel } from './load.js'
import type { PretrainedModel } from './pretrained.js'
import type { Seq2SeqModel } from './seq2seq.js'

/** The tasks for which models are loaded, and the class of models for each. */
interface Tasks {
  readonly causalLM: CausalModel
  readonly seq2seq: Seq2SeqModel
  readonly embedding: EncoderBody
  readonly maskedLM: MaskedLM
  readonly nextSentence: BertNextSentence
  readonly preTraining: BertPreTraining
  readonly sequenceClassification: SequenceClassifier
  readonly tokenClassification: TokenClassifier
  readonly questionAnswering: QuestionAnswerer
  readonly multipleChoice: MultipleChoice
  readonly imageEmbedding: ImageBody
  readonly imageClassification: ImageClassifier
}

/** An architecture for a task, for folders with one of these `model_type`s. Its file is loaded only when needed. */
interface Entry<T extends keyof Tasks> {
  readonly task: T
  readonly modelTypes: readonly string[]
  open(): Promise<Architecture<object, Tasks[T] & PretrainedModel>>
}

/** A family whose file lists an architecture for each of these tasks. */
function family<T extends keyof Tasks>(
  modelType: string,
  open: () => Promise<{ readonly [K in T]: Architecture<object, Tasks[K] & PretrainedModel> }>,
  tasks: readonly T[],
): Entry<T>[] {
  return tasks.map((task) => ({ task, modelTypes: [modelType], open: async () => (await open())[task] }))
}

const encoderTasks = [
  'embedding',
  'maskedLM',
  'sequenceClassification',
  'tokenClassification',
  'questionAnswering',
  'multipleChoice',
] as const

const imageTasks = ['imageEmbedding', 'imageClassification'] as const

const registry: readonly Entry<keyof Tasks>[] = [
  { task: 'causalLM', modelTypes: ['gpt2'], open: async () => (await import('./gpt2.js')).gpt2Architecture },
  { task: 'causalLM', modelTypes: ['llama'], open: async () => (await import('./llama.js')).llamaArchitecture },
  { task: 'causalLM', modelTypes: ['mistral'], open: async () => (await import('./llama.js')).mistralArchitecture },
  { task: 'causalLM', modelTypes: ['qwen2'], open: async () => (await import('./llama.js')).qwen2Architecture },
  { task: 'causalLM', modelTypes: ['qwen3'], open: async () => (await import('./llama.js')).qwen3Architecture },
  { task: 'causalLM', modelTypes: ['gemma2'], open: async () => (await import('./gemma.js')).gemma2Architecture },
  { task: 'causalLM', modelTypes: ['gemma3_text'], open: async () => (await import('./gemma.js')).gemma3Architecture },
  { task: 'seq2seq', modelTypes: ['t5'], open: async () => (await import('./t5.js')).t5Architecture },
  { task: 'seq2seq', modelTypes: ['mt5'], open: async () => (await import('./t5.js')).mt5Architecture },
  ...family('bert', async () => (await import('./bert.js')).bertArchitectures, [
    ...encoderTasks,
    'nextSentence',
    'preTraining',
  ]),
  ...family('roberta', async () => (await import('./roberta.js')).robertaArchitectures, encoderTasks),
  ...family('distilbert', async () => (await import('./distilbert.js')).distilbertArchitectures, encoderTasks),
  ...family('resnet', async () => (await import('./resnet.js')).resnetArchitectures, imageTasks),
  ...family('vit', async () => (await import('./vit.js')).vitArchitectures, imageTasks),
]

export interface AutoModelOptions extends LoadModelOptions {
  /** The generator of the initial weights, if a configuration is given. */
  readonly generator?: Generator
}

/** Options of models with a head. */
export interface LoadHeadOptions extends AutoModelOptions {
  /**
   * Whether a head that the folder lacks begins with initial weights, as for fine-tuning. Default false: a missing head
   * is an error, like every missing weight.
   */
  readonly newHead?: boolean
}

export interface LoadClassifierOptions extends LoadHeadOptions {
  /** Names of the classes, in order. If they are given, `newHead` defaults to true. Default: those of `config.json`. */
  readonly labels?: readonly string[]
  /**
   * Whether layers of the head begin with initial weights if the folder has them in another size, because it was trained
   * on another number of classes. `newWeights` of the model names them. The body must fit. Default false, and for images
   * that of `newHead`: another size is an error.
   */
  readonly ignoreMismatchedSizes?: boolean
  /**
   * Receives a line for each layer that begins anew because of its size, and for images if the folder lacks the head.
   * Default: `console.log`.
   */
  readonly log?: (line: string) => void
}

export interface LoadSequenceClassifierOptions extends LoadClassifierOptions {
  /** The kind of the labels, which determines the loss. Default: that of `config.json`. */
  readonly problemType?: ProblemType
}

/** Options of classifiers of images. */
export type LoadImageClassifierOptions = LoadSequenceClassifierOptions

const autoNames: OptionNames<AutoModelOptions> = { device: true, dtype: true, generator: true }

function entryFor<T extends keyof Tasks>(op: string, path: string, json: ConfigJson, task: T): Entry<T> {
  const type = json['model_type']
  const found = registry.find((entry) => entry.task === task && entry.modelTypes.includes(type as string))
  if (found !== undefined) return found as Entry<T>
  const known = registry.filter((entry) => entry.task === task).flatMap(({ modelTypes }) => modelTypes)
  throw new ValueError(
    op,
    `${path}: model_type is ${shown(type)} (architectures ${shown(json['architectures'])}), but the known ones are ${known.join(', ')}`,
  )
}

const headNames: OptionNames<LoadHeadOptions> = { ...autoNames, newHead: true }
const classifierNames: OptionNames<LoadClassifierOptions> = {
  ...headNames,
  labels: true,
  ignoreMismatchedSizes: true,
  log: true,
}
const sequenceNames: OptionNames<LoadSequenceClassifierOptions> = { ...classifierNames, problemType: true }

/** Changes of a folder's configuration, whether its head may lack or have another size, and who is told of it. */
interface Renewed extends Pick<FreshParts, 'absent' | 'replaced'> {
  readonly changes?: ConfigJson
  readonly newHead?: boolean
  readonly resized?: boolean
}

/** A model from a folder, or from a configuration with initial weights for training. */
async function load<T extends keyof Tasks>(
  task: T,
  op: string,
  from: string | ConfigJson,
  { generator, ...loading }: AutoModelOptions,
  { changes = {}, newHead = false, resized = false, ...told }: Renewed = {},
): Promise<Tasks[T]> {
  checkGenerator(op, generator)
  if (typeof from !== 'object' || from === null) {
    checkPath(op, 'read', from)
    if (generator !== undefined)
      throw new ValueError(
        op,
        'generator is for the weights of a configuration, but a folder has its own; leave it out',
      )
    const path = join(from, 'config.json')
    const json = { ...(await readConfig(op, path)), ...changes }
    const architecture = await entryFor(op, path, json, task).open()
    return loadModel(op, from, architecture, json, {
      ...loading,
      ...(newHead && architecture.head ? { fresh: architecture.head } : {}),
      ...(resized && architecture.head ? { resizable: architecture.head } : {}),
      ...told,
    })
  }
  const what = 'the configuration'
  const { json } = new Settings(op, what, { ...from, ...changes })
  const architecture = await entryFor(op, what, json, task).open()
  const { device, dtype = 'float32' } = loading
  const own = dtype === 'auto' ? (dtypeOf(op, what, json) ?? 'float32') : dtype
  if (own !== 'float32' && own !== 'bfloat16')
    throw new DTypeError(
      op,
      `dtype is ${shown(own)}, but must be float32 or bfloat16, or 'auto' for the dtype of ${what}`,
    )
  return fromConfig(op, architecture, json, layerOf({ device, dtype: own, generator }))
}

/** A model with a head that may be new, for classes other than those of `config.json`. */
function loadHead<T extends keyof Tasks>(
  task: T,
  op: string,
  from: string | ConfigJson,
  options: LoadSequenceClassifierOptions,
  { isImage = false } = {},
): Promise<Tasks[T]> {
  const { labels, newHead = labels !== undefined, problemType, log = console.log, ...others } = options
  const { ignoreMismatchedSizes: resized = isImage && newHead, ...rest } = others
  checkFlag(op, 'newHead', newHead)
  checkFlag(op, 'ignoreMismatchedSizes', resized)
  if (typeof log !== 'function') throw new ValueError(op, `log is ${kindOf(log)}, but must be a function of a line`)
  if (problemType !== undefined && !problemTypes.includes(problemType))
    throw new ValueError(op, `problemType is ${shown(problemType)}, but must be one of ${problemTypes.join(', ')}`)
  const isList = Array.isArray(labels) && labels.length > 0 && labels.every((label) => typeof label === 'string')
  if (labels !== undefined && !(isList && new Set(labels).size === labels.length))
    throw new ValueError(op, `labels are ${shown(labels)}, but must be one or more different names`)
  const changes = {
    ...(labels && {
      id2label: Object.fromEntries(labels.map((label, i) => [i, label])),
      label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
    }),
    ...(problemType && { problem_type: problemType }),
  }
  const told = { replaced: log, ...(isImage && { absent: log }) }
  return load(task, op, from, rest, { changes, newHead, resized, ...told })
}

/**
 * Models from Hugging Face folders: `config.json` with `model.safetensors`, or with shards and their index. If an
 * object with the content of a `config.json` is given instead of a folder, the model has initial weights for training.
 * Each method throws ValueError for an unknown architecture, with a list of the known ones, and for settings that are
 * wrong, unknown or unsupported. It throws StateDictError that lists all weights that are missing, unexpected or of the
 * wrong shape.
 */
export const AutoModel = {
  /** A model that predicts the next token. */
  forCausalLM(from: string | ConfigJson, options: AutoModelOptions = {}): Promise<CausalModel> {
    const op = 'AutoModel.forCausalLM'
    return load('causalLM', op, from, checkOptions(op, options, autoNames))
  },

  /** A model that generates a text for another one. */
  forSeq2Seq(from: string | ConfigJson, options: AutoModelOptions = {}): Promise<Seq2SeqModel> {
    const op = 'AutoModel.forSeq2Seq'
    return load('seq2seq', op, from, checkOptions(op, options, autoNames))
  },

  /**
   * An encoder without a head, for vectors of texts: see `EncoderBody.embed`. A pooler that the folder lacks begins
   * with initial weights, but `embed` does not use it.
   */
  forEmbedding(from: string | ConfigJson, options: AutoModelOptions = {}): Promise<EncoderBody> {
    const op = 'AutoModel.forEmbedding'
    return load('embedding', op, from, checkOptions(op, options, autoNames), { newHead: true })
  },

  /** An encoder that fills in masked tokens. */
  forMaskedLM(from: string | ConfigJson, options: AutoModelOptions = {}): Promise<MaskedLM> {
    const op = 'AutoModel.forMaskedLM'
    return load('maskedLM', op, from, checkOptions(op, options, autoNames))
  },

  /** BERT with the two heads of its pre-training. */
  forPreTraining(from: string | ConfigJson, options: LoadHeadOptions = {}): Promise<BertPreTraining> {
    const op = 'AutoModel.forPreTraining'
    return loadHead('preTraining', op, from, ownOptions(op, options, headNames))
  },

  /** BERT with the head that decides whether a text follows another. */
  forNextSentencePrediction(from: string | ConfigJson, options: LoadHeadOptions = {}): Promise<BertNextSentence> {
    const op = 'AutoModel.forNextSentencePrediction'
    return loadHead('nextSentence', op, from, ownOptions(op, options, headNames))
  },

  /**
   * A classifier of texts and pairs, with one class each, several classes, or a regression. Other heads in the folder
   * are left out. A head of another number of classes is refused, unless `ignoreMismatchedSizes` renews it.
   */
  forSequenceClassification(
    from: string | ConfigJson,
    options: LoadSequenceClassifierOptions = {},
  ): Promise<SequenceClassifier> {
    const op = 'AutoModel.forSequenceClassification'
    return loadHead('sequenceClassification', op, from, ownOptions(op, options, sequenceNames))
  },

  /**
   * A classifier of tokens. Other heads in the folder are left out. A head of another number of classes is refused,
   * unless `ignoreMismatchedSizes` renews it.
   */
  forTokenClassification(from: string | ConfigJson, options: LoadClassifierOptions = {}): Promise<TokenClassifier> {
    const op = 'AutoModel.forTokenClassification'
    return loadHead('tokenClassification', op, from, ownOptions(op, options, classifierNames))
  },

  /** A model that finds answers in texts. Other heads in the folder are left out. */
  forQuestionAnswering(from: string | ConfigJson, options: LoadHeadOptions = {}): Promise<QuestionAnswerer> {
    const op = 'AutoModel.forQuestionAnswering'
    return loadHead('questionAnswering', op, from, ownOptions(op, options, headNames))
  },

  /** A model that chooses one of several texts. Other heads in the folder are left out. */
  forMultipleChoice(from: string | ConfigJson, options: LoadHeadOptions = {}): Promise<MultipleChoice> {
    const op = 'AutoModel.forMultipleChoice'
    return loadHead('multipleChoice', op, from, ownOptions(op, options, headNames))
  },

  /**
   * A model of images without a head, for vectors of images: see `ImageBody.embed`. A pooler that the folder lacks
   * begins with initial weights, but `embed` does not use it.
   */
  forImageEmbedding(from: string | ConfigJson, options: AutoModelOptions = {}): Promise<ImageBody> {
    const op = 'AutoModel.forImageEmbedding'
    return load('imageEmbedding', op, from, checkOptions(op, options, autoNames), { newHead: true })
  },

  /**
   * A classifier of images. With labels, a head that the folder lacks, or that has another number of classes, begins
   * with initial weights, and a line reports that.
   */
  forImageClassification(
    from: string | ConfigJson,
    options: LoadImageClassifierOptions = {},
  ): Promise<ImageClassifier> {
    const op = 'AutoModel.forImageClassification'
    return loadHead('imageClassification', op, from, ownOptions(op, options, sequenceNames), { isImage: true })
  },
} as const
