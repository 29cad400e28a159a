// The recorded sample of a folder, and whether outputs are the recorded ones.
//
// sample.txt has a line for each thing, with tabs between: options, each model's file, and the
// files, types, shapes and names of its inputs and outputs. Arrays are raw, little-endian bytes.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace sample {

struct Array {
  std::string name, type;
  std::vector<int64_t> shape;
  std::vector<char> bytes;
};

struct Model {
  std::string file;
  std::vector<Array> inputs, outputs;
};

struct Sample {
  std::map<std::string, std::string> options;
  std::vector<Model> models;
};

inline std::vector<std::string> split(const std::string& line, char mark) {
  std::vector<std::string> parts;
  std::stringstream stream(line);
  for (std::string part; std::getline(stream, part, mark);) parts.push_back(part);
  return parts;
}

inline std::vector<char> bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline Sample read(const std::string& folder) {
  std::ifstream file(folder + "/sample.txt");
  if (!file) throw std::runtime_error("cannot read " + folder + "/sample.txt");
  Sample sample;
  for (std::string line; std::getline(file, line);) {
    const auto parts = split(line, '\t');
    if (parts.size() < 2) throw std::runtime_error("sample.txt is damaged: " + line);
    const auto& key = parts[0];
    if (key == "model") {
      sample.models.push_back({parts[1], {}, {}});
    } else if (key == "input" || key == "output") {
      if (parts.size() != 5 || sample.models.empty())
        throw std::runtime_error("sample.txt is damaged: " + line);
      Array array{parts[4], parts[2], {}, bytes_of(folder + "/" + parts[1])};
      for (const auto& size : split(parts[3], ',')) array.shape.push_back(std::stoll(size));
      auto& model = sample.models.back();
      (key == "input" ? model.inputs : model.outputs).push_back(array);
    } else {
      sample.options[key] = parts[1];
    }
  }
  return sample;
}

inline double half(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const double part = bits & 1023;
  const double size = exponent == 0    ? std::ldexp(part, -24)
                      : exponent == 31 ? (part != 0 ? NAN : INFINITY)
                                       : std::ldexp(1024 + part, exponent - 25);
  return bits & 0x8000 ? -size : size;
}

template <typename T>
T at(const std::vector<char>& bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

// The values of an array of floats; false where it has others.
inline bool floats(const Array& array, std::vector<double>& values) {
  const auto size = array.bytes.size();
  values.clear();
  if (array.type == "float32") {
    for (size_t i = 0; i < size / 4; ++i) values.push_back(at<float>(array.bytes, i));
  } else if (array.type == "float64") {
    for (size_t i = 0; i < size / 8; ++i) values.push_back(at<double>(array.bytes, i));
  } else if (array.type == "float16") {
    for (size_t i = 0; i < size / 2; ++i) values.push_back(half(at<uint16_t>(array.bytes, i)));
  } else {
    return false;
  }
  return true;
}

// How far the error is below the signal in decibels; infinite where there is none. Whole numbers
// and truth values are equal, or as wrong as can be.
inline double nearness_db(const Array& expected, const Array& output) {
  const double infinity = std::numeric_limits<double>::infinity();
  if (expected.shape != output.shape || expected.type != output.type) return -infinity;
  std::vector<double> wanted, got;
  if (!floats(expected, wanted) || !floats(output, got))
    return expected.bytes == output.bytes ? infinity : -infinity;
  double signal = 0, noise = 0;
  if (wanted.size() != got.size()) return -infinity;
  for (size_t i = 0; i < wanted.size(); ++i) {
    signal += wanted[i] * wanted[i];
    noise += (wanted[i] - got[i]) * (wanted[i] - got[i]);
  }
  if (std::isnan(noise) || signal == 0) return noise == 0 ? infinity : -infinity;
  return noise == 0 ? infinity : 10 * std::log10(signal / noise);
}

using Run = std::function<std::vector<Array>(const std::string& path, const Model&, const Sample&)>;

// Runs each model on its sample and prints how near it comes. The exit code is 0 if all outputs
// are near enough, 1 if one is not, 2 if a model cannot be run.
inline int checked(const std::string& folder, const Run& run) {
  try {
    const Sample sample = read(folder);
    const double least_db = std::stod(sample.options.at("least_db"));
    bool is_near = true;
    for (const auto& model : sample.models) {
      const auto outputs = run(folder + "/" + model.file, model, sample);
      if (outputs.size() != model.outputs.size())
        throw std::runtime_error(model.file + " has another number of outputs");
      for (size_t i = 0; i < outputs.size(); ++i) {
        const double near_db = nearness_db(model.outputs[i], outputs[i]);
        const bool is_own = near_db >= least_db;
        std::printf("%s: %s: %s (%.1f of %g dB)\n", model.file.c_str(),
                    model.outputs[i].name.c_str(), is_own ? "as recorded" : "NOT as recorded",
                    near_db, least_db);
        is_near = is_near && is_own;
      }
    }
    return is_near ? 0 : 1;
  } catch (const std::exception& error) {
    std::printf("error: %s\n", error.what());
    return 2;
  }
}

}  // namespace sample
