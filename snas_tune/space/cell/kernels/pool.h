// Pooling over windows of 3x3 and the batch norm behind it.
//
// v is the maximum or the mean of the window's pixels that lie within the image; n = (v - m) s with
// s = 1 / sqrt(var(v) + eps), and m = mean(v), var(v) of the batch or of the running statistics.
#pragma once

#include <cmath>
#include <limits>

#include "dense.h"

// Calls `tap(pixel)` for the window of an output pixel, row by row, without the pixels that lie
// outside the image. Returns the number of calls.
template <typename Tap>
inline int64_t window(const Shape& s, int64_t h, int64_t w, Tap tap) {
    const int64_t top = std::max<int64_t>(0, h * s.stride - 1),
                  bottom = std::min(s.height, h * s.stride + 2),
                  left = std::max<int64_t>(0, w * s.stride - 1),
                  right = std::min(s.width, w * s.stride + 2);
    for (int64_t y = top; y < bottom; y++)
        for (int64_t x = left; x < right; x++) tap(y * s.width + x);
    return (bottom - top) * (right - left);
}

// v of one output pixel.
template <typename T, int V>
typename Lanes<T, V>::Vec pooled(const Shape& s, const Slice<const T>& image, int64_t column,
                                 int64_t valid, int64_t h, int64_t w, bool largest) {
    using L = Lanes<T, V>;
    using Vec = typename L::Vec;
    if (largest) {
        Vec best = Vec{} - std::numeric_limits<T>::infinity();
        window(s, h, w, [&](int64_t pixel) {
            const Vec value = L::get(image.row(pixel) + column, valid);
            best = (value > best) | (value != value) ? value : best;  // NaN stays NaN
        });
        return best;
    }
    Vec sum = {};
    const int64_t count = window(
        s, h, w, [&](int64_t pixel) { sum += L::get(image.row(pixel) + column, valid); });
    return sum / T(count);
}

// m and s: with sum_p v and sum_p v^2 in `sums`, m = sum_p v / N and var = sum_p v^2 / N - m^2; or
// of the running statistics, which in training move towards m and N / (N - 1) var, as torch's.
template <typename T>
void finish_norm(const Pool<T>& pool, int64_t channels, double pixels, double epsilon,
                 double momentum, const double* sums) {
    for (int64_t c = 0; c < channels; c++) {
        double mean = pool.running_mean[c], variance = pool.running_variance[c];
        if (pool.training) {
            mean = sums[c] / pixels;
            variance = std::max(sums[channels + c] / pixels - mean * mean, 0.0);
            const double unbiased = variance * pixels / std::max(1.0, pixels - 1);
            pool.running_mean[c] += T(momentum * (mean - pool.running_mean[c]));
            pool.running_variance[c] += T(momentum * (unbiased - pool.running_variance[c]));
        }
        pool.mean[c] = mean;
        pool.scale[c] = 1 / std::sqrt(variance + epsilon);
    }
}

// v of every pool, and m and s of the batch norm behind it; n itself is not written (see Term).
template <typename T, int V>
void pool_forward(const Shape& s, const Slice<const T>& x, double epsilon, double momentum,
                  int64_t count, const Pool<T>* pool) {
    using L = Lanes<T, V>;
    const int64_t oh = s.out_height(), ow = s.out_width(), n = s.channels;
    const int64_t threads = std::max<int64_t>(1, std::min(s.threads, s.batch));
    std::vector<std::vector<double>> sums(threads, std::vector<double>(count * 2 * n, 0.0));
    over_images(s, [&](int64_t thread, int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++)
            for (int64_t k = 0; k < count; k++)
                for (int64_t c = 0; c < n; c += V) {
                    const int64_t valid = std::min<int64_t>(V, n - c);
                    const Slice<const T> image{x.row(i * s.height * s.width), x.leading};
                    typename L::Vec sum = {}, squares = {};
                    for (int64_t h = 0; h < oh; h++)
                        for (int64_t w = 0; w < ow; w++) {
                            const auto value =
                                pooled<T, V>(s, image, c, valid, h, w, pool[k].largest);
                            sum += value;
                            squares += value * value;
                            L::put(pool[k].value.row((i * oh + h) * ow + w) + c, value, valid);
                        }
                    double* to = sums[thread].data() + k * 2 * n + c;
                    for (int64_t d = 0; d < valid; d++) {
                        to[d] += sum[d];
                        to[n + d] += squares[d];
                    }
                }
    });
    for (int64_t t = 1; t < threads; t++)
        for (int64_t k = 0; k < count * 2 * n; k++) sums[0][k] += sums[t][k];
    for (int64_t k = 0; k < count; k++)
        finish_norm(pool[k], n, double(s.batch * oh * ow), epsilon, momentum,
                    sums[0].data() + k * 2 * n);
}

// Adds to the gradient of x. The terms of a pool add up to h = dL/dn = sum_e Z_e g_e. Batch norm's
// own gradient, sorted by powers of v:
//     dL/dv = s (h - mean(h) - n mean(h n)) = s h + a v + c
//     a = -s^2 mean(h n)  (by_value),    c = -s mean(h) - a m  (shift)
// The two means follow from sums that `cross` has taken, so this is one pass. With running
// statistics a = c = 0.
template <typename T, int V>
void pool_backward(const Shape& s, const Slice<const T>& x, const Slice<T>& grad, int64_t count,
                   const Pool<T>* pool, int64_t terms, const Term<T>* term) {
    using L = Lanes<T, V>;
    using Vec = typename L::Vec;
    const int64_t oh = s.out_height(), ow = s.out_width(), n = s.channels;
    over_images(s, [&](int64_t, int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++)
            for (int64_t k = 0; k < count; k++)
                for (int64_t c = 0; c < n; c += V) {
                    const int64_t valid = std::min<int64_t>(V, n - c);
                    const int64_t start = i * s.height * s.width;
                    Vec scale = {}, by_value = {}, shift = {};
                    for (int64_t d = 0; d < valid; d++) {
                        scale[d] = T(pool[k].scale[c + d]);
                        by_value[d] = T(pool[k].by_value[c + d]);
                        shift[d] = T(pool[k].shift[c + d]);
                    }
                    for (int64_t h = 0; h < oh; h++)
                        for (int64_t w = 0; w < ow; w++) {
                            const int64_t pixel = (i * oh + h) * ow + w;
                            const Vec value = L::get(pool[k].value.row(pixel) + c, valid);
                            Vec sum = {};
                            for (int64_t t = 0; t < terms; t++)
                                if (term[t].result == k)
                                    sum += term[t].scalar *
                                           L::get(term[t].value.row(pixel) + c, valid);
                            sum = sum * scale + value * by_value + shift;
                            const auto add = [&](int64_t at, const Vec& part) {
                                T* to = grad.row(start + at) + c;
                                L::put(to, L::get(to, valid) + part, valid);
                            };
                            // The mean of t pixels gives each of them dL/dv / t.
                            if (!pool[k].largest) {
                                const int64_t taps = window(s, h, w, [](int64_t) {});
                                const Vec part = sum / T(taps);
                                window(s, h, w, [&](int64_t at) { add(at, part); });
                                continue;
                            }
                            // The maximum gives dL/dv to the first pixel that equals v, as in
                            // torch; `open` where none has yet, nowhere if v is NaN.
                            auto open = value == value;
                            window(s, h, w, [&](int64_t at) {
                                const auto here =
                                    open & (L::get(x.row(start + at) + c, valid) == value);
                                add(at, here ? sum : Vec{});
                                open &= ~here;
                            });
                        }
                }
    });
}
