// Compositing of tiles and its gradients: what drawing.py and tile_gradients.py say, once more for a C++ compiler,
// which leaves sums in registers where numba goes through memory. Those two explain the maths; this explains the
// lanes. Built by building.py, called by kernels.py.
//
// One SIMD lane per pixel of a row, in vectors as wide as registers are: wider ones fall apart into scalar code.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(_WIN32)
#define SHARED extern "C" __declspec(dllexport)
#else
#define SHARED extern "C" __attribute__((visibility("default")))
#endif

namespace {

// As in arrays.py.
constexpr int TILE = 16, BATCH = 32, LAYERS = 5, MOMENTS = 10;
constexpr float MAX_ALPHA = 0.999f, MIN_TRANSMITTANCE = 1e-4f;

// What drawing reads of a record, in the order of arrays.py.
struct Splat {
    float u, v, steep, shear, fall, log_o, red, green, blue, depth, reach_v;
};

// As in arithmetic.py.
constexpr float LOG2_255 = 7.9943534368588f, LN_2 = 0.6931471805599453f;
constexpr float P0 = 1.0000001f, P1 = 0.69314694f, P2 = 0.2402212f;
constexpr float P3 = 0.05550713f, P4 = 0.00967554f, P5 = 0.0013276472f;
constexpr float ROUND = 12582912.0f + 127.0f;

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
constexpr int PARTS = TILE / LANES;

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef float Four __attribute__((vector_size(16)));
typedef Floats Pixels[TILE][PARTS];

inline Floats all(float x) { return x - Floats{}; }

inline Floats magnitude(Floats x) { return (Floats)((Ints)x & 0x7fffffff); }

inline bool any(Ints mask) {
    int64_t halves[LANES / 2], found = 0;
    std::memcpy(halves, &mask, sizeof mask);
    for (int64_t half : halves) found |= half;
    return found != 0;
}

// a and b shuffled, four lanes at a time: lane i of the outcome is lane at[i % 4] of a's four and then b's four.
template <int A, int B, int C, int D, int... I>
inline Floats shuffled(Floats a, Floats b, std::integer_sequence<int, I...>) {
    constexpr int at[4] = {A, B, C, D};
#if defined(__clang__)
    return __builtin_shufflevector(a, b, (at[I % 4] % 4 + I / 4 * 4 + at[I % 4] / 4 * LANES)...);
#else
    return __builtin_shuffle(a, b, Ints{(at[I % 4] % 4 + I / 4 * 4 + at[I % 4] / 4 * LANES)...});
#endif
}

// The sums over the lanes of four vectors, all at once, which takes a third of what four take.
inline Four totals(const Floats *x) {
    constexpr auto lanes = std::make_integer_sequence<int, LANES>();
    Floats a = shuffled<0, 4, 1, 5>(x[0], x[1], lanes) + shuffled<2, 6, 3, 7>(x[0], x[1], lanes);
    Floats b = shuffled<0, 4, 1, 5>(x[2], x[3], lanes) + shuffled<2, 6, 3, 7>(x[2], x[3], lanes);
    Floats both = shuffled<0, 1, 4, 5>(a, b, lanes) + shuffled<2, 3, 6, 7>(a, b, lanes);
    Four quarters[LANES / 4], sum = {};
    std::memcpy(quarters, &both, sizeof both);
    for (Four quarter : quarters) sum += quarter;
    return sum;
}

// 2^t for -126 <= t <= 127.
inline Floats exp2(Floats t) {
    Floats shifted = t + ROUND, f = t - (shifted - ROUND);
    Floats power = ((((P5 * f + P4) * f + P3) * f + P2) * f + P1) * f + P0;
    return power * (Floats)((Ints)shifted << 23);
}

inline float clipped(float x, float lo, float hi) { return x < lo ? lo : (x > hi ? hi : x); }

// Numbers of the pixels of a row.
inline Floats column_numbers(int part) {
    Floats numbers;
    for (int i = 0; i < LANES; i++) numbers[i] = float(part * LANES + i);
    return numbers;
}

struct Rows {
    int first, last;
};

inline bool is_open(const Floats (&row)[PARTS]) {
    Ints open = {};
    for (Floats T : row) open |= T > 0.0f;
    return any(open);
}

// The rows between the first and the last that more splats can still change.
Rows open_rows(const Pixels &T, Rows rows) {
    while (rows.first <= rows.last && !is_open(T[rows.first])) rows.first++;
    while (rows.first <= rows.last && !is_open(T[rows.last])) rows.last--;
    return rows;
}

inline Rows rows_reached(const Splat &splat, Rows rows) {
    float first = std::ceil(clipped(splat.v - splat.reach_v, float(rows.first), float(TILE)));
    float last = std::floor(clipped(splat.v + splat.reach_v, -1.0f, float(rows.last)));
    return {int(first), int(last)};
}

// One splat along one row of pixels: t and s of alpha = 2^t, t = peak - s^2.
struct Slice {
    float steep, peak, middle;

    Slice(const Splat &splat, float left, float dy)
        : steep(splat.steep),
          peak(splat.log_o - splat.fall * dy * dy),
          middle(splat.steep * (splat.u - left + splat.shear * dy)) {}
};

// Alpha before it is clamped; 0 where it is below 1/255. The clamp of t keeps subnormals out, which are slow.
inline Floats raw_alpha(Floats t) {
    Ints is_seen = t >= -LOG2_255;
    Floats alpha = exp2(t > -LOG2_255 ? t : all(-LOG2_255));
    return is_seen ? alpha : Floats{};
}

// What a splat adds to the pixels of one part of a row; takes its share of the transmittance there.
struct Layer {
    Floats s, raw, alpha, weight;
    Ints is_open;

    Layer(const Slice &slice, int part, Floats &T)
        : s(slice.steep * column_numbers(part) - slice.middle),
          raw(raw_alpha(slice.peak - s * s)),
          alpha(raw < MAX_ALPHA ? raw : all(MAX_ALPHA)) {
        Floats taken = T * alpha, after = T - taken;
        is_open = after > MIN_TRANSMITTANCE;
        weight = is_open ? taken : Floats{};
        T = is_open ? after : -magnitude(T);
    }
};

constexpr int AHEAD = 8;  // splats that are fetched before their turn

// Goes through a tile's splats front to back, as far as its pixels can change.
template <typename Tile, typename Lay>
inline void each_splat(const Splat *near, const uint32_t *members, int64_t count, const Tile &tile, Lay lay) {
    Rows rows = {0, TILE - 1};
    for (int64_t i = 0; i < count; i++) {
        if (i % BATCH == BATCH - 1) {
            rows = open_rows(tile.T, rows);
            if (rows.first > rows.last) return;
        }
        if (i + AHEAD < count) __builtin_prefetch(&near[members[i + AHEAD]]);
        const Splat &splat = near[members[i]];
        lay(members[i], splat, rows_reached(splat, rows));
    }
}

struct Picture {
    Pixels T, red, green, blue, depth;
};

inline void draw_splat(const Splat &splat, float left, Rows rows, Picture &tile) {
    for (int j = rows.first; j <= rows.last; j++) {
        Slice slice(splat, left, float(j) - splat.v);
        for (int p = 0; p < PARTS; p++) {
            Layer layer(slice, p, tile.T[j][p]);
            tile.red[j][p] += layer.weight * splat.red;
            tile.green[j][p] += layer.weight * splat.green;
            tile.blue[j][p] += layer.weight * splat.blue;
            tile.depth[j][p] += layer.weight * splat.depth;
        }
    }
}

struct Slopes {
    Pixels T, rest, red, green, blue, depth, alpha;
};

inline void sum_splat(const Splat &splat, float left, Rows rows, Slopes &tile, float *sums) {
    Floats m[12] = {};  // MOMENTS, and two more for totals
    for (int j = rows.first; j <= rows.last; j++) {
        float dy = float(j) - splat.v;
        Slice slice(splat, left, dy);
        for (int p = 0; p < PARTS; p++) {
            Layer layer(slice, p, tile.T[j][p]);
            Floats red = tile.red[j][p], green = tile.green[j][p], blue = tile.blue[j][p], depth = tile.depth[j][p];
            Floats shown = splat.red * red + splat.green * green + splat.blue * blue + splat.depth * depth;
            Floats own = layer.weight * (shown + tile.alpha[j][p]);
            Floats behind = tile.rest[j][p] - own;
            tile.rest[j][p] = behind;
            Floats q = own - behind * layer.alpha / (1.0f - layer.alpha);
            q = (layer.is_open & (layer.raw < MAX_ALPHA)) ? q : Floats{};
            Floats qs = q * layer.s;
            m[0] += q;
            m[1] += qs;
            m[2] += qs * layer.s;
            m[3] += q * dy;
            m[4] += qs * dy;
            m[5] += q * (dy * dy);
            m[6] += layer.weight * red;
            m[7] += layer.weight * green;
            m[8] += layer.weight * blue;
            m[9] += layer.weight * depth;
        }
    }
    Four moments[3] = {totals(m), totals(m + 4), totals(m + 8)};
    for (int i = 0; i < MOMENTS; i++) sums[i] += (i < 6 ? LN_2 : 1.0f) * moments[i / 4][i % 4];
}

}  // namespace

// Draws a row of tiles, over black. starts[c] to starts[c + 1] are the members of tile c, nearest first; layers is
// [height width LAYERS], at most TILE pixel rows.
SHARED void draw_tiles(const float *near, const uint32_t *members, const int64_t *starts, int64_t columns,
                       float *layers, int64_t height, int64_t width) {
    for (int64_t column = 0; column < columns; column++) {
        int64_t left = column * TILE;
        Picture tile = {};
        for (auto &row : tile.T)
            for (Floats &T : row) T = all(1.0f);
        each_splat((const Splat *)near, members + starts[column], starts[column + 1] - starts[column], tile,
                   [&](uint32_t, const Splat &splat, Rows rows) { draw_splat(splat, float(left), rows, tile); });
        for (int64_t j = 0; j < height; j++)
            for (int64_t i = 0; i < TILE && left + i < width; i++) {
                float *pixel = layers + (j * width + left + i) * LAYERS;
                int64_t p = i / LANES, lane = i % LANES;
                pixel[0] = tile.red[j][p][lane];
                pixel[1] = tile.green[j][p][lane];
                pixel[2] = tile.blue[j][p][lane];
                pixel[3] = tile.depth[j][p][lane];
                pixel[4] = 1.0f - std::fabs(tile.T[j][p][lane]);
            }
    }
}

// Adds the moments of a row of tiles to sums, [splats MOMENTS]; slopes is the gradient of the loss by layers.
SHARED void sum_tiles(const float *near, const uint32_t *members, const int64_t *starts, int64_t columns,
                      const float *layers, const float *slopes, int64_t height, int64_t width, float *sums) {
    for (int64_t column = 0; column < columns; column++) {
        int64_t left = column * TILE, count = starts[column + 1] - starts[column];
        if (count == 0) continue;
        Slopes tile = {};
        for (auto &row : tile.T)
            for (Floats &T : row) T = all(1.0f);
        for (int64_t j = 0; j < height; j++)
            for (int64_t i = 0; i < TILE && left + i < width; i++) {
                const float *pixel = layers + (j * width + left + i) * LAYERS;
                const float *slope = slopes + (j * width + left + i) * LAYERS;
                int64_t p = i / LANES, lane = i % LANES;
                tile.red[j][p][lane] = slope[0];
                tile.green[j][p][lane] = slope[1];
                tile.blue[j][p][lane] = slope[2];
                tile.depth[j][p][lane] = slope[3];
                tile.alpha[j][p][lane] = slope[4];
                float rest = 0.0f;
                for (int layer = 0; layer < LAYERS; layer++) rest += pixel[layer] * slope[layer];
                tile.rest[j][p][lane] = rest;
            }
        each_splat((const Splat *)near, members + starts[column], count, tile,
                   [&](uint32_t k, const Splat &splat, Rows rows) {
                       if (rows.first <= rows.last)
                           sum_splat(splat, float(left), rows, tile, sums + int64_t(k) * MOMENTS);
                   });
    }
}
