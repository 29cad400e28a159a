// Runs the recorded sample by MNN: `./example [FOLDER]`, exit code 0 if all is as recorded.
#include <MNN/Interpreter.hpp>
#include <MNN/Tensor.hpp>
#include <memory>

#include "sample.hpp"

namespace {

std::vector<sample::Array> run(const std::string& path, const sample::Model& model,
                               const sample::Sample& sample) {
  std::unique_ptr<MNN::Interpreter> net(MNN::Interpreter::createFromFile(path.c_str()));
  if (net == nullptr) throw std::runtime_error("MNN does not take " + path);
  MNN::BackendConfig precision;
  const bool is_exact = sample.options.at("precision") == "fp32";
  precision.precision =
      is_exact ? MNN::BackendConfig::Precision_High : MNN::BackendConfig::Precision_Low;
  MNN::ScheduleConfig config;
  config.type = MNN_FORWARD_CPU;
  config.numThread = std::stoi(sample.options.at("threads"));
  config.backendConfig = &precision;
  MNN::Session* session = net->createSession(config);
  if (session == nullptr) throw std::runtime_error("MNN makes no session of " + path);

  for (const auto& array : model.inputs) {
    if (array.type != "float32") throw std::runtime_error(array.name + " is not of float32");
    MNN::Tensor* tensor = net->getSessionInput(session, array.name.c_str());
    if (tensor == nullptr) throw std::runtime_error("MNN takes no " + array.name);
    net->resizeTensor(tensor, {array.shape.begin(), array.shape.end()});
  }
  net->resizeSession(session);
  for (const auto& array : model.inputs) {
    MNN::Tensor* tensor = net->getSessionInput(session, array.name.c_str());
    MNN::Tensor host(tensor, MNN::Tensor::CAFFE);
    std::memcpy(host.host<float>(), array.bytes.data(), array.bytes.size());
    tensor->copyFromHostTensor(&host);
  }
  if (net->runSession(session) != MNN::NO_ERROR)
    throw std::runtime_error("MNN does not run " + path);

  std::vector<sample::Array> outputs;
  for (const auto& expected : model.outputs) {
    MNN::Tensor* tensor = net->getSessionOutput(session, expected.name.c_str());
    if (tensor == nullptr) throw std::runtime_error("MNN gives no " + expected.name);
    MNN::Tensor host(tensor, MNN::Tensor::CAFFE);
    tensor->copyToHostTensor(&host);
    const auto shape = host.shape();
    const auto* data = reinterpret_cast<const char*>(host.host<float>());
    outputs.push_back({expected.name,
                       "float32",
                       {shape.begin(), shape.end()},
                       {data, data + host.elementSize() * sizeof(float)}});
  }
  return outputs;
}

}  // namespace

int main(int count, char** words) { return sample::checked(count > 1 ? words[1] : ".", run); }
