// Python bindings of the CPU walk. Exposures and mosaics come as addresses of the structs of ../exposure.h, which the
// Python side has filled and checked (gpures/records.py), and whose arrays it keeps alive for the time of a call. The
// GIL is released while the threads work.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "../blot.h"
#include "../formula.h"
#include "../operator.h"
#include "../outliers.h"
#include "../pairs.h"
#include "../random.h"
#include "../splat.h"
#include "../stack.h"
#include "images.h"
#include "irregular_drops.h"
#include "maps.h"
#include "merge.h"
#include "operator.h"
#include "outliers.h"
#include "pairs.h"
#include "pass.h"
#include "record_fields.h"
#include "scaling.h"
#include "stack.h"
#include "staging.h"
#include "statistics.h"
#include "threshold.h"
#include "walk.h"
#include "window.h"

namespace nb = nanobind;
using namespace gpures;

namespace {

// Python has refused longer sides; what is counted in int must not overflow, whoever calls.
void check_sides(long long ny, long long nx)
{
    if (ny > LARGEST_SIDE || nx > LARGEST_SIDE) throw nb::value_error("an image has sides too long to be counted");
}

const Exposure& exposure_at(std::uintptr_t address)
{
    const Exposure& exposure = *reinterpret_cast<const Exposure*>(address);
    check_sides(exposure.ny, exposure.nx);
    return exposure;
}

const Mosaic& mosaic_at(std::uintptr_t address)
{
    const Mosaic& mosaic = *reinterpret_cast<const Mosaic*>(address);
    check_sides(mosaic.ny, mosaic.nx);
    return mosaic;
}

using Floats = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<double, nb::c_contig, nb::device::cpu>;
using ReadFloats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using ReadDoubles = nb::ndarray<const double, nb::c_contig, nb::device::cpu>;

using Bytes = nb::ndarray<unsigned char, nb::c_contig, nb::device::cpu>;
using ReadBytes = nb::ndarray<const unsigned char, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<std::int64_t, nb::c_contig, nb::device::cpu>;
using Spans = nb::ndarray<const std::int32_t, nb::c_contig, nb::device::cpu>;

using Pair = std::tuple<std::int64_t, std::int64_t>;
using MemoryCopyOf =
    std::tuple<std::uintptr_t, Pair, Pair, int, std::uintptr_t, std::int64_t, std::optional<std::uint64_t>>;

// Statistic, lower, upper, rounds, below, above, bin, as_imagestats.
using ClippingNumbers = std::tuple<int, double, double, int, double, double, double, bool>;

// The GIL is not held for the life of one of these. Where the interpreter has ended meanwhile, which a daemon thread
// can live to see, Python before 3.14 ends the thread that asks for it back, by unwinding its stack; through functions
// that throw nothing that ends the process with "terminate called". It waits here for the process to end instead.
class Released {
  public:
    Released() : state_(PyEval_SaveThread()) {}
    Released(const Released&) = delete;

    ~Released()
    {
        try {
            PyEval_RestoreThread(state_);
        } catch (...) {
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
    }

  private:
    PyThreadState* const state_;
};

using Limits = std::tuple<int, int, int, int>;  // x0, x1, y0, y1, the last ones included

Limits limits_of(const Tile& tile) { return {tile.x0, tile.x1, tile.y0, tile.y1}; }

// Notes a pass that is complete: see `add`.
void note(std::int64_t* done, const Tile& touched)
{
    const int limits[] = {touched.x0, touched.x1, touched.y0, touched.y1};
    std::copy(limits, limits + 4, done + 1);
    ++done[0];
}

// `own_pages`: of what is written to.
template <class Image>
TouchedFrame frame_of(const Image& image, const Limits& touched, bool own_pages = false)
{
    const auto [x0, x1, y0, y1] = touched;
    return {static_cast<std::ptrdiff_t>(image.shape(0)),
            static_cast<std::ptrdiff_t>(image.shape(1)),
            {x0, x1, y0, y1},
            own_pages};
}

template <class Image, class Weight>
void bind_finish(nb::module_& m)
{
    m.def("fill", [](Image image, Weight weight, const Limits& touched, bool own_pages, double value, int threads) {
        const Released released;
        fill(image.data(), weight.data(), frame_of(image, touched, own_pages), value, threads);
    });
    m.def("fill_window", [](Image image, Weight weight, const Limits& touched, double value, int threads) {
        const Released released;
        fill_window(image.data(), weight.data(), frame_of(image, touched), value, threads);
    });
    m.def("noise_factor",
          [](std::uintptr_t pairs, Weight weight, const Limits& touched, bool own_pages, Floats image, int threads) {
              const Released released;
              noise_factor(*reinterpret_cast<const Pairs*>(pairs), weight.data(), image.data(),
                           frame_of(image, touched, own_pages), threads);
          });
    m.def("covariances", [](std::uintptr_t pairs, Weight weight, const Limits& touched, bool own_pages, int threads) {
        const Released released;
        covariances(*reinterpret_cast<const Pairs*>(pairs), weight.data(), frame_of(weight, touched, own_pages),
                    threads);
    });
    m.def("finish_variance",
          [](Image variance, Weight weight, const Limits& touched, bool own_pages, double scaling, int threads) {
              const Released released;
              finish_variance(variance.data(), weight.data(), frame_of(variance, touched, own_pages), scaling, threads);
          });
}

}  // namespace

NB_MODULE(_cpu, m)
{
    m.attr("KERNELS") = GPURES_KERNELS;

    nb::list layout;
    for (const Field& field : record_fields()) layout.append(nb::make_tuple(field.name, field.offset, field.size));
    m.attr("LAYOUT") = layout;
    m.attr("MOST_PLANES") = MOST_PLANES;
    m.attr("HIGHEST_DEGREE") = HIGHEST_DEGREE;
    m.attr("MOST_SOURCES") = MOST_SOURCES;
    m.attr("MOST_MERGED") = MOST_MERGED;
    m.attr("LARGEST_SIDE") = LARGEST_SIDE;

    // What the seconds that `add` may be given are of.
    m.attr("PHASES") = nb::make_tuple("pixel map", "read", "splat", "fold");
    // Adds an exposure, or throws and adds nothing. When all of it has been added, and not before, `done` becomes {the
    // count of such passes, x0, x1, y0, y1 as they are returned}: there it is found by those whom a signal has kept
    // from the result.
    m.def(
        "add",
        [](std::uintptr_t exposure, std::uintptr_t mosaic, int threads, std::optional<Doubles> seconds,
           std::optional<Counts> done) {
            if (seconds && seconds->size() != PHASES) throw nb::value_error("'seconds' must have one for each phase");
            if (done && done->size() != 5) throw nb::value_error("'done' must have five numbers");
            double* const spent = seconds ? seconds->data() : nullptr;
            std::int64_t* const noted = done ? done->data() : nullptr;
            const Released released;
            const Tile touched = add(exposure_at(exposure), mosaic_at(mosaic), threads, spent);
            if (noted) note(noted, touched);
            return limits_of(touched);
        },
        nb::arg("exposure"), nb::arg("mosaic"), nb::arg("threads"), nb::arg("seconds").noconvert() = nb::none(),
        nb::arg("done").noconvert() = nb::none());
    // Merges a mosaic into another, or throws and has changed nothing; `done` as above.
    m.def(
        "merge",
        [](std::uintptr_t address, int threads, Counts done) {
            if (done.size() != 5) throw nb::value_error("'done' must have five numbers");
            const Merge& both = *reinterpret_cast<const Merge*>(address);
            check_sides(both.y1, both.nx);
            const Released released;
            merge(both, threads);
            note(done.data(), {both.x0, both.x1, both.y0, both.y1});
        },
        nb::arg("merge"), nb::arg("threads"), nb::arg("done").noconvert());
    // Those copies of an exposure that may touch a frame: shift along x and y, and limits; and whether it is whole.
    m.def("copies", [](std::uintptr_t exposure, int nx, int ny, int threads) {
        bool whole;
        std::vector<std::tuple<double, double, Limits>> found;
        {
            const Released released;
            for (const Copy& copy : copies(exposure_at(exposure), nx, ny, threads, whole)) {
                found.emplace_back(copy.shift_x, copy.shift_y, limits_of(copy.part));
            }
        }
        return nb::make_tuple(found, whole);
    });
    m.def("floats_may_do", [](std::uintptr_t exposure) { return floats_may_do(exposure_at(exposure)); });
    m.def("scale_for_floats",
          [](std::uintptr_t exposure, double least, double most, ReadDoubles sizes, std::uintptr_t scaling) {
              return scale_for_floats(*reinterpret_cast<Exposure*>(exposure), least, most, sizes.data(),
                                      *reinterpret_cast<Scaling*>(scaling));
          });
    // Pixels whose square drops have no area; those with other ones than the plain ones, and these drops' corners; and
    // whether the edges of the image are the only reason.
    m.def("irregular_drops", [](std::uintptr_t exposure) {
        const IrregularDrops found = irregular_drops(exposure_at(exposure));
        return nb::make_tuple(found.flat, found.pixels, found.corners, found.at_edges_alone);
    });
    // An exposure as a matrix: its entries are counted, or taken.
    m.def("take_entries", [](std::uintptr_t exposure, std::uintptr_t address, long long nx, long long ny, int threads) {
        const Released released;
        check_sides(ny, nx);
        take_entries(exposure_at(exposure), *reinterpret_cast<const Operator*>(address), nx, ny, threads);
    });
    m.def("sort_rows", [](std::uintptr_t address, int threads) {
        const Released released;
        sort_rows(*reinterpret_cast<const Operator*>(address), threads);
    });
    m.def(
        "add_products",
        [](std::uintptr_t address, std::optional<ReadDoubles> image, Doubles sums, int threads) {
            const Operator& o = *reinterpret_cast<const Operator*>(address);
            if (sums.ndim() != 2) throw nb::value_error("'sums' must be an image");
            const auto [ny, nx] = std::make_tuple(sums.shape(0), sums.shape(1));
            const double* const values = image ? image->data() : nullptr;
            const Released released;
            if (o.y1 >= static_cast<long long>(ny) || o.x1 >= static_cast<long long>(nx)) {
                throw nb::value_error("'sums' must be of the frame's shape");
            }
            const long long stride = static_cast<long long>(nx);
            add_products(o, values, sums.data() + o.y0 * stride + o.x0, stride, threads);
        },
        nb::arg("operator"), nb::arg("image").noconvert().none(), nb::arg("sums").noconvert(), nb::arg("threads"));
    m.def(
        "make_noise",
        [](std::uint64_t seed, unsigned realization, unsigned exposure, ReadDoubles sigma, Doubles noise, int threads) {
            if (noise.size() != sigma.size()) throw nb::value_error("'noise' must be of the shape of 'sigma'");
            const Released released;
            make_noise(seed, realization, exposure, static_cast<long long>(sigma.size()), sigma.data(), noise.data(),
                       threads);
        },
        nb::arg("seed"), nb::arg("realization"), nb::arg("exposure"), nb::arg("sigma").noconvert(),
        nb::arg("noise").noconvert(), nb::arg("threads"));
    // The words that it is made of, for four words of a counter and two of a key.
    m.def("philox", [](std::tuple<unsigned, unsigned, unsigned, unsigned> counter, unsigned key0, unsigned key1) {
        const auto [a, b, c, d] = counter;
        const Words w = philox({{a, b, c, d}}, key0, key1);
        return std::make_tuple(w.word[0], w.word[1], w.word[2], w.word[3]);
    });
    m.def("largest_drop", [](std::uintptr_t exposure, int nx, int ny, int threads) {
        const Released released;
        return largest_drop(exposure_at(exposure), nx, ny, threads);
    });
    m.def("misses", [](std::uintptr_t exposure, long long nx, long long ny, int threads) {
        const Released released;
        const Misses found = misses(exposure_at(exposure), nx, ny, threads);
        return std::make_tuple(found.pixels, found.rows);
    });
    m.def("blot", [](std::uintptr_t address, int threads) {
        const Released released;
        const Blot& image = *reinterpret_cast<const Blot*>(address);
        check_sides(image.ny, image.nx);
        check_sides(image.out_ny, image.out_nx);
        blot(image, threads);
    });
    m.def("blot_exposure", [](std::uintptr_t exposure, std::uintptr_t address, int threads) {
        const Released released;
        const Blot& image = *reinterpret_cast<const Blot*>(address);
        check_sides(image.ny, image.nx);
        blot_exposure(exposure_at(exposure), image, threads);
    });
    m.def("median", [](std::uintptr_t address, int threads) {
        const Released released;
        const Stack& stack = *reinterpret_cast<const Stack*>(address);
        check_sides(stack.ny, stack.nx);
        median(stack, threads);
    });
    m.def("clipped_mean", [](std::uintptr_t address, std::uintptr_t clipped, int threads) {
        const Released released;
        const Stack& stack = *reinterpret_cast<const Stack*>(address);
        check_sides(stack.ny, stack.nx);
        clipped_mean(stack, *reinterpret_cast<const Clipped*>(clipped), threads);
    });
    m.def("mean_in_middle", [](ReadFloats values, double sigma, int rounds, int threads) {
        const Released released;
        return mean_in_middle(values.data(), static_cast<long long>(values.size()), sigma, rounds, threads);
    });
    // Outliers of an exposure, into a mask.
    m.def("outliers", [](std::uintptr_t address, int reach, bool third, Bytes mask, int threads) {
        const Released released;
        const Comparison& comparison = *reinterpret_cast<const Comparison*>(address);
        check_sides(comparison.ny, comparison.nx);
        outliers(comparison, reach, third, mask.data(), threads);
    });
    m.def("grow", [](ReadBytes mask, int reach, Bytes grown, int threads) {
        const Released released;
        grow(mask.data(), static_cast<long long>(mask.shape(0)), static_cast<long long>(mask.shape(1)), reach,
             grown.data(), threads);
    });
    m.def("weight_map", [](std::uintptr_t exposure, Floats map, int threads) {
        const Released released;
        weight_map(exposure_at(exposure), map.data(), threads);
    });
    m.def("full_pixmap", [](std::uintptr_t exposure, Doubles map, int threads) {
        const Released released;
        full_pixmap(exposure_at(exposure), map.data(), threads);
    });
    // What a formula (see formula.h) makes of coordinates (2, n).
    m.def("by_formula", [](ReadDoubles formula, Doubles places) {
        const Released released;
        const std::size_t n = places.size() / 2;
        double *const x = places.data(), *const y = x + n;
        for (std::size_t k = 0; k < n; ++k) by_formula(formula.data(), x[k], y[k]);
    });
    // The table that the Lanczos factors are read from.
    m.def("fill_lanczos_table", [](Doubles table, int order) {
        for (std::size_t k = 0; k < table.size(); ++k) table.data()[k] = lanczos_value(static_cast<int>(k), order);
    });
    m.def("reach_of_drop",
          [](int kernel, double scale, double pixfrac) { return reach_of_drop(kernel, scale, pixfrac); });
    m.def("number_of_lag", [](int dx, int dy) { return baseline::number_of_lag(dx, dy); });
    m.def("planes_of_lags", [](int max_lag) { return baseline::planes_of_lags(max_lag); });
    m.def("lanczos_entries", [](int order) { return lanczos_entries(order); });
    m.def("sums_of_weights", [](ReadFloats kept, Doubles sums, int threads) {
        if (kept.size() != sums.size()) throw nb::value_error("'sums' must be as many as those kept");
        const Released released;
        sums_of_weights(kept.data(), sums.data(), static_cast<std::ptrdiff_t>(kept.size()), threads);
    });
    // Of each: addresses, which the Python side keeps alive; shape, strides (bytes) and bytes of elements; the stride
    // of the copy's rows; and the bad bits of flags.
    m.def("copy_all", [](const std::vector<MemoryCopyOf>& given, int threads) {
        std::vector<MemoryCopy> copies;
        for (const auto& [from, shape, strides, item, to, to_stride, bad] : given) {
            copies.push_back({reinterpret_cast<const char*>(from), std::get<0>(shape), std::get<1>(shape),
                              static_cast<std::ptrdiff_t>(std::get<0>(strides)),
                              static_cast<std::ptrdiff_t>(std::get<1>(strides)), item, reinterpret_cast<char*>(to),
                              static_cast<std::ptrdiff_t>(to_stride), bad.has_value(), bad.value_or(0)});
        }
        const Released released;
        copy_all(copies, threads);
    });
    m.def("show_weights", [](Floats weight, int threads) {
        const Released released;
        show_weights(weight.data(), static_cast<std::ptrdiff_t>(weight.size()), threads);
    });
    bind_finish<Floats, ReadFloats>(m);
    bind_finish<Doubles, ReadDoubles>(m);
    m.def("error_from_variances", [](const std::vector<ReadFloats>& variances, bool all, Floats error,
                                     const Limits& touched, bool own_pages, int threads) {
        std::vector<const float*> pointers;
        for (const auto& v : variances) pointers.push_back(v.data());
        const Released released;
        error_from_variances(pointers.data(), static_cast<int>(pointers.size()), all, error.data(),
                             frame_of(error, touched, own_pages), threads);
    });
    // Values and numbers of pixels (regions, 2) of an image's regions: spans (n, 3), from starts[k] to starts[k + 1].
    m.def(
        "measure",
        [](std::uintptr_t view, std::optional<ReadBytes> usable, Spans spans, Counts starts, std::tuple<int, int> shape,
           const ClippingNumbers& clipping, Doubles found, int threads) {
            const auto [ny, nx] = shape;
            const int regions = static_cast<int>(found.size() / 2);
            const Span* const all = reinterpret_cast<const Span*>(spans.data());
            const std::int64_t n = static_cast<std::int64_t>(spans.size() / 3);
            if (starts.size() != static_cast<std::size_t>(regions) + 1) throw nb::value_error("a start per region");
            for (int k = 0; k < regions; ++k) {
                if (starts.data()[k] < 0 || starts.data()[k] > starts.data()[k + 1] || starts.data()[k + 1] > n) {
                    throw nb::value_error("regions must lie one after the other");
                }
            }
            for (const Span* s = all; s < all + n; ++s) {
                if (s->row < 0 || s->row >= ny || s->first < 0 || s->first > s->end || s->end > nx) {
                    throw nb::value_error("a region lies beside the image");
                }
            }
            if (usable && usable->size() != static_cast<std::size_t>(ny) * static_cast<std::size_t>(nx)) {
                throw nb::value_error("'usable' must be of the image's shape");
            }
            const auto [statistic, lower, upper, rounds, below, above, bin, as_imagestats] = clipping;
            const Clipping how{statistic, lower, upper, rounds, below, above, bin, as_imagestats};
            std::vector<Measured> values(static_cast<std::size_t>(regions));
            {
                const Released released;
                measure(*reinterpret_cast<const View*>(view), nx, usable ? usable->data() : nullptr, all, starts.data(),
                        regions, how, values.data(), threads);
            }
            for (int k = 0; k < regions; ++k) {
                found.data()[2 * k] = values[static_cast<std::size_t>(k)].value;
                found.data()[2 * k + 1] = static_cast<double>(values[static_cast<std::size_t>(k)].pixels);
            }
        },
        nb::arg("view"), nb::arg("usable").noconvert().none(), nb::arg("spans").noconvert(),
        nb::arg("starts").noconvert(), nb::arg("shape"), nb::arg("clipping"), nb::arg("found").noconvert(),
        nb::arg("threads"));
    // Areas of quadrilaterals (n, 4, 2) over the pixels (n, 2): the maths of the walk, one by one.
    m.def("overlap", [](ReadDoubles quads, ReadDoubles pixels, Doubles areas) {
        for (std::size_t k = 0; k < areas.size(); ++k) {
            Quad<double> q;
            for (int a = 0; a < 4; ++a) {
                q.x[a] = quads.data()[8 * k + 2 * a];
                q.y[a] = quads.data()[8 * k + 2 * a + 1];
            }
            areas.data()[k] = overlap(q, pixels.data()[2 * k], pixels.data()[2 * k + 1]);
        }
    });
}
