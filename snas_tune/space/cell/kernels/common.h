// The structures that the kernels are given, vectors of channels, and threads over images. The
// structures are those of bindings.py, field by field; layouts.h lets it check that.
//
// In the equations a slice is a matrix (pixels, channels), d[p] is its row of pixel p, N the number
// of pixels, L the loss, and dL/dx the gradient of x, which has the shape of x.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

// Of the maps that a kernel reads. `rectify`: depthwise kernels read relu(x), not x.
struct Shape {
    int64_t batch, height, width, channels, stride, rectify, threads;
    // Every op has the padding with which a side becomes ceil(side / stride).
    int64_t out_height() const { return (height + stride - 1) / stride; }
    int64_t out_width() const { return (width + stride - 1) / stride; }
};

// Some channels of a map: rows of `channels` columns, `leading` columns from one to the next.
template <typename T>
struct Slice {
    T* at;
    int64_t leading;
    T* row(int64_t pixel) const { return at + pixel * leading; }
};

// One depthwise kernel, its input, and its output d. Gradients only in the backward pass.
template <typename T>
struct Branch {
    int64_t input;  // which of the inputs it reads
    int64_t kernel, dilation;
    const T* weight;      // (channels, kernel, kernel)
    Slice<T> output;      // of the depthwise convolution
    double* sums;         // (channels), or null: sum over the pixels of `output`
    double* products;     // (channels, channels), or null: of the products of two of its channels
    Slice<const T> grad;  // of z = d M + b
    const T* matrix;      // M, (channels in, channels out)
    const T* spread;      // (channels, channels), or null: gradient through the covariance
    const T* shift;       // (channels): gradient through the mean
    T* weight_grad;       // like `weight`
    // At stride 1 the output has the side of the input: 2 pad = dilation (kernel - 1).
    int64_t pad() const { return dilation * (kernel - 1) / 2; }
};

// A map that kernels read, and the gradient that they write.
template <typename T>
struct Input {
    Slice<const T> value;
    Slice<T> grad;
};

// One term of a sum of slices: v M with a matrix M (in, out); or z v with a scalar z; or, behind a
// batch norm of mean m and scale s, z (v - m) s.
template <typename T>
struct Term {
    int64_t result;
    Slice<const T> value;
    const T* matrix;      // or null
    const double* mean;   // (channels), or null
    const double* scale;  // (channels), or null
    T scalar;
};

// Pooling of a slice and the batch norm behind it.
template <typename T>
struct Pool {
    int64_t largest;  // the largest of a window, or the mean
    Slice<T> value;   // before batch norm
    int64_t training;  // use the batch's statistics and move the running ones
    T* running_mean;   // (channels)
    T* running_variance;
    double* mean;            // (channels): batch norm subtracts it
    double* scale;           // (channels): and multiplies by it
    const double* by_value;  // (channels): gradient through the statistics, a factor of the value
    const double* shift;     // (channels): gradient through the statistics, its constant part
};

// result = bias + sum of the terms that name it.
template <typename T>
struct Result {
    Slice<T> value;
    const double* bias;  // (channels), or null
};

// Batch norm of y = P d, times a weight w, as one matrix and one bias: z = d M + b. Its statistics
// follow from the moments of d: mean(y) = P mean(d), var(y) = diag(P cov(d) P^T).
template <typename T>
struct Norm {
    const T* pointwise;  // P, (channels out, channels in)
    const double* sums;  // of d over the pixels, (channels), or null: use the running statistics
    const double* products;  // of d d^T, (channels, channels)
    T* running_mean;         // (channels); moved in training, read in evaluation
    T* running_variance;
    double weight;
    T* matrix;     // (channels in, channels out)
    double* bias;  // (channels); added to
    double* kept;  // for the gradient: scale, mean, mean of d, P cov(d)
    const double* matrix_grad;  // of the weighted matrix, (channels in, channels out)
    const double* bias_grad;
    double* weight_grad;
    T* pointwise_grad;
    T* spread;  // (channels, channels): the gradient of a pixel's d grows by spread d + shift
    T* shift;   // (channels)
};

// Sums over all pixels of a pair of slices l and r: products[i][j] = sum_p l[p, i] r[p, j],
// sums[i] = sum_p r[p, i], inner[i] = sum_p l[p, i] r[p, i].
template <typename T>
struct Pair {
    Slice<const T> left, right;
    double* products;  // (channels, channels), or null
    double* sums;      // (channels), or null
    double* inner;     // (channels), or null
};

// A vector of V channels of one pixel. `valid` channels are there; the others are read as zeros
// and not written.
template <typename T, int V>
struct Lanes {
    // may_alias and the alignment of T: rows start anywhere.
    typedef T Vec __attribute__((vector_size(V * sizeof(T)), aligned(sizeof(T)), may_alias));
    static Vec get(const T* from) { return *reinterpret_cast<const Vec*>(from); }
    static void put(T* to, const Vec& value) { *reinterpret_cast<Vec*>(to) = value; }
    static Vec get(const T* from, int64_t valid) {
        if (valid >= V) return get(from);
        Vec value = {};
        for (int64_t c = 0; c < valid; c++) value[c] = from[c];
        return value;
    }
    static void put(T* to, const Vec& value, int64_t valid) {
        if (valid >= V) return put(to, value);
        for (int64_t c = 0; c < valid; c++) to[c] = value[c];
    }
};

// Calls work(thread, first image, last image + 1): each thread has its share of the images, always
// the same one, so that sums over threads round alike every time.
template <typename Work>
void over_images(const Shape& s, Work work) {
    const int64_t threads = std::max<int64_t>(1, std::min(s.threads, s.batch));
    std::vector<std::thread> others;
    for (int64_t t = 1; t < threads; t++)
        others.emplace_back(
            [&work, &s, t, threads] { work(t, t * s.batch / threads, (t + 1) * s.batch / threads); });
    work(0, 0, s.batch / threads);
    for (auto& other : others) other.join();
}
