// Depthwise convolutions: the scratch of an image, sums over taps, and the forward pass.
//
// With kernel k, dilation e, stride s and padding q = e (k - 1) / 2, for every channel by itself:
//     d[h, w] = sum_ij W[i, j] r[h s + i e - q, w s + j e - q],    r = relu(x), 0 outside the image
#pragma once

#include "dense.h"

// Depthwise kernels as vectors: [block of channels][row][column][V], also turned by 180 degrees.
template <typename T, int V>
struct Kernels {
    std::vector<T> straight, turned;
    int64_t taps;

    Kernels(const Branch<T>& branch, int64_t channels) : taps(branch.kernel * branch.kernel) {
        const int64_t blocks = (channels + V - 1) / V;
        straight.assign(blocks * taps * V, T(0));
        turned.assign(blocks * taps * V, T(0));
        for (int64_t c = 0; c < channels; c++)
            for (int64_t t = 0; t < taps; t++) {
                const T value = branch.weight[c * taps + t];
                straight[(c / V * taps + t) * V + c % V] = value;
                turned[(c / V * taps + taps - 1 - t) * V + c % V] = value;
            }
    }
};

// The scratch of a thread: blocks of V channels of one image with a border of zeros.
template <typename T, int V>
struct Padded {
    int64_t blocks, height, width, pad, row, image;  // row and image in pixels, border included
    std::vector<T> values;

    Padded(int64_t blocks_, int64_t height_, int64_t width_, int64_t pad_)
        : blocks(blocks_), height(height_), width(width_), pad(pad_), row(width_ + 2 * pad_),
          image((height_ + 2 * pad_) * row), values(blocks * image * V, T(0)) {}
    T* at(int64_t block, int64_t h, int64_t w) {  // counted without the border
        return values.data() + (block * image + (h + pad) * row + w + pad) * V;
    }
};

// r = relu(x), or x, of one image into the scratch: blocks of V channels, each a dense image, so
// that the taps of a kernel read whole vectors.
template <typename T, int V>
void load_image(const Slice<const T>& from, int64_t first, int64_t channels, bool rectify,
                Padded<T, V>& to) {
    using L = Lanes<T, V>;
    for (int64_t block = 0; block < to.blocks; block++) {
        const int64_t valid = std::min<int64_t>(V, channels - block * V);
        for (int64_t h = 0; h < to.height; h++) {
            const T* row = from.row(first + h * to.width) + block * V;
            T* out = to.at(block, h, 0);
            for (int64_t w = 0; w < to.width; w++, row += from.leading, out += V) {
                auto value = L::get(row, valid);
                if (rectify) value = value < T(0) ? typename L::Vec{} : value;  // NaN stays NaN
                L::put(out, value);
            }
        }
    }
}

// sums[r] += sum_ij W[i, j] in[i e, j e + r s] for R output pixels r side by side: R independent
// sums keep the multipliers busy, and each weight is loaded once for R pixels.
template <typename T, int V, int R, int K>
inline void taps(const T* in, int64_t row, int64_t dilation, int64_t stride, int64_t kernel,
                 const T* weight, typename Lanes<T, V>::Vec* sums) {
    const int64_t k = K ? K : kernel;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            const auto w = Lanes<T, V>::get(weight + (i * k + j) * V);
            const T* at = in + (i * row + j) * dilation * V;
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) sums[r] += w * Lanes<T, V>::get(at + r * stride * V);
        }
}

// The equation above for one block of channels of one image; K is the kernel where it is known when
// compiled, else 0. `write(h, w, sum)` takes the results.
template <typename T, int V, int K, typename Write>
void correlate(const T* in, int64_t row, int64_t height, int64_t width, int64_t stride,
               int64_t dilation, int64_t kernel, const T* weight, Write write) {
    using Vec = typename Lanes<T, V>::Vec;
    constexpr int R = 8;
    for (int64_t h = 0; h < height; h++) {
        const T* line = in + h * stride * row * V;
        int64_t w = 0;
        for (; w + R <= width; w += R) {
            Vec sums[R] = {};
            taps<T, V, R, K>(line + w * stride * V, row, dilation, stride, kernel, weight, sums);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) write(h, w + r, sums[r]);
        }
        for (; w < width; w++) {
            Vec sums[1] = {};
            taps<T, V, 1, K>(line + w * stride * V, row, dilation, stride, kernel, weight, sums);
            write(h, w, sums[0]);
        }
    }
}

// `in` is where the kernel's first tap of the first output pixel lies.
template <typename T, int V, typename Write>
void correlate_any(const T* in, int64_t row, int64_t height, int64_t width, int64_t stride,
                   int64_t dilation, int64_t kernel, const T* weight, Write write) {
    if (kernel == 3)
        correlate<T, V, 3>(in, row, height, width, stride, dilation, 3, weight, write);
    else if (kernel == 5)
        correlate<T, V, 5>(in, row, height, width, stride, dilation, 5, weight, write);
    else
        correlate<T, V, 0>(in, row, height, width, stride, dilation, kernel, weight, write);
}

// sum_p d and sum_p d^T d of one branch from the sums of every thread, which start at `start`.
template <typename T, int V>
void store_moments(const Branch<T>& branch, int64_t channels,
                   const std::vector<std::vector<double>>& moments, int64_t start) {
    const auto total = [&](int64_t at) {
        double sum = 0;
        for (const auto& mine : moments) sum += mine[start + at];
        return sum;
    };
    for (int64_t c = 0; c < channels; c++) branch.sums[c] = total(c);
    for (int64_t r = 0; r < channels; r++)
        for (int64_t c = 0; c < channels; c++) {
            const bool computed = r / V <= c / V;  // the other blocks are their mirror
            const int64_t at = computed ? r * channels + c : c * channels + r;
            branch.products[r * channels + c] = total(channels + at);
        }
}

// d of every branch, and its moments for the batch norm behind the pointwise convolution: sum_p d
// and sum_p d^T d, taken of an image while its d is still in the cache.
template <typename T, int V>
void depthwise_forward(const Shape& s, int64_t inputs, const Input<T>* input, int64_t branches,
                       const Branch<T>* branch) {
    using L = Lanes<T, V>;
    const int64_t blocks = (s.channels + V - 1) / V, oh = s.out_height(), ow = s.out_width();
    std::vector<Kernels<T, V>> kernels;
    int64_t pad = 0;
    for (int64_t b = 0; b < branches; b++) {
        kernels.emplace_back(branch[b], s.channels);
        pad = std::max(pad, branch[b].pad());
    }
    const int64_t square = s.channels * s.channels;
    const int64_t threads = std::max<int64_t>(1, std::min(s.threads, s.batch));
    std::vector<std::vector<double>> moments(
        threads, std::vector<double>(branches * (s.channels + square), 0.0));
    over_images(s, [&](int64_t thread, int64_t first, int64_t last) {
        Padded<T, V> scratch(blocks, s.height, s.width, pad);
        for (int64_t n = first; n < last; n++)
            for (int64_t i = 0; i < inputs; i++) {
                load_image<T, V>(input[i].value, n * s.height * s.width, s.channels, s.rectify,
                                 scratch);
                for (int64_t b = 0; b < branches; b++) {
                    const Branch<T>& mine = branch[b];
                    if (mine.input != i) continue;
                    const int64_t pixel = n * oh * ow;
                    for (int64_t block = 0; block < blocks; block++) {
                        const int64_t valid = std::min<int64_t>(V, s.channels - block * V);
                        correlate_any<T, V>(
                            scratch.at(block, -mine.pad(), -mine.pad()), scratch.row, oh, ow,
                            s.stride, mine.dilation, mine.kernel,
                            kernels[b].straight.data() + block * kernels[b].taps * V,
                            [&](int64_t h, int64_t w, const typename L::Vec& sum) {
                                L::put(mine.output.row(pixel + h * ow + w) + block * V, sum, valid);
                            });
                    }
                    if (mine.sums == nullptr) continue;
                    double* to = moments[thread].data() + b * (s.channels + square);
                    const Slice<const T> made{mine.output.at, mine.output.leading};
                    add_sums<T, V>(made, pixel, pixel + oh * ow, s.channels, to);
                    add_all_products<T, V>(made, made, pixel, pixel + oh * ow, s.channels, true,
                                           to + s.channels);
                }
            }
    });
    for (int64_t b = 0; b < branches; b++)
        if (branch[b].sums)
            store_moments<T, V>(branch[b], s.channels, moments, b * (s.channels + square));
}
