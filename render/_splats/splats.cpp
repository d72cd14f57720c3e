// Projection of splats, compositing of tiles, and the gradients of both: what projection.py, harmonics.py,
// drawing.py, tile_gradients.py and projection_gradients.py say, for a compiler that leaves sums in registers where
// numba goes through memory. Those explain the maths; this explains the lanes: one per splat, or per pixel of a
// block, in vectors as wide as registers are, because wider ones fall apart. Built by building.py, called by kernels.py.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(_WIN32)
#define SHARED extern "C" __declspec(dllexport)
#else
#define SHARED extern "C" __attribute__((visibility("default")))
#endif

namespace {

// As in arrays.py.
constexpr int TILE = 16, BATCH = 32, LAYERS = 5, SLOPES = 6, MOMENTS = 12;
constexpr float MAX_ALPHA = 0.999f, MIN_TRANSMITTANCE = 1e-4f;

// What drawing reads of a record, in the order of arrays.py.
struct Splat {
    float u, v, steep, shear, fall, log_o, shown[4], reach_v, half_u;
};
enum Field { U, V, STEEP, SHEAR, FALL, LOG_O, RED, GREEN, BLUE, DEPTH, REACH_V, HALF_U, FIELDS, RECORD = 16 };

// As in arithmetic.py.
constexpr float LOG2_255 = 7.9943534368588f, LOG2_E = 1.4426950408889634f, LN_2 = 0.6931471805599453f;
constexpr float PIXEL_SLACK = 1e-3f;
constexpr float P0 = 1.0000001f, P1 = 0.69314694f, P2 = 0.2402212f;
constexpr float P3 = 0.05550713f, P4 = 0.00967554f, P5 = 0.0013276472f;
constexpr float ROUND = 12582912.0f + 127.0f;

#if defined(__AVX512DQ__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef float Four __attribute__((vector_size(16)));

// What vectors have no operator for, or a slow one: a bit for every lane of a comparison; and 1 / x, of which long
// vectors have a rough one at once and a true one after 24 cycles.
#if defined(__AVX512DQ__)
inline uint32_t bits(Ints mask) { return _mm512_movepi32_mask((__m512i)mask); }
inline Floats inverse(Floats x) {
    Floats rough = (Floats)_mm512_rcp14_ps((__m512)x);
    return rough + rough * (1.0f - x * rough);
}
#elif defined(__AVX2__)
inline uint32_t bits(Ints mask) { return uint32_t(_mm256_movemask_ps((__m256)mask)); }
#elif defined(__SSE2__)
inline uint32_t bits(Ints mask) { return uint32_t(_mm_movemask_ps((__m128)mask)); }
#else
inline uint32_t bits(Ints mask) {
    uint32_t found = 0;
    for (int i = 0; i < LANES; i++) found |= uint32_t(mask[i] & 1) << i;
    return found;
}
#endif
#if !defined(__AVX512DQ__)
inline Floats inverse(Floats x) { return 1.0f / x; }
#endif

// A tile's blocks of SIDE by ROWS pixels, a vector each: most splats are small, and leave most of a row empty.
constexpr int SIDE = 4, ROWS = LANES / SIDE, ACROSS = TILE / SIDE, BLOCKS = TILE * TILE / LANES;
typedef Floats Pixels[BLOCKS];

inline Floats all(float x) { return x - Floats{}; }

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

// e^x, saturated at 2^-126 and 2^126; NaN stays NaN.
inline Floats exp(Floats x) {
    Floats t = x * LOG2_E;
    t = t < -126.0f ? all(-126.0f) : t;
    return exp2(t > 126.0f ? all(126.0f) : t);
}

// Of normal positive numbers, by the series of 2 artanh((m - 1) / (m + 1)) for m between the roots of 1/2 and 2;
// NaN stays NaN.
inline Floats log2(Floats x) {
    Ints bits = (Ints)x, whole = (bits - 0x3f3504f3) >> 23;
    Floats m = (Floats)(bits - (whole << 23)), s = (m - 1.0f) / (m + 1.0f), q = s * s;
    Floats series = 1.0f + q * (1.0f / 3 + q * (1.0f / 5 + q * (1.0f / 7 + q * (1.0f / 9))));
    Floats found = __builtin_convertvector(whole, Floats) + 2.0f * LOG2_E * s * series;
    return x == x ? found : x;
}

inline Floats sqrt(Floats x) {
    for (int i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
}

inline Floats clipped(Floats x, float lo, float hi) {
    x = x < lo ? all(lo) : x;
    return x > hi ? all(hi) : x;
}

inline float clipped(float x, float lo, float hi) { return x < lo ? lo : (x > hi ? hi : x); }

// Where pixels are in a tile, block by block; and where blocks begin.
struct Grid {
    Pixels x, y;
    Floats left[BLOCKS / LANES], top[BLOCKS / LANES];

    Grid() {
        for (int block = 0; block < BLOCKS; block++) {
            for (int lane = 0; lane < LANES; lane++) {
                x[block][lane] = float(block % ACROSS * SIDE + lane % SIDE);
                y[block][lane] = float(block / ACROSS * ROWS + lane / SIDE);
            }
            left[block / LANES][block % LANES] = x[block][0];
            top[block / LANES][block % LANES] = y[block][0];
        }
    }
};

// A bit for every block that more splats can still change.
uint64_t open_blocks(const Pixels &T) {
    uint64_t open = 0;
    for (int block = 0; block < BLOCKS; block++) open |= uint64_t(bits(T[block] > 0.0f) != 0) << block;
    return open;
}

// A bit for every block that a splat reaches: between its first row and its last, it is within HALF_U of a line.
inline uint64_t reached_blocks(const Splat &splat, float u, const Grid &grid) {
    uint64_t reached = 0;
    for (int part = 0; part < BLOCKS / LANES; part++) {
        Floats top = grid.top[part] - splat.v, bottom = top + float(ROWS - 1);
        Floats from = splat.shear * (top > -splat.reach_v ? top : all(-splat.reach_v));
        Floats to = splat.shear * (bottom < splat.reach_v ? bottom : all(splat.reach_v));
        Floats low = (from < to ? from : to) + (u - splat.half_u), high = (from < to ? to : from) + (u + splat.half_u);
        Ints is_reached = (low <= grid.left[part] + float(SIDE - 1)) & (high >= grid.left[part]);
        is_reached &= (top <= splat.reach_v) & (bottom >= -splat.reach_v);
        reached |= uint64_t(bits(is_reached)) << (part * LANES);
    }
    return reached;
}

// One splat in a block: s and t of alpha = 2^t, and how far pixels are below its centre.
struct Slice {
    Floats s, t, dy;
};

// Goes through the open blocks that a splat reaches.
template <typename Lay>
inline void each_block(const Splat &splat, float left, const Grid &grid, uint64_t blocks, Lay lay) {
    float lean = splat.steep * splat.shear, middle = splat.steep * (splat.u - left);
    for (; blocks; blocks &= blocks - 1) {
        int block = __builtin_ctzll(blocks);
        Floats dy = grid.y[block] - splat.v, s = splat.steep * grid.x[block] - (middle + lean * dy);
        lay(block, Slice{s, splat.log_o - splat.fall * dy * dy - s * s, dy});
    }
}

// What a splat adds to the pixels of a block; takes its share of the transmittance there.
struct Layer {
    Floats raw, alpha, weight;
    Ints is_open;

    // Below 1/255 alpha is 0. A full pixel has its transmittance negated.
    Layer(Floats t, Floats &T) : raw(t >= -LOG2_255 ? exp2(t) : Floats{}), alpha(raw < MAX_ALPHA ? raw : all(MAX_ALPHA)) {
        Floats taken = T * alpha, after = T - taken, full = (Floats)((Ints)T | INT32_MIN);
        is_open = after > MIN_TRANSMITTANCE;
        weight = is_open ? taken : Floats{};
        T = is_open ? after : full;
    }
};

constexpr int AHEAD = 8;  // splats that are fetched before their turn

// Goes through a tile's splats front to back, as far as its pixels can change.
template <typename Tile, typename Lay>
inline void each_splat(const Splat *near, const uint32_t *members, int64_t count, float left, const Grid &grid,
                       const Tile &tile, Lay lay) {
    uint64_t open = ~uint64_t(0) >> (64 - BLOCKS), blocks[BATCH];
    for (int64_t begin = 0; begin < count && open; begin += BATCH, open = open_blocks(tile.T)) {
        int64_t end = begin + BATCH < count ? begin + BATCH : count;
        // All of a batch first: what is gone through next is known before it is needed.
        for (int64_t i = begin; i < end; i++) {
            if (i + AHEAD < count) __builtin_prefetch(&near[members[i + AHEAD]]);
            const Splat &splat = near[members[i]];
            blocks[i - begin] = open & reached_blocks(splat, splat.u - left, grid);
        }
        for (int64_t i = begin; i < end; i++)
            if (blocks[i - begin]) lay(members[i], near[members[i]], blocks[i - begin]);
    }
}

// Transmittance; red, green, blue and depth of a picture, or the gradients by them, and by alpha; what is behind.
struct Picture {
    Pixels T, shown[4];
};
struct Slopes {
    Pixels T, by[SLOPES];
};

inline void sum_splat(const Splat &splat, float left, const Grid &grid, uint64_t open, Slopes &tile, float *sums) {
    Floats m[MOMENTS] = {};
    each_block(splat, left, grid, open, [&](int block, const Slice &slice) {
        Layer layer(slice.t, tile.T[block]);
        Floats own = tile.by[4][block];
        for (int i = 0; i < 4; i++) own += splat.shown[i] * tile.by[i][block];
        own *= layer.weight;
        Floats behind = tile.by[5][block] -= own, q = own - behind * layer.alpha * inverse(1.0f - layer.alpha);
        q = (layer.is_open & (layer.raw < MAX_ALPHA)) ? q : Floats{};
        Floats qs = q * slice.s, qy = q * slice.dy;
        m[0] += q, m[1] += qs, m[2] += qs * slice.s, m[3] += qy, m[4] += qs * slice.dy, m[5] += qy * slice.dy;
        for (int i = 0; i < 4; i++) m[6 + i] += layer.weight * tile.by[i][block];
    });
    for (int i = 0; i < MOMENTS; i += 4) {
        Four sum;
        std::memcpy(&sum, sums + i, sizeof sum);
        sum += totals(m + i);
        std::memcpy(sums + i, &sum, sizeof sum);
    }
}

// Goes through the pixels of a tile that are in a picture: where they are there, their block and their lane.
template <typename See>
inline void each_pixel(int64_t left, int64_t height, int64_t width, See see) {
    for (int64_t j = 0; j < height; j++)
        for (int64_t i = 0; i < TILE && left + i < width; i++)
            see(j * width + left + i, j / ROWS * ACROSS + i / SIDE, j % ROWS * SIDE + i % SIDE);
}

// As in projection.py.
constexpr float NEAR = 0.01f, FAR = 1e10f, BLUR = 0.3f, FRUSTUM_SLACK = 0.3f;

struct Three {
    Floats x, y, z;
};

inline Three operator*(Floats s, Three a) { return {s * a.x, s * a.y, s * a.z}; }
inline Three operator*(Three a, Three b) { return {a.x * b.x, a.y * b.y, a.z * b.z}; }
inline Three operator+(Three a, Three b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Three operator-(Three a, Three b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Floats dot(Three a, Three b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline Three cross(Three a, Three b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline Three all(const float *a) { return {all(a[0]), all(a[1]), all(a[2])}; }

// Which splats the lanes stand for. Lanes from count on repeat the last, and nothing is written for them.
struct Lanes {
    int64_t ids[LANES];
    int count;

    template <typename Id>
    Lanes(int64_t begin, int64_t end, Id id) : count(int(end - begin < LANES ? end - begin : LANES)) {
        for (int i = 0; i < LANES; i++) ids[i] = id(begin + (i < count ? i : count - 1));
    }

    Floats load(const float *rows, int64_t width, int64_t column) const {
        Floats x;
        for (int i = 0; i < LANES; i++) x[i] = rows[ids[i] * width + column];
        return x;
    }

    Three load3(const float *rows, int64_t width = 3, int64_t column = 0) const {
        return {load(rows, width, column), load(rows, width, column + 1), load(rows, width, column + 2)};
    }

    void store(float *rows, int64_t width, int64_t column, Floats x) const {
        for (int i = 0; i < count; i++) rows[ids[i] * width + column] = x[i];
    }

    void store3(float *rows, Three x, int64_t width = 3, int64_t column = 0) const {
        store(rows, width, column, x.x), store(rows, width, column + 1, x.y), store(rows, width, column + 2, x.z);
    }
};

struct Turn {
    Floats w;
    Three v;

    // Row vector times rotation.
    Three operator()(Three axis) const {
        Floats s = 2.0f / (w * w + dot(v, v));
        Three c = cross(axis, v);
        return axis + s * (cross(c, v) + w * c);
    }

    Turn back() const { return {w, {-v.x, -v.y, -v.z}}; }
};

// A camera, and the tangents that bound a slightly widened frustum.
struct Lens {
    const float *w2c;
    float fx, fy, cx, cy, width, height, x_lo, x_hi, y_lo, y_hi;

    Lens(const float *w2c, const float *K, int64_t columns, int64_t rows)
        : w2c(w2c), fx(K[0]), fy(K[4]), cx(K[2]), cy(K[5]), width(float(columns)), height(float(rows)) {
        float slack_x = FRUSTUM_SLACK * 0.5f * width / fx, slack_y = FRUSTUM_SLACK * 0.5f * height / fy;
        x_lo = -cx / fx - slack_x, x_hi = (width - cx) / fx + slack_x;
        y_lo = -cy / fy - slack_y, y_hi = (height - cy) / fy + slack_y;
    }

    Three row(int i) const { return all(w2c + 4 * i); }

    Three transformed(Three mean) const {
        return {dot(row(0), mean) + w2c[3], dot(row(1), mean) + w2c[7], dot(row(2), mean) + w2c[11]};
    }
};

// Splats before a camera: the rows of the Jacobian of projection, times rotations, and scales.
struct Seen {
    Floats inv_z, jx, jy, tx, ty, sx, sy;
    Three axis_u, axis_v, u, v, scale, w;
    Floats vv, det;

    Seen(const Lens &lens, Three point, const Turn &turn, Three log_scale) {
        inv_z = 1.0f / point.z, jx = lens.fx * inv_z, jy = lens.fy * inv_z;
        tx = point.x * inv_z, ty = point.y * inv_z;
        sx = clipped(tx, lens.x_lo, lens.x_hi), sy = clipped(ty, lens.y_lo, lens.y_hi);
        axis_u = jx * (lens.row(0) - sx * lens.row(2)), axis_v = jy * (lens.row(1) - sy * lens.row(2));
        u = turn(axis_u), v = turn(axis_v);
        scale = {exp(log_scale.x), exp(log_scale.y), exp(log_scale.z)};
        w = scale * scale;
        // |u x v|^2 rather than uu vv - uv^2, which would cancel for long thin ellipses.
        Three c = Three{scale.y * scale.z, scale.z * scale.x, scale.x * scale.y} * cross(u, v);
        vv = dot(w, v * v) + BLUR;
        det = dot(c, c) + BLUR * (uu() + vv - BLUR);
    }

    Floats uu() const { return dot(w, u * u) + BLUR; }
    Floats uv() const { return dot(w, u * v); }
};

// As in harmonics.py.
constexpr float GREY[] = {0.5f, 0.5f, 0.5f};
constexpr float SH_C0 = 0.28209479f, C3_4 = 0.48860251f, C15_4 = 1.0925484f, C5_16 = 0.31539157f;
constexpr float C15_16 = 0.54627422f, C35_32 = 0.59004359f, C105_4 = 2.8906114f, C21_32 = 0.45704579f;
constexpr float C7_16 = 0.37317633f, C105_16 = 1.4453057f;

void sh_basis(Three direction, int64_t count, Floats *basis) {
    auto [x, y, z] = direction;
    Floats xx = x * x, yy = y * y, zz = z * z;
    basis[0] = all(SH_C0);
    if (count > 1) basis[1] = -C3_4 * y, basis[2] = C3_4 * z, basis[3] = -C3_4 * x;
    if (count > 4) {
        basis[4] = C15_4 * x * y, basis[5] = -C15_4 * y * z, basis[7] = -C15_4 * x * z;
        basis[6] = C5_16 * (2.0f * zz - xx - yy), basis[8] = C15_16 * (xx - yy);
    }
    if (count > 9) {
        basis[9] = -C35_32 * y * (3.0f * xx - yy), basis[15] = -C35_32 * x * (xx - 3.0f * yy);
        basis[10] = C105_4 * x * y * z, basis[14] = C105_16 * z * (xx - yy);
        basis[11] = -C21_32 * y * (4.0f * zz - xx - yy), basis[13] = -C21_32 * x * (4.0f * zz - xx - yy);
        basis[12] = C7_16 * z * (2.0f * zz - 3.0f * xx - 3.0f * yy);
    }
}

Three sh_slope(Three direction, int64_t count, const Floats *w) {
    auto [x, y, z] = direction;
    Floats xx = x * x, yy = y * y, zz = z * z;
    Three g = {-C3_4 * w[3], -C3_4 * w[1], C3_4 * w[2]};
    if (count > 4) {
        g.x += C15_4 * (y * w[4] - z * w[7]) + 2.0f * x * (C15_16 * w[8] - C5_16 * w[6]);
        g.y += C15_4 * (x * w[4] - z * w[5]) - 2.0f * y * (C15_16 * w[8] + C5_16 * w[6]);
        g.z += -C15_4 * (y * w[5] + x * w[7]) + 4.0f * z * C5_16 * w[6];
    }
    if (count > 9) {
        Floats xy = x * y, flat = C7_16 * w[12], ridge = C105_16 * w[14];
        g.x += C105_4 * y * z * w[10] + 2.0f * x * z * ridge - 6.0f * x * z * flat;
        g.x -= C35_32 * (6.0f * xy * w[9] + 3.0f * (xx - yy) * w[15]);
        g.x += C21_32 * (2.0f * xy * w[11] - (4.0f * zz - 3.0f * xx - yy) * w[13]);
        g.y += C105_4 * x * z * w[10] - 2.0f * y * z * ridge - 6.0f * y * z * flat;
        g.y -= C35_32 * (3.0f * (xx - yy) * w[9] - 6.0f * xy * w[15]);
        g.y += C21_32 * (2.0f * xy * w[13] - (4.0f * zz - xx - 3.0f * yy) * w[11]);
        g.z += C105_4 * xy * w[10] + (xx - yy) * ridge + (6.0f * zz - 3.0f * (xx + yy)) * flat;
        g.z -= 8.0f * C21_32 * z * (y * w[11] + x * w[13]);
    }
    return g;
}

}  // namespace

struct Gaussians {
    const float *means, *quats, *log_scales, *logit_opacities, *sh;
    int64_t count, bases;

    Turn turn(const Lanes &lanes) const { return {lanes.load(quats, 4, 0), lanes.load3(quats, 4, 1)}; }
};

struct View {
    const float *w2c, *origin, *K;
    int64_t width, height;
};
struct Records {
    float *fields;
    uint32_t *keys, *ids;
    int16_t *tile_rows;
};
struct Gradients {
    float *means, *quats, *log_scales, *logit_opacities, *sh, *screen;
};

// From the camera to the splats, and one over how far that is.
static Three direction_of(const Gaussians &g, const View &view, const Lanes &lanes, Floats &inverse) {
    Three away = lanes.load3(g.means) - all(view.origin);
    inverse = 1.0f / sqrt(dot(away, away));
    return inverse * away;
}

// Colours of the records from lo to hi, as seen from the camera.
static void write_harmonics(const Gaussians &g, const View &view, int64_t lo, int64_t hi, const Records &records) {
    Floats basis[16], inverse;
    for (int64_t begin = lo; begin < hi; begin += LANES) {
        Lanes lanes(begin, hi, [&](int64_t slot) { return records.ids[slot]; });
        Lanes slots(begin, hi, [](int64_t slot) { return slot; });
        sh_basis(direction_of(g, view, lanes, inverse), g.bases, basis);
        Three colour = all(GREY);
        for (int64_t k = 0; k < g.bases; k++) colour = colour + basis[k] * lanes.load3(g.sh, 3 * g.bases, 3 * k);
        for (Floats *part : {&colour.x, &colour.y, &colour.z}) *part = *part > 0.0f ? *part : Floats{};
        slots.store3(records.fields, colour, RECORD, RED);
    }
}

// Writes records of the visible Gaussians from lo to hi, from slot lo on; returns how many.
SHARED int64_t project(const Gaussians *gaussians, const View *view, int64_t lo, int64_t hi, const Records *records) {
    const Gaussians &g = *gaussians;
    Lens lens(view->w2c, view->K, view->width, view->height);
    int64_t slot = lo;
    for (int64_t begin = lo; begin < hi; begin += LANES) {
        Lanes lanes(begin, hi, [](int64_t id) { return id; });
        Three point = lens.transformed(lanes.load3(g.means));
        // Alpha is 1/255 where dx^2 + dy^2, in standard deviations, equals this level.
        Floats opacity = lanes.load(g.logit_opacities, 1, 0);
        Floats level = 2.0f * LN_2 * (LOG2_255 - log2(1.0f + exp(-opacity)));
        Ints is_seen = (point.z > NEAR) & (point.z < FAR) & (level > 0.0f);
        if (!bits(is_seen)) continue;
        Seen seen(lens, point, g.turn(lanes), lanes.load3(g.log_scales));
        Floats uu = seen.uu(), uv = seen.uv(), inv_vv = 1.0f / seen.vv;
        Floats reach_u = sqrt(level * uu), reach_v = sqrt(level * seen.vv);
        Floats f[FIELDS];
        f[U] = lens.fx * point.x / point.z + lens.cx, f[V] = lens.fy * point.y / point.z + lens.cy;
        f[STEEP] = sqrt(0.5f * LOG2_E * seen.vv / seen.det), f[SHEAR] = uv * inv_vv;
        f[FALL] = 0.5f * LOG2_E * inv_vv, f[LOG_O] = level * (0.5f * LOG2_E) - LOG2_255;
        f[HALF_U] = sqrt(0.5f * LOG2_E * level) / f[STEEP] + PIXEL_SLACK, f[REACH_V] = reach_v + PIXEL_SLACK;
        f[DEPTH] = point.z;
        is_seen &= (f[U] + reach_u + PIXEL_SLACK > 0.5f) & (f[U] - reach_u - PIXEL_SLACK < lens.width - 0.5f);
        if (!bits(is_seen)) continue;
        Three colour = all(SH_C0) * lanes.load3(g.sh, 3 * g.bases) + all(GREY);
        f[RED] = colour.x, f[GREEN] = colour.y, f[BLUE] = colour.z;
        for (int c = RED; c <= BLUE; c++) f[c] = f[c] > 0.0f ? f[c] : Floats{};
        for (int i = 0; i < lanes.count; i++) {
            if (!is_seen[i]) continue;
            float first = clipped(std::ceil(f[V][i] - f[REACH_V][i] - 0.5f), 0.0f, lens.height);
            float last = clipped(std::floor(f[V][i] + f[REACH_V][i] - 0.5f), -1.0f, lens.height - 1.0f);
            if (!(first <= last)) continue;
            for (int field = 0; field < FIELDS; field++) records->fields[slot * RECORD + field] = f[field][i];
            records->ids[slot] = uint32_t(lanes.ids[i]);
            std::memcpy(&records->keys[slot], &records->fields[slot * RECORD + DEPTH], 4);
            records->tile_rows[2 * slot] = int16_t(int(first) / TILE);
            records->tile_rows[2 * slot + 1] = int16_t(int(last) / TILE);
            slot++;
        }
    }
    if (g.bases > 1) write_harmonics(g, *view, lo, slot, *records);
    return slot - lo;
}

// A row of tiles: writes what drawing needs of the records of its slots to near, [count FIELDS]; the first and the
// last tile that each reaches to spans, [count 2]; where the list of each tile begins to starts, which is 0 before;
// and the order from near to far to the lower halves of order, [2 count].
SHARED void list_row(const Records *records, const uint32_t *slots, int64_t count, int64_t top, int64_t width, float *near,
                     int32_t *spans, uint64_t *order, int64_t *starts, int64_t columns) {
    uint32_t histograms[3][2048] = {};
    for (int64_t begin = 0; begin < count; begin += LANES) {
        Lanes lanes(begin, count, [](int64_t i) { return i; });
        for (int64_t i = begin; i < begin + lanes.count; i++) {
            uint32_t key = records->keys[slots[i]];
            std::memcpy(near + i * FIELDS, records->fields + slots[i] * RECORD, 4 * FIELDS);
            near[i * FIELDS + U] -= 0.5f, near[i * FIELDS + V] -= float(top) + 0.5f;
            order[i] = uint64_t(key) << 32 | uint64_t(i);
            for (int digit = 0; digit < 3; digit++) histograms[digit][key >> 11 * digit & 2047]++;
        }
        Floats u = lanes.load(near, FIELDS, U), v = lanes.load(near, FIELDS, V), half = lanes.load(near, FIELDS, HALF_U);
        Floats reach = lanes.load(near, FIELDS, REACH_V), shear = lanes.load(near, FIELDS, SHEAR);
        Floats from = shear * (-v > -reach ? -v : -reach), to = TILE - 1.0f - v;
        to = shear * (to < reach ? to : reach);
        Floats left = clipped(u - half + (from < to ? from : to), 0.0f, float(width));
        Floats right = clipped(u + half + (from < to ? to : from), -1.0f, float(width - 1));
        Ints first = __builtin_convertvector(left, Ints), last = __builtin_convertvector(right, Ints);
        first -= __builtin_convertvector(first, Floats) < left;  // rounded up
        Ints is_reached = (left <= right) & (right >= 0.0f) & (first <= last);
        for (int i = 0; i < lanes.count; i++) {
            int32_t *span = spans + 2 * (begin + i);
            span[0] = is_reached[i] ? first[i] / TILE : 1, span[1] = is_reached[i] ? last[i] / TILE : 0;
            for (int column = span[0]; column <= span[1]; column++) starts[column + 1]++;
        }
    }
    for (int64_t column = 0; column < columns; column++) starts[column + 1] += starts[column];
    // A stable radix sort that skips digits which all share.
    uint64_t *sorted = order;
    for (int digit = 0; digit < 3 && count > 0; digit++) {
        uint32_t *at = histograms[digit], sum = 0, shift = uint32_t(32 + 11 * digit);
        if (at[sorted[0] >> shift & 2047] == count) continue;
        for (int i = 0; i < 2048; i++) sum += at[i], at[i] = sum - at[i];
        uint64_t *other = sorted == order ? order + count : order;
        for (int64_t i = 0; i < count; i++) other[at[sorted[i] >> shift & 2047]++] = sorted[i];
        sorted = other;
    }
    if (sorted != order) std::memcpy(order, sorted, size_t(8 * count));
}

// Then writes the members of its tiles, nearest first; at is where each list begins, and moves to its end.
SHARED void fill_row(const int32_t *spans, const uint64_t *order, int64_t count, int64_t *at, uint32_t *members) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t own = uint32_t(order[i]);
        for (int column = spans[2 * own]; column <= spans[2 * own + 1]; column++) members[at[column]++] = own;
    }
}

// Draws a row of tiles, over black. starts[c] to starts[c + 1] are the members of tile c, nearest first; layers is
// [height width LAYERS], at most TILE pixel rows.
SHARED void draw_tiles(const float *near, const uint32_t *members, const int64_t *starts, int64_t columns,
                       float *layers, int64_t height, int64_t width) {
    Grid grid;
    for (int64_t column = 0; column < columns; column++) {
        int64_t left = column * TILE;
        Picture tile = {};
        for (Floats &T : tile.T) T = all(1.0f);
        auto lay = [&](uint32_t, const Splat &splat, uint64_t open) {
            each_block(splat, float(left), grid, open, [&](int block, const Slice &slice) {
                Layer layer(slice.t, tile.T[block]);
                for (int i = 0; i < 4; i++) tile.shown[i][block] += layer.weight * splat.shown[i];
            });
        };
        each_splat((const Splat *)near, members + starts[column], starts[column + 1] - starts[column],
                   float(left), grid, tile, lay);
        each_pixel(left, height, width, [&](int64_t at, int64_t block, int64_t lane) {
            for (int i = 0; i < 4; i++) layers[at * LAYERS + i] = tile.shown[i][block][lane];
            layers[at * LAYERS + 4] = 1.0f - std::fabs(tile.T[block][lane]);
        });
    }
}

// Adds the moments of a row of tiles to sums, [splats MOMENTS]; slopes is [height width SLOPES].
SHARED void sum_tiles(const float *near, const uint32_t *members, const int64_t *starts, int64_t columns,
                      const float *slopes, int64_t height, int64_t width, float *sums) {
    Grid grid;
    for (int64_t column = 0; column < columns; column++) {
        int64_t left = column * TILE, count = starts[column + 1] - starts[column];
        if (count == 0) continue;
        Slopes tile = {};
        for (Floats &T : tile.T) T = all(1.0f);
        each_pixel(left, height, width, [&](int64_t at, int64_t block, int64_t lane) {
            for (int i = 0; i < SLOPES; i++) tile.by[i][block][lane] = slopes[at * SLOPES + i];
        });
        auto lay = [&](uint32_t k, const Splat &splat, uint64_t open) {
            sum_splat(splat, float(left), grid, open, tile, sums + int64_t(k) * MOMENTS);
        };
        each_splat((const Splat *)near, members + starts[column], count, float(left), grid, tile, lay);
    }
}

// Gradients by the screen axes in a Gaussian's own frame, before its scales.
static void axis_slopes(const Seen &seen, const Floats *m, Floats steep, Floats shear, Floats fall, Three *by) {
    const Three &u = seen.u, &v = seen.v, k = cross(u, v), wv = seen.w * v;
    Floats inv_vv = 1.0f / seen.vv;
    Three left = inv_vv * (BLUR + Floats{}) * u + inv_vv * cross(wv, k);
    Floats d_e = 2.0f * m[2] * seen.vv / seen.det, d_shear = 2.0f * steep * m[4] * inv_vv;
    Floats straight = 2.0f * m[5] * fall * inv_vv - d_shear * shear;
    by[0] = seen.w * (d_e * left + d_shear * v);
    by[1] = seen.w * ((d_shear - shear * d_e) * left + straight * v);
}

// Gradient by a quaternion of any length, where that by its matrix is p^T a + q^T b.
static void write_turn(const Lanes &lanes, const Turn &turn, Three p, Three q, Three a, Three b, float *quats) {
    auto [w, v] = turn;
    Floats norm = w * w + dot(v, v), s = 2.0f / norm;
    // The matrix's rows.
    Three g0 = p.x * a + q.x * b, g1 = p.y * a + q.y * b, g2 = p.z * a + q.z * b;
    Three odd = {g2.y - g1.z, g0.z - g2.x, g1.x - g0.y};
    Floats xy = g1.x + g0.y, xz = g2.x + g0.z, yz = g2.y + g1.z;
    Floats d_w = s * dot(v, odd);
    Three d_v = s * (w * odd + Three{v.y * xy + v.z * xz - 2.0f * v.x * (g1.y + g2.z),
                                     v.x * xy + v.z * yz - 2.0f * v.y * (g0.x + g2.z),
                                     v.x * xz + v.y * yz - 2.0f * v.z * (g0.x + g1.y)});
    Floats along = (d_w * w + dot(d_v, v)) / norm;
    lanes.store(quats, 4, 0, d_w - along * w);
    lanes.store3(quats, d_v - along * v, 4, 1);
}

// Writes the gradient by the harmonics, returns that by the mean. Black lets nothing through.
static Three colour_slopes(const Gaussians &g, const View &view, const Lanes &lanes, Three slope, float *sh) {
    Floats basis[16], weights[16], inverse;
    Three direction = direction_of(g, view, lanes, inverse);
    sh_basis(direction, g.bases, basis);
    for (int64_t k = 0; k < g.bases; k++) lanes.store3(sh, basis[k] * slope, 3 * g.bases, 3 * k);
    if (g.bases == 1) return Three{};
    for (int64_t k = 0; k < g.bases; k++) weights[k] = dot(slope, lanes.load3(g.sh, 3 * g.bases, 3 * k));
    Three by = sh_slope(direction, g.bases, weights);
    return inverse * (by - dot(by, direction) * direction);
}

// Writes the gradients of the Gaussians seen among those from lo to hi, which fill count slots from lo on, and 0
// for the others; adds that by the camera to camera, [5 4].
SHARED void project_back(const Gaussians *gaussians, const View *view, int64_t lo, int64_t hi, int64_t count,
                         const Records *records, const int64_t *firsts, const uint32_t *places, const float *sums,
                         const Gradients *out, double *camera) {
    const Gaussians &g = *gaussians;
    Lens lens(view->w2c, view->K, view->width, view->height);
    int64_t next = lo;  // rows before it are written
    auto clear_until = [&](int64_t end) {
        const int64_t widths[] = {3, 4, 3, 1, 3 * g.bases, 1};
        float *const outs[] = {out->means, out->quats, out->log_scales, out->logit_opacities, out->sh, out->screen};
        for (int i = 0; i < 6 && next < end; i++)
            std::memset(outs[i] + next * widths[i], 0, size_t(4 * (end - next) * widths[i]));
        next = end;
    };
    for (int64_t begin = lo; begin < lo + count; begin += LANES) {
        Lanes lanes(begin, lo + count, [&](int64_t slot) { return records->ids[slot]; });
        Lanes slots(begin, lo + count, [](int64_t slot) { return slot; });
        float moments[MOMENTS][LANES] = {};
        for (int i = 0; i < lanes.count; i++) {
            const int16_t *rows = records->tile_rows + 2 * slots.ids[i];
            const uint32_t *place = places + firsts[slots.ids[i]];
            clear_until(lanes.ids[i]);
            next = lanes.ids[i] + 1;
            float sum[MOMENTS] = {};
            for (int row = rows[0]; row <= rows[1]; row++, place++)
                for (int j = 0; j < MOMENTS; j++) sum[j] += sums[int64_t(*place) * MOMENTS + j];
            for (int j = 0; j < MOMENTS; j++) moments[j][i] = (j < 6 ? LN_2 : 1.0f) * sum[j];
        }
        Floats m[MOMENTS];
        std::memcpy(m, moments, sizeof m);
        Three mean = lanes.load3(g.means), point = lens.transformed(mean), colour;
        Turn turn = g.turn(lanes);
        Seen seen(lens, point, turn, lanes.load3(g.log_scales));
        Floats steep = slots.load(records->fields, RECORD, STEEP);
        Floats shear = slots.load(records->fields, RECORD, SHEAR), fall = slots.load(records->fields, RECORD, FALL);
        Three by[2];
        axis_slopes(seen, m, steep, shear, fall, by);
        lanes.store3(out->log_scales, by[0] * seen.u + by[1] * seen.v);
        write_turn(lanes, turn, seen.axis_u, seen.axis_v, by[0], by[1], out->quats);
        Floats opacity = 1.0f / (1.0f + exp(-lanes.load(g.logit_opacities, 1, 0)));
        lanes.store(out->logit_opacities, 1, 0, LOG2_E * m[0] * (1.0f - opacity));
        Floats d_u = 2.0f * steep * m[1], d_v = 2.0f * fall * m[3] - d_u * shear;
        lanes.store(out->screen, 1, 0, sqrt(d_u * d_u + d_v * d_v));

        Three by_u = turn.back()(by[0]), by_v = turn.back()(by[1]), forward = lens.row(2);
        Floats d_jx = dot(by_u, lens.row(0) - seen.sx * forward), d_jy = dot(by_v, lens.row(1) - seen.sy * forward);
        Floats bent_x = seen.sx == seen.tx ? seen.jx * dot(by_u, forward) : Floats{};
        Floats bent_y = seen.sy == seen.ty ? seen.jy * dot(by_v, forward) : Floats{};
        Floats d_tx = d_u * lens.fx - bent_x, d_ty = d_v * lens.fy - bent_y;
        Three d = {d_tx * seen.inv_z, d_ty * seen.inv_z,
                   m[9] - (d_tx * seen.tx + d_ty * seen.ty + d_jx * seen.jx + d_jy * seen.jy) * seen.inv_z};
        colour = slots.load3(records->fields, RECORD, RED);
        Three slope = {colour.x > 0.0f ? m[6] : Floats{}, colour.y > 0.0f ? m[7] : Floats{},
                       colour.z > 0.0f ? m[8] : Floats{}};
        Three around = colour_slopes(g, *view, lanes, slope, out->sh);
        lanes.store3(out->means, d.x * lens.row(0) + d.y * lens.row(1) + d.z * forward + around);

        Three row[] = {d.x * mean + seen.jx * by_u, d.y * mean + seen.jy * by_v,
                       d.z * mean - seen.sx * seen.jx * by_u - seen.sy * seen.jy * by_v, {}, Three{} - around};
        Floats last[] = {d.x, d.y, d.z, {}, {}};
        for (int i = 0; i < 5; i++) {
            Floats parts[] = {row[i].x, row[i].y, row[i].z, last[i]};
            Four sum = totals(parts);
            for (int j = 0; j < 4; j++) camera[4 * i + j] += sum[j];
        }
    }
    clear_until(hi);
}
