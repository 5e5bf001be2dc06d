// Coordinates of drops, and the output pixels that they are counted from.
//
// Doubles are counted from the frame's first pixel. Floats would have few digits left far from it: each is counted from
// an output pixel near by, its cell, and that from the walk's origin, the first pixel of a tile. Coordinates stay
// doubles until both are subtracted.
#pragma once

#include "centres.h"

GPURES_BEGIN

// Output pixel that a walk's drops, bounds and sums are counted from.
struct Origin {
    double x = 0.0, y = 0.0;
};

#if !defined(GPURES_SINGLE)

struct Cells {};

inline Origin origin_of(const Tile&) { return {}; }

// Coordinates along one axis.
class Coordinates {
  public:
    static constexpr int STRIDE = CENTRES_STRIDE;

    void put(Vector x, double, int k) { store(x, x_ + k); }

    // Those from the k-th on, counted from some cells.
    Reals at(int k, Cells) const { return load(x_ + k); }
    Cells cells(int) const { return {}; }

    // Steps to those from the k-th on, from others.
    Reals step_from(const Coordinates& others, int m, int k) const { return load(x_ + k) - load(others.x_ + m); }

  private:
    double x_[STRIDE];
};

#else

typedef Reals Cells;

inline Origin origin_of(const Tile& t) { return {static_cast<double>(t.x0), static_cast<double>(t.y0)}; }

// Cells further from the origin than this are not told apart: floats between them are no whole numbers. A drop that
// reaches a tile from there is as large, and its coordinates as good as that needs.
constexpr double FARTHEST_CELL = 4194304.0;

// Cells of coordinates that are counted from the origin. NaN has one as well.
inline Vector cells_of(Vector x)
{
    const Vector farthest = Vector{} + FARTHEST_CELL;
    return least(greatest(nearest(x), -farthest), farthest);
}

class Coordinates {
  public:
    static constexpr int STRIDE = BLOCK_WIDTH + 2 + REALS;

    void put(Vector x, double origin, int k)
    {
        const Vector near = x - origin, cells = cells_of(near);
        store(cells, cells_ + k);
        store(near - cells, x_ + k);
    }

    Reals at(int k, Cells cells) const { return reals(x_ + k) + (reals(cells_ + k) - cells); }
    Cells cells(int k) const { return reals(cells_ + k); }

    Reals step_from(const Coordinates& others, int m, int k) const
    {
        return (reals(x_ + k) - reals(others.x_ + m)) + (reals(cells_ + k) - reals(others.cells_ + m));
    }

  private:
    float x_[STRIDE], cells_[STRIDE];
};

#endif

#if !defined(GPURES_SINGLE)
typedef Vector Coordinate;
#else
// Floats, and the doubles that they are of.
struct Coordinate {
    Reals of;
    Vector low, high;
};

inline Reals near(const Coordinate& x) { return x.of; }

template <class Function>
inline Reals exactly(const Coordinate& x, const Function& of)
{
    return joined(of(x.low), of(x.high));
}

template <class Function>
inline Reals exactly(const Coordinate& x, Reals i, const Function& of)
{
    float each[REALS];
    store(i, each);
    return joined(of(x.low, load(each)), of(x.high, load(each + LANES)));
}
#endif

// Places in the output, and the cells that they are counted from.
struct Places {
    Coordinate x, y;
    Cells of_x, of_y;
};

// Square drops, likewise.
struct Drops {
    Quad<Reals> q;
    Cells of_x, of_y;
};

#if !defined(GPURES_SINGLE)

template <class Sink, class Work>
inline void in_cells(Cells, Cells, const Bounds& bounds, Sink& sink, const Work& work)
{
    work(bounds, sink);
}

// `of(k)` gives a vector of doubles, of the k-th pixel and those that follow, counted from the frame's first.
template <class OfX, class OfY>
inline Places places_of(const Origin&, int k, const OfX& x, const OfY& y)
{
    return {x(k), y(k), {}, {}};
}

template <class Of>
inline Drops drops_of(const Origin&, int k, const Of& of)
{
    return {of(k), {}, {}};
}

#else

// Hands the drops in some cells on to a sink.
template <class Sink>
struct SinkOfCells {
    Sink& sink;
    const Reals x, y;

    auto place(Reals i, Reals j, RealMask used) { return sink.place(i + x, j + y, used); }
    template <class Place>
    void add(const Place& place, int c, int r, Reals dow)
    {
        sink.add(place, c, r, dow);
    }
    void pass_over(RealMask lanes) { sink.pass_over(lanes); }
};

// Calls work(bounds, sink) with the bounds counted from some cells, and with a sink that takes what is.
template <class Sink, class Work>
inline void in_cells(Cells x, Cells y, const Bounds& b, Sink& sink, const Work& work)
{
    const auto from = [](double bound, Cells cells) { return number<Reals>(bound) - cells; };
    const BoundsIn<Reals> bounds = {from(b.x0, x), from(b.x1, x),      from(b.y0, y),     from(b.y1, y),
                                    b.smallest,    from(b.frame_x, x), from(b.frame_y, y)};
    SinkOfCells<Sink> of_cells = {sink, x, y};
    work(bounds, of_cells);
}

template <class OfX, class OfY>
inline Places places_of(const Origin& origin, int k, const OfX& x, const OfY& y)
{
    const auto along = [&](const auto& of, double from, Cells& cells) {
        const Vector low = of(k), high = of(k + LANES);
        const Vector low_cells = cells_of(low - from), high_cells = cells_of(high - from);
        cells = joined(low_cells, high_cells);
        const Vector near_low = (low - from) - low_cells, near_high = (high - from) - high_cells;
        return Coordinate{joined(near_low, near_high), near_low, near_high};
    };
    Places p;
    p.x = along(x, origin.x, p.of_x);
    p.y = along(y, origin.y, p.of_y);
    return p;
}

// Those of a drop's lower left corner, for all of it.
template <class Of>
inline Drops drops_of(const Origin& origin, int k, const Of& of)
{
    const Quad<Vector> low = of(k), high = of(k + LANES);
    const auto along = [&](const Vector a[4], const Vector b[4], double from, Cells& cells, Reals v[4]) {
        const Vector low_cells = cells_of(a[3] - from), high_cells = cells_of(b[3] - from);
        cells = joined(low_cells, high_cells);
        for (int m = 0; m < 4; ++m) v[m] = joined((a[m] - from) - low_cells, (b[m] - from) - high_cells);
    };
    Drops drops;
    along(low.x, high.x, origin.x, drops.of_x, drops.q.x);
    along(low.y, high.y, origin.y, drops.of_y, drops.q.y);
    return drops;
}

#endif

GPURES_END
