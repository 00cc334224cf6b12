/**
 * The library's advice in words of the command line. The library speaks to programs, whose options a config names
 * otherwise.
 */

const words: readonly (readonly [ofLibrary: RegExp, here: string])[] = [
  [/if that is intended, raise longest/, 'divide it into several rows, or mend the line ends'],
  [/or add it to labels/, 'or add it to data.labels'],
  [/name all classes: labels: \['\.\.\.', '\.\.\.'\]/, "name all classes, as in data.labels: ['...', '...']"],
  [/name the classes: labels: \['\.\.\.', '\.\.\.'\]/, "name the classes, as in data.labels: ['...', '...']"],
  [/give kind: 'number'/, 'give data.labelKind: number'],
  [
    /pass one as `template`, or to AutoTokenizer\.load/,
    'give one as data.template, or as chat_template.jinja in the folder of the tokenizer',
  ],
  [/make rows with \{ maxLength: (\d+) \}, or leave it out/, 'give data.maxLength: $1, or leave the row out'],
  [/divide scores from 0 to 5 by 5: score: .*/, 'divide scores from 0 to 5 by 5 in the file'],
  [
    /load the tokenizer of the model's own folder, or enlarge the model by resizeTokenEmbeddings/,
    "load the tokenizer of the model's own folder: leave out tokenizer, if it names another one",
  ],
  [
    /add (<extra_id_\d+>) and so on by addTokens, or cut rows/,
    'take a tokenizer that has $1 and so on, as those of T5 do, or give a smaller length',
  ],
  [
    /the tokenizer has no (cls|sep|mask|pad) token(?:, which stands round sentences)?/,
    'the tokenizer names no $1 token; name it in tokenizer_config.json, beside tokenizer.json, as in "$1_token": "[...]"',
  ],
  [
    /; keep such a tensor in bfloat16/,
    '; take another format (q8_0 and q4_0 store blocks of 32), or leave quantize out',
  ],
]

/** A message of the library whose advice names keys of a config. */
export const inConfigWords = (message: string): string =>
  words.reduce((text, [ofLibrary, here]) => text.replace(ofLibrary, here), message)
