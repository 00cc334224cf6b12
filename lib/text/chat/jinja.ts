/**
 * The used part of @huggingface/jinja. The package's own types import files without endings, which Node's resolution
 * does not find.
 */

export interface Statement {
  readonly type: string
}

export interface Value {
  readonly value: unknown
}

export interface Environment {
  set(name: string, value: unknown): unknown
}

export interface Interpreter {
  run(program: Statement): Value
  evaluate(statement: Statement | undefined, environment: Environment): Value
}

export interface Jinja {
  tokenize(source: string): unknown
  parse(tokens: unknown): Statement
  readonly Environment: new () => Environment
  readonly Interpreter: new (globals: Environment) => Interpreter
}

/** Loaded when the first template is read. */
export async function loadJinja(): Promise<Jinja> {
  return (await import('@huggingface/jinja')) as unknown as Jinja
}
