// The fields of the structs that Python fills, as this compiler lays them out: what its records must agree with.
#pragma once

#include <cstddef>
#include <vector>

namespace gpures {

struct Field {
    const char* name;  // record.field
    std::size_t offset, size;
};

// All of them, in order.
std::vector<Field> record_fields();

}  // namespace gpures
