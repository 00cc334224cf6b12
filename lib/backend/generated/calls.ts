/**
 * Written by scripts/generate.ts from lib/backend/table. Do not edit.
 *
 * One writer for each signature, named by the first kernel that has it, so that the engine knows where in a call each
 * argument lies: calls of kernels with one signature are objects of one shape. A writer for each kernel was no faster
 * (16-element add, both in turns: 311 to 360 ns with one a kernel, 316 to 361 ns with one a signature; a mix of ten
 * operators 665 and 627 ns).
 */
import type { Calls, Writer } from '../call.js'

const add: Writer<'add'> = {
  first: ({ out }) => out,
  write(to, { out, a, b }) {
    to.out(out)
    to.strided(a)
    to.strided(b)
  },
}

const affine: Writer<'affine'> = {
  first: ({ out }) => out,
  write(to, { out, x, scale, shift }) {
    to.out(out)
    to.strided(x)
    to.number('scale', scale)
    to.number('shift', shift)
  },
}

const pow_scalar: Writer<'pow_scalar'> = {
  first: ({ out }) => out,
  write(to, { out, x, exponent }) {
    to.out(out)
    to.strided(x)
    to.number('exponent', exponent)
  },
}

const clamp: Writer<'clamp'> = {
  first: ({ out }) => out,
  write(to, { out, x, min, max }) {
    to.out(out)
    to.strided(x)
    to.number('min', min)
    to.number('max', max)
  },
}

const clamp_backward: Writer<'clamp_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, x, min, max }) {
    to.out(dx)
    to.strided(dy)
    to.strided(x)
    to.number('min', min)
    to.number('max', max)
  },
}

const where: Writer<'where'> = {
  first: ({ out }) => out,
  write(to, { out, condition, a, b }) {
    to.out(out)
    to.strided(condition)
    to.strided(a)
    to.strided(b)
  },
}

const neg: Writer<'neg'> = {
  first: ({ out }) => out,
  write(to, { out, x }) {
    to.out(out)
    to.strided(x)
  },
}

const polygamma: Writer<'polygamma'> = {
  first: ({ out }) => out,
  write(to, { out, x, order }) {
    to.out(out)
    to.strided(x)
    to.number('order', order)
  },
}

const quotient: Writer<'quotient'> = {
  first: ({ out }) => out,
  write(to, { out, a, b, floors }) {
    to.out(out)
    to.strided(a)
    to.strided(b)
    to.number('floors', floors)
  },
}

const relu_backward: Writer<'relu_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, y }) {
    to.out(dx)
    to.strided(dy)
    to.strided(y)
  },
}

const silu_backward: Writer<'silu_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, x }) {
    to.out(dx)
    to.strided(dy)
    to.strided(x)
  },
}

const gelu: Writer<'gelu'> = {
  first: ({ out }) => out,
  write(to, { out, x, tanhApproximation }) {
    to.out(out)
    to.strided(x)
    to.number('tanhApproximation', tanhApproximation)
  },
}

const gelu_backward: Writer<'gelu_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, x, tanhApproximation }) {
    to.out(dx)
    to.strided(dy)
    to.strided(x)
    to.number('tanhApproximation', tanhApproximation)
  },
}

const softplus: Writer<'softplus'> = {
  first: ({ out }) => out,
  write(to, { out, x, beta, threshold }) {
    to.out(out)
    to.strided(x)
    to.number('beta', beta)
    to.number('threshold', threshold)
  },
}

const softplus_backward: Writer<'softplus_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, x, beta, threshold }) {
    to.out(dx)
    to.strided(dy)
    to.strided(x)
    to.number('beta', beta)
    to.number('threshold', threshold)
  },
}

const elu: Writer<'elu'> = {
  first: ({ out }) => out,
  write(to, { out, x, alpha }) {
    to.out(out)
    to.strided(x)
    to.number('alpha', alpha)
  },
}

const elu_backward: Writer<'elu_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, x, alpha }) {
    to.out(dx)
    to.strided(dy)
    to.strided(x)
    to.number('alpha', alpha)
  },
}

const leaky_relu: Writer<'leaky_relu'> = {
  first: ({ out }) => out,
  write(to, { out, x, slope }) {
    to.out(out)
    to.strided(x)
    to.number('slope', slope)
  },
}

const leaky_relu_backward: Writer<'leaky_relu_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, x, slope }) {
    to.out(dx)
    to.strided(dy)
    to.strided(x)
    to.number('slope', slope)
  },
}

const swiglu: Writer<'swiglu'> = {
  first: ({ out }) => out,
  write(to, { out, gate, up }) {
    to.out(out)
    to.strided(gate)
    to.strided(up)
  },
}

const swiglu_backward: Writer<'swiglu_backward'> = {
  first: ({ dy }) => dy,
  write(to, { dgate, dup, dy, gate, up }) {
    if (dgate === null) to.absent()
    else to.out(dgate)
    if (dup === null) to.absent()
    else to.out(dup)
    to.strided(dy)
    to.strided(gate)
    to.strided(up)
  },
}

const copy_into: Writer<'copy_into'> = {
  first: ({ dst }) => dst,
  write(to, { dst, src }) {
    to.strided(dst)
    to.strided(src)
  },
}

const fill: Writer<'fill'> = {
  first: ({ out }) => out,
  write(to, { out, value }) {
    to.out(out)
    to.number('value', value)
  },
}

const arange: Writer<'arange'> = {
  first: ({ out }) => out,
  write(to, { out, start, step }) {
    to.out(out)
    to.number('start', start)
    to.number('step', step)
  },
}

const cat: Writer<'cat'> = {
  first: ({ out }) => out,
  write(to, { out, inputs, dim }) {
    to.out(out)
    to.list(inputs, false)
    to.number('dim', dim)
  },
}

const sum: Writer<'sum'> = {
  first: ({ out }) => out,
  write(to, { out, x, scale }) {
    to.out(out)
    to.strided(x)
    to.number('scale', scale)
  },
}

const argmax: Writer<'argmax'> = {
  first: ({ out }) => out,
  write(to, { out, x, dim }) {
    to.out(out)
    to.strided(x)
    to.number('dim', dim)
  },
}

const cumprod: Writer<'cumprod'> = {
  first: ({ out }) => out,
  write(to, { out, x, dim }) {
    to.out(out)
    to.dense(x)
    to.number('dim', dim)
  },
}

const logcumsumexp: Writer<'logcumsumexp'> = {
  first: ({ out }) => out,
  write(to, { out, x, dim, reverse }) {
    to.out(out)
    to.dense(x)
    to.number('dim', dim)
    to.number('reverse', reverse)
  },
}

const sort: Writer<'sort'> = {
  first: ({ out }) => out,
  write(to, { out, indices, x, dim, descending }) {
    to.out(out)
    to.out(indices)
    to.dense(x)
    to.number('dim', dim)
    to.number('descending', descending)
  },
}

const searchsorted: Writer<'searchsorted'> = {
  first: ({ out }) => out,
  write(to, { out, sorted, values, right }) {
    to.out(out)
    to.dense(sorted)
    to.dense(values)
    to.number('right', right)
  },
}

const index_select: Writer<'index_select'> = {
  first: ({ out }) => out,
  write(to, { out, x, index, dim }) {
    to.out(out)
    to.dense(x)
    to.dense(index)
    to.number('dim', dim)
  },
}

const embedding: Writer<'embedding'> = {
  first: ({ out }) => out,
  write(to, { out, weight, ids }) {
    to.out(out)
    to.dense(weight)
    to.dense(ids)
  },
}

const index_add: Writer<'index_add'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, index, dim, skip }) {
    to.out(dx)
    to.dense(dy)
    to.dense(index)
    to.number('dim', dim)
    to.number('skip', skip)
  },
}

const index_accumulate: Writer<'index_accumulate'> = {
  first: ({ sum }) => sum,
  write(to, { sum, dy, index, dim, skip }) {
    to.dense(sum)
    to.dense(dy)
    to.dense(index)
    to.number('dim', dim)
    to.number('skip', skip)
  },
}

const scatter_add: Writer<'scatter_add'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, index, dim }) {
    to.out(dx)
    to.dense(dy)
    to.dense(index)
    to.number('dim', dim)
  },
}

const scatter_into: Writer<'scatter_into'> = {
  first: ({ dst }) => dst,
  write(to, { dst, src, index, dim }) {
    to.dense(dst)
    to.dense(src)
    to.dense(index)
    to.number('dim', dim)
  },
}

const scatter_accumulate: Writer<'scatter_accumulate'> = {
  first: ({ value }) => value,
  write(to, { value, src, index, dim, by }) {
    to.dense(value)
    to.dense(src)
    to.dense(index)
    to.number('dim', dim)
    to.number('by', by)
  },
}

const matmul: Writer<'matmul'> = {
  first: ({ out }) => out,
  write(to, { out, a, b, bias }) {
    to.out(out)
    to.strided(a)
    to.strided(b)
    if (bias === null) to.absent()
    else to.dense(bias)
  },
}

const matmul_each: Writer<'matmul_each'> = {
  first: ({ out }) => out,
  write(to, { out, a, b, biases }) {
    to.out(out)
    to.strided(a)
    to.list(b, false)
    to.list(biases, true)
  },
}

const matmul_accumulate: Writer<'matmul_accumulate'> = {
  first: ({ sum }) => sum,
  write(to, { sum, a, b }) {
    to.dense(sum)
    to.strided(a)
    to.strided(b)
  },
}

const cholesky: Writer<'cholesky'> = {
  first: ({ out }) => out,
  write(to, { out, x }) {
    to.out(out)
    to.dense(x)
  },
}

const solve_triangular: Writer<'solve_triangular'> = {
  first: ({ out }) => out,
  write(to, { out, a, b, upper, unit }) {
    to.out(out)
    to.strided(a)
    to.dense(b)
    to.number('upper', upper)
    to.number('unit', unit)
  },
}

const lu_factor: Writer<'lu_factor'> = {
  first: ({ lu }) => lu,
  write(to, { lu, pivots, permutation, x, checks }) {
    to.out(lu)
    to.out(pivots)
    to.out(permutation)
    to.dense(x)
    to.number('checks', checks)
  },
}

const qr: Writer<'qr'> = {
  first: ({ q }) => q,
  write(to, { q, r, x }) {
    to.out(q)
    to.out(r)
    to.dense(x)
  },
}

const eigh: Writer<'eigh'> = {
  first: ({ values }) => values,
  write(to, { values, vectors, x, upper }) {
    to.out(values)
    to.out(vectors)
    to.dense(x)
    to.number('upper', upper)
  },
}

const svd: Writer<'svd'> = {
  first: ({ u }) => u,
  write(to, { u, s, vh, x }) {
    to.out(u)
    to.out(s)
    to.out(vh)
    to.dense(x)
  },
}

const conv2d_forward: Writer<'conv2d_forward'> = {
  first: ({ out }) => out,
  write(to, { out, x, weight, bias, stride, padding, dilation, groups, relu }) {
    to.out(out)
    to.dense(x)
    to.dense(weight)
    if (bias === null) to.absent()
    else to.dense(bias)
    to.integers('stride', stride)
    to.integers('padding', padding)
    to.integers('dilation', dilation)
    to.number('groups', groups)
    to.number('relu', relu)
  },
}

const conv2d_input_gradient: Writer<'conv2d_input_gradient'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, weight, stride, padding, dilation, groups }) {
    to.out(dx)
    to.dense(dy)
    to.dense(weight)
    to.integers('stride', stride)
    to.integers('padding', padding)
    to.integers('dilation', dilation)
    to.number('groups', groups)
  },
}

const conv2d_weight_gradient: Writer<'conv2d_weight_gradient'> = {
  first: ({ dweight }) => dweight,
  write(to, { dweight, dy, x, stride, padding, dilation, groups }) {
    to.out(dweight)
    to.dense(dy)
    to.dense(x)
    to.integers('stride', stride)
    to.integers('padding', padding)
    to.integers('dilation', dilation)
    to.number('groups', groups)
  },
}

const max_pool2d_forward: Writer<'max_pool2d_forward'> = {
  first: ({ out }) => out,
  write(to, { out, indices, x, kernel, stride, padding, dilation }) {
    to.out(out)
    to.out(indices)
    to.dense(x)
    to.integers('kernel', kernel)
    to.integers('stride', stride)
    to.integers('padding', padding)
    to.integers('dilation', dilation)
  },
}

const adaptive_max_pool2d_forward: Writer<'adaptive_max_pool2d_forward'> = {
  first: ({ out }) => out,
  write(to, { out, indices, x }) {
    to.out(out)
    to.out(indices)
    to.dense(x)
  },
}

const max_pool2d_backward: Writer<'max_pool2d_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, indices }) {
    to.out(dx)
    to.dense(dy)
    to.dense(indices)
  },
}

const avg_pool2d_forward: Writer<'avg_pool2d_forward'> = {
  first: ({ out }) => out,
  write(to, { out, x, kernel, stride, padding, countIncludePad, divisor }) {
    to.out(out)
    to.dense(x)
    to.integers('kernel', kernel)
    to.integers('stride', stride)
    to.integers('padding', padding)
    to.number('countIncludePad', countIncludePad)
    to.number('divisor', divisor)
  },
}

const avg_pool2d_backward: Writer<'avg_pool2d_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, kernel, stride, padding, countIncludePad, divisor }) {
    to.out(dx)
    to.dense(dy)
    to.integers('kernel', kernel)
    to.integers('stride', stride)
    to.integers('padding', padding)
    to.number('countIncludePad', countIncludePad)
    to.number('divisor', divisor)
  },
}

const resample: Writer<'resample'> = {
  first: ({ out }) => out,
  write(to, { out, x, rowTaps, rowWeights, columnTaps, columnWeights }) {
    to.out(out)
    to.dense(x)
    if (rowTaps === null) to.absent()
    else to.dense(rowTaps)
    if (rowWeights === null) to.absent()
    else to.dense(rowWeights)
    if (columnTaps === null) to.absent()
    else to.dense(columnTaps)
    if (columnWeights === null) to.absent()
    else to.dense(columnWeights)
  },
}

const batch_norm_forward: Writer<'batch_norm_forward'> = {
  first: ({ out }) => out,
  write(to, { out, mean, rstd, x, weight, bias, runningMean, runningVar, momentum, eps, training }) {
    to.out(out)
    to.out(mean)
    to.out(rstd)
    to.dense(x)
    if (weight === null) to.absent()
    else to.dense(weight)
    if (bias === null) to.absent()
    else to.dense(bias)
    if (runningMean === null) to.absent()
    else to.dense(runningMean)
    if (runningVar === null) to.absent()
    else to.dense(runningVar)
    to.number('momentum', momentum)
    to.number('eps', eps)
    to.number('training', training)
  },
}

const batch_norm_backward: Writer<'batch_norm_backward'> = {
  first: ({ dy }) => dy,
  write(to, { dx, dweight, dbias, dy, x, mean, rstd, weight, training }) {
    if (dx === null) to.absent()
    else to.out(dx)
    if (dweight === null) to.absent()
    else to.out(dweight)
    if (dbias === null) to.absent()
    else to.out(dbias)
    to.dense(dy)
    to.dense(x)
    to.dense(mean)
    to.dense(rstd)
    if (weight === null) to.absent()
    else to.dense(weight)
    to.number('training', training)
  },
}

const layer_norm_forward: Writer<'layer_norm_forward'> = {
  first: ({ out }) => out,
  write(to, { out, mean, rstd, x, weight, bias, eps }) {
    to.out(out)
    to.out(mean)
    to.out(rstd)
    to.dense(x)
    if (weight === null) to.absent()
    else to.dense(weight)
    if (bias === null) to.absent()
    else to.dense(bias)
    to.number('eps', eps)
  },
}

const layer_norm_backward: Writer<'layer_norm_backward'> = {
  first: ({ dy }) => dy,
  write(to, { dx, dweight, dbias, dy, x, mean, rstd, weight }) {
    if (dx === null) to.absent()
    else to.out(dx)
    if (dweight === null) to.absent()
    else to.out(dweight)
    if (dbias === null) to.absent()
    else to.out(dbias)
    to.dense(dy)
    to.dense(x)
    to.dense(mean)
    to.dense(rstd)
    if (weight === null) to.absent()
    else to.dense(weight)
  },
}

const rms_norm_forward: Writer<'rms_norm_forward'> = {
  first: ({ out }) => out,
  write(to, { out, rstd, x, weight, eps }) {
    to.out(out)
    to.out(rstd)
    to.dense(x)
    if (weight === null) to.absent()
    else to.dense(weight)
    to.number('eps', eps)
  },
}

const rms_norm_backward: Writer<'rms_norm_backward'> = {
  first: ({ dy }) => dy,
  write(to, { dx, dweight, dy, x, rstd, weight }) {
    if (dx === null) to.absent()
    else to.out(dx)
    if (dweight === null) to.absent()
    else to.out(dweight)
    to.dense(dy)
    to.dense(x)
    to.dense(rstd)
    if (weight === null) to.absent()
    else to.dense(weight)
  },
}

const group_norm_forward: Writer<'group_norm_forward'> = {
  first: ({ out }) => out,
  write(to, { out, mean, rstd, x, weight, bias, groups, eps }) {
    to.out(out)
    to.out(mean)
    to.out(rstd)
    to.dense(x)
    if (weight === null) to.absent()
    else to.dense(weight)
    if (bias === null) to.absent()
    else to.dense(bias)
    to.number('groups', groups)
    to.number('eps', eps)
  },
}

const group_norm_backward: Writer<'group_norm_backward'> = {
  first: ({ dy }) => dy,
  write(to, { dx, dweight, dbias, dy, x, mean, rstd, weight, groups }) {
    if (dx === null) to.absent()
    else to.out(dx)
    if (dweight === null) to.absent()
    else to.out(dweight)
    if (dbias === null) to.absent()
    else to.out(dbias)
    to.dense(dy)
    to.dense(x)
    to.dense(mean)
    to.dense(rstd)
    if (weight === null) to.absent()
    else to.dense(weight)
    to.number('groups', groups)
  },
}

const softmax_backward: Writer<'softmax_backward'> = {
  first: ({ dx }) => dx,
  write(to, { dx, dy, y, dim }) {
    to.out(dx)
    to.dense(dy)
    to.dense(y)
    to.number('dim', dim)
  },
}

const cross_entropy_forward: Writer<'cross_entropy_forward'> = {
  first: ({ out }) => out,
  write(to, { out, statistics, total, logits, target, weight, ignoreIndex, smoothing, reduction }) {
    to.out(out)
    to.out(statistics)
    to.out(total)
    to.dense(logits)
    to.dense(target)
    if (weight === null) to.absent()
    else to.dense(weight)
    to.number('ignoreIndex', ignoreIndex)
    to.number('smoothing', smoothing)
    to.number('reduction', reduction)
  },
}

const cross_entropy_backward: Writer<'cross_entropy_backward'> = {
  first: ({ dlogits }) => dlogits,
  write(to, { dlogits, dy, statistics, total, logits, target, weight, ignoreIndex, smoothing, reduction }) {
    to.out(dlogits)
    to.dense(dy)
    to.dense(statistics)
    to.dense(total)
    to.dense(logits)
    to.dense(target)
    if (weight === null) to.absent()
    else to.dense(weight)
    to.number('ignoreIndex', ignoreIndex)
    to.number('smoothing', smoothing)
    to.number('reduction', reduction)
  },
}

const linear_cross_entropy_forward: Writer<'linear_cross_entropy_forward'> = {
  first: ({ out }) => out,
  write(to, { out, statistics, dx, dweight, dbias, x, weight, bias, target, classWeight, softcap, ignoreIndex, smoothing, reduction }) {
    to.out(out)
    to.out(statistics)
    if (dx === null) to.absent()
    else to.out(dx)
    if (dweight === null) to.absent()
    else to.out(dweight)
    if (dbias === null) to.absent()
    else to.out(dbias)
    to.dense(x)
    to.dense(weight)
    if (bias === null) to.absent()
    else to.dense(bias)
    to.dense(target)
    if (classWeight === null) to.absent()
    else to.dense(classWeight)
    to.number('softcap', softcap)
    to.number('ignoreIndex', ignoreIndex)
    to.number('smoothing', smoothing)
    to.number('reduction', reduction)
  },
}

const linear_cross_entropy_backward: Writer<'linear_cross_entropy_backward'> = {
  first: ({ dy }) => dy,
  write(to, { dx, dweight, dbias, dy, statistics, x, weight, bias, target, classWeight, softcap, ignoreIndex, smoothing }) {
    if (dx === null) to.absent()
    else to.out(dx)
    if (dweight === null) to.absent()
    else to.out(dweight)
    if (dbias === null) to.absent()
    else to.out(dbias)
    to.dense(dy)
    to.dense(statistics)
    to.dense(x)
    to.dense(weight)
    if (bias === null) to.absent()
    else to.dense(bias)
    to.dense(target)
    if (classWeight === null) to.absent()
    else to.dense(classWeight)
    to.number('softcap', softcap)
    to.number('ignoreIndex', ignoreIndex)
    to.number('smoothing', smoothing)
  },
}

const nll_loss_forward: Writer<'nll_loss_forward'> = {
  first: ({ out }) => out,
  write(to, { out, total, logProbs, target, weight, ignoreIndex, reduction }) {
    to.out(out)
    to.out(total)
    to.dense(logProbs)
    to.dense(target)
    if (weight === null) to.absent()
    else to.dense(weight)
    to.number('ignoreIndex', ignoreIndex)
    to.number('reduction', reduction)
  },
}

const nll_loss_backward: Writer<'nll_loss_backward'> = {
  first: ({ dlogProbs }) => dlogProbs,
  write(to, { dlogProbs, dy, total, target, weight, ignoreIndex, reduction }) {
    to.out(dlogProbs)
    to.dense(dy)
    to.dense(total)
    to.dense(target)
    if (weight === null) to.absent()
    else to.dense(weight)
    to.number('ignoreIndex', ignoreIndex)
    to.number('reduction', reduction)
  },
}

const ctc_forward: Writer<'ctc_forward'> = {
  first: ({ out }) => out,
  write(to, { out, alpha, logProbs, targets, inputLengths, targetLengths, blank, zeroInfinity }) {
    to.out(out)
    to.out(alpha)
    to.dense(logProbs)
    to.dense(targets)
    to.dense(inputLengths)
    to.dense(targetLengths)
    to.number('blank', blank)
    to.number('zeroInfinity', zeroInfinity)
  },
}

const ctc_backward: Writer<'ctc_backward'> = {
  first: ({ dlogProbs }) => dlogProbs,
  write(to, { dlogProbs, dy, alpha, logProbs, targets, inputLengths, targetLengths, blank, zeroInfinity }) {
    to.out(dlogProbs)
    to.dense(dy)
    to.dense(alpha)
    to.dense(logProbs)
    to.dense(targets)
    to.dense(inputLengths)
    to.dense(targetLengths)
    to.number('blank', blank)
    to.number('zeroInfinity', zeroInfinity)
  },
}

const sequence_mask: Writer<'sequence_mask'> = {
  first: ({ out }) => out,
  write(to, { out, lengths }) {
    to.out(out)
    to.dense(lengths)
  },
}

const lstm_forward: Writer<'lstm_forward'> = {
  first: ({ out }) => out,
  write(to, { out, hn, cn, gates, cells, x, h0, c0, wIh, wHh, bIh, bHh, lengths, reverse }) {
    to.out(out)
    to.out(hn)
    to.out(cn)
    if (gates === null) to.absent()
    else to.out(gates)
    if (cells === null) to.absent()
    else to.out(cells)
    to.dense(x)
    if (h0 === null) to.absent()
    else to.dense(h0)
    if (c0 === null) to.absent()
    else to.dense(c0)
    to.dense(wIh)
    to.dense(wHh)
    if (bIh === null) to.absent()
    else to.dense(bIh)
    if (bHh === null) to.absent()
    else to.dense(bHh)
    if (lengths === null) to.absent()
    else to.dense(lengths)
    to.number('reverse', reverse)
  },
}

const lstm_backward: Writer<'lstm_backward'> = {
  first: ({ x }) => x,
  write(to, { dx, dh0, dc0, dwIh, dwHh, dbias, dy, dhn, dcn, x, h0, c0, wIh, wHh, lengths, out, gates, cells, reverse }) {
    if (dx === null) to.absent()
    else to.out(dx)
    if (dh0 === null) to.absent()
    else to.out(dh0)
    if (dc0 === null) to.absent()
    else to.out(dc0)
    if (dwIh === null) to.absent()
    else to.out(dwIh)
    if (dwHh === null) to.absent()
    else to.out(dwHh)
    if (dbias === null) to.absent()
    else to.out(dbias)
    if (dy === null) to.absent()
    else to.dense(dy)
    if (dhn === null) to.absent()
    else to.dense(dhn)
    if (dcn === null) to.absent()
    else to.dense(dcn)
    to.dense(x)
    if (h0 === null) to.absent()
    else to.dense(h0)
    if (c0 === null) to.absent()
    else to.dense(c0)
    to.dense(wIh)
    to.dense(wHh)
    if (lengths === null) to.absent()
    else to.dense(lengths)
    to.dense(out)
    to.dense(gates)
    to.dense(cells)
    to.number('reverse', reverse)
  },
}

const gru_forward: Writer<'gru_forward'> = {
  first: ({ out }) => out,
  write(to, { out, hn, gates, x, h0, wIh, wHh, bIh, bHh, lengths, reverse }) {
    to.out(out)
    to.out(hn)
    if (gates === null) to.absent()
    else to.out(gates)
    to.dense(x)
    if (h0 === null) to.absent()
    else to.dense(h0)
    to.dense(wIh)
    to.dense(wHh)
    if (bIh === null) to.absent()
    else to.dense(bIh)
    if (bHh === null) to.absent()
    else to.dense(bHh)
    if (lengths === null) to.absent()
    else to.dense(lengths)
    to.number('reverse', reverse)
  },
}

const gru_backward: Writer<'gru_backward'> = {
  first: ({ x }) => x,
  write(to, { dx, dh0, dwIh, dwHh, dbIh, dbHh, dy, dhn, x, h0, wIh, wHh, lengths, out, gates, reverse }) {
    if (dx === null) to.absent()
    else to.out(dx)
    if (dh0 === null) to.absent()
    else to.out(dh0)
    if (dwIh === null) to.absent()
    else to.out(dwIh)
    if (dwHh === null) to.absent()
    else to.out(dwHh)
    if (dbIh === null) to.absent()
    else to.out(dbIh)
    if (dbHh === null) to.absent()
    else to.out(dbHh)
    if (dy === null) to.absent()
    else to.dense(dy)
    if (dhn === null) to.absent()
    else to.dense(dhn)
    to.dense(x)
    if (h0 === null) to.absent()
    else to.dense(h0)
    to.dense(wIh)
    to.dense(wHh)
    if (lengths === null) to.absent()
    else to.dense(lengths)
    to.dense(out)
    to.dense(gates)
    to.number('reverse', reverse)
  },
}

const rnn_forward: Writer<'rnn_forward'> = {
  first: ({ out }) => out,
  write(to, { out, hn, x, h0, wIh, wHh, bIh, bHh, lengths, relu, reverse }) {
    to.out(out)
    to.out(hn)
    to.dense(x)
    if (h0 === null) to.absent()
    else to.dense(h0)
    to.dense(wIh)
    to.dense(wHh)
    if (bIh === null) to.absent()
    else to.dense(bIh)
    if (bHh === null) to.absent()
    else to.dense(bHh)
    if (lengths === null) to.absent()
    else to.dense(lengths)
    to.number('relu', relu)
    to.number('reverse', reverse)
  },
}

const rnn_backward: Writer<'rnn_backward'> = {
  first: ({ x }) => x,
  write(to, { dx, dh0, dwIh, dwHh, dbIh, dbHh, dy, dhn, x, h0, wIh, wHh, lengths, out, relu, reverse }) {
    if (dx === null) to.absent()
    else to.out(dx)
    if (dh0 === null) to.absent()
    else to.out(dh0)
    if (dwIh === null) to.absent()
    else to.out(dwIh)
    if (dwHh === null) to.absent()
    else to.out(dwHh)
    if (dbIh === null) to.absent()
    else to.out(dbIh)
    if (dbHh === null) to.absent()
    else to.out(dbHh)
    if (dy === null) to.absent()
    else to.dense(dy)
    if (dhn === null) to.absent()
    else to.dense(dhn)
    to.dense(x)
    if (h0 === null) to.absent()
    else to.dense(h0)
    to.dense(wIh)
    to.dense(wHh)
    if (lengths === null) to.absent()
    else to.dense(lengths)
    to.dense(out)
    to.number('relu', relu)
    to.number('reverse', reverse)
  },
}

const rotary: Writer<'rotary'> = {
  first: ({ out }) => out,
  write(to, { out, x, cosines, sines, neighbours, backwards }) {
    to.out(out)
    to.strided(x)
    to.dense(cosines)
    to.dense(sines)
    to.number('neighbours', neighbours)
    to.number('backwards', backwards)
  },
}

const rotary_append: Writer<'rotary_append'> = {
  first: ({ out }) => out,
  write(to, { out, keys, values, q, k, v, cosines, sines }) {
    to.out(out)
    to.strided(keys)
    to.strided(values)
    to.strided(q)
    to.strided(k)
    to.strided(v)
    to.dense(cosines)
    to.dense(sines)
  },
}

const attention_forward: Writer<'attention_forward'> = {
  first: ({ out }) => out,
  write(to, { out, statistics, q, k, v, maskBool, maskAdd, lengths, scale, offset, window, dropout, random }) {
    to.place(out)
    to.out(statistics)
    to.strided(q)
    to.strided(k)
    to.strided(v)
    if (maskBool === null) to.absent()
    else to.strided(maskBool)
    if (maskAdd === null) to.absent()
    else to.strided(maskAdd)
    if (lengths === null) to.absent()
    else to.dense(lengths)
    to.number('scale', scale)
    to.number('offset', offset)
    to.number('window', window)
    to.number('dropout', dropout)
    to.philox(random)
  },
}

const attention_backward: Writer<'attention_backward'> = {
  first: ({ dy }) => dy,
  write(to, { dq, dk, dv, dmask, dy, q, k, v, out, statistics, maskBool, maskAdd, lengths, scale, offset, window, dropout, random }) {
    if (dq === null) to.absent()
    else to.place(dq)
    if (dk === null) to.absent()
    else to.place(dk)
    if (dv === null) to.absent()
    else to.place(dv)
    if (dmask === null) to.absent()
    else to.out(dmask)
    to.strided(dy)
    to.strided(q)
    to.strided(k)
    to.strided(v)
    to.strided(out)
    to.dense(statistics)
    if (maskBool === null) to.absent()
    else to.strided(maskBool)
    if (maskAdd === null) to.absent()
    else to.strided(maskAdd)
    if (lengths === null) to.absent()
    else to.dense(lengths)
    to.number('scale', scale)
    to.number('offset', offset)
    to.number('window', window)
    to.number('dropout', dropout)
    to.philox(random)
  },
}

const random_uniform: Writer<'random_uniform'> = {
  first: ({ out }) => out,
  write(to, { out, random, low, high }) {
    to.out(out)
    to.philox(random)
    to.number('low', low)
    to.number('high', high)
  },
}

const random_normal: Writer<'random_normal'> = {
  first: ({ out }) => out,
  write(to, { out, random, mean, std }) {
    to.out(out)
    to.philox(random)
    to.number('mean', mean)
    to.number('std', std)
  },
}

const dropout: Writer<'dropout'> = {
  first: ({ out }) => out,
  write(to, { out, x, random, p }) {
    to.out(out)
    to.strided(x)
    to.philox(random)
    to.number('p', p)
  },
}

const sgd: Writer<'sgd'> = {
  first: ({ params }) => params[0],
  write(to, { params, grads, momentumBuffers, lr, momentum, dampening, weightDecay, nesterov, maximize, first, shadows }) {
    to.list(params, true)
    to.list(grads, true)
    to.list(momentumBuffers, true)
    to.number('lr', lr)
    to.number('momentum', momentum)
    to.number('dampening', dampening)
    to.number('weightDecay', weightDecay)
    to.number('nesterov', nesterov)
    to.number('maximize', maximize)
    to.number('first', first)
    to.list(shadows, true)
  },
}

const adam: Writer<'adam'> = {
  first: ({ params }) => params[0],
  write(to, { params, grads, means, squares, maxSquares, lr, beta1, beta2, eps, weightDecay, decoupled, maximize, step, shadows }) {
    to.list(params, true)
    to.list(grads, true)
    to.list(means, true)
    to.list(squares, true)
    to.list(maxSquares, true)
    to.number('lr', lr)
    to.number('beta1', beta1)
    to.number('beta2', beta2)
    to.number('eps', eps)
    to.number('weightDecay', weightDecay)
    to.number('decoupled', decoupled)
    to.number('maximize', maximize)
    to.number('step', step)
    to.list(shadows, true)
  },
}

const adamax: Writer<'adamax'> = {
  first: ({ params }) => params[0],
  write(to, { params, grads, means, largest, rate, beta1, beta2, eps, weightDecay, maximize, shadows }) {
    to.list(params, true)
    to.list(grads, true)
    to.list(means, true)
    to.list(largest, true)
    to.number('rate', rate)
    to.number('beta1', beta1)
    to.number('beta2', beta2)
    to.number('eps', eps)
    to.number('weightDecay', weightDecay)
    to.number('maximize', maximize)
    to.list(shadows, true)
  },
}

const nadam: Writer<'nadam'> = {
  first: ({ params }) => params[0],
  write(to, { params, grads, means, squares, momentumProducts, lr, beta1, beta2, eps, momentum, nextMomentum, correction, weightDecay, decoupled, maximize, shadows }) {
    to.list(params, true)
    to.list(grads, true)
    to.list(means, true)
    to.list(squares, true)
    to.list(momentumProducts, true)
    to.number('lr', lr)
    to.number('beta1', beta1)
    to.number('beta2', beta2)
    to.number('eps', eps)
    to.number('momentum', momentum)
    to.number('nextMomentum', nextMomentum)
    to.number('correction', correction)
    to.number('weightDecay', weightDecay)
    to.number('decoupled', decoupled)
    to.number('maximize', maximize)
    to.list(shadows, true)
  },
}

const radam: Writer<'radam'> = {
  first: ({ params }) => params[0],
  write(to, { params, grads, means, squares, lr, beta1, beta2, eps, rate, adapts, weightDecay, decoupled, maximize, shadows }) {
    to.list(params, true)
    to.list(grads, true)
    to.list(means, true)
    to.list(squares, true)
    to.number('lr', lr)
    to.number('beta1', beta1)
    to.number('beta2', beta2)
    to.number('eps', eps)
    to.number('rate', rate)
    to.number('adapts', adapts)
    to.number('weightDecay', weightDecay)
    to.number('decoupled', decoupled)
    to.number('maximize', maximize)
    to.list(shadows, true)
  },
}

const rmsprop: Writer<'rmsprop'> = {
  first: ({ params }) => params[0],
  write(to, { params, grads, squares, means, momentumBuffers, lr, alpha, eps, momentum, weightDecay, maximize, shadows }) {
    to.list(params, true)
    to.list(grads, true)
    to.list(squares, true)
    to.list(means, true)
    to.list(momentumBuffers, true)
    to.number('lr', lr)
    to.number('alpha', alpha)
    to.number('eps', eps)
    to.number('momentum', momentum)
    to.number('weightDecay', weightDecay)
    to.number('maximize', maximize)
    to.list(shadows, true)
  },
}

const adagrad: Writer<'adagrad'> = {
  first: ({ params }) => params[0],
  write(to, { params, grads, sums, rate, eps, weightDecay, maximize, shadows }) {
    to.list(params, true)
    to.list(grads, true)
    to.list(sums, true)
    to.number('rate', rate)
    to.number('eps', eps)
    to.number('weightDecay', weightDecay)
    to.number('maximize', maximize)
    to.list(shadows, true)
  },
}

const adadelta: Writer<'adadelta'> = {
  first: ({ params }) => params[0],
  write(to, { params, grads, squares, deltas, lr, rho, eps, weightDecay, maximize, shadows }) {
    to.list(params, true)
    to.list(grads, true)
    to.list(squares, true)
    to.list(deltas, true)
    to.number('lr', lr)
    to.number('rho', rho)
    to.number('eps', eps)
    to.number('weightDecay', weightDecay)
    to.number('maximize', maximize)
    to.list(shadows, true)
  },
}

const lion: Writer<'lion'> = {
  first: ({ params }) => params[0],
  write(to, { params, grads, means, lr, beta1, beta2, weightDecay, maximize, shadows }) {
    to.list(params, true)
    to.list(grads, true)
    to.list(means, true)
    to.number('lr', lr)
    to.number('beta1', beta1)
    to.number('beta2', beta2)
    to.number('weightDecay', weightDecay)
    to.number('maximize', maximize)
    to.list(shadows, true)
  },
}

const total_norm: Writer<'total_norm'> = {
  first: ({ out }) => out,
  write(to, { out, tensors, p }) {
    to.out(out)
    to.list(tensors, true)
    to.number('p', p)
  },
}

const clip_scale: Writer<'clip_scale'> = {
  first: ({ norm }) => norm,
  write(to, { tensors, norm, maxNorm }) {
    to.list(tensors, true)
    to.dense(norm)
    to.number('maxNorm', maxNorm)
  },
}

export const calls: Calls = {
  add,
  sub: add,
  mul: add,
  div: add,
  maximum: add,
  minimum: add,
  pow: add,
  eq: add,
  ne: add,
  lt: add,
  le: add,
  gt: add,
  ge: add,
  affine,
  pow_scalar,
  clamp,
  clamp_backward,
  where,
  neg,
  abs: neg,
  sign: neg,
  square: neg,
  exp: neg,
  log: neg,
  log1p: neg,
  sqrt: neg,
  rsqrt: neg,
  reciprocal: neg,
  sin: neg,
  cos: neg,
  tanh: neg,
  erf: neg,
  sigmoid: neg,
  floor: neg,
  ceil: neg,
  trunc: neg,
  round: neg,
  expm1: neg,
  exp2: neg,
  log2: neg,
  log10: neg,
  tan: neg,
  asin: neg,
  acos: neg,
  atan: neg,
  sinh: neg,
  cosh: neg,
  asinh: neg,
  acosh: neg,
  atanh: neg,
  erfc: neg,
  erfinv: neg,
  lgamma: neg,
  digamma: neg,
  polygamma,
  atan2: add,
  hypot: add,
  copysign: add,
  fmod: add,
  remainder: add,
  quotient,
  bitwise_and: add,
  bitwise_or: add,
  bitwise_xor: add,
  bitwise_left_shift: add,
  bitwise_right_shift: add,
  relu: neg,
  relu_backward,
  silu: neg,
  silu_backward,
  mish: neg,
  mish_backward: silu_backward,
  hardswish: neg,
  hardswish_backward: silu_backward,
  gelu,
  gelu_backward,
  softplus,
  softplus_backward,
  elu,
  elu_backward,
  leaky_relu,
  leaky_relu_backward,
  sigmoid_backward: relu_backward,
  tanh_backward: relu_backward,
  swiglu,
  swiglu_backward,
  copy: neg,
  copy_into,
  accumulate: copy_into,
  fill,
  arange,
  cat,
  sum,
  amax: neg,
  amin: neg,
  argmax,
  argmin: argmax,
  cumprod,
  cummax: cumprod,
  cummin: cumprod,
  logcumsumexp,
  cumsum: logcumsumexp,
  sort,
  searchsorted,
  index_select,
  embedding,
  index_add,
  index_accumulate,
  gather: index_select,
  scatter_add,
  scatter_into,
  scatter_accumulate,
  matmul,
  matmul_each,
  matmul_accumulate,
  cholesky,
  solve_triangular,
  lu_factor,
  qr,
  eigh,
  svd,
  conv2d_forward,
  conv2d_input_gradient,
  conv2d_weight_gradient,
  max_pool2d_forward,
  adaptive_max_pool2d_forward,
  max_pool2d_backward,
  avg_pool2d_forward,
  avg_pool2d_backward,
  resample,
  batch_norm_forward,
  batch_norm_backward,
  layer_norm_forward,
  layer_norm_backward,
  rms_norm_forward,
  rms_norm_backward,
  group_norm_forward,
  group_norm_backward,
  softmax_forward: cumprod,
  softmax_backward,
  log_softmax_forward: cumprod,
  log_softmax_backward: softmax_backward,
  cross_entropy_forward,
  cross_entropy_backward,
  linear_cross_entropy_forward,
  linear_cross_entropy_backward,
  nll_loss_forward,
  nll_loss_backward,
  ctc_forward,
  ctc_backward,
  sequence_mask,
  lstm_forward,
  lstm_backward,
  gru_forward,
  gru_backward,
  rnn_forward,
  rnn_backward,
  rotary,
  rotary_append,
  attention_forward,
  attention_backward,
  random_uniform,
  random_normal,
  random_integers: random_uniform,
  dropout,
  sgd,
  adam,
  adamax,
  nadam,
  radam,
  rmsprop,
  adagrad,
  adadelta,
  lion,
  total_norm,
  clip_scale,
}
