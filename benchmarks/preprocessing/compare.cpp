// Prepares the gray sets of compare.py with the C++ of examples/cpp: `compare FOLDER`. Files as in compare.mjs, NAME.cpp.

#include <filesystem>
#include <fstream>

#include "../../examples/cpp/prepare.hpp"

int main(int, char** argv) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
        if (entry.path().extension() != ".in") continue;
        std::ifstream file(entry.path(), std::ios::binary);
        std::uint32_t head[6];  // N, H, W, channels, bytes of each result, 1 for `plain`
        file.read(reinterpret_cast<char*>(head), sizeof head);
        if (head[3] != 1) continue;
        std::ofstream out(std::filesystem::path(entry.path()).replace_extension(".cpp"), std::ios::binary);
        for (std::uint32_t i = 0; i < head[0]; ++i) {
            inkdigit::Gray gray(static_cast<int>(head[2]), static_cast<int>(head[1])), seen(28, 28);
            file.read(reinterpret_cast<char*>(gray.data.data()), static_cast<std::streamsize>(gray.data.size()));
            char clean = 1;
            try {
                seen = inkdigit::prepare(gray, head[5] ? "plain" : "ink");
            } catch (const inkdigit::NotClean&) {
                clean = 0;
            }
            out.put(clean).write(reinterpret_cast<const char*>(seen.data.data()), 784);
        }
    }
}
