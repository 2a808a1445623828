// What nvcc embeds in an object file for the runtime.
#pragma once

#include <string_view>
#include <vector>

namespace lanner::ptx {

/// The PTX texts of a fat binary; `wrapper` is what __cudaRegisterFatBinary is given. Throws
/// std::runtime_error for what is no fat binary, and for images that are compressed or not PTX.
std::vector<std::string_view> ptx_texts(const void* wrapper);

}  // namespace lanner::ptx
