// The numbers in which drops are splatted and an exposure's sums are kept, and the output pixels that coordinates are
// counted from: doubles, from the frame's first pixel; or floats, where this is compiled with GPURES_SINGLE=1.
//
// Floats would have few digits left far from it: each is counted from an output pixel near by, its cell. Coordinates
// stay doubles until that is subtracted.
#pragma once

#include "footprint.h"
#include "splat.h"

#ifndef GPURES_SINGLE
#define GPURES_SINGLE 0
#endif

namespace gpures {

// Coordinates along one axis, in a table of rows.
template <class V, int UP, int ACROSS>
class Coordinates;

// Where doubles are counted from.
struct Origin {};

template <int UP, int ACROSS>
class Coordinates<double, UP, ACROSS> {
  public:
    __device__ double place(int a, int b) const { return x_[a][b]; }
    __device__ void put(int a, int b, double place) { x_[a][b] = place; }
    __device__ void put(int a, int b, double x, Origin) { x_[a][b] = x; }

    // Where it is counted from, and what it is from there.
    __device__ Origin cell(int, int) const { return {}; }
    __device__ double from(Origin, int a, int b) const { return x_[a][b]; }

    // The step to it from another one.
    __device__ double step(int a, int b, int from_a, int from_b) const { return x_[a][b] - x_[from_a][from_b]; }

  private:
    double x_[UP][ACROSS];
};

// No place is further from the frame (see FARTHEST), and differences of two of these are no more than an int holds.
constexpr int FARTHEST_CELL = 1000000000;

__device__ __forceinline__ int cell_of(double place)
{
    return max(-FARTHEST_CELL, min(FARTHEST_CELL, __double2int_rn(place)));
}

// What a place is from a cell. NaN stays NaN.
__device__ __forceinline__ float from_cell(double place, int cell)
{
    return narrowed(place - static_cast<double>(cell));
}

template <int UP, int ACROSS>
class Coordinates<float, UP, ACROSS> {
  public:
    __device__ double place(int a, int b) const { return static_cast<double>(cell_[a][b]) + widened(x_[a][b]); }
    __device__ void put(int a, int b, double place)
    {
        cell_[a][b] = cell_of(place);
        x_[a][b] = from_cell(place, cell_[a][b]);
    }
    __device__ void put(int a, int b, float x, int cell)
    {
        cell_[a][b] = cell;
        x_[a][b] = x;
    }

    __device__ int cell(int a, int b) const { return cell_[a][b]; }
    __device__ float from(int cell, int a, int b) const { return x_[a][b] + static_cast<float>(cell_[a][b] - cell); }

    __device__ float step(int a, int b, int from_a, int from_b) const
    {
        return (x_[a][b] - x_[from_a][from_b]) + static_cast<float>(cell_[a][b] - cell_[from_a][from_b]);
    }

  private:
    float x_[UP][ACROSS];
    int cell_[UP][ACROSS];
};

#if !GPURES_SINGLE

typedef double Real;
typedef Origin Cell;
typedef Bounds NearBounds;
typedef double Coordinate;

__device__ __forceinline__ double near_origin(double place, Origin) { return place; }
__device__ __forceinline__ Origin cell_at(double) { return {}; }
__device__ __forceinline__ double coordinate(double place, Origin) { return place; }
__device__ __forceinline__ int pixel_at(double i, Origin) { return static_cast<int>(i); }
__device__ __forceinline__ Real scaled(double weight, const Window&) { return weight; }

__device__ __forceinline__ NearBounds bounds_from(const Window& w, Origin, Origin)
{
    return {double(w.x0), double(w.x1), double(w.y0), double(w.y1)};
}

#else

typedef float Real;
typedef int Cell;
typedef BoundsIn<float> NearBounds;

// A float, and the double that it is of.
struct Coordinate {
    float of;
    double exact;
};

__device__ __forceinline__ float near(const Coordinate& x) { return x.of; }

template <class Function>
__device__ __forceinline__ float exactly(const Coordinate& x, const Function& of)
{
    return static_cast<float>(of(x.exact));
}

template <class Function>
__device__ __forceinline__ float exactly(const Coordinate& x, float i, const Function& of)
{
    return static_cast<float>(of(x.exact, static_cast<double>(i)));
}

__device__ __forceinline__ float near_origin(double place, int cell) { return from_cell(place, cell); }
__device__ __forceinline__ int cell_at(double place) { return cell_of(place); }
__device__ __forceinline__ Coordinate coordinate(double place, int cell)
{
    const double exact = place - static_cast<double>(cell);
    return {narrowed(exact), exact};
}
__device__ __forceinline__ int pixel_at(float i, int cell) { return cell + static_cast<int>(i); }
__device__ __forceinline__ Real scaled(double weight, const Window& w) { return narrowed(weight * w.scaling.weight); }

__device__ __forceinline__ NearBounds bounds_from(const Window& w, int x, int y)
{
    const auto from = [](int bound, int cell) { return static_cast<float>(bound - cell); };
    return {from(w.x0, x), from(w.x1, x), from(w.y0, y), from(w.y1, y), w.scaling.smallest, from(0, x), from(0, y)};
}

#endif

// A drop's corners, and where they are counted from.
struct Drop {
    Quad<Real> q;
    Cell x, y;
};

}  // namespace gpures
