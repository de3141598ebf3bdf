// The update rules: every optimizer formula of the package, each once, and nothing else.
// A rule is plain data, the constants of one step, and `update`, which moves one element: `w` the
// parameter, `g` the gradient, then the rule's state in the order of its row in the table below.
// Weight decay and the gradient's scale and sign are the loop's business (kernels.cpp).
#pragma once

#include "numeric.hpp"

namespace gradstep {

// What a step is told, in the names of the papers. A rule reads the ones it knows.
struct Hyperparameters {
  double lr = 0, beta = 0, beta1 = 0, beta2 = 0, dampening = 0, momentum = 0;
  double eps = 0, eps_root = 0;  // outside and inside of the root: √(v + eps_root) + eps
  double weight_decay = 0;
  bool bias_correction = false;
  // 1 − βᵗ of each β where there is bias correction, and 1 where there is none.
  double correction = 1, correction1 = 1, correction2 = 1;
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
    v = settle(beta * v + rest * x, Floor<T>::normal);
  }
};

// The sum of the weights in a momentum average after t steps: what bias correction divides by.
static inline double momentum_weight(const Hyperparameters& h) {
  return (1 - h.dampening) * h.correction / (1 - h.beta);
}

// m := β m + (1−d) g; w := w − α m. Dampening d = β makes m an average, d = 0 the heavy ball
// (Polyak 1964; Sutskever et al. 2013, section 2).
template <class T>
struct Momentum {
  T beta, rest, rate;
  GRADSTEP_INLINE explicit Momentum(const Hyperparameters& h)
      : beta(T(h.beta)),
        rest(T(1 - h.dampening)),
        rate(T(h.lr / (h.bias_correction ? momentum_weight(h) : 1.0))) {}
  GRADSTEP_INLINE void update(T& w, T g, T& m) const {
    m = settle(beta * m + rest * g, Floor<T>::scaled);
    w -= rate * m;
  }
};

// m as above; w := w − α (β m + (1−d) g): the gradient counts a second time, as if looked ahead
// (Nesterov 1983, in the form of Sutskever et al. 2013, section 2).
template <class T>
struct Nesterov {
  T beta, rest, rate;
  GRADSTEP_INLINE explicit Nesterov(const Hyperparameters& h)
      : beta(T(h.beta)),
        rest(T(1 - h.dampening)),
        rate(
            T(h.lr / (h.bias_correction ? h.beta * momentum_weight(h) + (1 - h.dampening) : 1.0))) {
  }
  GRADSTEP_INLINE void update(T& w, T g, T& m) const {
    m = settle(beta * m + rest * g, Floor<T>::scaled);
    w -= rate * (beta * m + rest * g);
  }
};

// What the four forms of RMSprop share (Hinton, Coursera 2012, lecture 6e; centred: Graves 2013,
// section 4.2).
template <class T>
struct RMSpropConstants {
  T lr, beta, rest, momentum, eps, eps_root, largest = Floor<T>::largest;
  GRADSTEP_INLINE explicit RMSpropConstants(const Hyperparameters& h)
      : lr(T(h.lr)),
        beta(T(h.beta)),
        rest(T(1 - h.beta)),
        momentum(T(h.momentum)),
        eps(positive<T>(h.eps)),
        eps_root(positive<T>(h.eps_root)) {}

  // v := β v + (1−β) g². Multiplied from the left, so that a square larger than the type can hold
  // still counts where its weighted part can.
  // What is stored is settled; a root need not wait for that.
  GRADSTEP_INLINE T second_moment(T v, T g) const {
    return bounded(beta * v + (rest * g) * g, largest);
  }
  GRADSTEP_INLINE T mean(T m, T g) const { return settle(beta * m + rest * g, Floor<T>::squared); }
  static GRADSTEP_INLINE T variance(T v, T m) {
    const T difference = v - m * m;
    return difference < T(0) ? T(0) : difference;
  }
  GRADSTEP_INLINE T normalised(T g, T v) const { return g / (square_root(v + eps_root) + eps); }
  GRADSTEP_INLINE T buffer(T b, T u) const { return settle(momentum * b + u, Floor<T>::scaled); }
};

// w := w − α g / (√(v + eps_root) + eps)
template <class T>
struct RMSprop : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v) const {
    const T moment = this->second_moment(v, g);
    v = settle(moment, Floor<T>::decaying);
    w -= this->lr * this->normalised(g, moment);
  }
};

// b := μ b + u; w := w − α b, with u the quotient above.
template <class T>
struct RMSpropMomentum : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v, T& b) const {
    const T moment = this->second_moment(v, g);
    v = settle(moment, Floor<T>::decaying);
    b = this->buffer(b, this->normalised(g, moment));
    w -= this->lr * b;
  }
};

// max(v − m², 0), an estimate of the variance, stands for v.
template <class T>
struct CenteredRMSprop : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v, T& m) const {
    v = settle(this->second_moment(v, g), Floor<T>::decaying);
    m = this->mean(m, g);
    w -= this->lr * this->normalised(g, this->variance(v, m));
  }
};

template <class T>
struct CenteredRMSpropMomentum : RMSpropConstants<T> {
  using RMSpropConstants<T>::RMSpropConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& v, T& m, T& b) const {
    v = settle(this->second_moment(v, g), Floor<T>::decaying);
    m = this->mean(m, g);
    b = this->buffer(b, this->normalised(g, this->variance(v, m)));
    w -= this->lr * b;
  }
};

// What the two forms of Adam share (Kingma & Ba 2015, algorithm 1).
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
    eps = positive<T>(h.eps * root);
    eps_root = positive<T>(h.eps_root * h.correction2);
  }
  GRADSTEP_INLINE T first_moment(T m, T g) const {
    return settle(beta1 * m + rest1 * g, Floor<T>::scaled);
  }
  // What is stored is settled; a root need not wait for that.
  GRADSTEP_INLINE T second_moment(T v, T g) const {
    return bounded(beta2 * v + (rest2 * g) * g, largest);
  }
  GRADSTEP_INLINE T change(T m, T v) const {
    return (rate * m) / (square_root(v + eps_root) + eps);
  }
};

template <class T>
struct Adam : AdamConstants<T> {
  using AdamConstants<T>::AdamConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& m, T& v) const {
    m = this->first_moment(m, g);
    const T moment = this->second_moment(v, g);
    v = settle(moment, Floor<T>::decaying);
    w -= this->change(m, moment);
  }
};

// v_max := max(v_max, v) stands for v (Reddi, Kale & Kumar 2018, algorithm 2, corrected as v is).
template <class T>
struct AMSGrad : AdamConstants<T> {
  using AdamConstants<T>::AdamConstants;
  GRADSTEP_INLINE void update(T& w, T g, T& m, T& v, T& v_max) const {
    m = this->first_moment(m, g);
    v = settle(this->second_moment(v, g), Floor<T>::decaying);
    v_max = v_max >= v ? v_max : v;  // a NaN in v passes
    w -= this->change(m, v_max);
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
  ROW("rmsprop_centered", CenteredRMSprop, "v", "m")                       \
  ROW("rmsprop_centered_momentum", CenteredRMSpropMomentum, "v", "m", "b") \
  ROW("adam", Adam, "m", "v")                                              \
  ROW("amsgrad", AMSGrad, "m", "v", "v_max")

}  // namespace gradstep
