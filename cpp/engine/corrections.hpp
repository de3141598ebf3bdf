// What a step's constants need besides hyperparameters: the bias corrections 1 − βᵗ, or 1 − ∏β
// where β follows a schedule; NAdam's factors; RAdam's rectification. The products are stored from
// step to step, the only state of a group that is not in arrays. Formulas are in rules.hpp, powers
// in powers.hpp.
#pragma once

#include <array>
#include <cstdint>

#include "engine/powers.hpp"
#include "engine/rules.hpp"

namespace gradstep {

class Corrections {
 public:
  // A product may be stored of each β and of NAdam's factors of momentum; and the sum of Momentum's
  // weights.
  enum Kind { of_beta, of_beta1, of_beta2, of_mu, of_weights, kinds };
  static constexpr const char* names[kinds] = {"beta", "beta1", "beta2", "mu", "weights"};
  // Over the steps taken, where it is stored.
  struct Product {
    bool stored = false;
    DoubleDouble value{1.0, 0.0};
  };
  using Products = std::array<Product, kinds>;

  Products products;

  Corrections() { products[of_weights].value = {0.0, 0.0}; }

  // Sets in `h` what step `t` is corrected with; t counts from 1.
  void prepare(Hyperparameters& h, std::int64_t t) {
    h.t = static_cast<double>(t);
    prepared_ = false;
    // A stored product goes on also where nothing is corrected, since that may change.
    if (!h.bias_correction && !stores_any()) return;
    const DoubleDouble power0 = power(of_beta, h.beta, t);
    const DoubleDouble power1 = power(of_beta1, h.beta1, t), power2 = power(of_beta2, h.beta2, t);
    const double weights = h.beta * products[of_weights].value.high + (1 - h.dampening);
    next_[of_weights] = {weights, 0.0};
    prepared_ = true;
    if (!h.bias_correction) return;
    h.correction = complement(power0).high;
    h.weights = products[of_weights].stored ? weights : momentum_weights(h);
    if (!h.uncorrected_m) h.correction1 = complement(power1).high;
    if (!h.uncorrected_v) h.correction2 = complement(power2).high;
    if (h.looks_ahead) look_ahead(h, power1, t);
    if (h.rectified) h.rectification = rectification(h, power2, t);
  }

  // The step that was prepared for has been taken.
  void commit() noexcept {
    if (!prepared_) return;
    for (int kind = 0; kind < kinds; ++kind) products[kind].value = next_[kind];
    prepared_ = false;
  }

 private:
  bool stores_any() const {
    for (const Product& product : products) {
      if (product.stored) return true;
    }
    return false;
  }

  // β to the power of t, or the product of what β was in t steps.
  DoubleDouble power(Kind kind, double beta, std::int64_t t) {
    if (!products[kind].stored) return powers_[kind].power(beta, t);
    return next_[kind] = multiply(products[kind].value, {beta, 0.0});
  }

  // μ is β₁ in every step where no product of it is stored.
  void look_ahead(Hyperparameters& h, DoubleDouble product, std::int64_t t) {
    h.mu = h.mu_next = h.beta1;
    if (products[of_mu].stored) {
      h.mu = nadam_factor(h.beta1, power_of_0_96(h.momentum_decay * static_cast<double>(t)));
      h.mu_next =
          nadam_factor(h.beta1, power_of_0_96(h.momentum_decay * static_cast<double>(t + 1)));
      // Rounded, so that a caller who keeps the product in one number takes the same steps.
      product = {multiply(products[of_mu].value, {h.mu, 0.0}).high, 0.0};
      next_[of_mu] = product;
    }
    h.mu_correction = complement(product).high;
    h.mu_next_correction = complement(multiply(product, {h.mu_next, 0.0})).high;
  }

  // r of t steps, or 0 where the variance is not tractable yet (Liu et al. 2020, algorithm 2).
  static double rectification(const Hyperparameters& h, DoubleDouble power2, std::int64_t t) {
    const double rest = 1 - h.beta2, steps = static_cast<double>(t);
    const double longest = 2 / rest - 1;
    const DoubleDouble correction = complement(power2);
    // ρ = ρ∞ − 2 t β₂ᵗ / (1−β₂ᵗ). At first both are large and nearly equal, so their difference is
    // taken before it is divided: with q = 1−β₂, it is 2 ((1−β₂ᵗ) − t q) / (q (1−β₂ᵗ)) + 2 t − 1.
    double length = longest - 2 * steps * power2.high / correction.high;
    if (power2.high > 0.5) {
      const DoubleDouble weight = exact_product(steps, rest);
      const DoubleDouble missing = add(correction, {-weight.high, -weight.low});
      length = 2 * (missing.high / (rest * correction.high)) + 2 * steps - 1;
    }
    if (!(length > h.threshold) || !(length > 4)) return 0;
    return square_root(((length - 4) / (longest - 4)) * ((length - 2) / (longest - 2)) *
                       (longest / length));
  }

  std::array<Powers, of_mu> powers_;
  std::array<DoubleDouble, kinds> next_{};  // the products after the step that is prepared
  bool prepared_ = false;
};

}  // namespace gradstep
