// Products of slices with small matrices and with each other.
#pragma once

#include "common.h"

// A matrix (channels, channels), or its transpose, as vectors over its columns:
// [block of columns][row][V]. Columns beyond the last are zeros.
template <typename T, int V>
std::vector<T> packed(const T* matrix, int64_t channels, bool transposed) {
    const int64_t blocks = (channels + V - 1) / V;
    std::vector<T> result(blocks * channels * V, T(0));
    for (int64_t r = 0; r < channels; r++)
        for (int64_t c = 0; c < channels; c++)
            result[(c / V * channels + r) * V + c % V] =
                transposed ? matrix[c * channels + r] : matrix[r * channels + c];
    return result;
}

// sums[r][d] += sum_c rows[r, c] M[c, d] for one block of V columns d and R pixels: each vector of
// the matrix is loaded once for R pixels.
template <typename T, int V, int R>
inline void multiply(const T* rows, int64_t leading, int64_t channels, const T* matrix,
                     typename Lanes<T, V>::Vec* sums) {
    for (int64_t c = 0; c < channels; c++) {
        const auto weight = Lanes<T, V>::get(matrix + c * V);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) sums[r] += weight * rows[r * leading + c];
    }
}

// to[c, d] += sum_p left[p, c] right[p, d] for one block of rows c and one of columns d. The sum
// over an image is in T, in registers; sums over images are in double.
template <typename T, int V>
void add_products(const Slice<const T>& left, const Slice<const T>& right, int64_t first,
                  int64_t last, int64_t valid_left, int64_t valid_right, double* to,
                  int64_t channels) {
    using L = Lanes<T, V>;
    typename L::Vec sums[V] = {};
    if (valid_left == V && valid_right == V) {
        for (int64_t p = first; p < last; p++) {
            const T* a = left.row(p);
            const auto b = L::get(right.row(p));
#pragma GCC unroll 16
            for (int c = 0; c < V; c++) sums[c] += b * a[c];
        }
    } else {
        for (int64_t p = first; p < last; p++) {
            const T* a = left.row(p);
            const auto b = L::get(right.row(p), valid_right);
            for (int64_t c = 0; c < valid_left; c++) sums[c] += b * a[c];
        }
    }
    for (int64_t c = 0; c < valid_left; c++)
        for (int64_t d = 0; d < valid_right; d++) to[c * channels + d] += sums[c][d];
}

// to[c] += sum_p value[p, c]; over an image in T, over images in double.
template <typename T, int V>
void add_sums(const Slice<const T>& value, int64_t first, int64_t last, int64_t channels,
              double* to) {
    using L = Lanes<T, V>;
    for (int64_t c = 0; c < channels; c += V) {
        const int64_t valid = std::min<int64_t>(V, channels - c);
        typename L::Vec sum = {};
        for (int64_t p = first; p < last; p++) sum += L::get(value.row(p) + c, valid);
        for (int64_t d = 0; d < valid; d++) to[c + d] += sum[d];
    }
}

// to[c] += sum_p left[p, c] right[p, c].
template <typename T, int V>
void add_inner(const Slice<const T>& left, const Slice<const T>& right, int64_t first,
               int64_t last, int64_t channels, double* to) {
    using L = Lanes<T, V>;
    for (int64_t c = 0; c < channels; c += V) {
        const int64_t valid = std::min<int64_t>(V, channels - c);
        typename L::Vec sum = {};
        for (int64_t p = first; p < last; p++)
            sum += L::get(left.row(p) + c, valid) * L::get(right.row(p) + c, valid);
        for (int64_t d = 0; d < valid; d++) to[c + d] += sum[d];
    }
}

// to += left^T right, block by block. `symmetric`: of a slice with itself, sum_p d[c] d[e] =
// sum_p d[e] d[c], so only the blocks from the diagonal on are computed; the caller mirrors them.
template <typename T, int V>
void add_all_products(const Slice<const T>& left, const Slice<const T>& right, int64_t first,
                      int64_t last, int64_t channels, bool symmetric, double* to) {
    for (int64_t r = 0; r < channels; r += V)
        for (int64_t c = symmetric ? r : 0; c < channels; c += V)
            add_products<T, V>({left.at + r, left.leading}, {right.at + c, right.leading}, first,
                               last, std::min<int64_t>(V, channels - r),
                               std::min<int64_t>(V, channels - c), to + r * channels + c, channels);
}

// The factor of a term without a matrix, z or z s[c], padded to whole vectors.
template <typename T, int V>
std::vector<T> scales(const Term<T>& term, int64_t channels) {
    std::vector<T> result((channels + V - 1) / V * V, T(0));
    for (int64_t c = 0; c < channels; c++)
        result[c] = term.scale ? T(double(term.scalar) * term.scale[c]) : term.scalar;
    return result;
}

// result_r[p] = bias_r + sum_t (value_t[p] M_t, or z_t value_t[p], or z_t (value_t[p] - m_t) s_t),
// the sum over the terms t of r. One pass: a result is written once, whatever its terms are.
template <typename T, int V>
void mix(const Shape& s, int64_t results, const Result<T>* result, int64_t terms,
         const Term<T>* term) {
    using L = Lanes<T, V>;
    constexpr int R = 12;
    const int64_t pixels = s.height * s.width;
    std::vector<std::vector<T>> matrices(terms);
    for (int64_t t = 0; t < terms; t++)
        matrices[t] = term[t].matrix ? packed<T, V>(term[t].matrix, s.channels, false)
                                     : scales<T, V>(term[t], s.channels);
    // z (v - m) s = (z s) v - z s m: the part without v goes into the bias.
    const auto bias_of = [&](int64_t r, int64_t c) {
        double bias = result[r].bias ? result[r].bias[c] : 0;
        for (int64_t t = 0; t < terms; t++)
            if (term[t].result == r && term[t].mean)
                bias -= double(term[t].scalar) * term[t].scale[c] * term[t].mean[c];
        return bias;
    };
    over_images(s, [&](int64_t, int64_t first, int64_t last) {
        for (int64_t r = 0; r < results; r++)
            for (int64_t c = 0; c < s.channels; c += V) {
                const int64_t valid = std::min<int64_t>(V, s.channels - c);
                typename L::Vec bias = {};
                for (int64_t k = 0; k < valid; k++) bias[k] = T(bias_of(r, c + k));
                const auto some = [&]<int P>(int64_t pixel) {
                    typename L::Vec sums[P];
                    for (int p = 0; p < P; p++) sums[p] = bias;
                    for (int64_t t = 0; t < terms; t++) {
                        if (term[t].result != r) continue;
                        const T* rows = term[t].value.row(pixel);
                        const int64_t leading = term[t].value.leading;
                        if (term[t].matrix) {
                            multiply<T, V, P>(rows, leading, s.channels,
                                              matrices[t].data() + c * s.channels, sums);
                            continue;
                        }
                        const auto scale = L::get(matrices[t].data() + c);
                        for (int p = 0; p < P; p++)
                            sums[p] += scale * L::get(rows + p * leading + c, valid);
                    }
                    for (int p = 0; p < P; p++)
                        L::put(result[r].value.row(pixel + p) + c, sums[p], valid);
                };
                int64_t pixel = first * pixels;
                for (; pixel + R <= last * pixels; pixel += R) some.template operator()<R>(pixel);
                for (; pixel < last * pixels; pixel++) some.template operator()<1>(pixel);
            }
    });
}

// The sums of every pair over all pixels. Where g is the gradient of z = sum (d M + b + x u), these
// are dL/dM = d^T g (products of d and g), dL/db = sum_p g (sums), dL/dx = sum_c (inner of u and g).
template <typename T, int V>
void cross(const Shape& s, int64_t pairs, const Pair<T>* pair) {
    const int64_t pixels = s.height * s.width, square = s.channels * s.channels;
    const int64_t each = square + 2 * s.channels;
    const int64_t threads = std::max<int64_t>(1, std::min(s.threads, s.batch));
    std::vector<std::vector<double>> sums(threads, std::vector<double>(pairs * each, 0.0));
    over_images(s, [&](int64_t thread, int64_t first, int64_t last) {
        for (int64_t n = first; n < last; n++)
            for (int64_t k = 0; k < pairs; k++) {
                double* to = sums[thread].data() + k * each;
                const int64_t from = n * pixels, end = from + pixels;
                if (pair[k].products)
                    add_all_products<T, V>(pair[k].left, pair[k].right, from, end, s.channels,
                                           false, to);
                if (pair[k].sums)
                    add_sums<T, V>(pair[k].right, from, end, s.channels, to + square);
                if (pair[k].inner)
                    add_inner<T, V>(pair[k].left, pair[k].right, from, end, s.channels,
                                    to + square + s.channels);
            }
    });
    // Threads are added in their order, so the result does not depend on which one was faster.
    for (int64_t k = 0; k < pairs; k++) {
        const auto total = [&](int64_t at) {
            double sum = 0;
            for (const auto& mine : sums) sum += mine[k * each + at];
            return sum;
        };
        for (int64_t i = 0; pair[k].products && i < square; i++) pair[k].products[i] = total(i);
        for (int64_t i = 0; pair[k].sums && i < s.channels; i++) pair[k].sums[i] = total(square + i);
        for (int64_t i = 0; pair[k].inner && i < s.channels; i++)
            pair[k].inner[i] = total(square + s.channels + i);
    }
}
