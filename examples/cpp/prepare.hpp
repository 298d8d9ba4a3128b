// Preprocessing: from the pixels of a clean picture to the 28×28 that the network sees, bit for bit as the package does.
// In: gray pixels, one byte each, row by row. Out: 28×28, ink 255 on 0. C++17 and its standard library, nothing else.
// The numbers of the steps are those of docs/preprocessing.md. Compile with -ffp-contract=off: a fused multiplication
// and addition rounds once where two operations round twice.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace inkdigit {

inline constexpr int version = 2;      // of the preprocessing: a card with a higher one needs a newer file than this
inline constexpr int side = 28;
inline constexpr int ink_side = 20;    // the longest side of prepared ink
inline constexpr int clean_side = 32;  // larger ink must be found first
inline constexpr int strong_level = 200;
inline constexpr int frame_side = 12;
inline constexpr int blot_edge = 2;

struct Gray {
    int width = 0, height = 0;
    std::vector<std::uint8_t> data;

    Gray(int w, int h) : width(w), height(h), data(static_cast<std::size_t>(w) * h) {}
    std::uint8_t& at(int x, int y) { return data[static_cast<std::size_t>(y) * width + x]; }
    std::uint8_t at(int x, int y) const { return data[static_cast<std::size_t>(y) * width + x]; }
};

// A picture that is not clean: the ink network must find its ink first.
struct NotClean : std::runtime_error {
    NotClean() : std::runtime_error("The ink of this picture must be found first: it is not clean.") {}
};

namespace detail {

struct Box {
    int left, top, width, height;
};

inline int longest(int width, int height) { return std::max(width, height); }
inline bool is_prepared(int length) { return length == ink_side - 1 || length == ink_side; }

// To the nearest whole number, from the middle to the even one.
inline int round_even(double value) {
    const double below = std::floor(value), rest = value - below;
    const bool down = rest < 0.5 || (rest == 0.5 && std::fmod(below, 2) == 0);
    return static_cast<int>(down ? below : below + 1);
}

// The smallest box that holds every pixel above `level`.
inline std::optional<Box> ink_box(const Gray& gray, double level = 0) {
    int left = gray.width, right = -1, top = gray.height, bottom = -1;
    for (int y = 0; y < gray.height; ++y)
        for (int x = 0; x < gray.width; ++x)
            if (gray.at(x, y) > level) {
                left = std::min(left, x), right = std::max(right, x);
                top = std::min(top, y), bottom = y;
            }
    if (bottom < 0) return std::nullopt;
    return Box{left, top, right - left + 1, bottom - top + 1};
}

inline Gray crop(const Gray& gray, const Box& box) {
    Gray out(box.width, box.height);
    for (int y = 0; y < box.height; ++y)
        for (int x = 0; x < box.width; ++x) out.at(x, y) = gray.at(box.left + x, box.top + y);
    return out;
}

inline Gray inverted(Gray gray) {
    for (auto& level : gray.data) level = static_cast<std::uint8_t>(255 - level);
    return gray;
}

inline int strongest(const Gray& ink) { return *std::max_element(ink.data.begin(), ink.data.end()); }

// All four sides of a crop are ink from end to end, and it is larger than a stroke is thick.
inline bool is_frame(const Gray& ink) {
    if (std::min(ink.width, ink.height) < frame_side) return false;
    for (int x = 0; x < ink.width; ++x)
        if (!ink.at(x, 0) || !ink.at(x, ink.height - 1)) return false;
    for (int y = 0; y < ink.height; ++y)
        if (!ink.at(0, y) || !ink.at(ink.width - 1, y)) return false;
    return true;
}

// All ink hangs together; pixels that touch with a corner do.
inline bool is_in_one_piece(Gray ink) {
    const auto first = std::find_if(ink.data.begin(), ink.data.end(), [](auto level) { return level > 0; });
    std::vector<int> waiting{static_cast<int>(first - ink.data.begin())};
    *first = 0;
    while (!waiting.empty()) {
        const int x = waiting.back() % ink.width, y = waiting.back() / ink.width;
        waiting.pop_back();
        for (int ny = std::max(0, y - 1); ny <= std::min(ink.height - 1, y + 1); ++ny)
            for (int nx = std::max(0, x - 1); nx <= std::min(ink.width - 1, x + 1); ++nx)
                if (ink.at(nx, ny)) {
                    ink.at(nx, ny) = 0;
                    waiting.push_back(ny * ink.width + nx);
                }
    }
    return strongest(ink) == 0;
}

// The faint ink of a crop reaches farther than the soft edge of its strong ink: more than 45 % of the strongest.
inline bool has_blots(const Gray& ink) {
    const Box strong = *ink_box(ink, std::floor(9 * strongest(ink) / 20.0));
    const int right = ink.width - strong.left - strong.width, below = ink.height - strong.top - strong.height;
    return std::max({strong.left, strong.top, right, below}) > blot_edge;
}

// For each of `to` pixels the first of the `from` pixels that it is made of, and their weights, which add up to 1.
struct Weights {
    int first;
    std::vector<double> shares;
};

inline std::vector<Weights> weights(int from, int to) {
    const double step = static_cast<double>(from) / to, stretch = std::max(step, 1.0);
    std::vector<Weights> all;
    for (int i = 0; i < to; ++i) {
        const double centre = (i + 0.5) * step;
        const int first = std::max(0, static_cast<int>(centre - stretch + 0.5));
        const int end = std::min(from, static_cast<int>(centre + stretch + 0.5));
        Weights one{first, {}};
        double sum = 0;
        for (int j = first; j < end; ++j) {
            one.shares.push_back(std::max(0.0, 1 - std::abs((j - centre + 0.5) * (1 / stretch))));
            sum += one.shares.back();
        }
        for (auto& share : one.shares) share /= sum;
        all.push_back(one);
    }
    return all;
}

// Rows first, then columns; a direction whose length stays is left alone. `Pixel` is what is stored after each
// direction, `share` makes a weight of the sum's own kind, and `round` makes a pixel of a sum that begins at `start`.
template <class Pixel, class Share, class Round, class Sum>
std::vector<Pixel> resample(const Gray& gray, int w, int h, Share share, Sum start, Round round) {
    std::vector<Pixel> pixels(gray.data.begin(), gray.data.end());
    if (w != gray.width) {
        std::vector<Pixel> out(static_cast<std::size_t>(w) * gray.height);
        const auto k = weights(gray.width, w);
        for (int y = 0; y < gray.height; ++y)
            for (int x = 0; x < w; ++x) {
                Sum sum = start;
                for (std::size_t j = 0; j < k[x].shares.size(); ++j)
                    sum += pixels[static_cast<std::size_t>(y) * gray.width + k[x].first + j] * share(k[x].shares[j]);
                out[static_cast<std::size_t>(y) * w + x] = round(sum);
            }
        pixels = std::move(out);
    }
    if (h != gray.height) {
        std::vector<Pixel> out(static_cast<std::size_t>(w) * h);
        const auto k = weights(gray.height, h);
        for (int y = 0; y < h; ++y)
            for (int x = 0; x < w; ++x) {
                Sum sum = start;
                for (std::size_t j = 0; j < k[y].shares.size(); ++j)
                    sum += pixels[(k[y].first + j) * w + x] * share(k[y].shares[j]);
                out[static_cast<std::size_t>(y) * w + x] = round(sum);
            }
        pixels = std::move(out);
    }
    return pixels;
}

inline Gray strengthen(Gray ink) {
    const int most = strongest(ink);
    if (most >= strong_level) return ink;
    const double factor = 255.0 / most;
    for (auto& level : ink.data) level = static_cast<std::uint8_t>(round_even(level * factor));
    return ink;
}

// Sums in double precision, stored as 32-bit floats after each direction. What the ink only touches stays ink.
inline Gray scale(const Gray& ink) {
    const int length = longest(ink.width, ink.height);
    if (is_prepared(length)) return ink;
    const auto scaled = [&](int one) { return std::max(1, round_even(static_cast<double>(one * ink_side) / length)); };
    Gray out(scaled(ink.width), scaled(ink.height));
    const auto floats = resample<float>(
        ink, out.width, out.height, [](double k) { return k; }, 0.0, [](double sum) { return static_cast<float>(sum); });
    const float factor = 255.0f / *std::max_element(floats.begin(), floats.end());
    for (std::size_t i = 0; i < floats.size(); ++i) {
        const float level = floats[i] * factor;
        out.data[i] = static_cast<std::uint8_t>(floats[i] > 0 ? std::max(1, round_even(level)) : 0);
    }
    return out;
}

// Where ink with these sums of its rows (or columns) begins: ceil(14 − centre − ½), inside the image.
inline int offset(const std::vector<long>& sums) {
    long total = 0, moment = 0;
    for (std::size_t i = 0; i < sums.size(); ++i) total += sums[i], moment += sums[i] * static_cast<long>(i);
    const long over = 2 * moment - (side - 1) * total, under = 2 * total;
    const long below = over / under - (over % under < 0);  // rounded down, where C++ rounds towards 0
    return static_cast<int>(std::clamp(-below, 0L, static_cast<long>(side) - static_cast<long>(sums.size())));
}

inline Gray paste_at(const Gray& ink, int left, int top) {
    Gray out(side, side);
    for (int y = 0; y < ink.height; ++y)
        for (int x = 0; x < ink.width; ++x) out.at(left + x, top + y) = ink.at(x, y);
    return out;
}

inline Gray paste(const Gray& ink) {
    std::vector<long> rows(ink.height), columns(ink.width);
    for (int y = 0; y < ink.height; ++y)
        for (int x = 0; x < ink.width; ++x) rows[y] += ink.at(x, y), columns[x] += ink.at(x, y);
    return paste_at(ink, offset(columns), offset(rows));
}

// The kind `plain`: the longest side becomes 28, the rest is 0. Weights have 22 bits after the point.
inline Gray fit(const Gray& gray) {
    const int length = longest(gray.width, gray.height);
    const auto fitted = [&](int one) { return std::max(1, round_even(static_cast<double>(one * side) / length)); };
    Gray out(fitted(gray.width), fitted(gray.height));
    out.data = resample<std::uint8_t>(
        gray, out.width, out.height, [](double k) { return static_cast<int>(0.5 + k * (1 << 22)); }, 1 << 21,
        [](int sum) { return static_cast<std::uint8_t>(std::clamp(sum >> 22, 0, 255)); });
    return paste_at(out, (side - out.width) / 2, (side - out.height) / 2);
}

}  // namespace detail

// Whether every pixel above 0 is ink, so that none needs to be found: steps 2 and 3.
inline bool is_clean(const Gray& gray) {
    using namespace detail;
    const auto box = ink_box(gray);
    const int length = box ? longest(box->width, box->height) : 0;
    if (length > clean_side) return false;
    if (box && !is_prepared(length)) {
        const Gray ink = crop(gray, *box);
        if (is_frame(ink) || !is_in_one_piece(ink) || (length > ink_side && has_blots(ink))) return false;
    }
    const bool is_mnist = gray.width == side && gray.height == side;
    if (is_mnist && length <= ink_side) return true;
    int inked = 0, border = 0;
    const auto look = [&](int x, int y) { ++border, inked += gray.at(x, y) > 0; };
    for (int x = 0; x < gray.width; ++x) look(x, 0), look(x, gray.height - 1);
    for (int y = 1; y < gray.height - 1; ++y) look(0, y), look(gray.width - 1, y);
    return is_mnist ? inked <= 10 : 50 * inked < 33 * border;
}

// Steps 4 to 8 alone, for a program that knows the ink: every pixel above 0 is ink, whatever the size.
inline Gray prepare_ink(const Gray& ink) {
    const auto box = detail::ink_box(ink);
    return box ? detail::paste(detail::scale(detail::strengthen(detail::crop(ink, *box)))) : Gray(side, side);
}

// The 28×28 image of a clean gray picture; `kind` is what the card says. Throws `NotClean`.
inline Gray prepare(const Gray& gray, const std::string& kind = "ink") {
    if (gray.width < 1 || gray.height < 1) throw std::invalid_argument("The picture has no pixels.");
    if (kind == "plain") return detail::fit(gray);
    if (kind != "ink")
        throw std::invalid_argument("Unknown kind of preprocessing " + kind + ". Expected: ink or plain.");
    if (is_clean(gray)) return prepare_ink(gray);
    const Gray other = detail::inverted(gray);
    if (is_clean(other)) return prepare_ink(other);
    throw NotClean();
}

}  // namespace inkdigit
