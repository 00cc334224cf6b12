// biome-ignore-all lint/suspicious/noControlCharactersInRegex: formats begin with them
/** Files of other kinds, told by their first bytes, with advice for each. */

/** The number of first bytes that `kindOf` reads. */
export const kindBytes = 1 << 16

const toSafetensors =
  'convert it in Python: safetensors.torch.save_file(torch.load(path, weights_only=True), "model.safetensors")'

interface Kind {
  /** The beginning of the file, as Latin-1 text. */
  readonly begins: RegExp
  readonly is: string | ((text: string) => string)
}

function shards(text: string): string {
  const names = [...new Set([...text.matchAll(/"([^"\\/]+\.safetensors)"/g)].map(([, name]) => name as string))]
  if (names.length === 0) return 'a JSON file; give the path of the file with the weights'
  const some = names.slice(0, 3).join(', ')
  return `an index of files that hold the weights (${some}${names.length > 3 ? ', ...' : ''}); load the folder that it is in, or the path of the index, which ends with .index.json`
}

function zip(text: string): string {
  // The name of the first entry. Its length precedes it.
  const name = text.slice(30, 30 + text.charCodeAt(26) + 256 * text.charCodeAt(27))
  if (name.endsWith('.npy'))
    return 'a NumPy archive (.npz); write its arrays with safetensors.numpy.save_file in Python'
  if (/(^|\/)(data\.pkl|byteorder|\.format_version)$/.test(name)) return `a PyTorch checkpoint (zip); ${toSafetensors}`
  return 'a zip archive; if PyTorch wrote it, convert it with safetensors.torch.save_file in Python, else unpack it'
}

const kinds: readonly Kind[] = [
  {
    begins: /^version https:\/\/git-lfs/,
    is: 'a Git LFS pointer instead of the file itself; run `git lfs pull`, or download the file',
  },
  {
    begins: /^(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|!--)/i,
    is: 'a web page (HTML or XML); download the file itself, not the page about it',
  },
  { begins: /^PK(\x03\x04|\x05\x06)/, is: zip },
  { begins: /^\x80[\x02-\x05]\x8a\x0a/, is: `a PyTorch checkpoint (pickle, before version 1.6); ${toSafetensors}` },
  { begins: /^\x80[\x02-\x05][^\0]/, is: `a Python pickle; if it is a PyTorch checkpoint, ${toSafetensors}` },
  { begins: /^GGUF|^(lmgg|tjgg|fmgg)/, is: 'a GGUF model (llama.cpp); take the safetensors files it was made from' },
  { begins: /^\x93NUMPY/, is: 'a NumPy array (.npy); write it with safetensors.numpy.save_file in Python' },
  {
    begins: /^\x89HDF\r\n/,
    is: 'an HDF5 file (Keras .h5); write its weights with safetensors.numpy.save_file in Python',
  },
  { begins: /^\x1f\x8b/, is: 'compressed with gzip; unpack it with gunzip' },
  { begins: /^(\x28\xb5\x2f\xfd|BZh[1-9]|\xfd7zXZ\0|7z\xbc\xaf)/, is: 'compressed (zstd, bzip2, xz or 7z); unpack it' },
  { begins: /^[\s\S]{257}ustar/, is: 'a tar archive; unpack it' },
  { begins: /^\0\0[\x08-\x0e][\x00-\x08]/, is: "an IDX file; read it with readIdx of 'firesteel/datasets'" },
  { begins: /^(\xef\xbb\xbf)?\s*(\{\s*["}]|\[\s*["{[\]])/, is: shards },
  { begins: /^\x08[\x01-\x1f][\x12\x3a]/, is: 'perhaps an ONNX model; take the checkpoint it was exported from' },
]

/** The kind of a file with these first bytes, and advice. Null if no known kind begins like this. */
export function kindOf(head: Uint8Array): string | null {
  if (head.length === 0) return 'empty'
  const text = Array.from(head, (byte) => String.fromCharCode(byte)).join('')
  for (const { begins, is } of kinds) if (begins.test(text)) return typeof is === 'string' ? is : is(text)
  return null
}
