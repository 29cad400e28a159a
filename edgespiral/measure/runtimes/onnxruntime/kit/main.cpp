// Runs the recorded sample by ONNX Runtime: `./example [FOLDER]`, exit code 0 if all is as recorded.
#include <onnxruntime_cxx_api.h>

#include "sample.hpp"

namespace {

const std::map<std::string, ONNXTensorElementDataType> kTypes = {
    {"float32", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
    {"float64", ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
    {"float16", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
    {"int64", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
    {"int32", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
    {"int8", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8},
    {"uint8", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
    {"bool", ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL},
};

std::vector<sample::Array> run(const std::string& path, const sample::Model& model,
                               const sample::Sample& sample) {
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "example");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(std::stoi(sample.options.at("threads")));
  // Subnormal weights can make a trained net ten times slower.
  options.AddConfigEntry("session.set_denormal_as_zero", "1");
  Ort::Session session(env, path.c_str(), options);

  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<const char*> input_names, output_names;
  std::vector<Ort::Value> inputs;
  for (const auto& array : model.inputs) {
    input_names.push_back(array.name.c_str());
    // ONNX Runtime only reads inputs, though it asks for memory that it could write.
    inputs.push_back(Ort::Value::CreateTensor(
        memory, const_cast<char*>(array.bytes.data()), array.bytes.size(), array.shape.data(),
        array.shape.size(), kTypes.at(array.type)));
  }
  for (const auto& array : model.outputs) output_names.push_back(array.name.c_str());
  auto values = session.Run(Ort::RunOptions{nullptr}, input_names.data(), inputs.data(),
                            inputs.size(), output_names.data(), output_names.size());

  std::vector<sample::Array> outputs;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto about = values[i].GetTensorTypeAndShapeInfo();
    const auto& expected = model.outputs[i];
    if (about.GetElementType() != kTypes.at(expected.type))
      throw std::runtime_error(expected.name + " is of another type");
    sample::Array array{expected.name, expected.type, about.GetShape(), {}};
    const size_t count = about.GetElementCount();
    const size_t wanted = model.outputs[i].bytes.size();
    int64_t recorded = 1;
    for (auto size : expected.shape) recorded *= size;
    const size_t each = recorded ? wanted / static_cast<size_t>(recorded) : 0;
    const char* data = values[i].GetTensorData<char>();
    array.bytes.assign(data, data + count * each);
    outputs.push_back(array);
  }
  return outputs;
}

}  // namespace

int main(int count, char** words) { return sample::checked(count > 1 ? words[1] : ".", run); }
