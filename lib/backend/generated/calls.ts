/** Written by scripts/generate.ts from lib/backend/table. Do not edit. Long, for it has an entry for every kernel. */
import type { Calls } from '../call.js'

/** Code of its own for each kernel, so that the engine knows where in a call each argument lies. */
export const calls: Calls = {
  add: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  sub: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  mul: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  div: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  maximum: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  minimum: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  pow: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  eq: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  ne: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  lt: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  le: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  gt: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  ge: {
    first: ({ out }) => out,
    write(to, { out, a, b }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
    },
  },
  affine: {
    first: ({ out }) => out,
    write(to, { out, x, scale, shift }) {
      to.out(out)
      to.strided(x)
      to.number('scale', scale)
      to.number('shift', shift)
    },
  },
  pow_scalar: {
    first: ({ out }) => out,
    write(to, { out, x, exponent }) {
      to.out(out)
      to.strided(x)
      to.number('exponent', exponent)
    },
  },
  clamp: {
    first: ({ out }) => out,
    write(to, { out, x, min, max }) {
      to.out(out)
      to.strided(x)
      to.number('min', min)
      to.number('max', max)
    },
  },
  clamp_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, x, min, max }) {
      to.out(dx)
      to.strided(dy)
      to.strided(x)
      to.number('min', min)
      to.number('max', max)
    },
  },
  where: {
    first: ({ out }) => out,
    write(to, { out, condition, a, b }) {
      to.out(out)
      to.strided(condition)
      to.strided(a)
      to.strided(b)
    },
  },
  neg: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  abs: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  sign: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  square: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  exp: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  log: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  log1p: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  sqrt: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  rsqrt: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  reciprocal: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  sin: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  cos: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  tanh: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  erf: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  sigmoid: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  floor: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  relu: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  relu_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, y }) {
      to.out(dx)
      to.strided(dy)
      to.strided(y)
    },
  },
  silu: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  silu_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, x }) {
      to.out(dx)
      to.strided(dy)
      to.strided(x)
    },
  },
  mish: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  mish_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, x }) {
      to.out(dx)
      to.strided(dy)
      to.strided(x)
    },
  },
  hardswish: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  hardswish_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, x }) {
      to.out(dx)
      to.strided(dy)
      to.strided(x)
    },
  },
  gelu: {
    first: ({ out }) => out,
    write(to, { out, x, tanhApproximation }) {
      to.out(out)
      to.strided(x)
      to.number('tanhApproximation', tanhApproximation)
    },
  },
  gelu_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, x, tanhApproximation }) {
      to.out(dx)
      to.strided(dy)
      to.strided(x)
      to.number('tanhApproximation', tanhApproximation)
    },
  },
  softplus: {
    first: ({ out }) => out,
    write(to, { out, x, beta, threshold }) {
      to.out(out)
      to.strided(x)
      to.number('beta', beta)
      to.number('threshold', threshold)
    },
  },
  softplus_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, x, beta, threshold }) {
      to.out(dx)
      to.strided(dy)
      to.strided(x)
      to.number('beta', beta)
      to.number('threshold', threshold)
    },
  },
  elu: {
    first: ({ out }) => out,
    write(to, { out, x, alpha }) {
      to.out(out)
      to.strided(x)
      to.number('alpha', alpha)
    },
  },
  elu_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, x, alpha }) {
      to.out(dx)
      to.strided(dy)
      to.strided(x)
      to.number('alpha', alpha)
    },
  },
  leaky_relu: {
    first: ({ out }) => out,
    write(to, { out, x, slope }) {
      to.out(out)
      to.strided(x)
      to.number('slope', slope)
    },
  },
  leaky_relu_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, x, slope }) {
      to.out(dx)
      to.strided(dy)
      to.strided(x)
      to.number('slope', slope)
    },
  },
  sigmoid_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, y }) {
      to.out(dx)
      to.strided(dy)
      to.strided(y)
    },
  },
  tanh_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, y }) {
      to.out(dx)
      to.strided(dy)
      to.strided(y)
    },
  },
  copy: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  copy_into: {
    first: ({ dst }) => dst,
    write(to, { dst, src }) {
      to.strided(dst)
      to.strided(src)
    },
  },
  accumulate: {
    first: ({ dst }) => dst,
    write(to, { dst, src }) {
      to.strided(dst)
      to.strided(src)
    },
  },
  fill: {
    first: ({ out }) => out,
    write(to, { out, value }) {
      to.out(out)
      to.number('value', value)
    },
  },
  arange: {
    first: ({ out }) => out,
    write(to, { out, start, step }) {
      to.out(out)
      to.number('start', start)
      to.number('step', step)
    },
  },
  cat: {
    first: ({ out }) => out,
    write(to, { out, inputs, dim }) {
      to.out(out)
      to.list(inputs, false)
      to.number('dim', dim)
    },
  },
  sum: {
    first: ({ out }) => out,
    write(to, { out, x, scale }) {
      to.out(out)
      to.strided(x)
      to.number('scale', scale)
    },
  },
  amax: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  amin: {
    first: ({ out }) => out,
    write(to, { out, x }) {
      to.out(out)
      to.strided(x)
    },
  },
  argmax: {
    first: ({ out }) => out,
    write(to, { out, x, dim }) {
      to.out(out)
      to.strided(x)
      to.number('dim', dim)
    },
  },
  argmin: {
    first: ({ out }) => out,
    write(to, { out, x, dim }) {
      to.out(out)
      to.strided(x)
      to.number('dim', dim)
    },
  },
  cumsum: {
    first: ({ out }) => out,
    write(to, { out, x, dim, reverse }) {
      to.out(out)
      to.dense(x)
      to.number('dim', dim)
      to.number('reverse', reverse)
    },
  },
  index_select: {
    first: ({ out }) => out,
    write(to, { out, x, index, dim }) {
      to.out(out)
      to.dense(x)
      to.dense(index)
      to.number('dim', dim)
    },
  },
  embedding: {
    first: ({ out }) => out,
    write(to, { out, weight, ids }) {
      to.out(out)
      to.dense(weight)
      to.dense(ids)
    },
  },
  index_add: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, index, dim, skip }) {
      to.out(dx)
      to.dense(dy)
      to.dense(index)
      to.number('dim', dim)
      to.number('skip', skip)
    },
  },
  index_accumulate: {
    first: ({ sum }) => sum,
    write(to, { sum, dy, index, dim, skip }) {
      to.dense(sum)
      to.dense(dy)
      to.dense(index)
      to.number('dim', dim)
      to.number('skip', skip)
    },
  },
  gather: {
    first: ({ out }) => out,
    write(to, { out, x, index, dim }) {
      to.out(out)
      to.dense(x)
      to.dense(index)
      to.number('dim', dim)
    },
  },
  scatter_add: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, index, dim }) {
      to.out(dx)
      to.dense(dy)
      to.dense(index)
      to.number('dim', dim)
    },
  },
  matmul: {
    first: ({ out }) => out,
    write(to, { out, a, b, bias }) {
      to.out(out)
      to.strided(a)
      to.strided(b)
      if (bias === null) to.absent()
      else to.dense(bias)
    },
  },
  matmul_accumulate: {
    first: ({ sum }) => sum,
    write(to, { sum, a, b }) {
      to.dense(sum)
      to.strided(a)
      to.strided(b)
    },
  },
  conv2d_forward: {
    first: ({ out }) => out,
    write(to, { out, x, weight, bias, strideH, strideW, padH, padW, dilationH, dilationW, groups, relu }) {
      to.out(out)
      to.dense(x)
      to.dense(weight)
      if (bias === null) to.absent()
      else to.dense(bias)
      to.number('strideH', strideH)
      to.number('strideW', strideW)
      to.number('padH', padH)
      to.number('padW', padW)
      to.number('dilationH', dilationH)
      to.number('dilationW', dilationW)
      to.number('groups', groups)
      to.number('relu', relu)
    },
  },
  conv2d_input_gradient: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, weight, strideH, strideW, padH, padW, dilationH, dilationW, groups }) {
      to.out(dx)
      to.dense(dy)
      to.dense(weight)
      to.number('strideH', strideH)
      to.number('strideW', strideW)
      to.number('padH', padH)
      to.number('padW', padW)
      to.number('dilationH', dilationH)
      to.number('dilationW', dilationW)
      to.number('groups', groups)
    },
  },
  conv2d_weight_gradient: {
    first: ({ dweight }) => dweight,
    write(to, { dweight, dy, x, strideH, strideW, padH, padW, dilationH, dilationW, groups }) {
      to.out(dweight)
      to.dense(dy)
      to.dense(x)
      to.number('strideH', strideH)
      to.number('strideW', strideW)
      to.number('padH', padH)
      to.number('padW', padW)
      to.number('dilationH', dilationH)
      to.number('dilationW', dilationW)
      to.number('groups', groups)
    },
  },
  max_pool2d_forward: {
    first: ({ out }) => out,
    write(to, { out, indices, x, kernelH, kernelW, strideH, strideW, padH, padW, dilationH, dilationW }) {
      to.out(out)
      to.out(indices)
      to.dense(x)
      to.number('kernelH', kernelH)
      to.number('kernelW', kernelW)
      to.number('strideH', strideH)
      to.number('strideW', strideW)
      to.number('padH', padH)
      to.number('padW', padW)
      to.number('dilationH', dilationH)
      to.number('dilationW', dilationW)
    },
  },
  max_pool2d_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, indices }) {
      to.out(dx)
      to.dense(dy)
      to.dense(indices)
    },
  },
  avg_pool2d_forward: {
    first: ({ out }) => out,
    write(to, { out, x, kernelH, kernelW, strideH, strideW, padH, padW, countIncludePad }) {
      to.out(out)
      to.dense(x)
      to.number('kernelH', kernelH)
      to.number('kernelW', kernelW)
      to.number('strideH', strideH)
      to.number('strideW', strideW)
      to.number('padH', padH)
      to.number('padW', padW)
      to.number('countIncludePad', countIncludePad)
    },
  },
  avg_pool2d_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, kernelH, kernelW, strideH, strideW, padH, padW, countIncludePad }) {
      to.out(dx)
      to.dense(dy)
      to.number('kernelH', kernelH)
      to.number('kernelW', kernelW)
      to.number('strideH', strideH)
      to.number('strideW', strideW)
      to.number('padH', padH)
      to.number('padW', padW)
      to.number('countIncludePad', countIncludePad)
    },
  },
  batch_norm_forward: {
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
  },
  batch_norm_backward: {
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
  },
  layer_norm_forward: {
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
  },
  layer_norm_backward: {
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
  },
  softmax_forward: {
    first: ({ out }) => out,
    write(to, { out, x, dim }) {
      to.out(out)
      to.dense(x)
      to.number('dim', dim)
    },
  },
  softmax_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, y, dim }) {
      to.out(dx)
      to.dense(dy)
      to.dense(y)
      to.number('dim', dim)
    },
  },
  log_softmax_forward: {
    first: ({ out }) => out,
    write(to, { out, x, dim }) {
      to.out(out)
      to.dense(x)
      to.number('dim', dim)
    },
  },
  log_softmax_backward: {
    first: ({ dx }) => dx,
    write(to, { dx, dy, y, dim }) {
      to.out(dx)
      to.dense(dy)
      to.dense(y)
      to.number('dim', dim)
    },
  },
  cross_entropy_forward: {
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
  },
  cross_entropy_backward: {
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
  },
  lstm_forward: {
    first: ({ out }) => out,
    write(to, { out, hn, cn, gates, cells, x, h0, c0, wIh, wHh, bIh, bHh, reverse }) {
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
      to.number('reverse', reverse)
    },
  },
  lstm_backward: {
    first: ({ x }) => x,
    write(to, { dx, dh0, dc0, dwIh, dwHh, dbias, dy, dhn, dcn, x, h0, c0, wIh, wHh, out, gates, cells, reverse }) {
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
      to.dense(out)
      to.dense(gates)
      to.dense(cells)
      to.number('reverse', reverse)
    },
  },
  attention_forward: {
    first: ({ out }) => out,
    write(to, { out, statistics, q, k, v, maskBool, maskAdd, scale, causal, dropout, random }) {
      to.place(out)
      to.out(statistics)
      to.strided(q)
      to.strided(k)
      to.strided(v)
      if (maskBool === null) to.absent()
      else to.strided(maskBool)
      if (maskAdd === null) to.absent()
      else to.strided(maskAdd)
      to.number('scale', scale)
      to.number('causal', causal)
      to.number('dropout', dropout)
      to.philox(random)
    },
  },
  attention_backward: {
    first: ({ dy }) => dy,
    write(to, { dq, dk, dv, dmask, dy, q, k, v, out, statistics, maskBool, maskAdd, scale, causal, dropout, random }) {
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
      to.number('scale', scale)
      to.number('causal', causal)
      to.number('dropout', dropout)
      to.philox(random)
    },
  },
  random_uniform: {
    first: ({ out }) => out,
    write(to, { out, random, low, high }) {
      to.out(out)
      to.philox(random)
      to.number('low', low)
      to.number('high', high)
    },
  },
  random_normal: {
    first: ({ out }) => out,
    write(to, { out, random, mean, std }) {
      to.out(out)
      to.philox(random)
      to.number('mean', mean)
      to.number('std', std)
    },
  },
  random_integers: {
    first: ({ out }) => out,
    write(to, { out, random, low, high }) {
      to.out(out)
      to.philox(random)
      to.number('low', low)
      to.number('high', high)
    },
  },
  dropout: {
    first: ({ out }) => out,
    write(to, { out, x, random, p }) {
      to.out(out)
      to.strided(x)
      to.philox(random)
      to.number('p', p)
    },
  },
  sgd: {
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
  },
  adam: {
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
  },
  total_norm: {
    first: ({ out }) => out,
    write(to, { out, tensors, p }) {
      to.out(out)
      to.list(tensors, true)
      to.number('p', p)
    },
  },
  clip_scale: {
    first: ({ norm }) => norm,
    write(to, { tensors, norm, maxNorm }) {
      to.list(tensors, true)
      to.dense(norm)
      to.number('maxNorm', maxNorm)
    },
  },
}
