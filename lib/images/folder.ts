/** Folders of pictures, with a folder for each class. */
import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { shown, ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import { Dataset } from '../data/dataset.js'
import type { Picture } from '../data/picture.js'
import { withRecipe } from '../data/recipe.js'
import { checkPath, refusal } from '../io/refusal.js'
import { checkDecoding, type DecodeOptions, decode, decoder } from './decode.js'
import { recipe } from './step.js'

/**
 * Labelled files of pictures. Each is read when its row is requested: [picture, label], where the label is an int32 in
 * batches.
 */
export class ImageFolder extends Dataset<readonly [image: Picture, label: number]> {
  /** Names of the classes. Their indices are the labels. */
  readonly classes: readonly string[]
  readonly paths: readonly string[]
  /** A label for each path: `splitRows(folder, { validation: 0.1, stratify: folder.labels })`. */
  readonly labels: Int32Array
  /** Files that are not read, because their names do not end like a picture's. */
  readonly skipped: readonly string[]
  readonly #options: DecodeOptions

  constructor(
    files: { readonly classes: readonly string[]; readonly paths: readonly string[]; readonly labels: Int32Array },
    skipped: readonly string[],
    options: DecodeOptions,
  ) {
    super()
    this.classes = files.classes
    this.paths = files.paths
    this.labels = files.labels
    this.skipped = skipped
    this.#options = options
  }

  get length(): number {
    return this.paths.length
  }

  override get rowDTypes(): readonly ['uint8' | undefined, 'int32'] {
    return [undefined, 'int32']
  }

  /** Throws ValueError, with the path, for a file that cannot be decoded. */
  async get(index: number): Promise<readonly [Picture, number]> {
    const path = Number.isSafeInteger(index) ? this.paths[index] : undefined
    if (path === undefined)
      throw new ValueError('ImageFolder', `index ${shown(index)} lies outside the ${this.length} pictures`)
    return [await decode('imageFolder', path, this.#options), this.labels[index] as number]
  }
}

/** Endings of files that the npm package sharp decodes. */
const pictures = /\.(jpe?g|png|webp|gif|avif|tiff?)$/i

/**
 * The pictures of a folder. Each folder in it is a class, and files lie there or deeper. Classes are sorted by name and
 * files by path, as in torchvision's ImageFolder. Hidden entries are left out, and `skipped` lists files of other
 * kinds. Pictures are decoded to bytes on demand, with transparent parts on black. Batches are uint8 [N, C, H, W] if
 * all pictures have one size. `resize` or a step gives them one size, and `normalize` makes floats. Needs the package
 * sharp (`npm install sharp`). Throws ValueError for a folder without classes, or a class without pictures.
 */
export async function imageFolder(path: string, options: DecodeOptions = {}): Promise<ImageFolder> {
  const op = 'imageFolder'
  checkPath(op, 'read', path)
  const given = ownOptions(op, options, { channels: true, resize: true })
  checkDecoding(op, given)
  await decoder(op)
  const skipped: string[] = []
  const classes: string[] = []
  for (const entry of await entriesOf(op, path))
    if (await isFolder(op, join(path, entry.name), entry)) classes.push(entry.name)
    else skipped.push(join(path, entry.name))
  if (classes.length === 0)
    throw new ValueError(op, `${path} has no folders, but must have one for each class, with pictures in it`)
  const paths: string[] = []
  const labels: number[] = []
  for (const [label, name] of classes.entries()) {
    const before = paths.length
    for await (const file of filesBelow(op, join(path, name)))
      if (pictures.test(file)) {
        paths.push(file)
        labels.push(label)
      } else skipped.push(file)
    if (paths.length === before)
      throw new ValueError(
        op,
        `${join(path, name)} has no pictures (.jpg, .png, .webp, .gif, .avif, .tif), but every folder is a class; move it away`,
      )
  }
  return folderOf({ classes, paths, labels: Int32Array.from(labels) }, skipped, given)
}

/** A folder with known files, which threads use, so that all have the same rows, whatever happens to the folder. */
export function folderOf(...made: ConstructorParameters<typeof ImageFolder>): ImageFolder {
  return withRecipe(new ImageFolder(...made), recipe('folderOf', made))
}

/** All entries but hidden ones, sorted by name independently of the machine's language. */
async function entriesOf(op: string, folder: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.filter(({ name }) => !name.startsWith('.')).sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (error) {
    throw refusal(op, 'read', folder, error)
  }
}

/** Whether an entry is a folder, or a link to one. */
async function isFolder(op: string, path: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory()
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    throw refusal(op, 'read', path, error)
  }
}

/** The greatest depth, because a folder with links can contain itself. */
const mostDepth = 32

async function* filesBelow(op: string, folder: string, depth = 0): AsyncGenerator<string> {
  if (depth > mostDepth)
    throw new ValueError(op, `${folder} is nested deeper than ${mostDepth}; is it a link to a folder above?`)
  for (const entry of await entriesOf(op, folder)) {
    const path = join(folder, entry.name)
    if (await isFolder(op, path, entry)) yield* filesBelow(op, path, depth + 1)
    else yield path
  }
}
