/** The folder of a run. */
import { ValueError } from '../../core/errors.js'
import { resolve } from './system.js'

/** The folder of a run, or undefined if there is none. Throws ValueError if the options name two. */
export function folderOf(run: string | undefined, folder: string | undefined): string | undefined {
  if (run !== undefined && folder !== undefined && resolve(run) !== resolve(folder))
    throw new ValueError(
      'Trainer',
      `run is ${run}, but checkpoints.folder is ${folder}; checkpoints are in the run's folder, so leave checkpoints.folder out`,
    )
  return run ?? folder
}
