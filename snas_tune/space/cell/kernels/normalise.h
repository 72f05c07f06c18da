// Pointwise convolution and batch norm as one matrix.
//
// A pixel's d, here a column (C,), goes through y = P d, P (C out, C in), and z = w (y - mean(y)) s
// with s = 1 / sqrt(var(y) + eps), channel by channel. Only the moments of y are needed, and they
// follow from those of d (P[o] is row o of P):
//     mu = mean(d) = sum_p d / N,    cov(d) = sum_p d d^T / N - mu mu^T
//     mean(y)[o] = P[o] . mu,    var(y)[o] = P[o] cov(d) P[o]^T
//     z^T = d^T M + b,    M[i, o] = w s[o] P[o, i],    b[o] = -w s[o] mean(y)[o]
#pragma once

#include <cmath>

#include "common.h"

// M and b of every op. `kept` holds s, mean(y), mu and P cov(d), which the gradient needs.
template <typename T>
void normalise(int64_t channels, double pixels, double epsilon, double momentum, int64_t count,
               const Norm<T>* norms) {
    const int64_t n = channels;
    std::vector<double> covariance(n * n);
    for (const Norm<T>* b = norms; b < norms + count; b++) {
        double *scale = b->kept, *mean = scale + n, *source = mean + n, *mapped = source + n;
        if (b->sums) {
            for (int64_t i = 0; i < n; i++) source[i] = b->sums[i] / pixels;
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < n; j++)
                    covariance[i * n + j] = b->products[i * n + j] / pixels - source[i] * source[j];
        }
        for (int64_t o = 0; o < n; o++) {
            const T* row = b->pointwise + o * n;
            double variance = 0;
            if (b->sums) {
                double* to = mapped + o * n;
                std::fill_n(to, n, 0.0);
                mean[o] = 0;
                for (int64_t i = 0; i < n; i++) {
                    mean[o] += row[i] * source[i];
                    for (int64_t j = 0; j < n; j++) to[j] += row[i] * covariance[i * n + j];
                }
                for (int64_t i = 0; i < n; i++) variance += to[i] * row[i];
                variance = std::max(variance, 0.0);  // of a constant, rounding may leave less
                const double unbiased = variance * pixels / std::max(1.0, pixels - 1);
                b->running_mean[o] += T(momentum * (mean[o] - b->running_mean[o]));
                b->running_variance[o] += T(momentum * (unbiased - b->running_variance[o]));
            } else {
                mean[o] = b->running_mean[o];
                variance = b->running_variance[o];
            }
            scale[o] = 1 / std::sqrt(variance + epsilon);
            for (int64_t i = 0; i < n; i++)
                b->matrix[i * n + o] = T(b->weight * scale[o] * row[i]);
            b->bias[o] -= b->weight * scale[o] * mean[o];
        }
    }
}

// With G = dL/dM and h = dL/db = sum_p dL/dz, for every output channel o:
//     dL/ds[o] = w a[o],    a[o] = sum_i G[i, o] P[o, i] - h[o] mean(y)[o]
//     dL/dw = sum_o s[o] a[o]
//     dL/dvar[o] = -1/2 s[o]^3 dL/ds[o],    dL/dmean(y)[o] = -w s[o] h[o]
//     dL/dP[o, i] = w s[o] G[i, o] + dL/dmean(y)[o] mu[i] + 2 dL/dvar[o] (P cov(d))[o, i]
//     K = dL/dcov(d) = sum_o dL/dvar[o] P[o]^T P[o],  symmetric
//     dL/dmu = sum_o dL/dmean(y)[o] P[o] - 2 K mu
// The last term is that of -mu mu^T in cov(d). As mu and sum_p d d^T are sums over pixels, each
// pixel's d gets 2 K d / N + dL/dmu / N: `spread` is 2 K / N and `shift` is dL/dmu / N.
// With running statistics mean(y) and var(y) are constants: the first two lines and w s G remain.
template <typename T>
void normalise_backward(int64_t channels, double pixels, int64_t count, const Norm<T>* norms) {
    const int64_t n = channels;
    std::vector<double> covariance_grad(n * n), source_grad(n);
    for (const Norm<T>* b = norms; b < norms + count; b++) {
        const double *scale = b->kept, *mean = scale + n, *source = mean + n, *mapped = source + n;
        // covariance_grad is K, source_grad is dL/dmu.
        std::fill(covariance_grad.begin(), covariance_grad.end(), 0.0);
        std::fill(source_grad.begin(), source_grad.end(), 0.0);
        *b->weight_grad = 0;
        for (int64_t o = 0; o < n; o++) {
            const T* row = b->pointwise + o * n;
            T* to = b->pointwise_grad + o * n;
            double inner = 0;  // sum_i G[i, o] P[o, i]
            for (int64_t i = 0; i < n; i++) inner += b->matrix_grad[i * n + o] * row[i];
            // a[o]; dL/ds without its factor w, which is 0 where the sample is.
            const double scale_grad = inner - b->bias_grad[o] * mean[o];
            *b->weight_grad += scale[o] * scale_grad;
            for (int64_t i = 0; i < n; i++)
                to[i] = T(b->weight * scale[o] * b->matrix_grad[i * n + o]);
            if (!b->sums) continue;
            const double variance_grad =
                -0.5 * b->weight * scale[o] * scale[o] * scale[o] * scale_grad;
            const double mean_grad = -b->weight * scale[o] * b->bias_grad[o];
            for (int64_t i = 0; i < n; i++) {
                to[i] += T(mean_grad * source[i] + 2 * variance_grad * mapped[o * n + i]);
                source_grad[i] += row[i] * mean_grad;
                for (int64_t j = 0; j < n; j++)
                    covariance_grad[i * n + j] += variance_grad * row[i] * row[j];
            }
        }
        if (!b->sums) continue;
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < n; j++) {
                source_grad[i] -= 2 * covariance_grad[i * n + j] * source[j];
                b->spread[i * n + j] = T(covariance_grad[i * n + j] * 2 / pixels);
            }
            b->shift[i] = T(source_grad[i] / pixels);
        }
    }
}
