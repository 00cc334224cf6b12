// Written by scripts/generate.ts from lib/backend/kernels.ts. Do not edit.
#pragma once
#include "../core/kernel.h"
#ifdef FIRESTEEL_DECODER
#include "../core/call.h"
#endif

namespace firesteel {

struct KernelTable {
  void (*add)(Context& context, const View& out, const View& a, const View& b);
  void (*sub)(Context& context, const View& out, const View& a, const View& b);
  void (*mul)(Context& context, const View& out, const View& a, const View& b);
  void (*div)(Context& context, const View& out, const View& a, const View& b);
  void (*maximum)(Context& context, const View& out, const View& a, const View& b);
  void (*minimum)(Context& context, const View& out, const View& a, const View& b);
  void (*pow)(Context& context, const View& out, const View& a, const View& b);
  void (*eq)(Context& context, const View& out, const View& a, const View& b);
  void (*ne)(Context& context, const View& out, const View& a, const View& b);
  void (*lt)(Context& context, const View& out, const View& a, const View& b);
  void (*le)(Context& context, const View& out, const View& a, const View& b);
  void (*gt)(Context& context, const View& out, const View& a, const View& b);
  void (*ge)(Context& context, const View& out, const View& a, const View& b);
  void (*affine)(Context& context, const View& out, const View& x, double scale, double shift);
  void (*pow_scalar)(Context& context, const View& out, const View& x, double exponent);
  void (*clamp)(Context& context, const View& out, const View& x, double min, double max);
  void (*clamp_backward)(Context& context, const View& dx, const View& dy, const View& x, double min, double max);
  void (*where)(Context& context, const View& out, const View& condition, const View& a, const View& b);
  void (*neg)(Context& context, const View& out, const View& x);
  void (*abs)(Context& context, const View& out, const View& x);
  void (*sign)(Context& context, const View& out, const View& x);
  void (*square)(Context& context, const View& out, const View& x);
  void (*exp)(Context& context, const View& out, const View& x);
  void (*log)(Context& context, const View& out, const View& x);
  void (*log1p)(Context& context, const View& out, const View& x);
  void (*sqrt)(Context& context, const View& out, const View& x);
  void (*rsqrt)(Context& context, const View& out, const View& x);
  void (*reciprocal)(Context& context, const View& out, const View& x);
  void (*sin)(Context& context, const View& out, const View& x);
  void (*cos)(Context& context, const View& out, const View& x);
  void (*tanh)(Context& context, const View& out, const View& x);
  void (*erf)(Context& context, const View& out, const View& x);
  void (*sigmoid)(Context& context, const View& out, const View& x);
  void (*floor)(Context& context, const View& out, const View& x);
  void (*relu)(Context& context, const View& out, const View& x);
  void (*relu_backward)(Context& context, const View& dx, const View& dy, const View& x);
  void (*silu)(Context& context, const View& out, const View& x);
  void (*silu_backward)(Context& context, const View& dx, const View& dy, const View& x);
  void (*mish)(Context& context, const View& out, const View& x);
  void (*mish_backward)(Context& context, const View& dx, const View& dy, const View& x);
  void (*hardswish)(Context& context, const View& out, const View& x);
  void (*hardswish_backward)(Context& context, const View& dx, const View& dy, const View& x);
  void (*gelu)(Context& context, const View& out, const View& x, bool tanh_approximation);
  void (*gelu_backward)(Context& context, const View& dx, const View& dy, const View& x, bool tanh_approximation);
  void (*softplus)(Context& context, const View& out, const View& x, double beta, double threshold);
  void (*softplus_backward)(Context& context, const View& dx, const View& dy, const View& x, double beta, double threshold);
  void (*elu)(Context& context, const View& out, const View& x, double alpha);
  void (*elu_backward)(Context& context, const View& dx, const View& dy, const View& x, double alpha);
  void (*leaky_relu)(Context& context, const View& out, const View& x, double slope);
  void (*leaky_relu_backward)(Context& context, const View& dx, const View& dy, const View& x, double slope);
  void (*sigmoid_backward)(Context& context, const View& dx, const View& dy, const View& y);
  void (*tanh_backward)(Context& context, const View& dx, const View& dy, const View& y);
  void (*copy)(Context& context, const View& out, const View& x);
  void (*copy_into)(Context& context, const View& dst, const View& src);
  void (*accumulate)(Context& context, const View& dst, const View& src);
  void (*fill)(Context& context, const View& out, double value);
  void (*arange)(Context& context, const View& out, double start, double step);
  void (*cat)(Context& context, const View& out, ViewList inputs, int64_t dim);
  void (*sum)(Context& context, const View& out, const View& x, double scale);
  void (*amax)(Context& context, const View& out, const View& x);
  void (*amin)(Context& context, const View& out, const View& x);
  void (*argmax)(Context& context, const View& out, const View& x, int64_t dim);
  void (*argmin)(Context& context, const View& out, const View& x, int64_t dim);
  void (*cumsum)(Context& context, const View& out, const View& x, int64_t dim, bool reverse);
  void (*index_select)(Context& context, const View& out, const View& x, const View& index, int64_t dim);
  void (*index_add)(Context& context, const View& dx, const View& dy, const View& index, int64_t dim, int64_t skip);
  void (*gather)(Context& context, const View& out, const View& x, const View& index, int64_t dim);
  void (*scatter_add)(Context& context, const View& dx, const View& dy, const View& index, int64_t dim);
  void (*matmul)(Context& context, const View& out, const View& a, const View& b, const View* bias);
  void (*conv2d_forward)(Context& context, const View& out, const View& x, const View& weight, const View* bias, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups);
  void (*conv2d_input_gradient)(Context& context, const View& dx, const View& dy, const View& weight, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups);
  void (*conv2d_weight_gradient)(Context& context, const View& dweight, const View& dy, const View& x, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups);
  void (*max_pool2d_forward)(Context& context, const View& out, const View& indices, const View& x, int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w);
  void (*max_pool2d_backward)(Context& context, const View& dx, const View& dy, const View& indices);
  void (*avg_pool2d_forward)(Context& context, const View& out, const View& x, int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, bool count_include_pad);
  void (*avg_pool2d_backward)(Context& context, const View& dx, const View& dy, int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, bool count_include_pad);
  void (*batch_norm_forward)(Context& context, const View& out, const View& mean, const View& rstd, const View& x, const View* weight, const View* bias, const View* running_mean, const View* running_var, double momentum, double eps, bool training);
  void (*batch_norm_backward)(Context& context, const View* dx, const View* dweight, const View* dbias, const View& dy, const View& x, const View& mean, const View& rstd, const View* weight, bool training);
  void (*layer_norm_forward)(Context& context, const View& out, const View& mean, const View& rstd, const View& x, const View* weight, const View* bias, double eps);
  void (*layer_norm_backward)(Context& context, const View* dx, const View* dweight, const View* dbias, const View& dy, const View& x, const View& mean, const View& rstd, const View* weight);
  void (*softmax_forward)(Context& context, const View& out, const View& x, int64_t dim);
  void (*softmax_backward)(Context& context, const View& dx, const View& dy, const View& y, int64_t dim);
  void (*log_softmax_forward)(Context& context, const View& out, const View& x, int64_t dim);
  void (*log_softmax_backward)(Context& context, const View& dx, const View& dy, const View& y, int64_t dim);
  void (*cross_entropy_forward)(Context& context, const View& out, const View& log_sum_exp, const View& total, const View& logits, const View& target, const View* weight, int64_t ignore_index, double smoothing, int64_t reduction);
  void (*cross_entropy_backward)(Context& context, const View& dlogits, const View& dy, const View& log_sum_exp, const View& total, const View& logits, const View& target, const View* weight, int64_t ignore_index, double smoothing, int64_t reduction);
  void (*lstm_forward)(Context& context, const View& out, const View& hn, const View& cn, const View* gates, const View* cells, const View& x, const View* h0, const View* c0, const View& w_ih, const View& w_hh, const View* b_ih, const View* b_hh, bool reverse);
  void (*lstm_backward)(Context& context, const View* dx, const View* dh0, const View* dc0, const View* dw_ih, const View* dw_hh, const View* dbias, const View* dy, const View* dhn, const View* dcn, const View& x, const View* h0, const View* c0, const View& w_ih, const View& w_hh, const View& out, const View& gates, const View& cells, bool reverse);
  void (*attention_forward)(Context& context, const View& out, const View& log_sum_exp, const View& q, const View& k, const View& v, const View* mask_bool, const View* mask_add, double scale, bool causal, double dropout, const Philox& random);
  void (*attention_backward)(Context& context, const View* dq, const View* dk, const View* dv, const View* dmask, const View& dy, const View& q, const View& k, const View& v, const View& out, const View& log_sum_exp, const View* mask_bool, const View* mask_add, double scale, bool causal, double dropout, const Philox& random);
  void (*random_uniform)(Context& context, const View& out, const Philox& random, double low, double high);
  void (*random_normal)(Context& context, const View& out, const Philox& random, double mean, double std);
  void (*random_integers)(Context& context, const View& out, const Philox& random, int64_t low, int64_t high);
  void (*dropout)(Context& context, const View& out, const View& x, const Philox& random, double p);
  void (*sgd)(Context& context, ViewList params, ViewList grads, ViewList momentum_buffers, double lr, double momentum, double dampening, double weight_decay, bool nesterov, bool maximize, bool first, ViewList shadows);
  void (*adam)(Context& context, ViewList params, ViewList grads, ViewList means, ViewList squares, ViewList max_squares, double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled, bool maximize, int64_t step, ViewList shadows);
  void (*total_norm)(Context& context, const View& out, ViewList tensors, double p);
  void (*clip_scale)(Context& context, ViewList tensors, const View& norm, double max_norm);
};

#ifdef FIRESTEEL_ISA
namespace FIRESTEEL_ISA {
void add(Context& context, const View& out, const View& a, const View& b);
void sub(Context& context, const View& out, const View& a, const View& b);
void mul(Context& context, const View& out, const View& a, const View& b);
void div(Context& context, const View& out, const View& a, const View& b);
void maximum(Context& context, const View& out, const View& a, const View& b);
void minimum(Context& context, const View& out, const View& a, const View& b);
void pow(Context& context, const View& out, const View& a, const View& b);
void eq(Context& context, const View& out, const View& a, const View& b);
void ne(Context& context, const View& out, const View& a, const View& b);
void lt(Context& context, const View& out, const View& a, const View& b);
void le(Context& context, const View& out, const View& a, const View& b);
void gt(Context& context, const View& out, const View& a, const View& b);
void ge(Context& context, const View& out, const View& a, const View& b);
void affine(Context& context, const View& out, const View& x, double scale, double shift);
void pow_scalar(Context& context, const View& out, const View& x, double exponent);
void clamp(Context& context, const View& out, const View& x, double min, double max);
void clamp_backward(Context& context, const View& dx, const View& dy, const View& x, double min, double max);
void where(Context& context, const View& out, const View& condition, const View& a, const View& b);
void neg(Context& context, const View& out, const View& x);
void abs(Context& context, const View& out, const View& x);
void sign(Context& context, const View& out, const View& x);
void square(Context& context, const View& out, const View& x);
void exp(Context& context, const View& out, const View& x);
void log(Context& context, const View& out, const View& x);
void log1p(Context& context, const View& out, const View& x);
void sqrt(Context& context, const View& out, const View& x);
void rsqrt(Context& context, const View& out, const View& x);
void reciprocal(Context& context, const View& out, const View& x);
void sin(Context& context, const View& out, const View& x);
void cos(Context& context, const View& out, const View& x);
void tanh(Context& context, const View& out, const View& x);
void erf(Context& context, const View& out, const View& x);
void sigmoid(Context& context, const View& out, const View& x);
void floor(Context& context, const View& out, const View& x);
void relu(Context& context, const View& out, const View& x);
void relu_backward(Context& context, const View& dx, const View& dy, const View& x);
void silu(Context& context, const View& out, const View& x);
void silu_backward(Context& context, const View& dx, const View& dy, const View& x);
void mish(Context& context, const View& out, const View& x);
void mish_backward(Context& context, const View& dx, const View& dy, const View& x);
void hardswish(Context& context, const View& out, const View& x);
void hardswish_backward(Context& context, const View& dx, const View& dy, const View& x);
void gelu(Context& context, const View& out, const View& x, bool tanh_approximation);
void gelu_backward(Context& context, const View& dx, const View& dy, const View& x, bool tanh_approximation);
void softplus(Context& context, const View& out, const View& x, double beta, double threshold);
void softplus_backward(Context& context, const View& dx, const View& dy, const View& x, double beta, double threshold);
void elu(Context& context, const View& out, const View& x, double alpha);
void elu_backward(Context& context, const View& dx, const View& dy, const View& x, double alpha);
void leaky_relu(Context& context, const View& out, const View& x, double slope);
void leaky_relu_backward(Context& context, const View& dx, const View& dy, const View& x, double slope);
void sigmoid_backward(Context& context, const View& dx, const View& dy, const View& y);
void tanh_backward(Context& context, const View& dx, const View& dy, const View& y);
void copy(Context& context, const View& out, const View& x);
void copy_into(Context& context, const View& dst, const View& src);
void accumulate(Context& context, const View& dst, const View& src);
void fill(Context& context, const View& out, double value);
void arange(Context& context, const View& out, double start, double step);
void cat(Context& context, const View& out, ViewList inputs, int64_t dim);
void sum(Context& context, const View& out, const View& x, double scale);
void amax(Context& context, const View& out, const View& x);
void amin(Context& context, const View& out, const View& x);
void argmax(Context& context, const View& out, const View& x, int64_t dim);
void argmin(Context& context, const View& out, const View& x, int64_t dim);
void cumsum(Context& context, const View& out, const View& x, int64_t dim, bool reverse);
void index_select(Context& context, const View& out, const View& x, const View& index, int64_t dim);
void index_add(Context& context, const View& dx, const View& dy, const View& index, int64_t dim, int64_t skip);
void gather(Context& context, const View& out, const View& x, const View& index, int64_t dim);
void scatter_add(Context& context, const View& dx, const View& dy, const View& index, int64_t dim);
void matmul(Context& context, const View& out, const View& a, const View& b, const View* bias);
void conv2d_forward(Context& context, const View& out, const View& x, const View& weight, const View* bias, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups);
void conv2d_input_gradient(Context& context, const View& dx, const View& dy, const View& weight, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups);
void conv2d_weight_gradient(Context& context, const View& dweight, const View& dy, const View& x, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups);
void max_pool2d_forward(Context& context, const View& out, const View& indices, const View& x, int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w);
void max_pool2d_backward(Context& context, const View& dx, const View& dy, const View& indices);
void avg_pool2d_forward(Context& context, const View& out, const View& x, int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, bool count_include_pad);
void avg_pool2d_backward(Context& context, const View& dx, const View& dy, int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, bool count_include_pad);
void batch_norm_forward(Context& context, const View& out, const View& mean, const View& rstd, const View& x, const View* weight, const View* bias, const View* running_mean, const View* running_var, double momentum, double eps, bool training);
void batch_norm_backward(Context& context, const View* dx, const View* dweight, const View* dbias, const View& dy, const View& x, const View& mean, const View& rstd, const View* weight, bool training);
void layer_norm_forward(Context& context, const View& out, const View& mean, const View& rstd, const View& x, const View* weight, const View* bias, double eps);
void layer_norm_backward(Context& context, const View* dx, const View* dweight, const View* dbias, const View& dy, const View& x, const View& mean, const View& rstd, const View* weight);
void softmax_forward(Context& context, const View& out, const View& x, int64_t dim);
void softmax_backward(Context& context, const View& dx, const View& dy, const View& y, int64_t dim);
void log_softmax_forward(Context& context, const View& out, const View& x, int64_t dim);
void log_softmax_backward(Context& context, const View& dx, const View& dy, const View& y, int64_t dim);
void cross_entropy_forward(Context& context, const View& out, const View& log_sum_exp, const View& total, const View& logits, const View& target, const View* weight, int64_t ignore_index, double smoothing, int64_t reduction);
void cross_entropy_backward(Context& context, const View& dlogits, const View& dy, const View& log_sum_exp, const View& total, const View& logits, const View& target, const View* weight, int64_t ignore_index, double smoothing, int64_t reduction);
void lstm_forward(Context& context, const View& out, const View& hn, const View& cn, const View* gates, const View* cells, const View& x, const View* h0, const View* c0, const View& w_ih, const View& w_hh, const View* b_ih, const View* b_hh, bool reverse);
void lstm_backward(Context& context, const View* dx, const View* dh0, const View* dc0, const View* dw_ih, const View* dw_hh, const View* dbias, const View* dy, const View* dhn, const View* dcn, const View& x, const View* h0, const View* c0, const View& w_ih, const View& w_hh, const View& out, const View& gates, const View& cells, bool reverse);
void attention_forward(Context& context, const View& out, const View& log_sum_exp, const View& q, const View& k, const View& v, const View* mask_bool, const View* mask_add, double scale, bool causal, double dropout, const Philox& random);
void attention_backward(Context& context, const View* dq, const View* dk, const View* dv, const View* dmask, const View& dy, const View& q, const View& k, const View& v, const View& out, const View& log_sum_exp, const View* mask_bool, const View* mask_add, double scale, bool causal, double dropout, const Philox& random);
void random_uniform(Context& context, const View& out, const Philox& random, double low, double high);
void random_normal(Context& context, const View& out, const Philox& random, double mean, double std);
void random_integers(Context& context, const View& out, const Philox& random, int64_t low, int64_t high);
void dropout(Context& context, const View& out, const View& x, const Philox& random, double p);
void sgd(Context& context, ViewList params, ViewList grads, ViewList momentum_buffers, double lr, double momentum, double dampening, double weight_decay, bool nesterov, bool maximize, bool first, ViewList shadows);
void adam(Context& context, ViewList params, ViewList grads, ViewList means, ViewList squares, ViewList max_squares, double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled, bool maximize, int64_t step, ViewList shadows);
void total_norm(Context& context, const View& out, ViewList tensors, double p);
void clip_scale(Context& context, ViewList tensors, const View& norm, double max_norm);
}  // namespace FIRESTEEL_ISA
#endif

#ifdef FIRESTEEL_DECODER
#define FIRESTEEL_KERNEL_COUNT 98
// name, heavy, arguments {role, arity, dtype mask, 1 if of type T}, thunk; columns as in core/call.h
static const KernelInfo kernel_infos[FIRESTEEL_KERNEL_COUNT] = {
    {"add", false, 3, {{"out", Role::out_, Arity::one, 11, 1}, {"a", Role::strided_, Arity::one, 11, 1}, {"b", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.add(context, call.views[0], call.views[1], call.views[2]); }},
    {"sub", false, 3, {{"out", Role::out_, Arity::one, 11, 1}, {"a", Role::strided_, Arity::one, 11, 1}, {"b", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.sub(context, call.views[0], call.views[1], call.views[2]); }},
    {"mul", false, 3, {{"out", Role::out_, Arity::one, 11, 1}, {"a", Role::strided_, Arity::one, 11, 1}, {"b", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.mul(context, call.views[0], call.views[1], call.views[2]); }},
    {"div", false, 3, {{"out", Role::out_, Arity::one, 3, 1}, {"a", Role::strided_, Arity::one, 3, 1}, {"b", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.div(context, call.views[0], call.views[1], call.views[2]); }},
    {"maximum", false, 3, {{"out", Role::out_, Arity::one, 11, 1}, {"a", Role::strided_, Arity::one, 11, 1}, {"b", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.maximum(context, call.views[0], call.views[1], call.views[2]); }},
    {"minimum", false, 3, {{"out", Role::out_, Arity::one, 11, 1}, {"a", Role::strided_, Arity::one, 11, 1}, {"b", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.minimum(context, call.views[0], call.views[1], call.views[2]); }},
    {"pow", false, 3, {{"out", Role::out_, Arity::one, 3, 1}, {"a", Role::strided_, Arity::one, 3, 1}, {"b", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.pow(context, call.views[0], call.views[1], call.views[2]); }},
    {"eq", false, 3, {{"out", Role::out_, Arity::one, 32, 0}, {"a", Role::strided_, Arity::one, 63, 1}, {"b", Role::strided_, Arity::one, 63, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.eq(context, call.views[0], call.views[1], call.views[2]); }},
    {"ne", false, 3, {{"out", Role::out_, Arity::one, 32, 0}, {"a", Role::strided_, Arity::one, 63, 1}, {"b", Role::strided_, Arity::one, 63, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.ne(context, call.views[0], call.views[1], call.views[2]); }},
    {"lt", false, 3, {{"out", Role::out_, Arity::one, 32, 0}, {"a", Role::strided_, Arity::one, 63, 1}, {"b", Role::strided_, Arity::one, 63, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.lt(context, call.views[0], call.views[1], call.views[2]); }},
    {"le", false, 3, {{"out", Role::out_, Arity::one, 32, 0}, {"a", Role::strided_, Arity::one, 63, 1}, {"b", Role::strided_, Arity::one, 63, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.le(context, call.views[0], call.views[1], call.views[2]); }},
    {"gt", false, 3, {{"out", Role::out_, Arity::one, 32, 0}, {"a", Role::strided_, Arity::one, 63, 1}, {"b", Role::strided_, Arity::one, 63, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.gt(context, call.views[0], call.views[1], call.views[2]); }},
    {"ge", false, 3, {{"out", Role::out_, Arity::one, 32, 0}, {"a", Role::strided_, Arity::one, 63, 1}, {"b", Role::strided_, Arity::one, 63, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.ge(context, call.views[0], call.views[1], call.views[2]); }},
    {"affine", false, 4, {{"out", Role::out_, Arity::one, 11, 1}, {"x", Role::strided_, Arity::one, 11, 1}, {"scale", Role::number_, Arity::one, 0, 0}, {"shift", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.affine(context, call.views[0], call.views[1], call.numbers[0], call.numbers[1]); }},
    {"pow_scalar", false, 3, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"exponent", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.pow_scalar(context, call.views[0], call.views[1], call.numbers[0]); }},
    {"clamp", false, 4, {{"out", Role::out_, Arity::one, 11, 1}, {"x", Role::strided_, Arity::one, 11, 1}, {"min", Role::number_, Arity::one, 0, 0}, {"max", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.clamp(context, call.views[0], call.views[1], call.numbers[0], call.numbers[1]); }},
    {"clamp_backward", false, 5, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"min", Role::number_, Arity::one, 0, 0}, {"max", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.clamp_backward(context, call.views[0], call.views[1], call.views[2], call.numbers[0], call.numbers[1]); }},
    {"where", false, 4, {{"out", Role::out_, Arity::one, 63, 1}, {"condition", Role::strided_, Arity::one, 32, 0}, {"a", Role::strided_, Arity::one, 63, 1}, {"b", Role::strided_, Arity::one, 63, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.where(context, call.views[0], call.views[1], call.views[2], call.views[3]); }},
    {"neg", false, 2, {{"out", Role::out_, Arity::one, 11, 1}, {"x", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.neg(context, call.views[0], call.views[1]); }},
    {"abs", false, 2, {{"out", Role::out_, Arity::one, 11, 1}, {"x", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.abs(context, call.views[0], call.views[1]); }},
    {"sign", false, 2, {{"out", Role::out_, Arity::one, 11, 1}, {"x", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.sign(context, call.views[0], call.views[1]); }},
    {"square", false, 2, {{"out", Role::out_, Arity::one, 11, 1}, {"x", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.square(context, call.views[0], call.views[1]); }},
    {"exp", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.exp(context, call.views[0], call.views[1]); }},
    {"log", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.log(context, call.views[0], call.views[1]); }},
    {"log1p", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.log1p(context, call.views[0], call.views[1]); }},
    {"sqrt", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.sqrt(context, call.views[0], call.views[1]); }},
    {"rsqrt", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.rsqrt(context, call.views[0], call.views[1]); }},
    {"reciprocal", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.reciprocal(context, call.views[0], call.views[1]); }},
    {"sin", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.sin(context, call.views[0], call.views[1]); }},
    {"cos", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.cos(context, call.views[0], call.views[1]); }},
    {"tanh", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.tanh(context, call.views[0], call.views[1]); }},
    {"erf", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.erf(context, call.views[0], call.views[1]); }},
    {"sigmoid", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.sigmoid(context, call.views[0], call.views[1]); }},
    {"floor", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.floor(context, call.views[0], call.views[1]); }},
    {"relu", false, 2, {{"out", Role::out_, Arity::one, 11, 1}, {"x", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.relu(context, call.views[0], call.views[1]); }},
    {"relu_backward", false, 3, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.relu_backward(context, call.views[0], call.views[1], call.views[2]); }},
    {"silu", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.silu(context, call.views[0], call.views[1]); }},
    {"silu_backward", false, 3, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.silu_backward(context, call.views[0], call.views[1], call.views[2]); }},
    {"mish", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.mish(context, call.views[0], call.views[1]); }},
    {"mish_backward", false, 3, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.mish_backward(context, call.views[0], call.views[1], call.views[2]); }},
    {"hardswish", false, 2, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.hardswish(context, call.views[0], call.views[1]); }},
    {"hardswish_backward", false, 3, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.hardswish_backward(context, call.views[0], call.views[1], call.views[2]); }},
    {"gelu", false, 3, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"tanhApproximation", Role::flag_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.gelu(context, call.views[0], call.views[1], call.numbers[0] != 0); }},
    {"gelu_backward", false, 4, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"tanhApproximation", Role::flag_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.gelu_backward(context, call.views[0], call.views[1], call.views[2], call.numbers[0] != 0); }},
    {"softplus", false, 4, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"beta", Role::number_, Arity::one, 0, 0}, {"threshold", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.softplus(context, call.views[0], call.views[1], call.numbers[0], call.numbers[1]); }},
    {"softplus_backward", false, 5, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"beta", Role::number_, Arity::one, 0, 0}, {"threshold", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.softplus_backward(context, call.views[0], call.views[1], call.views[2], call.numbers[0], call.numbers[1]); }},
    {"elu", false, 3, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"alpha", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.elu(context, call.views[0], call.views[1], call.numbers[0]); }},
    {"elu_backward", false, 4, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"alpha", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.elu_backward(context, call.views[0], call.views[1], call.views[2], call.numbers[0]); }},
    {"leaky_relu", false, 3, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"slope", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.leaky_relu(context, call.views[0], call.views[1], call.numbers[0]); }},
    {"leaky_relu_backward", false, 4, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"slope", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.leaky_relu_backward(context, call.views[0], call.views[1], call.views[2], call.numbers[0]); }},
    {"sigmoid_backward", false, 3, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"y", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.sigmoid_backward(context, call.views[0], call.views[1], call.views[2]); }},
    {"tanh_backward", false, 3, {{"dx", Role::out_, Arity::one, 3, 1}, {"dy", Role::strided_, Arity::one, 3, 1}, {"y", Role::strided_, Arity::one, 3, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.tanh_backward(context, call.views[0], call.views[1], call.views[2]); }},
    {"copy", false, 2, {{"out", Role::out_, Arity::one, 63, 0}, {"x", Role::strided_, Arity::one, 63, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.copy(context, call.views[0], call.views[1]); }},
    {"copy_into", false, 2, {{"dst", Role::update_, Arity::one, 63, 0}, {"src", Role::strided_, Arity::one, 63, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.copy_into(context, call.views[0], call.views[1]); }},
    {"accumulate", false, 2, {{"dst", Role::update_, Arity::one, 11, 1}, {"src", Role::strided_, Arity::one, 11, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.accumulate(context, call.views[0], call.views[1]); }},
    {"fill", false, 2, {{"out", Role::out_, Arity::one, 63, 0}, {"value", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.fill(context, call.views[0], call.numbers[0]); }},
    {"arange", false, 3, {{"out", Role::out_, Arity::one, 9, 1}, {"start", Role::number_, Arity::one, 0, 0}, {"step", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.arange(context, call.views[0], call.numbers[0], call.numbers[1]); }},
    {"cat", false, 3, {{"out", Role::out_, Arity::one, 63, 1}, {"inputs", Role::strided_, Arity::list, 63, 1}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.cat(context, call.views[0], call.lists[0], (int64_t)call.numbers[0]); }},
    {"sum", false, 3, {{"out", Role::out_, Arity::one, 63, 0}, {"x", Role::strided_, Arity::one, 11, 1}, {"scale", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.sum(context, call.views[0], call.views[1], call.numbers[0]); }},
    {"amax", false, 2, {{"out", Role::out_, Arity::one, 9, 1}, {"x", Role::strided_, Arity::one, 9, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.amax(context, call.views[0], call.views[1]); }},
    {"amin", false, 2, {{"out", Role::out_, Arity::one, 9, 1}, {"x", Role::strided_, Arity::one, 9, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.amin(context, call.views[0], call.views[1]); }},
    {"argmax", false, 3, {{"out", Role::out_, Arity::one, 8, 0}, {"x", Role::strided_, Arity::one, 9, 1}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.argmax(context, call.views[0], call.views[1], (int64_t)call.numbers[0]); }},
    {"argmin", false, 3, {{"out", Role::out_, Arity::one, 8, 0}, {"x", Role::strided_, Arity::one, 9, 1}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.argmin(context, call.views[0], call.views[1], (int64_t)call.numbers[0]); }},
    {"cumsum", false, 4, {{"out", Role::out_, Arity::one, 9, 1}, {"x", Role::in_, Arity::one, 9, 1}, {"dim", Role::integer_, Arity::one, 0, 0}, {"reverse", Role::flag_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.cumsum(context, call.views[0], call.views[1], (int64_t)call.numbers[0], call.numbers[1] != 0); }},
    {"index_select", false, 4, {{"out", Role::out_, Arity::one, 63, 1}, {"x", Role::in_, Arity::one, 63, 1}, {"index", Role::in_, Arity::one, 8, 0}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.index_select(context, call.views[0], call.views[1], call.views[2], (int64_t)call.numbers[0]); }},
    {"index_add", false, 5, {{"dx", Role::out_, Arity::one, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"index", Role::in_, Arity::one, 8, 0}, {"dim", Role::integer_, Arity::one, 0, 0}, {"skip", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.index_add(context, call.views[0], call.views[1], call.views[2], (int64_t)call.numbers[0], (int64_t)call.numbers[1]); }},
    {"gather", false, 4, {{"out", Role::out_, Arity::one, 63, 1}, {"x", Role::in_, Arity::one, 63, 1}, {"index", Role::in_, Arity::one, 8, 0}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.gather(context, call.views[0], call.views[1], call.views[2], (int64_t)call.numbers[0]); }},
    {"scatter_add", false, 4, {{"dx", Role::out_, Arity::one, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"index", Role::in_, Arity::one, 8, 0}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.scatter_add(context, call.views[0], call.views[1], call.views[2], (int64_t)call.numbers[0]); }},
    {"matmul", true, 4, {{"out", Role::out_, Arity::one, 3, 0}, {"a", Role::strided_, Arity::one, 3, 0}, {"b", Role::strided_, Arity::one, 3, 0}, {"bias", Role::in_, Arity::optional, 3, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.matmul(context, call.views[0], call.views[1], call.views[2], call.optional(3)); }},
    {"conv2d_forward", true, 11, {{"out", Role::out_, Arity::one, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"weight", Role::in_, Arity::one, 1, 1}, {"bias", Role::in_, Arity::optional, 1, 1}, {"strideH", Role::integer_, Arity::one, 0, 0}, {"strideW", Role::integer_, Arity::one, 0, 0}, {"padH", Role::integer_, Arity::one, 0, 0}, {"padW", Role::integer_, Arity::one, 0, 0}, {"dilationH", Role::integer_, Arity::one, 0, 0}, {"dilationW", Role::integer_, Arity::one, 0, 0}, {"groups", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.conv2d_forward(context, call.views[0], call.views[1], call.views[2], call.optional(3), (int64_t)call.numbers[0], (int64_t)call.numbers[1], (int64_t)call.numbers[2], (int64_t)call.numbers[3], (int64_t)call.numbers[4], (int64_t)call.numbers[5], (int64_t)call.numbers[6]); }},
    {"conv2d_input_gradient", true, 10, {{"dx", Role::out_, Arity::one, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"weight", Role::in_, Arity::one, 1, 1}, {"strideH", Role::integer_, Arity::one, 0, 0}, {"strideW", Role::integer_, Arity::one, 0, 0}, {"padH", Role::integer_, Arity::one, 0, 0}, {"padW", Role::integer_, Arity::one, 0, 0}, {"dilationH", Role::integer_, Arity::one, 0, 0}, {"dilationW", Role::integer_, Arity::one, 0, 0}, {"groups", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.conv2d_input_gradient(context, call.views[0], call.views[1], call.views[2], (int64_t)call.numbers[0], (int64_t)call.numbers[1], (int64_t)call.numbers[2], (int64_t)call.numbers[3], (int64_t)call.numbers[4], (int64_t)call.numbers[5], (int64_t)call.numbers[6]); }},
    {"conv2d_weight_gradient", true, 10, {{"dweight", Role::out_, Arity::one, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"strideH", Role::integer_, Arity::one, 0, 0}, {"strideW", Role::integer_, Arity::one, 0, 0}, {"padH", Role::integer_, Arity::one, 0, 0}, {"padW", Role::integer_, Arity::one, 0, 0}, {"dilationH", Role::integer_, Arity::one, 0, 0}, {"dilationW", Role::integer_, Arity::one, 0, 0}, {"groups", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.conv2d_weight_gradient(context, call.views[0], call.views[1], call.views[2], (int64_t)call.numbers[0], (int64_t)call.numbers[1], (int64_t)call.numbers[2], (int64_t)call.numbers[3], (int64_t)call.numbers[4], (int64_t)call.numbers[5], (int64_t)call.numbers[6]); }},
    {"max_pool2d_forward", false, 11, {{"out", Role::out_, Arity::one, 1, 1}, {"indices", Role::out_, Arity::one, 8, 0}, {"x", Role::in_, Arity::one, 1, 1}, {"kernelH", Role::integer_, Arity::one, 0, 0}, {"kernelW", Role::integer_, Arity::one, 0, 0}, {"strideH", Role::integer_, Arity::one, 0, 0}, {"strideW", Role::integer_, Arity::one, 0, 0}, {"padH", Role::integer_, Arity::one, 0, 0}, {"padW", Role::integer_, Arity::one, 0, 0}, {"dilationH", Role::integer_, Arity::one, 0, 0}, {"dilationW", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.max_pool2d_forward(context, call.views[0], call.views[1], call.views[2], (int64_t)call.numbers[0], (int64_t)call.numbers[1], (int64_t)call.numbers[2], (int64_t)call.numbers[3], (int64_t)call.numbers[4], (int64_t)call.numbers[5], (int64_t)call.numbers[6], (int64_t)call.numbers[7]); }},
    {"max_pool2d_backward", false, 3, {{"dx", Role::out_, Arity::one, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"indices", Role::in_, Arity::one, 8, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.max_pool2d_backward(context, call.views[0], call.views[1], call.views[2]); }},
    {"avg_pool2d_forward", false, 9, {{"out", Role::out_, Arity::one, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"kernelH", Role::integer_, Arity::one, 0, 0}, {"kernelW", Role::integer_, Arity::one, 0, 0}, {"strideH", Role::integer_, Arity::one, 0, 0}, {"strideW", Role::integer_, Arity::one, 0, 0}, {"padH", Role::integer_, Arity::one, 0, 0}, {"padW", Role::integer_, Arity::one, 0, 0}, {"countIncludePad", Role::flag_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.avg_pool2d_forward(context, call.views[0], call.views[1], (int64_t)call.numbers[0], (int64_t)call.numbers[1], (int64_t)call.numbers[2], (int64_t)call.numbers[3], (int64_t)call.numbers[4], (int64_t)call.numbers[5], call.numbers[6] != 0); }},
    {"avg_pool2d_backward", false, 9, {{"dx", Role::out_, Arity::one, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"kernelH", Role::integer_, Arity::one, 0, 0}, {"kernelW", Role::integer_, Arity::one, 0, 0}, {"strideH", Role::integer_, Arity::one, 0, 0}, {"strideW", Role::integer_, Arity::one, 0, 0}, {"padH", Role::integer_, Arity::one, 0, 0}, {"padW", Role::integer_, Arity::one, 0, 0}, {"countIncludePad", Role::flag_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.avg_pool2d_backward(context, call.views[0], call.views[1], (int64_t)call.numbers[0], (int64_t)call.numbers[1], (int64_t)call.numbers[2], (int64_t)call.numbers[3], (int64_t)call.numbers[4], (int64_t)call.numbers[5], call.numbers[6] != 0); }},
    {"batch_norm_forward", false, 11, {{"out", Role::out_, Arity::one, 1, 1}, {"mean", Role::out_, Arity::one, 1, 1}, {"rstd", Role::out_, Arity::one, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"weight", Role::in_, Arity::optional, 1, 1}, {"bias", Role::in_, Arity::optional, 1, 1}, {"runningMean", Role::inout_, Arity::optional, 1, 1}, {"runningVar", Role::inout_, Arity::optional, 1, 1}, {"momentum", Role::number_, Arity::one, 0, 0}, {"eps", Role::number_, Arity::one, 0, 0}, {"training", Role::flag_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.batch_norm_forward(context, call.views[0], call.views[1], call.views[2], call.views[3], call.optional(4), call.optional(5), call.optional(6), call.optional(7), call.numbers[0], call.numbers[1], call.numbers[2] != 0); }},
    {"batch_norm_backward", false, 9, {{"dx", Role::out_, Arity::optional, 1, 1}, {"dweight", Role::out_, Arity::optional, 1, 1}, {"dbias", Role::out_, Arity::optional, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"mean", Role::in_, Arity::one, 1, 1}, {"rstd", Role::in_, Arity::one, 1, 1}, {"weight", Role::in_, Arity::optional, 1, 1}, {"training", Role::flag_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.batch_norm_backward(context, call.optional(0), call.optional(1), call.optional(2), call.views[3], call.views[4], call.views[5], call.views[6], call.optional(7), call.numbers[0] != 0); }},
    {"layer_norm_forward", false, 7, {{"out", Role::out_, Arity::one, 1, 1}, {"mean", Role::out_, Arity::one, 1, 1}, {"rstd", Role::out_, Arity::one, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"weight", Role::in_, Arity::optional, 1, 1}, {"bias", Role::in_, Arity::optional, 1, 1}, {"eps", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.layer_norm_forward(context, call.views[0], call.views[1], call.views[2], call.views[3], call.optional(4), call.optional(5), call.numbers[0]); }},
    {"layer_norm_backward", false, 8, {{"dx", Role::out_, Arity::optional, 1, 1}, {"dweight", Role::out_, Arity::optional, 1, 1}, {"dbias", Role::out_, Arity::optional, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"mean", Role::in_, Arity::one, 1, 1}, {"rstd", Role::in_, Arity::one, 1, 1}, {"weight", Role::in_, Arity::optional, 1, 1}},
     [](const KernelTable& table, Context& context, const Call& call) { table.layer_norm_backward(context, call.optional(0), call.optional(1), call.optional(2), call.views[3], call.views[4], call.views[5], call.views[6], call.optional(7)); }},
    {"softmax_forward", false, 3, {{"out", Role::out_, Arity::one, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.softmax_forward(context, call.views[0], call.views[1], (int64_t)call.numbers[0]); }},
    {"softmax_backward", false, 4, {{"dx", Role::out_, Arity::one, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"y", Role::in_, Arity::one, 1, 1}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.softmax_backward(context, call.views[0], call.views[1], call.views[2], (int64_t)call.numbers[0]); }},
    {"log_softmax_forward", false, 3, {{"out", Role::out_, Arity::one, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.log_softmax_forward(context, call.views[0], call.views[1], (int64_t)call.numbers[0]); }},
    {"log_softmax_backward", false, 4, {{"dx", Role::out_, Arity::one, 1, 1}, {"dy", Role::in_, Arity::one, 1, 1}, {"y", Role::in_, Arity::one, 1, 1}, {"dim", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.log_softmax_backward(context, call.views[0], call.views[1], call.views[2], (int64_t)call.numbers[0]); }},
    {"cross_entropy_forward", false, 9, {{"out", Role::out_, Arity::one, 1, 1}, {"logSumExp", Role::out_, Arity::one, 1, 1}, {"total", Role::out_, Arity::one, 1, 1}, {"logits", Role::in_, Arity::one, 3, 0}, {"target", Role::in_, Arity::one, 8, 0}, {"weight", Role::in_, Arity::optional, 1, 1}, {"ignoreIndex", Role::integer_, Arity::one, 0, 0}, {"smoothing", Role::number_, Arity::one, 0, 0}, {"reduction", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.cross_entropy_forward(context, call.views[0], call.views[1], call.views[2], call.views[3], call.views[4], call.optional(5), (int64_t)call.numbers[0], call.numbers[1], (int64_t)call.numbers[2]); }},
    {"cross_entropy_backward", false, 10, {{"dlogits", Role::out_, Arity::one, 3, 0}, {"dy", Role::in_, Arity::one, 1, 1}, {"logSumExp", Role::in_, Arity::one, 1, 1}, {"total", Role::in_, Arity::one, 1, 1}, {"logits", Role::in_, Arity::one, 3, 0}, {"target", Role::in_, Arity::one, 8, 0}, {"weight", Role::in_, Arity::optional, 1, 1}, {"ignoreIndex", Role::integer_, Arity::one, 0, 0}, {"smoothing", Role::number_, Arity::one, 0, 0}, {"reduction", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.cross_entropy_backward(context, call.views[0], call.views[1], call.views[2], call.views[3], call.views[4], call.views[5], call.optional(6), (int64_t)call.numbers[0], call.numbers[1], (int64_t)call.numbers[2]); }},
    {"lstm_forward", true, 13, {{"out", Role::out_, Arity::one, 1, 1}, {"hn", Role::out_, Arity::one, 1, 1}, {"cn", Role::out_, Arity::one, 1, 1}, {"gates", Role::out_, Arity::optional, 1, 1}, {"cells", Role::out_, Arity::optional, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"h0", Role::in_, Arity::optional, 1, 1}, {"c0", Role::in_, Arity::optional, 1, 1}, {"wIh", Role::in_, Arity::one, 1, 1}, {"wHh", Role::in_, Arity::one, 1, 1}, {"bIh", Role::in_, Arity::optional, 1, 1}, {"bHh", Role::in_, Arity::optional, 1, 1}, {"reverse", Role::flag_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.lstm_forward(context, call.views[0], call.views[1], call.views[2], call.optional(3), call.optional(4), call.views[5], call.optional(6), call.optional(7), call.views[8], call.views[9], call.optional(10), call.optional(11), call.numbers[0] != 0); }},
    {"lstm_backward", true, 18, {{"dx", Role::out_, Arity::optional, 1, 1}, {"dh0", Role::out_, Arity::optional, 1, 1}, {"dc0", Role::out_, Arity::optional, 1, 1}, {"dwIh", Role::out_, Arity::optional, 1, 1}, {"dwHh", Role::out_, Arity::optional, 1, 1}, {"dbias", Role::out_, Arity::optional, 1, 1}, {"dy", Role::in_, Arity::optional, 1, 1}, {"dhn", Role::in_, Arity::optional, 1, 1}, {"dcn", Role::in_, Arity::optional, 1, 1}, {"x", Role::in_, Arity::one, 1, 1}, {"h0", Role::in_, Arity::optional, 1, 1}, {"c0", Role::in_, Arity::optional, 1, 1}, {"wIh", Role::in_, Arity::one, 1, 1}, {"wHh", Role::in_, Arity::one, 1, 1}, {"out", Role::in_, Arity::one, 1, 1}, {"gates", Role::in_, Arity::one, 1, 1}, {"cells", Role::in_, Arity::one, 1, 1}, {"reverse", Role::flag_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.lstm_backward(context, call.optional(0), call.optional(1), call.optional(2), call.optional(3), call.optional(4), call.optional(5), call.optional(6), call.optional(7), call.optional(8), call.views[9], call.optional(10), call.optional(11), call.views[12], call.views[13], call.views[14], call.views[15], call.views[16], call.numbers[0] != 0); }},
    {"attention_forward", true, 11, {{"out", Role::place_, Arity::one, 3, 1}, {"logSumExp", Role::out_, Arity::one, 1, 0}, {"q", Role::strided_, Arity::one, 3, 1}, {"k", Role::strided_, Arity::one, 3, 1}, {"v", Role::strided_, Arity::one, 3, 1}, {"maskBool", Role::strided_, Arity::optional, 32, 0}, {"maskAdd", Role::strided_, Arity::optional, 1, 0}, {"scale", Role::number_, Arity::one, 0, 0}, {"causal", Role::flag_, Arity::one, 0, 0}, {"dropout", Role::number_, Arity::one, 0, 0}, {"random", Role::philox_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.attention_forward(context, call.views[0], call.views[1], call.views[2], call.views[3], call.views[4], call.optional(5), call.optional(6), call.numbers[0], call.numbers[1] != 0, call.numbers[2], call.philox[0]); }},
    {"attention_backward", true, 16, {{"dq", Role::place_, Arity::optional, 3, 1}, {"dk", Role::place_, Arity::optional, 3, 1}, {"dv", Role::place_, Arity::optional, 3, 1}, {"dmask", Role::out_, Arity::optional, 1, 0}, {"dy", Role::strided_, Arity::one, 3, 1}, {"q", Role::strided_, Arity::one, 3, 1}, {"k", Role::strided_, Arity::one, 3, 1}, {"v", Role::strided_, Arity::one, 3, 1}, {"out", Role::strided_, Arity::one, 3, 1}, {"logSumExp", Role::in_, Arity::one, 1, 0}, {"maskBool", Role::strided_, Arity::optional, 32, 0}, {"maskAdd", Role::strided_, Arity::optional, 1, 0}, {"scale", Role::number_, Arity::one, 0, 0}, {"causal", Role::flag_, Arity::one, 0, 0}, {"dropout", Role::number_, Arity::one, 0, 0}, {"random", Role::philox_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.attention_backward(context, call.optional(0), call.optional(1), call.optional(2), call.optional(3), call.views[4], call.views[5], call.views[6], call.views[7], call.views[8], call.views[9], call.optional(10), call.optional(11), call.numbers[0], call.numbers[1] != 0, call.numbers[2], call.philox[0]); }},
    {"random_uniform", false, 4, {{"out", Role::out_, Arity::one, 1, 1}, {"random", Role::philox_, Arity::one, 0, 0}, {"low", Role::number_, Arity::one, 0, 0}, {"high", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.random_uniform(context, call.views[0], call.philox[0], call.numbers[0], call.numbers[1]); }},
    {"random_normal", false, 4, {{"out", Role::out_, Arity::one, 1, 1}, {"random", Role::philox_, Arity::one, 0, 0}, {"mean", Role::number_, Arity::one, 0, 0}, {"std", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.random_normal(context, call.views[0], call.philox[0], call.numbers[0], call.numbers[1]); }},
    {"random_integers", false, 4, {{"out", Role::out_, Arity::one, 8, 0}, {"random", Role::philox_, Arity::one, 0, 0}, {"low", Role::integer_, Arity::one, 0, 0}, {"high", Role::integer_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.random_integers(context, call.views[0], call.philox[0], (int64_t)call.numbers[0], (int64_t)call.numbers[1]); }},
    {"dropout", false, 4, {{"out", Role::out_, Arity::one, 3, 1}, {"x", Role::strided_, Arity::one, 3, 1}, {"random", Role::philox_, Arity::one, 0, 0}, {"p", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.dropout(context, call.views[0], call.views[1], call.philox[0], call.numbers[0]); }},
    {"sgd", false, 11, {{"params", Role::inout_, Arity::list, 1, 1}, {"grads", Role::in_, Arity::list, 1, 1}, {"momentumBuffers", Role::inout_, Arity::list, 1, 1}, {"lr", Role::number_, Arity::one, 0, 0}, {"momentum", Role::number_, Arity::one, 0, 0}, {"dampening", Role::number_, Arity::one, 0, 0}, {"weightDecay", Role::number_, Arity::one, 0, 0}, {"nesterov", Role::flag_, Arity::one, 0, 0}, {"maximize", Role::flag_, Arity::one, 0, 0}, {"first", Role::flag_, Arity::one, 0, 0}, {"shadows", Role::inout_, Arity::list, 2, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.sgd(context, call.lists[0], call.lists[1], call.lists[2], call.numbers[0], call.numbers[1], call.numbers[2], call.numbers[3], call.numbers[4] != 0, call.numbers[5] != 0, call.numbers[6] != 0, call.lists[3]); }},
    {"adam", false, 14, {{"params", Role::inout_, Arity::list, 1, 1}, {"grads", Role::in_, Arity::list, 1, 1}, {"means", Role::inout_, Arity::list, 1, 1}, {"squares", Role::inout_, Arity::list, 1, 1}, {"maxSquares", Role::inout_, Arity::list, 1, 1}, {"lr", Role::number_, Arity::one, 0, 0}, {"beta1", Role::number_, Arity::one, 0, 0}, {"beta2", Role::number_, Arity::one, 0, 0}, {"eps", Role::number_, Arity::one, 0, 0}, {"weightDecay", Role::number_, Arity::one, 0, 0}, {"decoupled", Role::flag_, Arity::one, 0, 0}, {"maximize", Role::flag_, Arity::one, 0, 0}, {"step", Role::integer_, Arity::one, 0, 0}, {"shadows", Role::inout_, Arity::list, 2, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.adam(context, call.lists[0], call.lists[1], call.lists[2], call.lists[3], call.lists[4], call.numbers[0], call.numbers[1], call.numbers[2], call.numbers[3], call.numbers[4], call.numbers[5] != 0, call.numbers[6] != 0, (int64_t)call.numbers[7], call.lists[5]); }},
    {"total_norm", false, 3, {{"out", Role::out_, Arity::one, 1, 1}, {"tensors", Role::in_, Arity::list, 1, 1}, {"p", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.total_norm(context, call.views[0], call.lists[0], call.numbers[0]); }},
    {"clip_scale", false, 3, {{"tensors", Role::inout_, Arity::list, 1, 1}, {"norm", Role::in_, Arity::one, 1, 1}, {"maxNorm", Role::number_, Arity::one, 0, 0}},
     [](const KernelTable& table, Context& context, const Call& call) { table.clip_scale(context, call.lists[0], call.views[0], call.numbers[0]); }},
};
#endif  // FIRESTEEL_DECODER

#ifdef FIRESTEEL_TABLE
namespace FIRESTEEL_ISA {
extern const KernelTable table;
const KernelTable table = {
    add,
    sub,
    mul,
    div,
    maximum,
    minimum,
    pow,
    eq,
    ne,
    lt,
    le,
    gt,
    ge,
    affine,
    pow_scalar,
    clamp,
    clamp_backward,
    where,
    neg,
    abs,
    sign,
    square,
    exp,
    log,
    log1p,
    sqrt,
    rsqrt,
    reciprocal,
    sin,
    cos,
    tanh,
    erf,
    sigmoid,
    floor,
    relu,
    relu_backward,
    silu,
    silu_backward,
    mish,
    mish_backward,
    hardswish,
    hardswish_backward,
    gelu,
    gelu_backward,
    softplus,
    softplus_backward,
    elu,
    elu_backward,
    leaky_relu,
    leaky_relu_backward,
    sigmoid_backward,
    tanh_backward,
    copy,
    copy_into,
    accumulate,
    fill,
    arange,
    cat,
    sum,
    amax,
    amin,
    argmax,
    argmin,
    cumsum,
    index_select,
    index_add,
    gather,
    scatter_add,
    matmul,
    conv2d_forward,
    conv2d_input_gradient,
    conv2d_weight_gradient,
    max_pool2d_forward,
    max_pool2d_backward,
    avg_pool2d_forward,
    avg_pool2d_backward,
    batch_norm_forward,
    batch_norm_backward,
    layer_norm_forward,
    layer_norm_backward,
    softmax_forward,
    softmax_backward,
    log_softmax_forward,
    log_softmax_backward,
    cross_entropy_forward,
    cross_entropy_backward,
    lstm_forward,
    lstm_backward,
    attention_forward,
    attention_backward,
    random_uniform,
    random_normal,
    random_integers,
    dropout,
    sgd,
    adam,
    total_norm,
    clip_scale,
};
}  // namespace FIRESTEEL_ISA
#endif  // FIRESTEEL_TABLE

}  // namespace firesteel
