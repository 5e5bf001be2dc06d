// Which instructions there are, and what each does. What is not here is refused.
#pragma once

#include "bits.h"
#include "conversions.h"
#include "exchange.h"
#include "memory.h"
#include "predicates.h"

namespace ptx {

// choose(T()) with the C++ type of a PTX type; nothing for a type that an instruction does not take.
template <class Choose>
Handler of_integer(Type t, const Choose& choose)
{
    if (t.kind == 's')
        return t.size == 8 ? choose(s64()) : t.size == 4 ? choose(s32()) : t.size == 2 ? choose(s16()) : nullptr;
    if (t.kind != 'u' && t.kind != 'b') return nullptr;
    return t.size == 8 ? choose(u64()) : t.size == 4 ? choose(u32()) : t.size == 2 ? choose(u16()) : nullptr;
}

template <class Choose>
Handler of_float(Type t, const Choose& choose)
{
    return t.is('f', 8) ? choose(double()) : t.is('f', 4) ? choose(float()) : nullptr;
}

template <class F, int N>
Handler integer(Type t)
{
    return of_integer(t, [](auto zero) -> Handler { return compute<decltype(zero), F, N>; });
}

template <class F, int N>
Handler floating(Type t)
{
    return of_float(t, [](auto zero) -> Handler { return compute<decltype(zero), F, N>; });
}

template <class F, int N>
Handler number(Type t)
{
    return t.kind == 'f' ? floating<F, N>(t) : integer<F, N>(t);
}

// Bits, whatever they stand for.
template <class F, int N>
Handler bits(Type t)
{
    return t.kind == 'f' ? nullptr : integer<F, N>({'b', t.size});
}

inline int place_of(const std::string& name, std::initializer_list<const char*> names)
{
    int k = 0;
    for (const char* each : names) {
        if (name == each) return k;
        ++k;
    }
    return -1;
}

// The mode that an instruction's name says; -1: none of these.
inline int mode_of(const Instruction& i, std::initializer_list<const char*> names)
{
    for (std::size_t k = 1; k < i.parts.size(); ++k) {
        const int mode = place_of(i.parts[k], names);
        if (mode >= 0) return mode;
    }
    return -1;
}

inline Handler multiplication(const Instruction& i)
{
    const Type t = i.type;
    const bool adds = i.parts[0] == "mad";
    if (t.kind == 'f') return adds ? nullptr : floating<Mul, 2>(t);
    if (i.has("lo")) return adds ? integer<MulAdd, 3>(t) : integer<Mul, 2>(t);
    if (i.has("hi")) return adds ? nullptr : integer<MulHigh, 2>(t);
    if (!i.has("wide")) return nullptr;
    if (t.size == 8) return nullptr;
    return of_integer(t, [&](auto zero) -> Handler {
        typedef decltype(zero) T;
        if constexpr (sizeof(T) == 8)
            return nullptr;
        else
            return adds ? multiply_add_wide<T> : compute<T, MulWide, 2>;
    });
}

inline Handler comparison(Instruction& i)
{
    const std::string& how = i.parts.at(1);
    i.compare = place_of(how, {"eq", "ne", "lt", "le", "gt", "ge", "num"});
    if (i.compare < 0 &&
        (how == "equ" || how == "neu" || how == "ltu" || how == "leu" || how == "gtu" || how == "geu")) {
        i.compare = place_of(how.substr(0, 2), {"eq", "ne", "lt", "le", "gt", "ge"}) | UNORDERED;
    }
    if (how == "nan") i.compare = NUM + 1 + UNORDERED;
    if (how == "lo") i.compare = LT;
    if (how == "ls") i.compare = LE;
    if (how == "hi") i.compare = GT;
    if (how == "hs") i.compare = GE;
    if (i.compare < 0) return nullptr;
    i.mode = std::max(0, mode_of(i, {"", "and", "or", "xor"}));
    const auto choose = [](auto zero) -> Handler { return compare<decltype(zero)>; };
    return i.type.kind == 'f' ? of_float(i.type, choose) : of_integer(i.type, choose);
}

inline Handler conversion(Instruction& i)
{
    for (Type t : {i.type, i.from}) {
        if (t.kind == 'p' || t.kind == 'b' || (t.kind == 'f' && t.size < 4)) return nullptr;
    }
    i.mode = std::max(0, mode_of(i, {"rn", "rni", "rzi", "rmi", "rpi"}));
    return convert;
}

inline Handler atomic(const Instruction& i)
{
    const Type t = i.type;
    if (i.space != Space::GLOBAL && i.space != Space::SHARED) return nullptr;
    if (i.has("or")) return t.size == 4 ? change<u32, Or> : t.size == 8 ? change<u64, Or> : nullptr;
    if (i.has("exch")) return t.size == 4 ? change<u32, Exchange> : nullptr;
    if (i.has("min")) return t.is('s', 4) ? change<s32, Min> : nullptr;
    if (i.has("max")) return t.is('s', 4) ? change<s32, Max> : t.is('u', 4) ? change<u32, Max> : nullptr;
    if (!i.has("add")) return nullptr;
    if (t.is('f', 4)) return i.space == Space::GLOBAL ? change<float, AddInMemory> : nullptr;
    if (t.kind == 'f') return t.size == 8 ? change<double, Add> : nullptr;
    return t.size == 4 ? change<u32, Add> : t.size == 8 ? change<u64, Add> : nullptr;
}

inline Handler of_predicates(Instruction& i)
{
    i.mode = place_of(i.parts[0], {"mov", "and", "or", "xor", "not"});
    return i.mode < 0 ? nullptr : combine_predicates;
}

// An instruction's name, what else may be in it besides types, and what it does.
struct Known {
    const char *name, *parts;
    Handler (*choose)(Instruction&);
};

#define CHOOSE(what) []([[maybe_unused]] Instruction& i) -> Handler { return what; }

inline const std::vector<Known>& known_instructions()
{
    static const std::vector<Known> all = {
        {"add", "rn ftz", CHOOSE((number<Add, 2>(i.type)))},
        {"sub", "rn ftz", CHOOSE((number<Sub, 2>(i.type)))},
        {"mul", "rn ftz lo hi wide", CHOOSE(multiplication(i))},
        {"mad", "lo wide", CHOOSE(multiplication(i))},
        {"fma", "rn ftz", CHOOSE((floating<Fma, 3>(i.type)))},
        {"div", "rn ftz", CHOOSE(i.type.kind == 'f' && !i.has("rn") ? nullptr : (number<Div, 2>(i.type)))},
        {"rem", "", CHOOSE((integer<Rem, 2>(i.type)))},
        {"rcp", "rn ftz", CHOOSE(i.has("rn") ? (floating<Rcp, 1>(i.type)) : nullptr)},
        {"sqrt", "rn ftz", CHOOSE(i.has("rn") ? (floating<Sqrt, 1>(i.type)) : nullptr)},
        {"ex2", "approx ftz", CHOOSE(i.type.is('f', 4) ? (compute<float, PowerOfTwo, 1>) : nullptr)},
        {"neg", "ftz", CHOOSE((number<Neg, 1>(i.type)))},
        {"abs", "ftz", CHOOSE((number<Abs, 1>(i.type)))},
        {"min", "ftz", CHOOSE((number<Min, 2>(i.type)))},
        {"max", "ftz", CHOOSE((number<Max, 2>(i.type)))},
        {"and", "", CHOOSE(i.type.kind == 'p' ? of_predicates(i) : (bits<And, 2>(i.type)))},
        {"or", "", CHOOSE(i.type.kind == 'p' ? of_predicates(i) : (bits<Or, 2>(i.type)))},
        {"xor", "", CHOOSE(i.type.kind == 'p' ? of_predicates(i) : (bits<Xor, 2>(i.type)))},
        {"not", "", CHOOSE(i.type.kind == 'p' ? of_predicates(i) : (bits<Not, 1>(i.type)))},
        {"popc", "", CHOOSE((bits<CountBits, 1>(i.type)))},
        {"clz", "", CHOOSE((bits<CountLeadingZeros, 1>(i.type)))},
        {"shl", "", CHOOSE(of_integer(i.type, [](auto zero) -> Handler { return shift<decltype(zero), true>; }))},
        {"shr", "", CHOOSE(of_integer(i.type, [](auto zero) -> Handler { return shift<decltype(zero), false>; }))},
        {"shf", "l r wrap clamp", CHOOSE(i.has("l") ? shift_both<true> : shift_both<false>)},
        {"mov", "", CHOOSE(i.type.kind == 'p' ? of_predicates(i) : move)},
        {"cvta", "to global shared local", CHOOSE(convert_address)},
        {"selp", "", CHOOSE(select)},
        {"bfi", "", CHOOSE(insert_bits)},
        {"bfe", "", CHOOSE(of_integer(i.type, [](auto zero) -> Handler { return extract_bits<decltype(zero)>; }))},
        {"prmt", "", CHOOSE(permute_bytes)},
        {"setp", "ftz eq ne lt le gt ge equ neu ltu leu gtu geu num nan lo ls hi hs and or xor", CHOOSE(comparison(i))},
        {"cvt", "ftz rn rni rzi rmi rpi", CHOOSE(conversion(i))},
        {"ld", "global shared local param nc v2 v4", CHOOSE(load)},
        {"st", "global shared local param v2 v4", CHOOSE(i.space == Space::PARAMETER ? nullptr : store)},
        {"atom", "global shared add or exch min max relaxed gpu", CHOOSE(atomic(i))},
        {"red", "global shared add or exch min max relaxed gpu", CHOOSE(atomic(i))},
        {"shfl", "sync up down bfly idx",
         CHOOSE((i.mode = mode_of(i, {"up", "down", "bfly", "idx"})) < 0 ? nullptr : shuffle)},
        {"vote", "sync all any uni ballot",
         CHOOSE((i.mode = mode_of(i, {"all", "any", "uni", "ballot"})) < 0 ? nullptr : vote)},
        {"activemask", "", CHOOSE(active_lanes)},
        {"bar", "warp sync", CHOOSE(wait_for_lanes)},
    };
    return all;
}

#undef CHOOSE

// Chooses what an instruction does; false: nobody knows.
inline bool choose(Instruction& i)
{
    for (const Known& known : known_instructions()) {
        if (i.parts[0] != known.name) continue;
        const std::string parts = std::string(" ") + known.parts + " ";
        for (std::size_t k = 1; k < i.parts.size(); ++k) {
            if (!type_named(i.parts[k]).kind && parts.find(" " + i.parts[k] + " ") == std::string::npos) return false;
        }
        i.run = known.choose(i);
        return i.run != nullptr;
    }
    return false;
}

}  // namespace ptx
