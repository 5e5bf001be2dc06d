// Pixel map + pixfrac -> the drop's corners in the output frame.
//
// The pixel map gives the output coordinates of the input pixels' centres. Between centres it is read bilinearly;
// beyond the outermost centres the outermost cell is continued, which is the same as continuing each row and each
// column linearly by one virtual centre. So it is within the image, where some of the centres are not there.
#pragma once

#include "overlap.h"

GPURES_BEGIN

// No output frame reaches as far. A centre with a farther coordinate, infinities and NaN among them, is none, and a
// drop with farther ones (all eight together) is passed over, before anything is counted in int.
constexpr double FARTHEST = 1e9;

// A virtual centre one step beyond the edge, from the two nearest ones.
template <class V>
GPURES_FN V beyond(V edge, V inner)
{
    return edge + (edge - inner);
}

// Bilinear reading at (h, h) from `centre` towards a neighbour along x, one along y and the diagonal one.
template <class V>
GPURES_FN V between(V centre, V along_x, V along_y, V diagonal, double h)
{
    const double g = 1.0 - h;
    return g * g * centre + g * h * along_x + h * g * along_y + h * h * diagonal;
}

// Corners of one coordinate (x or y) from the 3 x 3 centres c[row][column] around a pixel, h = pixfrac / 2.
// The order runs around the drop: upper left, upper right, lower right, lower left.
template <class V>
GPURES_FN void corners(const V c[3][3], double h, V out[4])
{
    out[0] = between(c[1][1], c[1][0], c[2][1], c[2][0], h);
    out[1] = between(c[1][1], c[1][2], c[2][1], c[2][2], h);
    out[2] = between(c[1][1], c[1][2], c[0][1], c[0][2], h);
    out[3] = between(c[1][1], c[1][0], c[0][1], c[0][0], h);
}

// The corner that four pixels share where their drops touch, at pixfrac 1: between the centres of the lower left one,
// the lower right, the upper left and the upper right.
template <class V>
GPURES_FN V shared_corner(V lower_left, V lower_right, V upper_left, V upper_right)
{
    return between(lower_left, lower_right, upper_left, upper_right, 0.5);
}

// ---- pixels without some of their neighbours -----------------------------------------------------------------

// A place in the output frame, or a step from one to another.
struct Point {
    double x, y;
};

GPURES_FN Point operator+(Point a, Point b) { return {a.x + b.x, a.y + b.y}; }
GPURES_FN Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y}; }
GPURES_FN Point operator*(double f, Point a) { return {f * a.x, f * a.y}; }

GPURES_FN bool is_defined(Point p) { return fabs(p.x) < FARTHEST && fabs(p.y) < FARTHEST; }

// What is known around a pixel. The 3 x 3 centres are numbered row by row from the lower left, the pixel's own is the
// fourth; of those whose bit is set in `known`, step(k) is the step from its own centre.
template <class Step>
struct Surroundings {
    const Step& step;
    unsigned known;

    static constexpr int OWN = 4, COLUMN = 1, ROW = 3;  // one to the right is COLUMN further, one up is ROW further

    struct Mean {
        Point step;
        int count;

        GPURES_FN void add(Point another)
        {
            step = step + another;
            ++count;
        }
        GPURES_FN Point value() const { return (1.0 / count) * step; }
    };

    GPURES_FN bool has(int k) const { return known >> k & 1; }

    // The step from one centre to the next along an axis: to the neighbours on it, else between those in the two lines
    // beside it.
    GPURES_FN Mean along(int axis, int across) const
    {
        Mean mean = {};
        for (int sign = -1; sign <= 1; sign += 2) {
            if (has(OWN + sign * axis)) mean.add(sign * step(OWN + sign * axis));
        }
        if (mean.count) return mean;
        for (int line = OWN - across; line <= OWN + across; line += 2 * across) {
            const bool both = has(line - axis) && has(line + axis);
            if (!has(line) && !both) continue;
            const Point middle = has(line) ? step(line) : Point{0.0, 0.0};
            for (int sign = -1; sign <= 1; sign += 2) {
                if (has(line + sign * axis)) mean.add(sign * (step(line + sign * axis) - middle));
            }
        }
        return mean;
    }

    // The same of a pixel all of whose neighbours are diagonal ones: these lie where those of a square pixel would.
    GPURES_FN Mean along_x_from_diagonals() const
    {
        Mean mean = {};
        for (int y = -1; y <= 1; y += 2) {
            for (int x = -1; x <= 1; x += 2) {
                if (!has(OWN + x * COLUMN + y * ROW)) continue;
                const Point d = step(OWN + x * COLUMN + y * ROW);
                mean.add({0.5 * (x * d.x + y * d.y), 0.5 * (x * d.y - y * d.x)});
            }
        }
        return mean;
    }

    // By how much the step along x changes from one row to the next, in the cell towards (x, y), if all of it is known.
    GPURES_FN void add_twist(int x, int y, Mean& mean) const
    {
        const int along_x = OWN + x * COLUMN, along_y = OWN + y * ROW, diagonal = along_x + along_y - OWN;
        if (!has(along_x) || !has(along_y) || !has(diagonal)) return;
        mean.add(static_cast<double>(x * y) * (step(diagonal) - step(along_x) - step(along_y)));
    }

    // From the pixel's centre to the drop's corner towards (x, y), with the steps along x and y, for centres that are
    // not known.
    GPURES_FN Point corner(int x, int y, double h, Point step_x, Point step_y) const
    {
        const int along_x = OWN + x * COLUMN, along_y = OWN + y * ROW, diagonal = along_x + along_y - OWN;
        const Point a = has(along_x) ? step(along_x) : static_cast<double>(x) * step_x;
        const Point b = has(along_y) ? step(along_y) : static_cast<double>(y) * step_y;
        if (has(diagonal)) return h * (1.0 - h) * (a + b) + h * h * step(diagonal);
        Mean twist = {};
        add_twist(-x, y, twist);
        add_twist(x, -y, twist);
        if (!twist.count) add_twist(-x, -y, twist);
        const Point bend = twist.count ? twist.value() : Point{0.0, 0.0};
        return h * (a + b) + h * h * (static_cast<double>(x * y) * bend);
    }

    // Steps from the pixel's centre to the drop's corners. Where nothing is known, it is a box whose pixel has this
    // size.
    GPURES_FN Quad<double> corners(double h, double size) const
    {
        Mean along_x = along(COLUMN, ROW), along_y = along(ROW, COLUMN);
        if (!along_x.count && !along_y.count) along_x = along_x_from_diagonals();
        if (!along_x.count && !along_y.count) along_x.add({size, 0.0});
        Point x = along_x.count ? along_x.value() : Point{}, y = along_y.count ? along_y.value() : Point{};
        // As long as the other one, and at a right angle to it.
        if (!along_x.count) x = {y.y, -y.x};
        if (!along_y.count) y = {-x.y, x.x};
        const Point c[4] = {corner(-1, 1, h, x, y), corner(1, 1, h, x, y), corner(1, -1, h, x, y),
                            corner(-1, -1, h, x, y)};
        return {{c[0].x, c[1].x, c[2].x, c[3].x}, {c[0].y, c[1].y, c[2].y, c[3].y}};
    }
};

GPURES_END
