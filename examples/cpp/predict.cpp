// Recognise a digit: `predict MODEL.onnx PICTURE.pgm ...`. A line for each picture: its label and confidence, or why
// there is none. The pictures are clean ones as binary PGM (P5, 8 bits); MODEL is any Inkdigit model file for digits.

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iostream>

#include <nlohmann/json.hpp>
#include <onnxruntime_cxx_api.h>

#include "prepare.hpp"

using inkdigit::Gray;
using nlohmann::json;

namespace {

constexpr int max_side = 20'000;

// A whole number of a PGM's header, after spaces and comments.
int header_number(std::istream& file) {
    while (file >> std::ws && file.peek() == '#') file.ignore(1 << 20, '\n');
    int number = 0;
    file >> number;
    return number;
}

Gray read_pgm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("There is no file " + path + ".");
    char magic[2] = {};
    file.read(magic, 2);
    const int width = header_number(file), height = header_number(file), most = header_number(file);
    if (!file || magic[0] != 'P' || magic[1] != '5' || most != 255)
        throw std::runtime_error(path + " is not a picture of this kind. Expected: PGM, binary (P5), with levels to 255.");
    if (width < 1 || height < 1 || width > max_side || height > max_side)
        throw std::runtime_error(path + ": its sides are not between 1 and 20,000 pixels.");
    file.get();  // one white space ends the header
    Gray gray(width, height);
    file.read(reinterpret_cast<char*>(gray.data.data()), static_cast<std::streamsize>(gray.data.size()));
    if (!file) throw std::runtime_error(path + " is cut short.");
    return gray;
}

struct Prediction {
    std::string label;   // empty: there is a reason instead
    std::string reason;  // "no ink", "unsure", or one of the card's outliers
    float confidence = 0;
};

class Recognizer {
   public:
    explicit Recognizer(const std::string& path) : session_(env_, path.c_str(), Ort::SessionOptions{}) {
        const Ort::ModelMetadata metadata = session_.GetModelMetadata();
        const auto text = metadata.LookupCustomMetadataMapAllocated("inkdigit.card", allocator_);
        if (!text) throw std::runtime_error(path + " is not a model file of Inkdigit: it has no card.");
        card_ = json::parse(text.get());
        if (card_["format"] != 1 || card_.value("task", "digit") != "digit")
            throw std::runtime_error(path + ": expected: a model for single digits, with a card of format 1.");
        if (card_["prepare"]["version"] > inkdigit::version)
            throw std::runtime_error(path + " needs a later version of preprocessing.");
    }

    Prediction predict(const Gray& gray) {
        const std::string kind = card_["prepare"]["kind"];
        Gray image = inkdigit::prepare(gray, kind);
        const bool blank = *std::max_element(image.data.begin(), image.data.end()) == 0;
        if (kind == "ink" && blank) return {"", "no ink"};
        const auto outputs = run(image);
        const std::vector<float>&probs = outputs[0], &score = outputs[1];
        const auto most = [](const std::vector<float>& some) { return std::max_element(some.begin(), some.end()) - some.begin(); };
        const auto best = most(probs);
        const json& calibration = card_["calibration"];
        if (const json& accept = calibration["accept_score"]; !accept.is_null() && score[0] < accept.get<double>())
            return {"", outputs.size() > 2 ? card_["outliers"][most(outputs[2])].get<std::string>() : "unsure", probs[best]};
        if (probs[best] < calibration.value("min_confidence", 0.0)) return {"", "unsure", probs[best]};
        return {card_["classes"][best], "", probs[best]};
    }

   private:
    // The outputs for one image: probs (K), score (1), and outliers (M) if the network has learned any.
    std::vector<std::vector<float>> run(Gray& image) {
        const std::array<std::int64_t, 3> shape{1, inkdigit::side, inkdigit::side};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        const auto tensor =
            Ort::Value::CreateTensor<std::uint8_t>(memory, image.data.data(), image.data.size(), shape.data(), shape.size());
        const char* input = "image";
        const std::array<const char*, 3> names{"probs", "score", "outliers"};
        const auto values = session_.Run(Ort::RunOptions{}, &input, &tensor, 1, names.data(), session_.GetOutputCount());
        std::vector<std::vector<float>> outputs;
        for (const auto& value : values) {
            const float* first = value.GetTensorData<float>();
            outputs.emplace_back(first, first + value.GetTensorTypeAndShapeInfo().GetElementCount());
        }
        return outputs;
    }

    Ort::Env env_{ORT_LOGGING_LEVEL_ERROR};
    Ort::Session session_;
    Ort::AllocatorWithDefaultOptions allocator_;
    json card_;
};

}  // namespace

int main(int argc, char** argv) try {
    if (argc < 3) throw std::runtime_error("Expected: predict MODEL.onnx PICTURE.pgm ...");
    Recognizer recognizer(argv[1]);
    for (int i = 2; i < argc; ++i) {
        try {
            const Prediction one = recognizer.predict(read_pgm(argv[i]));
            std::printf("%s  %s", argv[i], (one.label.empty() ? one.reason : one.label).c_str());
            one.label.empty() ? std::printf("\n") : std::printf("  %.2f %%\n", 100 * one.confidence);
        } catch (const inkdigit::NotClean&) {
            std::printf("%s  not clean: the Python package or its service finds the ink\n", argv[i]);
        }
    }
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "predict: %s\n", error.what());
    return 2;
}
