#include "irregular_drops.h"

#include "../pixmap.h"
#include "../splat.h"

namespace gpures {

IrregularDrops irregular_drops(const Exposure& e)
{
    IrregularDrops found = {{}, {}, {}, true};
    const double sure = sure_step(e.pixmap);
    const auto drop_of = [&](int i, int j) {
        return drop_anywhere(e, i, j, [&](int k) { return bordered_centre(e, i + k % 3 - 1, j + k / 3 - 1); });
    };
    std::vector<char> flat(static_cast<std::size_t>(e.nx * e.ny));
    for (int j = e.y0; j <= e.y1; ++j) {
        for (int i = e.x0; i <= e.x1; ++i) {
            const Quad<double> q = drop_of(i, j);
            Outline<double> o;
            bounding_box(q, o);
            complete(q, o);
            if (!is_flat(o)) continue;
            flat[j * e.nx + i] = 1;
            found.flat.insert(found.flat.end(), {i, j});
        }
    }
    for (int j = e.y0; j <= e.y1; ++j) {
        for (int i = e.x0; i <= e.x1; ++i) {
            const Point own = centre(e, i, j);
            if (!is_defined(own) || flat[j * e.nx + i]) continue;
            bool is_plain = true, is_at_edge = false;
            for (int k = 0; k < 9; ++k) {
                const int x = i + k % 3 - 1, y = j + k / 3 - 1;
                const Point near = bordered_centre(e, x, y);
                const bool is_inside = is_in_image(e, x, y);
                is_plain = is_plain && is_defined(near) && length(near - own) < sure;
                is_plain = is_plain && !(is_inside && flat[y * e.nx + x]);
                is_at_edge = is_at_edge || !is_inside;
            }
            found.at_edges_alone = found.at_edges_alone && is_plain;
            if (is_plain && !is_at_edge) continue;
            const Quad<double> q = drop_of(i, j);
            found.pixels.insert(found.pixels.end(), {i, j});
            for (int k = 0; k < 4; ++k) found.corners.insert(found.corners.end(), {q.x[k], q.y[k]});
        }
    }
    return found;
}

}  // namespace gpures
