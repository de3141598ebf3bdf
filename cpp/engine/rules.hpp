// The update rules: every optimizer formula of the package, each once, and nothing else.
// A rule is plain data, the constants of one step, and `update`, which moves one element: `w` the
// parameter, `g` the gradient, then the rule's state in the order of its row in the table below.
// Weight decay and the gradient's scale and sign are the loop's business (kernels.cpp).
#pragma once

#include "engine/numeric.hpp"

namespace gradstep {

// The range of a hyperparameter.
enum class Range {
  nonnegative,         // finite, at least 0
  unit_interval,       // at least 0 and below 1: the weight of what was before
  nonnegative_or_inf,  // at least 0, infinity included
  finite,
};

// Hyperparameters, in the names of the papers: numbers with their ranges, and truth values. A rule
// reads the ones it knows.
#define GRADSTEP_NUMBERS(ROW)                                                             \
  ROW(lr, nonnegative)                                                                    \
  ROW(beta, unit_interval)                                                                \
  ROW(beta1, unit_interval)                                                               \
  ROW(beta2, unit_interval)                                                               \
  ROW(dampening, unit_interval)                                                           \
  ROW(momentum, unit_interval)                                                            \
  ROW(eps, nonnegative)      /* outside of the root: √(v + eps_root) + eps */             \
  ROW(eps_root, nonnegative) /* inside */                                                 \
  ROW(weight_decay, nonnegative)                                                          \
  ROW(lr_decay, nonnegative)       /* of Adagrad: α / (1 + lr_decay (t − 1)) */           \
  ROW(momentum_decay, nonnegative) /* of NAdam's factors */                               \
  ROW(threshold, nonnegative)      /* of RAdam: how long an average its variance needs */ \
  ROW(initial_v, nonnegative)      /* what v is filled with before the first step */

#define GRADSTEP_FLAGS(ROW)                                                             \
  ROW(bias_correction)                                                                  \
  ROW(maximize)  /* ascend: the gradient's sign is turned */                            \
  ROW(decoupled) /* weight decay shrinks the parameter and stays out of the gradient */ \
  /* What other packages do differently. */                                             \
  ROW(rate_in_buffer)  /* the buffer of momentum gathers α g, not g */                  \
  ROW(undamped_start)  /* the buffer of momentum starts as the first gradient */        \
  ROW(uncorrected_eps) /* eps is added to √v, not to √v̂ */                              \
  ROW(uncorrected_m)   /* bias correction, but not of m */                              \
  ROW(uncorrected_v)                                                                    \
  /* What a rule needs of its corrections besides. */                                   \
  ROW(looks_ahead) /* those of the next step */                                         \
  ROW(rectified)   /* the rectification */

struct Hyperparameters {
#define GRADSTEP_NUMBER(name, range) double name = 0;
#define GRADSTEP_FLAG(name) bool name = false;
  GRADSTEP_NUMBERS(GRADSTEP_NUMBER)
  GRADSTEP_FLAGS(GRADSTEP_FLAG)
#undef GRADSTEP_NUMBER
#undef GRADSTEP_FLAG
  double t = 1;  // the number of the step, from 1 on
  // 1 − βᵗ of each β where there is bias correction, and 1 where there is none.
  double correction = 1, correction1 = 1, correction2 = 1;
  double weights = 1;  // their sum in an average of momentum, this step's among them
  // NAdam's factors of momentum in this step and the next, and one minus their products up to each.
  double mu = 0, mu_next = 0, mu_correction = 1, mu_next_correction = 1;
  double rectification = 0;  // RAdam's; 0 where there is none yet
};

// Constants are computed in double and rounded once; 1 − β is exact in double for β ≥ ½.

// w := w − α g
template <class T>
struct SGD {
  T lr;
  GRADSTEP_INLINE explicit SGD(const Hyperparameters& h) : lr(T(h.lr)) {}
  GRADSTEP_INLINE void update(T& w, T g) const { w -= lr * g; }
};

// v := β v + (1−β) x. An average is a rule like any other: what is averaged stands for the
// gradient.
template <class T>
struct EWA {
  T beta, rest;
  GRADSTEP_INLINE explicit EWA(const Hyperparameters& h) : beta(T(h.beta)), rest(T(1 - h.beta)) {}
  GRADSTEP_INLINE void update(T& v, T x) const {
    v = flush_below(beta * v + rest * x, Floor<T>::normal);
  }
};

// What bias correction of Momentum divides by: the sum of the weights in the average after t steps.
static inline double momentum_weights(const Hyperparameters& h) {
  return (1 - h.dampening) * h.correction / (1 - h.beta);
}

// What the two forms of Momentum share.
template <class T>
struct MomentumConstants {
  T beta, rest, rate;
  GRADSTEP_INLINE MomentumConstants(const Hyperparameters& h, bool ahead) : beta(T(h.beta)) {
    const double kept = 1 - h.dampening;
    const double correction = !h.bias_correction ? 1.0
                              : ahead            ? h.beta * h.weights + kept
                                                 : h.weights;
    const double comes_in = h.undamped_start && h.t == 1 ? 1.0 : kept;
    rest = T(h.rate_in_buffer ? h.lr * comes_in : comes_in);
    rate = T(h.rate_in_buffer ? 1.0 : h.lr / correction);
  }
  GRADSTEP_INLINE T first_moment(T m, T g) const {
    return flush_below(beta * m + rest * g, Floor<T>::scaled);
  }
};

// m := β m + (1−d) g; w := w − α m. Dampening d = β makes m an average, d = 0 the heavy ball
// (Polyak 1964; Sutskever et al. 2013, section 2).
template <class T>
struct Momentum : MomentumConstants<T> {
  GRADSTEP_INLINE explicit Momentum(const Hyperparameters& h) : MomentumConstants<T>(h, false) {}
  GRADSTEP_INLINE void update(T& w, T g, T& m) const {
    m = this->first_moment(m, g);
    w -= this->rate * m;
  }
};

// m as above; w := w − α (β m + (1−d) g): the gradient counts a second time, as if looked ahead
// (Nesterov 1983, in the form of Sutskever et al. 2013, section 2).
template <class T>
struct Nesterov : MomentumConstants<T> {
  GRADSTEP_INLINE explicit Nesterov(const Hyperparameters& h) : MomentumConstants<T>(h, true) {}
  GRADSTEP_INLINE void update(T& w, T g, T& m) const {
    m = this->first_moment(m, g);
    w -= this->rate * (this->beta * m + this->rest * g);
  }
};

// What the forms of RMSprop share (Hinton, Coursera 2012, lecture 6e; centred: Graves 2013,
// section 4.2). Where v is bias-corrected, the quotient is multiplied out by √(1−βᵗ), as in Adam.
template <class T>
struct RMSpropConstants {
  T lr, beta, rest, momentum, scale, eps, eps_root, inverse, largest = Floor<T>::largest;
  GRADSTEP_INLINE explicit RMSpropConstants(const Hyperparameters& h)
      : lr(T(h.rate_in_buffer ? 1.0 : h.lr)),
        beta(T(h.beta)),
        rest(T(1 - h.beta)),
        momentum(T(h.momentum)),
        eps_root(positive<T>(h.eps_root * h.correction)),
        inverse(T(1 / h.correction)) {
    const double root = square_root(h.correction);
    scale = T(h.rate_in_buffer ? h.lr * root : root);
    eps = outer_eps<T>(h.eps * root, h.eps_root);
  }

  // v := β v + (1−β) g². Multiplied from the left, so that a square larger than the type can hold
  // still counts where its weighted part can.
  // The stored value is flushed below its floor; a root need not wait for that.
  GRADSTEP_INLINE T second_moment(T v, T g) const {
    return bounded(beta * v + (rest * g) * g, largest);
  }
  GRADSTEP_INLINE T mean(T m, T g) const {
    return flush_below(beta * m + rest * g, Floor<T>::squared);
  }
  GRADSTEP_INLINE T variance(T v, T m) const {
    const T difference = v - m * m * inverse;
    return difference < T(0) ? T(0) : difference;
  }
  GRADSTEP_INLINE T normalised(T g, T v) const {
    return scale * g / (square_root(v + eps_root) + eps);
  }
  GRADSTEP_INLINE T buffer(T b, T u) const {
    return flush_below(momentum * b + u, Floor<T>::scaled);
  }
};

// w := w − α g / (√(v + eps_root) + eps)
template <class T>
struct RMSprop : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v) const {
    const T moment = this->second_moment(v, g);
    v = flush_below(moment, Floor<T>::decaying);
    w -= this->lr * this->normalised(g, moment);
  }
};

// b := μ b + u; w := w − α b, with u the quotient above.
template <class T>
struct RMSpropMomentum : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v, T& b) const {
    const T moment = this->second_moment(v, g);
    v = flush_below(moment, Floor<T>::decaying);
    b = this->buffer(b, this->normalised(g, moment));
    w -= this->lr * b;
  }
};

// The buffer looks ahead as Nesterov does: w := w − α (μ b + u).
template <class T>
struct RMSpropNesterov : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v, T& b) const {
    const T moment = this->second_moment(v, g);
    v = flush_below(moment, Floor<T>::decaying);
    const T u = this->normalised(g, moment);
    b = this->buffer(b, u);
    w -= this->lr * (this->momentum * b + u);
  }
};

// max(v − m², 0), an estimate of the variance, stands for v.
template <class T>
struct CenteredRMSprop : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v, T& m) const {
    v = flush_below(this->second_moment(v, g), Floor<T>::decaying);
    m = this->mean(m, g);
    w -= this->lr * this->normalised(g, this->variance(v, m));
  }
};

template <class T>
struct CenteredRMSpropMomentum : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v, T& m, T& b) const {
    v = flush_below(this->second_moment(v, g), Floor<T>::decaying);
    m = this->mean(m, g);
    b = this->buffer(b, this->normalised(g, this->variance(v, m)));
    w -= this->lr * b;
  }
};

template <class T>
struct CenteredRMSpropNesterov : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v, T& m, T& b) const {
    v = flush_below(this->second_moment(v, g), Floor<T>::decaying);
    m = this->mean(m, g);
    const T u = this->normalised(g, this->variance(v, m));
    b = this->buffer(b, u);
    w -= this->lr * (this->momentum * b + u);
  }
};

// What Adam and its kin share (Kingma & Ba 2015, algorithm 1).
//
//   w := w − α m̂ / (√(v̂ + eps_root) + eps),   m̂ = m/(1−β₁ᵗ),   v̂ = v/(1−β₂ᵗ)
//
// With c = 1−β₂ᵗ the quotient is multiplied out by √c (the end of the paper's section 2), so that v
// itself stands under the root: one operation less, and nothing that could overflow.
template <class T>
struct AdamConstants {
  T beta1, rest1, beta2, rest2, rate, eps, eps_root, largest = Floor<T>::largest;
  GRADSTEP_INLINE explicit AdamConstants(const Hyperparameters& h)
      : beta1(T(h.beta1)), rest1(T(1 - h.beta1)), beta2(T(h.beta2)), rest2(T(1 - h.beta2)) {
    const double root = square_root(h.correction2);
    rate = T(h.lr * root / h.correction1);
    eps = outer_eps<T>(h.uncorrected_eps ? h.eps : h.eps * root, h.eps_root);
    eps_root = positive<T>(h.eps_root * h.correction2);
  }
  GRADSTEP_INLINE T first_moment(T m, T g) const {
    return flush_below(beta1 * m + rest1 * g, Floor<T>::scaled);
  }
  // The stored value is flushed below its floor; a root need not wait for that.
  GRADSTEP_INLINE T second_moment(T v, T g) const {
    return bounded(beta2 * v + (rest2 * g) * g, largest);
  }
  GRADSTEP_INLINE T root(T v) const { return square_root(v + eps_root) + eps; }
  GRADSTEP_INLINE T change(T m, T v) const { return (rate * m) / root(v); }
};

template <class T>
struct Adam : AdamConstants<T> {
  using AdamConstants<T>::AdamConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& m, T& v) const {
    m = this->first_moment(m, g);
    const T moment = this->second_moment(v, g);
    v = flush_below(moment, Floor<T>::decaying);
    w -= this->change(m, moment);
  }
};

// v_max := max(v_max, v) stands for v (Reddi, Kale & Kumar 2018, algorithm 2, corrected as v is).
template <class T>
struct AMSGrad : AdamConstants<T> {
  using AdamConstants<T>::AdamConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& m, T& v, T& v_max) const {
    m = this->first_moment(m, g);
    v = flush_below(this->second_moment(v, g), Floor<T>::decaying);
    v_max = v_max >= v ? v_max : v;  // a NaN in v passes
    w -= this->change(m, v_max);
  }
};

// The maximum is taken of v̂, so that it never shrinks (as optax has it).
template <class T>
struct AMSGradOfCorrected : AdamConstants<T> {
  T inverse;
  GRADSTEP_INLINE explicit AMSGradOfCorrected(const Hyperparameters& h)
      : AdamConstants<T>(h), inverse(T(1 / h.correction2)) {
    this->rate = T(h.lr / h.correction1);
    this->eps = outer_eps<T>(h.eps, h.eps_root);
    this->eps_root = positive<T>(h.eps_root);
  }
  GRADSTEP_INLINE void update(T& w, T g, T& m, T& v, T& v_max) const {
    m = this->first_moment(m, g);
    v = flush_below(this->second_moment(v, g), Floor<T>::decaying);
    const T corrected = bounded(v * inverse, this->largest);
    v_max = v_max >= corrected ? v_max : corrected;
    w -= this->change(m, v_max);
  }
};

// The factor of momentum of step t; `left` is 0.96 to the power of t ψ (Dozat 2016, section 3, with
// the schedule of Sutskever et al. 2013 in its form).
static inline double nadam_factor(double beta1, double left) { return beta1 * (1 - 0.5 * left); }

// m̂ = μ' m / (1 − ∏μ μ') + (1−μ) g / (1 − ∏μ), with μ the factor of this step and μ' the next one's
// (Dozat 2016, algorithm 2). The rest as Adam.
template <class T>
struct NAdam : AdamConstants<T> {
  T rate_now;
  GRADSTEP_INLINE explicit NAdam(const Hyperparameters& h) : AdamConstants<T>(h) {
    const double rate = h.lr * square_root(h.correction2);
    this->rate = T(rate * h.mu_next / h.mu_next_correction);
    rate_now = T(rate * (1 - h.mu) / h.mu_correction);
  }
  GRADSTEP_INLINE void update(T& w, T g, T& m, T& v) const {
    m = this->first_moment(m, g);
    const T moment = this->second_moment(v, g);
    v = flush_below(moment, Floor<T>::decaying);
    w -= (this->rate * m + rate_now * g) / this->root(moment);
  }
};

// Adam's step times r, and plain momentum, α m̂, as long as there is no r (Liu et al. 2020,
// algorithm 2): then the root counts nothing and ε is 1.
template <class T>
struct RectifiedConstants : AdamConstants<T> {
  T slope;
  double factor;
  GRADSTEP_INLINE explicit RectifiedConstants(const Hyperparameters& h) : AdamConstants<T>(h) {
    const bool has = h.rectification > 0;
    slope = T(has ? 1 : 0);
    if (!has) this->eps = T(1);
    factor = has ? h.lr * h.rectification * square_root(h.correction2) : h.lr;
    this->rate = T(factor / h.correction1);
  }
  GRADSTEP_INLINE T root(T v) const { return slope * square_root(v + this->eps_root) + this->eps; }
};

template <class T>
struct RAdam : RectifiedConstants<T> {
  using RectifiedConstants<T>::RectifiedConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& m, T& v) const {
    m = this->first_moment(m, g);
    const T moment = this->second_moment(v, g);
    v = flush_below(moment, Floor<T>::decaying);
    w -= this->rate * m / this->root(moment);
  }
};

// m̂ as NAdam has it (as optax has it).
template <class T>
struct RAdamNesterov : RectifiedConstants<T> {
  T rate_now;
  GRADSTEP_INLINE explicit RAdamNesterov(const Hyperparameters& h) : RectifiedConstants<T>(h) {
    this->rate = T(this->factor * h.mu_next / h.mu_next_correction);
    rate_now = T(this->factor * (1 - h.mu) / h.mu_correction);
  }
  GRADSTEP_INLINE void update(T& w, T g, T& m, T& v) const {
    m = this->first_moment(m, g);
    const T moment = this->second_moment(v, g);
    v = flush_below(moment, Floor<T>::decaying);
    w -= (this->rate * m + rate_now * g) / this->root(moment);
  }
};

// u := max(β₂ u, |g| + ε); w := w − α m̂ / (u + eps): the norm of infinite order stands for the root
// (Kingma & Ba 2015, section 7.1, algorithm 2). The ε within the maximum is eps_root.
template <class T>
struct Adamax {
  T beta1, rest1, beta2, rate, eps, eps_root;
  GRADSTEP_INLINE explicit Adamax(const Hyperparameters& h)
      : beta1(T(h.beta1)),
        rest1(T(1 - h.beta1)),
        beta2(T(h.beta2)),
        rate(T(h.lr / h.correction1)),
        eps(outer_eps<T>(h.eps, h.eps_root)),
        eps_root(positive<T>(h.eps_root)) {}
  GRADSTEP_INLINE void update(T& w, T g, T& m, T& u) const {
    m = flush_below(beta1 * m + rest1 * g, Floor<T>::scaled);
    const T kept = beta2 * u, new_one = magnitude(g) + eps_root;
    u = flush_below(kept >= new_one ? kept : new_one, Floor<T>::decaying);  // a NaN in g passes
    w -= rate * m / (u + eps);
  }
};

// v := v + g²; w := w − α g / (√(v + eps_root) + eps) (Duchi, Hazan & Singer 2011, section 1.1, the
// diagonal form), with α / (1 + lr_decay (t−1)) for α.
template <class T>
struct Adagrad {
  T rate, eps, eps_root, largest = Floor<T>::largest;
  GRADSTEP_INLINE explicit Adagrad(const Hyperparameters& h)
      : rate(T(h.lr / (1 + (h.t - 1) * h.lr_decay))),
        eps(outer_eps<T>(h.eps, h.eps_root)),
        eps_root(positive<T>(h.eps_root)) {}
  GRADSTEP_INLINE void update(T& w, T g, T& v) const {
    v = flush_below(bounded(v + g * g, largest), Floor<T>::normal);
    w -= rate * (g / (square_root(v + eps_root) + eps));
  }
};

// v := ρ v + (1−ρ) g²; u = √(d + ε) / √(v + ε) g; d := ρ d + (1−ρ) u²; w := w − α u, with d what
// the updates' squares were (Zeiler 2012, algorithm 1). ρ is beta.
template <class T>
struct Adadelta {
  T lr, beta, rest, eps, eps_root, largest = Floor<T>::largest;
  GRADSTEP_INLINE explicit Adadelta(const Hyperparameters& h)
      : lr(T(h.lr)),
        beta(T(h.beta)),
        rest(T(1 - h.beta)),
        eps(outer_eps<T>(0, h.eps_root)),
        eps_root(positive<T>(h.eps_root)) {}
  GRADSTEP_INLINE T second_moment(T v, T g) const {
    return bounded(beta * v + (rest * g) * g, largest);
  }
  GRADSTEP_INLINE void update(T& w, T g, T& v, T& d) const {
    const T moment = second_moment(v, g);
    v = flush_below(moment, Floor<T>::decaying);
    const T u = square_root(d + eps_root) / (square_root(moment + eps_root) + eps) * g;
    d = flush_below(second_moment(d, u), Floor<T>::decaying);
    w -= lr * u;
  }
};

// w := w − α sign(β₁ m + (1−β₁) g); m := β₂ m + (1−β₂) g (Chen et al. 2023, algorithm 2).
template <class T>
struct Lion {
  T lr, beta1, rest1, beta2, rest2;
  GRADSTEP_INLINE explicit Lion(const Hyperparameters& h)
      : lr(T(h.lr)),
        beta1(T(h.beta1)),
        rest1(T(1 - h.beta1)),
        beta2(T(h.beta2)),
        rest2(T(1 - h.beta2)) {}
  GRADSTEP_INLINE void update(T& w, T g, T& m) const {
    const T direction = beta1 * m + rest1 * g;
    w -= lr * (direction > T(0) ? T(1) : direction < T(0) ? T(-1) : direction);  // NaN passes
    m = flush_below(beta2 * m + rest2 * g, Floor<T>::scaled);
  }
};

// The table: a name, the rule, its state in the order of the arguments of `update`.
#define GRADSTEP_RULES(ROW)                                                \
  ROW("sgd", SGD)                                                          \
  ROW("ewa", EWA)                                                          \
  ROW("momentum", Momentum, "m")                                           \
  ROW("nesterov", Nesterov, "m")                                           \
  ROW("rmsprop", RMSprop, "v")                                             \
  ROW("rmsprop_momentum", RMSpropMomentum, "v", "b")                       \
  ROW("rmsprop_nesterov", RMSpropNesterov, "v", "b")                       \
  ROW("rmsprop_centered", CenteredRMSprop, "v", "m")                       \
  ROW("rmsprop_centered_momentum", CenteredRMSpropMomentum, "v", "m", "b") \
  ROW("rmsprop_centered_nesterov", CenteredRMSpropNesterov, "v", "m", "b") \
  ROW("adam", Adam, "m", "v")                                              \
  ROW("amsgrad", AMSGrad, "m", "v", "v_max")                               \
  ROW("amsgrad_of_corrected", AMSGradOfCorrected, "m", "v", "v_max")       \
  ROW("nadam", NAdam, "m", "v")                                            \
  ROW("radam", RAdam, "m", "v")                                            \
  ROW("radam_nesterov", RAdamNesterov, "m", "v")                           \
  ROW("adamax", Adamax, "m", "u")                                          \
  ROW("adagrad", Adagrad, "v")                                             \
  ROW("adadelta", Adadelta, "v", "d")                                      \
  ROW("lion", Lion, "m")

}  // namespace gradstep
