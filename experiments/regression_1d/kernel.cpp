// The y-half of the 1-D network, its slope in y, and the gradients of both: one pass over the points, 16 at a time.
//
// Layout of `weights` (see network.py): y-branch w[H], b[H]; joint W[H][H]; twice (residual W[H][H], b[H]); out v[H], c.

#include <cstdint>
#include <cstring>

namespace {

constexpr int H = 10;
constexpr int LANES = 16;
constexpr int LAYERS = 3;  // the joint layer and two residual ones
constexpr int Y_WEIGHT = 0, Y_BIAS = H, JOINT = 2 * H;
constexpr int OUT = JOINT + H * H + 2 * (H * H + H);
constexpr int COUNT = OUT + H + 1;

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));

inline Vector splat(float value) { return Vector{} + value; }

inline int layer_weight(int layer) { return layer == 0 ? JOINT : JOINT + H * H + (layer - 1) * (H * H + H); }

// (e - 1) / (e + 1) with e = exp(2 x) = 2^n exp(r), |r| <= log(2) / 2; absolute error about 1e-7.
inline Vector tanh_of(Vector x) {
    x = x > 9.0f ? splat(9.0f) : x;
    x = x < -9.0f ? splat(-9.0f) : x;
    const Vector magic = splat(12582912.0f);  // adding 1.5 * 2^23 rounds to a whole number
    const Vector n = (x * 2.885390081777927f + magic) - magic;
    const Vector r = x * 2.0f - n * 0.693145751953125f - n * 1.428606765330187e-06f;
    Vector e = r * (1.0f / 720) + (1.0f / 120);
    e = e * r + (1.0f / 24);
    e = e * r + (1.0f / 6);
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    const Integers power = (__builtin_convertvector(n, Integers) + 127) << 23;
    Vector scale;
    std::memcpy(&scale, &power, sizeof scale);
    e *= scale;
    return (e - 1.0f) / (e + 1.0f);
}

// What a pass keeps for the way back. Index 0 is the y-branch, 1.. the layers; `sum` is a layer's output with its skip.
struct Trace {
    Vector tanh[LAYERS + 1][H], sum[LAYERS + 1][H];
    Vector inner_slope[LAYERS + 1][H], sum_slope[LAYERS + 1][H];
};

template <bool SLOPE>
inline void forward_block(const float* weights, const float* base, Vector y, Trace& t, Vector& score, Vector& slope) {
    for (int j = 0; j < H; ++j) {
        t.tanh[0][j] = t.sum[0][j] = tanh_of(y * weights[Y_WEIGHT + j] + weights[Y_BIAS + j]);
        if (SLOPE) {
            t.inner_slope[0][j] = splat(weights[Y_WEIGHT + j]);
            t.sum_slope[0][j] = (1.0f - t.tanh[0][j] * t.tanh[0][j]) * weights[Y_WEIGHT + j];
        }
    }
    for (int layer = 0; layer < LAYERS; ++layer) {
        const float* w = weights + layer_weight(layer);
        const float* bias = layer == 0 ? base : w + H * H;
        for (int j = 0; j < H; ++j) {
            Vector a = splat(bias[j]), a_slope = splat(0.0f);
            for (int i = 0; i < H; ++i) {
                a += t.sum[layer][i] * w[j * H + i];
                if (SLOPE) a_slope += t.sum_slope[layer][i] * w[j * H + i];
            }
            const Vector h = tanh_of(a);
            t.tanh[layer + 1][j] = h;
            t.sum[layer + 1][j] = layer == 0 ? h : h + t.sum[layer][j];
            if (SLOPE) {
                t.inner_slope[layer + 1][j] = a_slope;
                const Vector h_slope = (1.0f - h * h) * a_slope;
                t.sum_slope[layer + 1][j] = layer == 0 ? h_slope : h_slope + t.sum_slope[layer][j];
            }
        }
    }
    score = splat(weights[OUT + H]);
    slope = splat(0.0f);
    for (int j = 0; j < H; ++j) {
        score += t.sum[LAYERS][j] * weights[OUT + j];
        if (SLOPE) slope += t.sum_slope[LAYERS][j] * weights[OUT + j];
    }
}

// The way back through tanh: (g, g_slope) of h = tanh(a) and h' = (1 - h^2) a' become those of a and a'.
template <bool SLOPE>
inline void through_tanh(Vector h, Vector inner_slope, Vector& g, Vector& g_slope) {
    const Vector u = 1.0f - h * h;
    g *= u;
    if (SLOPE) {
        g -= g_slope * inner_slope * h * u * 2.0f;
        g_slope *= u;
    }
}

// `g` is the loss's gradient in the score, or (SLOPE) in the slope. Adds to `sums`; returns the gradient in y.
template <bool SLOPE>
inline Vector backward_block(const float* weights, Vector y, const Trace& t, Vector g, Vector* sums, Vector* base_sums) {
    Vector gh[H], gs[H];
    for (int j = 0; j < H; ++j) {
        gh[j] = SLOPE ? splat(0.0f) : g * weights[OUT + j];
        gs[j] = SLOPE ? g * weights[OUT + j] : splat(0.0f);
        sums[OUT + j] += g * (SLOPE ? t.sum_slope[LAYERS][j] : t.sum[LAYERS][j]);
    }
    if (!SLOPE) sums[OUT + H] += g;
    for (int layer = LAYERS - 1; layer >= 0; --layer) {
        const int offset = layer_weight(layer);
        const float* w = weights + offset;
        Vector* bias_sums = layer == 0 ? base_sums : sums + offset + H * H;
        Vector below[H], below_slope[H];
        for (int i = 0; i < H; ++i) {
            below[i] = layer == 0 ? splat(0.0f) : gh[i];
            below_slope[i] = layer == 0 ? splat(0.0f) : gs[i];
        }
        for (int j = 0; j < H; ++j) {
            Vector a = gh[j], a_slope = gs[j];
            through_tanh<SLOPE>(t.tanh[layer + 1][j], t.inner_slope[layer + 1][j], a, a_slope);
            bias_sums[j] += a;
            for (int i = 0; i < H; ++i) {
                sums[offset + j * H + i] += a * t.sum[layer][i];
                below[i] += a * w[j * H + i];
                if (SLOPE) {
                    sums[offset + j * H + i] += a_slope * t.sum_slope[layer][i];
                    below_slope[i] += a_slope * w[j * H + i];
                }
            }
        }
        std::memcpy(gh, below, sizeof gh);
        if (SLOPE) std::memcpy(gs, below_slope, sizeof gs);
    }
    Vector gy = splat(0.0f);
    for (int j = 0; j < H; ++j) {
        Vector a = gh[j], a_slope = gs[j];
        through_tanh<SLOPE>(t.tanh[0][j], t.inner_slope[0][j], a, a_slope);
        sums[Y_WEIGHT + j] += a * y;
        if (SLOPE) sums[Y_WEIGHT + j] += a_slope;
        sums[Y_BIAS + j] += a;
        gy += a * weights[Y_WEIGHT + j];
    }
    return gy;
}

inline Vector load(const float* from, int64_t count) {
    Vector value{};
    std::memcpy(&value, from, 4 * (count < LANES ? count : LANES));
    return value;
}

inline void store(float* to, Vector value, int64_t count) {
    std::memcpy(to, &value, 4 * (count < LANES ? count : LANES));
}

inline float total(Vector value) {
    float sum = 0;
    for (int i = 0; i < LANES; ++i) sum += value[i];
    return sum;
}

template <bool SLOPE>
void forward(const float* weights, const float* base, const float* y, int64_t rows, int64_t points, float* scores,
             float* slopes) {
    Trace trace;
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t at = row * points, left = points; left > 0; at += LANES, left -= LANES) {
            Vector score, slope;
            forward_block<SLOPE>(weights, base + row * H, load(y + at, left), trace, score, slope);
            store(scores + at, score, left);
            if (SLOPE) store(slopes + at, slope, left);
        }
    }
}

template <bool SLOPE>
void backward(const float* weights, const float* base, const float* y, const float* gradient, int64_t rows,
              int64_t points, float* of_weights, float* of_base, float* of_y) {
    Trace trace;
    double totals[COUNT] = {};
    for (int64_t row = 0; row < rows; ++row) {
        Vector sums[COUNT] = {}, base_sums[H] = {};
        for (int64_t at = row * points, left = points; left > 0; at += LANES, left -= LANES) {
            Vector score, slope, values = load(y + at, left);
            forward_block<SLOPE>(weights, base + row * H, values, trace, score, slope);
            const Vector gy =
                backward_block<SLOPE>(weights, values, trace, load(gradient + at, left), sums, base_sums);
            store(of_y + at, gy, left);
        }
        for (int i = 0; i < COUNT; ++i) totals[i] += total(sums[i]);
        for (int j = 0; j < H; ++j) of_base[row * H + j] = total(base_sums[j]);
    }
    for (int i = 0; i < COUNT; ++i) of_weights[i] = static_cast<float>(totals[i]);
}

}  // namespace

extern "C" {

void score_forward(const float* weights, const float* base, const float* y, int64_t rows, int64_t points,
                   float* scores, float* slopes) {
    if (slopes) {
        forward<true>(weights, base, y, rows, points, scores, slopes);
    } else {
        forward<false>(weights, base, y, rows, points, scores, slopes);
    }
}

void score_backward(const float* weights, const float* base, const float* y, const float* gradient, int64_t rows,
                    int64_t points, float* of_weights, float* of_base, float* of_y) {
    backward<false>(weights, base, y, gradient, rows, points, of_weights, of_base, of_y);
}

void slope_backward(const float* weights, const float* base, const float* y, const float* gradient, int64_t rows,
                    int64_t points, float* of_weights, float* of_base, float* of_y) {
    backward<true>(weights, base, y, gradient, rows, points, of_weights, of_base, of_y);
}

}  // extern "C"
