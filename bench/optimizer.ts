import { nn, optim } from 'firesteel'
import { type Builder, norm, size } from './work.js'

type Name = 'SGD' | 'AdamW' | 'Adamax' | 'NAdam' | 'RAdam' | 'RMSprop' | 'Adagrad' | 'Adadelta' | 'Lion'
type Make = new (params: nn.Parameter[], options: { lr: number }) => optim.Optimizer

/** A step over `tensors` parameters of `size` elements, whose gradients stay. */
export const optimizerWork: Builder = (w, make) => {
  const [tensors, elements] = [size(w, 'tensors'), size(w, 'size')]
  const Class = optim[w['optimizer'] as Name] as unknown as Make
  const params = Array.from({ length: tensors }, () => new nn.Parameter(make.floats([elements])))
  for (const parameter of params) parameter.grad = make.floats([elements])
  const optimizer = new Class(params, w['options'] as { lr: number })
  const run = () => optimizer.step()
  return {
    run,
    checkCalls: 1,
    reduces: 1,
    operations: 40 * tensors * elements,
    check() {
      run()
      return { out: Math.hypot(...params.map(norm)), grads: [] }
    },
  }
}
