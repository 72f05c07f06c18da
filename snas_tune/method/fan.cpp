// The separable convolutions of a supernet on a CPU: everything that is per pixel.
//
// Feature maps are channels-last matrices: a row is a pixel, a column a channel, and every pointer
// goes to the first column of a slice of `channels` columns, `leading` columns apart from row to
// row. An image is handled by one thread. A vector holds V channels of one pixel; slices whose
// width is no multiple of V are padded with zeros where they are copied.
//
//   depthwise_forward   several depthwise kernels over one slice, and the moments of each result
//   mix                 sums of slices times matrices, times scalars, plus a bias
//   cross               sums over all pixels of products of two slices
//   depthwise_backward  the gradient of a slice through everything that read it

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

struct Shape {
    int64_t batch, height, width, channels, stride, rectify, threads;
    int64_t out_height() const { return (height + stride - 1) / stride; }
    int64_t out_width() const { return (width + stride - 1) / stride; }
};

template <typename T>
struct Slice {
    T* at;
    int64_t leading;
    T* row(int64_t pixel) const { return at + pixel * leading; }
};

// One depthwise kernel, what it reads and what becomes of it. Gradients only in the backward pass.
template <typename T>
struct Branch {
    int64_t input;  // which of the inputs it reads
    int64_t kernel, dilation;
    const T* weight;      // (channels, kernel, kernel)
    Slice<T> output;      // of the depthwise convolution
    double* sums;         // (channels), or null: sum over the pixels of `output`
    double* products;     // (channels, channels), or null: of the products of two of its channels
    Slice<const T> grad;  // of what `matrix` made of the output
    const T* matrix;      // (channels in, channels out)
    const T* spread;      // (channels, channels), or null: gradient through `products`
    const T* shift;       // (channels): gradient through `sums`
    T* weight_grad;       // like `weight`
    int64_t pad() const { return dilation * (kernel - 1) / 2; }
};

template <typename T>
struct Input {
    Slice<const T> value;
    Slice<T> grad;
};

// result = bias + sum of terms; a term is a slice times a matrix (in, out), or times a scalar.
template <typename T>
struct Term {
    int64_t result;
    Slice<const T> value;
    const T* matrix;  // or null
    T scalar;
};

template <typename T>
struct Result {
    Slice<T> value;
    const T* bias;  // (channels), or null
};

// products[i][j] += left[i] * right[j] over all pixels.
template <typename T>
struct Pair {
    Slice<const T> left, right;
    double* products;  // (channels, channels), or null
    double* sums;      // (channels) of right, or null
    double* inner;     // one number, the sum of left[i] * right[i], or null
};

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

// A matrix (channels, channels) as vectors over its columns: [block of columns][row][V].
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

// Adds rows of a slice times a packed matrix, for one block of columns and R pixels.
template <typename T, int V, int R>
inline void multiply(const T* rows, int64_t leading, int64_t channels, const T* matrix,
                     typename Lanes<T, V>::Vec* sums) {
    for (int64_t c = 0; c < channels; c++) {
        const auto weight = Lanes<T, V>::get(matrix + c * V);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) sums[r] += weight * rows[r * leading + c];
    }
}

// Adds the products of two slices over some pixels, one block of rows and one of columns.
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

// All products of a slice with another; of a slice with itself only half, then mirrored at the end.
template <typename T, int V>
void add_all_products(const Slice<const T>& left, const Slice<const T>& right, int64_t first,
                      int64_t last, int64_t channels, bool symmetric, double* to) {
    for (int64_t r = 0; r < channels; r += V)
        for (int64_t c = symmetric ? r : 0; c < channels; c += V)
            add_products<T, V>({left.at + r, left.leading}, {right.at + c, right.leading}, first,
                               last, std::min<int64_t>(V, channels - r),
                               std::min<int64_t>(V, channels - c), to + r * channels + c, channels);
}

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

// Sums over the taps of a kernel, for R output pixels side by side.
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
    for (int64_t b = 0; b < branches; b++) {
        if (branch[b].sums == nullptr) continue;
        const int64_t start = b * (s.channels + square);
        for (int64_t c = 0; c < s.channels; c++) {
            branch[b].sums[c] = 0;
            for (const auto& mine : moments) branch[b].sums[c] += mine[start + c];
        }
        for (int64_t r = 0; r < s.channels; r++)
            for (int64_t c = 0; c < s.channels; c++) {
                const bool computed = r / V <= c / V;
                const int64_t at = computed ? r * s.channels + c : c * s.channels + r;
                double sum = 0;
                for (const auto& mine : moments) sum += mine[start + s.channels + at];
                branch[b].products[r * s.channels + c] = sum;
            }
    }
}

template <typename T, int V>
void mix(const Shape& s, int64_t results, const Result<T>* result, int64_t terms,
         const Term<T>* term) {
    using L = Lanes<T, V>;
    constexpr int R = 12;
    const int64_t pixels = s.height * s.width;
    std::vector<std::vector<T>> matrices(terms);
    for (int64_t t = 0; t < terms; t++)
        if (term[t].matrix) matrices[t] = packed<T, V>(term[t].matrix, s.channels, false);
    over_images(s, [&](int64_t, int64_t first, int64_t last) {
        for (int64_t r = 0; r < results; r++)
            for (int64_t c = 0; c < s.channels; c += V) {
                const int64_t valid = std::min<int64_t>(V, s.channels - c);
                const auto bias =
                    result[r].bias ? L::get(result[r].bias + c, valid) : typename L::Vec{};
                const auto some = [&]<int P>(int64_t pixel) {
                    typename L::Vec sums[P];
                    for (int p = 0; p < P; p++) sums[p] = bias;
                    for (int64_t t = 0; t < terms; t++) {
                        if (term[t].result != r) continue;
                        const T* rows = term[t].value.row(pixel);
                        const int64_t leading = term[t].value.leading;
                        if (term[t].matrix)
                            multiply<T, V, P>(rows, leading, s.channels,
                                              matrices[t].data() + c * s.channels, sums);
                        else
                            for (int p = 0; p < P; p++)
                                sums[p] += term[t].scalar * L::get(rows + p * leading + c, valid);
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

template <typename T, int V>
void cross(const Shape& s, int64_t pairs, const Pair<T>* pair) {
    const int64_t pixels = s.height * s.width, square = s.channels * s.channels;
    const int64_t each = square + s.channels + 1;
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
                if (pair[k].inner) {
                    using L = Lanes<T, V>;
                    typename L::Vec sum = {};
                    for (int64_t c = 0; c < s.channels; c += V) {
                        const int64_t valid = std::min<int64_t>(V, s.channels - c);
                        for (int64_t p = from; p < end; p++)
                            sum += L::get(pair[k].left.row(p) + c, valid) *
                                   L::get(pair[k].right.row(p) + c, valid);
                    }
                    for (int c = 0; c < V; c++) to[square + s.channels] += sum[c];
                }
            }
    });
    for (int64_t k = 0; k < pairs; k++) {
        const auto total = [&](int64_t at) {
            double sum = 0;
            for (const auto& mine : sums) sum += mine[k * each + at];
            return sum;
        };
        for (int64_t i = 0; pair[k].products && i < square; i++) pair[k].products[i] = total(i);
        for (int64_t i = 0; pair[k].sums && i < s.channels; i++) pair[k].sums[i] = total(square + i);
        if (pair[k].inner) *pair[k].inner = total(square + s.channels);
    }
}

// Adds, for every tap, the products of the input and the gradient of the output.
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

// What one thread needs for the backward pass of one branch.
template <typename T, int V>
struct Backward {
    Kernels<T, V> kernels;
    std::vector<T> matrix, spread;  // packed: (out, in) and (channels, channels)

    Backward(const Branch<T>& branch, int64_t channels)
        : kernels(branch, channels), matrix(packed<T, V>(branch.matrix, channels, true)) {
        if (branch.spread) spread = packed<T, V>(branch.spread, channels, false);
    }
};

// The gradient of the depthwise output of one image, one block of channels:
// grad . matrix^T + output . spread + shift.
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

template <typename T, int V>
void depthwise_backward(const Shape& s, int64_t inputs, const Input<T>* input, int64_t branches,
                        const Branch<T>* branch) {
    using L = Lanes<T, V>;
    using Vec = typename L::Vec;
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
                        if (s.stride == 1) {
                            correlate_any<T, V>(
                                grad.at(0, -border, -border), grad.row, oh, ow, 1, mine.dilation,
                                mine.kernel, prepared[b].kernels.turned.data() + block * taps * V,
                                [&](int64_t h, int64_t w, const Vec& sum) {
                                    T* at = sums.at(block, h, w);
                                    L::put(at, L::get(at) + sum);
                                });
                            continue;
                        }
                        const T* weights = prepared[b].kernels.straight.data() + block * taps * V;
                        for (int64_t h = 0; h < oh; h++)
                            for (int64_t w = 0; w < ow; w++) {
                                const Vec g = L::get(grad.at(0, h, w));
                                for (int64_t t = 0; t < taps; t++) {
                                    T* at = sums.at(
                                        block,
                                        h * s.stride + t / mine.kernel * mine.dilation - border,
                                        w * s.stride + t % mine.kernel * mine.dilation - border);
                                    L::put(at, L::get(at) + g * L::get(weights + t * V));
                                }
                            }
                    }
                }
                for (int64_t block = 0; block < blocks; block++) {
                    const int64_t valid = std::min<int64_t>(V, s.channels - block * V);
                    for (int64_t h = 0; h < s.height; h++)
                        for (int64_t w = 0; w < s.width; w++) {
                            Vec sum = L::get(sums.at(block, h, w));
                            if (s.rectify)
                                sum = L::get(value.at(block, h, w)) > T(0) ? sum : Vec{};
                            L::put(input[i].grad.row(n * pixels + h * s.width + w) + block * V,
                                   sum, valid);
                        }
                }
            }
    });
    for (int64_t b = 0; b < branches; b++) {
        const int64_t taps = prepared[b].kernels.taps;
        for (int64_t c = 0; c < s.channels; c++)
            for (int64_t t = 0; t < taps; t++) {
                double sum = 0;
                for (const auto& mine : weight_grads)
                    sum += mine[starts[b] + (c / V * taps + t) * V + c % V];
                branch[b].weight_grad[c * taps + t] = T(sum);
            }
    }
}

}  // namespace

// Vectors of 64 bytes, or of 32 where that holds a whole slice.
#define EXPORT(T, WIDE)                                                                           \
    extern "C" void depthwise_forward_##T(const Shape* s, int64_t inputs, const Input<T>* input,  \
                                          int64_t branches, const Branch<T>* branch) {            \
        if (s->channels > WIDE / 2) depthwise_forward<T, WIDE>(*s, inputs, input, branches, branch); \
        else depthwise_forward<T, WIDE / 2>(*s, inputs, input, branches, branch);                 \
    }                                                                                             \
    extern "C" void depthwise_backward_##T(const Shape* s, int64_t inputs, const Input<T>* input, \
                                           int64_t branches, const Branch<T>* branch) {           \
        if (s->channels > WIDE / 2) depthwise_backward<T, WIDE>(*s, inputs, input, branches, branch); \
        else depthwise_backward<T, WIDE / 2>(*s, inputs, input, branches, branch);                \
    }                                                                                             \
    extern "C" void mix_##T(const Shape* s, int64_t results, const Result<T>* result,             \
                            int64_t terms, const Term<T>* term) {                                 \
        if (s->channels > WIDE / 2) mix<T, WIDE>(*s, results, result, terms, term);               \
        else mix<T, WIDE / 2>(*s, results, result, terms, term);                                  \
    }                                                                                             \
    extern "C" void cross_##T(const Shape* s, int64_t pairs, const Pair<T>* pair) {               \
        if (s->channels > WIDE / 2) cross<T, WIDE>(*s, pairs, pair);                              \
        else cross<T, WIDE / 2>(*s, pairs, pair);                                                 \
    }

EXPORT(float, 16)
EXPORT(double, 8)
