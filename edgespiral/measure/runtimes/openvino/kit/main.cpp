// Runs the recorded sample by OpenVINO: `./example [FOLDER]`, exit code 0 if all is as recorded.
#include <openvino/openvino.hpp>

#include "sample.hpp"

namespace {

const std::map<std::string, ov::element::Type> kTypes = {
    {"float32", ov::element::f32}, {"float64", ov::element::f64}, {"float16", ov::element::f16},
    {"int64", ov::element::i64},   {"int32", ov::element::i32},   {"int8", ov::element::i8},
    {"uint8", ov::element::u8},    {"bool", ov::element::boolean},
};

std::vector<sample::Array> run(const std::string& path, const sample::Model& model,
                               const sample::Sample& sample) {
  ov::Core core;
  const ov::element::Type precision(sample.options.at("inference_precision"));
  auto compiled = core.compile_model(
      core.read_model(path), "CPU", ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
      ov::hint::inference_precision(precision),
      ov::inference_num_threads(std::stoi(sample.options.at("threads"))), ov::num_streams(1));
  auto request = compiled.create_infer_request();
  for (size_t i = 0; i < model.inputs.size(); ++i) {
    const auto& array = model.inputs[i];
    const ov::Shape shape(array.shape.begin(), array.shape.end());
    ov::Tensor tensor(kTypes.at(array.type), shape);
    if (tensor.get_byte_size() != array.bytes.size())
      throw std::runtime_error(array.name + " is damaged");
    std::memcpy(tensor.data(), array.bytes.data(), array.bytes.size());
    request.set_input_tensor(i, tensor);
  }
  request.infer();

  std::vector<sample::Array> outputs;
  for (size_t i = 0; i < compiled.outputs().size() && i < model.outputs.size(); ++i) {
    const auto tensor = request.get_output_tensor(i);
    const auto& expected = model.outputs[i];
    if (tensor.get_element_type() != kTypes.at(expected.type))
      throw std::runtime_error(expected.name + " is of another type");
    sample::Array array{expected.name, expected.type, {}, {}};
    for (auto size : tensor.get_shape()) array.shape.push_back(static_cast<int64_t>(size));
    const auto* data = static_cast<const char*>(tensor.data());
    array.bytes.assign(data, data + tensor.get_byte_size());
    outputs.push_back(array);
  }
  return outputs;
}

}  // namespace

int main(int count, char** words) { return sample::checked(count > 1 ? words[1] : ".", run); }
