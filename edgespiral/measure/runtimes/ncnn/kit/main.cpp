// Runs the recorded sample by ncnn: `./example [FOLDER]`, exit code 0 if all is as recorded.
//
// ncnn has no batch: arrays are those of one sample.
#include <net.h>

#include "sample.hpp"

namespace {

// Sizes as ncnn has them: width, height, depth (of four dimensions) and channels.
ncnn::Mat mat_of(const sample::Array& array) {
  if (array.type != "float32") throw std::runtime_error(array.name + " is not of float32");
  const auto& shape = array.shape;
  const auto size = [&](size_t from_last) {
    return static_cast<int>(shape[shape.size() - 1 - from_last]);
  };
  ncnn::Mat mat;
  if (shape.size() == 1) mat.create(size(0));
  if (shape.size() == 2) mat.create(size(0), size(1));
  if (shape.size() == 3) mat.create(size(0), size(1), size(2));
  if (shape.size() == 4) mat.create(size(0), size(1), size(2), size(3));
  if (mat.empty()) throw std::runtime_error(array.name + " has more dimensions than ncnn");
  const size_t each = static_cast<size_t>(mat.w) * mat.h * mat.d * sizeof(float);
  for (int c = 0; c < mat.c; ++c)
    std::memcpy(mat.channel(c).data, array.bytes.data() + c * each, each);
  return mat;
}

sample::Array array_of(const ncnn::Mat& mat, const std::string& name) {
  sample::Array array{name, "float32", {}, {}};
  if (mat.dims > 2) array.shape.push_back(mat.c);
  if (mat.dims > 3) array.shape.push_back(mat.d);
  if (mat.dims > 1) array.shape.push_back(mat.h);
  array.shape.push_back(mat.w);
  const size_t each = static_cast<size_t>(mat.w) * mat.h * mat.d * sizeof(float);
  for (int c = 0; c < mat.c; ++c) {
    const auto* data = static_cast<const char*>(mat.channel(c).data);
    array.bytes.insert(array.bytes.end(), data, data + each);
  }
  return array;
}

std::vector<sample::Array> run(const std::string& path, const sample::Model& model,
                               const sample::Sample& sample) {
  ncnn::Net net;
  net.opt.num_threads = std::stoi(sample.options.at("threads"));
  // ncnn's own default is to keep and to compute in 16 bits what it can.
  net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = false;
  net.opt.use_bf16_storage = false;
  net.opt.use_vulkan_compute = false;
  const std::string weights = path.substr(0, path.rfind('.')) + ".bin";
  if (net.load_param(path.c_str()) || net.load_model(weights.c_str()))
    throw std::runtime_error("ncnn does not take " + path + " or " + weights);
  ncnn::Extractor extractor = net.create_extractor();
  for (const auto& array : model.inputs)
    if (extractor.input(array.name.c_str(), mat_of(array)))
      throw std::runtime_error("ncnn takes no " + array.name);

  std::vector<sample::Array> outputs;
  for (const auto& expected : model.outputs) {
    ncnn::Mat mat;
    if (extractor.extract(expected.name.c_str(), mat))
      throw std::runtime_error("ncnn gives no " + expected.name);
    outputs.push_back(array_of(mat, expected.name));
  }
  return outputs;
}

}  // namespace

int main(int count, char** words) { return sample::checked(count > 1 ? words[1] : ".", run); }
