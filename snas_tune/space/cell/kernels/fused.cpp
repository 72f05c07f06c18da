// The separable convolutions of a supernet on a CPU: everything that is per pixel.
//
// Feature maps are channels-last matrices: a row is a pixel, a column a channel, and every pointer
// goes to the first column of a slice of `channels` columns, `leading` columns apart from row to
// row. An image is handled by one thread. A vector holds V channels of one pixel; slices whose
// width is no multiple of V are padded with zeros where they are copied. The equations stand beside
// the kernels; d is a depthwise output, M and b matrix and bias of the op, g a gradient.
//
//   depthwise_forward   d = depthwise(relu(x)) for several kernels; sum_p d and sum_p d^T d
//   normalise           M and b from these moments: pointwise convolution, batch norm, weight
//   mix                 message = sum of d M + b, of z u and of z n
//   cross               d^T g, sum_p g and sum_p u g: gradients of M, b and z
//   normalise_backward  from dL/dM and dL/db to pointwise weights, w, and the moments of d
//   depthwise_backward  from g to dL/dd, dL/dW and dL/dx
//   pool_forward        v = pooling(x), mean and scale of the batch norm behind it
//   pool_backward       from g to dL/dx
//   layouts             the structures in words, for bindings.py to check its own

#include "dense.h"
#include "depthwise.h"
#include "depthwise_backward.h"
#include "layouts.h"
#include "normalise.h"
#include "pool.h"

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
    extern "C" void normalise_##T(const Shape* s, double pixels, double epsilon, double momentum, \
                                  int64_t count, const Norm<T>* norms) {                          \
        normalise<T>(s->channels, pixels, epsilon, momentum, count, norms);                       \
    }                                                                                             \
    extern "C" void normalise_backward_##T(const Shape* s, double pixels, int64_t count,          \
                                           const Norm<T>* norms) {                                \
        normalise_backward<T>(s->channels, pixels, count, norms);                                 \
    }                                                                                             \
    extern "C" void pool_forward_##T(const Shape* s, double epsilon, double momentum,             \
                                     int64_t, const Input<T>* x, int64_t count,                   \
                                     const Pool<T>* pool) {                                       \
        if (s->channels > WIDE / 2)                                                               \
            pool_forward<T, WIDE>(*s, x->value, epsilon, momentum, count, pool);                  \
        else pool_forward<T, WIDE / 2>(*s, x->value, epsilon, momentum, count, pool);             \
    }                                                                                             \
    extern "C" void pool_backward_##T(const Shape* s, int64_t, const Input<T>* x, int64_t count,  \
                                      const Pool<T>* pool, int64_t terms, const Term<T>* term) {  \
        if (s->channels > WIDE / 2)                                                               \
            pool_backward<T, WIDE>(*s, x->value, x->grad, count, pool, terms, term);              \
        else pool_backward<T, WIDE / 2>(*s, x->value, x->grad, count, pool, terms, term);         \
    }                                                                                             \
    extern "C" const char* layouts_##T() {                                                        \
        static const std::string text = layouts<T>();                                             \
        return text.c_str();                                                                      \
    }                                                                                             \
    extern "C" void cross_##T(const Shape* s, int64_t pairs, const Pair<T>* pair) {               \
        if (s->channels > WIDE / 2) cross<T, WIDE>(*s, pairs, pair);                              \
        else cross<T, WIDE / 2>(*s, pairs, pair);                                                 \
    }

EXPORT(float, 16)
EXPORT(double, 8)
