/**
 * The config of a fine-tuning: one schema, which yields the checks, the types, the words of errors and the JSON schema
 * for editors. A description completes the sentence 'but must be ...'.
 */
import * as z from 'zod'
import { column, count, flag, oneOrMore, path, positive, share } from './fields.js'
import { method } from './method.js'

const columns = z
  .strictObject({
    messages: column("the chat's messages (default 'messages')").optional(),
    prompt: column("what stands before a completion (default 'prompt')").optional(),
    completion: column("what is to be written (default 'completion')").optional(),
    text: column("the text (default 'text')").optional(),
    pair: column('the second text of pairs (default: none)').optional(),
    label: column("the class, a list of classes, or a number (default 'label')").optional(),
    words: column("a list of words (default 'words')").optional(),
    tags: column("a tag for each word (default 'tags')").optional(),
    question: column("the question (default 'question')").optional(),
    context: column("the text that holds the answer (default 'context')").optional(),
    source: column("the text that is read (default 'source')").optional(),
    target: column("the text that is written for it (default 'target')").optional(),
    answers: column("{ text, start }, or SQuAD's lists (default 'answers')").optional(),
    anchor: column("the text that others are held against (default 'anchor')").optional(),
    positive: column("the text that belongs to it (default 'positive')").optional(),
    negative: column("a text that looks as if it did (default 'negative', if the first row has it)").optional(),
    score: column("the cosine of both texts, from -1 to 1 (default 'score', if the first row has it)").optional(),
  })
  .describe('a table of columns whose names are not the usual ones, such as { text: review }')

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
        "'multipleNegatives' (each anchor finds its positive among those of the batch and the negatives; default), 'triplet' (nearer than its negative), or 'cosine' (default where rows have a score)",
      )
      .optional(),
    scale: positive("the factor of cosines of 'multipleNegatives' (default 20)").optional(),
    margin: positive("how much nearer the positive is to be in 'triplet' (default 1)").optional(),
  })
  .describe('a table such as { loss: triplet, margin: 0.5 }')

const data = z
  .strictObject({
    file: oneOrMore.describe('a path or pattern of .jsonl, .csv, .tsv, .parquet or .txt files, or a list of them'),
    format: z
      .enum(formatNames)
      .describe(
        "'chat' (messages), 'completion' (prompt, completion), 'text', 'classification' (text, label), 'tokens' (words, tags), 'answers' (question, context, answers), 'translation' (source, target) or 'pairs' (anchor, positive, and negative or score); default: as the first row has columns",
      )
      .optional(),
    columns: columns.optional(),
    learn: z
      .enum(['assistant', 'last', 'all'])
      .describe("'assistant' (default), 'last' or 'all': which tokens of a chat are learned")
      .optional(),
    template: z.string().min(1).describe("a chat template, or the name of one of the tokenizer's").optional(),
    prefix: z
      .string()
      .min(1)
      .describe("a text that is put before each source, such as 'translate English to German: ' (default: none)")
      .optional(),
    contrast: contrast.optional(),
    labels: z
      .array(z.string().min(1))
      .min(1)
      .describe('a list of the names of classes, in order (default: those of the data, sorted)')
      .optional(),
    labelKind: z
      .enum(['class', 'classes', 'number'])
      .describe(
        "'class', 'classes' or 'number': what a label is (default: as the first row has it; numbers must say so)",
      )
      .optional(),
    maxLength: z
      .int()
      .min(2)
      .describe(
        'a whole number of at least 2: tokens of a row, behind which it is cut (default: as the tokenizer says)',
      )
      .optional(),
    validation: z
      .union([z.number().positive(), z.string().regex(/^(?!\d+([.,]\d+)? ?%$)./)])
      .describe('a share below 1 such as 0.2, a number of rows, or a file: what the training is measured on')
      .optional(),
  })
  .describe('a table such as { file: chats.jsonl, format: chat }')

const warmup = z
  .number()
  .min(0)
  .describe('a share of all steps below 1, or a whole number of steps, in which the rate grows from 0')
const warmed = z.strictObject({ warmup: warmup.optional() }).describe('a table such as { warmup: 0.03 }')

const schedule = z
  .union([
    z.enum(['constant', 'linear', 'cosine', 'slanted']),
    z.strictObject({ constant: warmed }),
    z.strictObject({ linear: warmed }),
    z.strictObject({ cosine: warmed }),
  ])
  .describe(
    "'constant' (default), 'linear', 'cosine', one of these with a warm-up, as in { cosine: { warmup: 0.03 } }, or 'slanted' (ULMFiT's, up in a tenth of the steps, then down)",
  )

const every = z
  .union([z.int().positive(), z.string().regex(/^(?!0+(\.0+)? )\d+(\.\d+)? (second|minute|hour)s?$/)])
  .describe("a number of steps of at least 1, or a time above 0, such as '10 minutes' (default)")

const checkpoints = z
  .strictObject({ every: every.optional(), keep: count('how many of the newest stay (default 3)').optional() })
  .describe("a table such as { every: '10 minutes', keep: 3 }: when checkpoints are written")

const train = z
  .strictObject({
    epochs: count('passes over the data (default 1, unless steps or minutes are given)').optional(),
    steps: count('steps of the optimizer after which the training ends').optional(),
    minutes: positive('minutes after which the training ends').optional(),
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
    batchSize: count('rows of a batch (default 1)').optional(),
    accumulate: count('batches of a step (default 1)').optional(),
    precision: z.enum(['float32', 'bfloat16']).describe("'float32' (default) or 'bfloat16'").optional(),
    schedule: schedule.optional(),
    clipGradNorm: positive('the most that the norm of gradients may be (default 1)').optional(),
    seed: z
      .int()
      .min(0)
      .describe('a whole number of at least 0: the seed of all random numbers (default 0)')
      .optional(),
    validateEvery: count('steps between validations (default: after every epoch)').optional(),
    earlyStopping: count('validations without a better loss, after which the training ends').optional(),
    checkpointing: flag(
      "whether the model's blocks are computed again in the backward pass, to save memory (default false)",
    ).optional(),
    memory: z
      .union([z.number().positive(), z.string().regex(/^(?!0+(\.0+)? ?[a-z])\d+(\.\d+)? ?[kmgt]?i?b$/i)])
      .describe("bytes, or a text such as '8 GB': the most that the training may take; batches are cut to fit")
      .optional(),
    checkpoints: checkpoints.optional(),
  })
  .describe('a table of options, such as { epochs: 2, lr: 2e-4 }')

const replay = z
  .strictObject({
    file: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .describe('a path or pattern of files of general rows, of the format and columns of data, or a list of them'),
    share: z.number().gt(0).lt(1).describe('a number above 0 and below 1: the part of all batches that is general'),
  })
  .describe('a table such as { file: general.jsonl, share: 0.2 }: general data against forgetting')

/** The config of `firesteel finetune`, and of the commands that show its data or use its result. */
export const finetuneSchema = z
  .strictObject({
    $schema: z.string().describe('the path of the JSON schema, for editors').optional(),
    model: z
      .union([z.string().min(1), z.record(z.string(), z.unknown())])
      .describe(
        'a path: a Hugging Face folder with config.json and weights; or for a model that begins with random weights what a config.json holds, such as { model_type: bert, hidden_size: 128, ... }',
      ),
    tokenizer: path(
      "a folder with a tokenizer.json (default: the model's; a table for the model needs one)",
    ).optional(),
    method: method.optional(),
    data,
    replay: replay.optional(),
    train: train.optional(),
    output: path('the folder of the run, with checkpoints and the result'),
  })
  .describe('a table with model, data and output')

/** The config of `firesteel finetune`, in the form of a file. */
export type FinetuneConfig = z.infer<typeof finetuneSchema>

const corpus = z
  .strictObject({
    file: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .describe(
        'a path or pattern of .txt, .jsonl, .csv, .tsv or .parquet files, or a list of them; a row is a document',
      ),
    column: column("the column of the text (default 'text')").optional(),
    folder: path('the folder of the shards, which are made once'),
    validation: share('the share of documents that is held back (default 0)').optional(),
    deduplicate: z
      .union([z.boolean(), z.literal('exact')])
      .describe("true, false (default) or 'exact': whether texts are left out that were there before, near ones too")
      .optional(),
    similarity: z
      .number()
      .gt(0)
      .max(1)
      .describe('a number above 0, at most 1: the share of runs of words that makes near duplicates (default 0.8)')
      .optional(),
    seed: z.int().min(0).describe('a whole number of at least 0: chooses what is held back (default 0)').optional(),
  })
  .describe('a table such as { file: texts/*.txt, folder: shards, validation: 0.01 }')

const chosen = (what: string) => z.number().gt(0).lt(1).describe(`a number above 0 and below 1: ${what}`).optional()

const objective = z
  .union([
    z.enum(['causal', 'masked', 'spans']),
    z.strictObject({
      masked: z
        .strictObject({
          probability: chosen('the share of tokens, or of words, that are to be found (default 0.15)'),
          wholeWords: flag('whether the tokens of a word are masked together (default false)').optional(),
          nextSentence: flag(
            'whether rows are pairs of sentences, and the model, a bert, judges whether one follows the other (default false)',
          ).optional(),
        })
        .describe('a table such as { wholeWords: true }'),
    }),
    z.strictObject({
      spans: z
        .strictObject({
          probability: chosen('the share of tokens that are taken out (default 0.15)'),
          meanSpan: z
            .number()
            .min(1)
            .describe('a number of at least 1: tokens of a gap on average (default 3)')
            .optional(),
        })
        .describe('a table such as { meanSpan: 3 }'),
    }),
  ])
  .describe(
    "'causal' (default: the next token), 'masked' (tokens that are masked, for encoders) or 'spans' (gaps that are filled in, for T5), or one with options, as in { masked: { wholeWords: true } }",
  )

/** The config of `firesteel prepare` and `firesteel pretrain`. */
export const pretrainSchema = z
  .strictObject({
    $schema: z.string().describe('the path of the JSON schema, for editors').optional(),
    tokenizer: path('a folder with a tokenizer.json'),
    model: z
      .union([z.string().min(1), z.record(z.string(), z.unknown())])
      .describe(
        'what a config.json holds, such as { model_type: llama, hidden_size: 384, ... }, or a folder whose weights are gone on with',
      ),
    corpus,
    objective: objective.optional(),
    length: z
      .int()
      .min(2)
      .describe("a whole number of at least 2: tokens of a window (default: the model's context)")
      .optional(),
    documents: flag('whether attention ends where documents do (default false)').optional(),
    train: train.optional(),
    output: path('the folder of the run, with checkpoints and the model'),
  })
  .describe('a table with tokenizer, model, corpus and output')

/** The config of `firesteel pretrain`, in the form of a file. */
export type PretrainConfig = z.infer<typeof pretrainSchema>
