/** A server with Hugging Face's API: the contents of a repository, and the places of its files. */
import { shown } from '../../core/errors.js'
import { Interrupted, PullError } from './errors.js'

export interface Hub {
  /** The server's address without a slash at its end. */
  readonly endpoint: string
  readonly token: string | null
}

/** `owner/name`, or `datasets/owner/name`, and its revision: a branch, a tag or a commit. */
export interface Repository {
  readonly kind: 'models' | 'datasets'
  readonly name: string
  readonly revision: string
}

export interface RemoteFile {
  /** The path within the repository, with slashes. */
  readonly path: string
  readonly size: number
  readonly hash: { readonly by: 'sha256' | 'git'; readonly hex: string }
}

export interface Listing {
  /** The current commit of the revision. All files are fetched from it, so that they belong to one state. */
  readonly commit: string
  readonly files: readonly RemoteFile[]
}

/** The server and the token in the environment. Throws PullError if the address is invalid. */
export function hubOf(env: { readonly [name: string]: string | undefined }): Hub {
  const endpoint = env['HF_ENDPOINT'] || 'https://huggingface.co'
  let url: URL
  try {
    url = new URL(endpoint)
  } catch {
    throw new PullError(
      'network',
      `HF_ENDPOINT is '${endpoint}', but must be an address such as https://huggingface.co`,
    )
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new PullError('network', `HF_ENDPOINT is '${endpoint}', but must begin with https:// or http://`)
  return { endpoint: endpoint.replace(/\/+$/, ''), token: env['HF_TOKEN']?.trim() || null }
}

const part = '[A-Za-z0-9][A-Za-z0-9._-]*'
const repositoryPattern = new RegExp(`^(?:(datasets)/)?(${part}(?:/${part})?)(?:@(.+))?$`)

/** Throws PullError if the text does not name a repository. */
export function parseRepository(text: string): Repository {
  const [, kind, name, revision = 'main'] = repositoryPattern.exec(text) ?? []
  if (name === undefined || name.includes('..') || name.includes('--'))
    throw new PullError(
      'missing',
      `'${text}' does not name a repository; give owner/name, owner/name@revision or datasets/owner/name`,
    )
  return { kind: kind === undefined ? 'models' : 'datasets', name, revision }
}

function headersOf({ token }: Hub): { [name: string]: string } {
  // Compression is turned off, because hashes and ranges refer to the uncompressed bytes.
  return { 'accept-encoding': 'identity', ...(token !== null && { authorization: `Bearer ${token}` }) }
}

/** Throws for an answer without success: Interrupted if another try may help, otherwise PullError. */
function checkStatus(response: Response, what: string, { token }: Hub): void {
  const { status } = response
  if (response.ok) return
  const after = Number(response.headers.get('retry-after') ?? Number.NaN)
  if (status === 429 || status >= 500)
    throw new Interrupted(`the server answers ${status}`, Number.isFinite(after) ? 1000 * Math.min(60, after) : null)
  const said = response.headers.get('x-error-message')
  const words = said === null ? '' : ` (${said.slice(0, 200)})`
  if (status === 401 || status === 403)
    throw new PullError(
      'unauthorized',
      `the server refuses ${what} with ${status}${words}: ` +
        (token === null
          ? 'it may be private, gated or missing; set HF_TOKEN to a token with access to it'
          : 'the token in HF_TOKEN has no access to it; accept its terms on its page, or use another token'),
    )
  if (status === 404 || status === 410)
    throw new PullError('missing', `there is no ${what}${words}; look for a misspelt name or revision`)
  throw new PullError('answer', `the server answers ${status} for ${what}${words}`)
}

/** A request. It throws Interrupted if it fails to connect. */
async function request(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (error) {
    if (init.signal?.aborted) throw init.signal.reason
    const { cause } = error as { readonly cause?: unknown }
    throw new Interrupted(cause instanceof Error && cause.message !== '' ? cause.message : (error as Error).message)
  }
}

const segments = (path: string) => path.split('/').map(encodeURIComponent).join('/')

/** The files of a repository. Throws Interrupted if another try may help, otherwise PullError. */
export async function listFiles(hub: Hub, repository: Repository, signal: AbortSignal): Promise<Listing> {
  const { kind, name, revision } = repository
  const what = `${kind === 'datasets' ? 'data set' : 'model'} ${name} at revision ${revision}`
  const url = `${hub.endpoint}/api/${kind}/${name}/revision/${encodeURIComponent(revision)}?blobs=true`
  const response = await request(url, { headers: headersOf(hub), signal })
  checkStatus(response, what, hub)
  let answer: unknown
  try {
    answer = await response.json()
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (error instanceof SyntaxError)
      throw new PullError('answer', `the server's list of files of ${what} is not JSON; check HF_ENDPOINT`)
    throw new Interrupted((error as Error).message)
  }
  return listingOf(answer, what)
}

interface Sibling {
  readonly rfilename?: unknown
  readonly size?: unknown
  readonly blobId?: unknown
  readonly lfs?: { readonly sha256?: unknown; readonly size?: unknown } | null
}

function listingOf(answer: unknown, what: string): Listing {
  const { sha, siblings } = (answer ?? {}) as { readonly sha?: unknown; readonly siblings?: unknown }
  if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha) || !Array.isArray(siblings))
    throw new PullError('answer', `the server's list of files of ${what} has no commit or no files; check HF_ENDPOINT`)
  return { commit: sha, files: siblings.map((sibling: Sibling | null) => fileOf(sibling ?? {}, what)) }
}

function fileOf({ rfilename, size, blobId, lfs }: Sibling, what: string): RemoteFile {
  if (typeof rfilename !== 'string')
    throw new PullError('answer', `a file of ${what} has the name ${shown(rfilename)}, which is not a text`)
  checkName(rfilename, what)
  const bytes = lfs?.size ?? size
  const hex = lfs ? lfs.sha256 : blobId
  const form = lfs ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0 || typeof hex !== 'string' || !form.test(hex))
    throw new PullError(
      'answer',
      `the server gives neither size nor hash of ${rfilename} in ${what}, so it could not be verified; use another HF_ENDPOINT`,
    )
  return { path: rfilename, size: bytes as number, hash: { by: lfs ? 'sha256' : 'git', hex } }
}

/** The folder of unfinished files, within the folder of the repository. */
export const unfinished = '.pull'

/** Throws PullError for a name that would lead outside the folder on any system. */
function checkName(path: string, what: string): void {
  const parts = path.split('/')
  const safe = parts.every((each) => each !== '' && each !== '.' && each !== '..')
  // On Windows a colon marks a drive or a stream, and a backslash is a slash.
  const plain = [...path].every((sign) => sign.charCodeAt(0) >= 32 && !':\\'.includes(sign))
  if (!safe || !plain || parts[0] === unfinished)
    throw new PullError(
      'answer',
      `${what} names the file ${JSON.stringify(path)}, which would be outside the folder; nothing was fetched`,
    )
}

/** A file's bytes from an offset on. `from` may be smaller than requested if the server does not support ranges. */
export interface Bytes {
  readonly from: number
  readonly body: AsyncIterable<Uint8Array>
}

/**
 * Begins to fetch a file. Null if the server sends another part than the requested one. Throws Interrupted if another
 * try may help, otherwise PullError.
 */
export async function openFile(
  hub: Hub,
  { kind, name }: Repository,
  { commit, file, offset }: { readonly commit: string; readonly file: RemoteFile; readonly offset: number },
  signal: AbortSignal,
): Promise<Bytes | null> {
  const repository = kind === 'datasets' ? `datasets/${name}` : name
  const url = `${hub.endpoint}/${repository}/resolve/${commit}/${segments(file.path)}`
  const range = offset > 0 ? { range: `bytes=${offset}-` } : {}
  // fetch drops the token when it is redirected to another server, as for large files.
  const response = await request(url, { headers: { ...headersOf(hub), ...range }, signal })
  checkStatus(response, `file ${file.path} of ${name}`, hub)
  const body = (response.body ?? []) as AsyncIterable<Uint8Array>
  if (response.status !== 206) return { from: 0, body }
  const from = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]
  if (offset > 0 && Number(from) === offset) return { from: offset, body }
  await response.body?.cancel()
  return null
}
