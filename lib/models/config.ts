/**
 * Settings of a model from `config.json`. Every setting is either used, or refused by its name. None is ignored unless
 * it is known to change no number.
 */
import { isDType } from '../core/dtype.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { readJson } from '../io/json.js'

/** The object in a `config.json`. */
export type ConfigJson = { readonly [name: string]: unknown }

/** Settings about the file, its program or its tokens, or about training or generation. They change no output. */
const harmless = new Set([
  'architectures',
  'model_type',
  'dtype',
  'torch_dtype',
  'transformers_version',
  'auto_map',
  'bos_token_id',
  'eos_token_id',
  'pad_token_id',
  'sep_token_id',
  'cls_token_id',
  'mask_token_id',
  'unk_token_id',
  'decoder_start_token_id',
  'forced_bos_token_id',
  'forced_eos_token_id',
  'bad_words_ids',
  'suppress_tokens',
  'begin_suppress_tokens',
  'tokenizer_class',
  'prefix',
  'use_cache',
  'cache_implementation',
  'return_dict',
  'return_dict_in_generate',
  'output_attentions',
  'output_hidden_states',
  'output_scores',
  'output_past',
  'initializer_range',
  'initializer_factor',
  'gradient_checkpointing',
  'finetuning_task',
  'task_specific_params',
  'torchscript',
  'pruned_heads',
  'problem_type',
  'id2label',
  'label2id',
  'num_labels',
  'do_sample',
  'early_stopping',
  'max_length',
  'min_length',
  'num_beams',
  'num_beam_groups',
  'num_return_sequences',
  'temperature',
  'top_k',
  'top_p',
  'typical_p',
  'length_penalty',
  'repetition_penalty',
  'no_repeat_ngram_size',
  'encoder_no_repeat_ngram_size',
  'diversity_penalty',
  'remove_invalid_values',
  'exponential_decay_length_penalty',
  'chunk_size_feed_forward',
  // The loader of the weights reads this one.
  'quantization_config',
  'is_llama_config',
  'unsloth_fixed',
  'unsloth_version',
])

/** The deepest published models have a few hundred layers. */
const mostLayers = 4096

/** The most classes that a file may count without naming them. ImageNet's largest set has 22,000. */
export const mostLabels = 2 ** 20

/** A setting that is off, or that belongs to another program, which marked it as its own. */
function isIdle(name: string, value: unknown): boolean {
  const empty = typeof value === 'object' && value !== null && Object.keys(value).length === 0
  return value === null || value === false || empty || name.startsWith('_') || name.includes('.')
}

/**
 * Reads settings one by one, records which were used, and collects all faults. `close()` throws them as one error.
 * Until then a getter returns its fallback, or a value of the right type, for a faulty setting.
 */
export class Settings {
  readonly json: ConfigJson
  readonly #op: string
  readonly #path: string
  readonly #faults: string[] = []
  readonly #asked = new Set<string>()

  /** Throws ValueError if the value is not an object. */
  constructor(op: string, path: string, json: unknown) {
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      throw new ValueError(op, `${path} holds ${kindOf(json)}, but must hold an object of settings`)
    this.#op = op
    this.#path = path
    this.json = json as ConfigJson
  }

  /** The value as it is in the file, or undefined if it is missing or null. */
  value(name: string): unknown {
    this.#asked.add(name)
    return Object.hasOwn(this.json, name) ? (this.json[name] ?? undefined) : undefined
  }

  fault(text: string): void {
    this.#faults.push(text)
  }

  #take<T>(name: string, fits: (value: unknown) => value is T, must: string, fallback: T | undefined, dummy: T): T {
    const value = this.value(name)
    if (value === undefined) {
      if (fallback === undefined) this.fault(`${name} is missing, but must be ${must}`)
      return fallback ?? dummy
    }
    if (fits(value)) return value
    this.fault(`${name} is ${shown(value)}, but must be ${must}`)
    return fallback ?? dummy
  }

  /** A count: an integer of at least 1. */
  size(name: string, fallback?: number): number {
    const fits = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0
    return this.#take(name, fits, 'a positive integer', fallback, 1)
  }

  /** The number of blocks. All of them are made before any weight is read. */
  layers(name: string, fallback?: number): number {
    const fits = (value: unknown): value is number =>
      Number.isInteger(value) && Number(value) > 0 && Number(value) <= mostLayers
    return this.#take(name, fits, `an integer from 1 to ${mostLayers}`, fallback, 1)
  }

  /** The number of classes, each with a name. */
  labels(name: string, fallback: number): number {
    const fits = (value: unknown): value is number =>
      Number.isInteger(value) && Number(value) > 0 && Number(value) <= mostLabels
    return this.#take(name, fits, `an integer from 1 to ${mostLabels}`, fallback, 1)
  }

  /** A count, or null if the file says null. The fallback if the setting is missing. */
  sizeOrNull(name: string, fallback: number | null): number | null {
    if (Object.hasOwn(this.json, name) ? this.json[name] === null : fallback === null) {
      this.#asked.add(name)
      return null
    }
    return this.size(name, fallback ?? 1)
  }

  /** Like `sizeOrNull`, for any positive number. */
  positiveOrNull(name: string, fallback: number | null): number | null {
    if (Object.hasOwn(this.json, name) ? this.json[name] === null : fallback === null) {
      this.#asked.add(name)
      return null
    }
    return this.positive(name, fallback ?? 1)
  }

  /** The id of a token in a vocabulary, or null if there is none. A negative id counts from the end, as in PyTorch. */
  token(name: string, vocabSize: number): number | null {
    const value = this.value(name)
    if (value === undefined) return null
    if (Number.isInteger(value) && Math.abs((value as number) + 0.5) < vocabSize) return value as number
    this.fault(`${name} is ${shown(value)}, but must be one of the ${vocabSize} tokens, or null`)
    return null
  }

  /** A finite number. */
  number(name: string, fallback?: number): number {
    const fits = (value: unknown): value is number => Number.isFinite(value)
    return this.#take(name, fits, 'a finite number', fallback, 1)
  }

  /** A positive number. */
  positive(name: string, fallback?: number): number {
    const fits = (value: unknown): value is number => Number.isFinite(value) && (value as number) > 0
    return this.#take(name, fits, 'a positive number', fallback, 1)
  }

  /** A dropout probability. */
  dropout(name: string, fallback?: number): number {
    const fits = (value: unknown): value is number => Number.isFinite(value) && 0 <= Number(value) && Number(value) < 1
    return this.#take(name, fits, 'a probability from 0 to below 1', fallback, 0)
  }

  flag(name: string, fallback?: boolean): boolean {
    const fits = (value: unknown): value is boolean => typeof value === 'boolean'
    return this.#take(name, fits, 'true or false', fallback, false)
  }

  /** One of these texts. */
  choice<const T extends string>(name: string, choices: readonly T[], fallback?: T): T {
    const fits = (value: unknown): value is T => choices.includes(value as T)
    return this.#take(name, fits, `one of ${choices.join(', ')}`, fallback, choices[0] as T)
  }

  /** A list of `count` of these texts. */
  list<const T extends string>(
    name: string,
    choices: readonly T[],
    count: number,
    fallback: readonly T[],
  ): readonly T[] {
    const fits = (value: unknown): value is readonly T[] =>
      Array.isArray(value) && value.length === count && value.every((each) => choices.includes(each as T))
    return this.#take(name, fits, `a list of ${count}, each ${choices.join(' or ')}`, fallback, fallback)
  }

  /** Refuses every value except this one, which is also the default: the model computes as if it were set. */
  only(name: string, supported: unknown): void {
    const value = this.value(name)
    if (value !== undefined && value !== supported)
      this.fault(`${name} is ${shown(value)}, but only ${shown(supported ?? null)} is supported`)
  }

  /** Settings that change nothing in this architecture. */
  unused(...names: readonly string[]): void {
    for (const name of names) this.#asked.add(name)
  }

  /** An object within the settings, whose faults are reported together with these, or null if there is none. */
  object(name: string): ConfigJson | null {
    const fits = (value: unknown): value is ConfigJson => typeof value === 'object' && !Array.isArray(value)
    const none: ConfigJson = {}
    const found = this.#take(name, fits, 'an object', none, none)
    return found === none ? null : found
  }

  /** Throws ValueError that lists all faults, and the unused settings unless they change nothing. */
  close(): void {
    const unknown = Object.entries(this.json)
      .filter(([name, value]) => !this.#asked.has(name) && !harmless.has(name) && !isIdle(name, value))
      .map(([name, value]) => `${name} is ${shown(value)}, but this architecture has no such setting`)
    const faults = [...this.#faults, ...unknown]
    if (faults.length > 0) throw new ValueError(this.#op, `${this.#path}: ${faults.join('; ')}`)
  }
}

/** The content of a `config.json`. Throws ValueError if the file is not one. */
export async function readConfig(op: string, path: string): Promise<ConfigJson> {
  return new Settings(op, path, await readJson(op, path)).json
}

/**
 * The dtype of the weights, in either spelling, or null if the file does not name it. Throws ValueError for an unknown
 * one.
 */
export function dtypeOf(op: string, path: string, json: ConfigJson): 'float32' | 'bfloat16' | 'float16' | null {
  const value = json['dtype'] ?? json['torch_dtype'] ?? null
  if (value === null) return null
  const name = typeof value === 'string' ? value.replace(/^torch\./, '') : ''
  if (isDType(name) && (name === 'float32' || name === 'bfloat16' || name === 'float16')) return name
  throw new ValueError(op, `${path}: dtype is ${shown(value)}, but must be float32, bfloat16 or float16`)
}

/** Settings that transformers 5 accepts only as fractions, 5.0 instead of 5. */
const fractions = new Set([
  'attn_logit_softcapping',
  'final_logit_softcapping',
  'initializer_factor',
  'initializer_range',
  'layer_norm_eps',
  'layer_norm_epsilon',
  'rms_norm_eps',
  // Names of rotary settings.
  'attention_factor',
  'beta_fast',
  'beta_slow',
  'factor',
  'high_freq_factor',
  'long_factor',
  'low_freq_factor',
  'mscale',
  'mscale_all_dim',
  'partial_rotary_factor',
  'rope_theta',
  'short_factor',
])

/** No text in a configuration begins with this. */
const mark = '\u0001fraction:'

/** The text of a `config.json` that transformers can also read. */
export function configText(json: ConfigJson): string {
  const marked = (value: unknown): unknown =>
    Number.isSafeInteger(value) ? `${mark}${value}` : Array.isArray(value) ? value.map(marked) : value
  const text = JSON.stringify(json, (name, value: unknown) => (fractions.has(name) ? marked(value) : value), 2)
  return `${text.replace(/"\\u0001fraction:(-?\d+)"/g, '$1.0')}\n`
}
