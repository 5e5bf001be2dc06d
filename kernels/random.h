// Random numbers that are a function of what they are for, and so the same in any order, on any number of threads, and
// on every device: Philox 4x32-10 (Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3) and normal deviates
// of it. These are made of sums, products, quotients and roots alone, each of which is rounded by itself (no fused
// ones: see where this is compiled), so that they are the same to the last bit.
#pragma once

#include "portable.h"

GPURES_BEGIN

// Four words of 32 bits.
struct Words {
    unsigned word[4];
};

GPURES_FN Words philox(Words counter, unsigned key0, unsigned key1)
{
    for (int round = 0; round < 10; ++round) {
        const unsigned long long even = 0xD2511F53ull * counter.word[0], odd = 0xCD9E8D57ull * counter.word[2];
        counter = {{static_cast<unsigned>(odd >> 32) ^ counter.word[1] ^ key0, static_cast<unsigned>(odd),
                    static_cast<unsigned>(even >> 32) ^ counter.word[3] ^ key1, static_cast<unsigned>(even)}};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

// Natural logarithm of a positive normal number, by the series of 2 artanh((m - 1) / (m + 1)) for a mantissa m between
// the roots of 1/2 and 2: its terms fall by a factor of 34 each, so that what is left out is below 1e-17.
GPURES_FN double natural_logarithm(double x)
{
    const unsigned long long bits = same_bits<unsigned long long>(x);
    int exponent = static_cast<int>(bits >> 52) - 1023;
    double m = same_bits<double>((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        ++exponent;
    }
    const double s = (m - 1.0) / (m + 1.0), q = s * s;
    double sum = 0.0;
    for (int n = 21; n > 1; n -= 2) sum = (sum + 1.0 / n) * q;
    return exponent * 0.6931471805599453 + (2.0 * s + 2.0 * s * sum);
}

// A point on the unit circle: the two first bits of `turn` are a quadrant, the others an angle in it.
struct Direction {
    double x, y;
};

GPURES_FN Direction direction(unsigned long long turn)
{
    // Of up to 1/8 of a turn to either side, for which the series of sine and cosine end at 1e-17.
    const double part = static_cast<double>(turn & 0x3fffffffffffffffull) * 0x1p-62 - 0.5;
    const double angle = part * 1.5707963267948966, q = angle * angle;
    double sine = 1.0, cosine = 1.0;
    for (int n = 18; n > 0; n -= 2) {
        cosine = 1.0 - cosine * q * (1.0 / (n * (n - 1)));
        sine = 1.0 - sine * q * (1.0 / (n * (n + 1)));
    }
    sine *= angle;
    switch (turn >> 62) {
        case 0:
            return {cosine, sine};
        case 1:
            return {-sine, cosine};
        case 2:
            return {-cosine, -sine};
        default:
            return {sine, -cosine};
    }
}

// Two independent normal deviates, of mean 0 and variance 1, by Box and Muller's transformation: those of the input
// pixels 2 pair and 2 pair + 1 of an exposure in a realization.
GPURES_FN Direction normal_deviates(unsigned long long seed, unsigned realization, unsigned exposure,
                                    unsigned long long pair)
{
    const Words counter = {{static_cast<unsigned>(pair), static_cast<unsigned>(pair >> 32), exposure, realization}};
    const Words w = philox(counter, static_cast<unsigned>(seed), static_cast<unsigned>(seed >> 32));
    const unsigned long long height = static_cast<unsigned long long>(w.word[0]) << 32 | w.word[1];
    const unsigned long long turn = static_cast<unsigned long long>(w.word[2]) << 32 | w.word[3];
    // Between 0 and 1, both left out or (to rounding) of radius 0.
    const double uniform = (static_cast<double>(height) + 0.5) * 0x1p-64;
    const double radius = sqrt(-2.0 * natural_logarithm(uniform));
    const Direction d = direction(turn);
    return {radius * d.x, radius * d.y};
}

// Noise of a pair of an exposure's n pixels, of standard deviations `sigma`.
GPURES_FN void make_noise_of_pair(unsigned long long seed, unsigned realization, unsigned exposure, long long pair,
                                  long long n, const double* sigma, double* noise)
{
    const Direction z = normal_deviates(seed, realization, exposure, static_cast<unsigned long long>(pair));
    noise[2 * pair] = sigma[2 * pair] * z.x;
    if (2 * pair + 1 < n) noise[2 * pair + 1] = sigma[2 * pair + 1] * z.y;
}

GPURES_END
