// Sizes of the structures and offsets of their fields, in words. bindings.py compares them with its
// own when it loads the library: a difference would be read as wrong memory, without an error.
#pragma once

#include <cstddef>
#include <string>

#include "common.h"

#define FIELD(name) text += " " #name ":" + std::to_string(offsetof(S, name));

// Lines of "Structure size field:offset field:offset ...", the fields in order.
template <typename T>
std::string layouts() {
    std::string text;
    const auto line = [&](const char* name, size_t size) {
        text += (text.empty() ? "" : "\n") + std::string(name) + " " + std::to_string(size);
    };
    {
        using S = Shape;
        line("Shape", sizeof(S));
        FIELD(batch) FIELD(height) FIELD(width) FIELD(channels) FIELD(stride) FIELD(rectify)
        FIELD(threads)
    }
    {
        using S = Slice<T>;
        line("Slice", sizeof(S));
        FIELD(at) FIELD(leading)
    }
    {
        using S = Branch<T>;
        line("Branch", sizeof(S));
        FIELD(input) FIELD(kernel) FIELD(dilation) FIELD(weight) FIELD(output) FIELD(sums)
        FIELD(products) FIELD(grad) FIELD(matrix) FIELD(spread) FIELD(shift) FIELD(weight_grad)
    }
    {
        using S = Input<T>;
        line("Input", sizeof(S));
        FIELD(value) FIELD(grad)
    }
    {
        using S = Term<T>;
        line("Term", sizeof(S));
        FIELD(result) FIELD(value) FIELD(matrix) FIELD(mean) FIELD(scale) FIELD(scalar)
    }
    {
        using S = Pool<T>;
        line("Pool", sizeof(S));
        FIELD(largest) FIELD(value) FIELD(training) FIELD(running_mean) FIELD(running_variance)
        FIELD(mean) FIELD(scale) FIELD(by_value) FIELD(shift)
    }
    {
        using S = Result<T>;
        line("Result", sizeof(S));
        FIELD(value) FIELD(bias)
    }
    {
        using S = Norm<T>;
        line("Norm", sizeof(S));
        FIELD(pointwise) FIELD(sums) FIELD(products) FIELD(running_mean) FIELD(running_variance)
        FIELD(weight) FIELD(matrix) FIELD(bias) FIELD(kept) FIELD(matrix_grad) FIELD(bias_grad)
        FIELD(weight_grad) FIELD(pointwise_grad) FIELD(spread) FIELD(shift)
    }
    {
        using S = Pair<T>;
        line("Pair", sizeof(S));
        FIELD(left) FIELD(right) FIELD(products) FIELD(sums) FIELD(inner)
    }
    return text;
}

#undef FIELD
