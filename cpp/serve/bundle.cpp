#include "serve/bundle.h"

#include <cmath>
#include <fstream>

#include "base/error.h"

namespace twist {
namespace {

namespace fs = std::filesystem;

// the float32 numbers of a file, of which there must be so many
std::vector<float> read_floats(const fs::path& file, std::size_t count) {
  const std::uintmax_t bytes = fs::file_size(file);
  if (bytes != count * sizeof(float))
    fail(file.string(), " has ", bytes, " bytes, but its contract speaks of ",
         count * sizeof(float));
  std::vector<float> values(count);
  std::ifstream stream(file, std::ios::binary);
  stream.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(bytes));
  if (!stream) fail(file.string(), " could not be read");
  return values;
}

void check_files(const fs::path& folder, const Contract& contract) {
  for (const auto& [name, bytes] : contract.files) {
    const fs::path file = folder / name;
    if (!fs::is_regular_file(file)) fail("the policy ", folder.string(), " lacks its file ", name);
    if (fs::file_size(file) != bytes)
      fail(file.string(), " has ", fs::file_size(file), " bytes, but its contract says ", bytes);
  }
}

Tensors read_tensors(const fs::path& file, const Contract& contract) {
  const auto size_of = [](const std::vector<int>& shape) {
    std::size_t size = 1;
    for (const int length : shape) size *= static_cast<std::size_t>(length);
    return size;
  };
  std::size_t count = 0;
  for (const auto& [name, shape] : contract.tensors) count += size_of(shape);
  const std::vector<float> values = read_floats(file, count);
  Tensors tensors;
  auto at = values.begin();
  for (const auto& [name, shape] : contract.tensors) {
    const auto end = at + static_cast<std::ptrdiff_t>(size_of(shape));
    tensors[name] = {shape, {at, end}};
    at = end;
  }
  return tensors;
}

}  // namespace

Bundle::Bundle(const fs::path& folder) : contract_(read_contract(folder / "contract.json")) {
  check_files(folder, contract_);
  const Tensors tensors = read_tensors(folder / "weights.f32", contract_);
  network_ = std::make_unique<Network>(tensors, contract_.present(), contract_.history,
                                       contract_.remembered, contract_.strides);
  const int width = contract_.width, outputs = contract_.outputs();
  if (network_->outputs() != outputs)
    fail("the policy answers with ", network_->outputs(), " numbers, but its contract names ",
         outputs);

  // the golden pairs: observation, output
  const std::size_t row = static_cast<std::size_t>(width) + outputs;
  const std::vector<float> golden = read_floats(folder / "golden.f32", row * contract_.golden);
  std::vector<float> answer(outputs);
  for (int pair = 0; pair < contract_.golden; ++pair) {
    const float* observation = golden.data() + pair * row;
    act(observation, answer.data());
    for (int i = 0; i < outputs; ++i) {
      const double difference = std::abs(answer[i] - observation[width + i]);
      if (!(difference <= kGoldenTolerance))
        fail("the policy ", folder.string(), " answers golden observation ", pair, " with ",
             answer[i], " instead of ", observation[width + i], " at number ", i);
    }
  }
}

}  // namespace twist
