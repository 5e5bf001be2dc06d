// An exposure as a matrix, and images of noise that are drizzled by it.
#pragma once

#include <cstdint>

namespace gpures {

struct Exposure;
struct Operator;

// Has an exposure's contributions to a frame of nx x ny pixels counted, or taken as the matrix's entries.
void take_entries(const Exposure& e, const Operator& o, long long nx, long long ny, int threads);

// Sorts the rows of a matrix whose entries have been taken.
void sort_rows(const Operator& o, int threads);

// Adds the products of the rows with an image of the exposure, or with 1, to the sums of the window's pixels, of which
// a row has `stride`.
void add_products(const Operator& o, const double* image, double* sums, long long stride, int threads);

// Noise of an exposure's n pixels, of standard deviations `sigma`, in a realization (see ../random.h).
void make_noise(std::uint64_t seed, unsigned realization, unsigned exposure, long long n, const double* sigma,
                double* noise, int threads);

}  // namespace gpures
