// Runs the recorded sample by LiteRT: `./example [FOLDER]`, exit code 0 if all is as recorded.
#include <tensorflow/lite/c/c_api.h>
#include <tensorflow/lite/c/c_api_experimental.h>

#include <memory>

#include "sample.hpp"

namespace {

constexpr const char* kSignature = "serving_default";

template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

void require(bool is_so, const std::string& otherwise) {
  if (!is_so) throw std::runtime_error(otherwise);
}

std::vector<sample::Array> run(const std::string& path, const sample::Model& model,
                               const sample::Sample& sample) {
  Owned<TfLiteModel> file(TfLiteModelCreateFromFile(path.c_str()), TfLiteModelDelete);
  require(file != nullptr, "LiteRT does not take " + path);
  Owned<TfLiteInterpreterOptions> options(TfLiteInterpreterOptionsCreate(),
                                          TfLiteInterpreterOptionsDelete);
  TfLiteInterpreterOptionsSetNumThreads(options.get(), std::stoi(sample.options.at("threads")));
  Owned<TfLiteInterpreter> net(TfLiteInterpreterCreate(file.get(), options.get()),
                               TfLiteInterpreterDelete);
  require(net != nullptr, "LiteRT makes no interpreter of " + path);
  Owned<TfLiteSignatureRunner> runner(TfLiteInterpreterGetSignatureRunner(net.get(), kSignature),
                                      TfLiteSignatureRunnerDelete);
  require(runner != nullptr, path + " has no signature " + kSignature);
  require(TfLiteSignatureRunnerAllocateTensors(runner.get()) == kTfLiteOk,
          "LiteRT has no memory for " + path);

  for (const auto& array : model.inputs) {
    TfLiteTensor* tensor = TfLiteSignatureRunnerGetInputTensor(runner.get(), array.name.c_str());
    // An input that the model makes nothing of is not in the file.
    if (tensor == nullptr) continue;
    require(array.type == "float32" && TfLiteTensorCopyFromBuffer(tensor, array.bytes.data(),
                                                                  array.bytes.size()) == kTfLiteOk,
            "LiteRT takes no " + array.name);
  }
  require(TfLiteSignatureRunnerInvoke(runner.get()) == kTfLiteOk, "LiteRT does not run " + path);

  std::vector<sample::Array> outputs;
  for (const auto& expected : model.outputs) {
    const TfLiteTensor* tensor =
        TfLiteSignatureRunnerGetOutputTensor(runner.get(), expected.name.c_str());
    require(tensor != nullptr && TfLiteTensorType(tensor) == kTfLiteFloat32,
            "LiteRT gives no " + expected.name);
    sample::Array array{expected.name, "float32", {}, {}};
    for (int axis = 0; axis < TfLiteTensorNumDims(tensor); ++axis)
      array.shape.push_back(TfLiteTensorDim(tensor, axis));
    array.bytes.resize(TfLiteTensorByteSize(tensor));
    require(
        TfLiteTensorCopyToBuffer(tensor, array.bytes.data(), array.bytes.size()) == kTfLiteOk,
        "LiteRT gives no " + expected.name);
    outputs.push_back(array);
  }
  return outputs;
}

}  // namespace

int main(int count, char** words) { return sample::checked(count > 1 ? words[1] : ".", run); }
