// Python bindings of the CPU walk. Arrays come as (address, strides, type); the Python side has checked them and keeps
// them alive for the time of a call. The GIL is released while the threads work.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <stdexcept>

#include "../splat.h"
#include "exposure.h"

namespace nb = nanobind;
using namespace gpures;

namespace {

template <class T>
T get(const nb::dict& d, const char* key)
{
    return nb::cast<T>(d[key]);
}

template <class T>
T* pointer(const nb::dict& d, const char* key)
{
    return reinterpret_cast<T*>(nb::cast<std::uintptr_t>(d[key]));
}

// (address, row stride, column stride, "<f4"-like type)
View view_of(nb::handle h)
{
    static const std::map<std::string, Type> types = {
        {"i1", Type::i1}, {"u1", Type::u1}, {"b1", Type::u1}, {"i2", Type::i2}, {"u2", Type::u2}, {"i4", Type::i4},
        {"u4", Type::u4}, {"i8", Type::i8}, {"u8", Type::u8}, {"f4", Type::f4}, {"f8", Type::f8}};
    const auto t = nb::cast<nb::tuple>(h);
    const auto type = nb::cast<std::string>(t[3]);
    const auto found = types.find(type.substr(1));
    if (found == types.end()) throw std::invalid_argument("no reader for arrays of type " + type);
    View v;
    v.data = reinterpret_cast<const char*>(nb::cast<std::uintptr_t>(t[0]));
    v.row_stride = nb::cast<long>(t[1]);
    v.column_stride = nb::cast<long>(t[2]);
    v.type = found->second;
    v.swapped = type[0] == '>';
    return v;
}

std::vector<double> make_lanczos_table(int order)
{
    std::vector<double> table;
    for (int k = 0; k < lanczos_entries(order); ++k) table.push_back(lanczos_value(k, order));
    return table;
}

const double* lanczos_table(int kernel)
{
    static const std::vector<double> second = make_lanczos_table(2), third = make_lanczos_table(3);
    return kernel == LANCZOS2 ? second.data() : third.data();
}

// An Exposure together with what it points to.
struct Input {
    Exposure e;
    View weight_map, variance, dq;
};

void read_pixmap(const nb::dict& d, Pixmap& m)
{
    if (d.contains("full")) {
        m.full = pointer<const double>(d, "full");
        return;
    }
    m.coefficients_x = pointer<const double>(d, "coefficients_x");
    m.coefficients_y = pointer<const double>(d, "coefficients_y");
    m.coefficients_per_row = get<long>(d, "coefficients_per_row");
    m.first_row = pointer<const int>(d, "first_row");
    m.first_column = pointer<const int>(d, "first_column");
    m.row_factors = pointer<const double>(d, "row_factors");
    m.column_factors = pointer<const double>(d, "column_factors");
    const auto window = get<std::vector<int>>(d, "window");
    m.x0 = window[0], m.x1 = window[1], m.y0 = window[2], m.y1 = window[3];
}

void read_input(const nb::dict& d, Input& in)
{
    Exposure& e = in.e;
    e.ny = get<long>(d, "ny");
    e.nx = get<long>(d, "nx");
    const auto limits = get<std::vector<int>>(d, "limits");
    e.x0 = limits[0], e.x1 = limits[1], e.y0 = limits[2], e.y1 = limits[3];
    if (d.contains("pixmap")) read_pixmap(get<nb::dict>(d, "pixmap"), e.pixmap);
    if (d.contains("kernel")) {
        e.kernel = get<int>(d, "kernel");
        e.pixfrac = get<double>(d, "pixfrac");
        e.pixel_scale_ratio = get<double>(d, "pixel_scale_ratio");
        if (e.kernel == LANCZOS2 || e.kernel == LANCZOS3) e.lanczos = lanczos_table(e.kernel);
    }
    if (d.contains("weight_map")) {
        in.weight_map = view_of(d["weight_map"]);
        e.weight_map = &in.weight_map;
    }
    if (d.contains("variance")) {
        in.variance = view_of(d["variance"]);
        e.variance = &in.variance;
    }
    if (d.contains("weight")) e.weight = get<double>(d, "weight");
    if (d.contains("dq")) {
        in.dq = view_of(d["dq"]);
        e.dq = &in.dq;
        e.bad_bits = get<std::uint64_t>(d, "bad_bits");
    }
    if (!d.contains("planes")) return;
    for (nb::handle h : get<nb::list>(d, "planes")) {
        if (e.planes == MOST_PLANES) throw std::invalid_argument("at most 31 planes in one pass");
        const auto p = nb::cast<nb::dict>(h);
        Plane& plane = e.plane[e.planes++];
        plane.view = view_of(p["view"]);
        plane.offset = get<double>(p, "offset");
        plane.scale = get<double>(p, "scale");
        plane.root = get<bool>(p, "root");
        plane.mean = pointer<void>(p, "mean");
        plane.weight = pointer<void>(p, "weight");
    }
    e.variance_weight_plane = get<int>(d, "variance_weight_plane");
    e.variance_weight = get<double>(d, "variance_weight");
}

using Floats = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<double, nb::c_contig, nb::device::cpu>;
using ReadFloats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using ReadDoubles = nb::ndarray<const double, nb::c_contig, nb::device::cpu>;

using Limits = std::tuple<int, int, int, int>;  // x0, x1, y0, y1, the last ones included

template <class Image>
Frame frame_of(const Image& image, const Limits& touched)
{
    const auto [x0, x1, y0, y1] = touched;
    return {static_cast<long>(image.shape(0)), static_cast<long>(image.shape(1)), {x0, x1, y0, y1}};
}

template <class Image, class Weight>
void bind_finish(nb::module_& m)
{
    m.def("fill", [](Image image, Weight weight, const Limits& touched, double value, int threads) {
        nb::gil_scoped_release release;
        fill(image.data(), weight.data(), frame_of(image, touched), value, threads);
    });
    m.def("finish_variance", [](Image variance, Weight weight, const Limits& touched, double scaling, int threads) {
        nb::gil_scoped_release release;
        finish_variance(variance.data(), weight.data(), frame_of(variance, touched), scaling, threads);
    });
}

}  // namespace

NB_MODULE(_cpu, m)
{
    m.attr("KERNELS") = GPURES_KERNELS;

    m.def("add", [](const nb::dict& exposure, const nb::dict& mosaic, int threads) {
        Input in;
        read_input(exposure, in);
        Mosaic out;
        out.ny = get<long>(mosaic, "ny");
        out.nx = get<long>(mosaic, "nx");
        out.doubles = get<bool>(mosaic, "doubles");
        out.weight = pointer<void>(mosaic, "weight");
        out.context = pointer<std::int32_t>(mosaic, "context");
        out.context_bit = static_cast<std::int32_t>(1u << get<unsigned>(mosaic, "context_bit"));
        out.dq = pointer<std::uint32_t>(mosaic, "dq");
        Tile touched;
        {
            nb::gil_scoped_release release;
            touched = add(in.e, out, threads);
        }
        return Limits(touched.x0, touched.x1, touched.y0, touched.y1);
    });
    m.def("weight_map", [](const nb::dict& exposure, Floats map, int threads) {
        Input in;
        read_input(exposure, in);
        nb::gil_scoped_release release;
        weight_map(in.e, map.data(), threads);
    });
    m.def("full_pixmap", [](const nb::dict& exposure, Doubles map, int threads) {
        Input in;
        read_input(exposure, in);
        nb::gil_scoped_release release;
        full_pixmap(in.e, map.data(), threads);
    });
    bind_finish<Floats, ReadFloats>(m);
    bind_finish<Doubles, ReadDoubles>(m);
    m.def("error_from_variances",
          [](const std::vector<ReadFloats>& variances, Floats error, const Limits& touched, int threads) {
              std::vector<const float*> pointers;
              for (const auto& v : variances) pointers.push_back(v.data());
              nb::gil_scoped_release release;
              error_from_variances(pointers.data(), static_cast<int>(pointers.size()), error.data(),
                                   frame_of(error, touched), threads);
          });
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
