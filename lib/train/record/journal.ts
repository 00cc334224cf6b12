/** The events of a fit and their measurements. */
import type { Device } from '../../core/device.js'
import { warn } from '../../core/host.js'
import type { Tensor } from '../../core/tensor.js'
import type { Callback } from '../callbacks.js'
import type { EpochRecord, StepRecord, Telemetry, TrainingHistory, ValidationRecord } from '../history.js'
import type { Logger, Numbers, Session, TrainingEvent } from './events.js'
import { Work } from './work.js'

/** Milliseconds between two reports. Faster steps are reported together. */
const atLeast = 100

/** Sums over some steps. */
class Window {
  began = performance.now()
  steps = 0
  items = 0
  counted = 0
  /** The milliseconds in which the loop waited for data. */
  waited = 0
  loss = 0
}

export interface JournalOptions {
  readonly loggers: readonly Logger[]
  /** The number of steps between events, or undefined for as many as fit into a tenth of a second. */
  readonly every: number | undefined
  /** Whether to report the norm if nothing is clipped. */
  readonly gradNorm: boolean
  readonly device: Device
  readonly bfloat16: boolean
  readonly lr: () => number
}

/**
 * A callback that the Trainer also informs of events which callbacks do not see. It comes last and ends on its own.
 * Without loggers it measures epochs only for the history.
 */
export class Journal implements Callback {
  readonly #options: JournalOptions
  readonly #history: TrainingHistory<string>
  readonly #work: Work
  readonly #open = new Set<Logger>()
  /** Loggers that have failed. They get no more events. */
  readonly #silent = new Set<Logger>()
  #step = 0
  #epoch = 0
  #window = new Window()
  #whole = new Window()
  #asked = 0
  #paused = 0
  /** Whether the current step ends a window. */
  #due = false
  #told = Number.NEGATIVE_INFINITY
  #norm: Promise<number> | null = null
  /** Resolves when all losses so far are counted and all due events are reported. */
  #settled: Promise<void> = Promise.resolve()

  constructor(options: JournalOptions, history: TrainingHistory<string>) {
    this.#options = options
    this.#history = history
    this.#work = new Work(options.device, options.bfloat16)
  }

  /** Opens the loggers. If one cannot be opened, the fit ends before it begins. */
  async open(session: Session): Promise<void> {
    this.#step = session.reached.steps
    this.#epoch = session.reached.epochs
    for (const logger of this.#options.loggers) {
      await logger.open?.(session)
      this.#open.add(logger)
    }
    const { resumed, checkpointMissing } = session
    this.#tell({ type: 'start', ...this.#now(), resumed, ...(checkpointMissing && { checkpointMissing }) })
    this.#window = new Window()
    this.#whole = new Window()
  }

  /** Called when the loop asks for a batch. */
  asks(): void {
    this.#asked = performance.now()
  }

  /** Called when the loop has got the batch. */
  given(): void {
    const waited = performance.now() - this.#asked
    this.#window.waited += waited
    this.#whole.waited += waited
  }

  /** Called when the training pauses for another measurement, until `onValidation`. */
  pauses(): void {
    this.#paused = performance.now()
  }

  /** Runs a batch. */
  counting<R extends { readonly items: number }>(fn: () => R): R {
    // Counting measures the machine's peak, which takes time. Programs without loggers should not pay for it.
    return this.#options.loggers.length === 0 ? fn() : this.#work.counting(fn)
  }

  /** Called before each step of the optimizer: whether it must measure its gradients' norm, if no other part does. */
  asksNorm(): boolean {
    const { every, gradNorm, loggers } = this.#options
    // Epochs do not need the steps' numbers.
    if (loggers.length === 0) return false
    this.#due = every === undefined ? performance.now() - this.#told >= atLeast : (this.#step + 1) % every === 0
    return gradNorm && this.#due
  }

  /** Called after the step, with the norm of its gradients. */
  norm(norm: Tensor | null): void {
    this.#norm = null
    if (norm === null || !this.#due) return
    this.#norm = norm.data().then(([value]) => value as number)
    this.#norm.catch(() => undefined)
  }

  onStep(step: StepRecord): void {
    this.#step = step.step + 1
    this.#epoch = step.epoch
    const [window, whole] = [this.#window, this.#whole]
    window.items += step.items
    whole.items += step.items
    window.steps++
    const tell = this.#due ? this.#ending(window) : null
    // Losses arrive in the order of their steps. A loss that fails ends the training.
    this.#settled = Promise.all([step.loss(), step.counted()]).then(
      ([loss, counted]) => {
        window.loss += loss
        window.counted += counted
        whole.counted += counted
        return tell?.()
      },
      () => undefined,
    )
  }

  /** Ends the window. Returns a function that reports it once its losses have arrived. */
  #ending(window: Window): () => Promise<void> | undefined {
    this.#told = performance.now()
    this.#window = new Window()
    const seconds = (this.#told - window.began) / 1000
    const [about, lr, norm] = [this.#now(), this.#options.lr(), this.#norm]
    const tell = (gradNorm: number | null) => {
      const numbers = {
        loss: window.loss / window.steps,
        lr,
        ...(gradNorm !== null && { gradNorm }),
        ...this.#rates(window, seconds),
      }
      this.#tell({ type: 'step', ...about, numbers })
    }
    return () => (norm === null ? void tell(null) : norm.then(tell, () => undefined))
  }

  #rates({ items, counted, waited }: Window, seconds: number): Omit<Telemetry, 'epoch'> {
    const perSecond = (count: number) => (seconds > 0 ? count / seconds : 0)
    const peakShare = this.#work.shareOfPeak(perSecond(items))
    return {
      itemsPerSecond: perSecond(items),
      ...(counted !== items && { countedPerSecond: perSecond(counted) }),
      waiting: seconds > 0 ? Math.min(1, waited / 1000 / seconds) : 0,
      ...(peakShare !== null && { peakShare }),
      peakBytes: this.#options.device.memory().peakBytes,
    }
  }

  async onValidation({ epoch, step, ...numbers }: ValidationRecord): Promise<void> {
    const paused = performance.now() - this.#paused
    this.#window.began += paused
    this.#whole.began += paused
    await this.#settled
    this.#tell({ type: 'validation', ...this.#now(), numbers })
  }

  async onEpochEnd(record: EpochRecord): Promise<void> {
    await this.#settled
    const seconds = (performance.now() - this.#whole.began) / 1000
    const rates = this.#rates(this.#whole, seconds)
    this.#history.telemetry.push({ epoch: record.epoch, ...rates })
    const numbers = { ...numbersOf(record), ...rates }
    this.#whole = new Window()
    this.#tell({ type: 'epoch', ...this.#now(), numbers })
  }

  /** Resolves when the loggers have written all events of the steps so far. Throws nothing. */
  async written(): Promise<void> {
    await this.#settled
    for (const logger of this.#open) {
      try {
        await logger.flush?.()
      } catch (error) {
        this.#silence(logger, error)
      }
    }
  }

  /** Reports the end of the fit, and closes the loggers. Throws nothing. */
  async end(): Promise<void> {
    await this.#settled
    this.#tell({ type: 'end', ...this.#now(), stopped: this.#history.stopped })
    for (const logger of this.#open) {
      try {
        await logger.close?.()
      } catch (error) {
        warn(`[Trainer.fit] a logger could not be closed: ${String(error)}`)
      }
    }
    this.#open.clear()
  }

  #now(): { readonly time: number; readonly step: number; readonly epoch: number } {
    return { time: Date.now(), step: this.#step, epoch: this.#epoch }
  }

  #tell(event: TrainingEvent): void {
    for (const logger of this.#options.loggers) {
      if (!this.#open.has(logger) || this.#silent.has(logger)) continue
      try {
        logger.log(event)
      } catch (error) {
        this.#silence(logger, error)
      }
    }
  }

  #silence(logger: Logger, error: unknown): void {
    if (this.#silent.has(logger)) return
    this.#silent.add(logger)
    warn(`[Trainer.fit] a logger failed, and gets no more events: ${String(error)}`)
  }
}

/** The numbers of a record by their paths. */
export function numbersOf({ epoch: _epoch, ...record }: EpochRecord): Numbers {
  const numbers: { [path: string]: number } = {}
  const visit = (value: unknown, path: string) => {
    if (typeof value === 'number') numbers[path] = value
    else if (typeof value === 'object' && value !== null)
      for (const [key, inner] of Object.entries(value)) visit(inner, path === '' ? key : `${path}.${key}`)
  }
  visit(record, '')
  return numbers
}
