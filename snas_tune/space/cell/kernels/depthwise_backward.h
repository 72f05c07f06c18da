// The gradient of depthwise convolutions.
//
// With g = dL/dz of z = d M + b, and K = dL/dcov(d) and dL/dmu, mu = mean(d), from normalise.h, a
// pixel's d has three ways to the loss: z itself and both moments.
//     dL/dd[p] = g[p] M^T + d[p] S + t,    S = 2 K / N  (spread),    t = dL/dmu / N  (shift)
// Through d[h, w] = sum_ij W[i, j] r[h s + i e - q, w s + j e - q], channel by channel:
//     dL/dW[i, j] = sum_hw dL/dd[h, w] r[h s + i e - q, w s + j e - q]
//     dL/dr[u, v] = sum of W[i, j] dL/dd[h, w] over all i, j, h, w with h s + i e - q = u and
//                   w s + j e - q = v
//     dL/dx = dL/dr where x > 0, else 0
#pragma once

#include "depthwise.h"

// dL/dW: sums[i, j] += sum_hw grad[h, w] in[h s + i e, w s + j e], of one image and one block of
// channels; all K x K sums stay in registers.
template <typename T, int V, int K>
void weight_sums(const T* in, int64_t row, const T* grad, int64_t grad_row, int64_t height,
                 int64_t width, int64_t stride, int64_t dilation, T* sums) {
    using L = Lanes<T, V>;
    typename L::Vec acc[K * K];
#pragma GCC unroll 25
    for (int t = 0; t < K * K; t++) acc[t] = L::get(sums + t * V);
    for (int64_t h = 0; h < height; h++) {
        const T* line = in + h * stride * row * V;
        const T* from = grad + h * grad_row * V;
        for (int64_t w = 0; w < width; w++, line += stride * V, from += V) {
            const auto g = L::get(from);
#pragma GCC unroll 5
            for (int i = 0; i < K; i++)
#pragma GCC unroll 5
                for (int j = 0; j < K; j++)
                    acc[i * K + j] += g * L::get(line + (i * row + j) * dilation * V);
        }
    }
#pragma GCC unroll 25
    for (int t = 0; t < K * K; t++) L::put(sums + t * V, acc[t]);
}

// For any kernel; those larger than 5 do not fit into the registers and go tap by tap.
template <typename T, int V>
void weight_sums_any(const T* in, int64_t row, const T* grad, int64_t grad_row, int64_t height,
                     int64_t width, int64_t stride, int64_t dilation, int64_t kernel, T* sums) {
    if (kernel == 3)
        return weight_sums<T, V, 3>(in, row, grad, grad_row, height, width, stride, dilation, sums);
    if (kernel == 5)
        return weight_sums<T, V, 5>(in, row, grad, grad_row, height, width, stride, dilation, sums);
    for (int64_t t = 0; t < kernel * kernel; t++)
        weight_sums<T, V, 1>(in + (t / kernel * row + t % kernel) * dilation * V, row, grad,
                             grad_row, height, width, stride, dilation, sums + t * V);
}

// The weights of one branch as vectors.
template <typename T, int V>
struct Backward {
    Kernels<T, V> kernels;
    std::vector<T> matrix, spread;  // packed: M^T, (out, in), and S, (channels, channels)

    Backward(const Branch<T>& branch, int64_t channels)
        : kernels(branch, channels), matrix(packed<T, V>(branch.matrix, channels, true)) {
        if (branch.spread) spread = packed<T, V>(branch.spread, channels, false);
    }
};

// dL/dd = g M^T + d S + t of one image, one block of channels. With running statistics there is no
// way through the moments, so S and t are not given.
template <typename T, int V>
void output_grad(const Branch<T>& branch, const Backward<T, V>& prepared, int64_t pixel,
                 int64_t channels, int64_t block, Padded<T, V>& to) {
    using L = Lanes<T, V>;
    const int64_t valid = std::min<int64_t>(V, channels - block * V), start = block * channels * V;
    const auto shift = branch.spread ? L::get(branch.shift + block * V, valid) : typename L::Vec{};
    const auto some = [&]<int P>(int64_t h, int64_t w) {
        typename L::Vec sums[P];
        for (int p = 0; p < P; p++) sums[p] = shift;
        const int64_t at = pixel + h * to.width + w;
        multiply<T, V, P>(branch.grad.row(at), branch.grad.leading, channels,
                          prepared.matrix.data() + start, sums);
        if (branch.spread)
            multiply<T, V, P>(branch.output.row(at), branch.output.leading, channels,
                              prepared.spread.data() + start, sums);
        for (int p = 0; p < P; p++) L::put(to.at(0, h, w + p), sums[p]);
    };
    for (int64_t h = 0; h < to.height; h++) {
        int64_t w = 0;
        for (; w + 8 <= to.width; w += 8) some.template operator()<8>(h, w);
        for (; w < to.width; w++) some.template operator()<1>(h, w);
    }
}

// dL/dr of one image and one block at stride 1: a correlation, too, with the kernel turned by 180
// degrees, as h = u + q - i e = u + (k - 1 - i) e - q with 2 q = (k - 1) e.
template <typename T, int V>
void gather(const Branch<T>& branch, const T* turned, int64_t block, Padded<T, V>& grad,
            Padded<T, V>& sums) {
    using L = Lanes<T, V>;
    correlate_any<T, V>(grad.at(0, -branch.pad(), -branch.pad()), grad.row, grad.height, grad.width,
                        1, branch.dilation, branch.kernel, turned,
                        [&](int64_t h, int64_t w, const typename L::Vec& sum) {
                            T* at = sums.at(block, h, w);
                            L::put(at, L::get(at) + sum);
                        });
}

// dL/dr of one image and one block at stride 2: every output pixel adds to the pixels it read.
template <typename T, int V>
void scatter(const Shape& s, const Branch<T>& branch, const T* weights, int64_t block,
             Padded<T, V>& grad, Padded<T, V>& sums) {
    using L = Lanes<T, V>;
    const int64_t taps = branch.kernel * branch.kernel, border = branch.pad();
    for (int64_t h = 0; h < grad.height; h++)
        for (int64_t w = 0; w < grad.width; w++) {
            const typename L::Vec g = L::get(grad.at(0, h, w));
            for (int64_t t = 0; t < taps; t++) {
                T* at = sums.at(block, h * s.stride + t / branch.kernel * branch.dilation - border,
                                w * s.stride + t % branch.kernel * branch.dilation - border);
                L::put(at, L::get(at) + g * L::get(weights + t * V));
            }
        }
}

// dL/dx of one image from dL/dr: nothing passes where the input was rectified.
template <typename T, int V>
void store_grad(const Shape& s, Padded<T, V>& value, Padded<T, V>& sums, int64_t first,
                const Slice<T>& grad) {
    using L = Lanes<T, V>;
    using Vec = typename L::Vec;
    for (int64_t block = 0; block < sums.blocks; block++) {
        const int64_t valid = std::min<int64_t>(V, s.channels - block * V);
        for (int64_t h = 0; h < s.height; h++)
            for (int64_t w = 0; w < s.width; w++) {
                Vec sum = L::get(sums.at(block, h, w));
                if (s.rectify) sum = L::get(value.at(block, h, w)) > T(0) ? sum : Vec{};
                L::put(grad.row(first + h * s.width + w) + block * V, sum, valid);
            }
    }
}

// dL/dW of one branch from the sums of every thread, which start at `start`.
template <typename T, int V>
void store_weight_grad(const Branch<T>& branch, int64_t channels,
                       const std::vector<std::vector<double>>& sums, int64_t start) {
    const int64_t taps = branch.kernel * branch.kernel;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t t = 0; t < taps; t++) {
            double sum = 0;
            for (const auto& mine : sums) sum += mine[start + (c / V * taps + t) * V + c % V];
            branch.weight_grad[c * taps + t] = T(sum);
        }
}

// dL/dW of every branch, and dL/dx of every input, added up over the branches that read it. An
// image and its gradients stay in the scratch of a thread while all branches go over them.
template <typename T, int V>
void depthwise_backward(const Shape& s, int64_t inputs, const Input<T>* input, int64_t branches,
                        const Branch<T>* branch) {
    const int64_t blocks = (s.channels + V - 1) / V, oh = s.out_height(), ow = s.out_width();
    std::vector<Backward<T, V>> prepared;
    std::vector<int64_t> starts;
    int64_t pad = 0, size = 0;
    for (int64_t b = 0; b < branches; b++) {
        prepared.emplace_back(branch[b], s.channels);
        starts.push_back(size);
        size += prepared[b].kernels.straight.size();
        pad = std::max(pad, branch[b].pad());
    }
    const int64_t threads = std::max<int64_t>(1, std::min(s.threads, s.batch));
    std::vector<std::vector<double>> weight_grads(threads, std::vector<double>(size, 0.0));
    over_images(s, [&](int64_t thread, int64_t first, int64_t last) {
        Padded<T, V> value(blocks, s.height, s.width, pad), sums = value;
        // With a stride the gradient is scattered, so it needs no border.
        Padded<T, V> grad(1, oh, ow, s.stride == 1 ? pad : 0);
        std::vector<T> weight_sum(49 * V);
        for (int64_t n = first; n < last; n++)
            for (int64_t i = 0; i < inputs; i++) {
                const int64_t pixels = s.height * s.width;
                load_image<T, V>(input[i].value, n * pixels, s.channels, s.rectify, value);
                std::fill(sums.values.begin(), sums.values.end(), T(0));
                for (int64_t b = 0; b < branches; b++) {
                    const Branch<T>& mine = branch[b];
                    if (mine.input != i) continue;
                    const int64_t taps = prepared[b].kernels.taps, border = mine.pad();
                    for (int64_t block = 0; block < blocks; block++) {
                        output_grad<T, V>(mine, prepared[b], n * oh * ow, s.channels, block, grad);
                        weight_sum.assign(taps * V, T(0));
                        weight_sums_any<T, V>(value.at(block, -border, -border), value.row,
                                              grad.at(0, 0, 0), grad.row, oh, ow, s.stride,
                                              mine.dilation, mine.kernel, weight_sum.data());
                        double* to = weight_grads[thread].data() + starts[b] + block * taps * V;
                        for (int64_t k = 0; k < taps * V; k++) to[k] += weight_sum[k];
                        const auto& weights = prepared[b].kernels;
                        const int64_t start = block * taps * V;
                        if (s.stride == 1)
                            gather<T, V>(mine, weights.turned.data() + start, block, grad, sums);
                        else
                            scatter<T, V>(s, mine, weights.straight.data() + start, block, grad,
                                          sums);
                    }
                }
                store_grad<T, V>(s, value, sums, n * pixels, input[i].grad);
            }
    });
    for (int64_t b = 0; b < branches; b++)
        store_weight_grad<T, V>(branch[b], s.channels, weight_grads, starts[b]);
}
