// The work between the products of a decoder, forward and backward.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "elementwise.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "exponential-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// One vector from each input, one to each output: what follows the last whole vector goes through the same
// arithmetic, between zeros.
template <size_t kInputs, size_t kOutputs, class Body>
HWY_INLINE void Map(const float *const (&inputs)[kInputs], float *const (&outputs)[kOutputs], size_t count,
                    const Body &body) {
  const F32 d;
  Vector x[kInputs], y[kOutputs];
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    for (size_t k = 0; k < kInputs; ++k) x[k] = hn::LoadU(d, inputs[k] + i);
    body(x, y);
    for (size_t k = 0; k < kOutputs; ++k) hn::StoreU(y[k], d, outputs[k] + i);
  }
  if (i == count) return;
  HWY_ALIGN float rest[kVector];
  for (size_t k = 0; k < kInputs; ++k) {
    hn::Store(hn::Zero(d), d, rest);
    std::memcpy(rest, inputs[k] + i, (count - i) * sizeof(float));
    x[k] = hn::Load(d, rest);
  }
  body(x, y);
  for (size_t k = 0; k < kOutputs; ++k) {
    hn::Store(y[k], d, rest);
    std::memcpy(outputs[k] + i, rest, (count - i) * sizeof(float));
  }
}

// Vectors of a row whose end is padded with zeros.
struct Row {
  const float *from;
  size_t width;

  HWY_INLINE Vector operator[](size_t i) const {
    const F32 d;
    if (HWY_LIKELY(i + kVector <= width)) return hn::LoadU(d, from + i);
    HWY_ALIGN float rest[kVector];
    hn::Store(hn::Zero(d), d, rest);
    std::memcpy(rest, from + i, (width - i) * sizeof(float));
    return hn::Load(d, rest);
  }
};

HWY_INLINE void StoreRow(Vector v, size_t i, size_t width, float *to) {
  const F32 d;
  if (HWY_LIKELY(i + kVector <= width)) return hn::StoreU(v, d, to + i);
  HWY_ALIGN float rest[kVector];
  hn::Store(v, d, rest);
  std::memcpy(to + i, rest, (width - i) * sizeof(float));
}

void Add(const float *left, const float *right, float *sums, size_t count) {
  Map<2, 1>({left, right}, {sums}, count,
            [](const Vector(&x)[2], Vector(&y)[1]) HWY_ATTR { y[0] = hn::Add(x[0], x[1]); });
}

void Scale(const float *elements, float factor, float *products, size_t count) {
  const auto factors = hn::Set(F32(), factor);
  Map<1, 1>({elements}, {products}, count, [factors](const Vector(&x)[1], Vector(&y)[1]) HWY_ATTR {
    y[0] = hn::Mul(factors, x[0]);
  });
}

float Dot(const float *left, const float *right, size_t count) {
  const F32 d;
  const Row a{left, count}, b{right, count};
  auto even = hn::Zero(d), odd = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * kVector <= count; i += 2 * kVector) {
    even = hn::MulAdd(hn::LoadU(d, left + i), hn::LoadU(d, right + i), even);
    odd = hn::MulAdd(hn::LoadU(d, left + i + kVector), hn::LoadU(d, right + i + kVector), odd);
  }
  for (; i < count; i += kVector) even = hn::MulAdd(a[i], b[i], even);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
}

void RoundBF16(const float *elements, float *rounded, size_t count) {
  Map<1, 1>({elements}, {rounded}, count, [](const Vector(&x)[1], Vector(&y)[1]) HWY_ATTR {
    const U32 du;
    const auto bits = hn::BitCast(du, x[0]);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto nearest = hn::Add(hn::Add(bits, hn::Set(du, 0x7FFF)), odd);
    const auto quiet = hn::Or(bits, hn::Set(du, 0x400000));
    const auto isNaN = hn::Gt(hn::And(bits, hn::Set(du, 0x7FFFFFFF)), hn::Set(du, 0x7F800000));
    y[0] = hn::BitCast(F32(), hn::And(hn::IfThenElse(isNaN, quiet, nearest), hn::Set(du, 0xFFFF0000)));
  });
}

// 1 / √(mean of squares + epsilon)
HWY_INLINE float InverseRootMeanSquare(const float *row, size_t width, float epsilon) {
  return 1.0f / std::sqrt(Dot(row, row, width) / static_cast<float>(width) + epsilon);
}

void RMSNorm(const float *input, const float *weight, float epsilon, size_t rows, size_t width,
             float *output) {
  const F32 d;
  for (size_t row = 0; row < rows; ++row, input += width, output += width) {
    const auto scale = hn::Set(d, InverseRootMeanSquare(input, width, epsilon));
    Map<2, 1>({input, weight}, {output}, width, [scale](const Vector(&x)[2], Vector(&y)[1]) HWY_ATTR {
      y[0] = hn::Mul(hn::Mul(x[0], scale), x[1]);
    });
  }
}

// sums[0 …] += the lanes of v, in f64; up to the next multiple of kVector.
HWY_INLINE void AddLanes(Vector v, double *sums) {
  const hn::Half<F32> half;
  const hn::Rebind<double, decltype(half)> wide;
  constexpr size_t kHalf = kVector / 2;
  const auto lower = hn::PromoteTo(wide, hn::LowerHalf(half, v));
  const auto upper = hn::PromoteTo(wide, hn::UpperHalf(half, v));
  hn::StoreU(hn::Add(hn::LoadU(wide, sums), lower), wide, sums);
  hn::StoreU(hn::Add(hn::LoadU(wide, sums + kHalf), upper), wide, sums + kHalf);
}

void RMSNormBackward(const float *input, const float *weight, const float *dOutput, float epsilon,
                     size_t rows, size_t width, float *dInput, double *dWeight) {
  const F32 d;
  const Row w{weight, width};
  for (size_t row = 0; row < rows; ++row, input += width, dOutput += width, dInput += width) {
    const Row x{input, width}, dy{dOutput, width}, dx{dInput, width};
    const float scale = InverseRootMeanSquare(input, width, epsilon);
    const auto scales = hn::Set(d, scale);
    auto inner = hn::Zero(d);
    for (size_t i = 0; i < width; i += kVector) {
      const auto pulled = hn::Mul(dy[i], x[i]);
      inner = hn::MulAdd(pulled, w[i], inner);
      const auto term = hn::Mul(pulled, scales);
      if (HWY_LIKELY(i + kVector <= width)) {
        AddLanes(term, dWeight + i);
      } else {
        double sums[kVector] = {};
        std::memcpy(sums, dWeight + i, (width - i) * sizeof(double));
        AddLanes(term, sums);
        std::memcpy(dWeight + i, sums, (width - i) * sizeof(double));
      }
    }
    const float mean = hn::GetLane(hn::SumOfLanes(d, inner)) / static_cast<float>(width);
    const auto pull = hn::Set(d, scale * scale * scale * mean);
    for (size_t i = 0; i < width; i += kVector) {
      const auto direct = hn::MulAdd(hn::Mul(scales, dy[i]), w[i], dx[i]);
      StoreRow(hn::NegMulAdd(pull, x[i], direct), i, width, dInput);
    }
  }
}

// 1 / (1 + exp(−x)), from the exponential of −|x|.
HWY_INLINE Vector Sigmoid(Vector x) {
  const F32 d;
  const auto one = hn::Set(d, 1.0f);
  const auto power = FastExponentials(hn::Neg(hn::Abs(x)));
  const auto numerator = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), power, one);
  return hn::Div(numerator, hn::Add(one, power));
}

void SwiGLU(const float *gate, const float *up, float *output, size_t count) {
  Map<2, 1>({gate, up}, {output}, count, [](const Vector(&x)[2], Vector(&y)[1]) HWY_ATTR {
    y[0] = hn::Mul(hn::Mul(x[0], Sigmoid(x[0])), x[1]);
  });
}

void SwiGLUBackward(const float *gate, const float *up, const float *dOutput, float *dGate, float *dUp,
                    size_t count) {
  Map<3, 2>({gate, up, dOutput}, {dGate, dUp}, count, [](const Vector(&x)[3], Vector(&y)[2]) HWY_ATTR {
    const auto one = hn::Set(F32(), 1.0f);
    const auto sigmoid = Sigmoid(x[0]);
    const auto share = hn::Mul(x[2], sigmoid);
    y[0] = hn::Mul(hn::Mul(share, x[1]), hn::MulAdd(x[0], hn::Sub(one, sigmoid), one));
    y[1] = hn::Mul(share, x[0]);
  });
}

void Rotate(float *heads, size_t count, size_t pairs, const float *cosines, const float *sines, float sign) {
  const F32 d;
  const auto signs = hn::Set(d, sign);
  for (size_t head = 0; head < count; ++head, heads += 2 * pairs) {
    float *first = heads, *second = heads + pairs;
    Map<4, 2>({first, second, cosines, sines}, {first, second}, pairs,
              [signs](const Vector(&x)[4], Vector(&y)[2]) HWY_ATTR {
                const auto sine = hn::Mul(signs, x[3]);
                y[0] = hn::NegMulAdd(x[1], sine, hn::Mul(x[0], x[2]));
                y[1] = hn::MulAdd(x[0], sine, hn::Mul(x[1], x[2]));
              });
  }
}

double ExponentialSum(const float *logits, size_t count, float *peak) {
  const F32 d;
  auto most = hn::Set(d, *peak);
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) most = hn::Max(most, hn::LoadU(d, logits + i));
  float largest = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; i < count; ++i) largest = logits[i] > largest ? logits[i] : largest;
  *peak = largest;
  const auto peaks = hn::Set(d, largest);
  double sums[kVector] = {};
  for (i = 0; i + kVector <= count; i += kVector) {
    AddLanes(FastExponentials(hn::Sub(hn::LoadU(d, logits + i), peaks)), sums);
  }
  if (i < count) {
    HWY_ALIGN float rest[kVector];
    hn::Store(FastExponentials(hn::Sub(Row{logits, count}[i], peaks)), d, rest);
    for (size_t lane = 0; lane < count - i; ++lane) sums[lane] += static_cast<double>(rest[lane]);
  }
  double sum = 0;
  for (double lane : sums) sum += lane;
  return sum;
}

void Probabilities(float *logits, size_t count, double logSumExp, float scale) {
  const F32 d;
  // In two parts, so that the difference is as good as one in f64.
  const float upper = static_cast<float>(logSumExp);
  const auto uppers = hn::Set(d, upper);
  const auto lowers = hn::Set(d, static_cast<float>(logSumExp - static_cast<double>(upper)));
  const auto scales = hn::Set(d, scale);
  Map<1, 1>({logits}, {logits}, count, [=](const Vector(&x)[1], Vector(&y)[1]) HWY_ATTR {
    const auto difference = hn::Sub(hn::Sub(x[0], uppers), lowers);
    y[0] = hn::Mul(scales, FastExponentials(hn::Min(difference, hn::Zero(F32()))));
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(Add);
HWY_EXPORT(Scale);
HWY_EXPORT(Dot);
HWY_EXPORT(RoundBF16);
HWY_EXPORT(RMSNorm);
HWY_EXPORT(RMSNormBackward);
HWY_EXPORT(SwiGLU);
HWY_EXPORT(SwiGLUBackward);
HWY_EXPORT(Rotate);
HWY_EXPORT(ExponentialSum);
HWY_EXPORT(Probabilities);
}  // namespace lagoon

extern "C" {

using namespace lagoon;

void lagoon_add(const float *left, const float *right, float *sums, size_t count) {
  LAGOON_DISPATCH(Add)(left, right, sums, count);
}

void lagoon_scale(const float *elements, float factor, float *products, size_t count) {
  LAGOON_DISPATCH(Scale)(elements, factor, products, count);
}

float lagoon_dot(const float *left, const float *right, size_t count) {
  return LAGOON_DISPATCH(Dot)(left, right, count);
}

void lagoon_round_bf16(const float *elements, float *rounded, size_t count) {
  LAGOON_DISPATCH(RoundBF16)(elements, rounded, count);
}

void lagoon_rms_norm(const float *input, const float *weight, float epsilon, size_t rows, size_t width,
                     float *output) {
  LAGOON_DISPATCH(RMSNorm)(input, weight, epsilon, rows, width, output);
}

void lagoon_rms_norm_backward(const float *input, const float *weight, const float *dOutput, float epsilon,
                              size_t rows, size_t width, float *dInput, double *dWeight) {
  LAGOON_DISPATCH(RMSNormBackward)(input, weight, dOutput, epsilon, rows, width, dInput, dWeight);
}

void lagoon_swiglu(const float *gate, const float *up, float *output, size_t count) {
  LAGOON_DISPATCH(SwiGLU)(gate, up, output, count);
}

void lagoon_swiglu_backward(const float *gate, const float *up, const float *dOutput, float *dGate, float *dUp,
                            size_t count) {
  LAGOON_DISPATCH(SwiGLUBackward)(gate, up, dOutput, dGate, dUp, count);
}

void lagoon_rotate(float *heads, size_t count, size_t pairs, const float *cosines, const float *sines,
                   float sign) {
  LAGOON_DISPATCH(Rotate)(heads, count, pairs, cosines, sines, sign);
}

double lagoon_exponential_sum(const float *logits, size_t count, float *peak) {
  return LAGOON_DISPATCH(ExponentialSum)(logits, count, peak);
}

void lagoon_probabilities(float *logits, size_t count, double logSumExp, float scale) {
  LAGOON_DISPATCH(Probabilities)(logits, count, logSumExp, scale);
}

}  // extern "C"
#endif
