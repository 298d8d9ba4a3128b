// Compare prepare.hpp with the test vectors of the package: `check vectors.json`. Exit code 1: at least one differs.
// The colour vectors are left out: this example takes gray pictures only.

#include <fstream>
#include <iostream>

#include <nlohmann/json.hpp>

#include "prepare.hpp"

using inkdigit::Gray;

namespace {

std::vector<std::uint8_t> bytes(const std::string& base64) {
    static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::vector<std::uint8_t> out;
    unsigned bits = 0, count = 0;
    for (const char c : base64) {
        if (c == '=') break;
        bits = (bits << 6) | static_cast<unsigned>(digits.find(c)), count += 6;
        if (count >= 8) out.push_back(static_cast<std::uint8_t>(bits >> (count -= 8)));
    }
    return out;
}

// What differs, or nothing.
std::string difference(const nlohmann::json& vector) {
    Gray gray(vector["width"], vector["height"]);
    gray.data = bytes(vector["pixels"]);
    const bool clean = !vector["expected"].is_null();
    try {
        const Gray seen = inkdigit::prepare(gray, vector["kind"]);
        if (!clean) return "expected: not clean";
        return seen.data == bytes(vector["expected"]) ? "" : "other pixels";
    } catch (const inkdigit::NotClean&) {
        return clean ? "expected: clean" : "";
    }
}

}  // namespace

int main(int argc, char** argv) try {
    std::ifstream file(argc == 2 ? argv[1] : "");
    if (!file) throw std::runtime_error("Expected: the path of vectors.json.");
    const auto content = nlohmann::json::parse(file);
    if (content["prepare_version"] != inkdigit::version)
        throw std::runtime_error("The vectors are of another version of preprocessing.");
    int checked = 0, wrong = 0;
    for (const auto& vector : content["vectors"]) {
        if (vector["channels"] != 1) continue;
        ++checked;
        if (const auto what = difference(vector); !what.empty()) {
            ++wrong;
            std::cerr << vector["name"].get<std::string>() << ": " << what << '\n';
        }
    }
    std::cout << checked - wrong << " of " << checked << " gray test vectors are the same, bit for bit\n";
    return wrong ? 1 : 0;
} catch (const std::exception& error) {
    std::cerr << "check: " << error.what() << '\n';
    return 2;
}
