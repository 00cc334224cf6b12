/**
 * The config of a fine-tuning: one schema, which yields the checks, the types, the words of errors and the JSON schema
 * for editors. A description completes the sentence 'but must be ...'.
 */
import * as z from 'zod'
import { column, count, flag, names, oneOrMore, path, positive, share } from './fields.js'
import { method } from './method.js'
import { search } from './search.js'

const columns = z
  .strictObject({
    messages: column("the messages of a chat (default 'messages')").optional(),
    prompt: column("the text before a completion (default 'prompt')").optional(),
    completion: column("the text that the model learns to write (default 'completion')").optional(),
    text: column("the text (default 'text')").optional(),
    pair: column('the second text of a pair (default: none)').optional(),
    label: column("a class, a list of classes, or a number (default 'label')").optional(),
    words: column("a list of words (default 'words')").optional(),
    tags: column("a tag for each word (default 'tags')").optional(),
    question: column("the question (default 'question')").optional(),
    context: column("the text that holds the answer (default 'context')").optional(),
    source: column("the text that is read (default 'source')").optional(),
    target: column("the text that the model writes for the source (default 'target')").optional(),
    answers: column("{ text, start }, or SQuAD's lists (default 'answers')").optional(),
    anchor: column("the text that others are compared with (default 'anchor')").optional(),
    positive: column("a text that matches the anchor (default 'positive')").optional(),
    negative: column(
      "a text that seems to match the anchor, but does not (default 'negative', if the first row has it)",
    ).optional(),
    score: column(
      "the similarity of both texts, as a cosine from -1 to 1 (default 'score', if the first row has it)",
    ).optional(),
  })
  .describe('a table of the columns whose names differ from the defaults, such as { text: review }')

export const formatNames = [
  'chat',
  'completion',
  'text',
  'classification',
  'tokens',
  'answers',
  'translation',
  'pairs',
] as const

const contrast = z
  .strictObject({
    loss: z
      .enum(['multipleNegatives', 'triplet', 'cosine'])
      .describe(
        "'multipleNegatives' (default: each anchor has to find its positive among all positives and negatives of the batch), 'triplet' (the positive has to be nearer to the anchor than the negative) or 'cosine' (the cosine has to equal the score; default if rows have one)",
      )
      .optional(),
    scale: positive("the factor by which 'multipleNegatives' multiplies cosines (default 20)").optional(),
    margin: positive("how much nearer than the negative the positive has to be for 'triplet' (default 1)").optional(),
  })
  .describe('a table such as { loss: triplet, margin: 0.5 }')

const data = z
  .strictObject({
    file: oneOrMore.describe('a path or pattern of .jsonl, .csv, .tsv, .parquet or .txt files, or a list of them'),
    format: z
      .enum(formatNames)
      .describe(
        "'chat' (messages), 'completion' (prompt, completion), 'text', 'classification' (text, label), 'tokens' (words, tags), 'answers' (question, context, answers), 'translation' (source, target) or 'pairs' (anchor, positive, and negative or score); default: the format that the first row's columns indicate",
      )
      .optional(),
    columns: columns.optional(),
    learn: z
      .enum(['assistant', 'last', 'all'])
      .describe("'assistant' (default), 'last' or 'all': the messages of a chat whose tokens the model learns")
      .optional(),
    template: z.string().min(1).describe('a chat template, or the name of one that the tokenizer has').optional(),
    prefix: z
      .string()
      .min(1)
      .describe("a text to put before each source, such as 'translate English to German: ' (default: none)")
      .optional(),
    contrast: contrast.optional(),
    labels: z
      .array(z.string().min(1))
      .min(1)
      .describe("a list of the classes' names, in order (default: the names in the data, sorted)")
      .optional(),
    labelKind: z
      .enum(['class', 'classes', 'number'])
      .describe(
        "'class', 'classes' or 'number': the kind of a label (default: the first row decides; 'number' must be given)",
      )
      .optional(),
    classWeights: z
      .union([z.literal('balanced'), z.record(z.string(), z.number().min(0))])
      .describe(
        "'balanced' (each class counts as much as any other, however few rows it has), or a table of factors of at least 0 by class, such as { spam: 4 } (default: 1 for all)",
      )
      .optional(),
    maxLength: z
      .int()
      .min(2)
      .describe(
        "a whole number of at least 2: the number of tokens after which a row is cut (default: the tokenizer's limit)",
      )
      .optional(),
    validation: z
      .union([z.number().positive(), z.string().regex(/^(?!\d+([.,]\d+)? ?%$)./)])
      .describe('a share below 1 such as 0.2, a number of rows, or a file: the rows on which the training is measured')
      .optional(),
  })
  .describe('a table such as { file: chats.jsonl, format: chat }')

const warmup = z
  .number()
  .min(0)
  .describe('a share of all steps, below 1, or a whole number of steps: how long the learning rate grows from 0')
const warmed = z.strictObject({ warmup: warmup.optional() }).describe('a table such as { warmup: 0.03 }')

const schedule = z
  .union([
    z.enum(['constant', 'linear', 'cosine', 'slanted']),
    z.strictObject({ constant: warmed }),
    z.strictObject({ linear: warmed }),
    z.strictObject({ cosine: warmed }),
  ])
  .describe(
    "'constant' (default), 'linear', 'cosine', one of these with a warm-up, as in { cosine: { warmup: 0.03 } }, or 'slanted' (ULMFiT's: the rate rises for a tenth of the steps, then falls)",
  )

const every = z
  .union([z.int().positive(), z.string().regex(/^(?!0+(\.0+)? )\d+(\.\d+)? (second|minute|hour)s?$/)])
  .describe("a number of steps of at least 1, or a time above 0, such as '10 minutes' (default)")

const checkpoints = z
  .strictObject({
    every: every.optional(),
    keep: count('how many of the newest checkpoints to keep (default 3)').optional(),
  })
  .describe("a table such as { every: '10 minutes', keep: 3 }: when checkpoints are written")

const train = z
  .strictObject({
    epochs: count('passes over the data (default 1, unless steps or minutes are given)').optional(),
    steps: count('the number of optimizer steps after which the training ends').optional(),
    minutes: positive('the number of minutes after which the training ends').optional(),
    lr: positive(
      'the learning rate (default 2e-5 where all weights learn, 3e-3 for ia3 and prompt, 6e-4 in pre-training, else 2e-4)',
    ).optional(),
    optimizer: z
      .enum(['adamw', 'adam', 'sgd', 'lion'])
      .describe("'adamw' (default), 'adam', 'sgd' or 'lion'")
      .optional(),
    weightDecay: z
      .number()
      .min(0)
      .describe('a number of at least 0: the decay of weights (default 0.01 for adamw)')
      .optional(),
    batchSize: count('rows per batch (default 1)').optional(),
    accumulate: count('batches per optimizer step (default 1)').optional(),
    precision: z.enum(['float32', 'bfloat16']).describe("'float32' (default) or 'bfloat16'").optional(),
    schedule: schedule.optional(),
    clipGradNorm: positive('the largest norm that the gradients may have (default 1)').optional(),
    seed: z
      .int()
      .min(0)
      .describe('a whole number of at least 0: the seed of all random numbers (default 0)')
      .optional(),
    validateEvery: count('steps between validations (default: after every epoch)').optional(),
    earlyStopping: count(
      'the number of validations in a row without a better loss after which the training ends',
    ).optional(),
    checkpointing: flag(
      "whether the backward pass computes the model's blocks again, to save memory (default false)",
    ).optional(),
    memory: z
      .union([z.number().positive(), z.string().regex(/^(?!0+(\.0+)? ?[a-z])\d+(\.\d+)? ?[kmgt]?i?b$/i)])
      .describe(
        "a number of bytes, or a text such as '8 GB': the most memory that the training may use; batches are cut to fit",
      )
      .optional(),
    checkpoints: checkpoints.optional(),
  })
  .describe('a table of options, such as { epochs: 2, lr: 2e-4 }')

const replay = z
  .strictObject({
    file: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .describe('a path or pattern of files with general rows, in the format and columns of data, or a list of them'),
    share: z.number().gt(0).lt(1).describe('a number above 0 and below 1: the share of batches that are general'),
  })
  .describe('a table such as { file: general.jsonl, share: 0.2 }: general data that keeps the model from forgetting')

/** The config of `firesteel finetune`, and of the commands that show its data or use its result. */
export const finetuneSchema = z
  .strictObject({
    $schema: z.string().describe('the path of the JSON schema, for editors').optional(),
    model: z
      .union([z.string().min(1), z.record(z.string(), z.unknown())])
      .describe(
        'a path: a Hugging Face folder with config.json and weights; or a table with the contents of a config.json, such as { model_type: bert, hidden_size: 128, ... }, for a model that begins with random weights',
      ),
    tokenizer: path(
      "a folder with a tokenizer.json (default: the model's folder; required if the model is a table)",
    ).optional(),
    method: method.optional(),
    data,
    replay: replay.optional(),
    train: train.optional(),
    search: search.optional(),
    output: path('the folder to which the run writes checkpoints and the result'),
  })
  .describe('a table with model, data and output')

/** The config of `firesteel finetune`, in the form of a file. */
export type FinetuneConfig = z.infer<typeof finetuneSchema>

const corpus = z
  .strictObject({
    file: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .describe(
        'a path or pattern of .txt, .jsonl, .csv, .tsv or .parquet files, or a list of them; each row is a document',
      ),
    column: column("the text of a document (default 'text')").optional(),
    folder: path('the folder of the shards, which are written once'),
    validation: share('the share of documents that are held back for validation (default 0)').optional(),
    deduplicate: z
      .union([z.boolean(), z.literal('exact')])
      .describe(
        "true (leaves out repeated texts and near duplicates), 'exact' (leaves out only repeated texts) or false (default)",
      )
      .optional(),
    similarity: z
      .number()
      .gt(0)
      .max(1)
      .describe(
        'a number above 0, at most 1: the least share of word sequences that near duplicates have in common (default 0.8)',
      )
      .optional(),
    seed: z
      .int()
      .min(0)
      .describe('a whole number of at least 0: the seed by which documents are held back (default 0)')
      .optional(),
  })
  .describe('a table such as { file: texts/*.txt, folder: shards, validation: 0.01 }')

const chosen = (what: string) => z.number().gt(0).lt(1).describe(`a number above 0 and below 1: ${what}`).optional()

const objective = z
  .union([
    z.enum(['causal', 'masked', 'spans']),
    z.strictObject({
      masked: z
        .strictObject({
          probability: chosen('the share of tokens, or of words, that the model has to predict (default 0.15)'),
          wholeWords: flag('whether the tokens of a word are masked together (default false)').optional(),
          nextSentence: flag(
            'whether rows are pairs of sentences, and the model, a bert, also predicts whether the second follows the first (default false)',
          ).optional(),
        })
        .describe('a table such as { wholeWords: true }'),
    }),
    z.strictObject({
      spans: z
        .strictObject({
          probability: chosen('the share of tokens that are removed (default 0.15)'),
          meanSpan: z
            .number()
            .min(1)
            .describe('a number of at least 1: the average number of tokens in a gap (default 3)')
            .optional(),
        })
        .describe('a table such as { meanSpan: 3 }'),
    }),
  ])
  .describe(
    "'causal' (default: predicts the next token), 'masked' (predicts masked tokens, for encoders), 'spans' (fills in gaps, for T5), or one of the last two with options, as in { masked: { wholeWords: true } }",
  )

/** The config of `firesteel prepare` and `firesteel pretrain`. */
export const pretrainSchema = z
  .strictObject({
    $schema: z.string().describe('the path of the JSON schema, for editors').optional(),
    tokenizer: path('a folder with a tokenizer.json'),
    model: z
      .union([z.string().min(1), z.record(z.string(), z.unknown())])
      .describe(
        'a table with the contents of a config.json, such as { model_type: llama, hidden_size: 384, ... }, or a folder whose weights the training continues from',
      ),
    corpus,
    objective: objective.optional(),
    length: z
      .int()
      .min(2)
      .describe("a whole number of at least 2: the number of tokens in a window (default: the model's context)")
      .optional(),
    documents: flag('whether attention stops at the end of a document (default false)').optional(),
    train: train.optional(),
    search: search.optional(),
    output: path('the folder to which the run writes checkpoints and the model'),
  })
  .describe('a table with tokenizer, model, corpus and output')

/** The config of `firesteel pretrain`, in the form of a file. */
export type PretrainConfig = z.infer<typeof pretrainSchema>

const table = z
  .strictObject({
    file: oneOrMore.describe('a path or pattern of .csv, .tsv, .parquet or .jsonl files of numbers, or a list of them'),
    columns: names('columns of numbers (default: those in which the first row has a number)').optional(),
    missing: z
      .enum(['refuse', 'mean'])
      .describe("'refuse' (default: empty fields are an error) or 'mean' (they become the mean of their column)")
      .optional(),
    validation: share('the share of rows that is held back (default 0)').optional(),
  })
  .describe('a table such as { file: rows.csv, columns: [age, income], validation: 0.1 }')

const denoising = z
  .strictObject({
    noise: z
      .enum(['normal', 'masking'])
      .describe(
        "'normal' (default: noise is added) or 'masking' (numbers become the mean of their column): how rows are damaged",
      )
      .optional(),
    amount: z
      .number()
      .min(0)
      .describe(
        'a number of at least 0: the deviation of normal noise, in deviations of the column, or the share below 1 of numbers that are masked (default 0.3)',
      )
      .optional(),
  })
  .describe('a table such as { noise: masking, amount: 0.2 }')

/** The config of `firesteel pretrain` for a table of numbers. */
export const tableSchema = z
  .strictObject({
    $schema: z.string().describe('the path of the JSON schema, for editors').optional(),
    table,
    model: z
      .union([
        z.string().min(1),
        z
          .strictObject({
            hiddenSizes: z.array(z.int().positive()).min(1).describe('a list of sizes, such as [64, 16]'),
          })
          .describe('a table such as { hiddenSizes: [64, 16] }'),
      ])
      .describe(
        'sizes of layers down to the code, such as { hiddenSizes: [64, 16] }, or a folder whose weights the training continues from',
      ),
    objective: z
      .union([z.literal('denoising'), z.strictObject({ denoising })])
      .describe("'denoising' (default), or with options, as in { denoising: { noise: masking, amount: 0.2 } }")
      .optional(),
    train: train
      .extend({
        lr: positive('the learning rate (default 1e-3)').optional(),
        batchSize: count('rows per batch (default 64)').optional(),
      })
      .describe('a table of options, such as { epochs: 20, lr: 1e-3 }')
      .optional(),
    search: search.optional(),
    output: path('the folder of the run, with checkpoints and the model'),
  })
  .describe('a table with table, model and output')

/** The config of a pre-training on a table of numbers, in the form of a file. */
export type TableConfig = z.infer<typeof tableSchema>

const holds = (value: unknown, name: string) =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)

const isTable = (value: unknown) => holds(value, 'table')

/** The schema that a config of `firesteel pretrain` is meant to follow. */
export const pretrainingSchema = (value: unknown): z.ZodType<PretrainConfig | TableConfig> =>
  isTable(value) ? tableSchema : pretrainSchema

/** The schema that a config of `firesteel peek` is meant to follow. */
export const peekedSchema = (value: unknown): z.ZodType<FinetuneConfig | TableConfig> =>
  isTable(value) ? tableSchema : finetuneSchema

/** The schema that a config of `firesteel search` is meant to follow. */
export const searchedSchema = (value: unknown): z.ZodType<FinetuneConfig | PretrainConfig | TableConfig> =>
  isTable(value) ? tableSchema : holds(value, 'corpus') ? pretrainSchema : finetuneSchema
